// Package networktest holds every bot.Network to the same promises.
//
// An adapter's test sets up a [Stage]: the network as the people on it use it,
// a bot's account there, and the adapter under test. [Run] then plays what a
// shop must be able to rely on: what is said to the bot is heard, with all that
// a purchase needs to know; a reply is posted once; interruptions pass.
package networktest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hashtill/bot"
)

// patience is how long something that must happen may take.
const patience = 20 * time.Second

// A Stage is a network with a bot on it. Its functions fail the test if they
// cannot do what they say. Posts and accounts are named by their numbers.
type Stage struct {
	Network bot.Network
	// Packages are import paths, ending in a dot, in which no goroutine may be
	// when Listen has returned.
	Packages []string

	Person func(handle string) (account string) // the same for the same handle
	Post   func(account, text string) (post string)
	Repost func(account, post string) (repost string)
	Quote  func(account, post, text string) (quote string)
	Answer func(account, post, text string) (answer string)

	Delete func(account, post string)

	Announce func(text string) (post string) // by the bot's account
	Said     func() (posts, texts []string)  // by the bot's account to nobody
	Replies  func(post string) (texts []string)

	Listening  func(context.Context) error // returns when the adapter hears what is posted
	Disconnect func()                      // ends what Listen has open or has just left, and returns when the network knows
	Interrupt  func() (resume func())      // does so, and lets nobody listen until resume is called
	Garbage    func()                      // sends what is no message
	LoseAnswer func()                      // the next reply, or announcement, is posted, its answer lost
	Limit      func() (reset time.Time)    // the next reply is refused for now
	Pass       func(until time.Time)       // puts the network's clock forward
	Refuses    bool                        // replies need to have been asked for
	Addressed  bool                        // hashtags are heard only in what speaks to the bot
}

// Run plays all there is on stages of their own.
func Run(t *testing.T, stage func(*testing.T) *Stage) {
	for _, act := range []struct {
		name string
		play func(*testing.T, *play)
	}{
		{"self", self},
		{"hears wishes", hearsWishes},
		{"hears echoes", hearsEchoes},
		{"hears of what is removed", hearsOfRemoval},
		{"follows anew", followsAnew},
		{"follows while listening", followsWhileListening},
		{"speaks", speaks},
		{"is refused", isRefused},
		{"speaks once", speaksOnce},
		{"announces once", announcesOnce},
		{"waits for its limit", waitsForLimit},
		{"reconnects", reconnects},
		{"listens from now on", listensFromNowOn},
		{"goes on from a cursor", goesOn},
		{"catches up", catchesUp},
		{"catches up with echoes", catchesUpWithEchoes},
		{"skips garbage", skipsGarbage},
		{"hands over again", handsOverAgain},
		{"ends", ends},
	} {
		t.Run(act.name, func(t *testing.T) { act.play(t, newPlay(t, stage(t))) })
	}
}

// play is a stage with the curtain up.
type play struct {
	*testing.T
	*Stage
	ctx    context.Context
	id     string // the bot's
	handle string
	posts  chan bot.Post

	mu      sync.Mutex
	cursor  string   // the last one heard
	watched []string // the bot's posts of which reposts and quotes matter
}

func newPlay(t *testing.T, s *Stage) *play {
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	t.Cleanup(cancel)
	p := &play{T: t, Stage: s, ctx: ctx, posts: make(chan bot.Post, 100)}
	var err error
	if p.id, p.handle, err = s.Network.Self(ctx); err != nil {
		t.Fatalf("Self: %v", err)
	}
	if w, ok := s.Network.(bot.Watcher); ok {
		w.Watch(func(context.Context) ([]string, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			return slices.Clone(p.watched), nil
		})
	}
	return p
}

// watch names a post of the bot's of which reposts and quotes matter.
func (p *play) watch(post string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watched = append(p.watched, post)
}

// announce posts as the bot.
func (p *play) announce(text string) (post string) {
	post = p.Announce(text)
	p.watch(post)
	return post
}

// code answers a post of ann's with a code.
func (p *play) code(wish, text string) (post string) {
	p.Helper()
	post, err := p.Network.Say(p.ctx, bot.Reply{To: wish, Handle: "ann", Text: text}, false)
	if err != nil {
		p.Fatal(err)
	}
	p.watch(post)
	return post
}

// tagged posts a text with a hashtag, to nobody if the network hears that.
func (p *play) tagged(account, text string) (post string) {
	if p.Addressed {
		text = "@" + p.handle + " " + text
	}
	return p.Post(account, text)
}

// listen starts to listen, until the test ends or the returned function is
// called, and holds Listen to returning nil then.
func (p *play) listen(heard func(context.Context, bot.Post) error) (stop func()) {
	p.Helper()
	return p.listenSince("", heard)
}

func (p *play) listenSince(since string, heard func(context.Context, bot.Post) error) (stop func()) {
	p.Helper()
	ctx, cancel := context.WithCancel(p.ctx)
	result := make(chan error, 1)
	go func() {
		result <- p.Network.Listen(ctx, since, func(ctx context.Context, post bot.Post) error {
			if post.ID != "" {
				if err := heard(ctx, post); err != nil {
					return err
				}
			}
			if post.Cursor != "" {
				p.mu.Lock()
				p.cursor = post.Cursor
				p.mu.Unlock()
			}
			return nil
		})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-result:
			if err != nil {
				p.Errorf("Listen returned %v", err)
			}
		case <-time.After(patience):
			p.Errorf("Listen does not return")
		}
	})
	p.Cleanup(stop)
	p.listening()
	return stop
}

func (p *play) listening() {
	p.Helper()
	if err := p.Listening(p.ctx); err != nil {
		p.Fatalf("the network hears nobody listen: %v", err)
	}
}

func (p *play) follow(tags ...string) {
	p.Helper()
	if err := p.Network.Follow(p.ctx, tags); err != nil {
		p.Fatalf("Follow %q: %v", tags, err)
	}
}

// note is a heard function that keeps what it hears.
func (p *play) note(ctx context.Context, post bot.Post) error {
	select {
	case p.posts <- post:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hear waits for a post; others are passed over.
func (p *play) hear(id string) bot.Post {
	p.Helper()
	return p.hearOne("post "+id, func(post bot.Post) bool { return post.ID == id })
}

// hearRepost waits for a repost. Where it is found by asking, its number and its date may
// be unknown; then it must say that it was missed, and have no date.
func (p *play) hearRepost(account, post, repost string) bot.Post {
	p.Helper()
	got := p.hearOne("the repost of "+post, func(got bot.Post) bool {
		return got.ID == repost || got.Kind == bot.Repost && got.Author.ID == account && got.Of != nil && got.Of.ID == post
	})
	if got.ID != repost && (!got.Missed || !got.At.IsZero() || got.ID == "") {
		p.Errorf("a repost without its number: %+v", got)
	}
	return got
}

func (p *play) hearOne(what string, is func(bot.Post) bool) bot.Post {
	p.Helper()
	timeout := time.After(patience)
	for {
		select {
		case post := <-p.posts:
			if is(post) {
				return post
			}
		case <-timeout:
			p.Fatalf("%s is not heard", what)
		}
	}
}

// want holds a post to what was posted.
func (p *play) want(got bot.Post, author string, kind bot.PostKind, tags ...string) {
	p.Helper()
	if got.Network != p.Network.Name() || got.Author.ID != author || got.Kind != kind || !slices.Equal(got.Tags, tags) {
		p.Errorf("heard %+v, want author %s, kind %d, tags %q", got, author, kind, tags)
	}
	if since := time.Since(got.At); since.Abs() > time.Hour && !(got.Kind == bot.Repost && got.Missed && got.At.IsZero()) {
		p.Errorf("post %s is said to be %s old", got.ID, since)
	}
}

func (p *play) wantOf(got bot.Post, id, author, words string) {
	p.Helper()
	switch {
	case got.Of == nil || got.Of.ID != id || got.Of.Author.ID != author:
		p.Errorf("post %s is of %+v, want %s by %s", got.ID, got.Of, id, author)
	case !strings.Contains(got.Of.Text, words):
		p.Errorf("post %s is of %q, want %q", got.ID, got.Of.Text, words)
	}
}

func self(t *testing.T, p *play) {
	if p.Network.Name() == "" || p.id == "" || p.handle == "" || strings.HasPrefix(p.handle, "@") {
		t.Errorf("network %q, number %q, handle %q", p.Network.Name(), p.id, p.handle)
	}
	id, handle, err := p.Network.Self(p.ctx)
	if id != p.id || handle != p.handle || err != nil {
		t.Errorf("Self again: %q %q %v", id, handle, err)
	}
}

func hearsWishes(t *testing.T, p *play) {
	p.follow("BuyHat", "シャツ", "Crème")
	p.listen(p.note)
	ann, ben := p.Person("ann"), p.Person("ben")

	got := p.hear(p.Post(ann, "@"+p.handle+" #BuyHat, please & thanks <3"))
	p.want(got, ann, bot.Original, "BuyHat")
	if !slices.Equal(got.Names, []string{p.id}) || got.Author.Handle != "ann" || got.Of != nil {
		t.Errorf("heard %+v", got)
	}
	if got.Text != "@"+p.handle+" #BuyHat, please & thanks <3" {
		t.Errorf("heard %q", got.Text)
	}

	got = p.hear(p.tagged(ben, "one #buyhat and one #シャツ"))
	p.want(got, ben, bot.Original, "buyhat", "シャツ")
	if len(got.Names) != 0 && !p.Addressed {
		t.Errorf("a bare hashtag mentions %q", got.Names)
	}
	p.want(p.hear(p.tagged(ben, "some #crème, https://shop.example/#BuyHat")), ben, bot.Original, "crème")
	p.want(p.hear(p.Post(ann, "@"+p.handle+" help")), ann, bot.Original)
}

func hearsEchoes(t *testing.T, p *play) {
	p.follow("BuyHat")
	p.listen(p.note)
	ann, ben := p.Person("ann"), p.Person("ben")
	offer := p.announce("A #BuyHat costs 20 €, long " + strings.Repeat("words ", 30) + "end")

	got := p.hear(p.Quote(ann, offer, "two, please #BuyHat"))
	p.want(got, ann, bot.Quote, "BuyHat")
	p.wantOf(got, offer, p.id, "end")

	got = p.hear(p.Quote(ben, offer, "nice"))
	p.want(got, ben, bot.Quote) // the quoted words are not his
	p.wantOf(got, offer, p.id, "#BuyHat")

	got = p.hear(p.Answer(ben, offer, "#BuyHat for me"))
	p.want(got, ben, bot.Answer, "BuyHat")
	p.wantOf(got, offer, p.id, "#BuyHat")

	wish := p.Post(ann, "@"+p.handle+" #BuyHat")
	p.hear(wish)
	code := p.code(wish, "Repost this: #KUMI7RAX. "+strings.Repeat("More words. ", 10)+"end")
	got = p.hearRepost(ann, code, p.Repost(ann, code))
	p.want(got, ann, bot.Repost)
	p.wantOf(got, code, p.id, "#KUMI7RAX")
	p.wantOf(got, code, p.id, "end")
	if got.Text != "" || len(got.Names) != 0 {
		t.Errorf("a repost has words of its own: %+v", got)
	}
}
