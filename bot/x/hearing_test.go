package x

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hashtill/bot"
)

// world is X as far as hearing goes, in either shape: mentions that are kept, and a
// stream.
type world struct {
	mu      sync.Mutex
	kept    []int64                                     // mentions, oldest first
	asked   []string                                    // since_id of each question after them, or "page"
	trouble func(r *http.Request) (int, http.Header)    // of such a question; nil or 0 for none
	stream  func(n int, w *io.PipeWriter, classic bool) // the nth, from 0; it ends when this returns
	streams int
	maxPage int            // 0 for what was asked for
	running sync.WaitGroup // streams
	log     bytes.Buffer   // of the adapter
}

func (w *world) answer(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	classic := strings.HasPrefix(r.URL.Path, "/1.1/")
	switch path := r.URL.Path; {
	case path == "/2/users/me":
		return respond(r, 200, me)
	case path == "/1.1/account/verify_credentials.json":
		return respond(r, 200, classicMe)
	case strings.HasSuffix(path, "/mentions"), strings.HasSuffix(path, "/mentions_timeline.json"):
		return w.mentions(r, classic)
	}
	n := w.streams
	w.streams++
	w.running.Add(1)
	return streaming(r, func(p *io.PipeWriter) {
		defer w.running.Done()
		w.stream(n, p, classic)
		p.Close()
	})
}

func (w *world) mentions(r *http.Request, classic bool) (*http.Response, error) {
	q := r.URL.Query()
	since, _ := strconv.ParseInt(q.Get("since_id"), 10, 64)
	upTo, _ := strconv.ParseInt(q.Get("max_id")+q.Get("pagination_token"), 10, 64)
	count, _ := strconv.Atoi(q.Get("count") + q.Get("max_results"))
	if upTo == 0 {
		w.asked = append(w.asked, q.Get("since_id"))
	} else {
		w.asked = append(w.asked, "page")
	}
	if w.trouble != nil {
		if status, header := w.trouble(r); status != 0 {
			resp, err := respond(r, status, `{"title":"no"}`)
			resp.Header = header
			return resp, err
		}
	}
	if w.maxPage > 0 {
		count = min(count, w.maxPage)
	}
	page, next := []string{}, ""
	for _, id := range slices.Backward(w.kept) {
		if id <= since || upTo > 0 && id > upTo {
			continue
		}
		if len(page) == count {
			next = fmt.Sprintf(`,"next_token":"%d"`, id)
			break
		}
		page = append(page, posted(id, classic))
	}
	if all := strings.Join(page, ","); classic {
		return respond(r, 200, "["+all+"]")
	} else {
		var posts []string
		for _, line := range page {
			var m struct{ Data json.RawMessage }
			json.Unmarshal([]byte(line), &m)
			posts = append(posts, string(m.Data))
		}
		return respond(r, 200, `{"data":[`+strings.Join(posts, ",")+`],"meta":{"result_count":1`+next+`}}`)
	}
}

// posted is a message of a stream.
func posted(id int64, classic bool) string {
	if classic {
		return fmt.Sprintf(`{"id":%d,"id_str":"%d","text":"@HatShop","retweet_count":0,"user":{"id":7,"id_str":"7"}}`, id, id)
	}
	return fmt.Sprintf(`{"data":{"id":"%d","author_id":"7","text":"@HatShop"}}`, id)
}

// say puts posts on a stream, and beats until it is cut off or until is closed.
func say(p *io.PipeWriter, classic bool, until <-chan struct{}, ids ...int64) {
	for _, id := range ids {
		if _, err := io.WriteString(p, posted(id, classic)+"\r\n"); err != nil {
			return
		}
	}
	for {
		if _, err := io.WriteString(p, "\r\n"); err != nil {
			return
		}
		select {
		case <-until:
			return
		case <-time.After(15 * time.Second):
		}
	}
}

// at is the number of a post of that many seconds after some moment.
func at(seconds int64) int64 { return (700_000_000_000 + 1000*seconds) << 22 }

func id(seconds int64) string { return strconv.FormatInt(at(seconds), 10) }

// inBothShapes listens to a world in a bubble.
func inBothShapes(t *testing.T, play func(t *testing.T, w *world, open func() bot.Network)) {
	for shape, open := range map[string]func(Config) (bot.Network, error){
		"classic": func(cfg Config) (bot.Network, error) { return NewClassic(cfg) },
		"v2":      func(cfg Config) (bot.Network, error) { return New(cfg) },
	} {
		t.Run(shape, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{}
				cfg := config(nil)
				cfg.HTTP = &http.Client{Transport: server(w.answer)}
				cfg.Log = slog.New(slog.NewTextHandler(&w.log, nil))
				play(t, w, func() bot.Network {
					n, err := open(cfg)
					if err != nil {
						t.Fatal(err)
					}
					return n
				})
				w.running.Wait()
			})
		})
	}
}

// brief tells of a post what matters here: "12! >12" is 12, missed, with cursor 12.
func brief(p bot.Post) string {
	short := func(id string) string {
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return id
		}
		return strconv.FormatInt((n>>22-700_000_000_000)/1000, 10)
	}
	s := short(p.ID)
	if p.Missed {
		s += "!"
	}
	if p.Cursor != "" {
		id, _, _ := strings.Cut(p.Cursor, "/") // behind it is where the first start was
		s += ">" + short(id)
	}
	return s
}

// As long as missed posts cannot be looked for, the stream is heard, and brings no
// cursor. X's times are heeded. Afterwards everything is in order again.
func TestCatchingUpIsRefused(t *testing.T) {
	inBothShapes(t, func(t *testing.T, w *world, open func() bot.Network) {
		reset := time.Now().Add(7*time.Minute + 3*time.Second).Truncate(time.Second)
		var tries []time.Duration
		start := time.Now()
		w.kept = []int64{at(100), at(600), at(700), at(800), at(1000), at(1001)}
		w.trouble = func(r *http.Request) (int, http.Header) {
			tries = append(tries, time.Since(start))
			switch len(tries) {
			case 1:
				return 403, nil
			case 2:
				return 503, nil
			case 3:
				return 429, http.Header{"X-Rate-Limit-Reset": {strconv.FormatInt(reset.Unix(), 10)}}
			}
			return 0, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		end := make(chan struct{})
		w.stream = func(n int, p *io.PipeWriter, classic bool) {
			say(p, classic, end, at(1000), at(1001))
		}
		var got []string
		err := open().Listen(ctx, id(700), func(_ context.Context, p bot.Post) error {
			got = append(got, brief(p))
			if p.ID == "" {
				cancel()
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"1000", "1001", "600!>700", "700!>700", "800!>800", "1000!>1000", "1001!>1001", ">1001"}
		if !slices.Equal(got, want) {
			t.Errorf("heard %q, want %q", got, want)
		}
		if want := seconds(0, 5, 15); len(tries) < 4 || !slices.Equal(tries[:3], want) || tries[3] != reset.Sub(start) {
			t.Errorf("looked for missed posts after %v, want %v and %s", tries, want, reset.Sub(start))
		}
		if w.asked[0] != id(700-120) {
			t.Errorf("looked for posts since %s, want %s", w.asked[0], id(700-120))
		}
	})
}

// What a stream has not told to its end is told by the next one; each goes on from the
// last post heard.
func TestCatchingUpIsTakenUp(t *testing.T) {
	inBothShapes(t, func(t *testing.T, w *world, open func() bot.Network) {
		w.kept = []int64{at(100), at(200), at(300)}
		first, second := make(chan struct{}), make(chan struct{})
		w.trouble = func(r *http.Request) (int, http.Header) {
			if w.streams == 2 { // the second stream's look does not come through
				return 503, nil
			}
			return 0, nil
		}
		w.stream = func(n int, p *io.PipeWriter, classic bool) {
			switch n {
			case 0:
				say(p, classic, first, at(400))
			case 1:
				say(p, classic, second, at(900))
			default:
				say(p, classic, nil)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		n := open()
		err := n.Listen(ctx, "", func(_ context.Context, p bot.Post) error {
			if p.ID != "" || p.Cursor == "" {
				got = append(got, brief(p))
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			switch {
			case p.ID == id(400) && !p.Missed:
				if !n.Status().Connected {
					t.Error("not connected, and something is heard")
				}
				time.AfterFunc(time.Minute, func() {
					w.mu.Lock()
					defer w.mu.Unlock()
					w.kept = append(w.kept, at(400), at(500), at(600), at(900))
					close(first)
				})
			case p.ID == id(900) && !p.Missed:
				time.AfterFunc(time.Minute, func() { close(second) })
			case p.ID == id(900):
				cancel()
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got[0] == "400" {
			got[0] = "400>400" // the first look may have come to its end or not
		}
		want := []string{"400>400", "900", "400!>400", "500!>500", "600!>600", "900!>900"}
		if !slices.Equal(got, want) {
			t.Errorf("heard %q, want %q; log:\n%s", got, want, w.log.String())
		}
		if n.Status() != (bot.Status{}) {
			t.Errorf("after the end: %+v", n.Status())
		}
	})
}

// Where X keeps too much, or tells the same for ever, the look has an end.
func TestCatchingUpIsBounded(t *testing.T) {
	inBothShapes(t, func(t *testing.T, w *world, open func() bot.Network) {
		for i := range int64(100) {
			w.kept = append(w.kept, at(i))
		}
		w.maxPage = 5
		w.stream = func(n int, p *io.PipeWriter, classic bool) { say(p, classic, nil) }
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		err := open().Listen(ctx, "1", func(_ context.Context, p bot.Post) error {
			got = append(got, brief(p))
			if p.ID == "" {
				cancel()
			}
			return nil
		})
		if err != nil || len(got) != 5*missedPages+1 || got[0] != "20!>20" || got[len(got)-1] != ">99" || len(w.asked) != missedPages {
			t.Errorf("heard %q by %d questions, %v", got, len(w.asked), err)
		}
		if !strings.Contains(w.log.String(), "cannot be had any more") {
			t.Errorf("the log does not tell:\n%s", w.log.String())
		}
	})
}

// While the shop takes nothing, no more is read than the queue holds. X then drops the
// stream, and what it did not deliver is found later: nothing is lost, memory is bounded.
func TestFullQueue(t *testing.T) {
	const posts, kept = queueLength + 300, queueLength + 600
	inBothShapes(t, func(t *testing.T, w *world, open func() bot.Network) {
		w.stream = func(n int, p *io.PipeWriter, classic bool) {
			if n > 0 {
				say(p, classic, nil)
				return
			}
			for i := range int64(posts) {
				written := make(chan error, 1)
				go func() {
					_, err := io.WriteString(p, posted(at(i), classic)+"\r\n")
					written <- err
				}()
				select {
				case <-written:
				case <-time.After(30 * time.Second): // X drops who is too slow
					p.CloseWithError(io.ErrUnexpectedEOF)
					<-written
					return
				}
			}
			t.Error("everything was taken")
		}
		ctx, cancel := context.WithCancel(t.Context())
		n := open()
		heard, most := map[string]bool{}, 0
		err := n.Listen(ctx, "1", func(ctx context.Context, p bot.Post) error {
			most = max(most, n.Status().Waiting)
			if len(heard) == 0 && p.ID != "" {
				time.Sleep(time.Hour) // the store is away
				w.mu.Lock()
				for i := range int64(kept) {
					w.kept = append(w.kept, at(i))
				}
				w.mu.Unlock()
			}
			if p.ID != "" {
				heard[p.ID] = true
			}
			if p.ID == "" && len(heard) > queueLength {
				cancel()
			}
			return nil
		})
		if err != nil || len(heard) != kept {
			t.Errorf("heard %d of %d posts, %v", len(heard), kept, err)
		}
		if most < queueLength || most > queueLength+2 {
			t.Errorf("%d posts were waiting", most)
		}
	})
}

func TestCursorOfAnotherNetwork(t *testing.T) {
	n := newNetwork(t, nil)
	if err := n.Listen(t.Context(), "s72594_4483", deaf); err == nil {
		t.Error("listened from what is no number")
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"", "", ""}, {"", "0", "0"}, {"9", "10", "10"}, {"10", "9", "10"}, {"99", "100", "100"}, {"21", "12", "21"}, {"5", "5", "5"},
	} {
		if got := newest(c.a, c.b); got != c.want {
			t.Errorf("newest(%q, %q) = %q, want %q", c.a, c.b, got, c.want)
		}
	}
	for _, c := range []struct{ id, want string }{
		{id(500), id(380)}, {"5", noPost}, {noPost, noPost}, {"9999999999999999999", noPost},
	} {
		if got := before(c.id, overlap); got != c.want {
			t.Errorf("before(%q) = %q, want %q", c.id, got, c.want)
		}
	}
	if got := postedAt("", id(500)).Sub(postedAt("", before(id(500), overlap))); got != overlap {
		t.Errorf("the overlap is %s", got)
	}
}

// Asking again begins a little before the last post, for what X shows late, and hands
// nothing over twice; when all is old it begins after the last one.
func TestLookingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{kept: []int64{at(100)}}
		cfg := config(nil)
		cfg.Hear, cfg.PollEvery = HearPoll, 5*time.Second
		cfg.HTTP = &http.Client{Transport: server(w.answer)}
		start := time.Now()
		cfg.Now = func() time.Time { return postedAt("", id(200)).Add(time.Since(start)) }
		n, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		time.AfterFunc(7*time.Second, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.kept = append(w.kept, at(207))
		})
		time.AfterFunc(12*time.Second, func() { // X shows this one late
			w.mu.Lock()
			defer w.mu.Unlock()
			w.kept = []int64{at(100), at(206), at(207)}
		})
		time.AfterFunc(3*time.Minute, cancel)
		err = n.Listen(ctx, "", func(_ context.Context, p bot.Post) error {
			got = append(got, brief(p))
			return nil
		})
		if want := []string{">100", "207>207", "206>207"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("heard %q, want %q; %v", got, want, err)
		}
		if first, last := w.asked[0], w.asked[len(w.asked)-1]; first != "" || last != id(207) {
			t.Errorf("asked for posts since %q first and since %q last", first, last)
		}
		if n := len(w.asked); n < 36 || n > 38 {
			t.Errorf("asked %d times in 3 minutes", n)
		}
	})
}
