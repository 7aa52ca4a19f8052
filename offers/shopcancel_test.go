package offers

import (
	"slices"
	"testing"
)

// The shop takes back what is not paid, as the buyer could, and the buyer is told.
func TestTheShopCancels(t *testing.T) {
	for _, from := range []State{Asked, Coded, Echoed, Mailed} {
		l := newLife(t).upTo(from)
		intent := l.p.Intent != ""
		l.does(Cancelled, Event{Kind: ShopCancels, Who: "carl"})
		l.owes(MailReason)
		if _, void := l.owed[Effect{Kind: Void, Purchase: l.p.ID}.ID()]; void != intent {
			t.Errorf("from %s: its payment is called off: %t", from, void)
		}
		if l.p.Reason != ShopCancelled || !slices.Contains(l.p.Told, ShopCancelled) {
			t.Errorf("from %s: %s, told %v", from, l.p.Reason, l.p.Told)
		}
		// Units come back only where nothing can be paid any more.
		if back := l.p.Held == 0; back != (from == Asked || from == Coded) {
			t.Errorf("from %s: %d units held", from, l.p.Held)
		}
		moves := l.p.Moves
		l.does(Cancelled, Event{Kind: ShopCancels})
		if l.p.Moves != moves {
			t.Error("cancelled twice")
		}
	}
	newLife(t).upTo(Confirmed).refuses(TooLate, Event{Kind: ShopCancels})
	newLife(t).upTo(Paid).refuses(TooLate, Event{Kind: ShopCancels})
}

// Of two who ask for the same refund one is heard.
func TestRefundNext(t *testing.T) {
	s := newShop(t, tee(1, 10))
	s.register(1)
	p := s.buy(1, "100")
	half := Money{p.Total.Minor / 2, p.Total.Currency}
	for range 2 {
		if _, err := s.RefundNext(t.Context(), p.ID, 1, half, "torn", s.now); err != nil {
			t.Fatal(err)
		}
	}
	s.settle()
	if p = s.is(p.ID, Paid); len(p.Refunds) != 1 || s.calls["refund/"+string(p.ID)+"/1"] != 1 {
		t.Fatal(p.Refunds, s.calls)
	}
	if _, err := s.RefundNext(t.Context(), p.ID, 2, Money{}, "", s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.is(p.ID, Refunded)
	if p, err := s.RefundNext(t.Context(), p.ID, 2, Money{}, "", s.now); err != nil || len(p.Refunds) != 2 {
		t.Error(err, p.Refunds)
	}
	s.sound()
}
