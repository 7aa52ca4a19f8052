package offers

import (
	"slices"
	"testing"
	"time"
)

// scarce is one unit with a waiting list.
func scarce(t *testing.T, edit ...func(*Offer)) *shop {
	o := tee(1, 2)
	o.Waitlist = true
	for _, e := range edit {
		e(&o)
	}
	s := newShop(t, o)
	for n := range 9 {
		s.register(n)
	}
	return s
}

// wishes has buyers 0 to n-1 ask, a second after one another.
func (s *shop) wishes(n int) (all []Purchase) {
	for i := range n {
		all = append(all, s.wish(i, "wish"+string(rune('a'+i))))
		s.settle()
		s.now = s.now.Add(time.Second)
	}
	return all
}

func (s *shop) waiting() (line []ID) {
	s.t.Helper()
	all, err := s.Line(s.t.Context(), "buytee", "", 100)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range all {
		line = append(line, p.ID)
	}
	return line
}

// Who comes when it is sold out waits; a unit that comes back goes to the first, with a
// fresh window, and nobody overtakes.
func TestLine(t *testing.T) {
	s := scarce(t)
	all := s.wishes(3)
	s.is(all[0].ID, Coded)
	for i, p := range all[1:] {
		if p = s.is(p.ID, Waiting); p.Place != i+1 || p.Held != 0 || p.Reply == "" {
			t.Errorf("place %d, %d units, reply %q", p.Place, p.Held, p.Reply)
		}
	}
	s.sound()

	// The code expires. Between that and the line's turn, somebody new asks.
	s.now = s.now.Add(DefaultTimes.Echo)
	leases, err := s.st.Lease(t.Context(), s.now, s.now.Add(time.Minute), 100)
	if err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	if err := s.Perform(t.Context(), leases[0]); err != nil {
		t.Fatal(err)
	}
	if s.taken() != 0 {
		t.Fatal("the unit is not back")
	}
	late := s.wish(3, "late")
	s.is(late.ID, Waiting)
	s.settle()
	next := s.is(all[1].ID, Coded)
	if !next.CodeByMail || next.Held != 1 || !next.TurnAt.Equal(s.now) || !next.Deadline().Equal(s.now.Add(DefaultTimes.Echo)) {
		t.Errorf("turn %+v", next)
	}
	if line := s.waiting(); !slices.Equal(line, []ID{all[2].ID, late.ID}) {
		t.Errorf("line %v", line)
	}
	s.sound()

	// It is bought; it is paid back, and the next has it.
	if err := s.echo(next, account(1)); err != nil {
		t.Fatal(err)
	}
	s.settle()
	if _, err := s.Press(t.Context(), next.ID, 1, "", s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.is(next.ID, Paid)
	if _, err := s.RefundPurchase(t.Context(), next.ID, Money{}, "", s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.is(next.ID, Refunded)
	s.is(all[2].ID, Coded)
	s.sound()

	// The last one takes it back, and nobody is left.
	if _, err := s.Cancel(t.Context(), late.ID, account(3), s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	if len(s.waiting()) > 0 {
		t.Error("somebody still waits")
	}
	s.sound()
}

// A line ends: none came back in time, or the sale is over.
func TestLineEnds(t *testing.T) {
	s := scarce(t, func(o *Offer) { o.Closes = t0.Add(2 * time.Hour) })
	all := s.wishes(2)
	if err := s.echo(s.is(all[0].ID, Coded), account(0)); err != nil {
		t.Fatal(err)
	}
	s.settle()
	if _, err := s.Press(t.Context(), all[0].ID, 1, "", s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.now = t0.Add(2*time.Hour - time.Millisecond)
	s.settle()
	s.is(all[1].ID, Waiting)
	s.now = t0.Add(2 * time.Hour)
	s.settle()
	if p := s.is(all[1].ID, Expired); !slices.Contains(p.Told, WaitOver) {
		t.Errorf("told %v", p.Told)
	}
	s.sound()
}

// More units, a line that is switched off, and a quantity that does not fit.
func TestLineAndEdits(t *testing.T) {
	s := scarce(t)
	first := s.wish(0, "a")
	two, err := s.Wish(t.Context(), Wish{Post: "b", Account: account(1), Offer: "buytee", Quantity: 2}, s.now)
	if err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(time.Second)
	one := s.wish(2, "c")
	s.settle()
	s.is(two.ID, Waiting)
	s.is(one.ID, Waiting)

	o, _ := s.OfferByTag("buytee")
	o.Stock = map[string]int{"": 2}
	if err := s.PutOffer(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.is(two.ID, Waiting) // two do not fit
	s.is(one.ID, Coded)
	o.Stock, o.Waitlist = map[string]int{"": 4}, false
	if err := s.PutOffer(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.is(two.ID, Coded) // what was promised to who waits holds
	s.is(first.ID, Coded)
	s.sound()
}

// A unit that is held by the repost, and one that is held by the press.
func TestHolds(t *testing.T) {
	s := scarce(t, func(o *Offer) { o.Hold = HoldAtEcho })
	all := s.wishes(3)
	for i, p := range all {
		if p = s.is(p.ID, Coded); p.Held != 0 {
			t.Fatal("a unit is held by a wish")
		}
		if err := s.echo(p, account(i)); err != nil {
			t.Fatal(err)
		}
		s.settle()
		s.now = s.now.Add(time.Second)
	}
	if p := s.is(all[0].ID, Mailed); p.Held != 1 {
		t.Error("no unit is held by the repost")
	}
	second := s.is(all[1].ID, Waiting)
	if !slices.Contains(second.Told, OnWaitlist) {
		t.Errorf("told %v", second.Told)
	}
	s.sound()
	if _, err := s.Cancel(t.Context(), all[0].ID, account(0), s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.is(second.ID, Mailed) // the code was repeated before: the link comes at once
	s.is(all[2].ID, Waiting)
	s.sound()

	s = scarce(t, func(o *Offer) { o.Hold, o.Waitlist = HoldAtEcho, false })
	all = s.wishes(2)
	for i := range all {
		if err := s.echo(s.is(all[i].ID, Coded), account(i)); err != nil {
			t.Fatal(err)
		}
		s.settle()
	}
	if p := s.is(all[1].ID, Refused); p.Reason != SoldOut || !slices.Contains(p.Told, SoldOut) {
		t.Errorf("%s, told %v", p.Reason, p.Told)
	}
	s.sound()

	s = scarce(t, func(o *Offer) { o.Hold, o.Waitlist = HoldAtClick, false })
	all = s.wishes(2)
	for i := range all {
		if err := s.echo(s.is(all[i].ID, Coded), account(i)); err != nil {
			t.Fatal(err)
		}
		s.settle()
	}
	if _, err := s.Press(t.Context(), all[1].ID, 1, "", s.now); err != nil {
		t.Fatal(err)
	}
	_, err := s.Press(t.Context(), all[0].ID, 1, "", s.now)
	wantRefusal(t, err, SoldOut)
	s.settle()
	s.is(all[1].ID, Paid)
	s.is(all[0].ID, Mailed) // until its link ends a unit may come back
	if s.taken() != 1 {
		t.Errorf("%d units are out", s.taken())
	}
	s.sound()
}

// Nothing is charged, and no code goes out, while the shop is halted.
func TestHalt(t *testing.T) {
	s := scarce(t)
	p := s.wishes(1)[0]
	if err := s.echo(s.is(p.ID, Coded), account(0)); err != nil {
		t.Fatal(err)
	}
	s.settle()
	if _, err := s.Press(t.Context(), p.ID, 1, "", s.now); err != nil {
		t.Fatal(err)
	}
	// By another process: ours learns of it with the read before the charge.
	other, err := NewShop(s.st, s.Settings)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Halt(t.Context(), Halt{At: s.now, By: "operator"}); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.is(p.ID, Confirmed)
	if s.calls["charge/"+string(p.ID)+"/1"] > 0 {
		t.Fatal("charged")
	}
	if _, err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	wish := s.wish(1, "b")
	if h, err := s.Halted(t.Context()); err != nil || h == nil || h.By != "operator" {
		t.Error(h, err)
	}
	if err := s.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(haltPause)
	s.settle()
	s.is(p.ID, Paid)
	s.is(wish.ID, Waiting)
	s.sound()
}

// What merchants look at follows from the commits.
func TestFigures(t *testing.T) {
	s := scarce(t)
	all := s.wishes(2)
	if err := s.echo(s.is(all[0].ID, Coded), account(0)); err != nil {
		t.Fatal(err)
	}
	s.settle()
	if _, err := s.Press(t.Context(), all[0].ID, 1, "", s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	if _, err := s.Cancel(t.Context(), all[1].ID, account(1), s.now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RefundPurchase(t.Context(), all[0].ID, Money{4999, "USD"}, "", s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	funnel, err := s.Funnel(t.Context(), "buytee")
	if err != nil || funnel[Wished] != 2 || funnel["coded"] != 1 || funnel["paid"] != 1 || funnel["waiting"] != 1 || funnel["cancelled/waiting"] != 1 {
		t.Error(funnel, err)
	}
	earned, err := s.Earned(t.Context(), "buytee")
	if err != nil || !slices.Equal(earned, []Earned{{"2026-11-21", Money{10000, "USD"}}}) {
		t.Error(earned, err)
	}
	orders, err := s.Orders(t.Context(), "buytee")
	if err != nil || len(orders) != 1 || orders[0].ID != all[0].ID {
		t.Error(orders, err)
	}
	if p, err := s.Note(t.Context(), all[0].ID, "ann", "call back", s.now); err != nil || len(p.Notes) != 1 || p.Notes[0].By != "ann" {
		t.Error(p.Notes, err)
	}
	s.sound()
}
