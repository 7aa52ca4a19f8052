package desk

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hashtill/offers"
)

func TestSale(t *testing.T) {
	w := newWorld(t)
	w.paid(1, "BuyHat")
	w.wish(2, "BuyHat")
	w.wish(3, "BuyHat")
	p := w.mailed(4, "BuyTee", "M")
	w.wish(5, "BuyTee", "Q") // no such variant
	w.passes(p.Times.Link + time.Second)
	w.settle()
	w.as(hans).get("/m/hats/sale/buyhat").is(http.StatusOK).says("1 paid", "0 left", "3 wishes", "sold out", "2 waiting", "Who is next", "1 @buyer2 1 20:00:00", "2 @buyer3")
	w.as(vera).get("/m/records/sale/buytee").is(http.StatusOK).says("Wishes 2", "Codes given 1", "Codes reposted 1", "Links mailed 1", "Button pressed 0", "Paid 0",
		"Lost: 2", "It was not clear which variant 1", "The button was not pressed in time 1").saysNot("Who is next", "/stock")
}

// Whatever a purchase is lost for is told in words.
func TestLostWords(t *testing.T) {
	for _, s := range offers.States {
		for _, how := range []string{"expired/", "cancelled/"} {
			if words := lostWords(offers.Stage(how + string(s))); s != offers.New && (words == "" || strings.ContainsAny(words, "_/")) {
				t.Errorf("%s%s: %q", how, s, words)
			}
		}
	}
	if words := lostWords("refused/of_the_moon"); words != "Of the moon" {
		t.Error(words)
	}
}

// A follower reads the stream of a page.
type follower struct {
	t      *testing.T
	cancel context.CancelFunc
	lines  *bufio.Scanner
	code   int
}

func (b *browser) follow(ctx context.Context, srv *httptest.Server, path string) *follower {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	b.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", srv.URL+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: b.desk.cookieName(), Value: b.token})
	res, err := srv.Client().Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { res.Body.Close() })
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	return &follower{b.t, cancel, lines, res.StatusCode}
}

// event is the next one, "" at the end.
func (f *follower) event() string {
	f.t.Helper()
	var b strings.Builder
	for f.lines.Scan() {
		switch line := f.lines.Text(); {
		case line != "":
			b.WriteString(line + "\n")
		case strings.TrimPrefix(b.String(), ":\n") == "":
			b.Reset()
		default:
			return (&answer{t: f.t, body: b.String()}).text()
		}
	}
	return b.String()
}

func TestSaleMoves(t *testing.T) {
	w := newWorld(t)
	srv := httptest.NewServer(w.http)
	t.Cleanup(srv.Close)
	b := w.as(vera)
	f := b.follow(t.Context(), srv, "/m/records/sale/buytee/live")
	if first := f.event(); !strings.Contains(first, "0 paid") || !strings.HasPrefix(first, "data:") {
		t.Fatalf("the first event is %q", first)
	}
	w.paid(1, "BuyTee", "M")
	w.passes(2 * time.Second) // by the clock of the desk the last look is old
	for next := f.event(); !strings.Contains(next, "1 paid"); next = f.event() {
		if next == "" {
			t.Fatal("it does not move")
		}
	}
	// It ends with the session, and so that the browser knows.
	if err := w.shop.EndShift(t.Context(), b.token); err != nil {
		t.Fatal(err)
	}
	if last := f.event(); !strings.HasPrefix(last, "event: gone") {
		t.Errorf("after the end of the session: %q", last)
	}
	if f.event() != "" {
		t.Error("it goes on without a session")
	}

	// It ends with the role, and with the desk.
	c := w.as(carl)
	f = c.follow(t.Context(), srv, "/m/records/sale/buytee/live")
	f.event()
	if _, err := w.shop.EditPerson(t.Context(), carl, func(p *offers.Person) error { p.Roles = map[string]offers.Role{"hats": offers.Owner}; return nil }); err != nil {
		t.Fatal(err)
	}
	if last := f.event(); !strings.HasPrefix(last, "event: gone") {
		t.Errorf("after the end of the role: %q", last)
	}
	f = w.as(rita).follow(t.Context(), srv, "/m/records/sale/buytee/live")
	f.event()
	w.desk.Close()
	if f.event() != "" || f.lines.Err() != nil {
		t.Error("it goes on without a desk", f.lines.Err())
	}
}

func TestStreamsAreBounded(t *testing.T) {
	w := newWorld(t)
	srv := httptest.NewServer(w.http)
	t.Cleanup(srv.Close)
	b := w.as(vera)
	var all []*follower
	for range maxOwnStreams {
		f := b.follow(t.Context(), srv, "/m/records/sale/buytee/live")
		if f.code != http.StatusOK {
			t.Fatal(f.code)
		}
		f.event()
		all = append(all, f)
	}
	if f := b.follow(t.Context(), srv, "/m/records/sale/buytee/live"); f.code != http.StatusServiceUnavailable {
		t.Errorf("one too many: %d", f.code)
	}
	if f := w.as(carl).follow(t.Context(), srv, "/m/records/sale/buytee/live"); f.code != http.StatusOK {
		t.Errorf("somebody else's: %d", f.code)
	}
	w.desk.Close()
	for _, f := range all {
		for f.event() != "" {
			continue
		}
	}
	srv.Close() // waits for all of them
	if w.desk.live.all != 0 || len(w.desk.live.people) != 0 || len(w.desk.live.views) != 0 {
		t.Errorf("something is left: %+v", &w.desk.live)
	}
}

// What the pages of one offer show is read once for all of them.
func TestFiguresAreShared(t *testing.T) {
	w := newWorld(t)
	seenAt := func(b *browser, v *view, merchant, offer string) []byte {
		t.Helper()
		c := &call{Desk: w.desk, r: httptest.NewRequestWithContext(t.Context(), "GET", "/", nil), token: b.token, merchant: merchant}
		html, err := c.seen(v, offer)
		if err != nil {
			t.Fatal(err)
		}
		return html
	}
	seen := func(b *browser, v *view) []byte { return seenAt(b, v, "records", "buytee") }
	v, one, other := &view{}, w.as(vera), w.as(carl)
	first := seen(one, v)
	w.paid(1, "BuyTee", "M")
	if again := seen(other, v); &again[0] != &first[0] {
		t.Error("within a second it is read again")
	}
	w.passes(time.Second)
	if later := seen(other, v); !strings.Contains(string(later), "<b>1</b><span>paid") {
		t.Errorf("a second later it is as it was: %s", later)
	}

	// A line is read whole: a short one each second, a long one less often.
	w.paid(2, "BuyHat")
	v, one = &view{}, w.as(hans)
	w.wish(10, "BuyHat")
	seenAt(one, v, "hats", "buyhat")
	for n := range 29 {
		w.wish(11+n, "BuyHat")
	}
	w.passes(time.Second)
	if !strings.Contains(string(seenAt(one, v, "hats", "buyhat")), "and 20 more") {
		t.Error("a second later the short line is as it was")
	}
	w.wish(40, "BuyHat")
	w.passes(time.Second)
	if !strings.Contains(string(seenAt(one, v, "hats", "buyhat")), "and 20 more") {
		t.Error("a long line is read each second")
	}
	w.passes(time.Second)
	if !strings.Contains(string(seenAt(one, v, "hats", "buyhat")), "and 21 more") {
		t.Error("a long line is never read again")
	}
}
