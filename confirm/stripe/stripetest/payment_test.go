package stripetest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"hashtill/confirm/stripe/stripetest"

	"github.com/stripe/stripe-go/v76"
)

func TestPurchase(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	cus, err := d.stripe.Customers.New(&stripe.CustomerParams{Email: stripe.String("ann@example.com")})
	if err != nil {
		t.Fatal(err)
	}
	pm, err := d.stripe.PaymentMethods.New(&stripe.PaymentMethodParams{Type: stripe.String("card"), Card: &stripe.PaymentMethodCardParams{
		Number: stripe.String("378282246310005"), ExpMonth: stripe.Int64(4), ExpYear: stripe.Int64(2060), CVC: stripe.String("1234"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if pm.Card.Brand != "amex" || pm.Card.Last4 != "0005" || pm.Card.Country != "US" || pm.Card.ExpMonth != 4 || pm.Card.ExpYear != 2060 || pm.Customer != nil {
		t.Errorf("card %+v", pm.Card)
	}
	if pm, err = d.stripe.PaymentMethods.Attach(pm.ID, &stripe.PaymentMethodAttachParams{Customer: &cus.ID}); err != nil || pm.Customer.ID != cus.ID {
		t.Fatal(err, pm)
	}
	cards := d.stripe.PaymentMethods.List(&stripe.PaymentMethodListParams{Customer: &cus.ID, Type: stripe.String("card")})
	if !cards.Next() || cards.PaymentMethod().ID != pm.ID || cards.Next() || cards.Err() != nil {
		t.Error("the customer's cards", cards.Err())
	}

	pi := d.create(newIntent(cus.ID, pm.ID, "pi:p-1"))
	if pi.Status != "requires_confirmation" || pi.Amount != 14999 || pi.Currency != "usd" || pi.Metadata["purchase"] != "p-1" || pi.LatestCharge != nil || pi.ClientSecret == "" {
		t.Fatalf("intent %+v", pi)
	}
	d.wantCharges(0)
	p := confirmParams("confirm:p-1:1")
	p.AddExpand("latest_charge")
	p.AddExpand("payment_method")
	if pi, err = d.stripe.PaymentIntents.Confirm(pi.ID, p); err != nil {
		t.Fatal(err)
	}
	ch := pi.LatestCharge
	if pi.Status != "succeeded" || pi.AmountReceived != 14999 || !ch.Paid || ch.Amount != 14999 || ch.PaymentMethodDetails.Card.Last4 != "0005" || pi.PaymentMethod.Card.Brand != "amex" {
		t.Fatalf("intent %+v charge %+v", pi, ch)
	}
	got := d.Charges()
	if len(got) != 1 || got[0].ID != ch.ID || got[0].Intent != pi.ID || got[0].Amount != 14999 || got[0].Currency != "usd" || got[0].Customer != cus.ID || got[0].Metadata["purchase"] != "p-1" {
		t.Fatalf("ledger %+v", got)
	}

	refund := func(amount int64) (*stripe.Refund, error) {
		p := &stripe.RefundParams{PaymentIntent: &pi.ID}
		if amount > 0 {
			p.Amount = &amount
		}
		return d.stripe.Refunds.New(p)
	}
	part, err := refund(4999)
	if err != nil || part.Amount != 4999 || part.Status != "succeeded" || part.Charge.ID != ch.ID || part.PaymentIntent.ID != pi.ID {
		t.Fatal(err, part)
	}
	if _, err := refund(10001); err == nil {
		t.Error("more was given back than was taken")
	}
	rest, err := refund(0)
	if err != nil || rest.Amount != 10000 || d.Charges()[0].Refunded != 14999 {
		t.Fatal(err, rest)
	}
	_, err = refund(0)
	wantError(t, err, 400, stripe.ErrorTypeInvalidRequest, stripe.ErrorCodeChargeAlreadyRefunded)
	refunds := d.stripe.Refunds.List(&stripe.RefundListParams{PaymentIntent: &pi.ID})
	for _, want := range []string{rest.ID, part.ID} {
		if !refunds.Next() || refunds.Refund().ID != want {
			t.Error("the intent's refunds", refunds.Err())
		}
	}
	if ch, err := d.stripe.Charges.Get(ch.ID, nil); err != nil || !ch.Refunded || ch.AmountRefunded != 14999 {
		t.Error(err, ch)
	}
	if bal, err := d.stripe.Balance.Get(nil); err != nil || bal.Available[0].Amount != 0 {
		t.Error(err, bal)
	}
	if acct, err := d.stripe.Accounts.Get(); err != nil || !acct.ChargesEnabled {
		t.Error(err, acct)
	}
}

// TestCards holds each test card to docs.stripe.com/testing: what it does
// on-session, on-session after the question was answered, off-session, and
// when it is attached.
func TestCards(t *testing.T) {
	t.Parallel()
	const pays, asksFirst = "succeeded", "requires_action"
	for _, c := range []struct {
		number, brand, country  string
		on, answered, off, save string // a status, or a decline code, or an error code where there is none
	}{
		{"4242424242424242", "visa", "US", pays, "", pays, ""},
		{"4000056655665556", "visa", "US", pays, "", pays, ""},
		{"5555555555554444", "mastercard", "US", pays, "", pays, ""},
		{"378282246310005", "amex", "US", pays, "", pays, ""},
		{"4000002500003155", "visa", "FR", asksFirst, pays, "authentication_required", ""},
		{"4000002760003184", "visa", "DE", asksFirst, pays, "authentication_required", ""},
		{"4000003800000446", "visa", "IT", asksFirst, pays, pays, ""},
		{"4000008260003178", "visa", "GB", asksFirst, "insufficient_funds", "authentication_required", ""},
		{"4000008400001629", "visa", "US", asksFirst, "generic_decline", "authentication_required", ""},
		{"4000000000000341", "visa", "US", "generic_decline", "", "generic_decline", ""},
		{"4000000000000002", "visa", "US", "generic_decline", "", "generic_decline", "generic_decline"},
		{"4000000000009995", "visa", "US", "insufficient_funds", "", "insufficient_funds", "insufficient_funds"},
		{"4000000000009987", "visa", "US", "lost_card", "", "lost_card", "lost_card"},
		{"4000000000009979", "visa", "US", "stolen_card", "", "stolen_card", "stolen_card"},
		{"4000000000000069", "visa", "US", "expired_card", "", "expired_card", "expired_card"},
		{"4000000000000127", "visa", "US", "incorrect_cvc", "", "incorrect_cvc", "incorrect_cvc"},
		{"4000000000000119", "visa", "US", "processing_error", "", "processing_error", "processing_error"},
		{"4000000000006975", "visa", "US", "card_velocity_exceeded", "", "card_velocity_exceeded", "card_velocity_exceeded"},
	} {
		t.Run(c.number, func(t *testing.T) {
			t.Parallel()
			d := start(t, stripetest.Options{})
			customer, method := d.buyer(c.number)
			pm, err := d.stripe.PaymentMethods.Get(method, nil)
			if err != nil {
				t.Fatal(err)
			}
			if string(pm.Card.Brand) != c.brand || pm.Card.Country != c.country || !strings.HasSuffix(c.number, pm.Card.Last4) {
				t.Errorf("card %+v", pm.Card)
			}

			pay := func(want string, p *stripe.PaymentIntentConfirmParams) *stripe.PaymentIntent {
				t.Helper()
				pi := d.create(newIntent(customer, method, ""))
				before := len(d.Charges())
				pi2, err := d.stripe.PaymentIntents.Confirm(pi.ID, p)
				if want == pays || want == asksFirst {
					if err != nil || string(pi2.Status) != want {
						t.Fatalf("got %v %+v, want %s", err, pi2, want)
					}
					if paid := len(d.Charges()) > before; paid != (want == pays) {
						t.Errorf("charged: %v", paid)
					}
					return pi2
				}
				wantDecline(t, d, err, want)
				if len(d.Charges()) > before {
					t.Error("a decline is in the ledger")
				}
				return d.get(pi.ID)
			}
			pi := pay(c.on, confirmParams(""))
			if c.answered != "" {
				d.browser(pi.NextAction.RedirectToURL.URL, "complete")
				switch pi := d.get(pi.ID); {
				case c.answered == pays:
					if pi.Status != "succeeded" || pi.NextAction != nil {
						t.Errorf("after the question: %+v", pi)
					}
				case pi.Status != "requires_payment_method" || string(pi.LastPaymentError.DeclineCode) != c.answered || pi.PaymentMethod != nil:
					t.Errorf("after the question: %s %+v", pi.Status, pi.LastPaymentError)
				}
			}
			pay(c.off, &stripe.PaymentIntentConfirmParams{OffSession: stripe.Bool(true)})

			fresh := d.do("POST", "/v1/payment_methods", "type=card&card[number]="+c.number+"&card[exp_month]=12&card[exp_year]=2060&card[cvc]=123")
			_, err = d.stripe.PaymentMethods.Attach(fresh.str("id"), &stripe.PaymentMethodAttachParams{Customer: &customer})
			if c.save == "" && err != nil {
				t.Error(err)
			} else if c.save != "" {
				e := wantError(t, err, 402, stripe.ErrorTypeCard, codeOf(c.save))
				if string(e.DeclineCode) != declineCodeOf(c.save) {
					t.Errorf("decline code %q", e.DeclineCode)
				}
			}
		})
	}
}

// codeOf and declineCodeOf split what TestCards names by one word: the table of
// docs.stripe.com/testing#declined-payments has a decline code or none.
func codeOf(word string) stripe.ErrorCode {
	switch word {
	case "expired_card", "incorrect_cvc", "processing_error", "authentication_required":
		return stripe.ErrorCode(word)
	}
	return stripe.ErrorCodeCardDeclined
}

func declineCodeOf(word string) string {
	switch word {
	case "expired_card", "incorrect_cvc", "processing_error":
		return ""
	}
	return word
}

// wantDecline holds a declined confirmation to its documented shape.
func wantDecline(t *testing.T, d *desk, err error, word string) {
	t.Helper()
	e := wantError(t, err, 402, stripe.ErrorTypeCard, codeOf(word))
	if string(e.DeclineCode) != declineCodeOf(word) || e.Msg == "" || e.ChargeID == "" || e.PaymentMethod == nil || e.PaymentIntent == nil {
		t.Fatalf("decline %+v", e)
	}
	pi := d.get(e.PaymentIntent.ID)
	if pi.Status != "requires_payment_method" || e.PaymentIntent.Status != pi.Status || pi.PaymentMethod != nil {
		t.Errorf("a declined intent is %s with method %v", pi.Status, pi.PaymentMethod)
	}
	if l := pi.LastPaymentError; l == nil || l.Code != e.Code || l.DeclineCode != e.DeclineCode || l.PaymentMethod.ID != e.PaymentMethod.ID {
		t.Errorf("last_payment_error %+v", l)
	}
	if pi.LatestCharge == nil || pi.LatestCharge.ID != e.ChargeID {
		t.Errorf("latest_charge %+v", pi.LatestCharge)
	}
	if ch, err := d.stripe.Charges.Get(e.ChargeID, nil); err != nil || ch.Paid || ch.Status != "failed" || ch.FailureCode != string(e.Code) {
		t.Errorf("failed charge %+v %v", ch, err)
	}
}

func TestAnotherCardAfterADecline(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	customer, bad := d.buyer("4000000000000002")
	good, err := d.AddCard(customer, "4242424242424242")
	if err != nil {
		t.Fatal(err)
	}
	pi := d.create(newIntent(customer, bad, ""))
	_, err = d.stripe.PaymentIntents.Confirm(pi.ID, confirmParams("confirm:1"))
	wantDecline(t, d, err, "generic_decline")

	_, err = d.stripe.PaymentIntents.Confirm(pi.ID, confirmParams("confirm:2"))
	wantError(t, err, 400, stripe.ErrorTypeInvalidRequest, stripe.ErrorCodePaymentIntentUnexpectedState)

	p := confirmParams("confirm:3")
	p.PaymentMethod = &good
	if pi, err = d.stripe.PaymentIntents.Confirm(pi.ID, p); err != nil || pi.Status != "succeeded" || pi.LastPaymentError != nil {
		t.Fatal(err, pi)
	}
	d.wantCharges(1)
}

// TestStates calls every operation in every state and names the answer.
func TestStates(t *testing.T) {
	t.Parallel()
	reach := map[string]func(*desk) string{
		"requires_payment_method": func(d *desk) string {
			p := newIntent(d.AddCustomer(""), "", "")
			p.PaymentMethod = nil
			return d.create(p).ID
		},
		"requires_confirmation": func(d *desk) string { return d.prepare("4242424242424242").ID },
		"requires_action": func(d *desk) string {
			pi := d.prepare("4000002760003184")
			if _, err := d.stripe.PaymentIntents.Confirm(pi.ID, confirmParams("")); err != nil {
				d.t.Fatal(err)
			}
			return pi.ID
		},
		"processing": func(d *desk) string {
			d.HoldCharges(true)
			pi := d.prepare("4242424242424242")
			if _, err := d.stripe.PaymentIntents.Confirm(pi.ID, confirmParams("")); err != nil {
				d.t.Fatal(err)
			}
			return pi.ID
		},
		"succeeded": func(d *desk) string {
			pi := d.prepare("4242424242424242")
			if _, err := d.stripe.PaymentIntents.Confirm(pi.ID, confirmParams("")); err != nil {
				d.t.Fatal(err)
			}
			return pi.ID
		},
		"canceled": func(d *desk) string {
			pi := d.prepare("4242424242424242")
			if _, err := d.stripe.PaymentIntents.Cancel(pi.ID, nil); err != nil {
				d.t.Fatal(err)
			}
			return pi.ID
		},
	}
	const no = "payment_intent_unexpected_state"
	for state, want := range map[string]struct{ confirm, cancel, amount, metadata string }{
		"requires_payment_method": {no, "canceled", "requires_payment_method", "requires_payment_method"},
		"requires_confirmation":   {"succeeded", "canceled", "requires_confirmation", "requires_confirmation"},
		"requires_action":         {"requires_action", "canceled", "requires_confirmation", "requires_action"},
		"processing":              {no, no, no, "processing"},
		"succeeded":               {no, no, no, "succeeded"},
		"canceled":                {no, no, no, "canceled"},
	} {
		for _, call := range []struct{ name, path, params, want string }{
			{"confirm", "/confirm", "return_url=https://shop.example/", want.confirm},
			{"cancel", "/cancel", "cancellation_reason=abandoned", want.cancel},
			{"amount", "", "amount=900", want.amount},
			{"metadata", "", "metadata[note]=x", want.metadata},
		} {
			t.Run(state+"/"+call.name, func(t *testing.T) {
				t.Parallel()
				d := start(t, stripetest.Options{})
				id := reach[state](d)
				r := d.do("POST", "/v1/payment_intents/"+id+call.path, call.params)
				if call.want == no {
					d.wantReply(r, 400, no)
					if r.str("error.payment_intent.status") != state || string(d.get(id).Status) != state {
						t.Error("the intent in the error is not as it was")
					}
				} else if r.status != 200 || r.str("status") != call.want {
					t.Errorf("got %d %s, want %s", r.status, r.body, call.want)
				}
			})
		}
	}
}

func TestProcessingSettles(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	d.HoldCharges(true)
	pi := d.prepare("4242424242424242")
	pi, err := d.stripe.PaymentIntents.Confirm(pi.ID, confirmParams(""))
	if err != nil || pi.Status != "processing" {
		t.Fatal(err, pi)
	}
	d.wantCharges(0)
	d.HoldCharges(false)
	if got := d.get(pi.ID).Status; got != "succeeded" {
		t.Error(got)
	}
	d.wantCharges(1)
}

func TestBank(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	pi := d.prepare("4000002760003184")
	pi, err := d.stripe.PaymentIntents.Confirm(pi.ID, confirmParams(""))
	if err != nil || pi.Status != "requires_action" || pi.NextAction.Type != "redirect_to_url" || pi.NextAction.RedirectToURL.ReturnURL != "https://shop.example/back?p=1" {
		t.Fatal(err, pi)
	}
	page := pi.NextAction.RedirectToURL.URL
	show := func() string {
		resp, err := http.Get(page)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return string(body)
	}
	if html := show(); !strings.Contains(html, "Complete authentication") || !strings.Contains(html, "Fail authentication") || !strings.Contains(html, "No real money") || !strings.Contains(html, "14999") {
		t.Errorf("the bank's page: %s", html)
	}
	if got := d.get(pi.ID).Status; got != "requires_action" {
		t.Errorf("looking at the page made the intent %s", got)
	}

	back := d.browser(page, "fail")
	q := back.Query()
	if back.Host != "shop.example" || q.Get("p") != "1" || q.Get("payment_intent") != pi.ID || q.Get("payment_intent_client_secret") != pi.ClientSecret || q.Get("redirect_status") != "failed" {
		t.Errorf("sent back to %s", back)
	}
	pi = d.get(pi.ID)
	if pi.Status != "requires_payment_method" || pi.LastPaymentError.Code != stripe.ErrorCodePaymentIntentAuthenticationFailure {
		t.Errorf("after a failed question: %s %+v", pi.Status, pi.LastPaymentError)
	}
	if q := d.browser(page, "complete").Query(); q.Get("redirect_status") != "failed" {
		t.Error("a question was answered twice")
	}
	d.wantCharges(0)
	if html := show(); strings.Contains(html, "<form") {
		t.Error("a closed question still has its buttons")
	}

	p := confirmParams("")
	p.PaymentMethod = stripe.String(pi.LastPaymentError.PaymentMethod.ID)
	if pi, err = d.stripe.PaymentIntents.Confirm(pi.ID, p); err != nil {
		t.Fatal(err)
	}
	if q := d.browser(pi.NextAction.RedirectToURL.URL, "complete").Query(); q.Get("redirect_status") != "succeeded" {
		t.Error(q)
	}
	d.wantCharges(1)

	// Cancelled while the buyer reads the page: the answer comes too late.
	late := d.prepare("4000002760003184")
	if late, err = d.stripe.PaymentIntents.Confirm(late.ID, confirmParams("")); err != nil {
		t.Fatal(err)
	}
	page = late.NextAction.RedirectToURL.URL
	if _, err := d.stripe.PaymentIntents.Cancel(late.ID, nil); err != nil {
		t.Fatal(err)
	}
	if q := d.browser(page, "complete").Query(); q.Get("redirect_status") != "failed" || d.get(late.ID).Status != "canceled" {
		t.Error("a cancelled intent was paid")
	}
	d.wantCharges(1)

	// Without return_url the question is for a client library.
	lib := d.prepare("4000002760003184")
	if lib, err = d.stripe.PaymentIntents.Confirm(lib.ID, nil); err != nil || lib.NextAction.Type != "use_stripe_sdk" {
		t.Error(err, lib)
	}
}

func TestSetUpCardIsNotAskedOffSession(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	customer, method := d.buyer("4000002500003155")
	p := newIntent(customer, method, "")
	p.SetupFutureUsage = stripe.String("off_session")
	pi, err := d.stripe.PaymentIntents.Confirm(d.create(p).ID, confirmParams(""))
	if err != nil {
		t.Fatal(err)
	}
	d.browser(pi.NextAction.RedirectToURL.URL, "complete")

	off := newIntent(customer, method, "")
	off.Confirm, off.OffSession = stripe.Bool(true), stripe.Bool(true)
	if pi := d.create(off); pi.Status != "succeeded" {
		t.Error(pi.Status)
	}
	on, err := d.stripe.PaymentIntents.Confirm(d.create(newIntent(customer, method, "")).ID, confirmParams(""))
	if err != nil || on.Status != "requires_action" {
		t.Error("on-session such a card always asks", err, on)
	}
}

func TestReturnURL(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	for _, c := range []struct {
		name, create, confirm string
		ok                    bool
	}{
		{"all methods of the dashboard", "", "", false},
		{"automatic", "&automatic_payment_methods[enabled]=true", "", false},
		{"with return_url", "", "return_url=https://shop.example/", true},
		{"off-session", "", "off_session=true", true},
		{"no redirects", "&automatic_payment_methods[enabled]=true&automatic_payment_methods[allow_redirects]=never", "", true},
		{"card alone", "&payment_method_types[]=card", "", true},
		{"not a URL", "", "return_url=shop", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			customer, method := d.buyer("4242424242424242")
			pi := d.do("POST", "/v1/payment_intents", "amount=500&currency=eur&customer="+customer+"&payment_method="+method+c.create)
			r := d.do("POST", "/v1/payment_intents/"+pi.str("id")+"/confirm", c.confirm)
			if c.ok && r.status != 200 {
				t.Errorf("refused: %v", r.body)
			}
			if !c.ok && (r.status != 400 || r.str("error.param") != "return_url") {
				t.Errorf("got %d %v", r.status, r.body)
			}
		})
	}
}

func TestPaymentMethodsBelong(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	customer, method := d.buyer("4242424242424242")
	stranger := d.AddCustomer("")
	if _, err := d.stripe.PaymentMethods.Attach(method, &stripe.PaymentMethodAttachParams{Customer: &stranger}); err == nil {
		t.Error("a card was attached to two customers")
	}
	for name, params := range map[string]string{"another's": "&customer=" + stranger, "nobody's": ""} {
		if r := d.do("POST", "/v1/payment_intents", "amount=500&currency=usd&payment_method="+method+params); r.status != 400 {
			t.Errorf("%s intent took the card: %v", name, r.body)
		}
	}
	pi := d.create(newIntent(customer, method, ""))
	if _, err := d.stripe.PaymentMethods.Detach(method, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := d.stripe.PaymentIntents.Confirm(pi.ID, confirmParams("")); err == nil {
		t.Error("a detached card was charged")
	}
	if _, err := d.stripe.PaymentMethods.Attach(method, &stripe.PaymentMethodAttachParams{Customer: &customer}); err == nil {
		t.Error("a detached card was attached again")
	}

	// Used once without a customer, it is used up.
	once := d.do("POST", "/v1/payment_methods", "type=card&card[token]=tok_visa").str("id")
	buy := "amount=500&currency=usd&confirm=true&payment_method_types[]=card&payment_method=" + once
	if r := d.do("POST", "/v1/payment_intents", buy); r.str("status") != "succeeded" {
		t.Errorf("%v", r.body)
	}
	if r := d.do("POST", "/v1/payment_intents", buy); r.status != 400 {
		t.Errorf("%v", r.body)
	}
	d.wantCharges(1)
}
