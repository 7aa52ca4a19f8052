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
		signIn: gate{network: Turnstile{Every: time.Second, Burst: 60}},
		code:   gate{network: Turnstile{Every: time.Second, Burst: 60}, account: Turnstile{Every: 20 * time.Second, Burst: 15}},
		press:  gate{network: Turnstile{Every: 50 * time.Millisecond, Burst: 300}, account: Turnstile{Every: 2 * time.Second, Burst: 20}},
		buy:    gate{network: Turnstile{Every: 200 * time.Millisecond, Burst: 120}, account: Turnstile{Every: 20 * time.Second, Burst: 8}},
	}
}

// A gate is what one kind of try goes through.
type gate struct{ network, account Turnstile }

// pass counts a try for the network address that it comes from, and for an account unless
// that is zero. A *TooManyError says that it is one too many.
func (c *Counter) pass(g *gate, r *http.Request, a offers.Account) error {
	now := c.Now()
	if from, public := Origin(r, c.Proxies); public {
		if wait := g.network.Pass(from, now); wait > 0 {
			return &TooManyError{wait}
		}
	}
	if a != (offers.Account{}) {
		if wait := g.account.Pass(a.String(), now); wait > 0 {
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

// A Turnstile lets everybody through Burst times, and then once in every so often. The
// zero Turnstile lets everybody through.
type Turnstile struct {
	Every time.Duration
	Burst int

	mu          sync.Mutex
	seen, older map[string]*rate.Limiter
}

// maxSeen bounds what a Turnstile remembers: twice as many. Whoever was not here while so
// many others were is as good as new. Forgetting lets somebody through too often, where
// refusing would keep out everybody.
const maxSeen = 20_000

// Pass lets somebody through, or says how long they have to wait.
func (t *Turnstile) Pass(who string, now time.Time) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, ok := t.seen[who]
	if !ok {
		if l, ok = t.older[who]; !ok {
			l = rate.NewLimiter(rate.Every(t.Every), t.Burst)
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
