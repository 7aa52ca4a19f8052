package stripe_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/stripe/stripe-go/v76/webhook"

	"hashtill/confirm"
	"hashtill/confirm/stripe"
	"hashtill/confirm/stripe/stripetest"
	"hashtill/offers"
)

// What is used of each kind of event, whatever version of the API it is rendered in.
func TestWebhookRead(t *testing.T) {
	s := open(t, visa)
	intent := s.prepared()
	w := stripe.NewWebhook(s.Till, []string{"whsec_1"})
	type object = map[string]any
	ours := object{"purchase": string(purchase)}
	for _, c := range []struct {
		kind string
		of   any
		want offers.Hint
	}{
		{"payment_intent.succeeded", object{"id": intent, "metadata": ours}, offers.Hint{Object: intent, Topic: offers.Payment, Intent: intent, Purchase: purchase}},
		{"payment_intent.canceled", object{"id": intent}, offers.Hint{Object: intent, Topic: offers.Payment, Intent: intent}},
		{"charge.failed", object{"id": "ch_1", "payment_intent": intent, "metadata": ours}, offers.Hint{Object: "ch_1", Topic: offers.Payment, Intent: intent, Purchase: purchase}},
		{"charge.refunded", object{"id": "ch_1", "payment_intent": intent, "metadata": ours}, offers.Hint{Object: "ch_1", Topic: offers.Afterwards, Intent: intent, Purchase: purchase}},
		{"refund.updated", object{"id": "re_1", "payment_intent": intent, "metadata": object{}}, offers.Hint{Object: "re_1", Topic: offers.Afterwards, Intent: intent, Purchase: purchase}},
		{"charge.dispute.closed", object{"id": "dp_1", "payment_intent": intent}, offers.Hint{Object: "dp_1", Topic: offers.Afterwards, Intent: intent, Purchase: purchase}},
		{"charge.dispute.created", object{"id": "dp_1", "payment_intent": "pi_foreign"}, offers.Hint{Object: "dp_1", Topic: offers.Afterwards, Intent: "pi_foreign"}},
		{"charge.dispute.created", object{"id": "dp_1", "payment_intent": nil}, offers.Hint{Object: "dp_1", Topic: offers.Afterwards}},
		{"charge.refunded", object{"id": "ch_1", "payment_intent": object{"id": intent}}, offers.Hint{Object: "ch_1", Topic: offers.Afterwards}},
		{"customer.created", object{"id": "cus_1", "metadata": ours}, offers.Hint{Object: "cus_1"}},
		{"payment_intent.succeeded", "what a future version has", offers.Hint{Topic: offers.Payment}},
	} {
		body, err := json.Marshal(object{"id": "evt_1", "type": c.kind, "api_version": stripetest.APIVersion, "data": object{"object": c.of}})
		if err != nil {
			t.Fatal(err)
		}
		header := http.Header{}
		header.Set("Stripe-Signature", webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: "whsec_1", Timestamp: s.clock()}).Header)
		c.want.Event, c.want.Type = "evt_1", c.kind
		if got, err := w.Read(t.Context(), header, body); err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v", body, got, err)
		}
		var no *confirm.RefusedError
		if _, err := w.Read(t.Context(), header, append(body, '\n')); !errors.As(err, &no) {
			t.Errorf("a changed body: %v", err)
		}
	}

	// A key that Stripe does not accept is the operator's to mend: until then the event
	// has to come again.
	body := []byte(`{"id":"evt_1","type":"charge.dispute.created","data":{"object":{"id":"dp_1","payment_intent":"pi_1"}}}`)
	header := http.Header{}
	header.Set("Stripe-Signature", webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: "whsec_1", Timestamp: s.clock()}).Header)
	_, err := stripe.NewWebhook(s.till(stripe.Config{Key: "sk_test_other"}), []string{"whsec_1"}).Read(t.Context(), header, body)
	wantLater(t, err)
}
