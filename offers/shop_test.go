package offers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"hashtill/store"
)

// shop is a Shop on a memory store, with a world outside that does all it is asked.
type shop struct {
	*Shop
	t     *testing.T
	st    store.Store
	now   time.Time
	calls map[string]int // effects performed outside, by id
	with  map[EffectKind]func(Job) (Event, error)
}

func newShop(t *testing.T, all ...Offer) *shop { return newShopOn(t, store.NewMemory(), all...) }

func newShopOn(t *testing.T, st store.Store, all ...Offer) *shop {
	s := &shop{t: t, st: st, now: t0, calls: map[string]int{}, with: map[EffectKind]func(Job) (Event, error){}}
	var err error
	s.Shop, err = NewShop(s.st, Settings{
		CodeKey: []byte("0123456789abcdef"), Times: DefaultTimes, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return s.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	for kind, ev := range map[EffectKind]Event{
		Reply: {Kind: ReplySent, Post: "reply"}, MailCode: {Kind: CodeMailed}, Prepare: {Kind: IntentMade, Intent: "pi_1"},
		MailLink: {Kind: LinkMailed}, Charge: {Kind: Charged}, Void: {Kind: IntentVoided}, MailReceipt: {Kind: EffectDone},
		MailReason: {Kind: EffectDone}, ReplyReason: {Kind: EffectDone}, Thank: {Kind: EffectDone}, Look: {Kind: Charged}, Refunding: {Kind: RefundMade}, MailRefund: {Kind: EffectDone}, MailShipped: {Kind: EffectDone}, MailWithdrawal: {Kind: EffectDone},
	} {
		s.On(kind, func(_ context.Context, j Job) (Event, error) {
			s.calls[j.Effect.ID()]++
			if with := s.with[kind]; with != nil {
				return with(j)
			}
			ev := ev
			switch kind {
			case Prepare:
				ev.Card = j.Buyer.Cards[0]
			case Refunding:
				ev.N = j.Effect.N
			}
			return ev, nil
		})
	}
	s.OnAnswer(func(_ context.Context, a Answer, _ bool) error { s.calls["answer "+a.Word]++; return nil })
	if err := s.Import(t.Context(), all, true); err != nil {
		t.Fatal(err)
	}
	return s
}

func tee(stock, perBuyer int) Offer {
	return Offer{ID: "buytee", Tag: "BuyTee", Title: "Tour T-shirt", Seller: "Example Records", Price: Money{14999, "USD"},
		Stock: map[string]int{"": stock}, PerBuyer: perBuyer}
}

func account(n int) Account { return Account{"x", fmt.Sprint(1000 + n)} }

func (s *shop) register(n int) {
	s.t.Helper()
	err := s.Register(s.t.Context(), Buyer{Account: account(n), Email: Email(fmt.Sprintf("b%d@example.com", n)), Customer: "cus_1", Cards: []Card{{ID: "pm_1"}}}, s.now)
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) wish(n int, post string) Purchase {
	s.t.Helper()
	p, err := s.Wish(s.t.Context(), Wish{Post: post, Account: account(n), Offer: "buytee"}, s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// settle performs all that is due, until nothing is.
func (s *shop) settle() {
	s.t.Helper()
	for range 100 {
		leases, err := s.st.Lease(s.t.Context(), s.now, s.now.Add(time.Minute), 100)
		if err != nil {
			s.t.Fatal(err)
		}
		if len(leases) == 0 {
			return
		}
		for _, l := range leases {
			if err := s.Perform(s.t.Context(), l); err != nil {
				s.t.Fatalf("perform %s: %v", l.ID, err)
			}
		}
	}
	s.t.Fatal("effects without end")
}

func (s *shop) is(id ID, want State) Purchase {
	s.t.Helper()
	p, err := s.Purchase(s.t.Context(), id)
	if err != nil || p.State != want {
		s.t.Fatalf("purchase is %q (%s), %v; want %q", p.State, p.Reason, err, want)
	}
	return p
}

func (s *shop) taken() int64 {
	s.t.Helper()
	o, _ := s.OfferByTag("BuyTee")
	n, err := s.Stocked(s.t.Context(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	return n[""]
}

func (s *shop) echo(p Purchase, by Account) error {
	_, err := s.Echo(s.t.Context(), p.Code, by, "echo", s.now)
	return err
}

func wantRefusal(t *testing.T, err error, want Reason) {
	t.Helper()
	var no *Refusal
	if !errors.As(err, &no) || no.Reason != want {
		t.Fatalf("got %v, want %s", err, want)
	}
}

func TestShopSells(t *testing.T) {
	s := newShop(t, tee(10, 2))
	s.register(1)
	p := s.wish(1, "1")
	s.settle()
	s.is(p.ID, Coded)
	wantRefusal(t, s.echo(p, account(2)), NotYourCode)
	if err := s.echo(p, account(1)); err != nil {
		t.Fatal(err)
	}
	s.settle()
	p = s.is(p.ID, Mailed)
	if _, err := s.Press(t.Context(), p.ID, p.Round, "", s.now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Press(t.Context(), p.ID, p.Round, "", s.now); err != nil {
		t.Fatalf("pressed twice: %v", err)
	}
	s.settle()
	s.is(p.ID, Paid)
	if s.taken() != 1 {
		t.Errorf("%d taken, want 1", s.taken())
	}
	for id, n := range s.calls {
		if n != 1 {
			t.Errorf("%s was performed %d times", id, n)
		}
	}
	// Nothing is left owed.
	if leases, _ := s.st.Lease(t.Context(), s.now.Add(48*time.Hour), s.now.Add(49*time.Hour), 10); len(leases) > 0 {
		t.Errorf("%s is still owed", leases[0].ID)
	}
}

// A post counts once, whatever brings it.
func TestShopSeesAPostOnce(t *testing.T) {
	s := newShop(t, tee(10, 5))
	s.register(1)
	p := s.wish(1, "1")
	if again := s.wish(1, "1"); again.ID != p.ID || again.Code != p.Code || s.taken() != 1 {
		t.Errorf("the same post became %v with %d taken", again, s.taken())
	}
	s.settle()
	s.wish(1, "1")
	s.settle()
	if n := s.calls[Effect{Kind: Reply, Purchase: p.ID}.ID()]; n != 1 {
		t.Errorf("%d replies", n)
	}
}

// Many want the last units; nobody gets one that is not there.
func TestShopNeverOversells(t *testing.T) {
	s := newShop(t, tee(5, 1))
	for n := range 40 {
		s.register(n)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[State]int{}
	for n := range 40 {
		wg.Go(func() {
			p, err := s.Wish(t.Context(), Wish{Post: fmt.Sprint(n), Account: account(n), Offer: "buytee"}, t0)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			got[p.State]++
			if p.State == Refused && p.Reason != SoldOut {
				t.Errorf("refused for %s", p.Reason)
			}
		})
	}
	wg.Wait()
	if got[Asked] != 5 || got[Refused] != 35 || s.taken() != 5 {
		t.Errorf("%v, %d taken", got, s.taken())
	}
	// What lapses can be had again.
	s.now = s.now.Add(2 * time.Hour)
	s.with[Reply] = func(Job) (Event, error) { return Event{Kind: EffectDone}, nil }
	s.settle()
	if s.taken() != 0 {
		t.Errorf("%d still taken", s.taken())
	}
}

func TestShopLimits(t *testing.T) {
	s := newShop(t, tee(10, 2))
	s.register(1)
	s.wish(1, "1")
	s.wish(1, "2")
	if p := s.wish(1, "3"); p.State != Refused || p.Reason != LimitReached || s.taken() != 2 {
		t.Errorf("the third is %s for %s, %d taken", p.State, p.Reason, s.taken())
	}
	p, err := s.Wish(t.Context(), Wish{Post: "4", Account: account(2), Offer: "buytee", Quantity: 3}, t0)
	if err != nil || p.Reason != LimitReached {
		t.Errorf("three at once: %s, %v", p.Reason, err)
	}
}

func TestShopWindows(t *testing.T) {
	o := tee(10, 1)
	o.Opens, o.Closes = t0, t0.Add(time.Hour)
	s := newShop(t, o)
	s.register(1)
	for at, want := range map[time.Duration]Reason{-1: NotOpenYet, 0: "", time.Hour - 1: "", time.Hour: OfferClosed} {
		if got, _ := s.OfferByTag("BuyTee"); got.Closed(t0.Add(at)) != want {
			t.Errorf("at %v: closed for %q, want %q", at, got.Closed(t0.Add(at)), want)
		}
	}
	s.now = t0.Add(time.Hour)
	if p := s.wish(1, "late"); p.State != Refused || p.Reason != OfferClosed {
		t.Errorf("a late wish is %s for %s", p.State, p.Reason)
	}
}

func TestShopAsksWhichVariant(t *testing.T) {
	o := tee(0, 1)
	o.Stock = map[string]int{"M black": 1, "L black": 1, "L black long": 1}
	s := newShop(t, o)
	s.register(1)
	for words, want := range map[string]string{"black m please": "M black", "LONG l black": "L black long", "l black": "L black", "black": "", "": ""} {
		got, ok := o.Choose(strings.Fields(words))
		if got != want && ok || ok != (want != "") {
			t.Errorf("%q chose %q, %v", words, got, ok)
		}
	}
	p := s.wish(1, "1")
	if p.Reason != WhichVariant || len(p.Choices) != 3 {
		t.Errorf("%s %v", p.Reason, p.Choices)
	}
}

// The wish of a stranger waits, holds nothing, and goes on by itself.
func TestShopWaitsForRegistration(t *testing.T) {
	for name, order := range map[string]func(s *shop){
		"filed first":      func(s *shop) { s.settle(); s.register(1) },
		"registered first": func(s *shop) { s.register(1); s.settle() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, tee(1, 1))
			p := s.wish(1, "1")
			if p.State != Invited || s.taken() != 0 {
				t.Fatalf("%s with %d taken", p.State, s.taken())
			}
			order(s)
			s.settle()
			s.is(p.ID, Coded)
			if s.taken() != 1 {
				t.Errorf("%d taken", s.taken())
			}
		})
	}
}

func TestShopTellsTheWaitingThatItIsGone(t *testing.T) {
	s := newShop(t, tee(1, 1))
	p := s.wish(1, "1")
	s.settle()
	s.register(2)
	s.wish(2, "2")
	s.register(1)
	s.settle()
	if p = s.is(p.ID, Refused); p.Reason != SoldOut {
		t.Errorf("refused for %s", p.Reason)
	}
	if s.calls[Effect{Kind: MailReason, Purchase: p.ID, Reason: SoldOut}.ID()] != 1 {
		t.Errorf("nobody told the buyer: %v", s.calls)
	}
	if p := s.wish(3, "3"); p.State != Refused || p.Reason != SoldOut {
		t.Errorf("a stranger is %s for what is gone", p.State)
	}
}

func TestShopLetsGo(t *testing.T) {
	s := newShop(t, tee(9, 9))
	s.register(1)
	a, b := s.wish(1, "1"), s.wish(1, "2")
	s.settle()
	if err := s.echo(b, account(1)); err != nil {
		t.Fatal(err)
	}
	s.settle()
	if n, err := s.CancelAll(t.Context(), account(1), s.now); n != 2 || err != nil {
		t.Errorf("cancelled %d, %v", n, err)
	}
	if s.taken() != 1 {
		t.Errorf("%d taken before Stripe let go, want 1", s.taken())
	}
	s.settle()
	s.is(a.ID, Cancelled)
	s.is(b.ID, Cancelled)
	if s.taken() != 0 {
		t.Errorf("%d still taken", s.taken())
	}
}

func TestShopObeysStop(t *testing.T) {
	s := newShop(t, tee(9, 9))
	s.register(1)
	p := s.wish(1, "1")
	s.settle()
	if err := s.Stop(t.Context(), account(1), s.now); err != nil {
		t.Fatal(err)
	}
	_, err := s.Press(t.Context(), p.ID, 1, "", s.now)
	wantRefusal(t, err, BuyerStopped)
	s.settle()
	s.is(p.ID, Cancelled)
	_, err = s.Wish(t.Context(), Wish{Post: "2", Account: account(1), Offer: "buytee"}, s.now)
	wantRefusal(t, err, BuyerStopped)
	for _, word := range []string{"help", "stopped", "stopped"} {
		if err := s.OweAnswer(t.Context(), Answer{Post: word, Account: account(1), Word: word}); err != nil {
			t.Fatal(err)
		}
	}
	s.settle()
	if s.calls["answer help"] != 0 || s.calls["answer stopped"] != 1 {
		t.Errorf("answers: %v", s.calls)
	}
	if err := s.Start(t.Context(), account(1), s.now); err != nil {
		t.Fatal(err)
	}
	if p := s.wish(1, "3"); p.State != Asked {
		t.Errorf("after start: %s", p.State)
	}
}

// An edit of the offer while somebody wishes is seen, and an old promise is kept.
func TestShopEditsDuringASale(t *testing.T) {
	s := newShop(t, tee(1, 5))
	s.register(1)
	p := s.wish(1, "1")
	dearer := tee(3, 5)
	dearer.Price.Minor = 19999
	if err := s.PutOffer(t.Context(), dearer); err != nil { // by another process: no Refresh here
		t.Fatal(err)
	}
	q := s.wish(1, "2")
	if q.State != Asked {
		t.Errorf("the new stock was not seen: %s", q.State)
	}
	if p = s.is(p.ID, Asked); p.Total.Minor != 14999 {
		t.Errorf("the promise became %s", p.Total)
	}
	if err := s.RemoveOffer(t.Context(), "buytee"); err != nil {
		t.Fatal(err)
	}
	if r := s.wish(1, "3"); r.State != Refused || r.Reason != OfferClosed {
		t.Errorf("after removal: %s for %s", r.State, r.Reason)
	}
}

// An outcome that another try was given is not committed by the old one.
func TestShopRefusesAStaleOutcome(t *testing.T) {
	s := newShop(t, tee(1, 1))
	s.register(1)
	s.settle()
	p := s.wish(1, "1")
	first, _ := s.st.Lease(t.Context(), s.now, s.now.Add(time.Second), 10)
	s.now = s.now.Add(time.Minute)
	second, _ := s.st.Lease(t.Context(), s.now, s.now.Add(time.Minute), 10)
	if len(first) != 2 || len(second) != 2 {
		t.Fatalf("%d and %d leases", len(first), len(second))
	}
	for _, l := range first {
		if err := s.Perform(t.Context(), l); !errors.Is(err, store.ErrStale) {
			t.Errorf("%s by an old try: %v", l.ID, err)
		}
	}
	s.is(p.ID, Asked)
	for _, l := range second {
		if err := s.Perform(t.Context(), l); err != nil {
			t.Error(err)
		}
	}
	s.is(p.ID, Coded)
}

// What is wished is what the offer is now, not what this process last saw.
func TestShopDecidesByTheOfferAsItIs(t *testing.T) {
	s := newShop(t, tee(5, 5))
	s.register(1)
	dearer := tee(5, 5)
	dearer.Price.Minor, dearer.Closes = 99900, t0
	if err := s.PutOffer(t.Context(), dearer); err != nil { // by another process
		t.Fatal(err)
	}
	if p := s.wish(1, "1"); p.State != Refused || p.Reason != OfferClosed || p.Total.Minor != 99900 {
		t.Errorf("%s for %s at %s", p.State, p.Reason, p.Total)
	}
}

// An offer that comes back under its old name is not the old one.
func TestShopKnowsAnOfferThatCameBack(t *testing.T) {
	s := newShop(t, tee(10, 10))
	s.register(1)
	if err := s.RemoveOffer(t.Context(), "buytee"); err != nil {
		t.Fatal(err)
	}
	if err := s.PutOffer(t.Context(), tee(2, 10)); err != nil {
		t.Fatal(err)
	}
	for n := range 6 {
		s.wish(1, fmt.Sprint(n))
	}
	if s.taken() != 2 {
		t.Errorf("%d of 2 units are taken", s.taken())
	}
}

// A stop that comes before the purchase is filed under its buyer stops it too, and
// says nothing more to them.
func TestShopObeysAStopThatIsFaster(t *testing.T) {
	s := newShop(t, tee(9, 9))
	s.register(1)
	s.settle()
	p := s.wish(1, "1")
	if err := s.Stop(t.Context(), account(1), s.now); err != nil {
		t.Fatal(err)
	}
	leases, err := s.st.Lease(t.Context(), s.now, s.now.Add(time.Second), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, first := range []string{cancelWishes, string(Reply), string(File)} {
		for _, l := range leases {
			if l.Kind == first {
				if err := s.Perform(t.Context(), l); err != nil {
					t.Errorf("%s: %v", l.ID, err)
				}
			}
		}
	}
	s.is(p.ID, Cancelled)
	if n := s.calls[Effect{Kind: Reply, Purchase: p.ID}.ID()]; n != 0 {
		t.Error("a reply went out after the stop")
	}
}

// A stop means what was wished before it, however late it is carried out.
func TestShopKeepsWishesAfterAStop(t *testing.T) {
	s := newShop(t, tee(9, 9))
	s.register(1)
	s.settle()
	if err := s.Stop(t.Context(), account(1), s.now); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(time.Minute)
	if err := s.Start(t.Context(), account(1), s.now); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(time.Minute)
	p := s.wish(1, "1")
	s.settle()
	s.is(p.ID, Coded)
}

// Whatever passes for an offer can be kept and bought.
func TestOfferFitsItsKeys(t *testing.T) {
	for name, edit := range map[string]func(*Offer){
		"a long tag":                 func(o *Offer) { o.Tag = strings.Repeat("東", 60); o.ID = TagKey(o.Tag) },
		"a long variant":             func(o *Offer) { o.Stock = map[string]int{strings.Repeat("東", 60): 1} },
		"a variant of spaces":        func(o *Offer) { o.Stock = map[string]int{" ": 1, "b": 1} },
		"a title that turns round":   func(o *Offer) { o.Title = "a\u202eb" },
		"a title of two lines":       func(o *Offer) { o.Title = "a\nb" },
		"a price no card can charge": func(o *Offer) { o.Price = Money{1234, "KWD"} },
		"a variant like a number":    func(o *Offer) { o.Stock = map[string]int{"3X": 1} },
		"a variant of signs":         func(o *Offer) { o.Stock = map[string]int{"Rock & Roll": 1} },
		"two variants alike":         func(o *Offer) { o.Stock = map[string]int{"M black": 1, "black M": 1} },
		"a title with an address":    func(o *Offer) { o.Title = "see https://a.io" },
		"a title with a name":        func(o *Offer) { o.Title = "by @ann" },
	} {
		o := tee(1, 1)
		edit(&o)
		if err := o.Validate(); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// The invitation may be out although its answer was lost. What becomes of the wish when
// its buyer registers is then told by mail, and not in public once more.
func TestInvitedAreAnsweredOnce(t *testing.T) {
	s := newShop(t, tee(5, 5))
	s.with[Reply] = func(j Job) (Event, error) {
		if j.Purchase.State != Invited {
			t.Errorf("a reply to a purchase that is %s", j.Purchase.State)
		}
		return Event{}, errors.New("no answer")
	}
	p := s.wish(1, "1")
	leases, err := s.st.Lease(t.Context(), s.now, s.now.Add(time.Minute), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases {
		if err := s.Perform(t.Context(), l); (err != nil) != (l.Kind == string(Reply)) {
			t.Fatalf("%s: %v", l.ID, err)
		}
	}
	over := tee(5, 5)
	over.Closes = s.now
	if err := s.PutOffer(t.Context(), over); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.register(1)
	s.now = s.now.Add(time.Hour) // the lease has run out
	s.settle()
	if p = s.is(p.ID, Refused); p.Reason != OfferClosed || s.calls[Effect{Kind: MailReason, Purchase: p.ID, Reason: OfferClosed}.ID()] != 1 {
		t.Errorf("refused for %s, calls %v", p.Reason, s.calls)
	}
}
