package stripetest_test

import (
	"context"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"hashtill/confirm/stripe/stripetest"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/webhook"
)

func openInbox(t *testing.T) *inbox {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in := &inbox{url: "http://" + l.Addr().String(), events: make(chan received, 100), status: 200}
	srv := &http.Server{Handler: in}
	done := make(chan struct{})
	go func() { _ = srv.Serve(l); close(done) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return in
}

// live brings about one event of each kind and returns their kinds in order.
func (d *desk) live() []string {
	d.t.Helper()
	pay := func(number string) *stripe.PaymentIntent {
		pi := d.prepare(number)
		_, _ = d.stripe.PaymentIntents.Confirm(pi.ID, confirmParams("")) // declines too
		return pi
	}
	paid := pay("4242424242424242")
	pay("4000000000000002")
	asked := pay("4000002760003184")
	if _, err := d.stripe.PaymentIntents.Cancel(asked.ID, nil); err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.stripe.Refunds.New(&stripe.RefundParams{PaymentIntent: &paid.ID}); err != nil {
		d.t.Fatal(err)
	}
	return []string{"payment_intent.succeeded", "payment_intent.payment_failed", "payment_intent.requires_action", "payment_intent.canceled", "charge.refunded"}
}

func (in *inbox) kinds(t *testing.T, n int) []string {
	t.Helper()
	var kinds []string
	for range n {
		kinds = append(kinds, in.next(t).kind())
	}
	return kinds
}

func (in *inbox) wantNone(t *testing.T) {
	t.Helper()
	if n := len(in.events); n != 0 {
		t.Errorf("%d events too many", n)
	}
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	in := openInbox(t)
	d := start(t, stripetest.Options{WebhookURL: in.url})
	pi := d.prepare("4242424242424242")
	if _, err := d.stripe.PaymentIntents.Confirm(pi.ID, confirmParams("confirm:p-1:1")); err != nil {
		t.Fatal(err)
	}
	e := in.next(t)
	if _, err := webhook.ConstructEvent(e.body, e.signature, d.WebhookSecret()); err == nil {
		t.Error("stripe-go v76 took an event of another api_version: the facts say it does not")
	}
	believe := webhook.ConstructEventOptions{IgnoreAPIVersionMismatch: true}
	ev, err := webhook.ConstructEventWithOptions(e.body, e.signature, d.WebhookSecret(), believe)
	if err != nil {
		t.Fatal(err)
	}
	if ev.Type != "payment_intent.succeeded" || ev.GetObjectValue("id") != pi.ID || ev.APIVersion != stripetest.APIVersion || ev.Request.IdempotencyKey != "confirm:p-1:1" {
		t.Errorf("event %+v", ev)
	}
	if _, err := webhook.ConstructEventWithOptions(e.body, e.signature, "whsec_other", believe); err == nil {
		t.Error("the signature is good for any secret")
	}
	if _, err := webhook.ConstructEventWithOptions(append(e.body, ' '), e.signature, d.WebhookSecret(), believe); err == nil {
		t.Error("the signature is good for any body")
	}
	if got, err := d.stripe.Events.Get(ev.ID, nil); err != nil || got.Type != ev.Type || got.GetObjectValue("status") != "succeeded" {
		t.Error(err, got)
	}
}

func TestSignatureAges(t *testing.T) {
	t.Parallel()
	in := openInbox(t)
	d := start(t, stripetest.Options{WebhookURL: in.url, Now: func() time.Time { return time.Now().Add(-301 * time.Second) }})
	d.live()
	e := in.next(t)
	if _, err := webhook.ConstructEventWithOptions(e.body, e.signature, d.WebhookSecret(), webhook.ConstructEventOptions{IgnoreAPIVersionMismatch: true}); err != webhook.ErrTooOld {
		t.Errorf("signed 301 s ago: %v", err)
	}
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, c := range []struct {
		name string
		how  stripetest.Delivery
		want func(kinds []string) []string
	}{
		{"once, in order", stripetest.Delivery{}, func(k []string) []string { return k }},
		{"twice", stripetest.Delivery{Twice: true}, func(k []string) []string {
			var twice []string
			for _, kind := range k {
				twice = append(twice, kind, kind)
			}
			return twice
		}},
		{"newest first", stripetest.Delivery{Hold: true, Reverse: true}, func(k []string) []string { slices.Reverse(k); return k }},
		{"held", stripetest.Delivery{Hold: true}, func(k []string) []string { return k }},
		{"dropped", stripetest.Delivery{Drop: true}, func([]string) []string { return nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := openInbox(t)
			d := start(t, stripetest.Options{WebhookURL: in.url})
			d.SetDelivery(c.how)
			kinds := d.live()
			if c.how.Hold {
				in.wantNone(t)
			}
			if err := d.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			want := c.want(slices.Clone(kinds))
			if got := in.kinds(t, len(want)); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			in.wantNone(t)

			// The API has them all, whatever became of the deliveries.
			var listed []string
			it := d.stripe.Events.List(&stripe.EventListParams{ListParams: stripe.ListParams{Limit: stripe.Int64(2)}})
			for it.Next() {
				listed = append(listed, string(it.Event().Type))
			}
			slices.Reverse(listed)
			if !slices.Equal(listed, kinds) {
				t.Errorf("listed %q, want %q", listed, kinds)
			}
		})
	}
}

func TestRedelivery(t *testing.T) {
	t.Parallel()
	in := openInbox(t)
	in.answer(500)
	d := start(t, stripetest.Options{WebhookURL: in.url, WebhookRetry: time.Millisecond})
	pi := d.prepare("4242424242424242")
	if _, err := d.stripe.PaymentIntents.Confirm(pi.ID, confirmParams("")); err != nil {
		t.Fatal(err)
	}
	first := in.next(t)
	for range 3 {
		if again := in.next(t); string(again.body) != string(first.body) {
			t.Error("an event changed between its deliveries")
		}
	}
	in.answer(200)
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for len(in.events) > 0 {
		<-in.events
	}
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	in.wantNone(t) // accepted, so not sent again
}

func TestRedeliveryEndsAfterThreeDays(t *testing.T) {
	t.Parallel()
	in := openInbox(t)
	in.answer(302) // a redirect is no acceptance
	clk := newClock()
	d := start(t, stripetest.Options{WebhookURL: in.url, WebhookRetry: time.Hour, Now: clk.Now})
	d.live()
	in.kinds(t, 5)
	for day, want := range []int{5, 5, 5, 0} {
		err := d.Flush(t.Context())
		if got := len(in.kinds(t, want)); got != want || (err != nil) != (want > 0) {
			t.Errorf("day %d: %d deliveries, %v", day, got, err)
		}
		in.wantNone(t)
		clk.turn(36 * time.Hour)
	}
}

func TestWebhookComesLater(t *testing.T) {
	t.Parallel()
	in := openInbox(t)
	d := start(t, stripetest.Options{})
	d.live() // nobody listens
	d.SetWebhookURL(in.url)
	pi := d.prepare("4242424242424242")
	if _, err := d.stripe.PaymentIntents.Confirm(pi.ID, confirmParams("")); err != nil {
		t.Fatal(err)
	}
	if e := in.next(t); e.kind() != "payment_intent.succeeded" {
		t.Error(e.kind())
	}
}

func TestCloseEndsEverything(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	s, err := stripetest.Start(stripetest.Options{WebhookURL: "http://" + silent.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{s, t, stripeClient(t, s, 0)}
	d.live()
	d.Fail(stripetest.Fault{Path: "/v1/balance", Delay: time.Hour})
	answered := make(chan error)
	go func() {
		_, err := d.try(t.Context(), "GET", "/v1/balance", "")
		answered <- err
	}()
	deadline := time.After(10 * time.Second)
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	for range 2 {
		select {
		case <-answered:
		case err := <-closed:
			if err != nil {
				t.Error(err)
			}
		case <-deadline:
			t.Fatal("Close waits for a delay or for a webhook")
		}
	}
	if _, err := d.try(t.Context(), "GET", "/v1/balance", ""); err == nil {
		t.Error("a closed server answers")
	}
	if err := d.Flush(t.Context()); err == nil {
		t.Error("a closed server flushes")
	}
}
