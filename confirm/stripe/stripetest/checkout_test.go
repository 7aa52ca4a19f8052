package stripetest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/confirm/stripe/stripetest"

	"github.com/stripe/stripe-go/v76"
)

// newSession is a page on which a customer saves a card.
func newSession(customer string) *stripe.CheckoutSessionParams {
	return &stripe.CheckoutSessionParams{
		Mode: stripe.String("setup"), Customer: &customer, PaymentMethodTypes: stripe.StringSlice([]string{"card"}),
		SuccessURL: stripe.String("https://shop.example/done?s={CHECKOUT_SESSION_ID}"), CancelURL: stripe.String("https://shop.example/cards?a=1&b=2"),
		Metadata: map[string]string{"account": "x:7"},
	}
}

func (d *desk) session(p *stripe.CheckoutSessionParams) *stripe.CheckoutSession {
	d.t.Helper()
	cs, err := d.stripe.CheckoutSessions.New(p)
	if err != nil {
		d.t.Fatal(err)
	}
	return cs
}

// look retrieves a session with its SetupIntent and card.
func (d *desk) look(id string) *stripe.CheckoutSession {
	d.t.Helper()
	p := &stripe.CheckoutSessionParams{}
	p.AddExpand("setup_intent.payment_method")
	cs, err := d.stripe.CheckoutSessions.Get(id, p)
	if err != nil {
		d.t.Fatal(err)
	}
	return cs
}

// visit fetches a page, or posts a form to it, without a key, as a browser does.
func (d *desk) visit(page string, form url.Values) (status int, text, location string) {
	d.t.Helper()
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	get := func() (*http.Response, error) { return c.Get(page) }
	if form != nil {
		get = func() (*http.Response, error) { return c.PostForm(page, form) }
	}
	resp, err := get()
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header.Get("Location")
}

func filled(number string) url.Values {
	return url.Values{"number": {number}, "exp": {"12 / 30"}, "cvc": {"123"}, "postal": {"75011"}}
}

func (d *desk) kinds() []string {
	d.t.Helper()
	var kinds []string
	it := d.stripe.Events.List(&stripe.EventListParams{})
	for it.Next() {
		kinds = append(kinds, string(it.Event().Type))
	}
	slices.Reverse(kinds)
	return kinds
}

func TestCheckout(t *testing.T) {
	t.Parallel()
	clk := newClock()
	d := start(t, stripetest.Options{Now: clk.Now})
	cus := d.AddCustomer("ann@example.com")
	cs := d.session(newSession(cus))
	if cs.Status != "open" || cs.Mode != "setup" || cs.PaymentStatus != "no_payment_required" || cs.Customer.ID != cus || cs.Metadata["account"] != "x:7" ||
		!strings.HasPrefix(cs.URL, d.URL()+"/checkout/cs_test_") || cs.ExpiresAt != clk.Now().Add(24*time.Hour).Unix() || cs.Created != clk.Now().Unix() {
		t.Fatalf("session %+v", cs)
	}
	if si := d.look(cs.ID).SetupIntent; si.Status != "requires_payment_method" || si.Customer.ID != cus || si.Usage != "off_session" || si.PaymentMethod != nil {
		t.Errorf("setup %+v", si)
	}
	status, html, _ := d.visit(cs.URL, nil)
	for _, want := range []string{"stand-in for Stripe Checkout – no real card", `name="viewport" content="width=device-width`, `id="number"`, `id="exp"`, `id="cvc"`,
		`id="save"`, `id="back" href="https://shop.example/cards?a=1&amp;b=2"`, "ann@example.com"} {
		if status != 200 || !strings.Contains(html, want) {
			t.Errorf("the page (%d) lacks %s:\n%s", status, want, html)
		}
	}

	clk.turn(time.Minute)
	status, html, to := d.visit(cs.URL, filled("3782 822463 10005"))
	if status != 303 || to != "https://shop.example/done?s="+cs.ID {
		t.Fatalf("saved: %d to %q: %s", status, to, html)
	}
	done := d.look(cs.ID)
	si := done.SetupIntent
	pm := si.PaymentMethod
	if done.Status != "complete" || done.URL != "" || done.CustomerDetails.Email != "ann@example.com" || si.Status != "succeeded" || si.LastSetupError != nil {
		t.Errorf("session %+v setup %+v", done, si)
	}
	if pm.Customer.ID != cus || pm.Card.Brand != "amex" || pm.Card.Last4 != "0005" || pm.Card.ExpMonth != 12 || pm.Card.ExpYear != 2030 ||
		pm.BillingDetails.Address.PostalCode != "75011" || pm.BillingDetails.Email != "ann@example.com" || pm.Created != clk.Now().Unix() {
		t.Errorf("method %+v", pm)
	}
	if si, err := d.stripe.SetupIntents.Get(si.ID, nil); err != nil || si.PaymentMethod.ID != pm.ID {
		t.Error(err, si)
	}
	if got, want := d.kinds(), []string{"setup_intent.created", "payment_method.attached", "setup_intent.succeeded", "checkout.session.completed"}; !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}

	// A page that is done says so, and takes no second card.
	if status, html, _ := d.visit(cs.URL, nil); status != 200 || !strings.Contains(html, "card is saved") || strings.Contains(html, "<form") {
		t.Errorf("done: %d %s", status, html)
	}
	if status, _, to := d.visit(cs.URL, filled("4242424242424242")); status != 303 || to != cs.URL[len(d.URL()):] && to != cs.URL {
		t.Errorf("a second card: %d to %q", status, to)
	}
	if cards := d.stripe.PaymentMethods.List(&stripe.PaymentMethodListParams{Customer: &cus}); !cards.Next() || cards.Next() {
		t.Error("not one card")
	}
	_, err := d.stripe.CheckoutSessions.Expire(cs.ID, nil)
	wantError(t, err, 400, stripe.ErrorTypeInvalidRequest, "")
}

// TestCheckoutCards holds each test card to what it does when it is saved: saved,
// asks first, or why not; and afterwards off-session.
func TestCheckoutCards(t *testing.T) {
	t.Parallel()
	const asks = "asks"
	for _, c := range []struct{ number, save, off string }{
		{"4242424242424242", "", ""},
		{"378282246310005", "", ""},
		{"4000002500003155", asks, ""},
		{"4000002760003184", asks, "authentication_required"},
		{"4000003800000446", asks, ""},
		{"4000008260003178", asks, "card_declined"},
		{"4000008400001629", asks, "authentication_required"},
		{"4000000000000341", "", "card_declined"},
		{"4000000000000002", "card_declined", ""},
		{"4000000000009995", "card_declined", ""},
		{"4000000000009987", "card_declined", ""},
		{"4000000000009979", "card_declined", ""},
		{"4000000000000069", "expired_card", ""},
		{"4000000000000127", "incorrect_cvc", ""},
		{"4000000000000119", "processing_error", ""},
		{"4000000000006975", "card_declined", ""},
	} {
		t.Run(c.number, func(t *testing.T) {
			t.Parallel()
			d := start(t, stripetest.Options{})
			cus := d.AddCustomer("")
			cs := d.session(newSession(cus))
			status, html, to := d.visit(cs.URL, filled(c.number))
			si := d.look(cs.ID).SetupIntent
			switch c.save {
			case "":
			case asks:
				if status != 303 || si.Status != "requires_action" || si.NextAction.RedirectToURL.URL != to || si.PaymentMethod.Customer != nil {
					t.Fatalf("%d to %q: %+v", status, to, si)
				}
				if _, html, _ := d.visit(to, nil); !strings.Contains(html, "Save the card ending in "+c.number[len(c.number)-4:]) || strings.Contains(html, "Pay ") {
					t.Errorf("the bank asks: %s", html)
				}
				if u := d.browser(to, "fail"); u.String() != cs.URL {
					t.Errorf("back to %s", u)
				}
				failed := d.look(cs.ID)
				if failed.Status != "open" || failed.SetupIntent.Status != "requires_payment_method" || failed.SetupIntent.LastSetupError.Code != "setup_intent_authentication_failure" {
					t.Fatalf("%+v %+v", failed, failed.SetupIntent)
				}
				if _, html, _ := d.visit(cs.URL, nil); !strings.Contains(html, "unable to authenticate") {
					t.Errorf("the page says nothing: %s", html)
				}
				_, _, old := d.visit(cs.URL, filled(c.number))
				_, _, to := d.visit(cs.URL, filled(c.number)) // typed again: the first question is closed
				if u := d.browser(old, "complete"); u.String() != cs.URL || d.look(cs.ID).Status != "open" {
					t.Errorf("a closed question was answered: %s", u)
				}
				if u := d.browser(to, "complete"); u.Query().Get("s") != cs.ID {
					t.Errorf("back to %s", u)
				}
			default:
				if status != 422 || !strings.Contains(html, `role="alert">Your card`) && !strings.Contains(html, `role="alert">An error`) || strings.Contains(html, c.number) {
					t.Errorf("%d %s", status, html)
				}
				if si.Status != "requires_payment_method" || string(si.LastSetupError.Code) != c.save || si.PaymentMethod != nil {
					t.Errorf("setup %+v", si)
				}
				if got := d.kinds(); got[len(got)-1] != "setup_intent.setup_failed" {
					t.Errorf("events %v", got)
				}
				if status, _, _ := d.visit(cs.URL, filled("4242424242424242")); status != 303 {
					t.Errorf("another card: %d", status)
				}
			}
			done := d.look(cs.ID)
			if done.Status != "complete" || done.SetupIntent.Status != "succeeded" || done.SetupIntent.PaymentMethod.Customer.ID != cus {
				t.Fatalf("%+v %+v", done, done.SetupIntent)
			}
			p := newIntent(cus, done.SetupIntent.PaymentMethod.ID, "")
			p.Confirm, p.OffSession = stripe.Bool(true), stripe.Bool(true)
			_, err := d.stripe.PaymentIntents.New(p)
			if c.off != "" {
				wantError(t, err, 402, stripe.ErrorTypeCard, stripe.ErrorCode(c.off))
			} else if err != nil {
				t.Error("off-session:", err)
			}
		})
	}
}

// What is typed wrong is said, and nothing of the card is shown again.
func TestCheckoutForm(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{Now: newClock().Now})
	cus := d.AddCustomer("<b>ann</b>@example.com")
	p := newSession(cus)
	p.CancelURL = nil
	cs := d.session(p)
	if _, html, _ := d.visit(cs.URL, nil); strings.Contains(html, "<b>ann") || strings.Contains(html, `id="back"`) {
		t.Errorf("not escaped, or a way back to nowhere: %s", html)
	}
	for _, c := range []struct{ name, value, says string }{
		{"number", "", "number is incomplete"},
		{"number", "4242 4242 4242 4241", "number is incorrect"},
		{"number", "4111111111111111", "non test card"},
		{"exp", "", "expiration date is incomplete"},
		{"exp", "12", "expiration date is incomplete"},
		{"exp", "13/30", "expiration month is invalid"},
		{"exp", "02/26", "expiration month is invalid"}, // it is March
		{"exp", "12/25", "expiration year is invalid"},
		{"exp", "<x/30", "expiration month is invalid"},
		{"cvc", "", "security code is incomplete"},
		{"cvc", "12", "security code is invalid"},
	} {
		form := filled("4242424242424242")
		form.Set("postal", `"><script>`)
		form.Set(c.name, c.value)
		status, html, _ := d.visit(cs.URL, form)
		html = strings.ReplaceAll(html, "&#39;", "'")
		if status != 422 || !strings.Contains(html, c.says) {
			t.Errorf("%s=%q: %d, lacks %q: %s", c.name, c.value, status, c.says, html)
		}
		if strings.Contains(html, "<script") || strings.Contains(html, "<x/") || strings.Contains(html, "4242424242424242") || strings.Contains(html, "4111") {
			t.Errorf("%s=%q: shown as typed: %s", c.name, c.value, html)
		}
	}
	if cs := d.look(cs.ID); cs.Status != "open" {
		t.Errorf("session %s", cs.Status)
	}
	for _, exp := range []string{"0330", "03/30", "3/30", "03/2030", "032030"} {
		form := filled("4242424242424242")
		form.Set("exp", exp)
		cs := d.session(newSession(cus))
		if status, html, _ := d.visit(cs.URL, form); status != 303 {
			t.Errorf("%q: %d %s", exp, status, html)
		} else if card := d.look(cs.ID).SetupIntent.PaymentMethod.Card; card.ExpMonth != 3 || card.ExpYear != 2030 {
			t.Errorf("%q: %+v", exp, card)
		}
	}
	for _, path := range []string{"/checkout/cs_test_none", "/checkout/"} {
		if status, _, _ := d.visit(d.URL()+path, nil); status != 404 && status != 401 {
			t.Errorf("%s: %d", path, status)
		}
	}
}

func TestCheckoutEnds(t *testing.T) {
	t.Parallel()
	clk := newClock()
	d := start(t, stripetest.Options{Now: clk.Now})
	cus := d.AddCustomer("")
	over := func(cs *stripe.CheckoutSession) {
		t.Helper()
		if status, html, _ := d.visit(cs.URL, nil); status != 200 || !strings.Contains(html, "has expired") || strings.Contains(html, "<form") {
			t.Errorf("over: %d %s", status, html)
		}
		if _, _, to := d.visit(cs.URL, filled("4242424242424242")); !strings.HasSuffix(to, "/checkout/"+cs.ID) {
			t.Errorf("saving leads to %q", to)
		}
		if got := d.look(cs.ID); got.Status != "expired" || got.URL != "" || got.SetupIntent.Status != "canceled" || got.SetupIntent.PaymentMethod != nil {
			t.Errorf("session %+v setup %+v", got, got.SetupIntent)
		}
	}

	day := d.session(newSession(cus))
	p := newSession(cus)
	p.ExpiresAt = stripe.Int64(clk.Now().Add(30 * time.Minute).Unix())
	short := d.session(p)
	_, _, bank := d.visit(short.URL, filled("4000002500003155"))
	clk.turn(30 * time.Minute)
	if u := d.browser(bank, "complete"); u.String() != short.URL {
		t.Errorf("from the bank to %s", u)
	}
	over(short)
	clk.turn(24*time.Hour - 30*time.Minute - time.Second)
	if got := d.look(day.ID); got.Status != "open" {
		t.Error("expired too early")
	}
	clk.turn(time.Second)
	over(day)

	asked := d.session(newSession(cus))
	if cs, err := d.stripe.CheckoutSessions.Expire(asked.ID, nil); err != nil || cs.Status != "expired" {
		t.Error(err, cs)
	}
	over(asked)
	_, err := d.stripe.CheckoutSessions.Expire(asked.ID, nil)
	wantError(t, err, 400, stripe.ErrorTypeInvalidRequest, "")
	if n := strings.Count(fmt.Sprint(d.kinds()), "checkout.session.expired"); n != 3 {
		t.Errorf("%d sessions expired by event", n)
	}

	// The customer is gone: there is nobody to save a card for.
	lost := d.session(newSession(cus))
	if _, err := d.stripe.Customers.Del(cus, nil); err != nil {
		t.Fatal(err)
	}
	if status, html, _ := d.visit(lost.URL, filled("4242424242424242")); status != 422 || !strings.Contains(html, "No such customer") {
		t.Errorf("%d %s", status, html)
	}
}

func TestCheckoutRefusals(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{Now: newClock().Now})
	cus := d.AddCustomer("")
	const path = "/v1/checkout/sessions"
	base := "mode=setup&payment_method_types[]=card&success_url=https://shop.example/done&customer=" + cus
	if r := d.do("POST", path, base+"&locale=fr&client_reference_id=x:7&setup_intent_data[metadata][a]=b"); r.status != 200 || r.str("locale") != "fr" || r.str("client_reference_id") != "x:7" {
		t.Fatalf("%d %v", r.status, r.body)
	} else if si := d.do("GET", "/v1/setup_intents/"+r.str("setup_intent"), ""); si.str("metadata.a") != "b" {
		t.Errorf("setup %v", si.body)
	}
	if r := d.do("POST", path, "mode=setup&currency=eur&success_url=https://shop.example/done"); r.status != 200 {
		t.Errorf("no customer: %d %v", r.status, r.body)
	}
	for _, c := range []struct{ method, path, params, code, param string }{
		{"POST", path, strings.Replace(base, "mode=setup&", "", 1), "parameter_missing", "mode"},
		{"POST", path, strings.Replace(base, "mode=setup", "mode=gift", 1), "", "mode"},
		{"POST", path, strings.Replace(base, "mode=setup", "mode=payment", 1), "", "mode"},
		{"POST", path, base + "&ui_mode=embedded", "", "ui_mode"},
		{"POST", path, "mode=setup&payment_method_types[]=card", "parameter_missing", "success_url"},
		{"POST", path, strings.Replace(base, "https://shop.example", "", 1), "url_invalid", "success_url"},
		{"POST", path, strings.Replace(base, "https://", "javascript:", 1), "url_invalid", "success_url"},
		{"POST", path, base + "&cancel_url=shop", "url_invalid", "cancel_url"},
		{"POST", path, strings.Replace(base, "payment_method_types[]=card&", "", 1), "parameter_missing", "currency"},
		{"POST", path, base + "&currency=EUR", "", "currency"},
		{"POST", path, base + "&payment_method_types[]=ideal", "", "payment_method_types"},
		{"POST", path, base + "_none", "resource_missing", "customer"},
		{"POST", path, base + "&locale=tlh", "", "locale"},
		{"POST", path, base + "&client_reference_id=" + strings.Repeat("x", 201), "", "client_reference_id"},
		{"POST", path, base + "&expires_at=1772368199", "parameter_invalid_integer", "expires_at"},
		{"POST", path, base + "&expires_at=1772452801", "parameter_invalid_integer", "expires_at"},
		{"POST", path, base + "&shipping_address_collection[allowed_countries][]=FR", "", "shipping_address_collection"},
		{"POST", path, base + "&line_items[0][quantity]=1", "", "line_items"},
		{"POST", path, base + "&colour=red", "parameter_unknown", "colour"},
		{"POST", path, base + "&metadata[" + strings.Repeat("k", 41) + "]=v", "", "metadata"},
		{"POST", path, base + "&setup_intent_data[metadata][k]=" + strings.Repeat("v", 501), "", "metadata[k]"},
		{"GET", path + "?status=shut", "", "", "status"},
		{"GET", path + "/cs_none", "", "resource_missing", "session"},
		{"POST", path + "/cs_none/expire", "", "resource_missing", "session"},
		{"GET", "/v1/setup_intents/seti_none", "", "resource_missing", "intent"},
	} {
		r := d.do(c.method, c.path, c.params)
		if r.status/100 != 4 || r.str("error.type") != "invalid_request_error" || r.str("error.code") != c.code || r.str("error.param") != c.param {
			t.Errorf("%s %s %s: %d %v", c.method, c.path, c.params, r.status, r.body["error"])
		}
	}
}

func TestCheckoutLists(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	ann, bob := d.AddCustomer(""), d.AddCustomer("")
	first, second := d.session(newSession(ann)), d.session(newSession(ann))
	d.session(newSession(bob))
	d.visit(first.URL, filled("4242424242424242"))
	ids := func(p *stripe.CheckoutSessionListParams) (ids []string) {
		it := d.stripe.CheckoutSessions.List(p)
		for it.Next() {
			ids = append(ids, it.CheckoutSession().ID)
		}
		if it.Err() != nil {
			t.Error(it.Err())
		}
		return ids
	}
	if got := ids(&stripe.CheckoutSessionListParams{Customer: &ann}); !slices.Equal(got, []string{second.ID, first.ID}) {
		t.Errorf("ann's %v", got)
	}
	if got := ids(&stripe.CheckoutSessionListParams{Status: stripe.String("complete")}); !slices.Equal(got, []string{first.ID}) {
		t.Errorf("complete %v", got)
	}
}
