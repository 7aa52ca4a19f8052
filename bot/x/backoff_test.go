package x

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hashtill/bot"
)

func deaf(context.Context, bot.Post) error { return nil }

// attempts plays answer to the attempts to open a stream, counted from 0, until
// it returns nil, and returns the waits between them, and what Listen returned.
func attempts(t *testing.T, answer func(i int, r *http.Request) (*http.Response, error)) (waits []time.Duration, err error) {
	t.Helper()
	for name, open := range map[string]func(Config) (bot.Network, error){
		"classic": func(cfg Config) (bot.Network, error) { return NewClassic(cfg) },
		"v2":      func(cfg Config) (bot.Network, error) { return New(cfg) },
	} {
		var these []time.Duration
		var thisErr error
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			last, n := time.Now(), 0
			network, err := open(config(func(r *http.Request) (*http.Response, error) {
				switch r.URL.Path {
				case "/2/users/me":
					return respond(r, 200, me)
				case "/1.1/account/verify_credentials.json":
					return respond(r, 200, classicMe)
				}
				if n > 0 {
					these = append(these, time.Since(last))
				}
				resp, err := answer(n, r)
				n++
				if resp == nil && err == nil {
					cancel()
					return nil, r.Context().Err()
				}
				last = time.Now()
				return resp, err
			}))
			if err != nil {
				t.Fatal(err)
			}
			thisErr = network.Listen(ctx, "", deaf)
		})
		if waits != nil && !slices.Equal(waits, these) {
			t.Errorf("the %s shape waits %v, the other one %v", name, these, waits)
		}
		waits, err = these, thisErr
	}
	return waits, err
}

func seconds(s ...float64) (d []time.Duration) {
	for _, s := range s {
		d = append(d, time.Duration(s*float64(time.Second)))
	}
	return d
}

func TestBackoff(t *testing.T) {
	status := func(code int) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) { return respond(r, code, `{"title":"no"}`) }
	}
	broken := func(r *http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }
	beats := func(r *http.Request) (*http.Response, error) { return respond(r, 200, "\r\n") }
	lived := func(r *http.Request) (*http.Response, error) { <-time.After(networkMost); return beats(r) }
	empty := func(r *http.Request) (*http.Response, error) { return respond(r, 200, "") }
	for _, c := range []struct {
		name   string
		answer func(*http.Request) (*http.Response, error)
		n      int
		want   []time.Duration
	}{
		{"network errors", broken, 5, seconds(0, .25, .5, .75, 1)},
		{"streams that end at once", empty, 4, seconds(0, .25, .5, .75)},
		{"streams that end after a beat", beats, 4, seconds(0, .25, .5, .75)},
		{"streams that have lived", lived, 4, seconds(0, 0, 0, 0)},
		{"503", status(503), 9, seconds(5, 10, 20, 40, 80, 160, 320, 320, 320)},
		{"400", status(400), 2, seconds(5, 10)},
		{"429", status(429), 6, seconds(60, 120, 240, 480, 900, 900)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := attempts(t, func(i int, r *http.Request) (*http.Response, error) {
				if i == c.n {
					return nil, nil
				}
				return c.answer(r)
			})
			if !slices.Equal(got, c.want) || err != nil {
				t.Errorf("waits %v, error %v, want %v", got, err, c.want)
			}
		})
	}
	t.Run("long break", func(t *testing.T) {
		got, _ := attempts(t, func(i int, r *http.Request) (*http.Response, error) {
			if i == 70 {
				return nil, nil
			}
			return broken(r)
		})
		if most := slices.Max(got); most != 16*time.Second {
			t.Errorf("the longest wait is %s", most)
		}
	})
	t.Run("all kinds", func(t *testing.T) {
		kinds := []func(*http.Request) (*http.Response, error){broken, broken, status(503), status(503), status(429), broken, beats, status(503), broken}
		got, _ := attempts(t, func(i int, r *http.Request) (*http.Response, error) {
			if i == len(kinds) {
				return nil, nil
			}
			return kinds[i](r)
		})
		if want := seconds(0, .25, 5, 10, 60, .5, .75, 5, 1); !slices.Equal(got, want) {
			t.Errorf("waits %v, want %v", got, want)
		}
	})
}

// Whoever listens is sent away when nothing has been heard for a minute, and comes back.
// The waits go on where they were, and so does one that X has asked for.
func TestBackoffOutlivesListen(t *testing.T) {
	for name, c := range map[string]struct {
		hear   Source
		status int
		want   []time.Duration
	}{
		"503":               {HearStream, 503, seconds(5, 10, 20, 40, 80, 160, 320, 320)},
		"429":               {HearStream, 429, seconds(60, 120, 240, 480, 900, 900)},
		"429 to a question": {HearPoll, 429, seconds(600, 600)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var waits []time.Duration
				last := time.Now()
				cfg := config(nil)
				cfg.HTTP.Transport = server(func(r *http.Request) (*http.Response, error) {
					if r.URL.Path == "/2/users/me" {
						return respond(r, 200, me)
					}
					if c.hear == HearStream && strings.HasSuffix(r.URL.Path, "/mentions") {
						return respond(r, 200, `{}`)
					}
					waits, last = append(waits, time.Since(last)), time.Now()
					resp, err := respond(r, c.status, `{"title":"no"}`)
					if c.hear == HearPoll {
						resp.Header = http.Header{"X-Rate-Limit-Reset": {strconv.FormatInt(time.Now().Add(10*time.Minute).Unix(), 10)}}
					}
					return resp, err
				})
				cfg.Hear = c.hear
				n, err := New(cfg)
				if err != nil {
					t.Fatal(err)
				}
				for len(waits) <= len(c.want) {
					ctx, cancel := context.WithTimeout(t.Context(), 61*time.Second)
					if err := n.Listen(ctx, "1", deaf); err != nil {
						t.Fatal(err)
					}
					cancel()
					time.Sleep(10 * time.Second)
				}
				for i, want := range c.want {
					if got := waits[i+1]; got < want || got > want+11*time.Second { // it may be nobody's turn
						t.Errorf("waits %v, want %v", waits[1:], c.want)
						break
					}
				}
			})
		})
	}
}

func TestCredentialsRefused(t *testing.T) {
	refuse := func(r *http.Request) (*http.Response, error) {
		return respond(r, 401, `{"title":"Unauthorized","detail":"Unauthorized","status":401}`)
	}
	waits, err := attempts(t, func(i int, r *http.Request) (*http.Response, error) { return refuse(r) })
	if err == nil || len(waits) > 0 || !strings.Contains(err.Error(), "token") || !strings.Contains(err.Error(), "check x.") {
		t.Errorf("refused from the start: %v after %v", err, waits)
	}
	// X refuses good credentials at times.
	waits, err = attempts(t, func(i int, r *http.Request) (*http.Response, error) {
		switch i {
		case 0, 3:
			return respond(r, 200, "\r\n")
		}
		return refuse(r)
	})
	if want := seconds(0, 5, 10, .25, 5, 10); err == nil || !slices.Equal(waits, want) {
		t.Errorf("refused after having worked: %v after %v, want %v", err, waits, want)
	}
}

func TestWhoRefused(t *testing.T) {
	n := newNetwork(t, func(r *http.Request) (*http.Response, error) {
		return respond(r, 401, `{"title":"Unauthorized"}`)
	})
	if err := n.Listen(t.Context(), "", deaf); err == nil || !strings.Contains(err.Error(), "x.access_token") {
		t.Errorf("Listen: %v", err)
	}
	cfg := config(func(r *http.Request) (*http.Response, error) { return respond(r, 200, me) })
	cfg.Handle = "CapShop"
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Listen(t.Context(), "", deaf); err == nil || !strings.Contains(err.Error(), "@CapShop") {
		t.Errorf("Listen with another's token: %v", err)
	}
}

// TestSilence holds Listen to giving up a stream that is silent for longer than
// X's sign of life takes, and to keeping one that is not.
func TestSilence(t *testing.T) {
	waits, err := attempts(t, func(i int, r *http.Request) (*http.Response, error) {
		switch i {
		case 0:
			return streaming(r, func(w *io.PipeWriter) {
				for range 5 {
					time.Sleep(20 * time.Second) // in a bubble
					w.Write([]byte("\r\n"))
				}
			})
		case 1: // does not even answer
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		return nil, nil
	})
	if want := []time.Duration{100*time.Second + silence}; err != nil || len(waits) != 2 || waits[0] != want[0] {
		t.Errorf("waits %v, %v", waits, err)
	}
}

// TestSlowHearing lets heard take so long that the queue is full, and holds the
// stream to waiting.
func TestSlowHearing(t *testing.T) {
	const posts = queueLength + 100
	synctest.Test(t, func(t *testing.T) {
		opened, heard := 0, 0
		ctx, cancel := context.WithCancel(t.Context())
		n := newNetwork(t, func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/2/users/me" {
				return respond(r, 200, me)
			}
			opened++
			return streaming(r, func(w *io.PipeWriter) {
				for range posts {
					io.WriteString(w, `{"data":{"id":"1","author_id":"2","text":"#a"}}`+"\r\n")
				}
				for _, err := w.Write(nil); err == nil; _, err = io.WriteString(w, "\r\n") {
					time.Sleep(20 * time.Second)
				}
			})
		})
		err := n.Listen(ctx, "", func(_ context.Context, p bot.Post) error {
			if p.ID == "" {
				return nil
			}
			if heard++; heard == posts {
				cancel()
			}
			time.Sleep(time.Minute)
			return nil
		})
		if err != nil || heard < posts || opened != 1 {
			t.Errorf("heard %d of %d posts over %d streams, %v", heard, posts, opened, err)
		}
	})
}

func TestHandOverAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, nil)
		start, tries := time.Now(), 0
		n.hear(t.Context(), bot.Post{ID: "1"}, func(context.Context, bot.Post) error {
			if tries++; tries <= 10 {
				return errors.New("store is down")
			}
			return nil
		})
		// 0.25+0.5+1+2+4+4+4+4+4+4
		if took := time.Since(start); tries != 11 || took != 27750*time.Millisecond {
			t.Errorf("%d tries in %s", tries, took)
		}
	})
}

// TestNoRules: a stream that is refused for lack of rules gets those of the
// mentions, and is opened again.
func TestNoRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var rules []string
		n := newNetwork(t, func(r *http.Request) (*http.Response, error) {
			switch {
			case r.URL.Path == "/2/users/me":
				return respond(r, 200, me)
			case r.URL.Path == rulesPath && r.Method == http.MethodGet:
				return respond(r, 200, `{"meta":{"result_count":0}}`)
			case r.URL.Path == rulesPath:
				body, _ := io.ReadAll(r.Body)
				rules = append(rules, string(body))
				return respond(r, 201, `{}`)
			case len(rules) == 0:
				return respond(r, 409, `{"title":"ConnectionException","connection_issue":"RuleConfigurationIssue"}`)
			}
			cancel()
			return nil, context.Canceled
		})
		start := time.Now()
		if err := n.Listen(ctx, "", deaf); err != nil {
			t.Fatal(err)
		}
		if len(rules) == 0 || !strings.Contains(rules[0], "@HatShop") || time.Since(start) > time.Second {
			t.Errorf("rules %q after %s", rules, time.Since(start))
		}
	})
}
