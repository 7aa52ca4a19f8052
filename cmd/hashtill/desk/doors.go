package desk

import (
	"net/http"
	"net/netip"
	"strings"
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

	mu   sync.Mutex
	seen map[string]*rate.Limiter
}

// maxSeen bounds what a turnstile remembers.
const maxSeen = 20_000

func (t *turnstile) pass(who string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, ok := t.seen[who]
	if !ok {
		if len(t.seen) >= maxSeen {
			for other, l := range t.seen { // who has not been here for long is as good as new
				if l.TokensAt(now) >= float64(t.burst) {
					delete(t.seen, other)
				}
			}
			if len(t.seen) >= maxSeen {
				return false
			}
		}
		if t.seen == nil {
			t.seen = map[string]*rate.Limiter{}
		}
		l = rate.NewLimiter(rate.Every(t.every), t.burst)
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

// network is where a request comes from. Behind a proxy on this machine or its network it
// is what the proxy adds; of IPv6 it is what one subscriber has.
func network(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	at := peer.Addr().Unmap()
	if at.IsLoopback() || at.IsPrivate() {
		hops := r.Header.Values("X-Forwarded-For")
		if len(hops) > 0 {
			last := hops[len(hops)-1]
			if from, err := netip.ParseAddr(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])); err == nil {
				at = from.Unmap()
			}
		}
	}
	if at.Is6() {
		if net, err := at.Prefix(64); err == nil {
			return net.String()
		}
	}
	return at.String()
}
