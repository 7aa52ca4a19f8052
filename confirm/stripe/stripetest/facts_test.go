package stripetest_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"hashtill/confirm/stripe/stripetest"

	"github.com/stripe/stripe-go/v76"
)

// TestFacts holds the server to what was found by reading stripe-go v76.25.0
// and running it against Stripe's documented behaviour: how to charge never
// twice, and how the library meets each failure. Rows about cards, keys, limits
// and webhooks have tests of their own.
func TestFacts(t *testing.T) {
	t.Parallel()
	const confirmPath = "/v1/payment_intents/*/confirm"
	for _, c := range []struct {
		fact string
		test func(*testing.T, *desk)
	}{
		{"create under a key, lose the answer, create again: one intent", func(t *testing.T, d *desk) {
			customer, method := d.buyer("4242424242424242")
			d.Fail(stripetest.Fault{Path: "/v1/payment_intents", When: stripetest.After, Status: 502})
			if _, err := d.stripe.PaymentIntents.New(newIntent(customer, method, "pi:p-1")); err == nil {
				t.Fatal("the fault did not strike")
			}
			pi := d.create(newIntent(customer, method, "pi:p-1"))
			it := d.stripe.PaymentIntents.List(&stripe.PaymentIntentListParams{Customer: &customer})
			if !it.Next() || it.PaymentIntent().ID != pi.ID || it.Next() {
				t.Error("not exactly that intent", it.Err())
			}
		}},
		{"create and confirm in one call under a pruned key: charged twice", func(t *testing.T, d *desk) {
			customer, method := d.buyer("4242424242424242")
			p := newIntent(customer, method, "buy:p-1")
			p.Confirm = stripe.Bool(true)
			d.create(p)
			d.create(p)
			d.wantCharges(1)
			d.PruneKeys()
			d.create(p)
			d.wantCharges(2)
		}},
		{"confirming one id again under any key: charged once, unexpected_state is success", func(t *testing.T, d *desk) {
			pi := d.prepare("4242424242424242")
			if _, err := d.stripe.PaymentIntents.Confirm(pi.ID, confirmParams("confirm:p-1:1")); err != nil {
				t.Fatal(err)
			}
			d.PruneKeys()
			for _, key := range []string{"confirm:p-1:1", "confirm:p-1:2", ""} {
				_, err := d.stripe.PaymentIntents.Confirm(pi.ID, confirmParams(key))
				e := wantError(t, err, 400, stripe.ErrorTypeInvalidRequest, stripe.ErrorCodePaymentIntentUnexpectedState)
				if e.PaymentIntent.ID != pi.ID || e.PaymentIntent.Status != "succeeded" {
					t.Errorf("the error's intent %+v", e.PaymentIntent)
				}
			}
			d.wantCharges(1)
		}},
		{"on 500, GET tells what was done", func(t *testing.T, d *desk) {
			for when, want := range map[stripetest.When]stripe.PaymentIntentStatus{stripetest.Before: "requires_confirmation", stripetest.After: "succeeded"} {
				pi := d.prepare("4242424242424242")
				d.Fail(stripetest.Fault{Path: confirmPath, When: when, Status: 500})
				_, err := d.stripe.PaymentIntents.Confirm(pi.ID, confirmParams("confirm:"+pi.ID))
				wantError(t, err, 500, stripe.ErrorTypeAPI, "")
				if got := d.get(pi.ID).Status; got != want {
					t.Errorf("%v: %s, want %s", when, got, want)
				}
			}
		}},
		{"cancel against confirm is decided once", func(t *testing.T, d *desk) {
			for i := range 20 {
				pi := d.prepare("4242424242424242")
				before := len(d.Charges())
				var confirmed, cancelled error
				var both sync.WaitGroup
				both.Go(func() { _, confirmed = d.stripe.PaymentIntents.Confirm(pi.ID, confirmParams("")) })
				both.Go(func() { _, cancelled = d.stripe.PaymentIntents.Cancel(pi.ID, nil) })
				both.Wait()
				if (confirmed == nil) == (cancelled == nil) {
					t.Fatalf("round %d: confirm %v, cancel %v", i, confirmed, cancelled)
				}
				lost := errors.Join(confirmed, cancelled)
				wantError(t, lost, 400, stripe.ErrorTypeInvalidRequest, stripe.ErrorCodePaymentIntentUnexpectedState)
				if charged := len(d.Charges()) > before; charged != (confirmed == nil) {
					t.Errorf("round %d: charged %v", i, charged)
				}
			}
		}},
		{"connection cut after the deed, twice: three requests, one key, one charge", func(t *testing.T, d *desk) {
			pi := d.prepare("4242424242424242")
			d.Fail(stripetest.Fault{Path: confirmPath, When: stripetest.After, Drop: true, Times: 2})
			got, err := stripeClient(t, d.Server, 2).PaymentIntents.Confirm(pi.ID, confirmParams("confirm:p-1:1"))
			if err != nil || got.Status != "succeeded" {
				t.Fatal(err, got)
			}
			if calls := d.confirms(); calls != "0:confirm:p-1:1 0:confirm:p-1:1 200:confirm:p-1:1" {
				t.Error(calls)
			}
			d.wantCharges(1)
		}},
		{"500 on POST is not retried", retried(stripetest.Fault{Path: confirmPath, Status: 500}, false)},
		{"503 is retried", retried(stripetest.Fault{Path: confirmPath, Status: 503}, true)},
		{"409 is retried", retried(stripetest.Fault{Path: confirmPath, Status: 409}, true)},
		{"429 lock_timeout is retried", retried(stripetest.Fault{Path: confirmPath, Status: 429, Code: "lock_timeout"}, true)},
		{"429 rate_limit is not retried", retried(stripetest.Fault{Path: confirmPath, Status: 429, Code: "rate_limit"}, false)},
		{"402 authentication_required carries the intent", func(t *testing.T, d *desk) {
			pi := d.prepare("4000002760003184")
			_, err := d.stripe.PaymentIntents.Confirm(pi.ID, &stripe.PaymentIntentConfirmParams{OffSession: stripe.Bool(true)})
			e := wantError(t, err, 402, stripe.ErrorTypeCard, stripe.ErrorCodeAuthenticationRequired)
			if e.PaymentIntent.ID != pi.ID || e.PaymentIntent.Status != "requires_payment_method" || e.PaymentMethod == nil {
				t.Errorf("%+v", e)
			}
			d.wantCharges(0)
		}},
		{"context expired: not retried, *url.Error, outcome unknown", func(t *testing.T, d *desk) {
			pi := d.prepare("4242424242424242")
			d.Fail(stripetest.Fault{Path: confirmPath, When: stripetest.After, Delay: time.Hour})
			ctx, cancel := context.WithCancel(t.Context())
			d.AfterDeed(func(c stripetest.Call) {
				if strings.HasSuffix(c.Path, "/confirm") {
					cancel() // the deed is done, the answer will not be read
				}
			})
			p := confirmParams("confirm:p-1:1")
			p.Context = ctx
			_, err := stripeClient(t, d.Server, 2).PaymentIntents.Confirm(pi.ID, p)
			var ue *url.Error
			if !errors.As(err, &ue) || !errors.Is(err, context.Canceled) {
				t.Errorf("got %T %v", err, err)
			}
			if calls := strings.Fields(d.confirms()); len(calls) > 1 {
				t.Errorf("retried: %q", calls)
			}
			d.wantCharges(1)
		}},
		{"without a key stripe-go invents one per call", func(t *testing.T, d *desk) {
			customer, method := d.buyer("4242424242424242")
			first, second := d.create(newIntent(customer, method, "")), d.create(newIntent(customer, method, ""))
			if first.ID == second.ID {
				t.Error("two calls made one intent")
			}
			keys := map[string]bool{}
			for _, c := range d.Calls() {
				keys[c.IdempotencyKey] = true
			}
			if len(keys) != 2 || keys[""] {
				t.Errorf("keys %v", keys)
			}
		}},
		{"the buyer is present: requires_action and a page of the bank, not 402", func(t *testing.T, d *desk) {
			pi, err := d.stripe.PaymentIntents.Confirm(d.prepare("4000002760003184").ID, confirmParams(""))
			if err != nil || pi.Status != "requires_action" || !strings.HasPrefix(pi.NextAction.RedirectToURL.URL, d.URL()+"/") {
				t.Error(err, pi)
			}
		}},
		{"a list by customer and created is immediate", func(t *testing.T, d *desk) {
			customer, method := d.buyer("4242424242424242")
			for range 5 {
				pi := d.create(newIntent(customer, method, ""))
				it := d.stripe.PaymentIntents.List(&stripe.PaymentIntentListParams{Customer: &customer, CreatedRange: &stripe.RangeQueryParams{GreaterThanOrEqual: pi.Created}})
				if !it.Next() || it.PaymentIntent().ID != pi.ID || it.PaymentIntent().Metadata["purchase"] != "p-1" {
					t.Error("not yet listed", it.Err())
				}
			}
		}},
	} {
		t.Run(c.fact, func(t *testing.T) {
			t.Parallel()
			c.test(t, start(t, stripetest.Options{}))
		})
	}
}

// retried checks whether stripe-go, allowed two retries, repeats a confirmation
// after one fault.
func retried(f stripetest.Fault, want bool) func(*testing.T, *desk) {
	return func(t *testing.T, d *desk) {
		pi := d.prepare("4242424242424242")
		d.Fail(f)
		_, err := stripeClient(t, d.Server, 2).PaymentIntents.Confirm(pi.ID, confirmParams("k"))
		calls := strings.Fields(d.confirms())
		if (err == nil) != want || len(calls) != map[bool]int{true: 2, false: 1}[want] {
			t.Errorf("%v after %q", err, calls)
		}
		d.wantCharges(map[bool]int{true: 1}[want])
	}
}

// confirms lists the confirmations that came as status:key.
func (d *desk) confirms() string {
	var calls []string
	for _, c := range d.Calls() {
		if strings.HasSuffix(c.Path, "/confirm") {
			calls = append(calls, fmt.Sprintf("%d:%s", c.Status, c.IdempotencyKey))
		}
	}
	return strings.Join(calls, " ")
}
