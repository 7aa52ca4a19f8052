package stripetest_test

import (
	"testing"

	"hashtill/confirm/stripe/stripetest"

	"github.com/stripe/stripe-go/v76"
)

func TestRefundRefusals(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	open := d.prepare("4242424242424242")
	declined := d.prepare("4000000000000002")
	_, err := d.stripe.PaymentIntents.Confirm(declined.ID, confirmParams(""))
	failed := wantError(t, err, 402, stripe.ErrorTypeCard, stripe.ErrorCodeCardDeclined).ChargeID
	for name, params := range map[string]string{
		"not confirmed":  "payment_intent=" + open.ID,
		"declined":       "payment_intent=" + declined.ID,
		"failed charge":  "charge=" + failed,
		"unknown intent": "payment_intent=pi_none",
		"unknown charge": "charge=ch_none",
	} {
		if r := d.do("POST", "/v1/refunds", params); r.status != 400 || r.str("error.type") != "invalid_request_error" {
			t.Errorf("%s: %d %v", name, r.status, r.body)
		}
	}
	if r := d.do("GET", "/v1/refunds", ""); len(r.body["data"].([]any)) != 0 {
		t.Error("something was given back")
	}
}

func TestRefundByCharge(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	pi := d.prepare("4242424242424242")
	if _, err := d.stripe.PaymentIntents.Confirm(pi.ID, nil); err != nil {
		t.Fatal(err)
	}
	charges := d.stripe.Charges.List(&stripe.ChargeListParams{PaymentIntent: &pi.ID})
	if !charges.Next() || charges.Charge().Metadata["purchase"] != "p-1" || charges.Charge().PaymentIntent.ID != pi.ID {
		t.Fatal("the intent's charge", charges.Err())
	}
	p := &stripe.RefundParams{Charge: stripe.String(charges.Charge().ID), Reason: stripe.String("requested_by_customer")}
	p.AddMetadata("purchase", "p-1")
	p.SetIdempotencyKey("refund:p-1")
	var ids [2]string
	for i := range ids {
		r, err := d.stripe.Refunds.New(p)
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = r.ID
	}
	if ids[0] != ids[1] || d.Charges()[0].Refunded != 14999 {
		t.Errorf("refunds %q of %+v", ids, d.Charges())
	}
	got, err := d.stripe.Refunds.Get(ids[0], nil)
	if err != nil || got.Amount != 14999 || got.Reason != "requested_by_customer" || got.Metadata["purchase"] != "p-1" {
		t.Error(err, got)
	}
}

// TestCVCNotGiven: a CVC that is not given is not checked
// (docs.stripe.com/testing#declined-payments).
func TestCVCNotGiven(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	for cvc, want := range map[string]int{"": 200, "&card[cvc]=123": 402} {
		pm := d.do("POST", "/v1/payment_methods", "type=card&card[number]=4000000000000127&card[exp_month]=12&card[exp_year]=2060"+cvc)
		r := d.do("POST", "/v1/payment_intents", "amount=500&currency=usd&confirm=true&payment_method_types[]=card&payment_method="+pm.str("id"))
		if r.status != want {
			t.Errorf("with %q: %d", cvc, r.status)
		}
	}
}
