package x_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"hashtill/bot"
	"hashtill/bot/x"
	"hashtill/bot/x/xtest"
)

// counter counts requests and what X answers.
type counter struct {
	http.RoundTripper
	mu      sync.Mutex
	posts   int // POST /2/tweets
	refused int // 429, of any request
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Method == http.MethodPost {
		c.posts++
	}
	if err == nil && resp.StatusCode == http.StatusTooManyRequests {
		c.refused++
	}
	return resp, err
}

// speaker is an adapter on a stand-in whose account may post limit times a window.
type speaker struct {
	*x.Network
	*counter
	t   *testing.T
	cfg x.Config
	x   *xtest.Server
	ann string
}

func newSpeaker(t *testing.T, limit int, set func(*x.Config)) *speaker {
	server, _, cfg := start(t, xtest.Options{Limits: map[string]int{"POST /2/tweets": limit}})
	c := &counter{RoundTripper: cfg.HTTP.Transport}
	cfg.HTTP.Transport = c
	if set != nil {
		set(&cfg)
	}
	n, err := x.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ann, err := server.AddAccount(xtest.Account{Handle: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	return &speaker{n, c, t, cfg, server, ann.ID}
}

func (s *speaker) wish() string {
	s.t.Helper()
	p, err := s.x.Post(s.ann, "@HatShop #BuyHat", xtest.PostOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return p.ID
}

func (s *speaker) say(to, text string, again bool) error {
	_, err := s.Say(s.t.Context(), bot.Reply{To: to, Handle: "ann", Text: text}, again)
	return err
}

// A look for an own reply costs no post, and what a lost answer cost is known.
func TestLookingCostsNoPost(t *testing.T) {
	s := newSpeaker(t, 3, nil)
	wish := s.wish()
	s.x.Fail(xtest.Fault{Method: http.MethodPost, Path: "/2/tweets", When: xtest.After, Drop: true})
	if s.say(wish, "one", false) == nil {
		t.Fatal("the answer was lost, and nobody noticed")
	}
	for range 5 {
		if err := s.say(wish, "one", true); err != nil {
			t.Error(err)
		}
	}
	for i := range 2 {
		if err := s.say(s.wish(), fmt.Sprint("more ", i), true); err != nil {
			t.Error(err)
		}
	}
	last := s.wish()
	if err := s.say(last, "too much", true); !errors.As(err, new(*bot.LaterError)) {
		t.Errorf("beyond the budget: %v", err)
	}
	if err := s.say(wish, "one", true); err != nil { // what was said is found without a budget
		t.Error(err)
	}
	if s.posts != 3 || s.refused != 0 || len(s.x.Replies(last)) > 0 {
		t.Errorf("%d requests to post, %d refused", s.posts, s.refused)
	}
}

// However many speak at once, X need not refuse any, and all that there is is said.
func TestBudgetAgainstX(t *testing.T) {
	s := newSpeaker(t, 20, nil)
	var all sync.WaitGroup
	var mu sync.Mutex
	said, later := 0, 0
	for i := range 60 {
		wish := s.wish()
		all.Go(func() {
			err := s.say(wish, fmt.Sprint("text ", i), false)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				said++
			case errors.As(err, new(*bot.LaterError)):
				later++
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if said != 20 || later != 40 || s.refused != 0 {
		t.Errorf("%d said, %d later, %d refused by X", said, later, s.refused)
	}
}

// Processes that share an account hardly run into its limit, whether they have said
// something before or begin anew: X refuses what was on its way when the last went out.
func TestBudgetIsShared(t *testing.T) {
	const limit, processes = 40, 3
	s := newSpeaker(t, limit, nil)
	all := []*speaker{s}
	for range processes {
		n, err := x.New(s.cfg)
		if err != nil {
			t.Fatal(err)
		}
		other := *s
		other.Network = n
		all = append(all, &other)
	}
	var mu sync.Mutex
	said := 0
	say := func(all []*speaker) {
		var wait sync.WaitGroup
		for i := range 4 * limit {
			wish := s.wish()
			wait.Go(func() {
				for {
					err := all[i%len(all)].say(wish, fmt.Sprint("text ", wish), false)
					later := new(bot.LaterError)
					if errors.As(err, &later) && time.Until(later.At) < 2*time.Second {
						continue // the outbox waits in between
					}
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						said++
					} else if later.At.IsZero() {
						t.Error(err)
					}
					return
				}
			})
		}
		wait.Wait()
	}
	say(all[:processes])
	say(all[processes:]) // a process that begins when all is spent
	if said != limit || s.refused > limit/2 {
		t.Errorf("%d said, want %d; %d refused by X", said, limit, s.refused)
	}
	t.Logf("%d said, %d refused by X", said, s.refused)
}

// A refusal for the limit that tells no time, or none that can be, is waited for a minute.
func TestRefusalWithoutATime(t *testing.T) {
	for _, reset := range []string{"", "-1", "99999999999999", "9223372036854775807", "NaN"} {
		s := newSpeaker(t, 100, nil)
		h := http.Header{"X-Rate-Limit-Reset": {reset}, "X-Rate-Limit-Remaining": {"0"}}
		if reset == "" {
			h = nil
		}
		s.x.Fail(xtest.Fault{Method: http.MethodPost, Path: "/2/tweets", Status: http.StatusTooManyRequests, Header: h})
		for i := range 3 { // the first is refused by X, the others wait for it
			err := s.say(s.wish(), fmt.Sprint("text ", i), false)
			later := new(bot.LaterError)
			if !errors.As(err, &later) || time.Until(later.At) > quarter+time.Minute || time.Until(later.At) < 50*time.Second {
				t.Errorf("reset %q: %v", reset, err)
			}
		}
		if s.posts != 1 {
			t.Errorf("reset %q: %d requests", reset, s.posts)
		}
	}
}

const quarter = 15 * time.Minute

// What X refuses is no reply of the day: strangers cannot use it up.
func TestRepliesOfADayAreSaid(t *testing.T) {
	s := newSpeaker(t, 100, func(cfg *x.Config) { cfg.RepliesPerDay = 2 })
	for i := range 7 {
		if i < 5 {
			s.x.Fail(xtest.Fault{Method: http.MethodPost, Path: "/2/tweets", Status: http.StatusForbidden,
				Body: `{"detail":"Reply to this conversation is not allowed.","title":"Forbidden","status":403}`})
		}
		err := s.say(s.wish(), fmt.Sprint("text ", i), false)
		if refused := errors.As(err, new(*bot.RefusedError)); refused != (i < 5) || !refused && err != nil {
			t.Errorf("reply %d: %v", i, err)
		}
	}
	if err := s.say(s.wish(), "one more", false); !errors.As(err, new(*bot.LaterError)) {
		t.Errorf("beyond the day: %v", err)
	}
}

// A process that begins anew knows what the account has said today.
func TestRepliesOfADayAreCounted(t *testing.T) {
	s := newSpeaker(t, 100, nil)
	for i := range 4 {
		if err := s.say(s.wish(), fmt.Sprint("text ", i), false); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ perDay, left int }{{4, 0}, {6, 2}} {
		other, cfg := *s, s.cfg
		cfg.RepliesPerDay = c.perDay
		n, err := x.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		other.Network = n
		for i := range c.left {
			if err := other.say(s.wish(), fmt.Sprint("other ", i), false); err != nil {
				t.Error(err)
			}
		}
		err = other.say(s.wish(), "one more", false)
		if later := new(bot.LaterError); !errors.As(err, &later) || time.Until(later.At) < 23*time.Hour {
			t.Errorf("with %d a day: %v", c.perDay, err)
		}
	}
}

// What names of offers hold becomes no link, and nothing else of them changes.
func TestRepliesHoldNoLinks(t *testing.T) {
	titles := []string{"shop.com tee", "https://shop.com/tee", "Node.js mug", "www.shop.co.uk", "t.co", "(hat.shop)", "a.b.info/x", "x.com?y"}
	s := newSpeaker(t, 100, nil)
	for _, title := range titles {
		wish := s.wish()
		for range 2 { // once more, and what was said is found
			if err := s.say(wish, title+", 20 USD: #KUMI7RAX", true); err != nil {
				t.Fatal(err)
			}
		}
		said := s.x.Replies(wish)
		if len(said) != 1 || len(said[0].Links) > 0 || !strings.HasSuffix(said[0].Text, ", 20 USD: #KUMI7RAX") {
			t.Errorf("%q became %+v", title, said)
		}
	}
	want := x.Spending{Replies: 8, MicroDollars: 80_000}
	got := s.Spent()
	if reads := got.PostsRead; got.Replies != want.Replies || got.WithLink != 0 || got.MicroDollars != want.MicroDollars+5_000*reads || reads < 8 {
		t.Errorf("spent %+v", got)
	}

	s = newSpeaker(t, 100, func(cfg *x.Config) { cfg.Links = true })
	wish := s.wish()
	if err := s.say(wish, "our profile: https://shop.com/me", false); err != nil {
		t.Fatal(err)
	}
	if said := s.x.Replies(wish); len(said) != 1 || len(said[0].Links) != 1 {
		t.Errorf("a link that is wanted became %+v", said)
	}
	if got := s.Spent(); got != (x.Spending{WithLink: 1, MicroDollars: 200_000}) || got.Dollars() != "0.20" {
		t.Errorf("spent %+v, %s", got, got.Dollars())
	}
}

// What was remembered of own posts is found again, and no more than that.
func TestLookingRemembers(t *testing.T) {
	s := newSpeaker(t, 100, nil)
	first := s.wish()
	for i := range 30 {
		if err := s.say(s.wish(), fmt.Sprint("text ", i), false); err != nil {
			t.Fatal(err)
		}
	}
	s.x.Fail(xtest.Fault{Method: http.MethodPost, Path: "/2/tweets", When: xtest.After, Drop: true})
	if s.say(first, "one", false) == nil {
		t.Fatal("the answer was lost, and nobody noticed")
	}
	for _, again := range []string{"one", "one", "two", "two"} {
		if err := s.say(first, again, true); err != nil {
			t.Error(err)
		}
	}
	if said := s.x.Replies(first); len(said) != 2 {
		t.Errorf("%d replies, want 2: %+v", len(said), said)
	}
}
