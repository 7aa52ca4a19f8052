package x_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
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

const (
	burstUnits = 500
	burstLimit = 100 // replies in 15 minutes, as X has it
)

// refusals counts what X has refused for its limit.
type refusals struct {
	http.RoundTripper
	limited atomic.Int64
}

func (c *refusals) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusTooManyRequests {
		c.limited.Add(1)
	}
	return resp, err
}

// burst is a shop, its bot and X, on one clock that can be put forward.
type burst struct {
	t      *testing.T
	ahead  atomic.Int64
	shop   *offers.Shop
	bot    *bot.Bot
	net    *x.Network
	x      *xtest.Server
	wire   *refusals
	outbox *store.Outbox
	people []person // in the order in which they ask

	mu     sync.Mutex
	mailed map[offers.ID]time.Time
	twice  int // mails about a purchase that had one
}

type person struct {
	account    xtest.Account
	registered bool
	wish       string
}

func (p person) purchase() offers.ID { return offers.NewID("x", p.wish, "buytee") }

func (b *burst) now() time.Time { return time.Now().Add(time.Duration(b.ahead.Load())) }

func newBurst(t *testing.T) *burst {
	b := &burst{t: t, mailed: map[offers.ID]time.Time{}}
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	var err error
	b.x, err = xtest.Start(xtest.Options{Now: b.now})
	fail(err)
	t.Cleanup(func() { fail(b.x.Close()) })
	account, err := b.x.AddAccount(xtest.Account{Handle: "HatShop"})
	fail(err)
	keys, transport := b.x.Credentials(account.ID), new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	b.wire = &refusals{RoundTripper: transport}
	b.net, err = x.New(x.Config{
		APIURL: b.x.URL(), StreamURL: b.x.URL(),
		ConsumerKey: keys.ConsumerKey, ConsumerSecret: keys.ConsumerSecret,
		AccessToken: keys.Token, AccessSecret: keys.TokenSecret, BearerToken: b.x.Bearer(),
		HTTP: &http.Client{Transport: b.wire}, Now: b.now, Log: log,
	})
	fail(err)

	st := store.NewMemory()
	b.shop, err = offers.NewShop(st, offers.Settings{
		CodeKey: []byte("0123456789abcdef"), Times: offers.DefaultTimes, Log: log, Now: b.now,
		Owing: func() { b.outbox.Nudge() },
	})
	fail(err)
	b.bot = &bot.Bot{Shop: b.shop, Networks: []bot.Network{b.net}, Now: b.now, Log: log}
	b.bot.Register()
	b.shop.On(offers.MailCode, b.mail(offers.CodeMailed))
	b.shop.On(offers.MailReason, b.mail(offers.EffectDone))
	b.outbox = &store.Outbox{Store: st, Do: b.perform, Now: b.now, Log: log, Poll: 10 * time.Millisecond}

	fail(b.shop.Import(t.Context(), []offers.Offer{{
		ID: "buytee", Tag: "BuyTee", Title: "Tee", Seller: "S", PerBuyer: 1,
		Price: offers.Money{Minor: 2000, Currency: "USD"}, Stock: map[string]int{"": burstUnits},
	}}, true))
	b.people = make([]person, burstWishes)
	for i := range b.people {
		p := &b.people[i]
		p.account, err = b.x.AddAccount(xtest.Account{Handle: fmt.Sprint("buyer", i)})
		fail(err)
		if p.registered = i%10 < 7; p.registered {
			fail(b.shop.Register(t.Context(), offers.Buyer{
				Account: offers.Account{Network: "x", ID: p.account.ID}, Email: "a@example.com",
				Customer: "cus_1", Cards: []offers.Card{{ID: "pm_1"}},
			}, b.now()))
		}
	}
	return b
}

// perform is what the command does too.
func (b *burst) perform(ctx context.Context, l store.Lease) error {
	err := b.shop.Perform(ctx, l)
	if later := (*bot.LaterError)(nil); errors.As(err, &later) {
		return &store.Later{At: later.At, Err: err}
	}
	return err
}

// mail is a mail server that takes everything.
func (b *burst) mail(then offers.EventKind) offers.Act {
	return func(_ context.Context, j offers.Job) (offers.Event, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if !b.mailed[j.Purchase.ID].IsZero() {
			b.twice++
		}
		b.mailed[j.Purchase.ID] = b.now()
		return offers.Event{Kind: then}, nil
	}
}

// ask posts all wishes, one after the other, and has the bot hear them.
func (b *burst) ask() {
	b.t.Helper()
	self, _, err := b.net.Self(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	for i := range b.people {
		p := &b.people[i]
		post, err := b.x.Post(p.account.ID, "@HatShop #BuyTee", xtest.PostOptions{})
		if err != nil {
			b.t.Fatal(err)
		}
		p.wish = post.ID
		err = b.bot.Hear(b.t.Context(), b.net, bot.Post{
			Network: "x", ID: post.ID, Author: bot.Author{ID: p.account.ID, Handle: p.account.Handle}, At: post.CreatedAt,
			Text: post.Text, Tags: []string{"BuyTee"}, Names: []string{self},
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

// replies are the times at which wishes were answered in public, no two in the same words.
func (b *burst) replies() map[string]time.Time {
	b.t.Helper()
	at, texts := map[string]time.Time{}, map[string]bool{}
	for _, p := range b.x.Timeline() {
		if p.ReplyTo == "" {
			continue
		}
		if !at[p.ReplyTo].IsZero() {
			b.t.Errorf("wish %s was answered twice", p.ReplyTo)
		}
		if texts[p.Text] {
			b.t.Errorf("said twice: %s", p.Text)
		}
		at[p.ReplyTo], texts[p.Text] = p.CreatedAt, true
	}
	return at
}

// settle has the outbox perform all that is due within a while, or until done, and then
// what a crowd had put off: whoever was not asked before the clock is put forward by a
// window has lost its place.
func (b *burst) settle(while time.Duration, done func() bool) {
	b.t.Helper()
	for end := b.now().Add(while); ; b.ahead.Add(int64(time.Second)) {
		if err := b.outbox.WaitIdle(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
		if crowd := b.now().Add(30 * time.Second); done() && end.After(crowd) {
			end = crowd
		}
		if b.now().After(end) {
			return
		}
	}
}

// Ten thousand wishes come within a minute, for 500 units, to an account that may reply
// 100 times in 15 minutes. Who comes first buys, and is answered in public; who has
// registered is told within a minute, in public or by mail; who has not is told in the
// windows that follow, in order; and X never has to refuse.
func TestBurst(t *testing.T) {
	b := newBurst(t)
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- b.outbox.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}()

	began := b.now()
	b.ask()
	if took := b.now().Sub(began); took > time.Minute {
		t.Fatalf("the burst took %s", took)
	}
	var registered, strangers int
	for _, p := range b.people {
		if p.registered {
			registered++
		} else {
			strangers++
		}
	}
	inPublic := 0 // of the registered
	for _, p := range b.people[:burstLimit] {
		if p.registered {
			inPublic++
		}
	}
	b.settle(2*time.Minute, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.mailed) >= registered-inPublic && len(b.replies()) >= burstLimit
	})

	// Who buys.
	bought, waiting := 0, map[string]bool{}
	slowest := time.Duration(0)
	replies := b.replies()
	for i, p := range b.people {
		got, err := b.shop.Purchase(t.Context(), p.purchase())
		if err != nil {
			t.Fatal(err)
		}
		want := offers.Refused
		switch {
		case p.registered && bought < burstUnits:
			bought++
			want = offers.Coded
		case bought < burstUnits:
			want = offers.Invited
		}
		if got.State != want || want == offers.Refused && got.Reason != offers.SoldOut {
			t.Errorf("wish %d is %s %s, want %s", i, got.State, got.Reason, want)
		}
		if got.State == offers.Coded && got.CodeByMail == (i < burstLimit) {
			t.Errorf("wish %d: code by mail: %v", i, got.CodeByMail)
		}
		answered, mailed := replies[p.wish], b.mailed[p.purchase()]
		if answered.IsZero() == (i < burstLimit) {
			t.Errorf("wish %d answered in public: %v, by mail: %v, %s", i, !answered.IsZero(), mailed, got.State)
		}
		told := answered
		if told.IsZero() {
			told = mailed
		}
		switch {
		case !answered.IsZero() && !mailed.IsZero():
			t.Errorf("wish %d was answered in public and by mail", i)
		case !p.registered && answered.IsZero():
			waiting[p.wish] = true
		case told.IsZero() || told.Sub(got.AskedAt) > time.Minute:
			t.Errorf("wish %d, asked at %s, was told at %s", i, got.AskedAt, told)
		default:
			slowest = max(slowest, told.Sub(got.AskedAt))
		}
		if t.Failed() && i > 2*burstLimit {
			t.FailNow()
		}
	}
	if held, err := b.shop.Stocked(t.Context(), b.shop.Offers()[0]); err != nil || held[""] > burstUnits {
		t.Errorf("%v units are held, %v", held, err)
	}
	if bought != burstUnits || b.twice > 0 || b.wire.limited.Load() > 0 {
		t.Errorf("%d units sold, %d mails twice, %d requests beyond X's limit", bought, b.twice, b.wire.limited.Load())
	}
	t.Logf("%d wishes, %d mails, the slowest told after %s", burstWishes, len(b.mailed), slowest.Round(time.Millisecond))

	// The others, in the order in which they came.
	for jumped := began; len(waiting) > 0; {
		window := b.now() // begins with the first reply in it
		for _, at := range replies {
			if at.Before(window) && !at.Before(jumped.Truncate(time.Millisecond)) {
				window = at
			}
		}
		b.ahead.Add(int64(window.Add(15*time.Minute + 2*time.Second).Sub(b.now())))
		jumped = b.now()
		next := map[string]bool{}
		for _, p := range b.people {
			if waiting[p.wish] && len(next) < burstLimit {
				next[p.wish] = true
			}
		}
		before := len(replies)
		b.settle(time.Minute, func() bool { return len(b.replies()) >= before+len(next) })
		now := b.replies()
		for wish := range next {
			if now[wish].IsZero() {
				t.Errorf("a wish was not answered when it was its turn")
			}
			delete(waiting, wish)
		}
		if len(now) != before+len(next) || b.wire.limited.Load() > 0 {
			t.Fatalf("%d wishes answered in a window, want %d; %d requests beyond X's limit", len(now)-before, len(next), b.wire.limited.Load())
		}
		replies = now
	}
}
