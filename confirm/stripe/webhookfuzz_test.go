package stripe_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stripe/stripe-go/v76/webhook"

	"hashtill/confirm"
	"hashtill/confirm/stripe"
)

// FuzzWebhook posts anything at all, as it is and signed. Only what is signed is read,
// and of that no more than ids; a signature says one time.
func FuzzWebhook(f *testing.F) {
	f.Add([]byte(`{"id":"evt_1","type":"payment_intent.succeeded","data":{"object":{"id":"pi_1","metadata":{"purchase":"07-0"}}}}`), "t=1,v1=00")
	f.Add([]byte(`{"id":"evt_1","type":"charge.dispute.created","data":{"object":{"id":"dp_1","payment_intent":{"id":"pi_1"}}}}`), "t=,v1=,t=")
	f.Add([]byte(`{"id":"evt_1","type":"charge.refunded","data":null}`), "v1=ab,v0=cd")
	f.Add([]byte(`{"ID":"a","id":"b"}`), "")
	f.Add([]byte("\xff"), "t=9223372036854775808")
	f.Fuzz(func(t *testing.T, body []byte, signature string) {
		s := open(t, visa)
		w := stripe.NewWebhook(s.Till, []string{"whsec_1", "whsec_2"})
		header := http.Header{"Stripe-Signature": {signature}}
		var no *confirm.RefusedError
		if h, err := w.Read(t.Context(), header, body); !errors.As(err, &no) {
			t.Errorf("unsigned: %+v, %v", h, err)
		}
		signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: "whsec_2", Timestamp: s.clock()}).Header
		header.Set("Stripe-Signature", signed)
		h, err := w.Read(t.Context(), header, body)
		if err == nil && h.Event == "" {
			t.Errorf("no event: %+v", h)
		}
		if err != nil && (h.Event != "" || strings.Contains(err.Error(), "whsec_")) {
			t.Errorf("both %+v and %v", h, err)
		}
		header.Set("Stripe-Signature", "t="+strconv.FormatInt(s.clock().Unix(), 10)+","+signed)
		if h, err := w.Read(t.Context(), header, body); !errors.As(err, &no) {
			t.Errorf("two times: %+v, %v", h, err)
		}
	})
}
