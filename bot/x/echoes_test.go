package x_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hashtill/bot"
	"hashtill/bot/x"
	"hashtill/bot/x/xtest"
)

// asked counts requests by method and path, and by whom they are signed.
type asked struct {
	http.RoundTripper
	mu    sync.Mutex
	paths []string
}

func (a *asked) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	by, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	a.paths = append(a.paths, by+" "+r.Method+" "+r.URL.Path)
	a.mu.Unlock()
	return a.RoundTripper.RoundTrip(r)
}

// of counts those that end in a word.
func (a *asked) of(word string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.paths {
		if strings.HasSuffix(p, word) {
			n++
		}
	}
	return n
}

// listening is a network that listens, with what it hears.
type listening struct {
	*testing.T
	ctx   context.Context // of everything that is waited for
	s     *xtest.Server
	shop  xtest.Account
	ann   xtest.Account
	n     *x.Network
	asked *asked
	posts chan bot.Post
	now   *clock
}

type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// hearBy listens in a way, with the bot's posts watched that watched returns.
func hearBy(t *testing.T, opts xtest.Options, set func(*x.Config), watched func() []string) *listening {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	l := &listening{T: t, ctx: ctx, posts: make(chan bot.Post, 100), now: new(clock)}
	opts.Now = l.now.Now
	s, shop, cfg := start(t, opts)
	l.s, l.shop = s, shop
	l.asked = &asked{RoundTripper: cfg.HTTP.Transport}
	cfg.HTTP, cfg.Now = &http.Client{Transport: l.asked}, l.now.Now
	set(&cfg)
	var err error
	if l.ann, err = s.AddAccount(xtest.Account{Handle: "ann"}); err != nil {
		t.Fatal(err)
	}
	if l.n, err = x.New(cfg); err != nil {
		t.Fatal(err)
	}
	l.n.Watch(func(context.Context) ([]string, error) { return watched(), nil })
	return l
}

func (l *listening) listen() {
	ctx, cancel := context.WithCancel(l.Context())
	done := make(chan error, 1)
	go func() {
		done <- l.n.Listen(ctx, "", func(ctx context.Context, p bot.Post) error {
			if p.ID != "" {
				select {
				case l.posts <- p:
				case <-ctx.Done():
				}
			}
			return nil
		})
	}()
	l.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			l.Errorf("Listen: %v", err)
		}
	})
}

func (l *listening) post(account, text string, opts xtest.PostOptions) string {
	l.Helper()
	p, err := l.s.Post(account, text, opts)
	if err != nil {
		l.Fatal(err)
	}
	return p.ID
}

// code is a reply of the bot's to a wish that is not heard here.
func (l *listening) code(text string) string {
	l.Helper()
	return l.post(l.shop.ID, text, xtest.PostOptions{ReplyTo: l.post(l.ann.ID, "I wish", xtest.PostOptions{})})
}

func (l *listening) repost(account, post string) {
	l.Helper()
	if _, err := l.s.Repost(account, post); err != nil {
		l.Fatal(err)
	}
}

func (l *listening) person(handle string) string {
	l.Helper()
	a, err := l.s.AddAccount(xtest.Account{Handle: handle})
	if err != nil {
		l.Fatal(err)
	}
	return a.ID
}

func (l *listening) next() bot.Post {
	l.Helper()
	select {
	case p := <-l.posts:
		return p
	case <-time.After(10 * time.Second):
		l.Fatal("nothing is heard")
		return bot.Post{}
	}
}

// looks waits until so many more looks have been made.
func (l *listening) looks(n int) {
	l.Helper()
	for range n {
		if err := l.s.WaitAnswer(l.ctx, "GET /2/tweets"); err != nil {
			l.Fatal(err)
		}
	}
}

func byPolling(cfg *x.Config) { cfg.Hear, cfg.PollEvery = x.HearPoll, 10*time.Millisecond }

// Who has reposted is asked only where a count has changed, and each repost is handed
// over once, without a date.
func TestRepostsAreAskedForOnce(t *testing.T) {
	var codes []string
	l := hearBy(t, xtest.Options{Limits: quick}, byPolling, func() []string { return codes })
	for i := range 150 {
		codes = append(codes, l.code("code #KUMI7RA"+string(rune('A'+i%26))+strings.Repeat(".", i/26)))
	}
	l.repost(l.ann.ID, codes[140])
	l.listen()
	got := l.next()
	if got.Kind != bot.Repost || got.Author.ID != l.ann.ID || got.Author.Handle != "ann" || got.Of == nil || got.Of.ID != codes[140] || len(got.Of.Tags) != 1 ||
		!got.At.IsZero() || !got.Missed || got.Cursor != "" || got.ID == "" {
		t.Errorf("heard %+v of %+v", got, got.Of)
	}
	l.looks(6)
	if n := l.asked.of("/retweeted_by"); n != 1 {
		t.Errorf("asked %d times who has reposted", n)
	}
	if n := l.asked.of("/quote_tweets"); n != 0 {
		t.Errorf("asked %d times who has quoted", n)
	}
	ben := l.person("ben")
	l.repost(ben, codes[140])
	if got := l.next(); got.Author.ID != ben {
		t.Errorf("heard %+v", got)
	}
	quote := l.post(ben, "yes", xtest.PostOptions{Quote: codes[3]})
	if got := l.next(); got.ID != quote || got.Kind != bot.Quote || got.Of.ID != codes[3] || got.At.IsZero() {
		t.Errorf("heard %+v", got)
	}
}

// Of what answers nobody, an announcement, quotes are heard, and nobody asks who has
// reposted it.
func TestAnnouncementsAreNoCodes(t *testing.T) {
	var posts []string
	l := hearBy(t, xtest.Options{Limits: quick}, byPolling, func() []string { return posts })
	id, err := l.n.Announce(l.ctx, "A tee, 20 €. Quote with @HatShop #BuyTee. (1)", false)
	if err != nil {
		t.Fatal(err)
	}
	posts = append(posts, id)
	l.repost(l.ann.ID, id)
	quote := l.post(l.ann.ID, "#BuyTee", xtest.PostOptions{Quote: id})
	l.listen()
	if got := l.next(); got.ID != quote || got.Kind != bot.Quote || got.Of.ID != id || !slices.Equal(got.Tags, []string{"BuyTee"}) {
		t.Errorf("heard %+v", got)
	}
	l.looks(3)
	if n := l.asked.of("/retweeted_by"); n != 0 {
		t.Errorf("asked %d times who has reposted", n)
	}
	if got := l.n.Spent(); got.Posts != 1 || got.Replies != 0 {
		t.Errorf("spent %+v", got)
	}
}

// Without open codes nobody is asked.
func TestNothingIsAskedWithoutCodes(t *testing.T) {
	l := hearBy(t, xtest.Options{Limits: quick}, byPolling, func() []string { return nil })
	l.listen()
	for range 4 {
		if err := l.s.WaitAnswer(l.ctx, mentions); err != nil {
			t.Fatal(err)
		}
	}
	if n := l.asked.of("GET /2/tweets"); n != 0 {
		t.Errorf("asked %d times", n)
	}
}

// When X takes no more questions, by its headers, none is put until its window ends; both
// ways of asking are used up, and mentions are heard meanwhile.
func TestBudgetOfReposts(t *testing.T) {
	limits := map[string]int{mentions: 1 << 30, "GET /2/tweets": 1 << 30, "GET /2/tweets/{id}/retweeted_by": 2}
	var codes []string
	l := hearBy(t, xtest.Options{Limits: limits}, byPolling, func() []string { return codes })
	for i := range 5 {
		codes = append(codes, l.code("code #KUMI7RA"+string(rune('A'+i))))
		l.repost(l.ann.ID, codes[i])
	}
	l.listen()
	of := map[string]bool{}
	for range 4 {
		of[l.next().Of.ID] = true
	}
	l.looks(4)
	if n := l.asked.of("/retweeted_by"); n != 4 || len(of) != 4 {
		t.Errorf("asked %d times, heard reposts of %d posts", n, len(of))
	}
	mention := l.post(l.ann.ID, "@HatShop help", xtest.PostOptions{})
	if got := l.next(); got.ID != mention {
		t.Errorf("heard %+v", got)
	}
	l.now.pass(16 * time.Minute)
	of[l.next().Of.ID] = true
	if len(of) != 5 {
		t.Errorf("after the window reposts of %d posts", len(of))
	}
}

// An account that may not ask goes on hearing.
func TestRepostsAreRefused(t *testing.T) {
	var codes []string
	l := hearBy(t, xtest.Options{Limits: quick}, byPolling, func() []string { return codes })
	codes = []string{l.code("code #KUMI7RAX"), "no number", "12345"}
	l.s.Fail(xtest.Fault{Path: "/2/tweets/" + codes[0], Times: -1, Status: 403, Body: `{"title":"Forbidden"}`})
	l.repost(l.ann.ID, codes[0])
	l.listen()
	l.looks(4)
	if n := l.asked.of("/retweeted_by"); n != 2 { // as the app, and as the account
		t.Errorf("asked %d times", n)
	}
	mention := l.post(l.ann.ID, "@HatShop help", xtest.PostOptions{})
	if got := l.next(); got.ID != mention {
		t.Errorf("heard %+v", got)
	}
}

// After a 429 X is not asked before the time that it has named, and hearing has stopped.
func TestPollingWaitsForItsLimit(t *testing.T) {
	l := hearBy(t, xtest.Options{Limits: map[string]int{mentions: 3}}, byPolling, func() []string { return nil })
	l.listen()
	for l.asked.of("/mentions") < 3 {
		if err := l.s.WaitAnswer(l.ctx, mentions); err != nil {
			t.Fatal(err)
		}
	}
	until(t, l.n, false)
	if asked := l.asked.of("/mentions"); asked != 4 { // the last was refused
		t.Errorf("asked %d times", asked)
	}
}
