package desk

import (
	"math"
	"strings"
	"testing"
	"time"

	"hashtill/offers"
)

func TestMoney(t *testing.T) {
	w := newWorld(t)
	w.paid(1, "BuyTee", "M")
	w.paid(2, "BuyTee", "S")
	w.paid(3, "BuyHat")
	w.passes(24 * time.Hour)
	p := w.paid(4, "BuyTee", "M")
	w.passes(40 * 24 * time.Hour)
	if _, err := w.shop.RefundPurchase(t.Context(), p.ID, offers.Money{}, "", w.clock()); err != nil {
		t.Fatal(err)
	}
	w.settle()
	b := w.as(vera)
	// 1 January: the day's refund is all that there is in 30 days.
	a := b.get("/m/records/money").is(200).says("-$29.99 in 30 days", "$59.98 ever", "Fri 1 Jan -$29.99", "#BuyTee -$29.99").saysNot("EUR", "$89.97", "BuyHat")
	if n := strings.Count(a.body, "<rect"); n != 1 || !strings.Contains(a.body, `class="less"`) {
		t.Errorf("%d bars", n)
	}
	a = b.get("/m/records/money?days=90").says("$59.98 in 90 days", "$59.98 on the best day", "Sat 21 Nov $59.98", "Sun 22 Nov $29.99")
	if n := strings.Count(a.body, "<rect"); n != 3 {
		t.Errorf("%d bars", n)
	}
	b.get("/m/records/money?days=7000").says("in 30 days")
	if got, want := b.get("/m/records/money.csv").is(200).body, "\ufeffday,hashtag,earned,currency\r\n2026-11-21,BuyTee,59.98,USD\r\n2026-11-22,BuyTee,29.99,USD\r\n2027-01-01,BuyTee,-29.99,USD\r\n"; got != want {
		t.Errorf("exported:\n%s", got)
	}
	w.as(hans).get("/m/hats/money?days=90").says("€45.00 ever").saysNot("USD")
	w.as(otto).get("/m/-/money").says("Nothing was earned yet.")
}

// Many offers are read all at once, and it comes to the same.
func TestMoneyAndOrdersOfManyOffers(t *testing.T) {
	w := newWorld(t)
	p := w.paid(1, "BuyTee", "M")
	hat := w.paid(2, "BuyHat")
	tee, _ := w.shop.OfferByTag("BuyTee")
	var more []offers.Offer
	for n := range fewOffers {
		o := tee
		o.Tag = "Tee" + strings.Repeat("x", n+1)
		o.ID = offers.TagKey(o.Tag)
		more = append(more, o)
	}
	if err := w.shop.Import(t.Context(), more, false); err != nil {
		t.Fatal(err)
	}
	b := w.as(vera)
	b.get("/m/records/orders").lists(p).saysNot(string(hat.ID)).says("1 order.")
	b.get("/m/records/money").says("$29.99 ever").saysNot("EUR")
}

// What was sold stays to be seen when its offer is removed.
func TestOrdersOfRemovedOffers(t *testing.T) {
	w := newWorld(t)
	p, hat := w.paid(1, "BuyTee", "M"), w.paid(2, "BuyHat")
	if err := w.shop.RemoveOffer(t.Context(), "buytee"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.shop.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is known whose it was
		b := w.as(carl)
		b.get("/m/records/orders").lists(p).says("#buytee – removed")
		b.get("/m/records/orders?offer=buytee").lists(p)
		b.get("/m/records/orders?offer=buyhat").is(404)
		b.get("/m/records/money").says("$29.99 ever", "#buytee")
		if a := b.post("/m/records/orders/export", nil).is(200); !strings.Contains(a.body, string(p.ID)) {
			t.Error("it is not exported")
		}
		w.as(hans).get("/m/hats/orders").lists(hat).saysNot("buytee")
		w.as(hans).get("/m/hats/orders?offer=buytee").is(404)
	}
}

// However large the amounts, a plot keeps to its place.
func TestPlot(t *testing.T) {
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	p := plotOf("USD", from, 4, map[string]int64{"2026-11-01": math.MaxInt64 / 2, "2026-11-02": -math.MaxInt64 / 2, "2026-11-03": 1})
	for i, want := range []struct{ y, height int }{{0, 100}, {100, 100}, {98, 2}, {100, 0}} {
		if b := p.Bars[i]; b.Y != want.y || b.Height != want.height {
			t.Errorf("bar %d is %d high at %d, want %v", i, b.Height, b.Y, want)
		}
	}
	if p = plotOf("USD", from, 30, nil); len(p.Bars) != 30 || p.Zero != 0 {
		t.Error(p.Zero, len(p.Bars))
	}
}
