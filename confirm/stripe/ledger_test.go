package stripe_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"hashtill/confirm"
	"hashtill/confirm/stripe/stripetest"
	"hashtill/offers"
)

func (s *shop) entries(from, to time.Time) []confirm.Entry {
	s.t.Helper()
	var all []confirm.Entry
	if err := s.Payments(s.t.Context(), from, to, func(e confirm.Entry) error { all = append(all, e); return nil }); err != nil {
		s.t.Fatal(err)
	}
	return all
}

// Ranges that meet show each payment once, over however many pages.
func TestLedgerPages(t *testing.T) {
	s := open(t, visa)
	start := s.clock()
	const n = 250
	for i := range n {
		p := s.payment()
		p.Purchase, p.Key = offers.ID(fmt.Sprint("p", i)), fmt.Sprint("pi:", i)
		if _, err := s.Prepare(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		s.pass(500 * time.Millisecond)
	}
	end := s.clock()
	for name, cuts := range map[string][]time.Time{
		"at once":            {start, end},
		"in two":             {start, start.Add(time.Minute), end},
		"within a second":    {start, start.Add(30*time.Second + 700*time.Millisecond), end},
		"between two, twice": {start, start.Add(10500 * time.Millisecond), start.Add(10999 * time.Millisecond), end},
	} {
		seen := map[offers.ID]int{}
		for i := range len(cuts) - 1 {
			last := time.Time{}
			for _, e := range s.entries(cuts[i], cuts[i+1]) {
				seen[e.Purchase]++
				if !last.IsZero() && e.Begun.After(last) {
					t.Errorf("%s: %s comes after %s", name, e.Begun, last)
				}
				last = e.Begun
			}
		}
		for i := range n {
			if id := offers.ID(fmt.Sprint("p", i)); seen[id] != 1 {
				t.Errorf("%s: %s was seen %d times", name, id, seen[id])
			}
		}
	}
	if got := s.entries(end.Add(time.Second), end.Add(time.Hour)); len(got) != 0 {
		t.Errorf("%d payments after the last", len(got))
	}
	pages := 0
	for _, c := range s.srv.Calls() {
		if c.Method == http.MethodGet && c.Path == "/v1/payment_intents" {
			pages++
		}
	}
	if pages < 3+3+3+3 {
		t.Errorf("%d pages fetched", pages)
	}
}

func TestLedgerEntries(t *testing.T) {
	s := open(t, visa)
	begin := func(purchase offers.ID, card string, total offers.Money) string {
		s.pass(time.Second)
		p := s.payment()
		p.Purchase, p.Key, p.Card, p.Total = purchase, "pi:"+string(purchase), card, total
		id, err := s.Prepare(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	confirmed := func(id, card string) {
		if _, err := s.Confirm(t.Context(), id, card, "confirm:"+id, back); err != nil {
			t.Fatal(err)
		}
	}
	from := s.clock()
	usd := offers.Money{Minor: 14999, Currency: "USD"}
	var want []confirm.Entry
	expect := func(e confirm.Entry) {
		e.Begun = s.clock()
		e.Refunded.Currency = e.Total.Currency
		want = append([]confirm.Entry{e}, want...)
	}
	id := begin("open", s.card, usd)
	expect(confirm.Entry{Intent: id, Purchase: "open", Status: confirm.Open, Total: usd})

	id = begin("voided", s.card, usd)
	if _, err := s.Void(t.Context(), id, "void"); err != nil {
		t.Fatal(err)
	}
	expect(confirm.Entry{Intent: id, Purchase: "voided", Status: confirm.Voided, Total: usd})

	declined := s.addCard("4000000000009995")
	id = begin("failed", declined, usd)
	confirmed(id, declined)
	expect(confirm.Entry{Intent: id, Purchase: "failed", Status: confirm.Failed, Total: usd})

	asks := s.addCard("4000002760003184")
	id = begin("bank", asks, usd)
	confirmed(id, asks)
	expect(confirm.Entry{Intent: id, Purchase: "bank", Status: confirm.AtBank, Total: usd})

	// Amounts come back as they went, whatever the decimals here and at Stripe.
	for _, total := range []offers.Money{usd, {Minor: 500, Currency: "JPY"}, {Minor: 12340, Currency: "KWD"}, {Minor: 700, Currency: "ISK"}, {Minor: 90000, Currency: "MGA"}} {
		id = begin(offers.ID("paid "+total.Currency), s.card, total)
		confirmed(id, s.card)
		part := offers.Money{Minor: total.Minor / 10 / 100 * 100, Currency: total.Currency}
		if part.Minor == 0 {
			part.Minor = 100
		}
		if err := s.Refund(t.Context(), confirm.Refund{Purchase: "x", Key: "refund:" + total.Currency, Intent: id, Amount: part}); err != nil {
			t.Errorf("%s: %v", total.Currency, err)
		}
		expect(confirm.Entry{Intent: id, Purchase: offers.ID("paid " + total.Currency), Status: confirm.Taken, Total: total, Refunded: part})
	}
	got := s.entries(from, s.clock().Add(time.Second))
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
}

func TestLedgerEnds(t *testing.T) {
	s := open(t, visa)
	s.prepared()
	enough := errors.New("enough")
	if err := s.Payments(t.Context(), s.clock(), s.clock().Add(time.Hour), func(confirm.Entry) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("see's error became %v", err)
	}
	s.srv.Fail(stripetest.Fault{Path: "/v1/payment_intents", Method: http.MethodGet, Status: 503})
	wantLater(t, s.Payments(t.Context(), s.clock(), s.clock().Add(time.Hour), func(confirm.Entry) error { return nil }))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Payments(ctx, s.clock(), s.clock().Add(time.Hour), func(confirm.Entry) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
