package offers

import (
	"errors"
	"testing"
	"time"
)

// told is how often the buyer was told why.
func (s *shop) told(p Purchase, why Reason) int {
	return s.calls[Effect{Kind: MailReason, Purchase: p.ID, Reason: why}.ID()]
}

// Nobody is charged long after the click: neither where the process was away nor where
// Stripe was. What was held and counted comes back when it is certain.
func TestChargeThatIsLateIsNotMade(t *testing.T) {
	for _, grace := range []time.Duration{0, 10 * time.Minute} {
		s := newShop(t, tee(10, 9))
		s.Times.Grace = grace
		s.Limits = Limits{Day: Amounts{{20000, "USD"}}}
		s.register(1)
		p := s.mailed(1, "1")
		s.presses(p)
		s.now = s.now.Add(grace + s.Times.Answer)
		s.settle()
		p = s.is(p.ID, Expired)
		if s.charges() != 0 || s.taken() != 0 || p.Reason != NotCharged || s.told(p, NotCharged) != 1 {
			t.Errorf("grace %v: %d charges, %d taken, %s, told %d times", grace, s.charges(), s.taken(), p.Reason, s.told(p, NotCharged))
		}
		s.presses(s.mailed(1, "2")) // it does not count any more
		s.now = s.now.Add(grace + s.Times.Answer - time.Millisecond)
		s.settle()
		if s.charges() != 1 {
			t.Errorf("grace %v: %d charges a moment before", grace, s.charges())
		}
		s.clean()
	}
}

// A try whose answer was lost may have taken the money: only Stripe knows.
func TestLateChargeMayHaveBeenTaken(t *testing.T) {
	for _, taken := range []bool{true, false} {
		s := newShop(t, tee(10, 9))
		s.register(1)
		p := s.mailed(1, "1")
		s.presses(p)
		lost := errors.New("no answer")
		s.with[Charge] = func(Job) (Event, error) { return Event{}, lost }
		s.with[Void] = s.with[Charge]
		tries := func() {
			leases, err := s.st.Lease(t.Context(), s.now, s.now.Add(time.Minute), 10)
			if err != nil || len(leases) == 0 {
				t.Fatal(leases, err)
			}
			for _, l := range leases {
				if err := s.Perform(t.Context(), l); err != nil && !errors.Is(err, lost) {
					t.Fatal(err)
				}
			}
		}
		tries()
		s.now = s.now.Add(s.Times.Answer)
		tries() // the charge, or the deadline, whichever comes first
		tries() // the cancellation
		p = s.is(p.ID, Expired)
		if s.charges() != 1 || s.taken() != 1 || s.told(p, NotCharged) != 0 {
			t.Fatalf("%d charges, %d taken, told %d times", s.charges(), s.taken(), s.told(p, NotCharged))
		}
		s.with[Void] = func(Job) (Event, error) {
			if taken {
				return Event{Kind: Charged}, nil
			}
			return Event{Kind: IntentVoided}, nil
		}
		s.now = s.now.Add(time.Minute)
		s.settle()
		if taken {
			if p = s.is(p.ID, Paid); s.told(p, NotCharged) != 0 || s.taken() != 1 || p.Reason != "" {
				t.Errorf("told %d times, %d taken, %q", s.told(p, NotCharged), s.taken(), p.Reason)
			}
		} else if p = s.is(p.ID, Expired); s.told(p, NotCharged) != 1 || s.taken() != 0 {
			t.Errorf("told %d times, %d taken", s.told(p, NotCharged), s.taken())
		}
		s.clean()
	}
}

// What comes of the charge after its deadline moves nothing but what was taken.
func TestOutcomeAfterTheDeadline(t *testing.T) {
	late := func() *life {
		l := newLife(t).upTo(Confirmed)
		l.pass(time.Hour - time.Nanosecond)
		l.does(Confirmed, Event{Kind: DeadlinePast})
		l.pass(time.Nanosecond)
		l.does(Expired, Event{Kind: DeadlinePast})
		l.owes(Void)
		return l
	}
	l := late()
	l.does(Expired, Event{Kind: ChargeFailed, Attempt: 1, Reason: CardDeclined})
	l.does(Expired, Event{Kind: BankAsks, Attempt: 1, URL: "https://bank.example"})
	l.does(Expired, Event{Kind: ChargeBegins, Attempt: 1})
	l.refuses(LinkExpired, Event{Kind: LinkPressed, Round: 1})
	if l.p.Held == 0 || l.p.BankURL != "" {
		t.Errorf("%d held, %q", l.p.Held, l.p.BankURL)
	}
	l.does(Expired, Event{Kind: IntentVoided})
	l.owes(MailReason)
	if l.p.Held != 0 {
		t.Error("units did not come back")
	}
	l = late()
	l.does(Paid, Event{Kind: Charged})
	if _, told := l.owed[Effect{Kind: MailReason, Purchase: l.p.ID, Reason: NotCharged}.ID()]; told || l.p.Held == 0 {
		t.Errorf("told %v, %d held", told, l.p.Held)
	}
}
