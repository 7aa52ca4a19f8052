package bot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hashtill/offers"
	"hashtill/store"
)

// listening is a scene whose bot listens, with a log to read.
type listening struct {
	*scene
	log  *journal
	ctx  context.Context
	stop func() // returns when Run has
}

type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// lines are those of the log that say that.
func (j *journal) lines(msg string) (lines []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(j.text.String()) {
		if strings.Contains(line, `msg="`+msg+`"`) || strings.Contains(line, "msg="+msg+" ") {
			lines = append(lines, line)
		}
	}
	return lines
}

// script is a Listen that does what it is told, and otherwise waits for its end.
type script struct {
	mu    sync.Mutex
	since []string // of each Listen
	heard chan func(context.Context, Post) error
}

func (s *script) listen(ctx context.Context, since string, heard func(context.Context, Post) error) error {
	s.mu.Lock()
	s.since = append(s.since, since)
	s.mu.Unlock()
	select {
	case s.heard <- func(_ context.Context, p Post) error { return heard(ctx, p) }:
	case <-ctx.Done():
	}
	<-ctx.Done()
	return nil
}

func (s *script) begun() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.since)
}

// newListening is a scene on a store, with a network to be told what it hears by.
func newListening(t *testing.T, st store.Store) (*listening, *script) {
	l := &listening{scene: newSceneOn(t, 9, st), log: &journal{}}
	l.Bot.Now, l.Bot.Log = time.Now, slog.New(slog.NewTextHandler(l.log, nil))
	s := &script{heard: make(chan func(context.Context, Post) error)}
	l.net.play = s.listen
	return l, s
}

func (l *listening) run() {
	ctx, cancel := context.WithCancel(l.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	l.ctx, l.stop = ctx, func() {
		cancel()
		if err := <-ended; err != nil {
			l.t.Error(err)
		}
	}
}

func (l *listening) cursor() string {
	l.t.Helper()
	got, err := l.shop.Cursor(l.t.Context(), "x")
	if err != nil {
		l.t.Fatal(err)
	}
	return got
}

func withCursor(p Post, cursor string) Post {
	p.Cursor = cursor
	return p
}

// The cursor is kept while listening and at the end, whatever the posts mean, and the
// next one goes on from it.
func TestCursorIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory()
		first, played := newListening(t, st)
		first.run()
		heard := <-played.heard
		hear := func(p Post) {
			t.Helper()
			if err := heard(first.ctx, p); err != nil {
				t.Error(err)
			}
		}
		hear(Post{Cursor: "5"})
		time.Sleep(tendEvery + time.Millisecond)
		if got := first.cursor(); got != "5" {
			t.Errorf("the cursor is %q", got)
		}
		hear(withCursor(by("1", "7", "words"), "7"))
		hear(by("1", "8", "words")) // older ones may be missing
		time.Sleep(tendEvery + time.Millisecond)
		if got := first.cursor(); got != "7" {
			t.Errorf("the cursor is %q", got)
		}

		// Another process waits, and is told where to go on.
		second, playedSecond := newListening(t, st)
		second.run()
		time.Sleep(time.Hour)
		if len(playedSecond.begun()) > 0 || second.Listening()["x"].Held || !first.Listening()["x"].Held {
			t.Errorf("two listen: %v, %v", first.Listening(), second.Listening())
		}
		first.Follow()
		second.Follow()
		synctest.Wait()
		if first.net.follows.Load() != 2 || second.net.follows.Load() != 0 {
			t.Errorf("followed %d and %d times", first.net.follows.Load(), second.net.follows.Load())
		}
		hear(withCursor(by("1", "9", "words"), "9"))
		first.stop()
		<-playedSecond.heard
		if got := playedSecond.begun(); !slices.Equal(got, []string{"9"}) {
			t.Errorf("the next one listens from %q", got)
		}
		if first.Listening()["x"] != (Listening{}) || second.net.follows.Load() != 1 {
			t.Errorf("handed over: %v, followed %d times", first.Listening(), second.net.follows.Load())
		}
		first.Again() // is nothing to one who does not listen
		second.stop()
	})
}

// Who is cut off from the store stops listening, and another goes on in time.
func TestAnotherTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory()
		way := &slow{Store: st}
		first, played := newListening(t, way)
		second, playedSecond := newListening(t, st)
		first.run()
		heard := <-played.heard
		if err := heard(first.ctx, Post{Cursor: "5"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		second.run()
		time.Sleep(time.Minute)
		way.cut.Store(true)
		died := time.Now()
		<-playedSecond.heard
		if took := time.Since(died); took > 15*time.Second {
			t.Errorf("taken over after %s", took)
		}
		if held := first.Listening()["x"].Held; held || !slices.Equal(playedSecond.begun(), []string{"5"}) {
			t.Errorf("the first one still listens: %t, the second listens from %q", held, playedSecond.begun())
		}
		way.cut.Store(false)
		first.stop()
		second.stop()
	})
}

// A store that is away, or slow, makes the bot fall behind, and the log and Listening
// say so, once.
func TestBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		way := &slow{Store: store.NewMemory()}
		l, played := newListening(t, way)
		l.register("1")
		l.run()
		heard := <-played.heard
		l.net.waiting(3)
		way.failing.Store(true)
		p := by("1", "10", "@bot #BuyTee")
		p.At = time.Now().Add(-time.Minute)
		for range 20 {
			if err := heard(l.ctx, p); !errors.Is(err, errAway) {
				t.Fatalf("heard: %v", err)
			}
			time.Sleep(time.Second)
		}
		got := l.Listening()["x"]
		if !got.Held || !got.Connected || !got.Behind || got.Waiting != 3 || got.Age != 80*time.Second {
			t.Errorf("listening is %+v", got)
		}
		way.failing.Store(false)
		for left := 3; left >= 0; left-- {
			l.net.waiting(left)
			if err := heard(l.ctx, by("1", fmt.Sprint(10+left), "@bot #BuyTee")); err != nil {
				t.Fatal(err)
			}
			if through := len(l.log.lines("no longer behind")); through != max(0, 1-left) {
				t.Errorf("through %d times with %d left", through, left)
			}
		}
		if lines := l.log.lines("behind"); len(lines) != 1 || !strings.Contains(lines[0], "waiting=3") || !strings.Contains(lines[0], errAway.Error()) {
			t.Errorf("the log says %q", lines)
		}
		if got := l.Listening()["x"]; got.Behind || got.Age != 0 {
			t.Errorf("listening is %+v", got)
		}

		// A few that wait, while others are dealt with, are no trouble; many are.
		l.net.waiting(7)
		for range 6 {
			time.Sleep(2 * time.Second)
			if err := heard(l.ctx, by("1", "10", "@bot #BuyTee")); err != nil {
				t.Fatal(err)
			}
		}
		if lines := l.log.lines("behind"); len(lines) != 1 {
			t.Errorf("a few wait: the log says %q", lines)
		}
		l.net.waiting(700)
		time.Sleep(time.Second)
		if lines := l.log.lines("behind"); len(lines) != 2 {
			t.Errorf("many wait: the log says %q", lines)
		}
		l.stop()
	})
}

// Again listens anew from what the store knows, and tells what came of it.
func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, played := newListening(t, store.NewMemory())
		l.register("1")
		l.run()
		heard := <-played.heard
		wish := withCursor(by("1", "10", "@bot #BuyTee"), "10")
		if err := heard(l.ctx, wish); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if err := l.shop.SetCursor(t.Context(), "x", "4"); err != nil { // as after a fail-over
			t.Fatal(err)
		}
		l.Again()
		asked := time.Now()
		heard = <-played.heard
		if pause := time.Since(asked); pause < againPause || pause > 2*againPause {
			t.Errorf("listened again after %s", pause)
		}
		if got := played.begun(); !slices.Equal(got, []string{"", "4"}) {
			t.Errorf("listened from %q", got)
		}
		for _, p := range []Post{wish, by("1", "11", "@bot #BuyTee"), by("1", "12", "@bot hello")} {
			p.Missed = true
			time.Sleep(time.Second)
			if err := heard(l.ctx, p); err != nil {
				t.Fatal(err)
			}
		}
		if lines := l.log.lines("caught up"); len(lines) > 0 {
			t.Errorf("the log says %q before the end", lines)
		}
		if err := heard(l.ctx, Post{Cursor: "12"}); err != nil {
			t.Fatal(err)
		}
		if lines := l.log.lines("caught up"); len(lines) != 1 || !strings.Contains(lines[0], "posts=3 new_wishes=1") {
			t.Errorf("the log says %q", lines)
		}
		if err := heard(l.ctx, Post{Cursor: "13"}); err != nil { // nothing was missed this time
			t.Fatal(err)
		}
		if lines := l.log.lines("caught up"); len(lines) != 1 {
			t.Errorf("the log says %q", lines)
		}
		l.stop()
		if got := l.cursor(); got != "13" {
			t.Errorf("the cursor is %q", got)
		}
	})
}

func TestOldPostsAreNotCounted(t *testing.T) {
	s := newScene(t, 9)
	s.register("1")
	for i, c := range []struct {
		age  time.Duration
		says int
	}{{offers.MaxPostAge + time.Second, 0}, {offers.MaxPostAge - time.Second, 1}} {
		for j, text := range []string{"@bot #BuyTee", "@bot help"} {
			p := by("1", fmt.Sprint(10*i+j), text)
			p.At = t0.Add(-c.age)
			if said := s.hears(p); len(said) != c.says {
				t.Errorf("%q of %s ago: said %q", text, c.age, said)
			}
		}
	}
}

var errAway = errors.New("the store is away")

// slow is a way to a store that can be cut off, or fail.
type slow struct {
	store.Store
	cut, failing atomic.Bool
}

func (s *slow) Get(ctx context.Context, shard int, keys ...string) ([]store.Record, error) {
	if err := s.trouble(ctx, keys[0]); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, shard, keys...)
}

func (s *slow) Commit(ctx context.Context, c store.Change) error {
	key := ""
	if len(c.Put) > 0 {
		key = c.Put[0].Key
	}
	if err := s.trouble(ctx, key); err != nil {
		return err
	}
	return s.Store.Commit(ctx, c)
}

// trouble leaves the lock alone when it only fails.
func (s *slow) trouble(ctx context.Context, key string) error {
	switch {
	case s.cut.Load():
		<-ctx.Done()
		return ctx.Err()
	case s.failing.Load() && !strings.HasPrefix(key, "held/"):
		return errAway
	}
	return nil
}

// A process that is not connected gives its turn to another one that may be, and says
// so; where there is none it goes on by itself.
func TestDeafGivesItsTurnAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory()
		first, played := newListening(t, st)
		first.run()
		<-played.heard
		first.net.deaf.Store(true)
		time.Sleep(deafTime + 2*turnPause)
		<-played.heard // nobody else is there
		second, playedSecond := newListening(t, st)
		second.run()
		time.Sleep(deafTime + turnPause)
		<-playedSecond.heard
		if got := first.Listening()["x"]; got.Held || !got.Failed {
			t.Errorf("the deaf one: %+v", got)
		}
		if got := second.Listening()["x"]; !got.Held || got.Failed {
			t.Errorf("the other one: %+v", got)
		}
		first.net.deaf.Store(false)
		second.stop()
		<-played.heard
		time.Sleep(tendEvery)
		if got := first.Listening()["x"]; !got.Held || got.Failed {
			t.Errorf("the first one again: %+v", got)
		}
		first.stop()
	})
}

// What was said in time, and is heard late because nobody listened, was in time; and
// an order that was said before a later one does not undo it.
func TestMissedPostsCountByTheirTime(t *testing.T) {
	for _, c := range []struct {
		missed bool
		want   offers.State
	}{{true, offers.Echoed}, {false, offers.Coded}} {
		s := newScene(t, 9)
		s.register("1")
		s.hears(by("1", "10", "@bot #BuyTee"))
		id := offers.NewID("x", "10", "buytee")
		p, err := s.shop.Purchase(t.Context(), id)
		if err != nil || p.State != offers.Coded {
			t.Fatalf("%s, %v", p.State, err)
		}
		s.Now = func() time.Time { return t0.Add(p.Times.Echo + time.Minute) }
		echo := by("1", "11", "@bot "+p.Code.Hashtag())
		echo.At, echo.Missed = t0.Add(p.Times.Echo-time.Second), c.missed
		if err := s.Hear(t.Context(), s.net, echo); err != nil {
			t.Fatal(err)
		}
		if p, err = s.shop.Purchase(t.Context(), id); err != nil || p.State != c.want {
			t.Errorf("heard late, missed %t: the purchase is %s, want %s; %v", c.missed, p.State, c.want, err)
		}

		s.hears(by("1", "12", "@bot stop"))
		start := by("1", "13", "@bot start")
		start.At, start.Missed = t0.Add(-time.Minute), true
		if said := s.hears(start); len(said) > 0 {
			t.Errorf("an older start undid the stop: said %q", said)
		}
		if b, err := s.shop.Buyer(t.Context(), offers.Account{Network: "x", ID: "1"}); err != nil || b.Stopped.IsZero() {
			t.Errorf("the stop is forgotten: %+v, %v", b, err)
		}
	}
}
