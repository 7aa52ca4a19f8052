package offers

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hashtill/store"
)

func TestCursor(t *testing.T) {
	s := newShop(t)
	if got, err := s.Cursor(t.Context(), "x"); got != "" || err != nil {
		t.Errorf("at first the cursor is %q, %v", got, err)
	}
	for _, c := range []string{"12", "12", "9", "340"} {
		if err := s.SetCursor(t.Context(), "x", c); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Cursor(t.Context(), "x"); got != c || err != nil {
			t.Errorf("the cursor is %q, %v, want %q", got, err, c)
		}
	}
	if got, err := s.Cursor(t.Context(), "y"); got != "" || err != nil {
		t.Errorf("another network's cursor is %q, %v", got, err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := s.SetCursor(t.Context(), "x", "77"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	long := strings.Repeat("x", store.MaxKey)
	_, err := s.Cursor(t.Context(), long)
	for _, err := range []error{err, s.SetCursor(t.Context(), "", "1"), s.Alone(t.Context(), long, nil), s.Alone(t.Context(), "", nil)} {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("a name that cannot be: %v", err)
		}
	}
}

// Shops on one store do one at a time what has one name, and other things beside it.
func TestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory()
		inside, most := map[string]int{}, map[string]int{}
		var mu sync.Mutex
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 3 {
			s, err := NewShop(st, Settings{CodeKey: make([]byte, 16), Times: DefaultTimes, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"x", "y"} {
				all.Go(func() {
					err := s.Alone(ctx, name, func(ctx context.Context) error {
						mu.Lock()
						inside[name]++
						most[name] = max(most[name], inside[name])
						mu.Unlock()
						<-ctx.Done()
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
		}
		time.Sleep(time.Hour)
		cancel()
		all.Wait()
		if most["x"] != 1 || most["y"] != 1 {
			t.Errorf("%v at once", most)
		}
	})
}
