package confirm_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"hashtill/confirm"
	"hashtill/confirm/stripe"
	"hashtill/confirm/stripe/stripetest"
	"hashtill/offers"
	"hashtill/store"
)

// A history is one shop, a few buyers, and whatever happens to them: drawn from a seed,
// and the same again for the same seed. The shop, the counter, the till and the webhook
// are the real ones; what is lost on the way is lost by stripetest, by the store or by the
// process that dies.
//
// One goroutine plays it. What happens at the same time happens in the middle of a
// request to Stripe, before the deed or after it (see [history.meanwhile]).
type history struct {
	dice   *rand.Rand
	now    time.Time
	ticks  int // see running
	st     *mortalStore
	stripe *stripetest.Server
	till   *stripe.Till
	shop   *offers.Shop
	hook   http.Handler
	stock  map[string]int

	people []*person
	wants  []*want
	late   []store.Lease // held by workers that have slept
	events map[string]int

	pressing *want // whose press goes on, if it may
	depth    int   // how many things happen at once
	deed     bool  // Stripe has done what the last request asked
	outside  bool  // and so it was since an effect's performance began
	dies     int   // which commit from now on is the process's last
	deaf     bool  // that commit is made, and its answer is lost
	dead     bool
	dropping bool // Stripe never tells what happens now
	newest   int64
	healed   bool

	count map[string]int // of what happened
	trace []string
	wrong []string
}

// A person is a buyer, and what only they know.
type person struct {
	account  offers.Account
	customer string
	cards    []string
}

// A want is a purchase, and what its buyer knows of it.
type want struct {
	name     string
	who      *person
	wish     offers.Wish
	id       offers.ID
	total    offers.Money
	coded    bool     // the code was made public
	echoes   []string // the buyer's own posts of the code
	mailed   bool     // the link was sent
	presses  int      // that may charge
	banks    []string // where the buyer was sent
	seen     offers.Purchase
	byHand   int  // how often it was charged by hand, at most
	answered bool // the bank had an answer

	takenBack bool // it was cancelled
}

// The shop of all histories. In all four currencies Stripe counts as ISO 4217 does.
var wares = []offers.Offer{
	{ID: "buytee", Tag: "BuyTee", Title: "Shirt", Seller: "Example", Price: offers.Money{Minor: 14999, Currency: "USD"}, WithdrawalDays: 14},
	{ID: "buyvinyl", Tag: "BuyVinyl", Title: "Vinyl", Seller: "Example", Price: offers.Money{Minor: 4501, Currency: "EUR"}, WithdrawalDays: 14},
	{ID: "buyfan", Tag: "BuyFan", Title: "Fan", Seller: "Example", Price: offers.Money{Minor: 1501, Currency: "JPY"}},
	{ID: "buyoud", Tag: "BuyOud", Title: "Oud", Seller: "Example", Price: offers.Money{Minor: 12340, Currency: "KWD"}},
}

const historyKeys = "code aaaaaaaaaaaaaaaaaaaaaaaaaa\n1 bbbbbbbbbbbbbbbbbbbbbbbbbb\n"

// newHistory begins one, at a counter that was used before: its templates are read. What
// Stripe tells is posted to address, where hook answers.
func newHistory(seed uint64, counter *confirm.Counter, address string) (*history, error) {
	h := &history{
		dice: rand.New(rand.NewPCG(seed, 0)), now: time.Date(2026, 5, 1, 20, 0, 0, 0, time.UTC),
		stock: map[string]int{}, events: map[string]int{}, count: map[string]int{},
	}
	h.st = &mortalStore{Store: store.NewMemory(), h: h}
	clock := func() time.Time { return h.now }
	log := slog.New(slog.DiscardHandler)
	var err error
	if h.stripe, err = stripetest.Start(stripetest.Options{Now: clock, WebhookRetry: time.Hour}); err != nil {
		return nil, err
	}
	h.stripe.AfterDeed(func(stripetest.Call) { h.deed = true })
	h.stripe.SetDelivery(stripetest.Delivery{Hold: true})
	h.stripe.SetWebhookURL(address + hook)
	links, codeKey, err := confirm.ParseKeys(historyKeys)
	if err != nil {
		return nil, err
	}
	times := offers.DefaultTimes
	if h.chance(4) {
		times.Grace = 30 * time.Second
	}
	if h.shop, err = offers.NewShop(h.st, offers.Settings{CodeKey: codeKey, Times: times, Log: log, Now: clock}); err != nil {
		return nil, err
	}
	h.till, err = stripe.New(stripe.Config{Rate: 100_000, EndpointRate: 100_000, APIURL: h.stripe.URL(), Key: h.stripe.Key(), Now: h.running, Log: log,
		HTTP: &http.Client{Transport: wire{h}}})
	if err != nil {
		return nil, err
	}
	counter.Config = confirm.Config{Shop: h.shop, Till: h.till, Mailer: post{h}, Links: links, PublicURL: "https://shop.example",
		Webhook: stripe.NewWebhook(h.till, []string{h.stripe.WebhookSecret()}), Now: clock, Log: log}
	counter.Register(h.shop)
	h.hook = counter.Handler()
	h.shop.On(offers.Reply, func(_ context.Context, j offers.Job) (offers.Event, error) {
		if w := h.wanted(j.Purchase.ID); w != nil {
			w.coded = true
		}
		return h.answers(offers.Event{Kind: offers.ReplySent, Post: "9"})
	})
	h.shop.On(offers.ReplyReason, func(context.Context, offers.Job) (offers.Event, error) {
		return h.answers(offers.Event{Kind: offers.EffectDone})
	})
	h.shop.On(offers.Thank, func(context.Context, offers.Job) (offers.Event, error) {
		return h.answers(offers.Event{Kind: offers.EffectDone})
	})
	all := slices.Clone(wares)
	for i := range all {
		h.stock[all[i].ID] = 1 + h.dice.IntN(4)
		all[i].Stock, all[i].PerBuyer = map[string]int{"": h.stock[all[i].ID]}, 3
	}
	if err := h.shop.Import(context.Background(), all, true); err != nil {
		return nil, err
	}
	for i := range 1 + h.dice.IntN(3) {
		if err := h.register(i); err != nil {
			return nil, err
		}
	}
	for i := range 1 + h.dice.IntN(4) {
		h.wish(i)
	}
	return h, nil
}

// running is a clock that moves on by itself: who waits for a moment by the till's clock
// would wait for ever by one that stands still.
func (h *history) running() time.Time {
	h.ticks++
	return h.now.Add(time.Duration(h.ticks) * 50 * time.Microsecond)
}

func (h *history) close() error { return errors.Join(h.stripe.Close(), h.st.Close()) }

// chance is true once in n times.
func (h *history) chance(n int) bool { return h.dice.IntN(n) == 0 }

func pick[T any](h *history, of []T) T { return of[h.dice.IntN(len(of))] }

// notes writes down what happens. Ids of Stripe's are left out: they are new at each run.
func (h *history) notes(format string, args ...any) {
	h.trace = append(h.trace, fmt.Sprintf("%s %s%s", h.now.Format("02 15:04:05"), strings.Repeat("  ", h.depth), fmt.Sprintf(format, args...)))
}

func (h *history) violated(format string, args ...any) {
	h.wrong = append(h.wrong, fmt.Sprintf(format, args...))
	h.notes("VIOLATION: "+format, args...)
}

func (h *history) register(i int) error {
	who := &person{account: offers.Account{Network: "x", ID: fmt.Sprint(1001 + i)}, customer: h.stripe.AddCustomer(fmt.Sprintf("b%d@example.com", i))}
	var cards []offers.Card
	for range 1 + h.dice.IntN(3) {
		card := testCards[h.dice.IntN(len(testCards))]
		if h.chance(2) {
			card = testCards[h.dice.IntN(2)*5] // one that pays, or one that asks and then pays
		}
		id, err := h.stripe.AddCard(who.customer, card.number)
		if err != nil {
			return err
		}
		who.cards = append(who.cards, id)
		cards = append(cards, offers.Card{ID: id, Brand: "visa", Last4: card.number[len(card.number)-4:]})
		h.notes("buyer %d has the card %q", i, card.name)
	}
	h.people = append(h.people, who)
	return h.shop.Register(context.Background(), offers.Buyer{Account: who.account, Handle: "b" + who.account.ID,
		Email: offers.Email(fmt.Sprintf("b%d@example.com", i)), Customer: who.customer, Cards: cards}, h.now)
}

// wish draws what somebody is going to want; it is heard later.
func (h *history) wish(i int) {
	who, ware := pick(h, h.people), pick(h, wares)
	w := &want{name: fmt.Sprintf("purchase %d", i), who: who, id: offers.NewID("x", fmt.Sprint(i), ware.ID)}
	w.wish = offers.Wish{Post: fmt.Sprint(i), Account: who.account, Handle: "b", Lang: "en", Offer: ware.ID, Quantity: 1 + h.dice.IntN(2)}
	w.total = offers.Money{Minor: ware.Price.Minor * int64(w.wish.Quantity), Currency: ware.Price.Currency}
	h.wants = append(h.wants, w)
	h.notes("%s will be %d of %s by account %s", w.name, w.wish.Quantity, ware.ID, who.account.ID)
}

func (h *history) wanted(id offers.ID) *want {
	i := slices.IndexFunc(h.wants, func(w *want) bool { return w.id == id })
	if i < 0 {
		return nil
	}
	return h.wants[i]
}

// errLost is what is heard of an answer that does not come.
var errLost = errors.New("no answer")

// answers is what the network says, or does not say.
func (h *history) answers(ev offers.Event) (offers.Event, error) {
	if !h.healed && h.chance(12) {
		return offers.Event{}, errLost
	}
	return ev, nil
}

// post is a mail server.
type post struct{ h *history }

func (p post) Send(_ context.Context, m confirm.Mail) error {
	h := p.h
	if id, ok := strings.CutPrefix(m.ID, string(offers.MailLink)+"/"); ok {
		id, _, _ = strings.Cut(id, "/")
		if w := h.wanted(offers.ID(id)); w != nil {
			w.mailed = true
		}
	}
	_, err := h.answers(offers.Event{})
	return err
}

// wire is the way to Stripe. It has no network, so that it is fast and always the same.
type wire struct{ h *history }

func (l wire) RoundTrip(r *http.Request) (*http.Response, error) {
	h := l.h
	what := r.Method + " " + plain(r.URL.Path)
	h.meanwhile()
	h.deed = false
	rec, cut := h.ask(r)
	deed := h.deed
	h.outside = h.outside || deed && r.Method == http.MethodPost
	side := "before"
	if deed {
		side = "after"
	}
	switch {
	case cut:
		h.happens("cut "+side, what)
	case rec.Code == http.StatusInternalServerError && rec.Header().Get("Idempotent-Replayed") == "":
		h.happens("500 "+side, what)
	case rec.Code == http.StatusServiceUnavailable, rec.Code == http.StatusConflict:
		h.happens(fmt.Sprint(rec.Code), what)
	case rec.Code == http.StatusTooManyRequests:
		h.happens("429", what)
	default:
		h.notes("stripe: %s: %d", what, rec.Code)
		if h.dropping && deed && r.Method == http.MethodPost {
			h.happens("webhook never", what)
		}
	}
	h.meanwhile()
	if cut {
		return nil, io.ErrUnexpectedEOF
	}
	res := rec.Result()
	res.Request = r
	if res.StatusCode == http.StatusTooManyRequests {
		res.Header.Set("Retry-After", "2") // longer than the budget waits by a real clock
	}
	return res, nil
}

// ask has stripetest answer a request.
func (h *history) ask(r *http.Request) (rec *httptest.ResponseRecorder, cut bool) {
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	rec = httptest.NewRecorder()
	defer func() {
		switch p := recover(); {
		case p == http.ErrAbortHandler:
			cut = true
		case p != nil:
			panic(p)
		}
	}()
	h.stripe.ServeHTTP(rec, in)
	return rec, false
}

// form has stripetest answer a form, as from a browser or the dashboard.
func (h *history) form(address string, v url.Values) (status int) {
	r, err := http.NewRequest(http.MethodPost, address, strings.NewReader(v.Encode()))
	if err != nil {
		h.violated("%v", err)
		return 0
	}
	r.SetBasicAuth(h.stripe.Key(), "")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec, cut := h.ask(r)
	if cut {
		return 0
	}
	return rec.Code
}

// happens counts something, and writes it down.
func (h *history) happens(kind, of string) {
	h.count[kind]++
	h.notes("%s: %s", kind, of)
}

// names are of Stripe's objects.
var names = regexp.MustCompile(`\b(evt|pi|pm|cus|ch|re|req)_[A-Za-z0-9]+`)

// unnamed is a text without the names that Stripe gives, which are never the same: events
// have the number under which they were first posted.
func (h *history) unnamed(s string) string {
	return names.ReplaceAllStringFunc(s, func(name string) string {
		kind, _, _ := strings.Cut(name, "_")
		if n := h.events[name]; n > 0 {
			return fmt.Sprintf("%s-%06d", kind, n)
		}
		return kind
	})
}

// plain is a text without any of them.
func plain(s string) string { return names.ReplaceAllString(s, "*") }

// ServeHTTP is the way from Stripe.
func (h *history) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var e struct {
		ID, Type string
		Created  int64
	}
	if err != nil || json.Unmarshal(body, &e) != nil {
		h.violated("Stripe posts %q, %v", body, err)
		return
	}
	switch {
	case h.events[e.ID] > 0:
		h.count["webhook twice"]++
	case e.Created < h.newest:
		h.count["webhook disordered"]++
	}
	if h.now.Unix()-e.Created > 600 {
		h.count["webhook late"]++
	}
	h.newest = max(h.newest, e.Created)
	if h.events[e.ID] == 0 {
		h.events[e.ID] = len(h.events) + 1
	}
	h.notes("webhook %d: %s of %s", h.events[e.ID], e.Type, h.now.Sub(time.Unix(e.Created, 0)))
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	h.hook.ServeHTTP(w, r)
}

// A mortalStore is the store of a process that may die at any commit. It sees all
// purchases go by.
type mortalStore struct {
	store.Store
	h *history
}

func (s *mortalStore) Commit(ctx context.Context, c store.Change) error {
	h := s.h
	dying := false
	if h.dies > 0 {
		h.dies--
		dying = h.dies == 0
	}
	if dying && !h.deaf {
		h.dead = true
		h.happens("died before a commit", "")
		if h.outside {
			h.count["died after the deed"]++
		}
		return errLost
	}
	err := s.Store.Commit(ctx, c)
	if err == nil {
		for _, p := range c.Put {
			if p.Value != nil && strings.HasPrefix(p.Key, "purchase/") {
				h.sees(p.Value)
			}
		}
	}
	if dying {
		h.dead = true
		h.happens("died after a commit", "")
		return errLost
	}
	return err
}

// sees holds each step of a purchase to what its buyer has done.
func (h *history) sees(value []byte) {
	var p offers.Purchase
	if err := json.Unmarshal(value, &p); err != nil {
		h.violated("%v", err)
		return
	}
	w := h.wanted(p.ID)
	if w == nil {
		h.violated("a purchase that nobody wants: %s", p.ID)
		return
	}
	before := w.seen
	w.seen = p
	if before.State != p.State {
		h.notes("%s is %s %s", w.name, p.State, p.Reason)
	}
	if p.Attempt != before.Attempt && h.pressing != w {
		h.violated("%s is to be charged, and nobody has pressed its button in time", w.name)
	}
	if p.Echo != "" && !slices.Contains(w.echoes, p.Echo) {
		h.violated("%s was echoed by a post that is not its buyer's", w.name)
	}
	if !p.PaidAt.IsZero() && before.PaidAt.IsZero() && before.Held == 0 {
		h.violated("%s was paid when its units had been given back", w.name)
	}
	if before.Intent != "" && p.Intent != before.Intent {
		h.violated("%s has another payment than before", w.name)
	}
	if p.State == offers.Declined && before.State != p.State {
		if h.taken(p.Intent) {
			h.violated("%s is declined, and Stripe has taken the money", w.name)
		}
		if !h.tried(p) {
			h.violated("%s is declined, and this charge was not tried", w.name)
		}
	}
	w.takenBack = w.takenBack || p.State == offers.Cancelled
	if p.BankURL != "" && !slices.Contains(w.banks, p.BankURL) {
		w.banks = append(w.banks, p.BankURL)
	}
}

// taken says whether Stripe has taken the money of a payment.
func (h *history) taken(intent string) bool {
	return slices.ContainsFunc(h.stripe.Charges(), func(c stripetest.Charge) bool { return c.Intent == intent })
}

// tried says whether Stripe was asked for the last charge of a purchase.
func (h *history) tried(p offers.Purchase) bool {
	key := fmt.Sprintf("confirm:%s:%d", p.ID, p.Attempt)
	return slices.ContainsFunc(h.stripe.Calls(), func(c stripetest.Call) bool {
		sent, _, _ := strings.Cut(c.IdempotencyKey, "+")
		return sent == key
	})
}

// byName orders leases so that a history is always the same.
func (h *history) byName(a, b store.Lease) int {
	return cmp.Or(cmp.Compare(h.unnamed(a.ID), h.unnamed(b.ID)), cmp.Compare(a.Due.UnixMilli(), b.Due.UnixMilli()))
}
