package offers

import (
	"errors"
	"testing"
	"time"

	"hashtill/store"
)

// What cannot be done is seen, tried at once when somebody asks for it, and given up where
// no money hangs on it.
func TestStuck(t *testing.T) {
	s := scarce(t)
	s.with[MailLink] = func(Job) (Event, error) { return Event{}, errors.New("the mail server is away") }
	tries := 0
	try := func() {
		t.Helper()
		leases, err := s.st.Lease(t.Context(), s.now, s.now.Add(time.Minute), 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range leases {
			if err := s.Perform(t.Context(), l); err != nil {
				tries++
				c := store.Change{Shard: l.Shard, PutOff: []store.PutOff{{ID: l.ID, Try: l.Try, Due: s.now.Add(20 * time.Minute), Note: err.Error()}}}
				if err := s.st.Commit(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	p := s.wish(0, "a")
	s.settle()
	if err := s.echo(s.is(p.ID, Coded), account(0)); err != nil {
		t.Fatal(err)
	}
	try() // the payment is prepared
	try() // the mail is not taken
	if all, err := s.Stuck(t.Context(), 10); err != nil || len(all) != 0 || tries != 1 {
		t.Fatal(all, err, tries)
	}
	s.now = s.now.Add(20*time.Minute + stuckFor) // nobody has come for it
	all, err := s.Stuck(t.Context(), 10)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	for range 4 {
		try()
		if err := s.TryAgain(t.Context(), all[0].ID); err != nil {
			t.Fatal(err)
		}
	}
	all, err = s.Stuck(t.Context(), 10)
	if err != nil || len(all) != 1 || tries != 5 {
		t.Fatal(all, err, tries)
	}
	if st := all[0]; st.Kind != string(MailLink) || st.Purchase != p.ID || st.Offer != "buytee" || st.Try != 5 || !st.CanGiveUp || st.Note == "" {
		t.Fatalf("stuck %+v", st)
	}
	if err := s.GiveUp(t.Context(), all[0].ID); err != nil {
		t.Fatal(err)
	}
	if err := s.GiveUp(t.Context(), all[0].ID); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	s.settle()
	if p := s.is(p.ID, Refused); p.Reason != MailRefused || p.Held != 0 {
		t.Errorf("%s, %d units held", p.Reason, p.Held)
	}
	s.sound()
}

// Money is never given up.
func TestMoneyIsNotGivenUp(t *testing.T) {
	for _, kind := range EffectKinds {
		money := kind == Prepare || kind == Charge || kind == Look || kind == Void || kind == Refunding
		if given := abandons(kind) != nil; given == money && kind != File && kind != Deadline {
			t.Errorf("%s can be given up: %t", kind, given)
		}
	}
}
