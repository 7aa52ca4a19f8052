package bot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hashtill/offers"
	"hashtill/offers/words"
	"hashtill/store"
)

var t0 = time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)

// network is a Network that keeps what is said and answers as it is told.
type network struct {
	said    []Reply
	err     error
	listen  func(context.Context) error
	play    func(ctx context.Context, since string, heard func(context.Context, Post) error) error
	follows atomic.Int32
	status  Status
	mu      sync.Mutex  // of status
	deaf    atomic.Bool // not connected
}

func (n *network) Name() string                                        { return "x" }
func (n *network) Self(context.Context) (id, handle string, err error) { return self, "bot", nil }
func (n *network) Follow(context.Context, []string) error              { n.follows.Add(1); return nil }
func (n *network) Listen(ctx context.Context, since string, heard func(context.Context, Post) error) error {
	if n.listen != nil {
		return n.listen(ctx)
	}
	if n.play != nil {
		return n.play(ctx, since, heard)
	}
	<-ctx.Done()
	return nil
}

func (n *network) Status() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.status
	s.Connected = !n.deaf.Load()
	return s
}

func (n *network) waiting(posts int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.status = Status{Waiting: posts}
}

func (n *network) Say(_ context.Context, r Reply, _ bool) (string, error) {
	if n.err != nil {
		return "", n.err
	}
	n.said = append(n.said, r)
	return "reply", nil
}

// scene is a bot over a real shop on a memory store.
type scene struct {
	*Bot
	t    *testing.T
	net  *network
	shop *offers.Shop
	st   store.Store
}

func newScene(t *testing.T, stock int) *scene { return newSceneOn(t, stock, store.NewMemory()) }

func newSceneOn(t *testing.T, stock int, st store.Store) *scene {
	s := &scene{t: t, net: &network{}, st: st}
	now := func() time.Time { return t0 }
	log := slog.New(slog.DiscardHandler)
	var err error
	s.shop, err = offers.NewShop(s.st, offers.Settings{CodeKey: []byte("0123456789abcdef"), Times: offers.DefaultTimes, Log: log, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	s.Bot = &Bot{Shop: s.shop, Networks: []Network{s.net}, Now: now, Log: log}
	s.Register()
	err = s.shop.Import(t.Context(), []offers.Offer{tee("BuyTee", stock)}, true)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tee(tag string, stock int) offers.Offer {
	return offers.Offer{ID: offers.TagKey(tag), Tag: tag, Title: strings.TrimSpace(strings.Repeat("Très long titre ", 6)), Seller: "S",
		Price: offers.Money{Minor: 14999, Currency: "USD"}, Stock: map[string]int{"": stock}, PerBuyer: 3}
}

func (s *scene) register(account string) {
	s.t.Helper()
	err := s.shop.Register(s.t.Context(), offers.Buyer{Account: offers.Account{Network: "x", ID: account}, Email: "a@example.com",
		Customer: "cus_1", Cards: []offers.Card{{ID: "pm_1"}}}, t0)
	if err != nil {
		s.t.Fatal(err)
	}
}

// hears hands over a post, performs what is owed, and returns what was said.
func (s *scene) hears(p Post) []string {
	s.t.Helper()
	before := len(s.net.said)
	if err := s.Hear(s.t.Context(), s.net, p); err != nil {
		s.t.Fatal(err)
	}
	for range 10 {
		leases, err := s.st.Lease(s.t.Context(), t0, t0.Add(time.Minute), 100)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, l := range leases {
			if err := s.shop.Perform(s.t.Context(), l); err != nil && !strings.Contains(err.Error(), "nobody performs") {
				s.t.Fatal(err)
			}
		}
	}
	var texts []string
	for _, r := range s.net.said[before:] {
		texts = append(texts, r.Text)
	}
	return texts
}

func by(account, id, text string) Post {
	p := said(text)
	p.Network, p.ID, p.Author = "x", id, Author{ID: account, Handle: "h" + account}
	return p
}

func TestHear(t *testing.T) {
	s := newScene(t, 2)
	s.register("1")
	one := func(got []string, want string) {
		t.Helper()
		if len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("said %q, want one with %q", got, want)
		}
	}
	none := func(got []string) {
		t.Helper()
		if len(got) > 0 {
			t.Errorf("said %q, want nothing", got)
		}
	}
	reply := s.hears(by("1", "10", "@bot #BuyTee"))
	one(reply, "repost this within 15 min")
	none(s.hears(by("1", "10", "@bot #BuyTee"))) // the same post again
	code := "#" + strings.Split(strings.Split(reply[0], "#")[1], ".")[0]

	one(s.hears(by("2", "20", "@bot "+code)), "belongs to somebody else")
	none(s.hears(by("2", "21", code))) // not said to the bot
	one(s.hears(by("2", "22", "@bot "+offers.NewCode([]byte("k"), offers.NewID("x", "9", "buytee"), 0).Hashtag())), "do not know that code")
	one(s.hears(by("2", "23", "@bot #BuyTee")), "register your card once")
	one(s.hears(by("1", "11", "@bot #BuyTee x9")), "more of")
	one(s.hears(by("1", "12", "@bot cancel")), "Your purchase is cancelled")
	one(s.hears(by("1", "13", "@bot cancel")), "nothing to cancel")
	french := by("2", "24", "@bot aide")
	french.Lang = "fr"
	one(s.hears(french), "Publiez le hashtag")
	one(s.hears(by("1", "14", "@bot stop")), "we leave you alone")
	none(s.hears(by("1", "15", "@bot #BuyTee")))
	none(s.hears(by("1", "16", "@bot help")))
	one(s.hears(by("1", "17", "@bot start")), "Welcome back")
	one(s.hears(by("1", "18", "@bot #BuyTee")), "repost this")

	// No two texts are alike, whoever they are for.
	seen := map[string]bool{}
	for _, r := range s.net.said {
		if seen[r.Text] {
			t.Errorf("said twice: %s", r.Text)
		}
		seen[r.Text] = true
	}
}

// Stop is obeyed whatever its post said before it was edited.
func TestStopByAnEdit(t *testing.T) {
	for _, first := range []string{"help", "start", "cancel", "#BuyTee", "hello", "#BuyTee x9"} {
		s := newScene(t, 9)
		s.register("1")
		s.hears(by("1", "10", "@bot "+first))
		stop := by("1", "10", "@bot stop")
		stop.Edited = true
		s.hears(stop)
		if b, err := s.shop.Buyer(t.Context(), offers.Account{Network: "x", ID: "1"}); err != nil || b.Stopped.IsZero() {
			t.Errorf("%q, edited to stop, is not: %v", first, err)
		}
		if said := s.hears(by("1", "11", "@bot #BuyTee")); len(said) > 0 {
			t.Errorf("%q: after the stop it said %q", first, said)
		}
	}
}

// X hands posts over twice at times, and people edit them.
func TestAPostCountsOnce(t *testing.T) {
	s := newScene(t, 9)
	s.register("1")
	cancel := by("1", "10", "@bot cancel")
	s.hears(cancel)
	s.hears(by("1", "11", "@bot #BuyTee"))
	if said := s.hears(cancel); len(said) > 0 {
		t.Errorf("said %q to what it had heard", said)
	}
	p, err := s.shop.Purchase(t.Context(), offers.NewID("x", "11", "buytee"))
	if err != nil || p.State != offers.Coded {
		t.Errorf("an old cancel hit a new wish: %s, %v", p.State, err)
	}

	mug := tee("BuyMug", 9)
	if err := s.shop.Import(t.Context(), []offers.Offer{mug}, false); err != nil {
		t.Fatal(err)
	}
	edited := by("1", "11", "@bot #BuyMug x2")
	edited.Edited = true
	if said := s.hears(edited); len(said) > 0 {
		t.Errorf("an edit became another wish: %q", said)
	}
	edited.ID = "12" // the first version was not heard
	if said := s.hears(edited); len(said) != 1 {
		t.Errorf("an edited wish was not heard: %q", said)
	}
}

// Once it has worked, a network that refuses takes nothing else down.
func TestRunOutlivesARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1)
		s.Now = time.Now
		ctx, stop := context.WithCancel(t.Context())
		tries := 0
		s.net.listen = func(context.Context) error {
			tries++
			<-time.After(time.Minute)
			if tries == 3 {
				stop()
			}
			return errors.New("403")
		}
		if err := s.Run(ctx); err != nil || tries != 3 {
			t.Errorf("%v after %d tries", err, tries)
		}
		s.net.listen = func(context.Context) error { return errors.New("401") }
		if err := s.Run(t.Context()); err == nil {
			t.Error("a refusal at the start was not told")
		}
	})
}

// Where the network refuses a reply, or makes it wait, the purchase goes on by mail.
func TestReplyRefused(t *testing.T) {
	for _, err := range []error{&RefusedError{Why: "not mentioned"}, &LaterError{At: t0.Add(15 * time.Minute), Why: "429"}} {
		refused(t, err)
	}
}

func refused(t *testing.T, err error) {
	s := newScene(t, 2)
	s.register("1")
	mailed := false
	s.shop.On(offers.MailCode, func(context.Context, offers.Job) (offers.Event, error) {
		mailed = true
		return offers.Event{Kind: offers.CodeMailed}, nil
	})
	s.net.err = err
	s.hears(by("1", "10", "#BuyTee"))
	if p, err := s.shop.Purchase(t.Context(), offers.NewID("x", "10", "buytee")); err != nil || p.State != offers.Coded || !mailed {
		t.Errorf("purchase is %s, %v, mailed %v", p.State, err, mailed)
	}
}

// What cannot be kept now must come again.
func TestHearSaysWhatItCouldNotKeep(t *testing.T) {
	s := newScene(t, 2)
	s.st.Close()
	if err := s.Hear(t.Context(), s.net, by("1", "10", "@bot #BuyTee")); !errors.Is(err, store.ErrClosed) {
		t.Errorf("got %v, want the store's error", err)
	}
}

func TestClip(t *testing.T) {
	for _, c := range [][2]string{
		{"short", "short"}, {strings.Repeat("a", 40), strings.Repeat("a", 40)}, {strings.Repeat("a", 41), strings.Repeat("a", 38) + "…"},
		{strings.Repeat("東", 20), strings.Repeat("東", 20)}, {strings.Repeat("東", 21), strings.Repeat("東", 19) + "…"}, {"", ""},
	} {
		if got := clip(c[0], 40); got != c[1] {
			t.Errorf("%q became %q, want %q", c[0], got, c[1])
		}
	}
}

func TestListed(t *testing.T) {
	for _, c := range []struct {
		choices []string
		want    string
	}{
		{nil, ""}, {[]string{"L", "M", "S"}, "L, M, S"}, {[]string{"M black", "M white", "S black"}, "M black, M white, …"},
		{[]string{strings.Repeat("a", 30), "b"}, strings.Repeat("a", 18) + "…"}, {[]string{"250.ml", "M"}, "250…"}, // which may pass for a link
		{[]string{"東", "東東東東東東東東東"}, "東, …"},
	} {
		if got := listed(c.choices, 20); got != c.want {
			t.Errorf("%q became %q, want %q", c.choices, got, c.want)
		}
	}
}

// One helpful answer, however many choices there are: they fit whole, and what is named
// as it says is understood.
func TestUnclearWish(t *testing.T) {
	s := newScene(t, 2)
	s.register("1")
	o := tee("BuyTee", 0)
	o.Title, o.Stock, o.Aliases = "Tour T-shirt", map[string]int{}, map[string][]string{"Größe 12 bleu nuit": {"size 12 navy"}}
	for i := range offers.MaxVariants {
		o.Stock[fmt.Sprintf("Größe %02d bleu nuit", i)] = 5
	}
	if err := s.shop.Import(t.Context(), []offers.Offer{o}, true); err != nil {
		t.Fatal(err)
	}
	said := s.hears(by("1", "10", "@bot #BuyTee please"))
	if len(said) != 1 || !strings.Contains(said[0], ": Größe 00 bleu nuit, Größe 01 bleu nuit, Größe 02 bleu nuit, ….") || weigh(said[0]) > 280 {
		t.Fatalf("%d to %q", len(said), said)
	}
	for post, text := range map[string]string{"11": "@bot #BuyTee Größe 02 bleu nuit", "12": "@bot Size 12, NAVY #BuyTee"} {
		if said := s.hears(by("1", post, text)); len(said) != 1 || !strings.Contains(said[0], "repost this") {
			t.Errorf("%q: %q", text, said)
		}
	}
}

// Who comes when it is sold out is told their place, or that there is no line.
func TestSoldOut(t *testing.T) {
	for _, lang := range words.Languages {
		s := newScene(t, 1)
		for _, account := range []string{"1", "2", "3"} {
			s.register(account)
		}
		o := tee("BuyTee", 1)
		o.Waitlist = true
		if err := s.shop.Import(t.Context(), []offers.Offer{o, tee("BuyMug", 0)}, true); err != nil {
			t.Fatal(err)
		}
		said := func(account, id, text string) string {
			p := by(account, id, text)
			p.Lang = lang
			all := s.hears(p)
			if len(all) != 1 || weigh(all[0]) > 280 {
				t.Fatalf("%s: %q", lang, all)
			}
			return all[0]
		}
		said("1", "10", "@bot #BuyTee")
		w := words.For(lang)
		title := clip(o.Title, maxTitle)
		for i, account := range []string{"2", "3"} {
			id := "2" + account
			p := offers.NewID("x", id, o.ID)
			if got, want := said(account, id, "@bot #BuyTee"), w.Say("reply.waiting", map[string]any{"Title": title, "Place": i + 1, "Ref": ref(string(p))}); got != want {
				t.Errorf("%s: %q, want %q", lang, got, want)
			}
		}
		mug := offers.NewID("x", "30", "buymug")
		if got, want := said("1", "30", "@bot #BuyMug"), w.Say("reply.refused.sold_out", map[string]any{"Title": title, "Ref": ref(string(mug))}); got != want {
			t.Errorf("%s: %q, want %q", lang, got, want)
		}
	}
}

// An offer that is not sold everywhere says what is missing.
func TestNotSoldEverywhere(t *testing.T) {
	s := newScene(t, 5)
	s.register("1")
	o := tee("BuyTee", 5)
	o.Countries = []string{"FR"}
	if err := s.shop.Import(t.Context(), []offers.Offer{o}, true); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct{ country, want string }{{"", "Tell us your country"}, {"US", "not sold to the country"}, {"FR", "repost this"}} {
		if err := s.shop.SetAddress(t.Context(), offers.Account{Network: "x", ID: "1"}, "", c.country, t0); err != nil {
			t.Fatal(err)
		}
		if said := s.hears(by("1", fmt.Sprint(40+i), "@bot #BuyTee")); len(said) != 1 || !strings.Contains(said[0], c.want) {
			t.Errorf("from %q: %q, want %q", c.country, said, c.want)
		}
	}
}
