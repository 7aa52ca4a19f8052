package bot

import (
	"context"
	"errors"
	"testing"
	"time"

	"hashtill/offers"
)

// A bare hashtag is heard, and nothing is said to it in public: a registered buyer's
// code comes by mail, and nobody else has wished for anything.
func TestBareMail(t *testing.T) {
	for _, how := range []Bare{BareMail, ""} {
		s := newScene(t, 1)
		s.Bare = how
		s.register("1")
		codes, reasons := 0, 0
		s.shop.On(offers.MailCode, func(context.Context, offers.Job) (offers.Event, error) {
			codes++
			return offers.Event{Kind: offers.CodeMailed}, nil
		})
		s.shop.On(offers.MailReason, func(_ context.Context, j offers.Job) (offers.Event, error) {
			reasons++
			return offers.Event{Kind: offers.EffectDone}, nil
		})
		s.hears(by("1", "10", "#BuyTee"))
		s.hears(by("1", "11", "#BuyTee")) // the last one is taken
		s.hears(by("2", "20", "#BuyTee"))
		if len(s.net.said) > 0 || codes != 1 || reasons != 1 {
			t.Errorf("said %v, mailed %d codes and %d reasons", s.net.said, codes, reasons)
		}
		p, err := s.shop.Purchase(t.Context(), offers.NewID("x", "10", "buytee"))
		if err != nil || p.State != offers.Coded || !p.CodeByMail {
			t.Errorf("the purchase is %s, %v", p.State, err)
		}
		if _, err := s.shop.Purchase(t.Context(), offers.NewID("x", "20", "buytee")); !errors.Is(err, offers.ErrNotFound) {
			t.Errorf("a stranger's is a purchase: %v", err)
		}
		s.hears(by("1", "12", p.Code.Hashtag()))
		if p, err = s.shop.Purchase(t.Context(), p.ID); err != nil || p.State != offers.Echoed {
			t.Errorf("after the echo it is %s, %v", p.State, err)
		}
	}
}

// A wish whose post is removed is none any more, unless its button was pressed.
func TestDeletion(t *testing.T) {
	removes := func(account, post string) Post {
		return Post{Network: "x", ID: post, Author: Author{ID: account}, Kind: Deletion}
	}
	s := newScene(t, 9)
	s.shop.Times.Grace = time.Minute // in which it could still be taken back
	p, _ := s.confirms(reposted)
	s.hears(by("1", "20", "@bot #BuyTee"))
	state := func(post string) offers.State {
		t.Helper()
		p, err := s.shop.Purchase(t.Context(), offers.NewID("x", post, "buytee"))
		if err != nil {
			t.Fatal(err)
		}
		return p.State
	}
	for _, other := range []Post{removes("2", "20"), removes("1", "21"), removes("", "20"), removes(self, "20")} {
		if said := s.hears(other); len(said) > 0 || state("20") != offers.Coded || state("10") != offers.Mailed {
			t.Errorf("after %+v: said %q, %s and %s", other, said, state("20"), state("10"))
		}
	}
	for range 2 {
		if said := s.hears(removes("1", "20")); len(said) > 0 || state("20") != offers.Cancelled || state("10") != offers.Mailed {
			t.Errorf("said %q, %s and %s", said, state("20"), state("10"))
		}
	}
	if _, err := s.shop.Press(t.Context(), p.ID, p.Round, "", t0); err != nil {
		t.Fatal(err)
	}
	s.hears(removes("1", "10"))
	if state("10") != offers.Confirmed {
		t.Errorf("what was paid for is %s", state("10"))
	}
	s.hears(by("1", "30", "@bot #BuyTee"))
	s.hears(removes("1", "30"))
	if taken, err := s.st.Counts(t.Context(), offers.Offer{ID: "buytee"}.Shard(), "taken/buytee/"); err != nil || taken[0] != 1 {
		t.Errorf("%d units are out, %v, want 1", taken, err)
	}
}
