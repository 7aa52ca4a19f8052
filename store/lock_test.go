package store

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var errAway = errors.New("the store is away")

// troubled is a contender's way to a store: it can be cut off, and it can fail,
// hang, and do late what it has been asked to, as chance wants it.
type troubled struct {
	Store
	cut  atomic.Bool
	mu   sync.Mutex
	rand *rand.Rand // nil for no trouble of its own
	asks atomic.Int64
	late sync.WaitGroup // commits that come after their callers have left
}

func (s *troubled) chance() (kind int, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rand == nil {
		return 0, 0
	}
	return s.rand.IntN(10), time.Duration(s.rand.Int64N(int64(4 * time.Second)))
}

func (s *troubled) Get(ctx context.Context, shard int, keys ...string) ([]Record, error) {
	s.asks.Add(1)
	kind, d := s.chance()
	switch {
	case s.cut.Load():
		<-ctx.Done()
		return nil, ctx.Err()
	case kind == 1:
		return nil, errAway
	case kind == 2 && !sleep(ctx, d):
		return nil, ctx.Err()
	}
	return s.Store.Get(ctx, shard, keys...)
}

func (s *troubled) Commit(ctx context.Context, c Change) error {
	s.asks.Add(1)
	kind, d := s.chance()
	switch {
	case s.cut.Load():
		<-ctx.Done()
		return ctx.Err()
	case kind == 1: // it does not happen
		return errAway
	case kind == 2: // it happens, and nobody knows
		s.Store.Commit(ctx, c)
		return errAway
	case kind == 4: // it happens, and the answer is slow
		err := s.Store.Commit(ctx, c)
		if !sleep(ctx, d) {
			return ctx.Err()
		}
		return err
	case kind == 3: // it happens later, perhaps when the caller has left
		done := make(chan error, 1)
		s.late.Go(func() {
			time.Sleep(d) // in a bubble
			done <- s.Store.Commit(context.WithoutCancel(ctx), c)
		})
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return s.Store.Commit(ctx, c)
}

// turns watches who is inside, and counts the turns.
type turns struct {
	t      *testing.T
	inside atomic.Int32
	n      atomic.Int32
	took   chan int // who began, where it has room
}

// do is a turn that lasts until its context ends, and some more.
func (w *turns) do(who int, windDown time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		if w.inside.Add(1) != 1 {
			w.t.Error("two are inside at once")
		}
		w.n.Add(1)
		select {
		case w.took <- who:
		default:
		}
		<-ctx.Done()
		time.Sleep(windDown) // in a bubble
		w.inside.Add(-1)
		return nil
	}
}

func lockOn(s Store) *Lock { return &Lock{Store: s, Key: "held/x", Log: slog.New(slog.DiscardHandler)} }

// Whatever the way to the store does, one at a time is inside, and it goes on.
func TestLockExcludes(t *testing.T) {
	for _, contenders := range []int{2, 5} {
		for seed := range uint64(10) {
			synctest.Test(t, func(t *testing.T) {
				inner, w := NewMemory(), &turns{t: t}
				ctx, cancel := context.WithCancel(t.Context())
				var all sync.WaitGroup
				var ways []*troubled
				for i := range contenders {
					way := &troubled{Store: inner, rand: rand.New(rand.NewPCG(seed, uint64(i)))}
					ways = append(ways, way)
					all.Go(func() {
						for ctx.Err() == nil { // some turns end by themselves
							turn, leave := context.WithTimeout(ctx, time.Duration(10+7*i)*time.Second)
							err := lockOn(way).Run(ctx, func(held context.Context) error {
								held, end := context.WithCancel(held)
								defer context.AfterFunc(turn, end)()
								return w.do(i, defaultRenew-time.Millisecond)(held)
							})
							leave()
							if err != nil {
								t.Error(err)
							}
						}
					})
				}
				for i := range 60 {
					time.Sleep(7 * time.Second)
					ways[i%contenders].cut.Store(i%3 == 0)
				}
				cancel()
				all.Wait()
				for _, way := range ways {
					way.late.Wait()
				}
				if n := w.n.Load(); n < 15 {
					t.Errorf("%d turns in 7 minutes", n)
				}
			})
		}
	}
}

// A holder that is cut off stops before another begins, and that is soon.
func TestLockIsTakenOver(t *testing.T) {
	for shift := range 10 {
		synctest.Test(t, func(t *testing.T) {
			inner := NewMemory()
			w := &turns{t: t, took: make(chan int, 1)}
			ctx, cancel := context.WithCancel(t.Context())
			var all sync.WaitGroup
			first, second := &troubled{Store: inner}, &troubled{Store: inner}
			all.Go(func() { lockOn(first).Run(ctx, w.do(1, defaultRenew-time.Millisecond)) })
			if who := <-w.took; who != 1 {
				t.Fatalf("%d began", who)
			}
			all.Go(func() { lockOn(second).Run(ctx, w.do(2, 0)) })
			time.Sleep(time.Minute + time.Duration(shift)*331*time.Millisecond)
			if n := w.n.Load(); n != 1 {
				t.Errorf("%d turns while the holder was well", n)
			}
			first.cut.Store(true)
			died := time.Now()
			if who := <-w.took; who != 2 {
				t.Fatalf("%d began", who)
			}
			if took := time.Since(died); took > 13*time.Second || took < 7*time.Second {
				t.Errorf("taken over after %s", took)
			}
			first.cut.Store(false) // the dead come back, and wait
			time.Sleep(time.Minute)
			if n := w.n.Load(); n != 2 {
				t.Errorf("%d turns", n)
			}
			cancel()
			all.Wait()
		})
	}
}

// Who ends well does not make the next one wait, and a do that ends by itself ends
// Run.
func TestLockIsHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := NewMemory()
		w := &turns{t: t, took: make(chan int, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		firstCtx, leave := context.WithCancel(ctx)
		var all sync.WaitGroup
		way := &troubled{Store: inner}
		all.Go(func() {
			if err := lockOn(inner).Run(firstCtx, w.do(1, 20*time.Second)); err != nil {
				t.Error(err)
			}
		})
		<-w.took
		all.Go(func() { lockOn(way).Run(ctx, w.do(2, 0)) })
		time.Sleep(50 * time.Second)
		before := way.asks.Load()
		time.Sleep(60 * time.Second)
		if n := way.asks.Load() - before; n > 21 {
			t.Errorf("who waits asks the store %d times a minute", n)
		}
		leave() // and takes its time, which is its own
		left := time.Now()
		<-w.took
		if took := time.Since(left); took < 20*time.Second || took > 20*time.Second+defaultRenew {
			t.Errorf("handed over after %s", took)
		}
		cancel()
		all.Wait()

		done := errors.New("done")
		if err := lockOn(inner).Run(t.Context(), func(context.Context) error { return done }); err != done {
			t.Errorf("Run returned %v", err)
		}
	})
}

// A record that is another's although it should not be (a store has forgotten, a
// person has helped) ends the turn at the next renewal, and is left alone.
func TestLockIsNotStolenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := NewMemory()
		w := &turns{t: t, took: make(chan int, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- lockOn(inner).Run(ctx, w.do(1, 0)) }()
		<-w.took
		time.Sleep(10 * time.Second)
		read := func() Record {
			recs, err := inner.Get(ctx, ShardOf("held/x"), "held/x")
			if err != nil {
				t.Fatal(err)
			}
			return recs[0]
		}
		put := Put{Key: "held/x", Version: read().Version, Value: []byte("another")}
		if err := inner.Commit(ctx, Change{Shard: ShardOf("held/x"), Put: []Put{put}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(defaultRenew)
		synctest.Wait()
		if w.inside.Load() != 0 || string(read().Value) != "another" {
			t.Errorf("%d inside, the record is %q", w.inside.Load(), read().Value)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestLockSaysWhatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := func(context.Context) error { t.Error("done"); return nil }
		inner := NewMemory()
		if err := (&Lock{Store: inner, Key: strings.Repeat("k", MaxKey+1)}).Run(t.Context(), never); !errors.Is(err, ErrInvalid) {
			t.Errorf("a long key: %v", err)
		}
		if err := (&Lock{Store: inner, Key: "k", Renew: 4 * time.Second}).Run(t.Context(), never); !errors.Is(err, ErrInvalid) {
			t.Errorf("times that do not fit: %v", err)
		}

		var log bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		way := &troubled{Store: inner}
		way.cut.Store(true)
		l := lockOn(way)
		l.Log = slog.New(slog.NewTextHandler(&log, nil))
		ended := make(chan error)
		go func() { ended <- l.Run(ctx, func(ctx context.Context) error { <-ctx.Done(); return nil }) }()
		time.Sleep(5 * time.Minute)
		way.cut.Store(false)
		time.Sleep(time.Minute)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "does not answer"); n != 1 || !strings.Contains(log.String(), "answers again") {
			t.Errorf("the log says %s", log.String())
		}

		inner.Close()
		if err := lockOn(inner).Run(t.Context(), never); !errors.Is(err, ErrClosed) {
			t.Errorf("on a closed store: %v", err)
		}
	})
}
