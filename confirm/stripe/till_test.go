package stripe_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hashtill/confirm"
	"hashtill/confirm/stripe"
	"hashtill/confirm/stripe/stripetest"
	"hashtill/offers"
)

const (
	purchase = offers.ID("07-0123456789abcdefghijklmn")
	back     = "https://shop.example/back"
	visa     = "4242424242424242"
)

// A shop is a Till at a stand-in, and a buyer with a card.
type shop struct {
	*stripe.Till
	srv  *stripetest.Server
	cus  string
	card string
	t    *testing.T

	mu  sync.Mutex
	now time.Time
}

func open(t *testing.T, card string) *shop {
	t.Helper()
	s := &shop{t: t, now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	srv, err := stripetest.Start(stripetest.Options{Now: s.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	s.srv, s.cus = srv, srv.AddCustomer("ann@example.com")
	s.card = s.addCard(card)
	s.Till = s.till(stripe.Config{})
	return s
}

func (s *shop) till(c stripe.Config) *stripe.Till {
	s.t.Helper()
	c.APIURL, c.Now, c.Log = s.srv.URL(), s.clock, slog.New(slog.DiscardHandler)
	if c.Rate == 0 {
		c.Rate, c.EndpointRate = 1e6, 1e6 // the clock stands still
	}
	if c.Key == "" {
		c.Key = s.srv.Key()
	}
	till, err := stripe.New(c)
	if err != nil {
		s.t.Fatal(err)
	}
	till.Hasten()
	return till
}

func (s *shop) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *shop) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func (s *shop) addCard(number string) string {
	s.t.Helper()
	pm, err := s.srv.AddCard(s.cus, number)
	if err != nil {
		s.t.Fatal(err)
	}
	return pm
}

func (s *shop) payment() confirm.Payment {
	return confirm.Payment{Purchase: purchase, Key: "prepare/" + string(purchase), Customer: s.cus, Card: s.card,
		Total: offers.Money{Minor: 14999, Currency: "USD"}, Description: "Lamp"}
}

func (s *shop) prepared() string {
	s.t.Helper()
	id, err := s.Prepare(s.t.Context(), s.payment())
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

func (s *shop) refund(intent, key string, minor int64) error {
	return s.Refund(s.t.Context(), confirm.Refund{Purchase: purchase, Key: key, Intent: intent, Amount: offers.Money{Minor: minor, Currency: "USD"}})
}

// charged is how often the money was taken, and how much of it is still here.
func (s *shop) charged() (times int, left int64) {
	for _, c := range s.srv.Charges() {
		times++
		left += c.Amount - c.Refunded
	}
	return times, left
}

func (s *shop) wantCharges(times int, left int64) {
	s.t.Helper()
	if n, sum := s.charged(); n != times || sum != left {
		s.t.Errorf("%d charges, %d left of them; want %d, %d", n, sum, times, left)
	}
}

// posts are the calls of one kind, oldest first.
func (s *shop) posts(suffix string) []stripetest.Call {
	return slices.DeleteFunc(s.srv.Calls(), func(c stripetest.Call) bool {
		return c.Method != http.MethodPost || !strings.HasSuffix(c.Path, suffix)
	})
}

func want(t *testing.T, got confirm.Standing, err error, status confirm.Status, reason offers.Reason) {
	t.Helper()
	if err != nil || got.Status != status || got.Reason != reason {
		t.Errorf("got %+v, %v; want %s %s", got, err, status, reason)
	}
}

// wantLater wants an error that is not final.
func wantLater(t *testing.T, err error) {
	t.Helper()
	var final *confirm.RefusedError
	if err == nil || errors.As(err, &final) {
		t.Errorf("got error %v; want one that is not final", err)
	}
}

func wantRefused(t *testing.T, err error, reason offers.Reason) {
	t.Helper()
	var final *confirm.RefusedError
	if !errors.As(err, &final) || final.Reason != reason {
		t.Errorf("got error %v; want a refusal because of %q", err, reason)
	}
}

func TestPay(t *testing.T) {
	s := open(t, visa)
	id := s.prepared()
	s.wantCharges(0, 0)
	st, err := s.Look(t.Context(), id)
	want(t, st, err, confirm.Open, "")

	created := s.posts("/payment_intents")[0]
	if created.IdempotencyKey != "prepare/"+string(purchase) {
		t.Errorf("created under the key %q", created.IdempotencyKey)
	}
	if exp := (url.Values{"amount": {"14999"}, "currency": {"usd"}, "customer": {s.cus}, "payment_method": {s.card}, "payment_method_types[0]": {"card"},
		"description": {"Lamp"}, "metadata[purchase]": {string(purchase)}}); created.Params.Encode() != exp.Encode() {
		t.Errorf("created with %v, want %v", created.Params, exp)
	}

	st, err = s.Confirm(t.Context(), id, s.card, "charge/1", back)
	want(t, st, err, confirm.Taken, "")
	confirmed := s.posts("/confirm")
	if len(confirmed) != 1 || confirmed[0].IdempotencyKey != "charge/1" || confirmed[0].Params.Get("return_url") != back {
		t.Errorf("confirmed by %+v", confirmed)
	}
	s.wantCharges(1, 14999)
	if c := s.srv.Charges()[0]; c.Currency != "usd" || c.Metadata["purchase"] != string(purchase) || c.Intent != id {
		t.Errorf("charged %+v", c)
	}
	st, err = s.Look(t.Context(), id)
	want(t, st, err, confirm.Taken, "")
}

func TestTestCards(t *testing.T) {
	for _, c := range []struct {
		number string
		status confirm.Status
		reason offers.Reason
	}{
		{visa, confirm.Taken, ""},
		{"378282246310005", confirm.Taken, ""},
		{"4000002500003155", confirm.AtBank, ""},
		{"4000002760003184", confirm.AtBank, ""},
		{"4000008260003178", confirm.AtBank, ""},
		{"4000008400001629", confirm.AtBank, ""},
		{"4000000000000002", confirm.Failed, offers.CardDeclined},
		{"4000000000009995", confirm.Failed, offers.InsufficientFunds},
		{"4000000000009987", confirm.Failed, offers.CardDeclined}, // lost: not told
		{"4000000000009979", confirm.Failed, offers.CardDeclined}, // stolen: not told
		{"4000000000000069", confirm.Failed, offers.CardExpired},
		{"4000000000000127", confirm.Failed, offers.IncorrectCVC},
		{"4000000000000119", confirm.Failed, offers.ProcessingError},
		{"4000000000006975", confirm.Failed, offers.CardLimit},
	} {
		t.Run(c.number, func(t *testing.T) {
			s := open(t, c.number)
			id := s.prepared()
			st, err := s.Confirm(t.Context(), id, s.card, "charge/1", back)
			want(t, st, err, c.status, c.reason)
			if (st.BankURL != "") != (c.status == confirm.AtBank) {
				t.Errorf("the bank's address is %q", st.BankURL)
			}
			again, err := s.Look(t.Context(), id)
			if again != st || err != nil {
				t.Errorf("looked up: %+v, %v; want %+v", again, err, st)
			}
			if c.status == confirm.Taken {
				s.wantCharges(1, 14999)
				return
			}
			s.wantCharges(0, 0)

			// Another card on the same payment.
			if c.status == confirm.Failed {
				st, err = s.Confirm(t.Context(), id, s.addCard(visa), "charge/2", back)
				want(t, st, err, confirm.Taken, "")
				s.wantCharges(1, 14999)
			}
		})
	}
}

func TestBank(t *testing.T) {
	for _, c := range []struct {
		number, answer string
		status         confirm.Status
		reason         offers.Reason
	}{
		{"4000002760003184", "complete", confirm.Taken, ""},
		{"4000002760003184", "fail", confirm.Failed, offers.AuthenticationFailed},
		{"4000008260003178", "complete", confirm.Failed, offers.InsufficientFunds},
		{"4000008400001629", "complete", confirm.Failed, offers.CardDeclined},
	} {
		t.Run(c.number+" "+c.answer, func(t *testing.T) {
			s := open(t, c.number)
			id := s.prepared()
			st, err := s.Confirm(t.Context(), id, s.card, "charge/1", back)
			want(t, st, err, confirm.AtBank, "")
			s.bank(st.BankURL, c.answer)
			st, err = s.Look(t.Context(), id)
			want(t, st, err, c.status, c.reason)

			// A late retry of the confirmation has the old answer under its key,
			// and tells the truth all the same.
			st, err = s.Confirm(t.Context(), id, s.card, "charge/1", back)
			want(t, st, err, c.status, c.reason)
		})
	}
}

func (s *shop) bank(address, answer string) {
	s.t.Helper()
	hc := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := hc.PostForm(address, url.Values{"answer": {answer}})
	if err != nil {
		s.t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusSeeOther && res.StatusCode != http.StatusFound {
		s.t.Fatalf("the bank answers %s", res.Status)
	}
}

func TestVoid(t *testing.T) {
	s := open(t, visa)
	id := s.prepared()
	st, err := s.Void(t.Context(), id, "void/1")
	want(t, st, err, confirm.Voided, "")
	st, err = s.Void(t.Context(), id, "void/other")
	want(t, st, err, confirm.Voided, "")
	st, err = s.Confirm(t.Context(), id, s.card, "charge/1", back)
	want(t, st, err, confirm.Voided, "")
	st, err = s.Look(t.Context(), id)
	want(t, st, err, confirm.Voided, "")
	s.wantCharges(0, 0)
}

func TestVoidTaken(t *testing.T) {
	s := open(t, visa)
	id := s.prepared()
	st, err := s.Confirm(t.Context(), id, s.card, "charge/1", back)
	want(t, st, err, confirm.Taken, "")
	for range 2 {
		st, err = s.Void(t.Context(), id, "void/1")
		want(t, st, err, confirm.Taken, "")
	}
}

func TestVoidAtBank(t *testing.T) {
	s := open(t, "4000002760003184")
	id := s.prepared()
	asked, err := s.Confirm(t.Context(), id, s.card, "charge/1", back)
	want(t, asked, err, confirm.AtBank, "")
	st, err := s.Void(t.Context(), id, "void/1")
	want(t, st, err, confirm.Voided, "")
	s.bank(asked.BankURL, "complete")
	s.wantCharges(0, 0)
	st, err = s.Confirm(t.Context(), id, s.card, "charge/1", back) // the saved answer says: at the bank
	want(t, st, err, confirm.Voided, "")
}

func TestProcessing(t *testing.T) {
	s := open(t, visa)
	id := s.prepared()
	s.srv.HoldCharges(true)
	for range 2 {
		st, err := s.Confirm(t.Context(), id, s.card, "charge/1", back)
		want(t, st, err, confirm.Open, "")
	}
	_, err := s.Void(t.Context(), id, "void/1")
	wantLater(t, err) // neither taken nor voided: nobody may sell the units again
	s.srv.HoldCharges(false)
	st, err := s.Void(t.Context(), id, "void/1")
	want(t, st, err, confirm.Taken, "")
	s.wantCharges(1, 14999)
}

func TestRefund(t *testing.T) {
	s := open(t, visa)
	id := s.prepared()
	wantRefused(t, s.refund(id, "refund/0", 14999), "") // nothing was taken
	if _, err := s.Confirm(t.Context(), id, s.card, "charge/1", back); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"refund/1", "refund/1", "refund/2"} {
		if err := s.refund(id, key, 14999); err != nil {
			t.Errorf("refund under %s: %v", key, err)
		}
	}
	s.wantCharges(1, 0)
	st, err := s.Confirm(t.Context(), id, s.card, "charge/2", back)
	want(t, st, err, confirm.Taken, "") // and not a second time
	s.wantCharges(1, 0)
}

func TestPrepareRefused(t *testing.T) {
	s := open(t, visa)
	stranger := s.srv.AddCustomer("bob@example.com")
	for name, change := range map[string]func(*confirm.Payment){
		"unknown customer":     func(p *confirm.Payment) { p.Customer = "cus_gone" },
		"unknown card":         func(p *confirm.Payment) { p.Card = "pm_gone" },
		"somebody else's card": func(p *confirm.Payment) { p.Customer = stranger },
		"too little":           func(p *confirm.Payment) { p.Total.Minor = 1 },
		"a third decimal":      func(p *confirm.Payment) { p.Total = offers.Money{Minor: 5124, Currency: "KWD"} },
		"no such currency":     func(p *confirm.Payment) { p.Total.Currency = "ZZZ" },
	} {
		p := s.payment()
		p.Key += name
		change(&p)
		_, err := s.Prepare(t.Context(), p)
		wantRefused(t, err, offers.CardUnusable)
		if strings.Contains(err.Error(), "example.com") {
			t.Errorf("%s: an address in %q", name, err)
		}
	}
}

func TestGoneCard(t *testing.T) {
	s := open(t, visa)
	id := s.prepared()
	s.detach(s.card)
	_, err := s.Confirm(t.Context(), id, s.card, "charge/1", back)
	wantRefused(t, err, offers.CardUnusable)
	st, err := s.Confirm(t.Context(), id, s.addCard(visa), "charge/2", back)
	want(t, st, err, confirm.Taken, "")
}

// A refusal is not believed where the money was taken: the answer was lost, Stripe
// forgot the key, and the buyer has removed the card since.
func TestGoneCardAfterLostAnswer(t *testing.T) {
	s := open(t, visa)
	id := s.prepared()
	for _, f := range []stripetest.Fault{
		{Path: "/v1/payment_intents/*/confirm", When: stripetest.After, Drop: true},
		{Method: http.MethodGet, Drop: true, Times: 2},
	} {
		s.srv.Fail(f)
	}
	_, err := s.Confirm(t.Context(), id, s.card, "charge/1", back)
	wantLater(t, err)
	s.srv.ClearFaults()
	s.srv.PruneKeys()
	s.detach(s.card)
	st, err := s.Confirm(t.Context(), id, s.card, "charge/1", back)
	want(t, st, err, confirm.Taken, "")
	s.wantCharges(1, 14999)
}

func (s *shop) detach(card string) {
	s.t.Helper()
	req, _ := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.srv.URL()+"/v1/payment_methods/"+card+"/detach", nil)
	req.Header.Set("Authorization", "Bearer "+s.srv.Key())
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		s.t.Fatalf("detach: %s", res.Status)
	}
}

func TestUnknownPayment(t *testing.T) {
	s := open(t, visa)
	_, err := s.Look(t.Context(), "pi_gone")
	wantLater(t, err)
	_, err = s.Confirm(t.Context(), "pi_gone", s.card, "charge/1", back)
	wantLater(t, err)
	_, err = s.Void(t.Context(), "pi_gone", "void/1")
	wantLater(t, err)
	wantLater(t, s.refund("pi_gone", "refund/1", 14999))
	for _, id := range []string{"", "../balance"} {
		_, err = s.Look(t.Context(), id)
		wantLater(t, err)
	}
}

func TestNoKey(t *testing.T) {
	s := open(t, visa)
	p := s.payment()
	p.Key = ""
	_, err := s.Prepare(t.Context(), p)
	wantLater(t, err)
	_, err = s.Confirm(t.Context(), "pi_1", s.card, "", back)
	wantLater(t, err)
	if n := len(s.srv.Calls()); n != 0 {
		t.Errorf("%d calls without a key", n)
	}
}

func TestCheck(t *testing.T) {
	s := open(t, visa)
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	const key = "sk_live_NotTheRightOne"
	wrong := s.till(stripe.Config{Key: key})
	err := wrong.Check(t.Context())
	wantLater(t, err)
	if err == nil || !strings.Contains(err.Error(), "stripe.key_file") || strings.Contains(err.Error(), key[:8]) {
		t.Errorf("got %v", err)
	}
	_, err = wrong.Prepare(t.Context(), s.payment())
	wantLater(t, err)
}

func TestNew(t *testing.T) {
	for _, c := range []stripe.Config{{}, {Key: "sk_1", APIURL: "ftp://x"}, {Key: "sk_1", APIURL: "localhost:1"}, {Key: "sk_1", APIURL: "https://"}, {Key: "sk_1", Rate: -1}} {
		if _, err := stripe.New(c); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
	if _, err := stripe.New(stripe.Config{Key: "sk_1"}); err != nil {
		t.Error(err)
	}
}

func TestContext(t *testing.T) {
	s := open(t, visa)
	id := s.prepared()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Confirm(ctx, id, s.card, "charge/1", back)
	wantLater(t, err)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
