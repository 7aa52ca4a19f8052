package xtest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dghubble/oauth1"

	"hashtill/bot/x/xtest"
)

// world is a stand-in with a bot, two people and a protected account on it.
// Requests are signed by an implementation of OAuth that is not our own.
type world struct {
	*xtest.Server
	t                  *testing.T
	bot, ann, bob, pat xtest.Account
	clock              atomic.Int64 // nanoseconds added to the server's time
}

func open(t *testing.T, opts xtest.Options) *world {
	t.Helper()
	w := &world{t: t}
	if opts.Now == nil {
		opts.Now = func() time.Time { return time.Now().Add(time.Duration(w.clock.Load())) }
	}
	s, err := xtest.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	w.Server = s
	w.bot = w.add(xtest.Account{Handle: "shopbot", Name: "Shop", Automated: true})
	w.ann = w.add(xtest.Account{Handle: "Ann"})
	w.bob = w.add(xtest.Account{Handle: "bob_9"})
	w.pat = w.add(xtest.Account{Handle: "pat", Protected: true})
	return w
}

func (w *world) add(a xtest.Account) xtest.Account {
	w.t.Helper()
	a, err := w.AddAccount(a)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) post(a xtest.Account, text string, opts xtest.PostOptions) xtest.Post {
	w.t.Helper()
	p, err := w.Post(a.ID, text, opts)
	if err != nil {
		w.t.Fatalf("%s posts %q: %v", a.Handle, text, err)
	}
	return p
}

func (w *world) repost(a xtest.Account, id string) xtest.Post {
	w.t.Helper()
	p, err := w.Repost(a.ID, id)
	if err != nil {
		w.t.Fatalf("%s reposts: %v", a.Handle, err)
	}
	return p
}

// as returns a client that signs as an account.
func (w *world) as(a xtest.Account) *http.Client {
	c := w.Credentials(a.ID)
	return oauth1.NewConfig(c.ConsumerKey, c.ConsumerSecret).Client(context.Background(), oauth1.NewToken(c.Token, c.TokenSecret))
}

type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

// app returns a client with the app-only token.
func (w *world) app() *http.Client { return &http.Client{Transport: bearer(w.Bearer())} }

// reply is an answer, read.
type reply struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

// get looks up a value by a path as "data.0.id"; nil if it is not there.
func (r reply) get(path string) any { return dig(r.body, path) }

func dig(v any, path string) any {
	for key := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[key]
		case []any:
			i := int(key[0] - '0')
			if i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}

// try sends a request with a JSON body, if there is one.
func (w *world) try(c *http.Client, method, path, body string) (reply, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, w.URL()+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{}, err
	}
	r := reply{status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	json.Unmarshal(raw, &r.body) // some bodies are not JSON
	return r, nil
}

func (w *world) do(c *http.Client, method, path, body string) reply {
	w.t.Helper()
	r, err := w.try(c, method, path, body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// botPosts posts as the bot by API.
func (w *world) botPosts(text, replyTo string) reply {
	w.t.Helper()
	body := map[string]any{"text": text}
	if replyTo != "" {
		body["reply"] = map[string]any{"in_reply_to_tweet_id": replyTo}
	}
	raw, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.do(w.as(w.bot), "POST", "/2/tweets", string(raw))
}

func (w *world) rule(value string) {
	w.t.Helper()
	raw, _ := json.Marshal(map[string]any{"add": []any{map[string]any{"value": value, "tag": "t"}}})
	if r := w.do(w.app(), "POST", "/2/tweets/search/stream/rules", string(raw)); r.status != 201 {
		w.t.Fatalf("rule %q: %d %s", value, r.status, r.raw)
	}
}

// listener reads a stream message by message; what follows "\r\n" at once is
// the next message, so a heartbeat is an empty message.
type listener struct {
	t     *testing.T
	lines chan string // closed at the end of the stream
	err   error       // why it ended; read it after lines is closed
	stop  func()
}

func (w *world) listen(c *http.Client, method, path string) *listener {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, method, w.URL()+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		raw, _ := io.ReadAll(resp.Body)
		w.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, raw)
	}
	l := &listener{t: w.t, lines: make(chan string, 1000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(l.lines)
		defer resp.Body.Close()
		scan := bufio.NewScanner(resp.Body)
		scan.Buffer(nil, 1<<20)
		scan.Split(func(data []byte, atEOF bool) (int, []byte, error) {
			if i := bytes.Index(data, []byte("\r\n")); i >= 0 {
				return i + 2, data[:i], nil
			}
			if atEOF && len(data) > 0 {
				return len(data), data, nil
			}
			return 0, nil, nil
		})
		for scan.Scan() {
			l.lines <- scan.Text()
		}
		l.err = scan.Err()
	}()
	l.stop = func() { cancel(); <-done }
	w.t.Cleanup(l.stop)
	return l
}

const streamPath = "/2/tweets/search/stream"

// next returns the next message that is no heartbeat; ok is false at the end.
func (l *listener) next() (raw string, ok bool) {
	l.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case raw, ok = <-l.lines:
			if raw != "" || !ok {
				return raw, ok
			}
		case <-deadline:
			l.t.Fatal("no message came")
		}
	}
}

// message returns the next message, decoded.
func (l *listener) message() map[string]any {
	l.t.Helper()
	raw, ok := l.next()
	if !ok {
		l.t.Fatal("the stream has ended")
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(raw), &m); err != nil {
		l.t.Fatalf("%q: %v", raw, err)
	}
	return m
}

// ended waits for the end of the stream.
func (l *listener) ended() {
	l.t.Helper()
	if raw, ok := l.next(); ok {
		l.t.Fatalf("the stream goes on: %s", raw)
	}
}

// soon is a context for waits that should not take long.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}
