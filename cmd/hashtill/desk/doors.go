package desk

import (
	"sync"
	"time"

	"hashtill/confirm"
)

// doors bound how often what strangers can try is tried. They are of this process.
type doors struct {
	addresses *confirm.Turnstile // links to one address
	networks  *confirm.Turnstile // links asked for from one network address
	invites   *confirm.Turnstile // invitations by one person
	codes     *lock              // codes of one person's second factor
}

func newDoors() doors {
	return doors{
		addresses: &confirm.Turnstile{Every: 5 * time.Minute, Burst: 3},
		networks:  &confirm.Turnstile{Every: 30 * time.Second, Burst: 20}, // of a stadium, where many have one address
		invites:   &confirm.Turnstile{Every: 3 * time.Minute, Burst: 20},
		codes:     &lock{most: 5, rest: 15 * time.Minute},
	}
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
