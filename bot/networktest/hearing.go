package networktest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hashtill/bot"
)

func followsAnew(t *testing.T, p *play) {
	p.follow("BuyHat", "BuyShirt")
	p.follow("BuyShoe", "BuyShirt")
	p.follow("BuyShirt", "BuyShoe") // the same
	p.listen(p.note)
	ann := p.Person("ann")
	hat := p.tagged(ann, "one #BuyHat")
	shirt, shoe := p.tagged(ann, "one #BuyShirt"), p.tagged(ann, "one #BuyShoe")
	heard := map[string]bool{}
	for !heard[shirt] || !heard[shoe] {
		select {
		case post := <-p.posts:
			heard[post.ID] = true
		case <-time.After(patience):
			t.Fatalf("shirt heard: %t, shoe heard: %t", heard[shirt], heard[shoe])
		}
	}
	if heard[hat] && !p.Addressed {
		t.Error("a hashtag is heard that is followed no more")
	}
	if err := p.Network.Follow(p.ctx, []string{"no hashtag"}); err == nil {
		t.Error("what is no hashtag is followed")
	}
}

func followsWhileListening(t *testing.T, p *play) {
	p.follow()
	p.listen(p.note)
	ann := p.Person("ann")
	before := p.Post(ann, "@"+p.handle+" before any hashtag")
	p.hear(before)
	p.follow("BuyHat")
	// A network may take its time until a change counts.
	deadline := time.After(patience)
	for i := 0; ; i++ {
		p.tagged(ann, fmt.Sprintf("one #BuyHat, %d", i))
		select {
		case post := <-p.posts:
			if post.ID == before {
				continue // a post may come twice
			}
			p.want(post, ann, bot.Original, "BuyHat")
			p.listening()
			p.hear(p.Post(ann, "@"+p.handle+" after"))
			return
		case <-time.After(200 * time.Millisecond):
		case <-deadline:
			t.Fatal("a hashtag that was followed while listening is not heard")
		}
	}
}

func reconnects(t *testing.T, p *play) {
	p.follow("BuyHat")
	p.listen(p.note)
	ann := p.Person("ann")
	for i := range 3 {
		p.hear(p.tagged(ann, fmt.Sprintf("one #BuyHat, %d", i)))
		p.Disconnect()
		p.listening()
	}
	p.hear(p.tagged(ann, "last #BuyHat"))
}

func skipsGarbage(t *testing.T, p *play) {
	p.follow("BuyHat")
	p.listen(p.note)
	ann := p.Person("ann")
	p.Garbage()
	p.hear(p.tagged(ann, "one #BuyHat"))
	p.Garbage()
	p.hear(p.tagged(ann, "another #BuyHat"))
}

func handsOverAgain(t *testing.T, p *play) {
	p.follow("BuyHat")
	var order []string
	var inside atomic.Int32
	done := make(chan struct{})
	p.listen(func(ctx context.Context, post bot.Post) error {
		if inside.Add(1) != 1 {
			t.Error("two posts are handed over at once")
		}
		defer inside.Add(-1)
		if len(order) == 4 || len(order) == 3 && post.ID == order[2] {
			return nil // it may come twice
		}
		order = append(order, post.ID)
		if len(order) < 3 {
			return errors.New("not yet")
		}
		if len(order) == 4 {
			close(done)
		}
		return nil
	})
	ann := p.Person("ann")
	first, second := p.tagged(ann, "one #BuyHat"), p.tagged(ann, "two #BuyHat")
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("a post that was not dealt with is not handed over again")
	}
	if want := []string{first, first, first, second}; !slices.Equal(order, want) {
		t.Errorf("handed over %q, want %q", order, want)
	}
}

func ends(t *testing.T, p *play) {
	p.follow("BuyHat")
	entered := make(chan struct{}, 1)
	stop := p.listen(func(ctx context.Context, post bot.Post) error {
		entered <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	ann := p.Person("ann")
	for i := range 5 { // some of them wait to be handed over
		p.tagged(ann, fmt.Sprintf("#BuyHat %d", i))
	}
	select {
	case <-entered:
	case <-time.After(patience):
		t.Fatal("nothing is heard")
	}
	stop()
	deadline := time.After(patience)
	for {
		left := p.goroutines()
		if left == "" {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatalf("Listen has returned, and left goroutines behind:\n%s", left)
		}
	}
}

// goroutines returns the stacks of goroutines that are in the adapter.
func (p *play) goroutines() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var left []string
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		if slices.ContainsFunc(p.Packages, func(path string) bool { return strings.Contains(stack, "\n"+path) }) {
			left = append(left, stack)
		}
	}
	return strings.Join(left, "\n\n")
}

// A network either hands over that a post was removed, or can be asked.
func hearsOfRemoval(t *testing.T, p *play) {
	p.follow("BuyHat")
	p.listen(p.note)
	ann := p.Person("ann")
	wish := p.mention("one #BuyHat")
	p.hear(wish)
	finder, asked := p.Network.(bot.Finder)
	if asked {
		if gone, err := finder.Gone(p.ctx, wish); gone || err != nil {
			t.Errorf("a post that is there: gone %t, %v", gone, err)
		}
	}
	p.Delete(ann, wish)
	if !asked {
		for got := p.hear(wish); got.Kind != bot.Deletion; got = p.hear(wish) {
		}
		return
	}
	if gone, err := finder.Gone(p.ctx, wish); !gone || err != nil {
		t.Errorf("a post that is not there: gone %t, %v", gone, err)
	}
	if gone, err := finder.Gone(p.ctx, "no number"); err == nil {
		t.Errorf("what is no post: gone %t", gone)
	}
}
