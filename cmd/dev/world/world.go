// Package world plays a whole shop against a world that tries to break its promises:
// buyers, strangers, merchants and an operator, a network, mail, Stripe, a store and one or two
// processes of ours, with faults of every kind between any two steps.
//
// # How it plays
//
// All that happens is drawn from a seed, so that the same seed is the same world, to the
// byte of its trace. One thing happens at a time: what is under way at the same time is a
// set of coroutines that give way to each other wherever ours waits for somebody else (the
// store, the network, Stripe, a mail server), for as long as the seed says. The clock is
// virtual, and a heap of events is the time to come. So each read may be out of date when
// the decision made of it is committed, and a process may die between any two steps.
//
// What is ours is the real thing: [offers.Shop], [store.Outbox], [bot.Bot],
// [confirm.Counter] with its pages, [confirm.Reconciler], and the store. What is not ours
// is played here, to the letter of the interfaces [bot.Network], [confirm.Till] and
// [confirm.Mailer].
//
// # What is held
//
// The world knows what everybody has really done. It judges every deed at the moment it
// is done, and everything once more when the faults are over and an hour has passed; see
// judge.go.
package world

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"hashtill/offers"
	"hashtill/store"
)

// Options of a world.
type Options struct {
	Seed      uint64
	Purchases int      // how many are wished for; 0: 20
	Weather   []string // the kinds that may come, of those that [Weather] names; nil: all
	Trace     bool     // keep what happens, line by line

	// Store opens an empty store; the memory one where it is nil. Weather that only a
	// store in memory can have does not come then.
	Store func() (store.Store, error)
}

// A Report is what became of a world.
type Report struct {
	Seed       uint64
	Violations []string
	Trace      []string
	Counts     map[string]int // of weather and of how purchases have ended, by its name
}

const defaultPurchases = 20

// So many violations end a world early.
const maxViolations = 5

// The times of a world: people act for the first part of it, and the faults end with
// that. An hour later all is judged.
const (
	busyTime  = 75 * time.Minute
	quietTime = time.Hour
)

// times are the windows of its purchases: what waits longest is over within quietTime.
var times = offers.Times{Answer: 25 * time.Minute, Echo: 15 * time.Minute, Link: 15 * time.Minute, Invite: 40 * time.Minute, Wait: 70 * time.Minute, Keep: 400 * 24 * time.Hour}

var epoch = time.Date(2026, 5, 1, 20, 0, 0, 0, time.UTC)

type world struct {
	Options
	loop
	sky
	ctx    context.Context
	base   store.Store // without any fault
	wares  []*ware
	people []*person
	wants  []*want
	byPost map[string]*want
	byID   map[offers.ID]*want
	heard  map[string]time.Time // when a post was first handed to us, by its id
	procs  []*process
	net    *network
	stripe *stripe
	post   *post
	times  offers.Times
	stock  map[string]int64  // units out, by key, as they were committed
	skew   time.Duration     // the most that a clock of ours was ever wrong
	stalls time.Duration     // the longest that a step of ours was held up
	serves map[string]string // the effects owed that serve a line: whose, by their id
	joins  int               // how often somebody joined a line
	halt   halting
	fell   bool // the store has forgotten commits
	healed bool

	counts map[string]int
	trace  []string
	wrong  []string
}

// Run plays one world to its end.
func Run(o Options) (r Report) {
	o.Purchases = cmp.Or(o.Purchases, defaultPurchases)
	w := &world{
		Options: o, ctx: context.Background(), times: times,
		byPost: map[string]*want{}, byID: map[offers.ID]*want{}, heard: map[string]time.Time{}, serves: map[string]string{}, stock: map[string]int64{}, counts: map[string]int{},
	}
	w.loop.now = epoch
	w.loop.panicked = func(p any) { w.violated("panic: %v\n%s", p, debug.Stack()) }
	defer func() {
		if p := recover(); p != nil {
			w.violated("panic: %v\n%s", p, debug.Stack())
		}
		r = Report{Seed: o.Seed, Violations: w.wrong, Trace: w.trace, Counts: w.counts}
	}()
	defer w.loop.end()
	if err := w.begin(); err != nil {
		w.violated("%v", err)
		return
	}
	defer w.base.Close()
	w.runUntil(epoch.Add(busyTime))
	w.heal()
	w.runUntil(epoch.Add(busyTime + quietTime))
	if len(w.wrong) == 0 {
		w.judge()
	}
	return
}

// runUntil lets happen what happens until then, unless it has gone wrong already.
func (w *world) runUntil(end time.Time) {
	for len(w.wrong) < maxViolations && w.step(end) {
	}
	w.now = end
}

// begin makes the world.
func (w *world) begin() (err error) {
	w.look(w.Seed, w.Weather, w.Store == nil)
	w.base = store.NewMemory()
	if w.Store != nil {
		if w.base, err = w.Store(); err != nil {
			return err
		}
	}
	w.net, w.stripe, w.post = newNetwork(w), newStripe(w), &post{world: w}
	dice := w.dice("people")
	if w.fair("grace", dice, 4) {
		w.times.Grace = 20 * time.Second
	}
	if err := w.makeWares(dice); err != nil {
		return err
	}
	if err := w.makePeople(dice); err != nil {
		return err
	}
	w.procs = []*process{{world: w, name: "a"}}
	if w.fair("two processes", dice, 2) {
		w.procs = append(w.procs, &process{world: w, name: "b"})
	}
	for _, p := range w.procs {
		if err := p.start(); err != nil {
			return err
		}
	}
	w.net.takeOver()
	w.makeWishes()
	w.brew()
	return nil
}

// heal ends all weather: what is to come goes well, and nobody does anything more.
func (w *world) heal() {
	w.notes("all is well")
	w.healed = true
	for _, p := range w.procs {
		p.skew, p.awayUntil = 0, time.Time{}
		if p.life == nil || p.life.dead {
			if err := p.start(); err != nil {
				w.violated("%v", err)
			}
		}
		p.life.frozen = time.Time{}
		if p.life.open {
			p.life.wake(0)
		}
	}
	w.net.takeOver()
	// Somebody looks at the books, as serve does each hour.
	w.after(10*time.Minute, nil, w.books)
}

func (w *world) notes(format string, args ...any) {
	if w.Trace {
		w.trace = append(w.trace, w.now.Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	}
}

func (w *world) violated(format string, args ...any) {
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
	w.notes("VIOLATION: "+format, args...)
}

// happens counts weather that has come.
func (w *world) happens(kind, of string) {
	w.counts[kind]++
	w.notes("%s: %s", kind, of)
}

// between draws a time.
func between(dice *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(dice.Int64N(int64(most-least)+1))
}

func pick[T any](dice *rand.Rand, of []T) T { return of[dice.IntN(len(of))] }

// Endings are the names under which a Report counts what became of purchases.
var Endings = []string{"wishes", "purchases", "charges", "paid", "declined", "expired", "cancelled", "refused", "refunded"}

var quiet = slog.New(slog.DiscardHandler)

// Missing are the kinds of weather that have not come, by the counts of many worlds.
func Missing(counts map[string]int, inMemory bool) (kinds []string) {
	for _, k := range weather {
		if counts[k.name] == 0 && (inMemory || !k.memoryOnly) {
			kinds = append(kinds, k.name)
		}
	}
	slices.Sort(kinds)
	return kinds
}
