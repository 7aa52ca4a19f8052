package confirm

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"hashtill/offers"
)

// A Webhook reads what the till's service posts to us of its own accord.
type Webhook interface {
	// Read says what was posted. A *RefusedError means that it does not come from the
	// service, or that nobody will ever understand it; after any other error the service
	// shall post it again.
	Read(ctx context.Context, header http.Header, body []byte) (offers.Hint, error)
}

// maxPosted bounds what may be posted, in bytes. Stripe's events are a few kilobytes.
const maxPosted = 256 << 10

// webhook takes what the till's service posts, and answers 2xx only when it is
// committed: what is answered otherwise comes again
// (https://docs.stripe.com/webhooks#automatic-retries).
//
// It stands beside the pages and not among them. No browser comes here and no cookie
// or form speaks for anybody: the signature over the body is the whole authority, so
// that there is no request that another site could forge. Nothing that was posted is
// logged.
func (c *Counter) webhook(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, why string) {
		if unlogged, ok := c.refusals.tell(c.Now()); ok {
			c.Log.Warn("webhook refused", "status", status, "why", why, "unlogged", unlogged)
		}
		http.Error(w, http.StatusText(status), status)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPosted))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		refuse(http.StatusRequestEntityTooLarge, "the body is too large")
		return
	}
	if err != nil {
		refuse(http.StatusBadRequest, "the body does not arrive")
		return
	}
	hint, err := c.Webhook.Read(r.Context(), r.Header, body)
	if no := (*RefusedError)(nil); errors.As(err, &no) {
		refuse(http.StatusBadRequest, no.Why)
		return
	}
	if err == nil {
		err = c.Shop.Hear(r.Context(), hint, c.Now())
	}
	if err != nil {
		c.Log.Error("webhook failed: it will come again", "err", err)
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// refusals bounds how often it is logged that a webhook was refused, since anybody may
// post one: once a minute, with how many were refused since.
type refusals struct {
	mu       sync.Mutex
	told     time.Time // when one was logged last
	unlogged int       // since then
}

// tell says whether to log a refusal, and how many were not logged before it.
func (r *refusals) tell(now time.Time) (unlogged int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.told) < time.Minute {
		r.unlogged++
		return 0, false
	}
	unlogged, r.told, r.unlogged = r.unlogged, now, 0
	return unlogged, true
}

// heed looks how a payment stands of which something was told. What it cannot tell is
// left to those who ask anyway: a confirmed purchase owes its charge, and one whose
// buyer is at the bank owes looks. Above all, that a payment failed says nothing while
// the charge of another attempt is on its way: the failure may be the one before.
func (c *Counter) heed(ctx context.Context, j offers.Job) (offers.Event, error) {
	s, err := c.Till.Look(ctx, j.Purchase.Intent)
	if err == nil && (s.Status == Open || s.Status == Failed && j.Purchase.State != offers.Challenged) {
		return offers.Event{Kind: offers.EffectDone}, nil
	}
	return outcome(s, err, j)
}
