package stripetest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"hashtill/confirm/stripe/stripetest"

	"github.com/stripe/stripe-go/v76"
)

func TestRefusals(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	many := make([]string, 51)
	for i := range many {
		many[i] = fmt.Sprintf("metadata[k%d]=v", i)
	}
	const pis, pms = "/v1/payment_intents", "/v1/payment_methods"
	for _, c := range []struct {
		name, method, path, params string
		status                     int
		kind, code, param          string
	}{
		{"unknown URL", "GET", "/v1/frobs", "", 404, "invalid_request_error", "", ""},
		{"unknown method", "PUT", "/v1/customers", "", 404, "invalid_request_error", "", ""},
		{"unknown parameter", "POST", "/v1/customers", "colour=red", 400, "invalid_request_error", "parameter_unknown", "colour"},
		{"unknown nested parameter", "POST", pis, "amount=500&currency=usd&automatic_payment_methods[all]=1", 400, "invalid_request_error", "parameter_unknown", "automatic_payment_methods[all]"},
		{"paging where there is no list", "GET", "/v1/balance", "limit=3", 400, "invalid_request_error", "parameter_unknown", "limit"},
		{"missing amount", "POST", pis, "currency=usd", 400, "invalid_request_error", "parameter_missing", "amount"},
		{"missing currency", "POST", pis, "amount=500", 400, "invalid_request_error", "parameter_missing", "currency"},
		{"empty currency", "POST", pis, "amount=500&currency=", 400, "invalid_request_error", "parameter_invalid_empty", "currency"},
		{"unknown intent", "GET", pis + "/pi_none", "", 404, "invalid_request_error", "resource_missing", "intent"},
		{"unknown intent to confirm", "POST", pis + "/pi_none/confirm", "", 404, "invalid_request_error", "resource_missing", "intent"},
		{"unknown customer", "GET", "/v1/customers/cus_none", "", 404, "invalid_request_error", "resource_missing", "id"},
		{"unknown customer as parameter", "POST", pis, "amount=500&currency=usd&customer=cus_none", 400, "invalid_request_error", "resource_missing", "customer"},
		{"unknown method as parameter", "POST", pis, "amount=500&currency=usd&payment_method=pm_none", 400, "invalid_request_error", "resource_missing", "payment_method"},
		{"unknown refund", "GET", "/v1/refunds/re_none", "", 404, "invalid_request_error", "resource_missing", "id"},
		{"unknown event", "GET", "/v1/events/evt_none", "", 404, "invalid_request_error", "resource_missing", "id"},
		{"refund of nothing", "POST", "/v1/refunds", "", 400, "invalid_request_error", "", ""},
		{"return_url without confirm", "POST", pis, "amount=500&currency=usd&return_url=https://shop.example", 400, "invalid_request_error", "", "return_url"},
		{"off_session without confirm", "POST", pis, "amount=500&currency=usd&off_session=true", 400, "invalid_request_error", "", "off_session"},
		{"manual capture is not played", "POST", pis, "amount=500&currency=usd&capture_method=manual", 400, "invalid_request_error", "", "capture_method"},
		{"other method types are not played", "POST", pis, "amount=500&currency=usd&payment_method_types[]=ideal", 400, "invalid_request_error", "", "payment_method_types"},
		{"cancellation reason", "POST", pis + "/pi_none/cancel", "cancellation_reason=whim", 400, "invalid_request_error", "", "cancellation_reason"},
		{"51 keys of metadata", "POST", "/v1/customers", strings.Join(many, "&"), 400, "invalid_request_error", "", "metadata"},
		{"long metadata", "POST", "/v1/customers", "metadata[k]=" + strings.Repeat("v", 501), 400, "invalid_request_error", "", "metadata[k]"},
		{"long metadata key", "POST", "/v1/customers", "metadata[" + strings.Repeat("k", 41) + "]=v", 400, "invalid_request_error", "", "metadata"},
		{"limit", "GET", "/v1/customers", "limit=101", 400, "invalid_request_error", "parameter_invalid_integer", "limit"},
		{"cursor", "GET", "/v1/customers", "starting_after=cus_none", 400, "invalid_request_error", "resource_missing", "starting_after"},
		{"expand", "GET", "/v1/account", "expand[]=owner", 400, "invalid_request_error", "", "expand"},
		{"card number", "POST", pms, "type=card&card[number]=4242424242424241&card[exp_month]=1&card[exp_year]=2060", 402, "card_error", "incorrect_number", "number"},
		{"real card", "POST", pms, "type=card&card[number]=4111111111111111&card[exp_month]=1&card[exp_year]=2060", 402, "card_error", "card_declined", ""},
		{"month", "POST", pms, "type=card&card[number]=4242424242424242&card[exp_month]=13&card[exp_year]=2060", 402, "card_error", "invalid_expiry_month", "exp_month"},
		{"year", "POST", pms, "type=card&card[number]=4242424242424242&card[exp_month]=1&card[exp_year]=2020", 402, "card_error", "invalid_expiry_year", "exp_year"},
		{"no expiry", "POST", pms, "type=card&card[number]=4242424242424242", 400, "invalid_request_error", "parameter_missing", "card[exp_month]"},
		{"no customer to list", "GET", pms, "", 400, "invalid_request_error", "parameter_missing", "customer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := c.path
			if c.method == "GET" && c.params != "" {
				path, c.params = path+"?"+c.params, ""
			}
			r := d.do(c.method, path, c.params)
			d.wantReply(r, c.status, c.code)
			if r.str("error.type") != c.kind || r.str("error.param") != c.param || r.str("error.message") == "" {
				t.Errorf("%v", r.body)
			}
			if (r.str("error.doc_url") == "") != (c.code == "") {
				t.Errorf("doc_url %q", r.str("error.doc_url"))
			}
		})
	}
	if len(d.Charges()) != 0 {
		t.Error("a refusal charged")
	}
}

func TestAmounts(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	for _, c := range []struct {
		amount, currency string
		code             string // of the error
		ok               bool
	}{
		{"50", "usd", "", true}, {"49", "usd", "amount_too_small", false},
		{"50", "eur", "", true}, {"49", "eur", "amount_too_small", false},
		{"30", "gbp", "", true}, {"29", "gbp", "amount_too_small", false},
		{"50", "jpy", "", true}, {"49", "jpy", "amount_too_small", false},
		{"5120", "kwd", "", true}, {"5124", "kwd", "", false},
		{"500", "isk", "", true}, {"550", "isk", "", false},
		{"99999999", "usd", "", true}, {"100000000", "usd", "amount_too_large", false},
		{"0", "usd", "parameter_invalid_integer", false}, {"-500", "usd", "parameter_invalid_integer", false},
		{"5.00", "usd", "parameter_invalid_integer", false}, {"5e2", "usd", "parameter_invalid_integer", false},
		{"500", "USD", "", false}, {"500", "xyz", "", false}, {"500", "dollars", "", false},
	} {
		r := d.do("POST", "/v1/payment_intents", "amount="+c.amount+"&currency="+c.currency)
		if (r.status == 200) != c.ok || r.str("error.code") != c.code {
			t.Errorf("%s %s: %d %v", c.amount, c.currency, r.status, r.body["error"])
		}
	}
}

func TestAuthorization(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{Key: "sk_test_mine"})
	basic, _ := http.NewRequest("GET", "/", nil)
	basic.SetBasicAuth("sk_test_mine", "")
	for header, want := range map[string]int{
		"Bearer sk_test_mine": 200, basic.Header.Get("Authorization"): 200,
		"Bearer sk_test_other": 401, "Bearer ": 401, "": 401, "sk_test_mine": 401,
	} {
		r := d.do("GET", "/v1/balance", "", "Authorization", header)
		if r.status != want || want == 401 && r.str("error.type") != "invalid_request_error" {
			t.Errorf("%q: %d %v", header, r.status, r.body)
		}
		if strings.Contains(r.str("error.message"), "sk_test_other") {
			t.Error("the error tells the whole key")
		}
	}
	if r := d.do("POST", "/v1/customers", `{"email":"a@example.com"}`, "Content-Type", "application/json"); r.status != 400 {
		t.Errorf("JSON was taken: %v", r.body)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	for version, want := range map[string]string{"2023-10-16": "2023-10-16", "": stripetest.APIVersion} {
		r := d.do("POST", "/v1/customers", "", "Stripe-Version", version, "Idempotency-Key", "key"+version)
		if !strings.HasPrefix(r.header.Get("Request-Id"), "req_") || r.header.Get("Stripe-Version") != want || r.header.Get("Idempotency-Key") != "key"+version {
			t.Errorf("%v", r.header)
		}
	}
}

func TestCustomers(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	p := &stripe.CustomerParams{Email: stripe.String("ann@example.com"), Name: stripe.String("Ann"), PreferredLocales: nil,
		Shipping: &stripe.CustomerShippingParams{Name: stripe.String("Ann"), Address: &stripe.AddressParams{Line1: stripe.String("1 High St"), Country: stripe.String("GB")}}}
	p.AddMetadata("network", "x")
	p.AddMetadata("account", "42")
	cus, err := d.stripe.Customers.New(p)
	if err != nil {
		t.Fatal(err)
	}
	if cus.Email != "ann@example.com" || cus.Metadata["account"] != "42" || cus.Shipping.Address.Line1 != "1 High St" {
		t.Errorf("customer %+v", cus)
	}
	pm, err := d.stripe.PaymentMethods.Attach("pm_card_visa", &stripe.PaymentMethodAttachParams{Customer: &cus.ID})
	if err != nil || pm.Card.Last4 != "4242" || pm.ID == "pm_card_visa" {
		t.Fatal(err, pm)
	}
	up := &stripe.CustomerParams{Email: stripe.String("ann@example.org"), InvoiceSettings: &stripe.CustomerInvoiceSettingsParams{DefaultPaymentMethod: &pm.ID}}
	up.AddMetadata("network", "")
	if cus, err = d.stripe.Customers.Update(cus.ID, up); err != nil || cus.Email != "ann@example.org" || cus.Name != "Ann" || len(cus.Metadata) != 1 || cus.InvoiceSettings.DefaultPaymentMethod.ID != pm.ID {
		t.Fatal(err, cus)
	}
	it := d.stripe.Customers.List(&stripe.CustomerListParams{Email: stripe.String("ann@example.org")})
	if !it.Next() || it.Customer().ID != cus.ID || it.Next() {
		t.Error("not listed by e-mail", it.Err())
	}
	if del, err := d.stripe.Customers.Del(cus.ID, nil); err != nil || !del.Deleted {
		t.Fatal(err, del)
	}
	if got, err := d.stripe.Customers.Get(cus.ID, nil); err != nil || !got.Deleted {
		t.Error(err, got)
	}
	if pm, err := d.stripe.PaymentMethods.Get(pm.ID, nil); err != nil || pm.Customer != nil {
		t.Error("a deleted customer keeps a card", err)
	}
	d.wantReply(d.do("POST", "/v1/payment_intents", "amount=500&currency=usd&customer="+cus.ID), 400, "resource_missing")
}

func TestLists(t *testing.T) {
	t.Parallel()
	clk := newClock()
	d := start(t, stripetest.Options{Now: clk.Now})
	customer, method := d.buyer("4242424242424242")
	other, otherMethod := d.buyer("4242424242424242")
	begin := clk.Now().Unix()
	var ids []string // newest first
	for range 25 {
		ids = append([]string{d.create(newIntent(customer, method, "")).ID}, ids...)
		d.create(newIntent(other, otherMethod, ""))
		clk.turn(time.Minute)
	}
	list := func(p *stripe.PaymentIntentListParams) []string {
		t.Helper()
		var got []string
		it := d.stripe.PaymentIntents.List(p)
		for it.Next() {
			got = append(got, it.PaymentIntent().ID)
		}
		if it.Err() != nil {
			t.Fatal(it.Err())
		}
		return got
	}
	want := func(got, want []string) {
		t.Helper()
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("got %d %q\nwant %d %q", len(got), got, len(want), want)
		}
	}
	want(list(&stripe.PaymentIntentListParams{Customer: &customer}), ids)
	p := &stripe.PaymentIntentListParams{Customer: &customer, CreatedRange: &stripe.RangeQueryParams{GreaterThanOrEqual: begin + 60, LesserThan: begin + 180}}
	p.Limit = stripe.Int64(1)
	want(list(p), []string{ids[22], ids[23]})
	if n := len(list(&stripe.PaymentIntentListParams{})); n != 50 {
		t.Errorf("%d in all", n)
	}
	page := func(query string) (got []string, more bool) {
		r := d.do("GET", "/v1/payment_intents?customer="+customer+"&"+query, "")
		for _, o := range r.body["data"].([]any) {
			got = append(got, o.(map[string]any)["id"].(string))
		}
		return got, r.body["has_more"].(bool)
	}
	for _, c := range []struct {
		query    string
		from, to int
		more     bool
	}{
		{"", 0, 10, true},
		{"limit=25", 0, 25, false},
		{"limit=3&starting_after=" + ids[4], 5, 8, true},
		{"limit=3&starting_after=" + ids[22], 23, 25, false},
		{"limit=3&ending_before=" + ids[4], 1, 4, true},
		{"limit=3&ending_before=" + ids[2], 0, 2, false},
		{"ending_before=" + ids[0], 0, 0, false},
		{fmt.Sprintf("created=%d", begin), 24, 25, false},
		{fmt.Sprintf("created[lte]=%d&created[gt]=%d", begin+120, begin), 22, 24, false},
	} {
		got, more := page(c.query)
		want(got, ids[c.from:c.to])
		if more != c.more {
			t.Errorf("%s: has_more %v", c.query, more)
		}
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	pi := d.prepare("4242424242424242")
	if _, err := d.stripe.PaymentIntents.Confirm(pi.ID, nil); err != nil {
		t.Fatal(err)
	}
	r := d.do("GET", "/v1/payment_intents/"+pi.ID+"?expand[]=latest_charge.customer&expand[0]=payment_method", "")
	if r.str("latest_charge.customer.email") != "buyer@example.com" || r.str("payment_method.type") != "card" || r.str("customer") == "" {
		t.Errorf("%v", r.body)
	}
	it := d.stripe.PaymentIntents.List(&stripe.PaymentIntentListParams{Expand: stripe.StringSlice([]string{"data.latest_charge"})})
	if !it.Next() || !it.PaymentIntent().LatestCharge.Paid {
		t.Error(it.Err())
	}
	for _, path := range []string{"id", "amount", "client_secret", "latest_charge.payment_method", "latest_charge.amount"} {
		if r := d.do("GET", "/v1/payment_intents/"+pi.ID+"?expand[]="+path, ""); r.status != 400 {
			t.Errorf("%s was expanded", path)
		}
	}
}

func TestSeeding(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	if _, err := d.AddCard("cus_none", "4242424242424242"); err == nil {
		t.Error("a card for nobody")
	}
	if _, err := d.AddCard(d.AddCustomer(""), "4111111111111111"); err == nil {
		t.Error("a card that is no test card")
	}
	if _, err := stripetest.Start(stripetest.Options{Listen: "127.0.0.1:none"}); err == nil {
		t.Error("listening nowhere")
	}
}
