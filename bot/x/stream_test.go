package x

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"hashtill/bot"
)

var update = flag.Bool("update", false, "write golden files anew")

// server plays X without a network, so that it can stand in a bubble of
// testing/synctest.
type server func(r *http.Request) (*http.Response, error)

func (s server) RoundTrip(r *http.Request) (*http.Response, error) { return s(r) }

// unmentioned answers questions after mentions for a server that knows of none.
func unmentioned(s server) server {
	return func(r *http.Request) (*http.Response, error) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/mentions"):
			return respond(r, 200, `{"meta":{"result_count":0}}`)
		case strings.HasSuffix(r.URL.Path, "/mentions_timeline.json"):
			return respond(r, 200, `[]`)
		}
		return s(r)
	}
}

func respond(r *http.Request, status int, body string) (*http.Response, error) {
	return &http.Response{
		StatusCode: status, Header: http.Header{}, Request: r, ContentLength: int64(len(body)),
		Body: io.NopCloser(strings.NewReader(body)),
	}, nil
}

// streaming answers with a body that is read from feed, and breaks off when the
// request's context ends.
func streaming(r *http.Request, feed func(w *io.PipeWriter)) (*http.Response, error) {
	pr, pw := io.Pipe()
	context.AfterFunc(r.Context(), func() { pw.CloseWithError(r.Context().Err()) })
	go feed(pw)
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, Body: pr}, nil
}

const (
	meID      = "2244994945"
	me        = `{"data":{"id":"2244994945","name":"Hat Shop","username":"HatShop"}}`
	classicMe = `{"id":2244994945,"id_str":"2244994945","name":"Hat Shop","screen_name":"HatShop"}`
)

func config(s server) Config {
	return Config{
		APIURL: "https://api.x.test", StreamURL: "https://stream.x.test",
		ConsumerKey: "k", ConsumerSecret: "s", AccessToken: "t", AccessSecret: "u", BearerToken: "b",
		HTTP: &http.Client{Transport: unmentioned(s)},
	}
}

func newNetwork(t *testing.T, s server) *Network {
	t.Helper()
	n, err := New(config(s))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestRecorded sends messages as X documents them through the adapter, and holds
// what is heard to the golden file.
func TestRecorded(t *testing.T) {
	var found map[string]json.RawMessage
	if err := json.Unmarshal(read(t, "testdata/lookup.json"), &found); err != nil {
		t.Fatal(err)
	}
	var asked []string
	recorded(t, "testdata/stream", "1990000000000000024", func(r *http.Request) (*http.Response, error) {
		switch r.URL.Path {
		case "/2/users/me":
			return respond(r, 200, me)
		case "/2/tweets":
			asked = append(asked, r.URL.Query().Get("ids"))
			if post := found[r.URL.Query().Get("ids")]; post != nil {
				return respond(r, 200, `{"data":[`+string(post)+`]}`)
			}
			return respond(r, 200, `{"errors":[{"title":"Not Found Error"}]}`)
		}
		return nil, nil
	}, func(cfg Config) (bot.Network, error) { return New(cfg) })
	if got, want := strings.Join(asked, " "), "1990000000000000501 1990000000000000503"; got != want {
		t.Errorf("looked up %s, want %s", got, want)
	}
}

func TestRecordedClassic(t *testing.T) {
	recorded(t, "testdata/classic", "1990000000000000024", func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/1.1/account/verify_credentials.json" {
			return respond(r, 200, classicMe)
		}
		if q := r.URL.Query(); q.Get("track") != "@HatShop" || q.Get("follow") != meID {
			t.Errorf("asked for %s", r.URL)
		}
		return nil, nil
	}, func(cfg Config) (bot.Network, error) { return NewClassic(cfg) })
}

// recorded plays name.jsonl up to the post last, and compares with name.golden.
func recorded(t *testing.T, name, last string, other server, open func(Config) (bot.Network, error)) {
	lines := bytes.ReplaceAll(read(t, name+".jsonl"), []byte("\n"), []byte("\r\n\r\n"))
	played := false
	cfg := config(func(r *http.Request) (*http.Response, error) {
		if resp, err := other(r); resp != nil || err != nil {
			return resp, err
		}
		if r.URL.Host != "stream.x.test" {
			t.Errorf("unexpected request %s", r.URL)
		}
		return streaming(r, func(w *io.PipeWriter) {
			if !played {
				played = true
				w.Write(lines)
			}
		})
	})
	var log bytes.Buffer
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	n, err := open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var got bytes.Buffer
	heardLast := false
	err = n.Listen(ctx, "", func(_ context.Context, p bot.Post) error {
		if p.ID == "" {
			return nil
		}
		got.WriteString(describe(&p) + "\n\n")
		if p.ID == last {
			heardLast = true
			cancel()
		}
		return nil
	})
	if err != nil || !heardLast {
		t.Fatalf("Listen: %v, heard the last post: %t; log:\n%s", err, heardLast, log.String())
	}
	if *update {
		if err := os.WriteFile(name+".golden", got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := read(t, name+".golden"); !bytes.Equal(got.Bytes(), want) {
		t.Errorf("heard\n%s\nwant\n%s", got.Bytes(), want)
	}
	if strings.Contains(log.String(), "BuyHat") {
		t.Errorf("the log tells what people write:\n%s", log.String())
	}
	if !strings.Contains(log.String(), "stream message skipped") {
		t.Errorf("the log does not tell of what was skipped:\n%s", log.String())
	}
}

// describe tells all of a post, in words.
func describe(p *bot.Post) string {
	kinds := map[bot.PostKind]string{bot.Original: "original", bot.Repost: "repost of", bot.Quote: "quote of", bot.Answer: "answer to", bot.Deletion: "removed"}
	d := fmt.Sprintf("%s %s by %s @%s at %s\n\t%q\n\ttags %q names %q lang %q\n\t%s", p.Network, p.ID, p.Author.ID, p.Author.Handle,
		p.At.Format(time.RFC3339Nano), p.Text, p.Tags, p.Names, p.Lang, kinds[p.Kind])
	if p.Implied {
		d += " (named as the thread is)"
	}
	if p.Of != nil {
		d += " " + strings.ReplaceAll(describe(p.Of), "\n", "\n\t")
	}
	return d
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// FuzzStream holds the reading of a stream to its bounds: no panic, no line
// beyond the bound, only posts that can be told apart.
func FuzzStream(f *testing.F) {
	for _, name := range []string{"testdata/stream.jsonl", "testdata/classic.jsonl"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			f.Add(line)
		}
	}
	f.Add([]byte(strings.Repeat("[", 20000)))
	f.Add([]byte(`{"data":{"id":"7","author_id":"9","text":"@HatShop #a","referenced_posts":[{"type":"replied_to","id":"3"}],"entities":{"hashtags":[{"start":9,"end":1,"tag":"b"}]}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := newLines(bytes.NewReader(append(data, '\n')), func() {})
		for {
			line, err := in.next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if cap(in.buf) > 2*maxLine {
				t.Fatalf("%d bytes kept", cap(in.buf))
			}
			readAny(t, line)
		}
	})
}

func TestOverlongLine(t *testing.T) {
	long := strings.Repeat("x", 3*maxLine)
	in := newLines(io.MultiReader(strings.NewReader("a\r\n"+long+"\nb\n\n"), strings.NewReader("cut")), func() {})
	for _, want := range []struct {
		line string
		err  error
	}{{"a", nil}, {"", errOverlong}, {"b", nil}, {"", nil}, {"", io.EOF}} {
		line, err := in.next()
		if string(line) != want.line || err != want.err {
			t.Errorf("read %.10q, %v, want %q, %v", line, err, want.line, want.err)
		}
	}
	if cap(in.buf) > 2*maxLine {
		t.Errorf("%d bytes kept of a line too long", cap(in.buf))
	}
}

func TestAsked(t *testing.T) {
	for _, field := range []string{"note_tweet", "edit_history_tweet_ids", "referenced_tweets", "entities", "author_id", "withheld"} {
		if !strings.Contains(url.Values(asked).Get("tweet.fields"), field) {
			t.Errorf("%s is not asked for", field)
		}
	}
}
