package x

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"
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
	// longestWindow is the span of X's longest window, and of what is taken for one.
	longestWindow = day + time.Minute
	// current is how long it is known what is left, once X has told.
	current = 2 * time.Second
	// ownShare is how many times more must be left than is on its way, where others use the
	// account.
	ownShare = 4
	// sameReset is how far two tellings of one reset may lie apart.
	sameReset = 2 * time.Second
	// expectFor is how long a reply that was announced is waited for before it loses its
	// place: it may be made by another process, or not be needed any more.
	expectFor = time.Minute
	// comeFor is the same for one that was told to come again, from when it was told: many
	// may come at once.
	comeFor = quarter
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
// each answer. A process that has heard nothing for a while, as at its start, has one
// request on its way, and one more with each answer. Where others have been seen, a
// quarter of what is left is on its way at most. What X refuses all the same, a few
// requests of each process, empties the budget until its reset.
//
// What headers tell that cannot be is not believed: of a reset that lies further ahead
// than a day, more left than the limit. Without headers the budget counts for itself.
//
// # The day
//
// For the replies of a day, of which X says nothing, the budget counts the last 24
// hours: at the start X's count of the account's replies tells ([Network] asks for it,
// Classic begins at 0), from then on what is said here, and by others as far as the
// windows show it. What X has refused was not said.
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

	counting  sync.Mutex // held while X is asked for the replies of today
	counted   bool       // under counting
	countAt   time.Time  // the next try; under counting
	countWait time.Duration

	mu       sync.Mutex
	windows  []*window
	perDay   int // replies; 0: no limit
	said     []saying
	inFlight int
	blocked  time.Time     // X has refused until then
	words    int           // answers to commands in the first of the windows
	waiting  queue         // wishes whose answer is to be said
	heard    time.Time     // when an answer has told last what is left
	others   bool          // use the account too
	ramp     int           // requests that may be on their way
	news     chan struct{} // closed and renewed when one is not on its way any more
	told     fullness      // what the log was told
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

// remainingHeader tells what is left of a window, behind the window's name.
const remainingHeader = "-remaining"

// A saying is one reply of the last day.
type saying struct {
	at   time.Time
	word bool // an answer to a command
}

func newBudget(cfg Config, log *slog.Logger, limit int, span time.Duration) *budget {
	b := &budget{now: cfg.Now, log: log, perDay: cfg.RepliesPerDay, news: make(chan struct{}), countWait: countPause, windows: []*window{
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
	if b.waiting.has(post) {
		return func() {}
	}
	b.waiting.append(place{post: post, until: b.now().Add(expectFor)})
	return func() { b.forget(post) }
}

// forget takes a wish off the list: it is answered, or never will be.
func (b *budget) forget(post string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting.remove(post)
}

// unsent says that nothing was sent for a reply in this process since it was announced,
// or looked for: there is no need to look. Should another process have said it since,
// X refuses the same words.
func (b *budget) unsent(r bot.Reply) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return r.For == bot.ForWish && b.waiting.has(r.To)
}

// take takes one request out of the budget, for a reply that answered or giveBack must
// then be told of. It waits while as many are on their way as may be, but no longer than
// a request takes. Where there is none for the reply, the error says when there will be; a
// reply that is of no use by then loses its place.
func (b *budget) take(ctx context.Context, r bot.Reply) error {
	patience := time.NewTimer(callTimeout)
	defer patience.Stop()
	for pushes := false; ; {
		news, err := b.try(r, pushes)
		if news == nil {
			return err
		}
		select {
		case <-news:
		case <-patience.C:
			pushes = true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// try is take without waiting: news tells when to try again. A reply that pushes does not
// mind how many are on their way.
func (b *budget) try(r bot.Reply, pushes bool) (news <-chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.roll(now)
	if at, why := b.refuse(r, now); why != "" {
		return nil, b.later(r, at, why)
	}
	if b.crowded(now) && !pushes {
		return b.news, nil
	}
	b.waiting.remove(r.To)
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
	return nil, nil
}

// crowded says that as many requests are on their way as may be. The lock is held.
func (b *budget) crowded(now time.Time) bool {
	if b.inFlight == 0 {
		if since := now.Sub(b.heard); since < 0 || since >= current {
			b.ramp = 1
		}
		return false
	}
	if b.inFlight >= b.ramp {
		return true
	}
	for _, w := range b.windows {
		if b.others && w.limit > 0 && (b.inFlight+1)*ownShare > w.left+b.inFlight {
			return true
		}
	}
	return false
}

// landed notes that a request is not on its way any more. The lock is held.
func (b *budget) landed() {
	b.inFlight--
	close(b.news)
	b.news = make(chan struct{})
}

// later notes that a reply must wait. The lock is held.
func (b *budget) later(r bot.Reply, at time.Time, why string) error {
	switch {
	case r.For != bot.ForWish:
	case !r.By.IsZero() && at.After(r.By):
		b.waiting.remove(r.To)
	case b.waiting.has(r.To):
		b.waiting.comesAgain(r.To, at.Add(comeFor))
	default: // it keeps the place that its number gives it
		b.waiting.insert(place{post: r.To, until: at.Add(comeFor), waits: true})
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
		ahead, waits = b.waiting.ahead(r.To)
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
		case r.For == bot.ForThanks && (w.left-b.waiting.taken)*2 <= w.limit:
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
		case r.For == bot.ForThanks && (left-b.waiting.taken)*2 <= b.perDay:
			wait(now.Add(time.Hour), "the replies of a day are low")
		}
	}
	return at, why
}

// share is what answers to commands may have of a limit.
func share(limit int) int { return max(limit/5, 1) }

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
	if !now.Before(b.blocked) || b.blocked.Sub(now) > longestWindow {
		b.blocked = time.Time{}
	}
	b.said = slices.DeleteFunc(b.said, func(s saying) bool { return now.Sub(s.at) >= day })
	b.waiting.sweep(now)
	b.tell()
}

// answered gives account of a request that was taken, by the headers of its answer,
// nil where none has come. skew is how far our clock is ahead of X's; refused is when X
// takes more again, if it has refused for the limit.
func (b *budget) answered(h http.Header, skew time.Duration, refused time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.landed()
	if h.Get(b.windows[0].header+remainingHeader) != "" {
		b.heard = now
		b.ramp++
	}
	for i, w := range b.windows {
		others := w.hear(h, skew, now, b.inFlight)
		if i > 0 {
			continue
		}
		b.others = b.others || others > 0
		for range others {
			if b.perDay > 0 {
				b.said = append(b.said, saying{at: now})
			}
		}
	}
	if refused.After(b.blocked) {
		b.blocked = refused
	}
	b.tell()
}

// giveBack puts a request back that was taken and of which X has never heard.
func (b *budget) giveBack(r bot.Reply) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.landed()
	for _, w := range b.windows {
		w.left = min(w.left+1, w.limit)
	}
	if r.For == bot.ForCommand {
		b.words = max(b.words-1, 0)
	}
	b.unsay(r)
	b.tell()
}

// notSaid takes a reply that X has refused out of the replies of the day.
func (b *budget) notSaid(r bot.Reply) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unsay(r)
	b.tell()
}

// unsay takes the newest reply of that kind back. The lock is held.
func (b *budget) unsay(r bot.Reply) {
	if b.perDay == 0 || r.To == "" {
		return
	}
	for i, s := range slices.Backward(b.said) {
		if s.word == (r.For == bot.ForCommand) {
			b.said = slices.Delete(b.said, i, i+1)
			return
		}
	}
}

// hear corrects a window by the headers of an answer, and returns how much of it
// others have turned out to have used since the answer before.
func (w *window) hear(h http.Header, skew time.Duration, now time.Time, inFlight int) (others int) {
	number := func(name string) (int64, bool) {
		n, err := strconv.ParseInt(h.Get(w.header+name), 10, 64)
		return n, err == nil && n >= 0
	}
	left, ok := number(remainingHeader)
	reset, okReset := number("-reset")
	if !ok || left > math.MaxInt32 {
		return 0
	}
	if ahead := reset - now.Add(-skew).Unix(); !okReset || ahead > int64(longestWindow/time.Second) {
		w.left = min(w.left, int(left)) // until when is not known
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
	w.span = max(w.span, at.Sub(now)-resetSlack) // it may be longer than we thought
	if limit, ok := number("-limit"); ok && limit > 0 && limit <= math.MaxInt32 {
		if w.limit == 0 {
			w.left = int(left)
		}
		w.limit = int(limit)
	}
	remaining := int(left)
	if w.limit > 0 {
		remaining = min(remaining, w.limit-1) // this one is used
	}
	if remaining >= w.least {
		return 0 // a later answer was faster: each uses one
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

// Expect implements [bot.Orderly].
func (a *account) Expect(post string) (undo func()) { return a.budget.expect(post) }

// An Allowance is what is left of one of the limits on what the account may say.
type Allowance struct {
	Name   string // as X's headers have it, or "replies of a day"
	Left   int
	Limit  int
	Resets time.Time // zero: nothing was said in this window yet
}

// Allowances are what the account may still say, as far as this process knows.
func (a *account) Allowances() []Allowance {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll(b.now())
	var all []Allowance
	for _, w := range b.windows {
		if w.limit > 0 {
			all = append(all, Allowance{w.header, max(w.left, 0), w.limit, w.reset})
		}
	}
	if b.perDay > 0 {
		today := Allowance{Name: "replies of a day", Left: max(b.perDay-len(b.said), 0), Limit: b.perDay}
		if len(b.said) > 0 {
			today.Resets = b.said[0].at.Add(day)
		}
		all = append(all, today)
	}
	return all
}
