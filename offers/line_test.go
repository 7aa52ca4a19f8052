package offers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/store"
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
	for i, p := range all {
		if place, err := s.PlaceOf(s.t.Context(), p); place != i+1 || err != nil {
			s.t.Errorf("%s has place %d, want %d; %v", p.ID, place, i+1, err)
		}
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
	if place, err := s.PlaceOf(t.Context(), next); place != 0 || err != nil {
		t.Errorf("who has had their turn has place %d, %v", place, err)
	}
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

// edit puts the offer as another process does: ours does not know it yet.
func (s *shop) edit(edit func(*Offer)) *Shop {
	s.t.Helper()
	other, err := NewShop(s.st, s.Settings)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := other.Refresh(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	o, ok := other.OfferByTag("buytee")
	if !ok {
		s.t.Fatal("no offer")
	}
	edit(&o)
	if err := other.PutOffer(s.t.Context(), o); err != nil {
		s.t.Fatal(err)
	}
	if _, err := other.Refresh(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	return other
}

// Who serves the line may know the offer as it was before there was more of it.
func TestLineServedByTheOfferAsItIs(t *testing.T) {
	s := scarce(t)
	all := s.wishes(2)
	s.edit(func(o *Offer) { o.Stock = map[string]int{"": 2} })
	s.settle()
	s.is(all[1].ID, Coded)
	s.sound()
}

// A unit of a purchase that was wished for before there was a line comes back to the line.
func TestLineSwitchedOn(t *testing.T) {
	s := scarce(t, func(o *Offer) { o.Waitlist = false })
	first := s.wishes(1)[0]
	other := s.edit(func(o *Offer) { o.Waitlist = true })
	second, err := other.Wish(t.Context(), Wish{Post: "b", Account: account(1), Offer: "buytee"}, s.now)
	if err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.is(second.ID, Waiting)
	if _, err := s.Cancel(t.Context(), first.ID, account(0), s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.is(second.ID, Coded)
	s.sound()
}

// Who waits still waits when the line is switched off, and is served within linePause.
func TestLineSwitchedOff(t *testing.T) {
	s := scarce(t)
	all := s.wishes(3)
	s.edit(func(o *Offer) { o.Waitlist = false })
	s.settle()
	s.edit(func(o *Offer) { o.Stock = map[string]int{"": 2} })
	s.now = s.now.Add(linePause)
	s.settle()
	s.is(all[1].ID, Coded)
	s.is(all[2].ID, Waiting)
	if _, err := s.Cancel(t.Context(), all[2].ID, account(2), s.now); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.now = s.now.Add(linePause)
		s.settle()
	}
	for _, e := range dump(t, s.st) {
		if strings.Contains(e, serveLine) {
			t.Errorf("nobody waits, and %s is owed", e)
		}
	}
	s.sound()
}

// A repost that is to hold a unit, and somebody who has just registered, stand behind those
// who wait, too.
func TestNobodyOvertakes(t *testing.T) {
	s := scarce(t, func(o *Offer) { o.Hold = HoldAtEcho })
	all := s.wishes(3)
	for i, p := range all[:2] {
		if err := s.echo(s.is(p.ID, Coded), account(i)); err != nil {
			t.Fatal(err)
		}
		s.settle()
	}
	s.is(all[1].ID, Waiting)
	cancel := func(p Purchase, by int) {
		t.Helper()
		if _, err := s.Cancel(t.Context(), p.ID, account(by), s.now); err != nil {
			t.Fatal(err)
		}
	}
	once := func() {
		t.Helper()
		leases, err := s.st.Lease(t.Context(), s.now, s.now.Add(time.Minute), 100)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(leases, func(a, b store.Lease) int { return strings.Compare(a.Kind, b.Kind) }) // the line comes last
		for _, l := range leases {
			if err := s.Perform(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
	}
	cancel(all[0], 0)
	once() // the payment is voided, which gives the unit back
	if s.taken() != 0 {
		t.Fatal("the unit is not back")
	}
	s.now = s.now.Add(time.Second)
	if err := s.echo(s.is(all[2].ID, Coded), account(2)); err != nil { // before the line is served
		t.Fatal(err)
	}
	s.settle()
	s.is(all[1].ID, Mailed)
	s.is(all[2].ID, Waiting)
	s.sound()

	s = scarce(t)
	invited, err := s.Wish(t.Context(), Wish{Post: "a", Account: account(20), Offer: "buytee"}, s.now)
	if err != nil || invited.State != Invited {
		t.Fatal(invited.State, err)
	}
	all = s.wishes(2)
	cancel(all[0], 0)
	s.register(20)
	once()
	if p := s.is(invited.ID, Refused); p.Reason != SoldOut {
		t.Error(p.Reason)
	}
	s.settle()
	s.is(all[1].ID, Coded)
	s.sound()
}

// A flicker is a store in which somebody else takes the last unit just before a commit of a
// purchase, and gives it back just after that.
type flicker struct {
	store.Store
	of ID
}

func (f *flicker) Commit(ctx context.Context, c store.Change) error {
	if f.of == "" || len(c.Put) == 0 || c.Put[0].Key != purchaseKey(f.of) {
		return f.Store.Commit(ctx, c)
	}
	f.of = ""
	unit := store.Add{Key: takenKey("buytee", ""), By: 1, Max: store.MaxCount}
	if err := f.Store.Commit(ctx, store.Change{Shard: c.Shard, Add: []store.Add{unit}}); err != nil {
		return err
	}
	err := f.Store.Commit(ctx, c)
	unit.By = -1
	return errors.Join(err, f.Store.Commit(ctx, store.Change{Shard: c.Shard, Add: []store.Add{unit}}))
}

// A unit that is taken and given back while the line is served is still the first one's.
func TestLineRaced(t *testing.T) {
	o := tee(1, 2)
	o.Waitlist = true
	st := &flicker{Store: store.NewMemory()}
	s := newShopOn(t, st, o)
	for n := range 3 {
		s.register(n)
	}
	all := s.wishes(3)
	if _, err := s.Cancel(t.Context(), all[0].ID, account(0), s.now); err != nil {
		t.Fatal(err)
	}
	st.of = all[1].ID
	s.settle()
	s.is(all[1].ID, Coded)
	s.is(all[2].ID, Waiting)
	s.sound()
}

// Who registers after the wish buys nothing that is not sold to their country.
func TestRegisteredElsewhere(t *testing.T) {
	for country, want := range map[string]Reason{"FR": "", "US": NotSoldThere, "": CountryNeeded} {
		s := scarce(t, func(o *Offer) { o.Countries = []string{"FR"} })
		p, err := s.Wish(t.Context(), Wish{Post: "a", Account: account(20), Offer: "buytee"}, s.now)
		if err != nil || p.State != Invited {
			t.Fatal(p.State, err)
		}
		b := Buyer{Account: account(20), Email: "b@example.com", Customer: "cus_1", Cards: []Card{{ID: "pm_1"}}, Country: country}
		if err := s.Register(t.Context(), b, s.now); err != nil {
			t.Fatal(err)
		}
		s.settle()
		if p, err = s.Purchase(t.Context(), p.ID); err != nil || p.Reason != want || (p.State == Refused) != (want != "") {
			t.Errorf("country %q: %s for %q, %v; want %q", country, p.State, p.Reason, err, want)
		}
		s.sound()
	}
}

// An offer that is taken out of the catalogue before its units were held.
func TestRemovedBeforeTheHold(t *testing.T) {
	for _, hold := range Holds[1:] {
		s := scarce(t, func(o *Offer) { o.Hold = hold })
		p := s.wishes(1)[0]
		remove := func() {
			t.Helper()
			if err := s.RemoveOffer(t.Context(), "buytee"); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if hold == HoldAtEcho {
			remove()
		}
		if err := s.echo(s.is(p.ID, Coded), account(0)); err != nil {
			t.Fatal(err)
		}
		s.settle()
		if hold == HoldAtEcho {
			if p = s.is(p.ID, Refused); p.Reason != OfferClosed {
				t.Error(p.Reason)
			}
			continue
		}
		remove()
		_, err := s.Press(t.Context(), p.ID, 1, "", s.now)
		wantRefusal(t, err, OfferClosed)
	}
}

// lateCounts fails once at a read of counts of a shard.
type lateCounts struct {
	store.Store
	shard int
}

func (l *lateCounts) Counts(ctx context.Context, shard int, keys ...string) ([]int64, error) {
	if shard == l.shard {
		l.shard = -1
		return nil, errors.New("no answer")
	}
	return l.Store.Counts(ctx, shard, keys...)
}

// The other hashtags of what was read before an error are known when the rest is read.
func TestOtherTagsAfterAnError(t *testing.T) {
	o := tee(1, 1)
	o.Tags = []string{"Shirt"}
	s := newShop(t, o)
	late := &lateCounts{s.st, store.Shards - 1}
	other, err := NewShop(late, s.Settings)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Refresh(t.Context()); err == nil {
		t.Fatal("nothing has failed")
	}
	if _, err := other.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := other.OfferByTag("shirt"); !ok {
		t.Error("#Shirt is not known")
	}
}

// An account has no more places in a line than it may buy units.
func TestPlacesOfOneAccount(t *testing.T) {
	s := scarce(t) // 2 for each buyer
	s.wish(0, "a")
	s.settle()
	var waits []Purchase
	for _, post := range []string{"b", "c", "d"} {
		waits = append(waits, s.wish(1, post))
		s.settle()
	}
	s.is(waits[0].ID, Waiting)
	s.is(waits[1].ID, Waiting)
	if p := s.is(waits[2].ID, Refused); p.Reason != LimitReached {
		t.Errorf("refused for %s", p.Reason)
	}
	s.sound()
	if _, err := s.LeaveLine(t.Context(), waits[0].ID, account(1), s.now); err != nil {
		t.Fatal(err)
	}
	s.is(waits[0].ID, Cancelled)
	s.is(s.wish(1, "e").ID, Waiting)
	s.settle()
	s.sound()
}

// Who leaves a line when their turn has come keeps the turn; a stop that was said while they
// waited takes it; and a sale that ends early ends its line.
func TestLineAndItsTurn(t *testing.T) {
	s := scarce(t)
	all := s.wishes(3)
	waited := s.now
	if _, err := s.Cancel(t.Context(), all[0].ID, account(0), s.now); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(time.Minute)
	s.settle()
	if p, err := s.LeaveLine(t.Context(), all[1].ID, account(1), s.now); err != nil || p.State != Coded {
		t.Fatalf("%s, %v", p.State, err)
	}
	if n, err := s.cancelUntil(t.Context(), account(1), waited, s.now); n != 1 || err != nil {
		t.Errorf("%d cancelled, %v", n, err)
	}
	s.settle()
	s.is(all[2].ID, Coded)
	late := s.wish(3, "late")
	s.settle()
	s.is(late.ID, Waiting)
	if err := s.EditOffer(t.Context(), "buytee", func(o *Offer) error { o.Closes = s.now; return nil }); err != nil {
		t.Fatal(err)
	}
	s.settle()
	if p := s.is(late.ID, Refused); p.Reason != OfferClosed || !slices.Contains(p.Told, OfferClosed) {
		t.Errorf("%s, told %v", p.Reason, p.Told)
	}
	s.is(all[2].ID, Coded)
	s.sound()
}
