package stripe

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	sdk "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/webhook"

	"hashtill/confirm"
	"hashtill/offers"
)

// A Webhook reads the events that Stripe posts (docs.stripe.com/webhooks). It is a
// [confirm.Webhook], and safe for concurrent use.
//
// Of an event it uses the id, the type, the id of the object, and which payment and
// purchase that belongs to: enough to ask Stripe. So it does not matter in which
// version of the API the account renders its events, and stripe-go's Event, which
// reads those of 2023-10-16, is not used.
type Webhook struct {
	till    *Till
	secrets []string
}

var _ confirm.Webhook = (*Webhook)(nil)

// NewWebhook returns a Webhook whose events are signed with one of the secrets
// (whsec_…): while one is rolled there are two. The till's clock tells how old a
// signature is, and the till is asked whose payment it is where an event does not say.
func NewWebhook(till *Till, secrets []string) *Webhook {
	return &Webhook{till: till, secrets: secrets}
}

// topics are the types of events that we know what to make of
// (docs.stripe.com/api/events/types).
var topics = map[string]offers.Topic{
	"payment_intent.succeeded":       offers.Payment,
	"payment_intent.payment_failed":  offers.Payment,
	"payment_intent.requires_action": offers.Payment,
	"payment_intent.canceled":        offers.Payment,
	"charge.succeeded":               offers.Payment,
	"charge.failed":                  offers.Payment,

	"charge.refunded":       offers.Afterwards,
	"charge.refund.updated": offers.Afterwards,
	"refund.updated":        offers.Afterwards,
	"refund.failed":         offers.Afterwards,

	"charge.dispute.created":          offers.Afterwards,
	"charge.dispute.updated":          offers.Afterwards,
	"charge.dispute.closed":           offers.Afterwards,
	"charge.dispute.funds_withdrawn":  offers.Afterwards,
	"charge.dispute.funds_reinstated": offers.Afterwards,
}

// Read says what an event tells.
func (w *Webhook) Read(ctx context.Context, header http.Header, body []byte) (offers.Hint, error) {
	if err := w.verify(header.Get("Stripe-Signature"), body); err != nil {
		return offers.Hint{}, err
	}
	var e struct {
		ID   string
		Type string
		Data struct{ Object json.RawMessage }
	}
	if json.Unmarshal(body, &e) != nil || e.ID == "" {
		return offers.Hint{}, &confirm.RefusedError{Why: "what Stripe signed is no event"}
	}
	h := offers.Hint{Event: e.ID, Type: e.Type, Topic: topics[e.Type]}

	// Objects that have another shape than these, in whatever version of the API, are
	// not understood, and that is no fault: the event is set aside.
	var o struct{ ID string }
	if json.Unmarshal(e.Data.Object, &o) == nil {
		h.Object = o.ID
	}
	if h.Topic == offers.Otherwise {
		return h, nil
	}
	var of struct {
		Intent   string `json:"payment_intent"`
		Metadata map[string]string
	}
	if json.Unmarshal(e.Data.Object, &of) != nil {
		return h, nil
	}
	h.Intent, h.Purchase = of.Intent, offers.ID(of.Metadata["purchase"])
	if strings.HasPrefix(e.Type, "payment_intent.") {
		h.Intent = h.Object
	}
	// Charges carry their payment's metadata, refunds and disputes have their own
	// (docs.stripe.com/metadata).
	if h.Topic == offers.Afterwards && h.Purchase == "" && h.Intent != "" {
		var err error
		if h.Purchase, err = w.till.purchaseOf(ctx, h.Intent); err != nil {
			return offers.Hint{}, err
		}
	}
	return h, nil
}

// tolerance is how far the time of a signature may be from ours, either way.
const tolerance = webhook.DefaultTolerance

// verify says whether Stripe has signed a body lately. The library compares the
// signatures, of which there are several while a secret is rolled; the time is
// compared here, because the library has no clock but the machine's and lets pass what
// is signed in the future.
func (w *Webhook) verify(signature string, body []byte) error {
	signed := false
	for _, secret := range w.secrets {
		signed = signed || webhook.ValidatePayloadIgnoringTolerance(body, signature, secret) == nil
	}
	if !signed {
		return &confirm.RefusedError{Why: "no signature is made with our secret: where Stripe has sent this, check stripe.webhook_secret_file"}
	}
	at, ok := signedAt(signature)
	if !ok {
		return &confirm.RefusedError{Why: "the signature has not one time"}
	}
	switch age := w.till.now().Sub(at); {
	case age > tolerance:
		return &confirm.RefusedError{Why: "the signature is too old: is this machine's clock right?"}
	case age < -tolerance:
		return &confirm.RefusedError{Why: "the signature is from the future: is this machine's clock right?"}
	}
	return nil
}

// signedAt is the time in a signature, "t=1495999758,v1=…". Were there two, one of
// them could be signed and the other believed.
func signedAt(signature string) (at time.Time, ok bool) {
	for pair := range strings.SplitSeq(signature, ",") {
		text, isTime := strings.CutPrefix(pair, "t=")
		if !isTime {
			continue
		}
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || ok {
			return time.Time{}, false
		}
		at, ok = time.Unix(seconds, 0), true
	}
	return at, ok
}

// purchaseOf is the purchase that a payment was prepared for, "" where there is none
// or Stripe does not know such a payment.
func (t *Till) purchaseOf(ctx context.Context, intent string) (offers.ID, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	pi, err := t.api.PaymentIntents.Get(intent, &sdk.PaymentIntentParams{Params: sdk.Params{Context: ctx}})
	a := read("look up payment", pi.LastResponse, err)
	switch {
	case a.verdict == refused && a.status == http.StatusNotFound:
		return "", nil
	case a.verdict != done:
		return "", a.err
	case pi.ID != intent:
		return "", nil
	}
	return offers.ID(pi.Metadata["purchase"]), nil
}
