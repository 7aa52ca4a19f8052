package offers

import (
	"context"
	"errors"
	"testing"
	"time"

	"hashtill/store"
)

// graced is a shop that leaves a minute to take a press back, and a purchase whose
// button has just been pressed.
func graced(t *testing.T) (*shop, Purchase) {
	s := newShop(t, tee(10, 9))
	s.Times.Grace = time.Minute
	s.register(1)
	p := s.mailed(1, "1")
	s.presses(p)
	s.settle()
	return s, s.is(p.ID, Confirmed)
}

func (s *shop) charges() (n int) {
	for id, times := range s.calls {
		if len(id) > 7 && id[:7] == "charge/" {
			n += times
		}
	}
	return n
}

func TestGraceIsOverThenCharged(t *testing.T) {
	s, p := graced(t)
	s.now = s.now.Add(time.Minute - time.Millisecond)
	s.settle()
	if s.charges() != 0 {
		t.Error("charged within the grace")
	}
	s.clean()
	s.now = s.now.Add(time.Millisecond)
	_, err := s.Cancel(t.Context(), p.ID, account(1), s.now)
	wantRefusal(t, err, TooLate)
	s.settle()
	s.is(p.ID, Paid)
	if s.charges() != 1 {
		t.Errorf("%d charges", s.charges())
	}
	s.clean()
}

func TestTakenBackInTime(t *testing.T) {
	s, p := graced(t)
	s.now = s.now.Add(time.Minute - time.Millisecond)
	if _, err := s.Cancel(t.Context(), p.ID, account(2), s.now); err == nil {
		t.Error("somebody else took it back")
	}
	if _, err := s.Cancel(t.Context(), p.ID, account(1), s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.now = s.now.Add(time.Hour)
	s.settle()
	s.is(p.ID, Cancelled)
	if s.charges() != 0 || s.taken() != 0 {
		t.Errorf("%d charges, %d taken", s.charges(), s.taken())
	}
	s.clean()
}

// Without a grace there is nothing to take back.
func TestNoGrace(t *testing.T) {
	s := newShop(t, tee(10, 9))
	s.register(1)
	p := s.mailed(1, "1")
	s.presses(p)
	_, err := s.Cancel(t.Context(), p.ID, account(1), s.now)
	wantRefusal(t, err, TooLate)
}

// Another machine may believe that there is still time: whoever commits first has
// decided.
func TestTakingBackRacesTheCharge(t *testing.T) {
	s, p := graced(t)
	behind := s.now.Add(30 * time.Second) // on the other machine
	s.now = s.now.Add(time.Minute)
	s.with[Charge] = func(Job) (Event, error) {
		_, err := s.Cancel(t.Context(), p.ID, account(1), behind)
		wantRefusal(t, err, TooLate)
		return Event{Kind: Charged}, nil
	}
	s.settle()
	s.is(p.ID, Paid)

	s, p = graced(t)
	s.now = s.now.Add(time.Minute)
	st := &meddled{Store: s.st, is: func(c store.Change) bool { return len(c.Settle) == 0 && len(c.Put) == 1 }, do: func() {
		if _, err := s.Cancel(t.Context(), p.ID, account(1), behind); err != nil {
			t.Error(err)
		}
	}}
	s.store = st
	s.settle()
	if !st.done {
		t.Fatal("nobody was in between")
	}
	s.is(p.ID, Cancelled)
	if s.charges() != 0 {
		t.Error("charged what was taken back")
	}
	s.clean()
}

// A meddled store has something done just before the first commit that is the one
// meant.
type meddled struct {
	store.Store
	is   func(store.Change) bool
	do   func()
	done bool
}

func (m *meddled) Commit(ctx context.Context, c store.Change) error {
	if !m.done && m.is(c) {
		m.done = true
		m.do()
	}
	return m.Store.Commit(ctx, c)
}

// Whoever is frozen while nobody knows what came of the charge pays nothing: Stripe says
// that it was taken, and it goes back.
func TestFrozenAfterACrash(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Minute} {
		s := newShop(t, tee(10, 9))
		s.Times.Grace = grace
		s.register(1)
		p := s.mailed(1, "1")
		s.presses(p)
		s.now = s.now.Add(grace)
		leases, err := s.st.Lease(t.Context(), s.now, s.now.Add(time.Second), 10)
		if err != nil || len(leases) != 1 {
			t.Fatal(leases, err)
		}
		st := &crashing{Store: s.st, at: 1} // the commit of the outcome
		if grace > 0 {
			st.at++
		}
		s.store = st
		if err := s.Perform(t.Context(), leases[0]); err == nil || s.charges() != 1 {
			t.Fatalf("%v with %d charges", err, s.charges())
		}
		if err := s.Freeze(t.Context(), account(1), ByShop, s.now); err != nil {
			t.Fatal(err)
		}
		s.with[Void] = func(Job) (Event, error) { return Event{Kind: Charged}, nil }
		s.now = s.now.Add(time.Minute)
		s.settle()
		s.is(p.ID, Refunded)
		if s.charges() != 1 {
			t.Errorf("grace %v: %d charges", grace, s.charges())
		}
		s.clean()
	}
}

// A charge that could not be made at once, because Stripe was busy or away, is not made
// later for somebody who was frozen meanwhile.
func TestFrozenWhileTheChargeWaits(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Minute} {
		s := newShop(t, tee(10, 9))
		s.Times.Grace = grace
		s.register(1)
		p := s.mailed(1, "1")
		s.presses(p)
		s.now = s.now.Add(grace)
		away := errors.New("not before later")
		s.with[Charge] = func(Job) (Event, error) { return Event{}, away }
		leases, err := s.st.Lease(t.Context(), s.now, s.now.Add(time.Second), 10)
		if err != nil || len(leases) != 1 {
			t.Fatal(leases, err)
		}
		if err := s.Perform(t.Context(), leases[0]); !errors.Is(err, away) {
			t.Fatal(err)
		}
		tried := s.charges()
		if err := s.Freeze(t.Context(), account(1), ByBuyer, s.now); err != nil {
			t.Fatal(err)
		}
		s.with[Charge] = nil
		s.now = s.now.Add(time.Minute)
		s.settle()
		s.is(p.ID, Cancelled)
		if s.charges() != tried {
			t.Errorf("grace %v: charged after the freeze", grace)
		}
		s.clean()
	}
}

// Within the grace nobody even tries.
func TestChargeIsDueAfterTheGrace(t *testing.T) {
	s := newShop(t, tee(10, 9))
	s.Times.Grace = time.Minute
	s.register(1)
	s.presses(s.mailed(1, "1"))
	for want, at := range []time.Time{s.now.Add(time.Minute - time.Millisecond), s.now.Add(time.Minute)} {
		leases, err := s.st.Lease(t.Context(), at, at.Add(time.Millisecond), 10)
		if err != nil || len(leases) != want {
			t.Errorf("at %v: %v, %v", at, leases, err)
		}
	}
}

// An effect that comes early by the clock of whoever holds it waits.
func TestChargeByAClockThatIsBehind(t *testing.T) {
	s, p := graced(t)
	l, err := s.st.Lease(t.Context(), s.now.Add(time.Minute), s.now.Add(2*time.Minute), 10)
	if err != nil || len(l) != 1 {
		t.Fatal(l, err)
	}
	if err := s.Perform(t.Context(), l[0]); err != nil {
		t.Fatal(err)
	}
	s.is(p.ID, Confirmed)
	s.now = s.now.Add(time.Minute)
	s.settle()
	s.is(p.ID, Paid)
}

// Nothing is sold or charged to a frozen buyer, and no post lifts it.
func TestFreeze(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Minute} {
		s := newShop(t, tee(10, 9))
		s.Times.Grace = grace
		s.register(1)
		confirmed, mailed := s.mailed(1, "1"), s.mailed(1, "2")
		s.presses(confirmed)
		if err := s.Freeze(t.Context(), account(1), ByShop, s.now); err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, s.press(mailed), BuyerFrozen)
		wantRefusal(t, s.Start(t.Context(), account(1), s.now.Add(time.Second)), BuyerFrozen)
		if b, err := s.Buyer(t.Context(), account(1)); err != nil || b.Barred() != BuyerFrozen {
			t.Fatalf("a post took the freeze back: %+v, %v", b, err)
		}
		if err := s.Stop(t.Context(), account(1), s.now); err != nil {
			t.Fatal(err)
		}
		s.register(1) // a new card changes nothing
		s.settle()
		s.now = s.now.Add(grace)
		s.settle()
		s.is(confirmed.ID, Cancelled)
		s.is(mailed.ID, Cancelled)
		if s.charges() != 0 || s.taken() != 0 {
			t.Errorf("grace %v: %d charges, %d taken", grace, s.charges(), s.taken())
		}
		_, err := s.Wish(t.Context(), Wish{Post: "3", Account: account(1), Offer: "buytee"}, s.now)
		wantRefusal(t, err, BuyerFrozen)
		if err := s.Unfreeze(t.Context(), account(1), ByShop, s.now); err != nil {
			t.Fatal(err)
		}
		s.now = s.now.Add(time.Second)
		s.buyGraced(1, "4")
		s.clean()
	}
}

// buyGraced plays a purchase past its grace until it is paid.
func (s *shop) buyGraced(n int, post string) {
	s.t.Helper()
	p := s.mailed(n, post)
	s.presses(p)
	s.now = s.now.Add(s.Times.Grace)
	s.settle()
	s.is(p.ID, Paid)
}
