package offers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hashtill/store"
)

func (s *shop) hear(event string, p Purchase, topic Topic) {
	s.t.Helper()
	h := Hint{Event: event, Type: "payment_intent.succeeded", Object: p.Intent, Topic: topic, Intent: p.Intent, Purchase: p.ID}
	if err := s.Hear(s.t.Context(), h, s.now); err != nil {
		s.t.Fatal(err)
	}
}

// heeds answers whoever asks how a payment stands, and counts.
func (s *shop) heeds(ev Event, err error) (asked *int) {
	asked = new(int)
	s.On(Heed, func(context.Context, Job) (Event, error) { *asked++; return ev, err })
	return asked
}

// keys are those of a dump's lines that hold one of the words.
func (s *shop) keys(words ...string) []string {
	s.t.Helper()
	return slices.DeleteFunc(dump(s.t, s.st), func(line string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(line, w) })
	})
}

// What Stripe tells is remembered for eight days, and what is set aside for thirty;
// nothing is left of either.
func TestHearForgets(t *testing.T) {
	s := newShop(t, tee(2, 2))
	s.register(1)
	asked := s.heeds(Event{Kind: Charged}, nil)
	p := s.mailed(1, "1")
	s.hear("evt_1", p, Payment)
	s.hear("evt_2", p, Otherwise)
	s.clean()
	s.settle()
	s.is(p.ID, Paid)
	for after, want := range []int{2, 1, 0} {
		if got := s.keys("record event/", "record aside/"); len(got) != want {
			t.Errorf("%d: %q, want %d", after, got, want)
		}
		days := []time.Duration{8, 22, 0}[after]
		s.now = s.now.Add(days*24*time.Hour - time.Second)
		s.settle()
		if got := s.keys("record event/", "record aside/"); days > 0 && len(got) != want {
			t.Errorf("%d: %q are left a second before", after, got)
		}
		s.now = s.now.Add(time.Second)
		s.settle()
	}
	s.clean()
	if got := s.keys("evt_"); len(got) > 0 || *asked != 1 {
		t.Errorf("left: %q; asked %d times", got, *asked)
	}
}

// The purchase has left, or is paid, before it was looked.
func TestHeedComesTooLate(t *testing.T) {
	for name, end := range map[string]func(s *shop, p Purchase){
		"erased": func(s *shop, p Purchase) {
			if _, err := s.Cancel(s.t.Context(), p.ID, account(1), s.now); err != nil {
				s.t.Fatal(err)
			}
			s.settle()
			if _, err := s.Erase(s.t.Context(), account(1), s.now); err != nil {
				s.t.Fatal(err)
			}
			s.gone(p.ID)
			if got := s.keys("1001"); len(got) > 0 {
				s.t.Errorf("left of the account: %q", got)
			}
		},
		"paid": func(s *shop, p Purchase) {
			if _, err := s.move(s.t.Context(), p.ID, Event{Kind: Charged}, nil, s.now); err != nil {
				s.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, tee(2, 2))
			s.register(1)
			p := s.mailed(1, "1")
			s.heeds(Event{}, errors.New("no answer"))
			s.hear("evt_1", p, Payment)
			leases, err := s.st.Lease(t.Context(), s.now, s.now.Add(time.Hour), 10)
			if err != nil || len(leases) != 1 || leases[0].Kind != string(Heed) {
				t.Fatalf("owed: %v, %v", leases, err)
			}
			if err := s.Perform(t.Context(), leases[0]); err == nil {
				t.Fatal("done without an answer")
			}
			end(s, p)
			s.clean()
			asked := s.heeds(Event{Kind: Charged}, nil)
			s.now = s.now.Add(time.Hour)
			s.settle()
			if got := s.keys("effect heed/"); len(got) > 0 || *asked > 0 {
				t.Errorf("asked %d times, owed %q", *asked, got)
			}
		})
	}
}

// Notices are written while the purchase moves; neither is lost, and there are only
// so many.
func TestNotices(t *testing.T) {
	s := newShop(t, tee(2, 2))
	s.register(1)
	s.heeds(Event{Kind: EffectDone}, nil)
	p := s.mailed(1, "1")
	var all sync.WaitGroup
	for n := range maxNotices {
		all.Go(func() {
			for range 2 {
				s.hear(fmt.Sprint("evt_", n), p, Afterwards)
			}
		})
	}
	all.Go(func() {
		if _, err := s.Press(t.Context(), p.ID, 1, "", s.now); err != nil {
			t.Error(err)
		}
	})
	all.Wait()
	if got := s.is(p.ID, Confirmed).Notices; len(got) != maxNotices {
		t.Errorf("%d notices", len(got))
	}
	s.hear("evt_last", p, Afterwards)
	s.settle()
	if got := s.is(p.ID, Paid).Notices; len(got) != maxNotices {
		t.Errorf("%d notices in the end", len(got))
	}
	s.clean()
}

func TestHearRefusesNames(t *testing.T) {
	s := newShop(t, tee(2, 2))
	for _, id := range []string{"", "evt/1", "evt 1", "évt_1", strings.Repeat("e", maxEventID+1)} {
		if err := s.Hear(t.Context(), Hint{Event: id}, s.now); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if err := s.Hear(t.Context(), Hint{Event: strings.Repeat("e", maxEventID)}, s.now); err != nil {
		t.Error(err)
	}
}

// Check looks at what Stripe has told, too.
func TestCheckOfHints(t *testing.T) {
	d := newDamaged(t)
	far := (store.ShardOf("evt_1") + 1) % store.Shards
	d.put(far, "aside/evt_1", "{}")
	d.owe(d.here, "heed/x", string(Heed), "{")
	d.owe(d.here, "heed//evt_2", string(Heed), `{"purchase":"","event":"evt_2"}`)
	elsewhere := heedEffect{d.paid.ID, "evt_3"}
	d.owe(d.far, elsewhere.id(), string(Heed), string(elsewhere.owed().Body))
	got, want := d.findings(), []string{"misplaced " + elsewhere.id(), "misplaced aside/evt_1", "unreadable heed//evt_2", "unreadable heed/x"}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

// A purchase takes one payment that it has forgotten, and no other.
func TestAdopt(t *testing.T) {
	s := newShop(t, tee(2, 2))
	s.register(1)
	s.heeds(Event{Kind: Charged}, nil)
	id := s.wish(1, "1").ID
	s.settle()
	p := s.is(id, Coded)
	for range 2 {
		if err := s.Adopt(t.Context(), p.ID, "pi_forgotten"); err != nil {
			t.Fatal(err)
		}
	}
	for _, intent := range []string{"pi_other", "", "pi/1"} {
		if err := s.Adopt(t.Context(), p.ID, intent); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", intent, err)
		}
	}
	if err := s.Adopt(t.Context(), NewID("x", "999", "buytee"), "pi_1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("of no purchase: %v", err)
	}
	p.Intent = "pi_forgotten"
	s.hear("evt_1", p, Payment)
	s.settle()
	if p = s.is(p.ID, Paid); p.Intent != "pi_forgotten" {
		t.Errorf("paid by %q", p.Intent)
	}
	s.clean()
}

// A payment that was being prepared while another was adopted takes nothing away from it.
func TestAdoptedWhilePreparing(t *testing.T) {
	for _, late := range []Event{{Kind: IntentMade, Intent: "pi_late"}, {Kind: IntentFailed, Reason: CardUnusable}} {
		s := newShop(t, tee(2, 2))
		s.register(1)
		s.heeds(Event{Kind: Charged}, nil)
		p := s.wish(1, "1")
		s.settle()
		p = s.is(p.ID, Coded)
		if err := s.echo(p, account(1)); err != nil {
			t.Fatal(err)
		}
		s.with[Prepare] = func(Job) (Event, error) {
			if err := s.Adopt(t.Context(), p.ID, "pi_forgotten"); err != nil {
				t.Fatal(err)
			}
			return late, nil
		}
		s.settle()
		if p = s.is(p.ID, Echoed); p.Intent != "pi_forgotten" || p.Held != 1 {
			t.Fatalf("after %s: intent %q, %d held", late.Kind, p.Intent, p.Held)
		}
		s.hear("evt_1", p, Payment)
		s.settle()
		s.is(p.ID, Paid)
		s.clean()
	}
}

// What Stripe tells twice is heard once, also when what came of it was done between.
func TestHeardTwice(t *testing.T) {
	s := newShop(t, tee(2, 2))
	s.register(1)
	asked := s.heeds(Event{Kind: EffectDone}, nil)
	p := s.mailed(1, "1")
	for range 3 {
		s.hear("evt_1", p, Payment)
		s.hear("evt_2", p, Afterwards)
		s.settle()
	}
	if p = s.is(p.ID, Mailed); *asked != 1 || len(p.Notices) != 1 {
		t.Errorf("asked %d times, %d notices", *asked, len(p.Notices))
	}
	s.clean()
}
