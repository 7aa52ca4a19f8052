package stripe_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"hashtill/confirm"
	"hashtill/confirm/stripe"
	"hashtill/confirm/stripe/stripetest"
	"hashtill/offers"
)

var bob = offers.Account{Network: "x", ID: "783214"}

const (
	doneURL   = "https://shop.example/join/card"
	cancelURL = "https://shop.example/join"
)

// A counter is a Wallet at a stand-in, and a buyer with a browser.
type counter struct {
	*stripe.Wallet
	*shop
}

func openCounter(t *testing.T) *counter {
	s := open(t, visa)
	return &counter{stripe.NewWallet(s.Till), s}
}

func newcomer() confirm.Customer {
	return confirm.Customer{Key: "customer/x:783214", Account: bob, Email: "bob@example.com", Lang: "fr"}
}

// customer makes bob one.
func (c *counter) customer() string {
	c.t.Helper()
	id, err := c.Customer(c.t.Context(), newcomer())
	if err != nil {
		c.t.Fatal(err)
	}
	return id
}

func saving(customer string) confirm.Saving {
	return confirm.Saving{Key: "card/1", Customer: customer, Account: bob, Lang: "fr", DoneURL: doneURL, BackURL: cancelURL}
}

func (c *counter) begin(s confirm.Saving) confirm.SavingPage {
	c.t.Helper()
	page, err := c.Begin(c.t.Context(), s)
	if err != nil {
		c.t.Fatal(err)
	}
	return page
}

// browse fetches a page, or posts a form to it, and returns the status, the text and
// where the browser is sent.
func (c *counter) browse(page string, form url.Values) (status int, text, location string) {
	c.t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	get := func() (*http.Response, error) { return client.Get(page) }
	if form != nil {
		get = func() (*http.Response, error) { return client.PostForm(page, form) }
	}
	res, err := get()
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return res.StatusCode, string(body), res.Header.Get("Location")
}

// typed is the form of the page, filled in.
func typed(number string) url.Values {
	return url.Values{"number": {number}, "exp": {"04/31"}, "cvc": {"123"}, "postal": {"H2X 1Y4"}}
}

func (c *counter) wantSaved(page string, status confirm.SavingStatus, customer string) offers.Card {
	c.t.Helper()
	got, err := c.Saved(c.t.Context(), page)
	if err != nil || got.Status != status || got.Customer != customer || (got.Card.ID == "") == (status == confirm.Saved) {
		c.t.Fatalf("got %+v, %v; want %s", got, err, status)
	}
	return got.Card
}

// list is what the stand-in answers to a GET.
func (c *counter) list(path string) (ids []string) {
	c.t.Helper()
	req, err := http.NewRequest(http.MethodGet, c.srv.URL()+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.srv.Key())
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	var v struct{ Data []struct{ ID string } }
	if err := json.NewDecoder(res.Body).Decode(&v); err != nil {
		c.t.Fatal(err)
	}
	for _, d := range v.Data {
		ids = append(ids, d.ID)
	}
	return ids
}

// From nothing to a card that pays.
func TestWalletWalk(t *testing.T) {
	c := openCounter(t)
	cus := c.customer()
	page := c.begin(saving(cus))
	c.wantSaved(page.ID, confirm.SavingOpen, cus)

	made := c.posts("/customers")[0]
	if exp := (url.Values{"email": {"bob@example.com"}, "metadata[account]": {"x:783214"}, "preferred_locales[0]": {"fr"}}); made.Params.Encode() != exp.Encode() || made.IdempotencyKey != "customer/x:783214" {
		t.Errorf("made the customer with %v under %q", made.Params, made.IdempotencyKey)
	}
	begun := c.posts("/checkout/sessions")[0]
	if exp := (url.Values{"mode": {"setup"}, "customer": {cus}, "payment_method_types[0]": {"card"}, "success_url": {doneURL}, "cancel_url": {cancelURL},
		"locale": {"fr"}, "client_reference_id": {"x:783214"}, "metadata[account]": {"x:783214"}}); begun.Params.Encode() != exp.Encode() || begun.IdempotencyKey != "card/1" {
		t.Errorf("began the page with %v under %q", begun.Params, begun.IdempotencyKey)
	}

	if status, text, _ := c.browse(page.URL, nil); status != http.StatusOK || !strings.Contains(text, `id="save"`) || !strings.Contains(text, cancelURL) {
		t.Fatalf("the page: %d %s", status, text)
	}
	if status, text, to := c.browse(page.URL, typed(visa)); status != http.StatusSeeOther || to != doneURL {
		t.Fatalf("saving: %d to %q: %s", status, to, text)
	}
	card := c.wantSaved(page.ID, confirm.Saved, cus)
	if card.Brand != "visa" || card.Last4 != "4242" || card.Month != 4 || card.Year != 2031 {
		t.Errorf("card %+v", card)
	}

	p := c.payment()
	p.Customer, p.Card = cus, card.ID
	id, err := c.Prepare(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	st, err := c.Confirm(t.Context(), id, card.ID, "charge/1", back)
	want(t, st, err, confirm.Taken, "")

	if err := c.Detach(t.Context(), card.ID, "detach/1"); err != nil {
		t.Fatal(err)
	}
	c.wantSaved(page.ID, confirm.SavingOver, cus) // there is no card to take from it
	if err := c.Delete(t.Context(), cus, "delete/1"); err != nil {
		t.Fatal(err)
	}
}

func TestSavingAtBank(t *testing.T) {
	c := openCounter(t)
	cus := c.customer()
	page := c.begin(saving(cus))
	_, _, bank := c.browse(page.URL, typed("4000002760003184"))
	c.wantSaved(page.ID, confirm.SavingOpen, cus)
	if _, _, to := c.browse(bank, url.Values{"answer": {"fail"}}); to != page.URL {
		t.Errorf("from the bank to %q", to)
	}
	c.wantSaved(page.ID, confirm.SavingOpen, cus)
	_, _, bank = c.browse(page.URL, typed("4000002760003184"))
	if _, _, to := c.browse(bank, url.Values{"answer": {"complete"}}); to != doneURL {
		t.Errorf("from the bank to %q", to)
	}
	if card := c.wantSaved(page.ID, confirm.Saved, cus); card.Last4 != "3184" {
		t.Errorf("card %+v", card)
	}
}

func TestSavingExpires(t *testing.T) {
	c := openCounter(t)
	cus := c.customer()
	page := c.begin(saving(cus))
	if status, text, _ := c.browse(page.URL, typed("4000000000000002")); status != http.StatusUnprocessableEntity || !strings.Contains(text, "declined") {
		t.Errorf("declined: %d %s", status, text)
	}
	c.wantSaved(page.ID, confirm.SavingOpen, cus)
	c.pass(24 * time.Hour)
	c.wantSaved(page.ID, confirm.SavingOver, cus)
}

func TestLocale(t *testing.T) {
	c := openCounter(t)
	cus := c.customer()
	for lang, want := range map[string]string{"en": "en", "fr": "fr", "": "auto", "tlh": "auto"} {
		s := saving(cus)
		s.Key, s.Lang = "card/"+lang, lang
		c.begin(s)
		all := c.posts("/checkout/sessions")
		if got := all[len(all)-1].Params.Get("locale"); got != want {
			t.Errorf("%q: a page in %q, want %q", lang, got, want)
		}
	}
}

// Every answer goes missing in every way, twice in a row.
func TestWalletLostAnswers(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			c := openCounter(t)
			fail := func(method, path string) {
				f := fault
				f.Method, f.Path, f.Times = method, path, 2
				c.srv.ClearFaults()
				c.srv.Fail(f)
			}
			var cus string
			fail(http.MethodPost, "/v1/customers")
			c.try("customer", func() (err error) {
				cus, err = c.Customer(t.Context(), newcomer())
				return err
			})
			if ids := c.list("/v1/customers?email=bob@example.com"); len(ids) != 1 || ids[0] != cus {
				t.Errorf("customers %v, want %s alone", ids, cus)
			}

			var page confirm.SavingPage
			fail(http.MethodPost, "/v1/checkout/sessions")
			c.try("begin", func() (err error) {
				page, err = c.Begin(t.Context(), saving(cus))
				return err
			})
			if _, _, to := c.browse(page.URL, typed(visa)); to != doneURL {
				t.Fatalf("to %q", to)
			}
			var result confirm.SavingResult
			fail(http.MethodGet, "/v1/checkout/sessions/*")
			c.try("saved", func() (err error) {
				result, err = c.Saved(t.Context(), page.ID)
				return err
			})
			if result.Status != confirm.Saved || result.Customer != cus {
				t.Errorf("result %+v", result)
			}

			fail(http.MethodPost, "/v1/payment_methods/*/detach")
			c.try("detach", func() error { return c.Detach(t.Context(), result.Card.ID, "detach/1") })
			if ids := c.list("/v1/payment_methods?customer=" + cus); len(ids) != 0 {
				t.Errorf("cards %v are left", ids)
			}
			fail(http.MethodDelete, "/v1/customers/*")
			c.try("delete", func() error { return c.Delete(t.Context(), cus, "delete/1") })
			if ids := c.list("/v1/customers?email=bob@example.com"); len(ids) != 0 {
				t.Errorf("customers %v are left", ids)
			}
		})
	}
}

// Stripe may have forgotten every key, and nothing comes twice that matters.
func TestWalletForgottenKeys(t *testing.T) {
	c := openCounter(t)
	cus := c.customer()
	first := c.begin(saving(cus))
	if again := c.begin(saving(cus)); again != first {
		t.Errorf("page %+v, then %+v under the same key", first, again)
	}
	c.srv.PruneKeys()
	c.pass(40 * time.Hour)
	if again := c.customer(); again != cus {
		t.Errorf("customer %s, then %s", cus, again)
	}
	second := c.begin(saving(cus))
	c.browse(second.URL, typed(visa))
	c.wantSaved(first.ID, confirm.SavingOver, cus)
	card := c.wantSaved(second.ID, confirm.Saved, cus)
	for range 2 {
		if err := c.Detach(t.Context(), card.ID, "detach/1"); err != nil {
			t.Error(err)
		}
		if err := c.Delete(t.Context(), cus, "delete/1"); err != nil {
			t.Error(err)
		}
		c.srv.PruneKeys()
	}
}

// Who leaves and comes back is a new customer, also under a key that Stripe remembers.
func TestWalletComesBack(t *testing.T) {
	c := openCounter(t)
	cus := c.customer()
	if err := c.Delete(t.Context(), cus, "delete/1"); err != nil {
		t.Fatal(err)
	}
	again := c.customer()
	c.begin(saving(again))

	// A key whose answer is history, and true, is that customer still.
	c.srv.Fail(stripetest.Fault{Method: http.MethodPost, Path: "/v1/customers", When: stripetest.After, Drop: true, Times: 2})
	other := confirm.Customer{Key: "customer/x:2", Account: offers.Account{Network: "x", ID: "2"}} // no address to find it by
	_, err := c.Customer(t.Context(), other)
	wantLater(t, err)
	made := len(c.list("/v1/customers"))
	if _, err := c.Customer(t.Context(), other); err != nil || len(c.list("/v1/customers")) != made {
		t.Errorf("made another customer: %v", err)
	}
}

// Somebody else with the same address is another customer.
func TestSameEmail(t *testing.T) {
	c := openCounter(t)
	cus := c.customer()
	other := newcomer()
	other.Key, other.Account.ID = "customer/x:2", "2"
	if id, err := c.Customer(t.Context(), other); err != nil || id == cus {
		t.Errorf("customer %q, %v", id, err)
	}
}

// A saved 500 must not be replayed for ever.
func TestWalletSaved500(t *testing.T) {
	c := openCounter(t)
	cus := c.customer()
	c.srv.Fail(stripetest.Fault{Method: http.MethodPost, Path: "/v1/checkout/sessions", Status: 500, Times: -1})
	for range 3 {
		_, err := c.Begin(t.Context(), saving(cus))
		wantLater(t, err)
		c.pass(time.Minute)
	}
	c.srv.ClearFaults()
	c.begin(saving(cus))
}

func TestWalletRefusals(t *testing.T) {
	c := openCounter(t)
	_, err := c.Begin(t.Context(), saving("cus_none"))
	wantRefused(t, err, "")
	relative := saving(c.customer())
	relative.DoneURL = "/join/card"
	_, err = c.Begin(t.Context(), relative)
	wantRefused(t, err, "")

	// Of a customer who is not known at all, nobody can say that they were deleted:
	// the key may be of the other mode.
	wantLater(t, c.Delete(t.Context(), "cus_none", "k"))
	wantLater(t, c.Detach(t.Context(), "pm_none", "k"))
	_, err = c.Saved(t.Context(), "cs_none")
	wantLater(t, err)
	if !strings.Contains(err.Error(), "stripe.key_file") {
		t.Errorf("error %v gives no advice", err)
	}

	calls := len(c.srv.Calls())
	wantLater(t, c.Delete(t.Context(), "", "k"))
	wantLater(t, c.Delete(t.Context(), "cus_1", ""))
	wantLater(t, c.Detach(t.Context(), "", "k"))
	wantLater(t, c.Detach(t.Context(), "pm_1", ""))
	_, err = c.Saved(t.Context(), "")
	wantLater(t, err)
	_, err = c.Begin(t.Context(), confirm.Saving{})
	wantLater(t, err)
	_, err = c.Customer(t.Context(), confirm.Customer{Key: "k", Email: "bob@example.com"})
	wantLater(t, err)
	if n := len(c.srv.Calls()) - calls; n != 0 {
		t.Errorf("%d requests that lack what they need were sent", n)
	}
}

// A Stripe that answers about something else, or about nothing, is not believed.
func TestWalletWrongAnswers(t *testing.T) {
	const card = `"payment_method":{"id":"pm_1","customer":"cus_1","card":{"brand":"visa","last4":"4242","exp_month":4,"exp_year":2031}}`
	session := func(parts string) string { return `{"id":"cs_1","mode":"setup","customer":"cus_1",` + parts + `}` }
	for name, body := range map[string]string{
		"another page":           `{"id":"cs_2","mode":"setup","status":"open","customer":"cus_1"}`,
		"a payment":              `{"id":"cs_1","mode":"payment","status":"complete","customer":"cus_1"}`,
		"no status":              session(`"url":"https://stripe.example"`),
		"unknown status":         session(`"status":"frozen"`),
		"no setup":               session(`"status":"complete"`),
		"setup not done":         session(`"status":"complete","setup_intent":{"status":"requires_action","customer":"cus_1",` + card + `}`),
		"no card":                session(`"status":"complete","setup_intent":{"status":"succeeded","customer":"cus_1"}`),
		"not a card":             session(`"status":"complete","setup_intent":{"status":"succeeded","customer":"cus_1","payment_method":{"id":"pm_1","customer":"cus_1"}}`),
		"not expanded":           session(`"status":"complete","setup_intent":{"status":"succeeded","customer":"cus_1","payment_method":"pm_1"}`),
		"setup of another":       session(`"status":"complete","setup_intent":{"status":"succeeded","customer":"cus_2",` + card + `}`),
		"card of another":        session(`"status":"complete","setup_intent":{"status":"succeeded","customer":"cus_1",` + strings.Replace(card, "cus_1", "cus_2", 1) + `}`),
		"nothing":                `{}`,
		"not JSON, with secrets": `<p>bob@example.com sk_test_verysecret</p>`,
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Has("email") {
					body := `{"object":"list","data":[null,{"id":"cus_9","metadata":{"account":"x:9"}}]}`
					_, _ = io.WriteString(w, body)
					return
				}
				_, _ = io.WriteString(w, body)
			}))
			defer srv.Close()
			till, err := stripe.New(stripe.Config{APIURL: srv.URL, Key: "sk_test_verysecret", Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			w := stripe.NewWallet(till)
			got, err := w.Saved(t.Context(), "cs_1")
			if got != (confirm.SavingResult{}) {
				t.Errorf("believed %+v", got)
			}
			wantLater(t, err)
			if _, begin := w.Begin(t.Context(), saving("cus_3")); begin == nil {
				t.Error("believed a page for another customer")
			}
			errs := errors.Join(err, w.Detach(t.Context(), "pm_1", "k"), w.Delete(t.Context(), "cus_1", "k"))
			for _, secret := range []string{"bob@", "verysecret"} {
				if strings.Contains(errs.Error(), secret) {
					t.Errorf("the errors %v hold %q", errs, secret)
				}
			}
			if n := len(strings.Split(errs.Error(), "\n")); n != 3 {
				t.Errorf("got %d errors, want one of each: %v", n, errs)
			}
		})
	}
}
