package bot

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/offers"
	"hashtill/offers/words"
)

// herald is a network on which the bot may post to everybody.
type herald struct {
	*network
	texts []string
	again bool
	fails error
}

func (h *herald) Announce(_ context.Context, text string, again bool) (string, error) {
	h.again = again
	if h.fails != nil {
		return "", h.fails
	}
	h.texts = append(h.texts, text)
	return fmt.Sprint(899 + len(h.texts)), nil
}

func newHerald(t *testing.T) (*scene, *herald) {
	s := newScene(t, 2)
	h := &herald{network: s.net}
	s.Networks = []Network{h}
	s.Register()
	return s, h
}

func (s *scene) announces(again bool) {
	s.t.Helper()
	if _, err := s.shop.Announce(s.t.Context(), "buytee", "x", "en", again, t0); err != nil {
		s.t.Fatal(err)
	}
	s.hears(by("9", "1", "nothing to anybody")) // performs what is owed
}

// A quote of an announcement with its hashtag is a wish, and so is an answer; its
// hashtag alone, which the quoted post has, is none.
func TestAnnouncementIsQuoted(t *testing.T) {
	s, h := newHerald(t)
	s.announces(false)
	if len(h.texts) != 1 || !strings.Contains(h.texts[0], "@bot #BuyTee") {
		t.Fatalf("announced %q", h.texts)
	}
	posts, err := s.shop.CodePosts(t.Context(), "x")
	if err != nil || !slices.Equal(posts, []string{"900"}) {
		t.Fatalf("watched are %q, %v", posts, err)
	}
	of := &Post{Network: "x", ID: "900", Author: Author{ID: self, Handle: "bot"}, Text: h.texts[0], Tags: []string{"BuyTee"}, Names: []string{self}}
	for i, c := range []struct {
		kind PostKind
		text string
		wish bool
	}{
		{Quote, "#BuyTee", true}, {Quote, "two #buytee x2 please", true}, {Quote, "look at that", false}, {Answer, "#BuyTee", true}, {Repost, "", false},
	} {
		p := Post{Network: "x", ID: fmt.Sprint(1000 + i), Author: Author{ID: fmt.Sprint(50 + i), Handle: "ann"}, Kind: c.kind, Of: of, Text: c.text}
		p.Tags = said(c.text).Tags
		texts := s.hears(p)
		got, err := s.shop.Purchase(t.Context(), offers.NewID("x", p.ID, "buytee"))
		if wished := err == nil; wished != c.wish || wished != (len(texts) == 1) || wished && got.State != offers.Invited {
			t.Errorf("%d %q: %s, %v, said %q", c.kind, c.text, got.State, err, texts)
		}
	}
}

func TestAnnouncementIsRefused(t *testing.T) {
	for _, fails := range []error{&RefusedError{Why: "the account is locked"}, ErrTooLong} {
		s, h := newHerald(t)
		h.fails = fails
		s.announces(false)
		h.fails = nil
		s.announces(false) // nothing was said: it needs no other hour
		if len(h.texts) != 1 || h.again {
			t.Errorf("%v: announced %q", fails, h.texts)
		}
	}
	s, h := newHerald(t)
	a := offers.Announcement{Network: "x", Lang: "en"}
	h.fails = errors.New("lost")
	if _, refused, err := s.announce(t.Context(), a, tee("BuyTee", 1), true); refused != "" || err == nil || !h.again {
		t.Errorf("an unknown outcome: %q, %v, again %v", refused, err, h.again)
	}
	for _, n := range [][]Network{nil, {s.net}} {
		s.Networks = n
		if _, refused, err := s.announce(t.Context(), a, tee("BuyTee", 1), false); refused == "" || err != nil {
			t.Errorf("nobody can announce: %q, %v", refused, err)
		}
	}
}

// Whatever the names are, an announcement fits, says how to buy and is like no other.
func TestAnnouncementFits(t *testing.T) {
	names := []string{"T", "Tour T-shirt", strings.Repeat("W", offers.MaxTitle), strings.Repeat("服", offers.MaxTitle), strings.Repeat("a.co ", 24), "250.ml"}
	tags := []string{"BuyTee", strings.Repeat("T", offers.MaxTag), strings.Repeat("買", offers.MaxTag)}
	prices := []offers.Money{{Minor: 14999, Currency: "USD"}, {Minor: 999_999_999_999, Currency: "KWD"}}
	for _, lang := range words.Languages {
		for _, title := range names {
			for _, tag := range tags {
				for i, price := range prices {
					o := tee(tag, 1)
					o.Title, o.Price, o.PerBuyer = title, price, 1+i
					if i == 0 {
						o.Closes = time.Date(2026, 11, 21, 23, 30, 0, 0, time.FixedZone("", 3600))
					}
					text := Announcement(o, "fifteen_letters", lang, "abc123")
					if n := weigh(text) + 22*len(linkish.FindAllString(text, -1)); n > maxAnnouncement {
						t.Errorf("%s: weighs %d: %s", lang, n, text)
					}
					if !strings.Contains(text, "@fifteen_letters #"+tag) || !strings.HasSuffix(text, "(abc123)") || strings.Contains(text, "://") {
						t.Errorf("%s: %s", lang, text)
					}
					if tag == "BuyTee" && (!strings.Contains(text, price.Format(lang)) || (i == 0) != strings.Contains(text, "2026-11-21 22:30 UTC")) {
						t.Errorf("%s: %s", lang, text)
					}
				}
			}
		}
	}
	o := tee("BuyTee", 1)
	o.Title, o.PerBuyer, o.Closes = "Tour T-shirt", 2, t0.Add(time.Hour)
	want := "Tour T-shirt: $149.99, up to 2 per buyer. On sale until 2026-11-21 21:00 UTC. Post or quote with @bot #BuyTee to buy. " +
		"Terms and total are shown before you confirm; nothing is charged earlier. (abc123)"
	if got := Announcement(o, "bot", "en", "abc123"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// linkish is what a network may take for a link.
var linkish = regexp.MustCompile(`[\pL\pN]\.\pL{2}`)
