package networktest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"hashtill/bot"
)

// mention posts what a network can still tell of later.
func (p *play) mention(text string) (post string) {
	return p.Post(p.Person("ann"), "@"+p.handle+" "+text)
}

// untilCursor waits for a cursor, other than that one, and returns it.
func (p *play) untilCursor(other string) string {
	p.Helper()
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		cursor := p.cursor
		p.mu.Unlock()
		if cursor != "" && cursor != other {
			return cursor
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			p.Fatalf("there is no cursor but %q", other)
		}
	}
}

// missed holds posts to being heard, as missed, in the order of ids; others may come
// in between.
func (p *play) missed(ids ...string) {
	p.Helper()
	for _, id := range ids {
		if post := p.hear(id); !post.Missed {
			p.Errorf("post %s is said to have been heard at once", id)
		}
	}
}

func listensFromNowOn(t *testing.T, p *play) {
	p.follow("BuyHat")
	old := p.mention("before anybody listens #BuyHat")
	heard := func(ctx context.Context, post bot.Post) error {
		if post.ID == old {
			t.Errorf("heard what was said before: %+v", post)
		}
		return p.note(ctx, post)
	}
	stop := p.listen(heard)
	cursor := p.untilCursor("")
	stop()
	p.Disconnect()               // and the network knows
	p.listenSince(cursor, heard) // nor does the overlap reach beyond the first start
	p.hear(p.mention("after a restart"))
	for i := range 2 {
		resume := p.Interrupt()
		away := p.mention(fmt.Sprintf("while away, %d", i))
		resume()
		p.missed(away)
		p.listening()
		p.hear(p.mention(fmt.Sprintf("afterwards, %d", i)))
	}
}

func goesOn(t *testing.T, p *play) {
	p.follow("BuyHat")
	stop := p.listen(p.note)
	leave := func() {
		stop()
		p.Disconnect() // and the network knows
	}
	start := p.untilCursor("")
	live := p.mention("one #BuyHat")
	if post := p.hear(live); post.Missed {
		t.Errorf("heard at once, and said to have been missed: %+v", post)
	}
	cursor := p.untilCursor(start)
	leave()

	var away []string
	for i := range 230 { // some pages
		away = append(away, p.mention(fmt.Sprintf("while nobody listens, %d #BuyHat", i)))
	}
	p.Post(p.Person("ben"), "words to nobody")
	stop = p.listenSince(cursor, p.note)
	p.missed(away...)
	end := p.untilCursor(cursor)
	leave()

	// The first cursor stays right: everything comes again.
	stop = p.listenSince(start, p.note)
	p.missed(slices.Concat([]string{live}, away)...)
	leave()

	p.listenSince(end, p.note)
	got := p.hear(p.mention("at last two #BuyHat"))
	p.want(got, p.Person("ann"), bot.Original, "BuyHat")
}

func catchesUp(t *testing.T, p *play) {
	p.follow("BuyHat")
	p.listen(p.note)
	p.hear(p.mention("one #BuyHat"))
	offer := p.announce("A #BuyHat costs 20 €")
	resume := p.Interrupt()
	ann := p.Person("ann")
	first := p.mention("two #BuyHat")
	answer := p.Answer(ann, offer, "#BuyHat for me")
	last := p.mention("three #BuyHat")
	resume()
	got := p.hear(first)
	p.want(got, ann, bot.Original, "BuyHat")
	got = p.hear(answer)
	p.want(got, ann, bot.Answer, "BuyHat")
	p.wantOf(got, offer, p.id, "#BuyHat")
	p.missed(last)
}

// What echoes a code while nobody listens is found where somebody can be asked.
func catchesUpWithEchoes(t *testing.T, p *play) {
	if _, ok := p.Network.(bot.Watcher); !ok {
		return
	}
	p.follow("BuyHat")
	p.listen(p.note)
	people := []string{p.Person("ann"), p.Person("ben")}
	wish := p.mention("one #BuyHat")
	p.hear(wish)
	code, other := p.code(wish, "Repost this: #KUMI7RAX"), p.code(wish, "Or this: #MOPE4TAK")
	for i, person := range people {
		resume := p.Interrupt()
		p.Repost(person, code)
		quote := p.Quote(person, other, fmt.Sprintf("yes, %d", i))
		resume()
		heard := map[bot.PostKind]bot.Post{}
		for len(heard) < 2 {
			got := p.hearOne("an echo", func(got bot.Post) bool {
				return got.ID == quote || got.Kind == bot.Repost && got.Author.ID == person
			})
			heard[got.Kind] = got
		}
		p.want(heard[bot.Repost], person, bot.Repost)
		p.wantOf(heard[bot.Repost], code, p.id, "#KUMI7RAX")
		p.want(heard[bot.Quote], person, bot.Quote)
		p.wantOf(heard[bot.Quote], other, p.id, "#MOPE4TAK")
		if !heard[bot.Repost].Missed || !heard[bot.Quote].Missed {
			t.Errorf("said to have been heard at once: %+v", heard)
		}
		p.listening()
	}
}
