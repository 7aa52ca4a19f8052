package stripe

import (
	"bytes"
	"context"
	"fmt"
	"io"
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
// it is durable and its age is seen, and not in here.
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
}

func newBudget(next http.RoundTripper, now func() time.Time, all, each int) *budget {
	return &budget{next: next, now: now, patience: time.Second, each: each, all: newBucket(all), endpoints: map[string]*bucket{}}
}

// A bucket holds the requests that may be sent now.
type bucket struct {
	flow *rate.Limiter
	line *rate.Limiter // spreads those who have to come again, so that they do not all come at once
	shut time.Time     // until when Stripe wants nothing
}

// newBucket allows for perSecond requests in any second at most: four fifths of them
// flow in, and a fifth may come at once.
func newBucket(perSecond int) *bucket {
	r := rate.Limit(perSecond) * 4 / 5
	return &bucket{flow: rate.NewLimiter(r, max(1, perSecond/5)), line: rate.NewLimiter(r, 1)}
}

// wait says in how long there are as many tokens in a bucket.
func (b *bucket) wait(now time.Time, tokens float64) time.Duration {
	short := (tokens - b.flow.TokensAt(now)) / float64(b.flow.Limit())
	return max(time.Duration(short*float64(time.Second)), b.shut.Sub(now))
}

// RoundTrip sends a request once the budget allows for it.
func (b *budget) RoundTrip(r *http.Request) (*http.Response, error) {
	name, list := endpoint(r)
	if err := b.admit(r.Context(), name, list); err != nil {
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

// of returns the bucket of an endpoint.
func (b *budget) of(name string) *bucket {
	if b.endpoints[name] == nil {
		b.endpoints[name] = newBucket(b.each)
	}
	return b.endpoints[name]
}

// admit returns nil when a request may be sent.
func (b *budget) admit(ctx context.Context, name string, list bool) error {
	patience := b.patience
	if end, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(end))
	}
	for {
		delay, at := b.take(name, list)
		switch {
		case delay <= 0:
			return ctx.Err()
		case delay > patience:
			return &confirm.LaterError{At: at, Why: fmt.Sprintf("stripe: %s: the budget of requests is spent", name)}
		}
		if err := wait(ctx, delay); err != nil {
			return err
		}
		patience -= delay
	}
}

// take takes a request out of the budget, or says in how long to try again, and when
// that is.
func (b *budget) take(name string, list bool) (delay time.Duration, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, own, narrow := b.now(), b.of(name), b.all
	enough := 1.0
	if list {
		enough = float64(b.all.flow.Burst()+1) / 2
	}
	delay = b.all.wait(now, enough)
	if d := own.wait(now, 1); d > delay {
		narrow, delay = own, d
	}
	if delay <= 0 {
		b.all.flow.AllowN(now, 1)
		own.flow.AllowN(now, 1)
		return 0, now
	}
	delay += narrow.line.ReserveN(now, 1).DelayFrom(now)
	return delay, now.Add(delay)
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
	if until := b.now().Add(pause); until.After(full.shut) {
		full.shut = until
	}
	return nil
}
