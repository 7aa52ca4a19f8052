package offers

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hashtill/store"
)

func cents(n int64) Money { return Money{n, "USD"} }

// paidLife is a paid purchase of 299.98 dollars, with 14 days to withdraw.
func paidLife(t testing.TB) *life {
	l := newLife(t).upTo(Paid)
	l.p.WithdrawalDays = 14
	return l
}

func TestRefundsInParts(t *testing.T) {
	l := paidLife(t)
	for _, wrong := range []Money{cents(29999), cents(0), cents(-1), {1, "EUR"}, {1, ""}, cents(math.MaxInt64), cents(math.MinInt64)} {
		l.refuses(RefundTooMuch, Event{Kind: RefundAsked, Amount: wrong})
	}
	l.does(Paid, Event{Kind: RefundAsked, Amount: cents(1000), Text: "a stain"})
	l.refuses(RefundTooMuch, Event{Kind: RefundAsked, Amount: cents(28999)})
	l.does(Paid, Event{Kind: RefundAsked, Amount: cents(28000)})
	l.does(Paid, Event{Kind: RefundAsked}) // all that is left
	if r := l.p.Refunds[2]; r.Amount != cents(998) || r.N != 3 {
		t.Errorf("the rest is %+v", r)
	}
	l.refuses(WasRefunded, Event{Kind: RefundAsked})
	l.refuses(WasRefunded, Event{Kind: RefundAsked, Amount: cents(1)})

	l.does(Paid, Event{Kind: RefundMade, N: 2})
	for range 2 {
		l.does(Paid, Event{Kind: RefundMade, N: 1}) // told twice
	}
	l.does(Paid, Event{Kind: RefundMade, N: 4}) // there is none
	if made, owed := l.p.PaidBack(); made != cents(29000) || owed != cents(998) || l.p.Held != 2 {
		t.Errorf("%s made, %s owed, %d units held", made, owed, l.p.Held)
	}
	l.does(Refunded, Event{Kind: RefundMade, N: 3})
	l.refuses(WasRefunded, Event{Kind: RefundAsked})
	if l.p.Held != 0 || l.p.miscounted() != "" {
		t.Errorf("%d units held; %s", l.p.Held, l.p.miscounted())
	}
	if _, whole := l.owed[Effect{Kind: MailReason, Purchase: l.p.ID, Reason: WasRefunded}.ID()]; whole {
		t.Error("a part is told as the whole")
	}
	for n := range 3 {
		if _, owed := l.owed[Effect{Kind: MailRefund, Purchase: l.p.ID, N: n + 1}.ID()]; !owed {
			t.Errorf("nobody is told of refund %d", n+1)
		}
	}
}

// Cards are paid back in steps of ten fils, and in whole yen.
func TestRefundsInOtherCurrencies(t *testing.T) {
	l := paidLife(t)
	l.p.Total = Money{29990, "KWD"}
	l.refuses(RefundTooMuch, Event{Kind: RefundAsked, Amount: Money{15, "KWD"}})
	l.does(Paid, Event{Kind: RefundAsked, Amount: Money{10, "KWD"}})
	l = paidLife(t)
	l.p.Total = Money{3000, "JPY"}
	l.does(Paid, Event{Kind: RefundAsked, Amount: Money{1, "JPY"}})
}

// However many parts there are, the rest can always go back.
func TestRefundsAreBounded(t *testing.T) {
	l := paidLife(t)
	for range maxRefunds {
		l.does(Paid, Event{Kind: RefundAsked, Amount: cents(1)})
	}
	l.refuses(RefundsMany, Event{Kind: RefundAsked, Amount: cents(1)})
	l.does(Paid, Event{Kind: Withdrawn, By: l.p.Buyer})
	if l.p.Left() != cents(0) {
		t.Errorf("%s are left", l.p.Left())
	}
	if n := len(l.p.effects()); n > store.MaxParts/2 {
		t.Errorf("%d effects to drop at once", n)
	}
}

func TestShippedOnce(t *testing.T) {
	l := newLife(t).upTo(Confirmed)
	l.refuses(NotPaid, Event{Kind: Shipped})
	l = paidLife(t)
	l.does(Paid, Event{Kind: Shipped, Text: "La Poste 6A1"})
	l.owes(MailShipped)
	l.refuses(WasShipped, Event{Kind: Shipped, Text: "another"})
	if l.p.Tracking != "La Poste 6A1" || l.p.ShippedAt != l.now {
		t.Errorf("%+v", l.p)
	}
	l = paidLife(t)
	l.p.Digital = true
	l.refuses(NotShipped, Event{Kind: Shipped})
	l = paidLife(t)
	l.does(Paid, Event{Kind: Withdrawn, By: l.p.Buyer})
	l.refuses(WasRefunded, Event{Kind: Shipped})
	l.does(Refunded, Event{Kind: RefundMade, N: 1})
	l.refuses(WasRefunded, Event{Kind: Shipped})
}

func TestWithdrawal(t *testing.T) {
	l := newLife(t).upTo(Mailed)
	l.refuses(NotPaid, Event{Kind: Withdrawn, By: l.p.Buyer})
	l.refuses(NotYourCode, Event{Kind: Withdrawn, By: Account{"x", "1"}})

	// Before it is shipped there is no last day, and all that is left goes back at once.
	l = paidLife(t)
	l.does(Paid, Event{Kind: RefundAsked, Amount: cents(998)})
	l.pass(300 * 24 * time.Hour)
	l.does(Paid, Event{Kind: Withdrawn, By: l.p.Buyer})
	l.owes(MailWithdrawal)
	at := l.p.WithdrawnAt
	l.pass(time.Hour)
	l.does(Paid, Event{Kind: Withdrawn, By: l.p.Buyer})
	if len(l.p.Refunds) != 2 || l.p.Refunds[1].Amount != cents(29000) || l.p.WithdrawnAt != at {
		t.Errorf("withdrawn twice: %+v, %s", l.p.Refunds, l.p.WithdrawnAt)
	}

	// Afterwards the seller refunds.
	l = paidLife(t)
	l.does(Paid, Event{Kind: Shipped})
	ends := l.p.WithdrawalEnds()
	l.now = ends.Add(-1)
	l.does(Paid, Event{Kind: Withdrawn, By: l.p.Buyer})
	if len(l.p.Refunds) != 0 || !l.p.Returning() {
		t.Errorf("%+v", l.p)
	}
	l.does(Paid, Event{Kind: RefundAsked, Amount: cents(29000)})
	if l.p.Returning() {
		t.Error("still the seller's turn")
	}
	l = paidLife(t)
	l.does(Paid, Event{Kind: Shipped})
	l.now = ends
	l.refuses(WithdrawalOver, Event{Kind: Withdrawn, By: l.p.Buyer})

	l = paidLife(t)
	l.p.WithdrawalDays = 0
	l.refuses(NoWithdrawal, Event{Kind: Withdrawn, By: l.p.Buyer})
	l = paidLife(t)
	l.does(Paid, Event{Kind: RefundAsked})
	l.refuses(WasRefunded, Event{Kind: Withdrawn, By: l.p.Buyer})
	l.does(Refunded, Event{Kind: RefundMade})
	l.refuses(WasRefunded, Event{Kind: Withdrawn, By: l.p.Buyer})

	l = paidLife(t) // digital: from the payment
	l.p.Digital = true
	l.now = l.p.WithdrawalEnds().Add(-1)
	l.does(Paid, Event{Kind: Withdrawn, By: l.p.Buyer})
	if l.p.Left() != cents(0) {
		t.Errorf("%s are left", l.p.Left())
	}
}

// The day of the shipping does not count, the last is over when it is over everywhere,
// and a weekend moves it to Monday.
func TestLastDayToWithdraw(t *testing.T) {
	for shipped, want := range map[string]string{
		"2026-11-16T23:59:59Z":      "2026-11-30", // a Monday
		"2026-11-20T00:00:00Z":      "2026-12-04", // a Friday
		"2026-11-21T12:00:00Z":      "2026-12-07", // ends on a Saturday
		"2026-11-22T12:00:00Z":      "2026-12-07", // and a Sunday
		"2026-11-24T01:00:00+02:00": "2026-12-07", // still the 23rd
	} {
		at, err := time.Parse(time.RFC3339, shipped)
		if err != nil {
			t.Fatal(err)
		}
		p := Purchase{State: Paid, WithdrawalDays: 14, ShippedAt: at}
		if got := p.LastWithdrawal().Format(time.DateOnly); got != want || p.WithdrawalEnds().Sub(p.LastWithdrawal()) != 36*time.Hour {
			t.Errorf("shipped %s: the last day is %s, want %s (until %s)", shipped, got, want, p.WithdrawalEnds())
		}
	}
}

func TestDisputed(t *testing.T) {
	for want, types := range map[string][]string{
		"no":                    {"charge.refunded du_1"},
		"yes":                   {"charge.dispute.created du_1"},
		"yes, another":          {"charge.dispute.created du_1", "charge.dispute.created du_2", "charge.dispute.closed du_1"},
		"no, it is closed":      {"charge.dispute.created du_1", "charge.dispute.updated du_1", "charge.dispute.closed du_1"},
		"yes, as seen":          {"reconcile.dispute ch_1"},
		"no, as seen and ended": {"reconcile.dispute ch_1", "charge.dispute.closed du_1"},
	} {
		var p Purchase
		for _, s := range types {
			kind, object, _ := strings.Cut(s, " ")
			p.Notices = append(p.Notices, Notice{Type: kind, Object: object})
		}
		if p.Disputed() != strings.HasPrefix(want, "yes") {
			t.Errorf("%v: want %s", types, want)
		}
	}
}

// A purchase that was written before there were parts reads as one refund of all.
func TestRefundsOfOldRecords(t *testing.T) {
	for state, made := range map[State]bool{Paid: false, Refunded: true} {
		text := `{"id":"x","state":"` + string(state) + `","total":{"minor":500,"currency":"USD"},"refund_at":"2026-05-01T20:00:00Z","paid_at":"2026-05-01T19:00:00Z","ended_at":"2026-05-01T21:00:00Z"}`
		p, err := readPurchase(store.Record{Key: "purchase/x", Value: []byte(text)})
		if err != nil || len(p.Refunds) != 1 || p.Refunds[0].Amount != cents(500) || p.Refunds[0].MadeAt.IsZero() == made || p.miscounted() != "" {
			t.Errorf("%s: %+v, %v", state, p.Refunds, err)
		}
	}
}

// What the operator types is bounded, and what the purchase was promised stays with it.
func TestAfterThePayment(t *testing.T) {
	o := tee(5, 5)
	o.Tax, o.WithdrawalDays, o.SellerAddress, o.SellerTaxNumber = 5500, 14, "1 Long Street\nSpringfield", "VAT 1"
	s := newShop(t, o)
	lines := s.archive()
	s.register(1)
	p := s.buy(1, "1")
	o.Tax, o.WithdrawalDays = 20000, 0
	if err := s.PutOffer(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if p.Tax != 5500 || p.WithdrawalDays != 14 || p.SellerAddress != "1 Long Street\nSpringfield" || p.SellerTaxNumber != "VAT 1" {
		t.Errorf("promised %+v", p)
	}
	for _, bad := range []string{strings.Repeat("x", MaxTracking+1), " x", "a\nb", "a\x1b[2Jb", "\xff"} {
		if _, err := s.Ship(t.Context(), p.ID, bad, s.now); !errors.Is(err, ErrInvalid) {
			t.Errorf("tracking %q: %v", bad, err)
		}
	}
	if _, err := s.RefundPurchase(t.Context(), p.ID, cents(1), strings.Repeat("x", MaxWhy+1), s.now); !errors.Is(err, ErrInvalid) {
		t.Errorf("why: %v", err)
	}
	if _, err := s.Ship(t.Context(), p.ID, "", s.now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RefundPurchase(t.Context(), p.ID, cents(999), "for Ann Example", s.now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Withdraw(t.Context(), p.ID, account(1), s.now.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.clean()
	// The seller has yet to refund it: nobody erases that meanwhile.
	var wait *UnfinishedError
	if _, err := s.Erase(t.Context(), account(1), s.now); !errors.As(err, &wait) || len(wait.Seller) != 1 {
		t.Errorf("erased: %v", err)
	}
	s.now = s.now.Add(time.Minute)
	if _, err := s.RefundPurchase(t.Context(), p.ID, cents(14000), "", s.now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Erase(t.Context(), account(1), s.now); !errors.As(err, &wait) || len(wait.Owed) != 1 {
		t.Errorf("erased before Stripe has paid: %v", err)
	}
	s.settle()
	if _, err := s.Erase(t.Context(), account(1), s.now); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(*lines)
	if err != nil || len(*lines) != 1 {
		t.Fatal(len(*lines), err)
	}
	a := (*lines)[0]
	if a.TaxPercent != 5500 || a.Tax != cents(782) || len(a.Refunds) != 2 || a.ShippedAt.IsZero() || a.WithdrawnAt.IsZero() || strings.Contains(string(text), "Ann") {
		t.Errorf("archived %s", text)
	}
}

func TestPercent(t *testing.T) {
	for text, want := range map[string]Percent{"": 0, "0": 0, "20": 20000, "5.5": 5500, "8.875": 8875, "100": 100000, "0.001": 1, "07": 7000} {
		got, err := ParsePercent(text)
		if err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"-1", "+1", "100.001", "101", "5.", ".5", "5.5555", "1e1", "5,5", "20%", " 20", "99999999999999999999", "65535.9", "1.-1", "1.+1"} {
		if got, err := ParsePercent(text); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
	for _, c := range []struct {
		rate       Percent
		total, tax int64
	}{{20000, 29998, 5000}, {20000, 3, 1}, {20000, 2, 0}, {5500, 12350, 644}, {100000, 1, 1}, {0, 100, 0}, {20000, 0, 0}, {20000, -5, 0}, {-1, 100, 0}} {
		if got := c.rate.Included(cents(c.total)); got != cents(c.tax) {
			t.Errorf("%s %% in %d: %d, want %d", c.rate, c.total, got.Minor, c.tax)
		}
	}
}

// The tax is exact for every amount that there is, and rates read as they are written.
func TestPercentIsExact(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := Percent(rapid.IntRange(0, 100000).Draw(rt, "rate"))
		m := cents(rapid.Int64Range(1, math.MaxInt64).Draw(rt, "minor"))
		exact := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(m.Minor), big.NewInt(int64(r))), big.NewInt(int64(100000+r)))
		low, high := new(big.Rat).SetFrac64(2*0-1, 2), new(big.Rat).SetFrac64(1, 2)
		off := new(big.Rat).Sub(new(big.Rat).SetInt64(r.Included(m).Minor), exact)
		if off.Cmp(low) <= 0 || off.Cmp(high) > 0 { // half goes up
			rt.Fatalf("%s %% in %s: %s, off by %s", r, m, r.Included(m), off)
		}
		if again, err := ParsePercent(r.String()); err != nil || again != r {
			rt.Fatalf("%s reads as %s, %v", r, again, err)
		}
	})
}

func TestReadYAMLOfReceipts(t *testing.T) {
	all, err := ReadYAML(strings.NewReader(`
- {tag: A1, title: A, seller: S, price: 1, currency: USD}
- {tag: B1, title: B, seller: S, price: 1, currency: EUR, digital: true, withdrawal_days: 0, tax_percent: 5.50, seller_tax_number: FR4, seller_address: "12 rue\nLyon #3"}
`))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := all[0], all[1]; a.WithdrawalDays != 14 || a.Digital || b.WithdrawalDays != 0 || !b.Digital || b.Tax != 5500 || b.SellerTaxNumber != "FR4" || b.SellerAddress != "12 rue\nLyon #3" {
		t.Errorf("%+v", all)
	}
	for keys, want := range map[string]string{
		"tax_percent: 5.5555": "tax_percent", "tax_percent: 101": "tax_percent", "withdrawal_days: -1": "withdrawal_days", "withdrawal_days: 401": "withdrawal_days",
		`seller_tax_number: "a\nb"`: "seller_tax_number", `seller_address: "a\ab"`: "seller_address", "digital: maybe": "another kind",
	} {
		if _, err := ReadYAML(strings.NewReader("- {tag: A1, title: A, seller: S, price: 1, currency: USD, " + keys + "}")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", keys, err)
		}
	}
	// An older record does not say: the law does.
	o, err := readOffer(store.Record{Value: []byte(`{"id":"a"}`)})
	if err != nil || o.WithdrawalDays != DefaultWithdrawalDays {
		t.Errorf("%+v, %v", o, err)
	}
}
