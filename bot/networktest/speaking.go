package networktest

import (
	"errors"
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
