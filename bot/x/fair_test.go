package x_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hashtill/bot"
	"hashtill/bot/x"
	"hashtill/bot/x/xtest"
	"hashtill/offers"
	"hashtill/store"
)

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// pipes is a network within a program, so that a clock of its own knows who waits.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	close func()
}

func newPipes() *pipes {
	p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	p.close = sync.OnceFunc(func() { close(p.done) })
	return p
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }
func (p *pipes) Close() error   { p.close(); return nil }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// wire carries requests, unless a fault carries them: those for posts, where it is the
// adapter's; all, where it is that to its webhook.
type wire struct {
	fault atomic.Pointer[func(*http.Request) (*http.Response, error)]
	plain func(*http.Request) (*http.Response, error)
	all   bool

	noURLs bool // a rule about links is refused
}

func (w *wire) set(fault func(*http.Request) (*http.Response, error)) { w.fault.Store(&fault) }

// asks says whether a path is of a question who has said or reposted what.
func asks(path string) bool {
	return strings.Contains(path, "/mentions") || strings.HasSuffix(path, "/retweeted_by") || strings.HasSuffix(path, "/quote_tweets")
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if fault := w.fault.Load(); fault != nil && (w.all && r.Method == http.MethodPost || asks(r.URL.Path)) {
		return (*fault)(r)
	}
	if w.noURLs && r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/rules") {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if bytes.Contains(body, []byte("url:")) {
			answer := `{"title":"Invalid Request","errors":[{"title":"UnprocessableEntity","value":"url:"}]}`
			return &http.Response{StatusCode: 400, Request: r, Body: io.NopCloser(strings.NewReader(answer))}, nil
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return w.plain(r)
}

// fair is a shop, its bot, X, and people, in a bubble of time.
type fair struct {
	*testing.T
	source
	x          *xtest.Server
	shop       *offers.Shop
	net        bot.Network
	account    xtest.Account
	offer      string // the announcement
	wire, hook *wire
	handler    http.Handler // of the webhook
	each       func()       // is done before each post
	skew       time.Duration

	mu     sync.Mutex
	echoed map[string]bool   // accounts that have repeated their code
	mailed map[offers.ID]int // links
	posts  map[string]string // wishes, by account
}

func (f *fair) xNow() time.Time { return time.Now().Add(27 * 365 * 24 * time.Hour) } // a bubble begins before X did
func (f *fair) now() time.Time  { return f.xNow().Add(f.skew) }

func (f *fair) heal() {
	f.each = func() {}
	f.wire.fault.Store(nil)
	f.hook.fault.Store(nil)
	f.x.Heal()
}

// edit changes an answer.
func (f *fair) edit(r *http.Request, change func([]byte) []byte) (*http.Response, error) {
	resp, err := f.wire.plain(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	body = change(body)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, err
}

// showLate has of each so many posts one shown late where posts are asked for.
func (f *fair) showLate(each int) {
	var mu sync.Mutex
	from := map[string]time.Time{}
	f.wire.set(func(r *http.Request) (*http.Response, error) {
		return f.page(r, func(posts []json.RawMessage) []json.RawMessage {
			mu.Lock()
			defer mu.Unlock()
			return slices.DeleteFunc(posts, func(p json.RawMessage) bool {
				var post struct{ ID json.RawMessage }
				json.Unmarshal(p, &post)
				key := r.URL.Path + string(post.ID)
				if from[key].IsZero() {
					from[key] = f.xNow()
					if len(from)%each == 0 {
						from[key] = f.xNow().Add(12 * time.Second)
					}
				}
				return f.xNow().Before(from[key])
			})
		})
	})
}

// page changes the posts of an answer.
func (f *fair) page(r *http.Request, change func([]json.RawMessage) []json.RawMessage) (*http.Response, error) {
	return f.edit(r, func(body []byte) []byte {
		var list []json.RawMessage
		if json.Unmarshal(body, &list) == nil { // of the classic API
			body, _ = json.Marshal(change(list))
			return body
		}
		var whole map[string]json.RawMessage
		if json.Unmarshal(body, &whole) == nil && json.Unmarshal(whole["data"], &list) == nil {
			whole["data"], _ = json.Marshal(change(list))
			body, _ = json.Marshal(whole)
		}
		return body
	})
}

// deliver hands a delivery to the webhook.
func (f *fair) deliver(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	answer := httptest.NewRecorder()
	f.handler.ServeHTTP(answer, r)
	return answer.Result(), nil
}

func (f *fair) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func newFair(t *testing.T, from source, skew time.Duration, plain bool) *fair {
	f := &fair{T: t, source: from, skew: skew, each: func() {}, echoed: map[string]bool{}, mailed: map[offers.ID]int{}, posts: map[string]string{}}
	lines := newPipes()
	transport := &http.Transport{DialContext: lines.Dial}
	t.Cleanup(transport.CloseIdleConnections)
	f.wire, f.hook = &wire{plain: transport.RoundTrip, noURLs: plain}, &wire{plain: f.deliver, all: true}
	var err error
	f.x, err = xtest.Start(xtest.Options{Listener: lines, Deliver: f.hook, Now: f.xNow, Classic: from.classic})
	f.must(err)
	t.Cleanup(func() { f.must(f.x.Close()) })
	f.account, err = f.x.AddAccount(xtest.Account{Handle: "HatShop"})
	f.must(err)
	keys, log := f.x.Credentials(f.account.ID), slog.New(slog.NewTextHandler(t.Output(), nil))
	cfg := x.Config{
		APIURL: f.x.URL(), StreamURL: f.x.URL(), Hear: from.hear, WebhookURL: "https://shop.example/x",
		ConsumerKey: keys.ConsumerKey, ConsumerSecret: keys.ConsumerSecret,
		AccessToken: keys.Token, AccessSecret: keys.TokenSecret, BearerToken: f.x.Bearer(),
		HTTP: &http.Client{Transport: f.wire}, Now: f.now, Log: log,
	}
	if from.classic {
		f.net, err = x.NewClassic(cfg)
		f.must(err)
	} else {
		n, err := x.New(cfg)
		f.must(err)
		f.net, f.handler = n, n.WebhookHandler()
	}
	st, times := store.NewMemory(), offers.DefaultTimes
	times.Answer, times.Echo, times.Link = 24*time.Hour, 24*time.Hour, 24*time.Hour
	var outbox *store.Outbox
	f.shop, err = offers.NewShop(st, offers.Settings{CodeKey: []byte("0123456789abcdef"), Times: times, Log: log, Now: f.now, Owing: func() { outbox.Nudge() }})
	f.must(err)
	b := &bot.Bot{Shop: f.shop, Networks: []bot.Network{f.net}, Now: f.now, Log: log}
	b.Register()
	f.shop.On(offers.Prepare, func(_ context.Context, j offers.Job) (offers.Event, error) {
		return offers.Event{Kind: offers.IntentMade, Intent: "pi_" + string(j.Purchase.ID)}, nil
	})
	f.shop.On(offers.MailLink, f.mailLink)
	outbox = &store.Outbox{Store: st, Now: f.now, Log: log, Do: func(ctx context.Context, l store.Lease) error {
		err := f.shop.Perform(ctx, l)
		if later := (*bot.LaterError)(nil); errors.As(err, &later) {
			return &store.Later{At: later.At, Err: err}
		}
		return err
	}}
	f.must(f.shop.Import(t.Context(), []offers.Offer{{
		ID: "buytee", Tag: "BuyTee", Title: "Tee", Seller: "S", PerBuyer: 3,
		Price: offers.Money{Minor: 2000, Currency: "USD"}, Stock: map[string]int{"": 1000},
	}}, true))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{b.Run, outbox.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() { cancel(); running.Wait() })
	return f
}

// mailLink is a mail server: what it takes lets a purchase be paid.
func (f *fair) mailLink(_ context.Context, j offers.Job) (offers.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.echoed[j.Purchase.Buyer.ID] {
		f.Errorf("%s can pay, and has not repeated the code", j.Purchase.Buyer.ID)
	}
	f.mailed[j.Purchase.ID]++
	return offers.Event{Kind: offers.LinkMailed}, nil
}

// until waits for something, and fails if it has not come about in an hour.
func (f *fair) until(what string, ok func() bool) {
	f.Helper()
	for range 3600 {
		if ok() {
			return
		}
		time.Sleep(time.Second)
	}
	f.Fatalf("%s: not within an hour", what)
}

func (f *fair) person(handle string) string {
	f.Helper()
	a, err := f.x.AddAccount(xtest.Account{Handle: handle})
	f.must(err)
	f.must(f.shop.Register(f.Context(), offers.Buyer{
		Account: offers.Account{Network: "x", ID: a.ID}, Email: "a@example.com", Customer: "cus_1", Cards: []offers.Card{{ID: "pm_1"}},
	}, f.now()))
	return a.ID
}

func (f *fair) purchases(account string) []offers.Purchase {
	f.Helper()
	all, err := f.shop.PurchasesOf(f.Context(), offers.Account{Network: "x", ID: account})
	f.must(err)
	return all
}

func (f *fair) post(account, text string, opts xtest.PostOptions) string {
	f.Helper()
	f.each()
	p, err := f.x.Post(account, text, opts)
	f.must(err)
	time.Sleep(3 * time.Second)
	return p.ID
}

func (f *fair) repost(account, post string) {
	f.Helper()
	f.each()
	_, err := f.x.Repost(account, post)
	f.must(err)
	time.Sleep(3 * time.Second)
}

// withoutRules takes the stream's rules away, and the stream.
func (f *fair) withoutRules() {
	f.Helper()
	ask := func(method, body string, answer any) {
		r, err := http.NewRequestWithContext(f.Context(), method, f.x.URL()+"/2/tweets/search/stream/rules", strings.NewReader(body))
		f.must(err)
		r.Header.Set("Authorization", "Bearer "+f.x.Bearer())
		r.Header.Set("Content-Type", "application/json")
		resp, err := f.wire.plain(r)
		f.must(err)
		defer resp.Body.Close()
		f.must(json.NewDecoder(resp.Body).Decode(answer))
	}
	var rules struct{ Data []struct{ ID string } }
	ask(http.MethodGet, "", &rules)
	ids := []string{}
	for _, r := range rules.Data {
		ids = append(ids, r.ID)
	}
	if len(ids) > 0 {
		body, err := json.Marshal(map[string]any{"delete": map[string]any{"ids": ids}})
		f.must(err)
		ask(http.MethodPost, string(body), new(struct{}))
	}
	f.x.Disconnect()
}
