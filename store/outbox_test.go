package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"hashtill/store"
)

// A post is an outbox on a memory store, running in a bubble of fake time.
type post struct {
	*testing.T
	store *store.Memory
	box   *store.Outbox
	stop  context.CancelFunc
	ended chan error
	log   logText

	mu   sync.Mutex
	done []string // "id/try" of each call of do
}

// A logText is a log that may be read while it is written.
type logText struct {
	mu   sync.Mutex
	text []byte
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// withPost runs a test in a bubble. do is called for each effect, which is then
// settled if do returned nil.
func withPost(t *testing.T, set func(*store.Outbox), do func(p *post, ctx context.Context, l store.Lease) error, test func(p *post)) {
	synctest.Test(t, func(t *testing.T) {
		p := &post{T: t, store: store.NewMemory(), ended: make(chan error, 1)}
		p.box = &store.Outbox{
			Store: p.store, Rand: func() float64 { return 1 }, // the longest delay
			Log: slog.New(slog.NewTextHandler(&p.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		}
		p.box.Do = func(ctx context.Context, l store.Lease) error {
			p.mu.Lock()
			p.done = append(p.done, fmt.Sprint(l.ID, "/", l.Try))
			p.mu.Unlock()
			if err := do(p, ctx, l); err != nil {
				return err
			}
			return p.store.Commit(ctx, store.Change{Shard: l.Shard, Settle: []store.Settle{{ID: l.ID, Try: l.Try}}})
		}
		if set != nil {
			set(p.box)
		}
		ctx, cancel := context.WithCancel(t.Context())
		p.stop = cancel
		go func() { p.ended <- p.box.Run(ctx) }()
		synctest.Wait()
		test(p)
		cancel()
		if err := <-p.ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if n := p.box.InFlight(); n != 0 {
			t.Errorf("Run has ended with %d in flight", n)
		}
	})
}

func nothing(*post, context.Context, store.Lease) error { return nil }

// owe owes an effect after a delay, without a nudge.
func (p *post) owe(kind, id string, after time.Duration) {
	p.Helper()
	err := p.store.Commit(p.Context(), store.Change{
		Shard: store.ShardOf(id),
		Owe:   []store.Effect{{ID: id, Kind: kind, Due: time.Now().Add(after)}},
	})
	if err != nil {
		p.Fatal(err)
	}
}

func (p *post) calls() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.done...)
}

// wantCalls checks what has been called, in whatever order.
func (p *post) wantCalls(want ...string) {
	p.Helper()
	got := map[string]int{}
	for _, call := range p.calls() {
		got[call]++
	}
	for _, call := range want {
		got[call]--
	}
	for call, n := range got {
		if n != 0 {
			p.Fatalf("called %v, want %v (%s: %+d)", p.calls(), want, call, n)
		}
	}
}

// owed is the effect as it stands, or nil when it has been settled.
func (p *post) owed(id string) *store.Owed {
	p.Helper()
	all, _, err := p.store.Owed(p.Context(), store.ShardOf(id), "", 100)
	if err != nil {
		p.Fatal(err)
	}
	for _, o := range all {
		if o.ID == id {
			return &o
		}
	}
	return nil
}

// pass lets time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestOutboxPerforms(t *testing.T) {
	withPost(t, nil, nothing, func(p *post) {
		p.owe("mail", "now", 0)
		p.owe("mail", "soon", 1500*time.Millisecond)
		p.wantCalls()
		p.box.Nudge()
		synctest.Wait()
		p.wantCalls("now/1")
		pass(time.Second)
		p.wantCalls("now/1")
		pass(time.Second) // found by the poll, without a nudge
		p.wantCalls("now/1", "soon/1")
		if p.owed("now") != nil || p.owed("soon") != nil {
			p.Error("performed and not settled")
		}
		line := "level=DEBUG msg=\"effect done\" effect=now kind=mail try=1 shard=" + fmt.Sprint(store.ShardOf("now"))
		if !strings.Contains(p.log.String(), line) {
			p.Errorf("log:\n%swant %s", &p.log, line)
		}
	})
}

func TestOutboxBacksOff(t *testing.T) {
	fail := func(*post, context.Context, store.Lease) error { return errors.New("mail server says 451") }
	const poll = 50 * time.Millisecond
	withPost(t, func(o *store.Outbox) { o.Poll = poll }, fail, func(p *post) {
		began := time.Now()
		p.owe("mail", "e", 0)
		var due time.Duration // since the beginning
		for try, delay := range []time.Duration{
			500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second,
			32 * time.Second, 64 * time.Second, 128 * time.Second, 256 * time.Second, 5 * time.Minute, 5 * time.Minute,
		} {
			pass(due - time.Since(began) + poll + time.Millisecond)
			o := p.owed("e")
			wait := o.Due.Sub(began) - due
			if o.Try != int64(try+1) || o.Note != "mail server says 451" || wait < delay || wait > delay+poll+time.Millisecond {
				p.Fatalf("after try %d it stands as %+v, due after %v, want %v", try+1, o, wait, delay)
			}
			due = o.Due.Sub(began)
		}
		if !strings.Contains(p.log.String(), "level=WARN msg=\"effect put off\" effect=e kind=mail try=12") {
			p.Errorf("log:\n%s", &p.log)
		}
	})
	// The least jitter halves the delay.
	withPost(t, func(o *store.Outbox) { o.Rand = func() float64 { return 0 } }, fail, func(p *post) {
		p.owe("mail", "e", 0)
		now := time.Now()
		p.box.Nudge()
		synctest.Wait()
		if wait := p.owed("e").Due.Sub(now); wait != 250*time.Millisecond {
			p.Errorf("with no jitter it waits %v", wait)
		}
	})
}

func TestOutboxLater(t *testing.T) {
	at := time.Date(2000, 1, 1, 9, 0, 0, 0, time.UTC) // a bubble begins at midnight
	do := func(_ *post, _ context.Context, l store.Lease) error {
		switch l.ID {
		case "later":
			return fmt.Errorf("reply: %w", &store.Later{At: at, Err: errors.New("rate limit")})
		case "past":
			return &store.Later{At: time.Unix(0, 0), Err: errors.New("clocks differ")}
		}
		return errors.New(strings.Repeat("é", store.MaxNote) + "\xff")
	}
	withPost(t, nil, do, func(p *post) {
		p.owe("reply", "later", 0)
		p.owe("reply", "past", 0)
		p.owe("reply", "long", 0)
		now := time.Now()
		p.box.Nudge()
		synctest.Wait()
		if o := p.owed("later"); !o.Due.Equal(at) || o.Note != "reply: later: rate limit [failed 0 of 1]" {
			p.Errorf("put off as %+v, want %v", o, at)
		}
		if o := p.owed("past"); o.Due.Sub(now) != 500*time.Millisecond {
			p.Errorf("a time that is past must not make a tight loop: %+v", o)
		}
		if note := p.owed("long").Note; len(note) != store.MaxNote || !utf8.ValidString(note) {
			p.Errorf("note of %d bytes: %q", len(note), note)
		}
	})
}

// However many are told to come later, the log has a line a minute for all of them.
func TestOutboxTellsOfManyOnce(t *testing.T) {
	do := func(*post, context.Context, store.Lease) error {
		return &store.Later{At: time.Now().Add(time.Hour), Err: errors.New("the budget is spent")}
	}
	withPost(t, nil, do, func(p *post) {
		for i := range 300 {
			p.owe("reply", fmt.Sprint("e", i), 0)
		}
		p.box.Nudge()
		synctest.Wait()
		pass(2 * time.Minute)
		told := 0
		lines := 0
		for line := range strings.Lines(p.log.String()) {
			if strings.Contains(line, "level=DEBUG") {
				continue
			}
			lines++
			if _, n, ok := strings.Cut(strings.TrimSpace(line), "msg=\"effects were told to come later\" effects="); ok {
				effects, _ := strconv.Atoi(n)
				told += effects
			}
		}
		if told != 300 || lines > 3 {
			p.Errorf("%d lines tell of %d effects", lines, told)
		}
	})
}

func TestOutboxPanic(t *testing.T) {
	do := func(_ *post, _ context.Context, l store.Lease) error {
		if l.ID == "bad" && l.Try == 1 {
			panic("index out of range")
		}
		return nil
	}
	withPost(t, nil, do, func(p *post) {
		p.owe("mail", "bad", 0)
		p.owe("mail", "good", 0)
		p.box.Nudge()
		synctest.Wait()
		p.wantCalls("bad/1", "good/1")
		if o := p.owed("bad"); o == nil || o.Note != "panic: see the log" {
			p.Errorf("after the panic it stands as %+v", o)
		}
		for _, want := range []string{"level=ERROR", `panic="index out of range"`, "outbox_test.go"} {
			if !strings.Contains(p.log.String(), want) {
				p.Errorf("the log has no %s", want)
			}
		}
		pass(2 * time.Second)
		p.wantCalls("bad/1", "good/1", "bad/2")
	})
}

// Do's context ends before the lease does, so that the put-off is this try's.
func TestOutboxLeaseEnds(t *testing.T) {
	hang := func(p *post, ctx context.Context, l store.Lease) error {
		deadline, ok := ctx.Deadline()
		if !ok || !deadline.Before(l.Until) {
			p.Errorf("Do may go on until %v, the lease until %v", deadline, l.Until)
		}
		<-ctx.Done()
		return ctx.Err()
	}
	withPost(t, func(o *store.Outbox) { o.LeaseFor = 20 * time.Second }, hang, func(p *post) {
		p.owe("mail", "e", 0)
		p.box.Nudge()
		pass(14 * time.Second)
		if p.box.InFlight() != 1 {
			p.Fatal("cut off too early")
		}
		pass(time.Second + time.Millisecond)
		if o := p.owed("e"); o.Try != 1 || o.Note != "context deadline exceeded" {
			p.Errorf("it stands as %+v", o)
		}
	})
}

// What Do leaves unsettled is handed out again when its lease has run out.
func TestOutboxUnsettled(t *testing.T) {
	s := store.NewMemory()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		tries := make(chan int64, 10)
		box := &store.Outbox{Store: s, Log: slog.New(slog.DiscardHandler), Do: func(_ context.Context, l store.Lease) error {
			tries <- l.Try
			if l.Try == 2 {
				stop()
			}
			return nil
		}}
		if err := s.Commit(ctx, store.Change{Owe: []store.Effect{{ID: "e", Due: time.Now()}}}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := box.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if len(tries) != 2 || time.Since(began) < time.Minute || time.Since(began) > time.Minute+2*time.Second {
			t.Errorf("%d tries in %v", len(tries), time.Since(began))
		}
	})
}

// Nothing is leased that would have to wait for a worker.
func TestOutboxBounded(t *testing.T) {
	slow := func(*post, context.Context, store.Lease) error {
		<-time.After(10 * time.Second)
		return nil
	}
	withPost(t, func(o *store.Outbox) { o.Workers, o.Share = 4, 4 }, slow, func(p *post) {
		for i := range 10 {
			p.owe("mail", fmt.Sprint(i), 0)
		}
		p.box.Nudge()
		for _, want := range []struct{ begun, leased int }{{4, 4}, {8, 4}, {10, 2}} {
			pass(time.Second)
			leased := 0
			for i := range 10 {
				if o := p.owed(fmt.Sprint(i)); o != nil && o.Try > 0 {
					leased++
				}
			}
			if len(p.calls()) != want.begun || leased != want.leased || p.box.InFlight() != want.leased {
				p.Fatalf("%d begun, %d leased, %d in flight; want %+v", len(p.calls()), leased, p.box.InFlight(), want)
			}
			pass(9*time.Second + time.Millisecond)
		}
	})
}

func TestOutboxStops(t *testing.T) {
	// What is under way may finish.
	slow := func(_ *post, ctx context.Context, l store.Lease) error {
		select {
		case <-time.After(8 * time.Second):
			return nil
		case <-ctx.Done():
			return errors.New("cut off")
		}
	}
	withPost(t, nil, slow, func(p *post) {
		p.owe("mail", "e", 0)
		p.box.Nudge()
		synctest.Wait()
		p.owe("mail", "next", 0)
		p.stop()
		p.box.Nudge()
		if err := <-p.ended; err != nil {
			p.Error(err)
		}
		p.ended <- nil
		if p.owed("e") != nil || p.owed("next").Try != 0 {
			p.Errorf("e stands as %+v, next as %+v", p.owed("e"), p.owed("next"))
		}
	})
	// But not for ever.
	withPost(t, func(o *store.Outbox) { o.Grace = 5 * time.Second }, slow, func(p *post) {
		p.owe("mail", "e", 0)
		p.box.Nudge()
		synctest.Wait()
		began := time.Now()
		p.stop()
		p.ended <- <-p.ended
		if took := time.Since(began); took != 5*time.Second {
			p.Errorf("Run ended after %v", took)
		}
		if o := p.owed("e"); o == nil || o.Note != "cut off" {
			p.Errorf("it stands as %+v", o)
		}
	})
}

// An outbox that has stopped may run again.
func TestOutboxRunsAgain(t *testing.T) {
	withPost(t, nil, nothing, func(p *post) {
		p.owe("mail", "first", 0)
		p.box.Nudge()
		synctest.Wait()
		p.stop()
		if err := <-p.ended; err != nil {
			p.Error(err)
		}
		p.owe("mail", "second", 0)
		ctx, stop := context.WithCancel(p.Context())
		go func() { p.ended <- p.box.Run(ctx) }()
		synctest.Wait()
		p.wantCalls("first/1", "second/1")
		stop()
	})
}

func TestOutboxStoreAway(t *testing.T) {
	s := store.NewMemory()
	away := &awayStore{Memory: s}
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		box := &store.Outbox{Store: away, Log: slog.New(slog.DiscardHandler), Do: func(ctx context.Context, l store.Lease) error {
			defer close(done)
			return s.Commit(ctx, store.Change{Settle: []store.Settle{{ID: l.ID, Try: l.Try}}})
		}}
		if err := s.Commit(t.Context(), store.Change{Owe: []store.Effect{{ID: "e", Due: time.Now()}}}); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { ended <- box.Run(t.Context()) }()
		pass(time.Minute)
		if asked := away.asked.Load(); asked < 4 || asked > 20 {
			t.Errorf("asked %d times in a minute", asked)
		}
		away.back.Store(true)
		<-done
		synctest.Wait()
		s.Close()
		if err := <-ended; !errors.Is(err, store.ErrClosed) {
			t.Errorf("Run on a closed store: %v", err)
		}
	})
}

// An awayStore refuses to lease until it is back.
type awayStore struct {
	*store.Memory
	asked atomic.Int64
	back  atomic.Bool
}

func (s *awayStore) Lease(ctx context.Context, now, until time.Time, limit int) ([]store.Lease, error) {
	if !s.back.Load() {
		s.asked.Add(1)
		return nil, errors.New("connection refused")
	}
	return s.Memory.Lease(ctx, now, until, limit)
}

// WaitIdle waits for what is due, what that owes in turn, and nothing else.
func TestOutboxWaitIdle(t *testing.T) {
	do := func(p *post, ctx context.Context, l store.Lease) error {
		<-time.After(5 * time.Second)
		if l.ID == "first" {
			p.owe("mail", "second", 0)
		}
		return nil
	}
	withPost(t, nil, do, func(p *post) {
		if err := p.box.WaitIdle(p.Context()); err != nil || len(p.calls()) != 0 {
			p.Fatalf("%v, %v", err, p.calls())
		}
		p.owe("mail", "first", 0)
		p.owe("mail", "tomorrow", 24*time.Hour)
		began := time.Now()
		if err := p.box.WaitIdle(p.Context()); err != nil {
			p.Fatal(err)
		}
		if took := time.Since(began); took != 10*time.Second || p.owed("second") != nil || p.box.InFlight() != 0 {
			p.Errorf("idle after %v, second stands as %+v, %d in flight", took, p.owed("second"), p.box.InFlight())
		}
		p.owe("mail", "third", 0)
		ctx, cancel := context.WithTimeout(p.Context(), time.Second)
		defer cancel()
		if err := p.box.WaitIdle(ctx); !errors.Is(err, context.DeadlineExceeded) {
			p.Errorf("WaitIdle: %v", err)
		}
		pass(5 * time.Second)
	})
}

// slowStore hands out leases only when they are nearly or wholly over.
type slowStore struct {
	store.Store
	takes time.Duration
}

func (s slowStore) Lease(ctx context.Context, now, until time.Time, limit int) ([]store.Lease, error) {
	leases, err := s.Store.Lease(ctx, now, until, limit)
	if len(leases) > 0 {
		<-time.After(s.takes)
	}
	return leases, err
}

// What comes after the end of its lease is another try's by then.
func TestOutboxLeaseTooLate(t *testing.T) {
	withPost(t, func(o *store.Outbox) { o.Store = slowStore{o.Store, o.LeaseFor + time.Minute} }, nothing, func(p *post) {
		p.owe("mail", "e", 0)
		p.box.Nudge()
		pass(3 * time.Minute)
		p.wantCalls()
	})
}
