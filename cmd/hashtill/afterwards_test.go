package main

import (
	"strings"
	"testing"
	"time"

	"hashtill/offers"
)

// What came after the payment is told in words, and what waits for somebody first.
func TestAfterwards(t *testing.T) {
	at := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	usd := func(n int64) offers.Money { return offers.Money{Minor: n, Currency: "USD"} }
	p := offers.Purchase{
		ID: "02-g4vmkj8jcn9c22p7hha45f72", State: offers.Paid, Quantity: 2, Title: "Tour T-shirt", Total: usd(29998), Tax: 8875,
		PaidAt: at, ShippedAt: at, Tracking: "La Poste 6A1", WithdrawnAt: at.Add(48 * time.Hour), WithdrawalDays: 14,
		Refunds: []offers.Refund{{N: 1, Amount: usd(1250), Why: "a stain", AskedAt: at, MadeAt: at}, {N: 2, Amount: usd(100), AskedAt: at}},
		Notices: []offers.Notice{{Type: "charge.dispute.created", Object: "du_1", At: at}, {Type: "charge.new", Object: "ch_1", At: at}},
	}
	if got, want := afterwards(p), "withdrawn: refund it, disputed, refund of $1.00 owed, $12.50 refunded, shipped"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	var out strings.Builder
	if err := showPurchase(&out, p); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2 × Tour T-shirt\n", "$24.45 (8.875%)", "La Poste 6A1", "2026-11-23 20:00:00: refund it", "$12.50, asked for 2026-11-21 20:00:00, made 2026-11-21 20:00:00: a stain",
		"$1.00, asked for 2026-11-21 20:00:00, owed", "$286.48", "the buyer's bank disputes the payment", "charge.new (ch_1)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, out.String())
		}
	}
	p.State, p.Refunds[1].MadeAt = offers.Refunded, at
	p.Refunds = append(p.Refunds, offers.Refund{N: 3, Amount: usd(28648), AskedAt: at.Add(72 * time.Hour), MadeAt: at})
	p.Notices = append(p.Notices, offers.Notice{Type: "charge.dispute.closed", Object: "du_1"})
	if got, want := afterwards(p), "withdrawn, shipped"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := afterwards(offers.Purchase{State: offers.Coded}); got != "" {
		t.Errorf("before the payment: %q", got)
	}
}
