package bot

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// A network that will not be listened to is a mistake in the configuration if it
	// says so at the start, and a trouble of its own later.
	startTime   = 30 * time.Second
	listenPause = 2 * time.Minute

	// A process that is not connected for deafTime gives its turn to one that may be,
	// and waits turnPause before it asks for another.
	deafTime  = time.Minute
	turnPause = 10 * time.Second

	// againPause is between two Listens, so that the network knows of the end of the
	// first: X lets an account have one stream, and makes who asks for two wait.
	againPause = time.Second

	tendEvery = time.Second // the cursor is kept, and the time that posts wait is looked at
	// A network is behind when the shop does not take a post for behindAfter, sooner
	// than a turn ends that the store does not renew, or when so many posts wait.
	behindAfter = 3 * time.Second
	behindBy    = 500

	keepTime = 2 * time.Second // for one commit of the cursor; the Lock allows 3 s to end
)

var (
	// errAgain ends a Listen that is to begin again.
	errAgain = errors.New("listening begins again")
	// errDeaf ends a turn.
	errDeaf = errors.New("not connected for too long: another process may be")
)

// Run listens until ctx ends, and then returns nil; any other return says why
// listening cannot work as configured. Once it has worked, it is tried for ever:
// the pages and the outbox go on meanwhile. Of all processes on the shop's store one
// listens to a network; the others wait, and take over where it has stopped.
func (b *Bot) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range b.listeners {
		g.Go(func() error { return l.run(ctx) })
	}
	g.Go(func() error { b.keepFollowing(ctx); return nil })
	return g.Wait()
}

// Again has all networks that this process listens to listened to again from the
// stored cursor, and from a while before it: the store may have forgotten what it had
// been told last. What it still knows is not done again. The log tells in figures what
// came of it.
func (b *Bot) Again() {
	for _, l := range b.listeners {
		l.mu.Lock()
		if l.close != nil {
			l.close(errAgain)
		}
		l.mu.Unlock()
	}
}

// A Listening is how listening to one network stands.
type Listening struct {
	Held      bool          // by this process; else it waits for its turn, and the rest is zero
	Connected bool          // what is said now is heard
	Waiting   int           // posts that were heard and not begun with
	Failed    bool          // this process could not listen when it was its turn; the log says why
	Age       time.Duration // of the post that is being dealt with, 0 for none
	Behind    bool          // posts have been waiting for seconds, because the shop does not take them or not fast enough
}

// Listening tells how listening stands, by the networks' names.
func (b *Bot) Listening() map[string]Listening {
	all := map[string]Listening{}
	for _, l := range b.listeners {
		all[l.n.Name()] = l.state()
	}
	return all
}

// A listener listens to one network when it is this process's turn.
type listener struct {
	*Bot
	n Network

	mu       sync.Mutex
	held     bool
	failed   bool                    // the last turn ended by an error
	close    context.CancelCauseFunc // ends what is listened to, nil if nothing is
	inHand   bool                    // a post is being dealt with
	postedAt time.Time               // the date of that post
	busy     time.Time               // since when the post in hand is tried; zero if there is none
	behind   bool                    // the log says so
	failure  error                   // why the post in hand is not dealt with yet
	cursor   string                  // how far posts are dealt with
	missed   int                     // posts found by catching up, until it ends
	fresh    int                     // wishes among them that the shop did not know
	again    bool                    // catching up was asked for
}

func (l *listener) run(ctx context.Context) error {
	began := time.Now()
	for {
		err := l.Shop.Alone(ctx, l.n.Name(), l.hold)
		switch {
		case err == nil || ctx.Err() != nil:
			return nil
		case time.Since(began) < startTime:
			return fmt.Errorf("listen to %s: %w", l.n.Name(), err)
		}
		pause := listenPause
		if errors.Is(err, errDeaf) {
			pause = turnPause
		}
		l.mu.Lock()
		l.failed = true
		l.mu.Unlock()
		l.Log.Error("cannot listen; trying again", "network", l.n.Name(), "wait", pause, "err", err)
		if !sleep(ctx, pause) {
			return nil
		}
	}
}

// hold is this process's turn.
func (l *listener) hold(ctx context.Context) error {
	l.setHeld(true)
	defer l.setHeld(false)
	if !l.followOn(ctx, l.n) { // first, so that the stream opens on what is for sale
		l.Follow()
	}
	for {
		since, ok := l.since(ctx)
		if !ok {
			return nil
		}
		again, err := l.listen(ctx, since)
		if !again {
			return err
		}
		if !sleep(ctx, againPause) {
			return nil
		}
	}
}

// since reads the cursor, as soon as the store tells it.
func (l *listener) since(ctx context.Context) (cursor string, ok bool) {
	for told := false; ; told = true {
		cursor, err := l.Shop.Cursor(ctx, l.n.Name())
		if err == nil {
			return cursor, true
		}
		if !told && ctx.Err() == nil {
			l.Log.Warn("cannot read the cursor; trying again", "network", l.n.Name(), "err", err)
		}
		if !sleep(ctx, tendEvery) {
			return "", false
		}
	}
}

// listen listens from a cursor until ctx ends, or until it is to begin again.
func (l *listener) listen(ctx context.Context, since string) (again bool, err error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	l.begin(since, end)
	var tending sync.WaitGroup
	tending.Go(func() { l.tend(ctx, since) })
	tending.Go(func() {
		connected := time.Now()
		for sleep(ctx, tendEvery/2) {
			l.tellBehind()
			if l.n.Status().Connected {
				connected = time.Now()
				l.works()
			} else if time.Since(connected) > deafTime {
				end(errDeaf)
			}
		}
	})
	err = l.n.Listen(ctx, since, l.heard)
	cause := context.Cause(ctx)
	again = cause == errAgain
	if err == nil && cause == errDeaf {
		err = errDeaf
	}
	end(nil)
	tending.Wait()
	l.end(again)
	if !again {
		l.keep(context.WithoutCancel(ctx), since)
	}
	return again, err
}

func (l *listener) begin(since string, end context.CancelCauseFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close, l.cursor, l.missed, l.fresh = end, since, 0, 0
}

// end forgets what was under way: it will come again.
func (l *listener) end(again bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close, l.again = nil, again
	l.inHand, l.behind, l.busy, l.failure = false, false, time.Time{}, nil
}

// tend keeps the cursor, from time to time.
func (l *listener) tend(ctx context.Context, stored string) {
	failed := false
	for sleep(ctx, tendEvery) {
		kept, err := l.keep(ctx, stored)
		switch {
		case err == nil:
			stored, failed = kept, false
		case !failed && ctx.Err() == nil:
			failed = true
			l.Log.Warn("cannot keep the cursor; trying again", "network", l.n.Name(), "err", err)
		}
	}
}

// keep stores the cursor if it has moved.
func (l *listener) keep(ctx context.Context, stored string) (kept string, err error) {
	l.mu.Lock()
	cursor := l.cursor
	l.mu.Unlock()
	if cursor == stored {
		return stored, nil
	}
	ctx, cancel := context.WithTimeout(ctx, keepTime)
	defer cancel()
	return cursor, l.Shop.SetCursor(ctx, l.n.Name(), cursor)
}

// heard deals with a post that the network hands over.
func (l *listener) heard(ctx context.Context, p Post) error {
	l.mu.Lock()
	l.inHand, l.postedAt = true, p.At
	if l.failure == nil { // else it is the same post again
		l.busy = time.Now()
	}
	l.mu.Unlock()
	var fresh bool
	var err error
	if p.ID != "" {
		fresh, err = l.hear(ctx, l.n, p)
	}
	if err != nil {
		l.mu.Lock()
		l.failure = err
		l.mu.Unlock()
		return err
	}
	l.dealt(p, fresh)
	return nil
}

// dealt takes note of a post that is dealt with for good.
func (l *listener) dealt(p Post, fresh bool) {
	waiting := l.n.Status().Waiting
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inHand, l.failure = false, nil
	if p.Cursor != "" {
		l.cursor = p.Cursor
	}
	if p.Missed {
		l.missed++
		if fresh {
			l.fresh++
		}
	}
	if p.ID == "" {
		if l.missed > 0 || l.again {
			l.Log.Info("caught up", "network", l.n.Name(), "posts", l.missed, "new_wishes", l.fresh)
		}
		l.missed, l.fresh, l.again = 0, 0, false
	}
	l.busy = time.Time{}
	if l.behind && waiting == 0 {
		l.behind = false
		l.Log.Info("no longer behind", "network", l.n.Name())
	}
}

// tellBehind tells the log, once, that posts wait.
func (l *listener) tellBehind() {
	waiting := l.n.Status().Waiting
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.behind && (!l.busy.IsZero() && time.Since(l.busy) > behindAfter || waiting > behindBy) {
		l.behind = true
		l.Log.Warn("behind", "network", l.n.Name(), "waiting", waiting, "since", l.busy, "err", l.failure)
	}
}

// works takes note that this turn goes well.
func (l *listener) works() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = false
}

func (l *listener) setHeld(held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = held
}

func (l *listener) state() Listening {
	status := l.n.Status()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.held {
		return Listening{Failed: l.failed}
	}
	s := Listening{Held: true, Failed: l.failed, Connected: status.Connected, Waiting: status.Waiting, Behind: l.behind}
	if l.inHand && !l.postedAt.IsZero() {
		s.Age = max(l.Now().Sub(l.postedAt), 0)
	}
	return s
}

// sleep waits, and says whether ctx still runs.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Follow says that the catalogue may have changed: the networks are told which
// hashtags to listen for, soon, by the process that listens.
func (b *Bot) Follow() {
	select {
	case b.follow <- struct{}{}:
	default:
	}
}

// What a network does not take is told it again, ever less often.
const followPause, maxFollowPause = 5 * time.Second, 5 * time.Minute

func (b *Bot) keepFollowing(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.follow:
		}
		for pause, ok := followPause, false; !ok; pause = min(2*pause, maxFollowPause) {
			ok = true
			for _, l := range b.listeners {
				if l.state().Held {
					ok = b.followOn(ctx, l.n) && ok
				}
			}
			if !ok && !sleep(ctx, pause) {
				return
			}
		}
	}
}

// followOn tells one network what is for sale.
func (b *Bot) followOn(ctx context.Context, n Network) bool {
	tags := b.Shop.Tags()
	err := n.Follow(ctx, tags)
	if err != nil && ctx.Err() == nil {
		b.Log.Error("cannot follow the hashtags; trying again", "network", n.Name(), "tags", len(tags), "err", err)
	}
	return err == nil
}
