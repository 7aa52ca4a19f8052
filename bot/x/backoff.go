package x

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// The waits between attempts to open a stream
// (https://docs.x.com/x-api/fundamentals/handling-disconnections). X gives no
// bound for the last; a window of its limits is one.
const (
	networkStep  = 250 * time.Millisecond
	networkMost  = 16 * time.Second
	httpFirst    = 5 * time.Second
	httpMost     = 320 * time.Second
	limitedFirst = time.Minute
	limitedMost  = 15 * time.Minute
)

// maxRefusals is how often credentials that have worked may be refused in a row
// before they count as refused for good: X refuses good ones at times.
const maxRefusals = 3

var (
	errSilent = errors.New("the stream has been silent for too long")
	errEnded  = errors.New("the stream has ended")
	errAnew   = errors.New("what is followed has changed")
	errRules  = errors.New("the stream had no rules")
)

// A backoff is how often in a row hearing has failed, and why. It outlives Listen: whoever
// listens may be sent away while it waits, and come back.
type backoff struct {
	network, failures, limited, refused int
	worked                              bool      // the credentials have
	until                               time.Time // the wait that is under way
}

// wait waits before X is asked again, and reports false if ctx has ended first. Then the
// next Listen waits for the rest.
func (b *backoff) wait(ctx context.Context, d time.Duration) bool {
	b.until = time.Now().Add(d)
	return sleep(ctx, d)
}

// keepOpen opens a stream again and again, with X's waits, until ctx ends or
// the credentials are refused. A stream that lived for a while begins the waits
// anew; one that ends as soon as it has begun does not. open returns when the stream has ended, with
// whether anything came from it.
func (a *account) keepOpen(ctx context.Context, open func(context.Context) (alive bool, err error)) error {
	b := &a.backoff
	if !sleep(ctx, time.Until(b.until)) {
		return nil
	}
	for {
		opened := time.Now()
		alive, err := open(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if alive {
			b.worked = true
			b.failures, b.limited, b.refused = 0, 0, 0
			if time.Since(opened) >= networkMost {
				b.network = 0
			}
		}
		var wait time.Duration
		answer := new(apiError)
		switch {
		case errors.As(err, new(*otherAccountError)):
			return err
		case errors.Is(err, errAnew) || errors.Is(err, errRules):
		case !errors.As(err, &answer):
			wait = min(time.Duration(b.network)*networkStep, networkMost)
			b.network++
		case answer.status == http.StatusTooManyRequests:
			wait = doubled(limitedFirst, b.limited, limitedMost)
			b.limited++
		default:
			if answer.final() {
				if b.refused++; !b.worked || b.refused >= maxRefusals {
					b.refused = 0
					return fmt.Errorf("listen: %w", err)
				}
			}
			wait = doubled(httpFirst, b.failures, httpMost)
			b.failures++
		}
		a.log.WarnContext(ctx, "stream interrupted", "err", err, "wait", wait)
		if !b.wait(ctx, wait) {
			return nil
		}
	}
}

// final says whether the same request can only be refused again, as long as the
// configuration stays.
func (e *apiError) final() bool {
	return e.status == http.StatusUnauthorized || e.status == http.StatusForbidden || e.status == http.StatusGone
}

// doubled is first, doubled n times, at most most.
func doubled(first time.Duration, n int, most time.Duration) time.Duration {
	for ; n > 0 && first < most; n-- {
		first *= 2
	}
	return min(first, most)
}

// sleep waits, and reports false if ctx has ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
