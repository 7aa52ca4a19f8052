package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// How long a failed effect waits: firstDelay after the first try, twice that
// after each further one, at most maxDelay.
const (
	firstDelay = 500 * time.Millisecond
	maxDelay   = 5 * time.Minute
	// maxCrowdDelay bounds the wait of an effect whose kind was at its share: it
	// has not failed, and its turn may come at any moment.
	maxCrowdDelay = 30 * time.Second
)

// An Outbox leases effects that are due and has them performed, at least once
// each. Any number of outboxes, in any number of processes, may work on one Store.
//
// Fill in Store and Do, call Run, one at a time, and Nudge after every commit in this
// process that owes something. The zero values of the other fields are good.
//
// An effect's Try counts how often it was handed out, not how often it was really
// tried: a crash, a lease that ran out and a kind at its share count too. So give
// up by deadline, never by Try. The back-off counts what failed, and what nobody told
// of; where that is less than Try the note ends in "[failed 3 of 17]", so that every
// outbox knows.
type Outbox struct {
	Store Store

	// Do performs the effect and settles it in a commit of its own, together with
	// what came of it. If it returns an error the effect is put off: until the
	// time told by a [Later] in the error's chain, else by exponential back-off
	// with jitter. The error's text becomes the note, so it holds no secret and
	// no address. If it returns nil without having settled, the effect is handed
	// out again when the lease runs out. A panic is put off like an error.
	//
	// The context ends shortly before the lease does; Do must then return.
	Do func(ctx context.Context, l Lease) error

	Now func() time.Time // the clock that effects are due by; time.Now
	// Log has a line per effect: debug when done or told to come later, warn when put off.
	// Of those that were told to come later it has an info line a minute with their number.
	// slog.Default.
	Log *slog.Logger

	// Group names the kinds that share one Share, because they wait for the same
	// service: each kind of a group has the group's name. Each kind for itself.
	Group func(kind string) string

	Workers  int            // effects performed at once; 32
	Share    int            // of them at most for one group of kinds, so that a slow one cannot hold up the others; three quarters of Workers. Others of it wait in hand
	LeaseFor time.Duration  // how long one try may take; a minute
	Poll     time.Duration  // how often to look for what fell due without a nudge; a second
	Grace    time.Duration  // how long Run lets what is under way go on when it is to end; 10 seconds
	Rand     func() float64 // jitter, in [0,1); math/rand/v2's
	Go       func(func())   // begins to perform an effect beside the others; a goroutine that has performed one before, or a new one

	once  sync.Once
	nudge chan struct{} // holds one when somebody nudged
	slots chan struct{} // holds one for each worker that is taken
	all   sync.WaitGroup

	resting chan func()   // read by goroutines that have nothing to perform
	over    chan struct{} // of this Run, closed when it ends, for these

	drained chan struct{} // holds one when a group has no more waiting than its share any more

	mu       sync.Mutex
	inFlight int                  // effects in hand: waiting, being performed or put off
	busy     map[string]int       // effects being performed, by group
	waiting  map[string][]Lease   // effects in hand whose group is at its share
	moved    map[string]time.Time // when an effect of a group came out of hand last
	pending  map[pendingKey]pending
	round    int64         // calls of Lease so far
	idle     int64         // the last round that found nothing due while nothing was in flight
	later    int           // effects that a Later put off since the log was told
	toldOf   time.Time     // when that was
	news     chan struct{} // closed and renewed when idle has moved or inFlight fell to 0
}

// A Later is an error of Do that says when to try again: after a rate limit, or
// when a deadline has moved.
type Later struct {
	At  time.Time
	Err error
}

func (e *Later) Error() string { return fmt.Sprintf("later: %v", e.Err) }
func (e *Later) Unwrap() error { return e.Err }

// init makes the zero value usable, whichever method is called first.
func (o *Outbox) init() {
	o.once.Do(func() {
		if o.Now == nil {
			o.Now = time.Now
		}
		if o.Log == nil {
			o.Log = slog.Default()
		}
		if o.Rand == nil {
			o.Rand = rand.Float64
		}
		if o.Go == nil {
			o.Go = o.begin
		}
		if o.Group == nil {
			o.Group = func(kind string) string { return kind }
		}
		o.Workers = max(cmp.Or(o.Workers, 32), 1)
		o.Share = min(max(cmp.Or(o.Share, o.Workers*3/4), 1), o.Workers)
		o.LeaseFor = cmp.Or(o.LeaseFor, time.Minute)
		o.Poll = cmp.Or(o.Poll, time.Second)
		o.Grace = cmp.Or(o.Grace, 10*time.Second)
		o.nudge = make(chan struct{}, 1)
		o.slots = make(chan struct{}, o.Workers)
		o.busy = map[string]int{}
		o.waiting = map[string][]Lease{}
		o.moved = map[string]time.Time{}
		o.resting = make(chan func())
		o.drained = make(chan struct{}, 1)
		o.pending = map[pendingKey]pending{}
		o.news = make(chan struct{})
	})
}

// Nudge has the outbox look at once for what is due. It never blocks, and any
// number of nudges are as good as one.
func (o *Outbox) Nudge() {
	o.init()
	select {
	case o.nudge <- struct{}{}:
	default:
	}
}

// InFlight is the number of effects that are in hand: being performed or put off, or
// waiting because their group is at its share.
func (o *Outbox) InFlight() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.inFlight
}

// WaitIdle returns when the outbox, asked anew, has found nothing due while
// nothing was in flight; effects that are due later do not count. Run must be
// running. The error is the context's.
func (o *Outbox) WaitIdle(ctx context.Context) error {
	o.init()
	o.mu.Lock()
	asked := o.round
	for o.idle <= asked {
		news := o.news
		o.mu.Unlock()
		o.Nudge()
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
		o.mu.Lock()
	}
	o.mu.Unlock()
	return nil
}

// Run leases and performs until ctx is done. It then leases no more, lets what is
// under way go on for Grace, cuts it off, and returns nil when all of it has
// ended. It returns an error at once if the Store was closed.
func (o *Outbox) Run(ctx context.Context) error {
	o.init()
	work, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer cutOff()
	o.over = make(chan struct{})
	defer close(o.over)
	err := o.leaseUntil(ctx, work)
	grace := time.AfterFunc(o.Grace, cutOff)
	defer grace.Stop()
	o.all.Wait()
	return err
}

// begin is what Go does by itself. A goroutine stays for further effects, to the end of
// Run: its stack has grown to what one needs, which took a twentieth of the time of a
// purchase when each effect had a goroutine of its own (hashtill bench buy).
func (o *Outbox) begin(do func()) {
	select {
	case o.resting <- do:
		return
	default:
	}
	over := o.over
	if over == nil { // nobody runs it, but for a Turn
		go do()
		return
	}
	go func() {
		for {
			do()
			do = nil // what it holds is done with
			select {
			case do = <-o.resting:
			case <-over:
				return
			}
		}
	}()
}

// Turn is one round of Run, for who brings the time itself, such as a simulation: it
// leases what is due for the workers that are free, and has it begun. found says how many
// effects there were.
func (o *Outbox) Turn(ctx context.Context) (found int, err error) {
	o.init()
	free := 0
	for free < o.Workers {
		select {
		case o.slots <- struct{}{}:
			free++
			continue
		default:
		}
		break
	}
	if free == 0 {
		return 0, nil
	}
	return o.leaseRound(ctx, ctx, free)
}

// leaseUntil is the loop. What it starts runs under work, which outlives ctx.
func (o *Outbox) leaseUntil(ctx, work context.Context) error {
	failures := int64(0)
	for {
		o.hold(ctx)
		free := o.takeWorkers(ctx)
		if free == 0 {
			return nil
		}
		found, err := o.leaseRound(ctx, work, free)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrClosed):
			return fmt.Errorf("outbox: %w", err)
		case err != nil:
			failures++
			o.Log.Warn("cannot lease effects", "err", err, "failures", failures)
			// No nudge shortens this: the store that does not answer is the same.
			pause(ctx, nil, min(o.delay(failures), 10*o.Poll))
			continue
		}
		failures = 0
		if found == 0 {
			pause(ctx, o.nudge, o.Poll)
		}
	}
}

// pause waits until ctx is done, the time is over, or somebody nudges.
func pause(ctx context.Context, nudge <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-nudge:
	}
}

// takeWorkers waits for a free worker and takes all there are. It returns 0 when
// ctx is done. Nothing is ever leased that must then wait for one, but for what its
// group's share keeps waiting.
func (o *Outbox) takeWorkers(ctx context.Context) int {
	select {
	case <-ctx.Done():
		return 0
	case o.slots <- struct{}{}:
	}
	for taken := 1; ; taken++ {
		select {
		case o.slots <- struct{}{}:
		default:
			return taken
		}
	}
}

// leaseRound leases once for that many workers and starts them.
func (o *Outbox) leaseRound(ctx, work context.Context, workers int) (found int, err error) {
	o.mu.Lock()
	o.round++
	quiet := o.inFlight == 0 // and so it stays: only this loop starts anything
	o.mu.Unlock()

	now := o.Now()
	o.tellLater(now)
	leases, err := o.Store.Lease(ctx, now, now.Add(o.LeaseFor), workers)
	for range workers - len(leases) {
		<-o.slots
	}
	for _, l := range leases {
		o.start(work, l)
	}
	if err == nil && len(leases) == 0 && quiet {
		o.mu.Lock()
		o.idle = o.round
		o.tell()
		o.mu.Unlock()
	}
	return len(leases), err
}

// laterPause is the least time between two lines about effects that come later: ten
// thousand of them may.
const laterPause = time.Minute

// tellLater tells the log how many effects were told to come later since it was told last.
func (o *Outbox) tellLater(now time.Time) {
	o.mu.Lock()
	n, since := o.later, now.Sub(o.toldOf)
	tell := n > 0 && (since < 0 || since >= laterPause)
	if tell {
		o.later, o.toldOf = 0, now
	}
	o.mu.Unlock()
	if tell {
		o.Log.Info("effects were told to come later", "effects", n)
	}
}

// tell wakes all who wait for news; o.mu is held.
func (o *Outbox) tell() {
	close(o.news)
	o.news = make(chan struct{})
}

// start gives a worker, taken already, its effect. An effect whose group has all the
// workers that it may have waits in hand for one of them, which costs the store nothing:
// when all that was crowded out was put off in the store, it came back half a second
// later at best, and a burst of one kind had a shop with nothing else to do stand still
// (hashtill bench buy went from 0.06 to 0.2 of what the store's bare commits allow). It
// is given back where as many are waiting already, behind a service that has not answered
// for a while.
func (o *Outbox) start(work context.Context, l Lease) {
	group := o.Group(l.Kind)
	o.mu.Lock()
	o.inFlight++
	o.leased(l)
	crowded := o.busy[group] >= o.Share
	if crowded && (len(o.waiting[group]) < o.Share || o.moves(group)) {
		o.waiting[group] = append(o.waiting[group], l)
		o.mu.Unlock()
		<-o.slots
		return
	}
	if !crowded {
		o.busy[group]++
	}
	o.mu.Unlock()
	o.all.Add(1)
	o.Go(func() {
		defer o.all.Done()
		if crowded {
			defer o.end(group, crowded)
			o.stepBack(work, l)
			return
		}
		o.performAll(work, group, l)
	})
}

// movesWithin is how long ago an effect of a group may have ended for it to be worth a wait.
const movesWithin = 100 * time.Millisecond

// moves says that effects of a group are being done; o.mu is held.
func (o *Outbox) moves(group string) bool {
	at, ever := o.moved[group]
	return ever && o.Now().Sub(at) < movesWithin
}

// hold waits while more wait in hand than their group's share, as long as they are being
// done: what is leased next is probably more of them. Behind a slow service it waits no
// longer than movesWithin.
func (o *Outbox) hold(ctx context.Context) {
	for {
		o.mu.Lock()
		full := false
		for group, waiting := range o.waiting {
			full = full || len(waiting) > o.Share && o.moves(group)
		}
		o.mu.Unlock()
		if !full || ctx.Err() != nil {
			return
		}
		pause(ctx, o.drained, movesWithin)
	}
}

// performAll performs an effect, and what of its group has waited meanwhile.
func (o *Outbox) performAll(work context.Context, group string, l Lease) {
	o.perform(work, l)
	for next, more := o.end(group, false); more; next, more = o.end(group, false) {
		if next.Until.Sub(o.Now()) < o.LeaseFor/2 {
			o.stepBack(work, next) // it has waited for too long to be given the time it may need
		} else {
			o.perform(work, next)
		}
	}
}

// end takes an effect out of hand. If another of its group waits, the worker goes on with
// that. Else it gives the worker back, last of all: whoever takes it next must not find
// this effect still counted.
func (o *Outbox) end(group string, crowded bool) (next Lease, more bool) {
	o.mu.Lock()
	if o.inFlight--; o.inFlight == 0 {
		o.tell()
	}
	if !crowded {
		o.moved[group] = o.Now()
	}
	if waiting := o.waiting[group]; !crowded && len(waiting) > 0 {
		next, more = waiting[0], true
		if o.waiting[group] = waiting[1:]; len(waiting) == 1 {
			delete(o.waiting, group)
		}
		if len(waiting)-1 == o.Share {
			select {
			case o.drained <- struct{}{}:
			default:
			}
		}
		o.mu.Unlock()
		return next, more
	}
	if !crowded {
		o.busy[group]--
		if o.busy[group] == 0 {
			delete(o.busy, group)
		}
	}
	o.mu.Unlock()
	<-o.slots
	return next, false
}

// margin is kept between the end of Do's context and the end of the lease, for
// the put-off.
func (o *Outbox) margin() time.Duration { return min(o.LeaseFor/4, 5*time.Second) }

var errTooLate = errors.New("the lease came too late to begin")

func (o *Outbox) perform(work context.Context, l Lease) {
	err := errTooLate
	if left := l.Until.Sub(o.Now()) - o.margin(); left > 0 {
		ctx, cancel := context.WithTimeout(work, left)
		err = o.call(ctx, l)
		cancel()
	}
	if err == nil {
		o.ended(l, time.Time{})
		if o.Log.Enabled(work, slog.LevelDebug) {
			o.logOf(l).Debug("effect done")
		}
		return
	}
	log := o.logOf(l)
	now := o.Now()
	_, failed := unmark(l)
	var due time.Time
	level := slog.LevelWarn
	var later *Later
	if errors.As(err, &later) && later.At.After(now) {
		due, level = later.At, slog.LevelDebug
		o.mu.Lock()
		o.later++
		o.mu.Unlock()
	} else {
		failed++
		due = now.Add(o.delay(failed))
	}
	log.Log(work, level, "effect put off", "err", err, "due", due)
	o.putOff(work, log, l, due, mark(err.Error(), failed, l.Try))
}

// logOf is the log with the names of an effect. It is made when there is a line to write.
func (o *Outbox) logOf(l Lease) *slog.Logger {
	return o.Log.With("effect", l.ID, "kind", l.Kind, "try", l.Try, "shard", l.Shard)
}

// call calls Do and turns a panic into an error.
func (o *Outbox) call(ctx context.Context, l Lease) (err error) {
	defer func() {
		if p := recover(); p != nil {
			o.logOf(l).Error("panic in an effect", "panic", p, "stack", string(debug.Stack()))
			err = errors.New("panic: see the log")
		}
	}()
	return o.Do(ctx, l)
}

// stepBack puts off an effect whose group has all the workers that it may have, so
// that this worker is free for another group. The note of its last failure stays.
func (o *Outbox) stepBack(work context.Context, l Lease) {
	log := o.logOf(l)
	due := o.Now().Add(min(o.delay(l.Try), maxCrowdDelay))
	log.Debug("effect put off: its kind is at its share of workers", "due", due)
	text, failed := unmark(l)
	o.putOff(work, log, l, due, mark(text, failed, l.Try))
}

// putOff gives the effect back. It may go on when work has been cut off: the
// margin bounds it. If it fails the lease just runs out.
func (o *Outbox) putOff(work context.Context, log *slog.Logger, l Lease, due time.Time, note string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(work), o.margin())
	defer cancel()
	err := o.Store.Commit(ctx, Change{Shard: l.Shard, PutOff: []PutOff{{ID: l.ID, Try: l.Try, Due: due, Note: note}}})
	switch {
	case err == nil:
		o.ended(l, due)
	case errors.Is(err, ErrStale): // settled, or another try's by now: nothing to give back
		o.ended(l, time.Time{})
		log.Debug("effect is no longer held")
	default:
		log.Warn("cannot put the effect off: its lease runs out instead", "err", err)
	}
}

// delay is the back-off after that many tries: between half of a power of two and
// the whole, so that what failed together does not come back together.
func (o *Outbox) delay(tries int64) time.Duration {
	d := maxDelay
	if doublings := tries - 1; doublings < 10 { // 2¹⁰ times half a second is more than the maximum
		d = min(firstDelay<<max(doublings, 0), maxDelay)
	}
	return d/2 + time.Duration(o.Rand()*float64(d/2))
}

// mark makes a note of an error's text, and of how many of the tries failed, unless all
// of them did.
func mark(text string, failed, tries int64) string {
	if failed >= tries {
		return cut(text, MaxNote)
	}
	m := fmt.Sprintf(markFormat, failed, tries)
	return strings.TrimPrefix(cut(text, MaxNote-len(m))+m, " ")
}

const markFormat = " [failed %d of %d]"

// unmark returns the text of a lease's note, and how often the effect has failed before
// this try. Whoever did not come to tell has failed.
func unmark(l Lease) (text string, failed int64) {
	before := l.Try - 1
	at := strings.LastIndex(" "+l.Note, " [failed ")
	if at < 0 {
		return l.Note, before
	}
	var tries int64
	text, m := strings.TrimSuffix(l.Note[:at], " "), " "+l.Note[at:]
	_, err := fmt.Sscanf(m, markFormat, &failed, &tries)
	if err != nil || m != fmt.Sprintf(markFormat, failed, tries) || failed < 0 || failed > tries || tries > before {
		return l.Note, before
	}
	return text, failed + before - tries
}

// cut makes valid UTF-8 of at most that many bytes of a text.
func cut(text string, most int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= most {
		return text
	}
	end := most
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
