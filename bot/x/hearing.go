package x

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"hashtill/bot"
)

const (
	queueLength = 1024 // posts between reading and handing over

	// overlap is how far before the last known post a look for missed ones begins:
	// a stream may bring posts in disorder, and the store may have forgotten the last
	// of what it was told.
	overlap = 2 * time.Minute

	// lag is how long after it was made X may show a post first, and later than a younger
	// one: so far before the last post found every look for more begins, and so long after
	// a look for missed posts there is another one.
	lag = 30 * time.Second

	echoEvery   = time.Minute
	missedPages = 16        // X shows an account's last 800 mentions, 100 a page or fewer
	noPost      = "0"       // the number before all others
	mostRetry   = time.Hour // between two tries to look for missed posts
)

// hearing is one Listen in either shape; T is a post as the shape has it.
//
// What the stream brings, and what is found to have been missed each time the stream
// has opened, goes through one queue. While such a look goes on, the stream is read
// beside it, and its posts bring no cursor: older ones may still follow.
type hearing[T any] struct {
	*account
	queue  chan item[T]
	number func(T) string // of this version of the post
	// mentions is one page of the posts after since that mention the bot, newest
	// first, and what to ask for the next page with, "" if this is the last. A page
	// holds at most most posts, 0 for as many as X gives.
	mentions func(ctx context.Context, since, next string, most int) (page []T, more string, err error)
	read     func(context.Context, T) (p bot.Post, ok bool) // not ok: nobody needs to hear it
	heard    func(context.Context, bot.Post) error
	// echoes hands over reposts and quotes of the bot's posts that may have been missed.
	// An error says that some could not be looked for. nil: nobody can be asked.
	echoes func(ctx context.Context, hand func(T) error) error
	// partly says that what is open does not tell of all echoes: they are looked for then
	// again and again. nil: it does.
	partly func() bool

	mu     sync.Mutex
	known  bool   // from tells where to begin
	from   string // all mentions up to that post have been queued
	least  string // none before that are looked for
	newest string // the highest number queued
	gap    bool   // posts between from and newest may be missing

	told  map[string]bool // posts found by asking that may be found again
	found time.Time       // when look has found the last one
}

// item is a post on its way to be heard, or that one was removed, or only a cursor.
type item[T any] struct {
	post    *T
	removed *bot.Post
	missed  bool
	cursor  string
}

// begin sets where to go on: what cursor wrote.
func (h *hearing[T]) begin(since string) error {
	if since == "" {
		return nil
	}
	from, least, ok := strings.Cut(since, "/")
	if !ok {
		least = noPost
	}
	if !isID(from) || !isID(least) {
		return fmt.Errorf("x: the cursor %.40q is no number of a post", since)
	}
	h.known, h.from, h.newest, h.least = true, from, from, least
	return nil
}

// cursor is a post's number, and behind it, where the overlap would go beyond the
// first start, the last post from before that.
func (h *hearing[T]) cursor(id string) string {
	if id == "" {
		return ""
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.least != newest(h.least, before(id, overlap)) || h.least == noPost {
		return id
	}
	return id + "/" + h.least
}

// listen runs open again and again, and has heard what it queues.
func (h *hearing[T]) listen(ctx context.Context, since string, open func(context.Context) (alive bool, err error)) error {
	if err := h.begin(since); err != nil {
		return err
	}
	h.queue = make(chan item[T], queueLength)
	dealing, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for it := range h.queue {
			h.waiting.Add(-1)
			if dealing.Err() == nil {
				h.handOver(dealing, it)
			}
		}
	}()
	err := h.keepOpen(ctx, open)
	cancel()
	close(h.queue)
	<-done
	return err
}

// put queues an item, or gives up with ctx. When the queue is full it waits, and with
// it the reading of the stream. X then ends the stream, and what it would have brought
// is looked for when it is open again.
func (h *hearing[T]) put(ctx context.Context, it item[T]) error {
	h.waiting.Add(1)
	select {
	case h.queue <- it:
		return nil
	case <-ctx.Done():
		h.waiting.Add(-1)
		return context.Cause(ctx)
	}
}

// live queues a post that the stream has brought.
func (h *hearing[T]) live(ctx context.Context, post T) error {
	it := item[T]{post: &post}
	h.mu.Lock()
	highest := newest(h.newest, h.number(post))
	if !h.gap {
		it.cursor = highest
	}
	h.mu.Unlock()
	if err := h.put(ctx, it); err != nil {
		return err
	}
	h.mu.Lock() // not before it is queued: a cursor must not pass it
	h.newest = newest(h.newest, highest)
	h.mu.Unlock()
	return nil
}

// remove queues that an account has removed a post.
func (h *hearing[T]) remove(ctx context.Context, post, author string) error {
	return h.put(ctx, item[T]{removed: &bot.Post{Network: name, ID: post, Author: bot.Author{ID: author}, Kind: bot.Deletion}})
}

// handOver has an item heard.
func (h *hearing[T]) handOver(ctx context.Context, it item[T]) {
	p := bot.Post{Network: name}
	if it.removed != nil {
		p = *it.removed
	} else if it.post != nil {
		var ok bool
		if p, ok = h.read(ctx, *it.post); !ok {
			p = bot.Post{Network: name} // its cursor counts all the same
		}
	}
	p.Missed, p.Cursor = it.missed, h.cursor(it.cursor)
	h.hear(ctx, p, h.heard)
}

// opening finds out where to begin, when it is from now on. It is called before the
// stream is opened, so that nothing falls in between. Its failure is no reason not to
// listen: it is tried again then.
func (h *hearing[T]) opening(ctx context.Context) {
	if h.known {
		return
	}
	page, _, err := h.mentions(ctx, noPost, "", 1)
	if err != nil {
		if ctx.Err() == nil {
			h.log.WarnContext(ctx, "cannot see the last mention yet", "err", err)
		}
		return
	}
	h.beginAfter(page)
}

// beginAfter begins after the first post of a page.
func (h *hearing[T]) beginAfter(page []T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.known, h.from = true, noPost
	if len(page) > 0 {
		h.from = h.number(page[0])
	}
	h.least = h.from
	h.newest = newest(h.newest, h.from)
}

// opened is called when the stream is open, and the function it returns when it has
// ended. In between it looks for what was missed; where that does not come to its end,
// the next stream takes it up.
func (h *hearing[T]) opened(ctx context.Context) (ended func()) {
	h.log.InfoContext(ctx, "stream open")
	h.connected.Store(true)
	h.mu.Lock()
	if !h.gap {
		h.gap, h.from = true, newest(h.from, h.newest)
	}
	h.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.catchUp(ctx)
	}()
	return func() {
		h.connected.Store(false)
		cancel()
		<-done
	}
}

// catchUp queues what was missed, oldest first, and then a cursor alone; after lag what X
// did not show before.
func (h *hearing[T]) catchUp(ctx context.Context) {
	if !h.known { // only this goroutine makes it known while the stream is open
		page, _, err := h.ask(ctx, noPost, "", 1)
		if err != nil {
			return
		}
		h.beginAfter(page)
	} else if h.queueMissed(ctx) != nil {
		return
	}
	left := h.queueEchoes(ctx)
	h.caughtUp(ctx)
	var late sync.WaitGroup
	late.Go(func() { h.queueLate(ctx) })
	defer late.Wait()
	h.insist(ctx, left)
	for wait := lag; sleep(ctx, wait); wait = echoEvery {
		if wait == lag || h.partly != nil && h.partly() {
			h.insist(ctx, h.queueEchoes(ctx))
		}
	}
}

// insist queues what echoes finds until it has found all; left is why it has not yet. The
// cursor need not wait for that: what is open then tells where to look.
func (h *hearing[T]) insist(ctx context.Context, left error) {
	for try := 0; left != nil; try++ {
		wait := h.retryIn(left, try)
		if ctx.Err() == nil {
			h.log.WarnContext(ctx, "cannot look for all missed reposts and quotes yet", "wait", wait, "err", left)
		}
		if !sleep(ctx, wait) {
			return
		}
		left = h.queueEchoes(ctx)
	}
}

// caughtUp queues the cursor that says that all that was missed is queued.
func (h *hearing[T]) caughtUp(ctx context.Context) error {
	h.mu.Lock()
	h.gap = false
	it := item[T]{cursor: h.newest}
	h.mu.Unlock()
	return h.put(ctx, it)
}

func (h *hearing[T]) queueMissed(ctx context.Context) error {
	since := newest(before(h.from, overlap), h.least)
	missed, err := h.pages(ctx, since, h.ask)
	if err != nil {
		return err
	}
	h.told = make(map[string]bool)
	for _, post := range slices.Backward(missed) {
		h.told[h.number(post)] = true
		id := newest(h.from, h.number(post))
		if err := h.put(ctx, item[T]{post: &post, missed: true, cursor: id}); err != nil {
			return err
		}
		h.mu.Lock()
		h.from, h.newest = id, newest(h.newest, id)
		h.mu.Unlock()
	}
	return nil
}

// queueLate queues what was missed and was not shown yet when it was looked for. It brings
// no cursor: that stands after it already, and a Listen after the end of this one looks
// for it once more, as overlap is longer than lag.
func (h *hearing[T]) queueLate(ctx context.Context) {
	since := newest(before(h.from, lag), h.least)
	if !sleep(ctx, lag) {
		return
	}
	posts, err := h.pages(ctx, since, h.ask)
	if err != nil {
		return
	}
	posts = slices.DeleteFunc(posts, func(post T) bool { return h.told[h.number(post)] })
	for _, post := range slices.Backward(posts) {
		if h.put(ctx, item[T]{post: &post, missed: true}) != nil {
			return
		}
	}
	if len(posts) > 0 {
		h.put(ctx, item[T]{}) // the end of what was missed
	}
}

// queueEchoes queues what echoes finds. It brings no cursor.
func (h *hearing[T]) queueEchoes(ctx context.Context) error {
	if h.echoes == nil {
		return nil
	}
	return h.echoes(ctx, func(post T) error {
		return h.put(ctx, item[T]{post: &post, missed: true})
	})
}

// pages asks for all pages of mentions after since, newest first.
func (h *hearing[T]) pages(ctx context.Context, since string, ask func(ctx context.Context, since, next string, most int) ([]T, string, error)) (all []T, err error) {
	for pages, next := 0, ""; ; {
		page, more, err := ask(ctx, since, next, 0)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if more == "" {
			return all, nil
		}
		if pages++; pages == missedPages {
			if len(all) > 0 {
				h.log.WarnContext(ctx, "mentions from before cannot be had any more", "before", h.number(all[len(all)-1]), "since", since)
			}
			return all, nil
		}
		next = more
	}
}

// ask asks for a page of mentions until it is there or ctx has ended: no failure ends
// listening. When X names a time it comes back then.
func (h *hearing[T]) ask(ctx context.Context, since, next string, most int) (page []T, more string, err error) {
	for try := 0; ; try++ {
		page, more, err := h.mentions(ctx, since, next, most)
		if err == nil {
			return page, more, nil
		}
		wait := h.retryIn(err, try)
		if ctx.Err() == nil {
			h.log.WarnContext(ctx, "cannot look for missed posts yet", "wait", wait, "err", err)
		}
		if !sleep(ctx, wait) {
			return nil, "", context.Cause(ctx)
		}
	}
}

// retryIn is when to ask again after a failure, the try-th from 0.
func (h *hearing[T]) retryIn(err error, try int) time.Duration {
	if e := new(apiError); errors.As(err, &e) && e.status == http.StatusTooManyRequests {
		return min(max(e.later.Sub(h.cfg.Now()), httpFirst), mostRetry)
	}
	return doubled(httpFirst, try, limitedMost)
}

// look asks once for mentions, and queues those that were not queued before. missed says
// that nobody has looked for a while. It is for hearing by asking alone.
func (h *hearing[T]) look(ctx context.Context, missed bool) error {
	if !h.known {
		page, _, err := h.mentions(ctx, noPost, "", 1)
		if err == nil {
			h.beginAfter(page)
		}
		return err
	}
	back := lag
	switch {
	case missed:
		back = overlap
	case h.cfg.Now().Sub(h.found) > 2*lag: // by one clock: X's may be another
		back = 0 // by now X shows what it had: what is read again may be paid for again
	}
	since := newest(before(h.newest, back), h.least)
	posts, err := h.pages(ctx, since, h.mentions)
	if err != nil {
		return err
	}
	for id := range h.told {
		if newest(id, since) == since {
			delete(h.told, id)
		}
	}
	for _, post := range slices.Backward(posts) {
		id := h.number(post)
		if h.told[id] {
			continue
		}
		highest := newest(h.newest, id)
		if err := h.put(ctx, item[T]{post: &post, missed: missed, cursor: highest}); err != nil {
			return err
		}
		if h.told == nil {
			h.told = make(map[string]bool)
		}
		h.told[id], h.found = true, h.cfg.Now()
		h.mu.Lock()
		h.from, h.newest = highest, highest
		h.mu.Unlock()
	}
	return nil
}

// newest is the higher of two numbers of X, without leading zeros; "" is below all.
func newest(a, b string) string {
	if compareIDs(b, a) > 0 {
		return b
	}
	return a
}

// before is the number that a post would have that is older by d.
func before(id string, d time.Duration) string {
	n, err := strconv.ParseInt(id, 10, 64)
	if n -= d.Milliseconds() << 22; err != nil || n < 0 {
		return noPost
	}
	return strconv.FormatInt(n, 10)
}
