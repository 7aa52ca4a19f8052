package x_test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hashtill/bot"
	"hashtill/bot/networktest"
	"hashtill/bot/x"
	"hashtill/bot/x/xtest"
)

func TestNetwork(t *testing.T) {
	networktest.Run(t, func(t *testing.T) *networktest.Stage {
		return stage(t, xtest.Options{}, func(cfg x.Config) (bot.Network, error) { return x.New(cfg) })
	})
}

// TestNetworkPostNames plays the same with the names of 7 August 2026.
func TestNetworkPostNames(t *testing.T) {
	networktest.Run(t, func(t *testing.T) *networktest.Stage {
		return stage(t, xtest.Options{PostNames: true}, func(cfg x.Config) (bot.Network, error) { return x.New(cfg) })
	})
}

func TestClassic(t *testing.T) {
	networktest.Run(t, func(t *testing.T) *networktest.Stage {
		return stage(t, xtest.Options{Classic: true}, func(cfg x.Config) (bot.Network, error) { return x.NewClassic(cfg) })
	})
}

// start runs a stand-in with the account of a bot, and returns what an adapter
// needs to act as it.
func start(t *testing.T, opts xtest.Options) (*xtest.Server, xtest.Account, x.Config) {
	t.Helper()
	opts.Heartbeat = 100 * time.Millisecond
	s, err := xtest.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	shop, err := s.AddAccount(xtest.Account{Handle: "HatShop"})
	if err != nil {
		t.Fatal(err)
	}
	keys, transport := s.Credentials(shop.ID), new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	return s, shop, x.Config{
		APIURL: s.URL(), StreamURL: s.URL(),
		ConsumerKey: keys.ConsumerKey, ConsumerSecret: keys.ConsumerSecret,
		AccessToken: keys.Token, AccessSecret: keys.TokenSecret, BearerToken: s.Bearer(),
		HTTP: &http.Client{Transport: transport},
	}
}

func stage(t *testing.T, opts xtest.Options, open func(x.Config) (bot.Network, error)) *networktest.Stage {
	_, stage := stand(t, opts, open)
	return stage
}

func stand(t *testing.T, opts xtest.Options, open func(x.Config) (bot.Network, error)) (*xtest.Server, *networktest.Stage) {
	var ahead atomic.Int64
	opts.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	s, shop, cfg := start(t, opts)
	cfg.Now = opts.Now
	n, err := open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	people := map[string]string{}
	must := func(p xtest.Post, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return p.ID
	}
	posting, listening := "/2/tweets", "/2/tweets/search/stream"
	if opts.Classic {
		posting, listening = "/1.1/statuses/update.json", "/1.1/statuses/filter.json"
	}
	return s, &networktest.Stage{
		Network:  n,
		Packages: []string{"hashtill/bot/x.", "github.com/dghubble/go-twitter/twitter."},
		Person: func(handle string) string {
			t.Helper()
			if people[handle] == "" {
				a, err := s.AddAccount(xtest.Account{Handle: handle})
				if err != nil {
					t.Fatal(err)
				}
				people[handle] = a.ID
			}
			return people[handle]
		},
		Post:   func(account, text string) string { return must(s.Post(account, text, xtest.PostOptions{})) },
		Repost: func(account, post string) string { return must(s.Repost(account, post)) },
		Quote: func(account, post, text string) string {
			return must(s.Post(account, text, xtest.PostOptions{Quote: post}))
		},
		Answer: func(account, post, text string) string {
			return must(s.Post(account, text, xtest.PostOptions{ReplyTo: post}))
		},
		Delete: func(account, post string) {
			t.Helper()
			if err := s.Delete(account, post); err != nil {
				t.Fatal(err)
			}
		},
		Announce: func(text string) string { return must(s.Post(shop.ID, text, xtest.PostOptions{})) },
		Said: func() (posts, texts []string) {
			for _, p := range slices.Backward(s.Timeline()) {
				if p.AuthorID == shop.ID && p.ReplyTo == "" {
					posts, texts = append(posts, p.ID), append(texts, p.Text)
				}
			}
			return posts, texts
		},
		Replies: func(post string) (texts []string) {
			for _, p := range s.Replies(post) {
				texts = append(texts, p.Text)
			}
			return texts
		},
		Listening:  s.WaitStream,
		Disconnect: s.Disconnect,
		Interrupt: func() (resume func()) {
			s.Fail(xtest.Fault{Path: listening, Times: -1, Drop: true})
			s.Disconnect()
			return s.Heal
		},
		Garbage: func() {
			for _, line := range []string{`{"data":`, `null`, `[]`, `{}`, `"text"`, "\xff\x00", `{"data":{"id":"none"}}`,
				`{"data":{"id":7}}`, `{"errors":[{"title":"operational-disconnect"}]}`, `{"delete":{"status":null}}`, strings.Repeat("x", 2<<20)} {
				s.Send(line)
			}
		},
		LoseAnswer: func() {
			s.Fail(xtest.Fault{Method: http.MethodPost, Path: posting, When: xtest.After, Drop: true})
		},
		Limit: func() time.Time {
			reset := time.Now().Add(7 * time.Minute).Truncate(time.Second)
			body := `{"title":"Too Many Requests","detail":"Too Many Requests","type":"about:blank","status":429}`
			if opts.Classic {
				body = `{"errors":[{"code":88,"message":"Rate limit exceeded"}]}`
			}
			s.Fail(xtest.Fault{
				Method: http.MethodPost, Path: posting, Status: http.StatusTooManyRequests, Body: body,
				Header: http.Header{"X-Rate-Limit-Remaining": {"0"}, "X-Rate-Limit-Reset": {strconv.FormatInt(reset.Unix(), 10)}, "Content-Type": {"application/json"}},
			})
			return reset
		},
		Pass:    func(until time.Time) { ahead.Add(int64(until.Sub(opts.Now()))) },
		Refuses: true,
	}
}
