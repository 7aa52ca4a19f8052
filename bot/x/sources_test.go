package x_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hashtill/bot"
	"hashtill/bot/networktest"
	"hashtill/bot/x"
	"hashtill/bot/x/xtest"
)

const mentions = "GET /2/users/{id}/mentions"

// TestNetworkActivity plays everything with the stream of the X Activity API.
func TestNetworkActivity(t *testing.T) {
	for name, sparse := range map[string]bool{"whole": false, "sparse": true} {
		t.Run(name, func(t *testing.T) {
			networktest.Run(t, func(t *testing.T) *networktest.Stage {
				s, stage := stand(t, xtest.Options{}, func(cfg x.Config) (bot.Network, error) {
					cfg.Hear = x.HearActivity
					return x.New(cfg)
				})
				s.Sparse(sparse)
				stage.Addressed = true
				stage.Interrupt = func() (resume func()) {
					s.Fail(xtest.Fault{Path: "/2/activity/stream", Times: -1, Drop: true})
					s.Disconnect()
					return s.Heal
				}
				return stage
			})
		})
	}
}

// until waits until a network says that it hears what is said, or that it does not.
func until(t *testing.T, n bot.Network, connected bool) {
	t.Helper()
	deadline, look := time.After(10*time.Second), time.NewTicker(time.Millisecond)
	defer look.Stop()
	for n.Status().Connected != connected {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("connected is still %t", !connected)
		}
	}
}

// quick are limits that let a test ask without a pause.
var quick = map[string]int{mentions: 1 << 30, "GET /2/tweets": 1 << 30, "GET /2/tweets/{id}/retweeted_by": 1 << 30, "GET /2/tweets/{id}/quote_tweets": 1 << 30}

// byAsking makes a stage of one whose network hears by asking.
func byAsking(t *testing.T, s *xtest.Server, stage *networktest.Stage) {
	stage.Addressed = true
	stage.Listening = func(ctx context.Context) error {
		err := s.WaitAnswer(ctx, mentions)
		until(t, stage.Network, true)
		return err
	}
	stage.Disconnect = func() { s.Fail(xtest.Fault{Path: "/2/users/", Drop: true}) }
	stage.Interrupt = func() (resume func()) {
		s.Fail(xtest.Fault{Path: "/2/users/", Times: -1, Drop: true})
		until(t, stage.Network, false)
		return s.Heal
	}
	stage.Garbage = func() {
		for _, body := range []string{`{"data":`, `null`, `[]`, `{"data":[null,{"id":7},{"id":"none"}]}`} {
			s.Fail(xtest.Fault{Path: "/2/users/", Status: http.StatusOK, Body: body})
		}
	}
}

// TestNetworkPoll plays everything by asking again and again.
func TestNetworkPoll(t *testing.T) {
	networktest.Run(t, func(t *testing.T) *networktest.Stage {
		s, stage := stand(t, xtest.Options{Limits: quick}, func(cfg x.Config) (bot.Network, error) {
			cfg.Hear, cfg.PollEvery = x.HearPoll, 20*time.Millisecond
			return x.New(cfg)
		})
		byAsking(t, s, stage)
		return stage
	})
}

// TestNetworkWebhook plays everything with the webhook of the X Activity API.
func TestNetworkWebhook(t *testing.T) {
	networktest.Run(t, func(t *testing.T) *networktest.Stage {
		var handler http.Handler
		hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
		t.Cleanup(hook.Close)
		s, stage := stand(t, xtest.Options{Limits: quick}, func(cfg x.Config) (bot.Network, error) {
			cfg.Hear, cfg.PollEvery, cfg.WebhookURL = x.HearWebhook, 20*time.Millisecond, hook.URL+"/x"
			n, err := x.New(cfg)
			if err == nil {
				handler = n.WebhookHandler()
			}
			return n, err
		})
		byAsking(t, s, stage)
		delivered := func(post string) string {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := s.WaitDelivered(ctx); err != nil {
				t.Fatal(err)
			}
			return post
		}
		post, repost, quote, answer := stage.Post, stage.Repost, stage.Quote, stage.Answer
		stage.Post = func(account, text string) string { return delivered(post(account, text)) }
		stage.Repost = func(account, of string) string { return delivered(repost(account, of)) }
		stage.Quote = func(account, of, text string) string { return delivered(quote(account, of, text)) }
		stage.Answer = func(account, to, text string) string { return delivered(answer(account, to, text)) }
		listening, interrupt := stage.Listening, stage.Interrupt
		stage.Listening = func(ctx context.Context) error {
			if err := s.WaitWebhook(ctx); err != nil {
				return err
			}
			return listening(ctx)
		}
		stage.Interrupt = func() (resume func()) {
			s.Silence(true)
			return interrupt()
		}
		stage.Garbage = func() {
			for _, body := range []string{`{"data":`, `null`, `[]`, `{}`, `[7]`, `{"data":{"event_type":"post.mention.create"}}`, strings.Repeat("x", 2<<20)} {
				r, err := http.NewRequest(http.MethodPost, hook.URL+"/x", bytes.NewReader([]byte(body)))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("x-twitter-webhooks-signature", s.SignWebhook([]byte(body)))
				resp, err := http.DefaultClient.Do(r)
				if err != nil {
					continue // cut off for its length
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}
		return stage
	})
}
