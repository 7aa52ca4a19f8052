package desk

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// doors bound how often what strangers can try is tried. They are of this process.
type doors struct {
	addresses *turnstile // links to one address
	networks  *turnstile // links asked for from one network address
	invites   *turnstile // invitations by one person
	codes     *lock      // codes of one person's second factor
}

func newDoors() doors {
	return doors{
		addresses: &turnstile{every: 5 * time.Minute, burst: 3},
		networks:  &turnstile{every: 30 * time.Second, burst: 20}, // of a stadium, where many have one address
		invites:   &turnstile{every: 3 * time.Minute, burst: 20},
		codes:     &lock{most: 5, rest: 15 * time.Minute},
	}
}

// A turnstile lets everybody through burst times, and then once in every so often. The
// zero times are not useful.
type turnstile struct {
	every time.Duration
	burst int

	mu          sync.Mutex
	seen, older map[string]*rate.Limiter
}

// maxSeen bounds what a turnstile remembers: twice as many. Whoever was not here while so
// many others were is as good as new. Forgetting lets somebody through too often, where
// refusing would keep out everybody.
const maxSeen = 20_000

func (t *turnstile) pass(who string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, ok := t.seen[who]
	if !ok {
		if l, ok = t.older[who]; !ok {
			l = rate.NewLimiter(rate.Every(t.every), t.burst)
		}
		if len(t.seen) >= maxSeen || t.seen == nil {
			t.seen, t.older = map[string]*rate.Limiter{}, t.seen
		}
		t.seen[who] = l
	}
	return l.AllowN(now, 1)
}

// A lock lets nobody try any more who has failed too often, for a rest.
type lock struct {
	most int
	rest time.Duration

	mu    sync.Mutex
	tries map[string]tries
}

type tries struct {
	n     int
	until time.Time // no try before
}

// try counts a try before its outcome is known, so that many at once are not more. It is
// false while the lock is shut.
func (l *lock) try(who string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tries[who]
	if now.Before(t.until) {
		return false
	}
	if t.n++; t.n >= l.most {
		t = tries{until: now.Add(l.rest)}
	}
	if l.tries == nil {
		l.tries = map[string]tries{}
	}
	l.tries[who] = t // of people who are signed in, and those are few
	return true
}

// opened forgets the failures.
func (l *lock) opened(who string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.tries, who)
}
