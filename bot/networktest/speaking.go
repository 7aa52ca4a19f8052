package networktest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/bot"
)

// wish posts what the bot may answer.
func (p *play) wish() (post string) { return p.Post(p.Person("ann"), "@"+p.handle+" #BuyHat") }

func reply(to, text string) bot.Reply { return bot.Reply{To: to, Handle: "ann", Text: text} }

// wantReplies holds the replies to a post to the texts said.
func (p *play) wantReplies(to string, texts ...string) {
	p.Helper()
	got := p.Replies(to)
	if len(got) != len(texts) {
		p.Fatalf("%d replies to %s, want %d: %q", len(got), to, len(texts), got)
	}
	for _, text := range texts {
		found := false
		for _, g := range got {
			found = found || strings.Contains(g, text)
		}
		if !found {
			p.Errorf("replies to %s are %q, want one to say %q", to, got, text)
		}
	}
}

func speaks(t *testing.T, p *play) {
	wish := p.wish()
	const text = "Repost within 15 minutes to buy a Hüt & <more>: #KUMI7RAX"
	id, err := p.Network.Say(p.ctx, reply(wish, text), false)
	if err != nil || id == "" || id == wish {
		t.Fatalf("Say: %q, %v", id, err)
	}
	p.wantReplies(wish, text)
	if _, err := p.Network.Say(p.ctx, reply(wish, strings.Repeat("long ", 20000)), false); !errors.Is(err, bot.ErrTooLong) {
		t.Errorf("a text of 100,000 characters: %v", err)
	}
	p.wantReplies(wish, text)
}

func isRefused(t *testing.T, p *play) {
	if !p.Refuses {
		return
	}
	bare := p.Post(p.Person("ann"), "one #BuyHat")
	for _, again := range []bool{false, true} {
		_, err := p.Network.Say(p.ctx, reply(bare, "code #KUMI7RAX"), again)
		if refused := new(bot.RefusedError); !errors.As(err, &refused) || refused.Why == "" {
			t.Errorf("a reply that nobody has asked for: %v", err)
		}
	}
	p.wantReplies(bare)
}

func speaksOnce(t *testing.T, p *play) {
	wish, other := p.wish(), p.Post(p.Person("ann"), "@"+p.handle+" another #BuyHat")
	invitation, err := p.Network.Say(p.ctx, reply(wish, "Register first"), false)
	if err != nil {
		t.Fatal(err)
	}

	// Nothing was posted before: the second try is the first.
	elsewhere, err := p.Network.Say(p.ctx, reply(other, "code & <#KUMI7RAX>"), true)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := p.Network.Say(p.ctx, reply(other, "code & <#KUMI7RAX>"), true); again != elsewhere || err != nil {
		t.Errorf("said again: %q, %v, want %q", again, err, elsewhere)
	}

	p.LoseAnswer()
	id, err := p.Network.Say(p.ctx, reply(wish, "code #LOPA4SEN"), false)
	if refused, later := new(bot.RefusedError), new(bot.LaterError); err == nil || errors.As(err, &refused) || errors.As(err, &later) {
		t.Fatalf("the answer is lost, and Say returns %q, %v", id, err)
	}
	p.wantReplies(wish, "Register first", "code #LOPA4SEN")
	id, err = p.Network.Say(p.ctx, reply(wish, "code #LOPA4SEN"), true)
	if err != nil || id == "" || id == invitation || id == elsewhere {
		t.Errorf("after a lost answer: %q, %v", id, err)
	}
	p.wantReplies(wish, "Register first", "code #LOPA4SEN")
	p.wantReplies(other, "code & <#KUMI7RAX>")
}

func waitsForLimit(t *testing.T, p *play) {
	wish := p.wish()
	reset := p.Limit()
	_, err := p.Network.Say(p.ctx, reply(wish, "code #KUMI7RAX"), false)
	later := new(bot.LaterError)
	if !errors.As(err, &later) {
		t.Fatalf("beyond the limit: %v", err)
	}
	if off := later.At.Sub(reset); off.Abs() > time.Second {
		t.Errorf("to be tried again at %s, want %s", later.At, reset)
	}
	for _, again := range []bool{false, true} { // the network would take it now, but is not asked
		if _, err := p.Network.Say(p.ctx, reply(wish, "code #KUMI7RAX"), again); !errors.As(err, &later) {
			t.Errorf("before the end of the limit: %v", err)
		}
	}
	p.wantReplies(wish)
	p.Pass(reset.Add(2 * time.Second))
	if _, err := p.Network.Say(p.ctx, reply(wish, "code #KUMI7RAX"), true); err != nil {
		t.Errorf("after the limit: %v", err)
	}
	p.wantReplies(wish, "code #KUMI7RAX")
}

func announcesOnce(t *testing.T, p *play) {
	n, ok := p.Network.(bot.Announcer)
	if !ok {
		return
	}
	announce := func(text string, again bool) (string, error) { return n.Announce(p.ctx, text, again) }
	want := func(posts, texts []string) {
		t.Helper()
		if gotPosts, gotTexts := p.Said(); !slices.Equal(gotPosts, posts) || !slices.Equal(gotTexts, texts) {
			t.Fatalf("announced %q %q, want %q %q", gotPosts, gotTexts, posts, texts)
		}
	}
	first, err := announce("A Hüt & <more>: 20 €. Quote with @"+p.handle+" #BuyHat. (1)", false)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{"A Hüt & <more>: 20 €. Quote with @" + p.handle + " #BuyHat. (1)"}
	want([]string{first}, texts)
	if _, err := announce(strings.Repeat("long ", 20000), false); !errors.Is(err, bot.ErrTooLong) {
		t.Errorf("a text of 100,000 characters: %v", err)
	}
	reply, err := p.Network.Say(p.ctx, reply(p.wish(), "A Hüt, please. (2)"), false)
	if err != nil {
		t.Fatal(err)
	}

	p.LoseAnswer()
	id, err := announce("A Hüt. (2)", false)
	if refused, later := new(bot.RefusedError), new(bot.LaterError); err == nil || errors.As(err, &refused) || errors.As(err, &later) {
		t.Fatalf("the answer is lost, and Announce returns %q, %v", id, err)
	}
	second, err := announce("A Hüt. (2)", true)
	if err != nil || second == "" || second == first || second == reply {
		t.Fatalf("after a lost answer: %q, %v", second, err)
	}
	texts = append(texts, "A Hüt. (2)")
	want([]string{first, second}, texts)
	for _, again := range []bool{true, false} { // or, without looking, refused as a duplicate
		if id, err := announce("A Hüt. (2)", again); id != second || err != nil {
			t.Errorf("once more: %q, %v", id, err)
		}
	}

	// Nothing was posted before: the second try is the first.
	third, err := announce("A Hüt. (3)", true)
	if err != nil {
		t.Fatal(err)
	}
	want([]string{first, second, third}, append(texts, "A Hüt. (3)"))

	// What was posted is found even where nothing more may be posted.
	p.LoseAnswer()
	if id, err := announce("A Hüt. (4)", false); err == nil {
		t.Fatalf("the answer is lost, and Announce returns %q", id)
	}
	p.Limit()
	if id, err := announce("A Hüt. (4)", true); err != nil || id == "" || id == third {
		t.Errorf("looked for: %q, %v", id, err)
	}
	if _, err := announce("A Hüt. (5)", false); !errors.As(err, new(*bot.LaterError)) {
		t.Errorf("beyond the limit: %v", err)
	}
}
