package stripe

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"hashtill/confirm"
)

// A budget keeps the requests of this process below the rates that Stripe allows,
// for all of them and for each endpoint (docs.stripe.com/rate-limits). A request
// that would have to wait for longer than a moment is not sent, and its error is a
// *confirm.LaterError: so that what cannot be done now waits in the outbox, where
// it is durable and its age is seen, and not in here. Its place in the line is kept:
// whoever comes back at its time is served, and nobody who comes anew overtakes it.
//
// Lists are for the books, and nobody waits for them: they are sent only while half
// of the overall budget is left to others.
type budget struct {
	next     http.RoundTripper
	now      func() time.Time
	patience time.Duration // for which a request waits at most
	each     int           // requests per second of one endpoint

	mu        sync.Mutex // guards all below
	all       *bucket
	endpoints map[string]*bucket
	swept     time.Time // when the places of those who never came were given up last
}

func newBudget(next http.RoundTripper, now func() time.Time, all, each int) *budget {
	return &budget{next: next, now: now, patience: time.Second, each: each, all: newBucket(all), endpoints: map[string]*bucket{}}
}

// A bucket holds the requests that may be sent now, and the line of those that may not.
type bucket struct {
	flow   *rate.Limiter
	shut   time.Time            // until when Stripe wants nothing
	places map[string]time.Time // when whose turn is, by what the request is
	end    time.Time            // the last place in the line
}

// keepPlace is for how long a place is kept for who does not come at its time: longer
// than the outbox backs off.
const keepPlace = 10 * time.Minute

// newBucket allows for perSecond requests in any second at most: four fifths of them
// flow in, and a fifth may come at once.
func newBucket(perSecond int) *bucket {
	r := rate.Limit(perSecond) * 4 / 5
	return &bucket{flow: rate.NewLimiter(r, max(1, perSecond/5)), places: map[string]time.Time{}}
}

// step is between two places in the line, which moves as fast as the bucket fills.
func (b *bucket) step() time.Duration {
	return time.Duration(float64(time.Second) / float64(b.flow.Limit()))
}

// turn says in how long it is somebody's turn. Who is new joins the end of the line, if
// there is one, or nothing can be sent now; who waited long enough keeps its turn.
func (b *bucket) turn(now time.Time, who string) time.Duration {
	short := b.wait(now, 1)
	at, waits := b.places[who]
	if !waits {
		if short <= 0 && !b.end.After(now) {
			return 0
		}
		at = b.end.Add(b.step())
		if first := now.Add(short); first.After(at) {
			at = first
		}
		b.places[who], b.end = at, at
	}
	return max(at.Sub(now), short)
}

// serve takes a request of somebody whose turn it is.
func (b *bucket) serve(now time.Time, who string) {
	b.flow.ReserveN(now, 1)
	delete(b.places, who)
}

// leave gives up somebody's place.
func (b *bucket) leave(who string) {
	if at, waits := b.places[who]; waits && at.Equal(b.end) {
		b.end = at.Add(-b.step())
	}
	delete(b.places, who)
}

// close lets nothing out until then; the line moves back as it stands.
func (b *bucket) close(now, until time.Time) {
	if b.shut.After(now) {
		now = b.shut
	}
	more := until.Sub(now)
	if more <= 0 {
		return
	}
	b.shut, b.end = until, b.end.Add(more)
	for who, at := range b.places {
		b.places[who] = at.Add(more)
	}
}

// wait says in how long there are as many tokens in a bucket.
func (b *bucket) wait(now time.Time, tokens float64) time.Duration {
	short := (tokens - b.flow.TokensAt(now)) / float64(b.flow.Limit())
	return max(time.Duration(short*float64(time.Second)), b.shut.Sub(now))
}

// RoundTrip sends a request once the budget allows for it.
func (b *budget) RoundTrip(r *http.Request) (*http.Response, error) {
	name, list := endpoint(r)
	if err := b.admit(r.Context(), name, who(r), list); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	res, err := b.next.RoundTrip(r)
	if err == nil && res.StatusCode == http.StatusTooManyRequests {
		if err = b.heed(name, res); err != nil {
			return nil, err
		}
	}
	return res, err
}

// endpoint names what Stripe counts together, the method and the path without ids,
// and says whether it is a list.
func endpoint(r *http.Request) (name string, list bool) {
	_, path, _ := strings.Cut(r.URL.Path, "/v1/")
	path, namespace := strings.CutPrefix(path, "checkout/")
	parts := strings.Split(path, "/")
	if len(parts) > 1 {
		parts[1] = "*" // an object's id
	}
	path = strings.Join(parts, "/")
	if namespace {
		path = "checkout/" + path
	}
	return r.Method + " " + path, r.Method == http.MethodGet && r.URL.Query().Has("limit")
}

// who names a request so that it is known when it comes back. The second key of a deed
// is another one by then (Till.keys), and the same request.
func who(r *http.Request) string {
	key, _, second := strings.Cut(r.Header.Get("Idempotency-Key"), "+")
	return fmt.Sprint(r.Method, " ", r.URL.RequestURI(), " ", key, second)
}

// of returns the bucket of an endpoint.
func (b *budget) of(name string) *bucket {
	if b.endpoints[name] == nil {
		b.endpoints[name] = newBucket(b.each)
	}
	return b.endpoints[name]
}

// admit returns nil when a request may be sent.
func (b *budget) admit(ctx context.Context, name, who string, list bool) error {
	patience := b.patience
	if end, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(end))
	}
	for {
		delay, at := b.take(name, who, list)
		switch {
		case delay <= 0:
			return ctx.Err()
		case delay > patience:
			return &confirm.LaterError{At: at, Why: fmt.Sprintf("stripe: %s: the budget of requests is spent", name)}
		}
		if err := wait(ctx, delay); err != nil {
			b.leave(name, who)
			return err
		}
		patience -= delay
	}
}

// take takes a request out of the budget, or says in how long to try again, and when
// that is. A request passes the line of its endpoint and then that of all, and a list
// waits until nobody is in that one.
func (b *budget) take(name, who string, list bool) (delay time.Duration, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, own := b.now(), b.of(name)
	b.sweep(now)
	if delay = own.turn(now, who); delay <= 0 {
		if list {
			half := float64(b.all.flow.Burst()+1) / 2
			delay = max(b.all.wait(now, half), b.all.end.Sub(now))
		} else {
			delay = b.all.turn(now, who)
		}
		if delay > 0 {
			own.places[who] = now // passed, and not again
		}
	}
	if delay > 0 {
		return delay, now.Add(delay)
	}
	own.serve(now, who)
	b.all.serve(now, who)
	return 0, now
}

// leave gives up the places of somebody who has left.
func (b *budget) leave(name, who string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.of(name).leave(who)
	b.all.leave(who)
}

// sweep gives up the places of those who did not come; b.mu is held.
func (b *budget) sweep(now time.Time) {
	if now.Sub(b.swept) < keepPlace {
		return
	}
	b.swept = now
	late := func(_ string, at time.Time) bool { return now.Sub(at) > keepPlace }
	maps.DeleteFunc(b.all.places, late)
	for _, k := range b.endpoints {
		maps.DeleteFunc(k.places, late)
	}
}

// wait waits, unless ctx ends first.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// heed shuts the bucket that Stripe says is empty, for as long as it says or a
// second. What is busy may also be an object, which concerns nobody else: then
// Stripe says lock_timeout, or names a resource.
func (b *budget) heed(name string, res *http.Response) error {
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil {
		return err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	reason := res.Header.Get("Stripe-Rate-Limited-Reason")
	if reason == "resource-specific" || bytes.Contains(body, []byte(`"lock_timeout"`)) {
		return nil
	}
	pause := time.Second
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
		pause = min(max(pause, time.Duration(s)*time.Second), 5*time.Minute)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	full := b.of(name)
	if strings.HasPrefix(reason, "global-") {
		full = b.all
	}
	now := b.now()
	full.close(now, now.Add(pause))
	return nil
}
