package bot

import (
	"context"
	"errors"
	"strings"
	"testing"

	"hashtill/offers"
)

// finder is a network that can be asked what is still there.
type finder struct {
	*network
	gone bool
	err  error
	post string // that was asked for last
}

func (f *finder) Gone(_ context.Context, post string) (bool, error) {
	f.post = post
	return f.gone, f.err
}

// confirms plays a wish by account 1 and a confirmation, and returns the purchase and
// how many links were mailed.
func (s *scene) confirms(confirm func(code string) Post) (p offers.Purchase, links int) {
	s.t.Helper()
	s.register("1")
	s.shop.On(offers.Prepare, func(context.Context, offers.Job) (offers.Event, error) {
		return offers.Event{Kind: offers.IntentMade, Intent: "pi_1", Card: offers.Card{ID: "pm_1"}}, nil
	})
	s.shop.On(offers.MailLink, s.UnlessWithdrawn(func(context.Context, offers.Job) (offers.Event, error) {
		links++
		return offers.Event{Kind: offers.LinkMailed}, nil
	}))
	s.shop.On(offers.Void, func(context.Context, offers.Job) (offers.Event, error) {
		return offers.Event{Kind: offers.IntentVoided}, nil
	})
	s.hears(by("1", "10", "@bot #BuyTee"))
	reply := s.net.said[len(s.net.said)-1].Text
	s.hears(confirm("#" + strings.Split(strings.Split(reply, "#")[1], ".")[0]))
	p, err := s.shop.Purchase(s.t.Context(), offers.NewID("x", "10", "buytee"))
	if err != nil {
		s.t.Fatal(err)
	}
	return p, links
}

// reposted is the code post reposted by account 1.
func reposted(code string) Post {
	return Post{Network: "x", ID: "11", Author: Author{ID: "1", Handle: "h1"}, Kind: Repost, Of: ours("repost this: " + code)}
}

func TestConfirming(t *testing.T) {
	over := func(kind PostKind, account, text string) func(string) Post {
		return func(code string) Post {
			p := by(account, "11", text)
			p.Kind, p.Of = kind, ours("repost this: "+code)
			return p
		}
	}
	anew := func(account, text string) func(string) Post {
		return func(code string) Post { return by(account, "11", text+" "+code) }
	}
	for name, tc := range map[string]struct {
		confirm func(code string) Post
		want    offers.State
	}{
		"repost":                {reposted, offers.Mailed},
		"quote":                 {over(Quote, "1", "mine!"), offers.Mailed},
		"answer":                {over(Answer, "1", "@bot yes"), offers.Mailed},
		"new post":              {anew("1", "@bot"), offers.Mailed},
		"bare code":             {anew("1", ""), offers.Mailed},
		"a refusal":             {over(Answer, "1", "@bot no, sorry"), offers.Coded},
		"a question":            {over(Answer, "1", "@bot what does it cost?"), offers.Coded},
		"another's quote":       {over(Quote, "2", "mine!"), offers.Coded},
		"another's answer":      {over(Answer, "2", "yes"), offers.Coded},
		"another's post":        {anew("2", "@bot"), offers.Coded},
		"cancelled under it":    {over(Answer, "1", "cancel"), offers.Cancelled},
		"stopped under it":      {over(Answer, "1", "STOP please"), offers.Cancelled},
		"by another's old name": {func(code string) Post { p := by("3", "11", code); p.Author.Handle = "h1"; return p }, offers.Coded},
	} {
		t.Run(name, func(t *testing.T) {
			p, links := newScene(t, 2).confirms(tc.confirm)
			if p.State != tc.want || (links == 1) != (tc.want == offers.Mailed) {
				t.Errorf("%s with %d links, want %s", p.State, links, tc.want)
			}
		})
	}
}

// A wish that was removed before its link is mailed is none any more.
func TestUnlessWithdrawn(t *testing.T) {
	for name, tc := range map[string]struct {
		gone  bool
		err   error
		want  offers.State
		links int
	}{
		"there":   {false, nil, offers.Mailed, 1},
		"gone":    {true, nil, offers.Cancelled, 0},
		"unknown": {true, errors.New("429"), offers.Mailed, 1},
	} {
		s := newScene(t, 2)
		f := &finder{network: s.net, gone: tc.gone, err: tc.err}
		s.Networks = []Network{f}
		p, links := s.confirms(reposted)
		if p.State != tc.want || links != tc.links || f.post != "10" {
			t.Errorf("%s: %s with %d links, asked for %q", name, p.State, links, f.post)
		}
		if tc.gone && tc.err == nil && p.Held != 0 {
			t.Errorf("%s: %d units are still held", name, p.Held)
		}
	}
}

// A reply that is refused because the wish is gone needs no other way.
func TestReplyToWithdrawn(t *testing.T) {
	for gone, want := range map[bool]offers.State{true: offers.Cancelled, false: offers.Coded} {
		s := newScene(t, 2)
		s.register("1")
		s.Networks = []Network{&finder{network: s.net, gone: gone}}
		s.shop.On(offers.MailCode, func(context.Context, offers.Job) (offers.Event, error) {
			return offers.Event{Kind: offers.CodeMailed}, nil
		})
		s.net.err = &RefusedError{Kind: PostGone, Why: "deleted or not visible"}
		s.hears(by("1", "10", "@bot #BuyTee"))
		if p, err := s.shop.Purchase(t.Context(), offers.NewID("x", "10", "buytee")); err != nil || p.State != want {
			t.Errorf("gone %t: the purchase is %s, %v, want %s", gone, p.State, err, want)
		}
	}
}

func TestBare(t *testing.T) {
	s := newScene(t, 9)
	s.register("1")
	s.Bare = BareOff
	if said := s.hears(by("1", "10", "#BuyTee")); len(said) > 0 {
		t.Errorf("said %q to a hashtag that means nothing", said)
	}
	if _, err := s.shop.Purchase(t.Context(), offers.NewID("x", "10", "buytee")); !errors.Is(err, offers.ErrNotFound) {
		t.Errorf("a hashtag that means nothing is a purchase: %v", err)
	}
	if said := s.hears(by("1", "11", "@bot #BuyTee")); len(said) != 1 {
		t.Errorf("said %q to a wish", said)
	}
	s.Bare = BareReply
	if said := s.hears(by("1", "12", "#BuyTee")); len(said) != 1 {
		t.Errorf("said %q to a bare hashtag", said)
	}
	if said := s.hears(by("2", "20", "#BuyTee")); len(said) != 1 || !strings.Contains(said[0], "register your card") {
		t.Errorf("said %q to a stranger's bare hashtag", said)
	}
}

// What was asked for on a page has no post that could be gone.
func TestNoPostToWithdraw(t *testing.T) {
	f := &finder{network: &network{}, gone: true}
	s := &Bot{Networks: []Network{f}}
	if s.withdrawn(t.Context(), offers.Purchase{OnPage: true, Wish: "page-1", Buyer: offers.Account{Network: "x", ID: "1"}}) || f.post != "" {
		t.Error("a page's wish was looked for among posts")
	}
}
