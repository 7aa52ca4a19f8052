package stripe_test

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"hashtill/confirm"
	"hashtill/confirm/stripe/stripetest"
	"hashtill/offers"
)

// paid is a shop with a payment of 149.99 dollars.
func paid(t *testing.T) (s *shop, id string) {
	t.Helper()
	s = open(t, visa)
	id = s.prepared()
	if _, err := s.Confirm(t.Context(), id, s.card, "charge/1", back); err != nil {
		t.Fatal(err)
	}
	return s, id
}

func (s *shop) wantRefund(intent, key string, minor int64) {
	s.t.Helper()
	if err := s.refund(intent, key, minor); err != nil {
		s.t.Errorf("%s: %v", key, err)
	}
}

// Parts are given back, each once, whatever is asked again in whatever order.
func TestRefundParts(t *testing.T) {
	s, id := paid(t)
	for range 2 {
		s.wantRefund(id, "refund/1", 5000)
		s.wantRefund(id, "refund/2", 5000) // the same amount is not the same refund
		s.wantRefund(id, "refund/1", 5000)
		s.wantCharges(1, 4999)
		s.srv.PruneKeys()
		s.pass(50 * time.Hour)
	}
	wantRefused(t, s.refund(id, "refund/3", 5000), "") // more than is left
	wantRefused(t, s.refund(id, "refund/1", 4999), "") // another amount
	wantRefused(t, s.refund(id, "refund/4", 0), "")
	wantRefused(t, s.refund(id, "refund/4", -1), "")
	s.wantCharges(1, 4999)
	s.wantRefund(id, "refund/5", 4999)
	s.wantRefund(id, "refund/2", 5000)
	wantRefused(t, s.refund(id, "refund/6", 1), "") // nothing is left
	s.wantCharges(1, 0)

	made := s.posts("/refunds")[0]
	if exp := (url.Values{"payment_intent": {id}, "amount": {"5000"}, "metadata[purchase]": {string(purchase)}, "metadata[refund]": {"refund/1"}}); made.Params.Encode() != exp.Encode() || made.IdempotencyKey != "refund/1" {
		t.Errorf("refunded with %v under %q", made.Params, made.IdempotencyKey)
	}
}

// The answer is lost, the look-up after it too, and Stripe forgets the key.
func TestRefundForgotten(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			s, id := paid(t)
			fault.Method, fault.Path = http.MethodPost, "/v1/refunds"
			fault.Times = 2 // net/http itself sends a request once more where a kept connection breaks
			s.srv.Fail(fault)
			_ = s.refund(id, "refund/1", 1000) // the look-up after it may find it
			s.srv.ClearFaults()
			s.srv.PruneKeys()
			s.pass(40 * time.Hour)
			for range 2 {
				s.wantRefund(id, "refund/1", 1000)
				s.wantCharges(1, 13999)
				s.srv.PruneKeys()
			}
		})
	}
}

// A refund by hand, in Stripe's dashboard, is not ours.
func TestRefundByHand(t *testing.T) {
	s, id := paid(t)
	hand := confirm.Refund{Key: "by hand", Intent: id, Amount: offers.Money{Minor: 10000, Currency: "USD"}}
	if err := s.Refund(t.Context(), hand); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, s.refund(id, "refund/1", 14999), "")
	s.wantRefund(id, "refund/2", 1000)
	hand.Key, hand.Amount.Minor = "by hand again", 3999
	if err := s.Refund(t.Context(), hand); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, s.refund(id, "refund/3", 1000), "")
	s.srv.PruneKeys()
	s.wantRefund(id, "refund/1", 14999) // all of it is back
	s.wantCharges(1, 0)
}

// The refund is found on whichever page it is.
func TestRefundPages(t *testing.T) {
	s, id := paid(t)
	s.wantRefund(id, "refund/0", 14)
	for i := range 120 {
		s.wantRefund(id, fmt.Sprint("refund/more/", i), 10)
		if i%50 == 0 {
			s.srv.PruneKeys()
		}
	}
	s.srv.PruneKeys()
	s.wantRefund(id, "refund/0", 14)
	s.wantCharges(1, 14999-14-1200)
}

// Many who hold the same order at once give back once.
func TestRefundAtOnce(t *testing.T) {
	s, id := paid(t)
	s.srv.Fail(stripetest.Fault{Path: "/v1/refunds", Method: http.MethodPost, Status: 500, Times: 2})
	for range 4 {
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				if err := s.refund(id, "refund/1", 1000); err != nil {
					wantLater(t, err)
				}
			})
		}
		all.Wait()
		s.pass(2 * time.Minute)
	}
	s.wantRefund(id, "refund/1", 1000)
	s.wantCharges(1, 13999)
}

// Stripe's decimals are not everybody's.
func TestRefundCurrencies(t *testing.T) {
	for currency, c := range map[string]struct {
		total, part int64
		sent        string
	}{
		"USD": {14999, 99, "99"}, "JPY": {14999, 99, "99"}, "KWD": {14990, 90, "90"}, "ISK": {149, 9, "900"}, "MGA": {1499900, 9900, "99"},
	} {
		t.Run(currency, func(t *testing.T) {
			s := open(t, visa)
			p := s.payment()
			p.Total = offers.Money{Minor: c.total, Currency: currency}
			id, err := s.Prepare(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Confirm(t.Context(), id, s.card, "charge/1", back); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := s.Refund(t.Context(), confirm.Refund{Purchase: purchase, Key: "refund/1", Intent: id, Amount: offers.Money{Minor: c.part, Currency: currency}}); err != nil {
					t.Error(err)
				}
				s.srv.PruneKeys()
			}
			if made := s.posts("/refunds"); len(made) != 1 || made[0].Params.Get("amount") != c.sent {
				t.Errorf("refunded by %+v", made)
			}
		})
	}
	s, id := paid(t)
	wantRefused(t, s.Refund(t.Context(), confirm.Refund{Key: "k", Intent: id, Amount: offers.Money{Minor: 5001, Currency: "KWD"}}), "")
}
