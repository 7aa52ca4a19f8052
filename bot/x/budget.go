package x

import (
	"errors"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"hashtill/bot"
)

// What an account may say until X's headers tell otherwise: 100 posts in 15 minutes,
// and 10,000 a day for all accounts of the app
// (https://docs.x.com/x-api/fundamentals/rate-limits); 300 in 3 hours by the classic
// API.
const (
	postsPerQuarter = 100
	quarter         = 15 * time.Minute
	postsPerAppDay  = 10000
	day             = 24 * time.Hour
	classicPosts    = 300
	classicWindow   = 3 * time.Hour
)

const (
	// resetSlack is kept after the end of a window: X tells it in whole seconds.
	resetSlack = time.Second
	// sameReset is how far two tellings of one reset may lie apart.
	sameReset = 2 * time.Second
	// expectFor is how long a reply that was announced is waited for before it loses its
	// place: it may be made by another process, or not be needed any more.
	expectFor = time.Minute
	// comeFor is the same for one that was told to come again, from when it was told: many
	// may come at once.
	comeFor = quarter
	// countPause is between two tries to count what was said today.
	countPause = time.Minute
)

// A budget says what the account may still say. It is asked before each request, so
// that X need not refuse any.
//
// # Windows
//
// X counts per window, and tells in the headers of each answer how many requests are
// left, and until when. What it tells wins over what was assumed. Between two answers
// the budget counts for itself; what X has counted beyond that was said by others
// with the same account. So processes that share an account learn of each other with
// each answer; in between they may together say more than there is left, and X then
// refuses what is too much, which empties the budget until its reset.
//
// # The day
//
// For the replies of a day, of which X says nothing, the budget counts the last 24
// hours: at the start the account's own timeline tells ([Network] reads it, Classic
// begins at 0), from then on what is said here, and by others as far as the windows
// show it.
//
// # Who is served
//
// Wishes are answered in the order in which they were announced. Answers to commands
// have a fifth of each limit at most, and thanks are said only while more than half
// is left beside what is waited for. So are posts that answer nobody, which do not count
// among the replies of a day.
type budget struct {
	now func() time.Time
	log *slog.Logger

	opening sync.Mutex // held during the first request, which tells how much is left
	open    atomic.Bool

	counting sync.Mutex // held while the timeline is read
	counted  bool       // under counting
	countAt  time.Time  // the next try; under counting

	mu       sync.Mutex
	windows  []*window
	perDay   int // replies; 0: no limit
	said     []saying
	inFlight int
	blocked  time.Time // X has refused until then
	words    int       // answers to commands in the first of the windows
	waiting  []awaited // wishes whose answer is to be said, in their order
	told     fullness  // what the log was told
}

// A window is one of X's limits: so many requests in a span that begins with the
// first of them.
type window struct {
	header string // its name in the headers
	limit  int    // 0: none is known
	span   time.Duration
	left   int
	reset  time.Time // zero: nothing was said in it yet
	heard  bool      // reset is X's
	whole  bool      // we have counted since it began
	least  int       // the fewest that X has told to be left
}

// A saying is one reply of the last day.
type saying struct {
	at   time.Time
	word bool // an answer to a command
}

// awaited is a wish whose answer is to be said.
type awaited struct {
	post  string
	until time.Time // it keeps its place
	waits bool      // it was told to come again; others may yet go by mail
}

type fullness int

const (
	ample fullness = iota
	low            // a fifth is left
	spent
)

func newBudget(cfg Config, log *slog.Logger, limit int, span time.Duration) *budget {
	b := &budget{now: cfg.Now, log: log, perDay: cfg.RepliesPerDay, windows: []*window{
		{header: "x-rate-limit", limit: limit, span: span},
		{header: "x-user-limit-24hour", span: day},
		{header: "x-app-limit-24hour", limit: postsPerAppDay, span: day},
	}}
	for _, w := range b.windows {
		w.left, w.least = w.limit, math.MaxInt
	}
	return b
}

// expect gives a wish its place among those to be answered. undo takes it back.
func (b *budget) expect(post string) (undo func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if slices.ContainsFunc(b.waiting, func(a awaited) bool { return a.post == post }) {
		return func() {}
	}
	b.waiting = append(b.waiting, awaited{post: post, until: b.now().Add(expectFor)})
	return func() { b.forget(post) }
}

// forget takes a wish off the list: it is answered, or never will be.
func (b *budget) forget(post string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(post)
}

func (b *budget) drop(post string) {
	b.waiting = slices.DeleteFunc(b.waiting, func(a awaited) bool { return a.post == post })
}

// unsent says that nothing was sent for a reply in this process since it was announced,
// or looked for: there is no need to look. Should another process have said it since,
// X refuses the same words.
func (b *budget) unsent(r bot.Reply) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return r.For == bot.ForWish && slices.ContainsFunc(b.waiting, func(a awaited) bool { return a.post == r.To })
}

// first lets the very first request be alone: its answer tells what others have left.
func (b *budget) first() (done func()) {
	b.opening.Lock()
	if b.open.Load() {
		b.opening.Unlock()
		return func() {}
	}
	return b.opening.Unlock
}

// take takes one request out of the budget, for a reply that answered must then be
// told of. Where there is none for it, the error says when there will be; a reply that
// is of no use by then loses its place.
func (b *budget) take(r bot.Reply) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.roll(now)
	if at, why := b.refuse(r, now); why != "" {
		return b.later(r, at, why)
	}
	b.drop(r.To)
	b.inFlight++
	for _, w := range b.windows {
		w.left-- // of one that is not known it does not matter
		if w.reset.IsZero() {
			w.reset = now.Add(w.span + resetSlack)
		}
	}
	if r.For == bot.ForCommand {
		b.words++
	}
	if b.perDay > 0 && r.To != "" {
		b.said = append(b.said, saying{now, r.For == bot.ForCommand})
	}
	b.tell()
	return nil
}

// later notes that a reply must wait. The lock is held.
func (b *budget) later(r bot.Reply, at time.Time, why string) error {
	switch i := slices.IndexFunc(b.waiting, func(a awaited) bool { return a.post == r.To }); {
	case r.For != bot.ForWish:
	case !r.By.IsZero() && at.After(r.By):
		b.drop(r.To)
	case i >= 0:
		b.waiting[i].until, b.waiting[i].waits = at.Add(comeFor), true
	default: // it keeps the place that its number gives it
		i, _ := slices.BinarySearchFunc(b.waiting, r.To, func(a awaited, post string) int { return compareIDs(a.post, post) })
		b.waiting = slices.Insert(b.waiting, i, awaited{r.To, at.Add(comeFor), true})
	}
	return &bot.LaterError{At: at, Why: why}
}

// keepPlace is err, the outcome of a request that was taken. A wish that X makes wait
// keeps its place among those to be answered.
func (b *budget) keepPlace(r bot.Reply, err error) error {
	if later := (*bot.LaterError)(nil); errors.As(err, &later) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.later(r, later.At, later.Why)
	}
	return err
}

// refuse says why a reply cannot be said now, and when it can; why is "" if it can.
// The lock is held.
func (b *budget) refuse(r bot.Reply, now time.Time) (at time.Time, why string) {
	wait := func(until time.Time, because string) {
		if until.After(at) {
			at, why = until, because
		}
	}
	if now.Before(b.blocked) {
		wait(b.blocked, "X has refused more until then")
	}
	ahead, waits := 0, 0
	if r.For == bot.ForWish {
		ahead, waits = b.ahead(r.To)
	}
	for i, w := range b.windows {
		if w.limit == 0 {
			continue
		}
		reset := w.reset
		if reset.IsZero() {
			reset = now.Add(w.span)
		}
		switch {
		case w.left <= ahead:
			wait(reset.Add(time.Duration(max(waits-w.left, 0)/w.limit)*w.span), "the budget for posts is spent: "+w.header)
		case r.For == bot.ForCommand && i == 0 && b.words >= share(w.limit):
			wait(reset, "the rest of the budget for posts is kept for wishes")
		case r.For == bot.ForThanks && (w.left-len(b.waiting))*2 <= w.limit:
			wait(reset, "the budget for posts is low")
		}
	}
	if b.perDay > 0 && r.To != "" {
		words := 0
		for _, s := range b.said {
			if s.word {
				words++
			}
		}
		left := b.perDay - len(b.said)
		switch {
		case left <= ahead:
			// The place of each reply is free a day after it was said.
			n := max(waits-left, 0)
			free := now
			if len(b.said) > 0 {
				free = b.said[n%len(b.said)].at
			}
			wait(free.Add(time.Duration(1+n/b.perDay)*day), "the replies of a day are spent")
		case r.For == bot.ForCommand && words >= share(b.perDay):
			wait(b.said[0].at.Add(day), "the rest of the replies of a day is kept for wishes")
		case r.For == bot.ForThanks && (left-len(b.waiting))*2 <= b.perDay:
			wait(now.Add(time.Hour), "the replies of a day are low")
		}
	}
	return at, why
}

// share is what answers to commands may have of a limit.
func share(limit int) int { return max(limit/5, 1) }

// ahead is how many wishes are to be answered before that in a post, and how many of
// them were told to come again. A wish that was not announced here has the place that its
// number gives it. The lock is held.
func (b *budget) ahead(post string) (all, waits int) {
	end := slices.IndexFunc(b.waiting, func(a awaited) bool { return a.post == post })
	for i, a := range b.waiting {
		if i == end {
			break
		}
		if end >= 0 || compareIDs(a.post, post) < 0 {
			all++
			if a.waits {
				waits++
			}
		}
	}
	return all, waits
}

// roll begins windows anew whose time is over. The lock is held.
func (b *budget) roll(now time.Time) {
	for i, w := range b.windows {
		// A reset that lies too far ahead is of a clock that was put back since.
		if w.reset.IsZero() || now.Before(w.reset) && w.reset.Sub(now) <= w.span+time.Minute {
			continue
		}
		w.whole = w.heard
		w.reset, w.heard, w.left, w.least = time.Time{}, false, max(w.limit-b.inFlight, 0), math.MaxInt
		if i == 0 {
			b.words = 0
		}
	}
	if !now.Before(b.blocked) || b.blocked.Sub(now) > day+time.Minute {
		b.blocked = time.Time{}
	}
	b.said = slices.DeleteFunc(b.said, func(s saying) bool { return now.Sub(s.at) >= day })
	b.waiting = slices.DeleteFunc(b.waiting, func(a awaited) bool { return now.After(a.until) })
	b.tell()
}

// answered gives account of a request that was taken, by the headers of its answer,
// nil where none has come. skew is how far our clock is ahead of X's; refused is when X
// takes more again, if it has refused for the limit. unsent says that X never heard
// of it.
func (b *budget) answered(h http.Header, skew time.Duration, refused time.Time, unsent bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open.Store(true)
	now := b.now()
	b.inFlight--
	others := 0
	for i, w := range b.windows {
		if unsent {
			w.left++
		} else if n := w.hear(h, skew, now, b.inFlight); i == 0 {
			others = n
		}
	}
	if b.perDay > 0 {
		if unsent && len(b.said) > 0 {
			b.said = b.said[:len(b.said)-1]
		}
		for range others {
			b.said = append(b.said, saying{at: now})
		}
	}
	if refused.After(b.blocked) {
		b.blocked = refused
	}
	b.tell()
}

// hear corrects a window by the headers of an answer, and returns how much of it
// others have turned out to have used since the answer before.
func (w *window) hear(h http.Header, skew time.Duration, now time.Time, inFlight int) (others int) {
	number := func(name string) (int64, bool) {
		n, err := strconv.ParseInt(h.Get(w.header+name), 10, 64)
		return n, err == nil && n >= 0
	}
	left, ok := number("-remaining")
	reset, okReset := number("-reset")
	if !ok || !okReset || left > math.MaxInt32 {
		return 0
	}
	at := time.Unix(reset, 0).Add(skew + resetSlack)
	if !at.After(now) || w.heard && w.reset.Sub(at) > sameReset {
		return 0 // of a window that is over
	}
	counted := w.whole
	if w.heard {
		counted = at.Sub(w.reset) <= sameReset
		if !counted { // a new window, before we thought so
			w.least = math.MaxInt
		}
	}
	w.reset, w.heard = at, true
	if limit, ok := number("-limit"); ok && limit > 0 && limit <= math.MaxInt32 {
		if w.limit == 0 {
			w.left = int(left)
		}
		w.limit = int(limit)
	}
	remaining := int(left)
	if remaining > w.least {
		return 0 // a later answer was faster
	}
	w.least = remaining
	// X may have counted what is in flight, or not yet.
	before := w.left
	w.left = max(min(max(w.left, remaining-inFlight), remaining), 0)
	if !counted {
		return 0 // what was used before we began to count
	}
	return max(before-w.left, 0)
}

// tell writes to the log how much is left, once for each change. The lock is held.
func (b *budget) tell() {
	state, which, left, limit := ample, "", 0, 0
	note := func(name string, of, most int) {
		s := ample
		switch {
		case of <= 0:
			s = spent
		case of*5 <= most:
			s = low
		}
		if s > state {
			state, which, left, limit = s, name, of, most
		}
	}
	for _, w := range b.windows {
		if w.limit > 0 {
			note(w.header, w.left, w.limit)
		}
	}
	if b.perDay > 0 {
		note("replies of a day", b.perDay-len(b.said), b.perDay)
	}
	if !b.blocked.IsZero() {
		state, which = spent, "refused by X"
	}
	switch {
	case state == ample && b.told != ample:
		b.log.Info("there is a budget for public replies again")
		b.told = ample
	case state > b.told && state == low:
		b.log.Warn("the budget for public replies is nearly spent", "limit", which, "left", left, "of", limit)
		b.told = low
	case state > b.told:
		b.log.Warn("the budget for public replies is spent: codes go by mail, invitations and refusals of unregistered buyers wait", "limit", which, "of", limit)
		b.told = spent
	}
}

// compareIDs orders numbers of posts, which rise with time.
func compareIDs(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Expect implements [bot.Orderly].
func (a *account) Expect(post string) (undo func()) { return a.budget.expect(post) }
