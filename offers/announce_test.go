package offers

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"hashtill/store"
)

// press is an act that makes announcements, and keeps what it was asked for.
type press struct {
	refs    []string
	offers  []Offer
	agains  []bool
	post    string
	refused string
	err     error
}

func (p *press) announce(_ context.Context, a Announcement, o Offer, again bool) (string, string, error) {
	p.refs, p.offers, p.agains = append(p.refs, a.Ref()), append(p.offers, o), append(p.agains, again)
	return p.post, p.refused, p.err
}

func newAnnouncer(t *testing.T) (*shop, *press) {
	o := tee(10, 2)
	o.Closes = t0.Add(3 * time.Hour)
	s, p := newShop(t, o), &press{post: "900"}
	s.OnAnnounce(p.announce)
	return s, p
}

func (s *shop) announces(again bool) Announcement {
	s.t.Helper()
	a, err := s.Announce(s.t.Context(), "buytee", "x", "en", again, s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// outcome is the one announcement with that number, as the store has it.
func (s *shop) outcome(n int) (found Announcement) {
	s.t.Helper()
	all, err := s.announcements(s.t.Context(), store.ShardOf("buytee"), "announced/x/buytee/en/")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, a := range all {
		if a.N == n {
			found = a
		}
	}
	return found
}

func (s *shop) watched(want ...string) {
	s.t.Helper()
	if got, err := s.CodePosts(s.t.Context(), "x"); err != nil || !slices.Equal(got, want) {
		s.t.Fatalf("posts that matter: %q, %v; want %q", got, err, want)
	}
}

func (s *shop) sound() {
	s.t.Helper()
	err := s.Check(s.t.Context(), nil, func(f Finding) error { s.t.Errorf("found %+v", f); return nil })
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestAnnounce(t *testing.T) {
	s, press := newAnnouncer(t)
	first := s.announces(false)
	s.sound()
	s.watched()
	s.settle()
	s.watched("900")
	if got := s.outcome(1); got.Post != "900" || !got.At.Equal(t0) || press.offers[0].Price.Minor != 14999 {
		t.Fatalf("outcome %+v of %+v", got, press.offers)
	}

	// Not again within the hour, but where that is meant, and in another language.
	var before *AnnouncedError
	if _, err := s.Announce(t.Context(), "buytee", "x", "en", false, s.now.Add(AnnouncePause-1)); !errors.As(err, &before) || before.Before.Post != "900" {
		t.Fatalf("announced twice: %v", err)
	}
	if _, err := s.Announce(t.Context(), "buytee", "x", "fr", false, s.now); err != nil {
		t.Fatal(err)
	}
	if again := s.announces(true); again.N != 2 || again.Ref() == first.Ref() {
		t.Errorf("again: %+v", again)
	}
	s.now = s.now.Add(AnnouncePause)
	if later := s.announces(false); later.N != 3 {
		t.Errorf("an hour later: %+v", later)
	}
	s.settle()
	s.sound()

	// Over with the sale, and forgotten thirty days later.
	s.now = t0.Add(3 * time.Hour)
	s.watched()
	_, err := s.Announce(t.Context(), "buytee", "x", "en", true, s.now)
	wantRefusal(t, err, OfferClosed)
	s.now = t0.Add(3*time.Hour + announcementAfter)
	s.settle()
	for n := range 4 {
		if got := s.outcome(n); got.N != 0 {
			t.Errorf("not forgotten: %+v", got)
		}
	}
}

func TestAnnounceIsTriedAgain(t *testing.T) {
	s, press := newAnnouncer(t)
	press.err = errors.New("away")
	s.announces(false)
	try := func() {
		t.Helper()
		leases, err := s.st.Lease(t.Context(), s.now, s.now.Add(time.Minute), 10)
		if err != nil || len(leases) != 1 {
			t.Fatalf("leases %v, %v", leases, err)
		}
		if err := s.Perform(t.Context(), leases[0]); !errors.Is(err, press.err) {
			t.Fatal(err)
		}
	}
	try()
	// Whatever becomes of the price: an earlier try may have posted these words.
	dearer, _ := s.OfferByTag("BuyTee")
	dearer.Price.Minor++
	if err := s.PutOffer(t.Context(), dearer); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(2 * time.Minute)
	press.err = nil
	try()
	if !slices.Equal(press.agains, []bool{false, true}) || press.refs[0] != press.refs[1] || !press.offers[0].says(press.offers[1]) {
		t.Errorf("tried %v with %v as %v", press.agains, press.refs, press.offers)
	}
	s.watched("900")
}

func TestNotAnnounced(t *testing.T) {
	for name, change := range map[string]func(s *shop, p *press) error{
		"closed":  func(s *shop, _ *press) error { s.now = s.now.Add(3 * time.Hour); return nil },
		"removed": func(s *shop, _ *press) error { return s.RemoveOffer(s.t.Context(), "buytee") },
		"dearer": func(s *shop, _ *press) error {
			o, _ := s.OfferByTag("BuyTee")
			o.Price.Minor++
			return s.PutOffer(s.t.Context(), o)
		},
		"refused": func(_ *shop, p *press) error { p.post, p.refused = "", "the account is locked"; return nil },
	} {
		t.Run(name, func(t *testing.T) {
			s, press := newAnnouncer(t)
			s.announces(false)
			if err := change(s, press); err != nil {
				t.Fatal(err)
			}
			s.settle()
			if got := s.outcome(1); got.Post != "" || got.Refused == "" || (len(press.refs) > 0) != (name == "refused") {
				t.Errorf("%+v; asked for %v", got, press.refs)
			}
			s.watched()
			s.sound()
			if name == "refused" { // the hour is for what was said
				s.announces(false)
			}
		})
	}
	s, _ := newAnnouncer(t)
	if _, err := s.Announce(t.Context(), "buyhat", "x", "en", false, s.now); !errors.Is(err, ErrNotFound) {
		t.Errorf("an offer that is not there: %v", err)
	}
	if _, err := s.Announce(t.Context(), "buytee", "x", "e/n", false, s.now); !errors.Is(err, ErrInvalid) {
		t.Errorf("no language: %v", err)
	}
}

// holds has somebody hold units of the tee, or give them back.
func (s *shop) holds(units int64) {
	s.t.Helper()
	err := s.st.Commit(s.t.Context(), store.Change{Shard: store.ShardOf("buytee"), Add: []store.Add{{Key: takenKey("buytee", ""), By: units, Max: 100}}})
	if err != nil {
		s.t.Fatal(err)
	}
}

// An offer is announced while it is on sale and there is something left of it.
func TestWhenToAnnounce(t *testing.T) {
	o := tee(10, 2)
	o.Opens, o.Closes = t0.Add(time.Hour), t0.Add(3*time.Hour)
	s, press := newShop(t, o), &press{post: "900"}
	s.OnAnnounce(press.announce)
	announce := func() error {
		_, err := s.Announce(t.Context(), "buytee", "x", "en", false, s.now)
		return err
	}
	wantRefusal(t, announce(), NotOpenYet)
	s.now = o.Opens
	if err := announce(); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.now = s.now.Add(AnnouncePause)
	s.holds(10)
	wantRefusal(t, announce(), SoldOut)
	s.watched("900") // units may come back
	s.holds(-2)
	if err := announce(); err != nil {
		t.Errorf("with two units left: %v", err)
	}
	s.holds(2) // before it is made
	s.settle()
	if got := s.outcome(2); got.Post != "" || got.Refused == "" || len(press.refs) != 1 {
		t.Errorf("%+v; asked for %v", got, press.refs)
	}
	s.now = o.Closes
	wantRefusal(t, announce(), OfferClosed)
	s.watched()
}

func TestCheckFindsAnnouncements(t *testing.T) {
	s, _ := newAnnouncer(t)
	wrong := (store.ShardOf("buytee") + 1) % store.Shards
	a := s.announces(false)
	c, err := a.change(tee(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	c.Shard = wrong
	c.Put = append(c.Put, store.Put{Key: "announced/x/buytee/en/9", Value: []byte("{}")})
	c.Owe = append(c.Owe, store.Effect{ID: "announced/x/buytee/en/8", Kind: announceOffer, Body: []byte("{}")})
	if err := s.st.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	got := map[FindingKind]int{}
	if err := s.Check(t.Context(), nil, func(f Finding) error { got[f.Kind]++; return nil }); err != nil {
		t.Fatal(err)
	}
	if got[Misplaced] != 1 || got[Unreadable] != 2 || len(got) != 2 {
		t.Errorf("found %v", got)
	}
}
