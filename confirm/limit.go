package confirm

import (
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"hashtill/offers"
)

// tooMany: somebody tries too often.
const tooMany offers.Reason = "too_many"

// A TooManyError says that somebody has tried too often, and when it is worth another try.
type TooManyError struct{ After time.Duration }

func (e *TooManyError) Error() string { return fmt.Sprintf("too many tries: again in %s", e.After) }

// seconds are those to wait, in whole ones.
func (e *TooManyError) seconds() int { return max(1, int(math.Ceil(e.After.Seconds()))) }

// limits bound how often what strangers can try is tried, each by one network address and,
// where it is known whose it is, for one account. They are of this process.
type limits struct{ signIn, code, press, buy gate }

func newLimits() limits {
	// A stadium, a university and a mobile network each show one address for thousands.
	return limits{
		signIn: gate{network: turnstile{every: time.Second, burst: 60}},
		code:   gate{network: turnstile{every: time.Second, burst: 60}, account: turnstile{every: 20 * time.Second, burst: 15}},
		press:  gate{network: turnstile{every: 50 * time.Millisecond, burst: 300}, account: turnstile{every: 2 * time.Second, burst: 20}},
		buy:    gate{network: turnstile{every: 200 * time.Millisecond, burst: 120}, account: turnstile{every: 20 * time.Second, burst: 8}},
	}
}

// A gate is what one kind of try goes through.
type gate struct{ network, account turnstile }

// pass counts a try for the network address that it comes from, and for an account unless
// that is zero. A *TooManyError says that it is one too many.
func (c *Counter) pass(g *gate, r *http.Request, a offers.Account) error {
	now := c.Now()
	if from, public := Origin(r, c.Proxies); public {
		if wait := g.network.pass(from, now); wait > 0 {
			return &TooManyError{wait}
		}
	}
	if a != (offers.Account{}) {
		if wait := g.account.pass(a.String(), now); wait > 0 {
			return &TooManyError{wait}
		}
	}
	return nil
}

// Origin is the network address that a request comes from; of IPv6 it is what one
// subscriber has. What a proxy of ours adds is believed, from the right: what stands to
// the left of the first address that is no proxy's, anybody can have written.
//
// An address that is not public is that of a proxy that nobody told us of, or of this
// machine. All buyers would share it, so it is not counted.
func Origin(r *http.Request, proxies []netip.Prefix) (network string, public bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return "", false
	}
	at := peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(at) }) {
			break
		}
		from, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		at = from.WithZone("").Unmap()
	}
	if at.IsLoopback() || at.IsPrivate() || at.IsLinkLocalUnicast() {
		return "", false
	}
	if at.Is6() {
		net, err := at.Prefix(64)
		return net.String(), err == nil
	}
	return at.String(), true
}

// A turnstile lets everybody through burst times, and then once in every so often. The
// zero turnstile lets everybody through.
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

// pass lets somebody through, or says how long they have to wait.
func (t *turnstile) pass(who string, now time.Time) (wait time.Duration) {
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
	try := l.ReserveN(now, 1)
	if wait = try.DelayFrom(now); wait > 0 {
		try.CancelAt(now)
	}
	return wait
}

// retryAfter tells programs how long to wait (RFC 9110, 10.2.3).
func retryAfter(w http.ResponseWriter, e *TooManyError) {
	w.Header().Set("Retry-After", strconv.Itoa(e.seconds()))
}
