package confirm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76/webhook"

	"hashtill/confirm"
	"hashtill/confirm/stripe"
	"hashtill/confirm/stripe/stripetest"
	"hashtill/offers"
	"hashtill/store"
)

const (
	visa     = "4242424242424242"
	asks     = "4000002760003184" // the bank always asks
	declines = "4000000000000002"
	hook     = "/stripe/webhook"
)

var ann = offers.Account{Network: "x", ID: "1001"}

// A counter is a real shop, a real till and the real pages, between a stand-in for
// Stripe that posts to them and a mailer that takes everything.
type counter struct {
	t      *testing.T
	st     *store.Memory
	shop   *offers.Shop
	till   *stripe.Till
	stripe *stripetest.Server
	pages  *httptest.Server
	logged *lines

	mu  sync.Mutex
	now time.Time
}

// lines is a log to look at.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type anyMail struct{}

func (anyMail) Send(context.Context, confirm.Mail) error { return nil }

// open opens a counter where ann pays with a card. What Stripe posts is held back.
func open(t *testing.T, card string) *counter {
	t.Helper()
	c := &counter{t: t, st: store.NewMemory(), logged: &lines{}, now: time.Date(2026, 5, 1, 20, 0, 0, 0, time.UTC)}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	c.stripe, err = stripetest.Start(stripetest.Options{Now: c.clock, WebhookRetry: time.Hour})
	must(err)
	t.Cleanup(func() { _ = c.stripe.Close() })
	log := slog.New(slog.NewTextHandler(c.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	links, codeKey, err := confirm.ParseKeys(confirm.NewKeys())
	must(err)
	c.shop, err = offers.NewShop(c.st, offers.Settings{CodeKey: codeKey, Times: offers.DefaultTimes, Log: log, Now: c.clock})
	must(err)
	c.till, err = stripe.New(stripe.Config{Rate: 10_000, EndpointRate: 10_000, APIURL: c.stripe.URL(), Key: c.stripe.Key(), Now: c.clock, Log: log})
	must(err)
	counter, err := confirm.New(confirm.Config{Shop: c.shop, Till: c.till, Mailer: anyMail{}, Links: links, PublicURL: "https://shop.example",
		Webhook: stripe.NewWebhook(c.till, []string{"whsec_new", c.stripe.WebhookSecret()}), Now: c.clock, Log: log})
	must(err)
	counter.Register(c.shop)
	for kind, ev := range map[offers.EffectKind]offers.EventKind{
		offers.Reply: offers.ReplySent, offers.ReplyReason: offers.EffectDone, offers.Thank: offers.EffectDone,
	} {
		c.shop.On(kind, func(context.Context, offers.Job) (offers.Event, error) { return offers.Event{Kind: ev, Post: "9"}, nil })
	}
	must(c.shop.Import(t.Context(), []offers.Offer{{ID: "buytee", Tag: "BuyTee", Title: "Tour T-shirt", Seller: "Example Records",
		Price: offers.Money{Minor: 14999, Currency: "USD"}, Stock: map[string]int{"": 9}, PerBuyer: 9}}, true))
	customer := c.stripe.AddCustomer("ann@example.com")
	pm, err := c.stripe.AddCard(customer, card)
	must(err)
	must(c.shop.Register(t.Context(), offers.Buyer{Account: ann, Handle: "ann", Email: "ann@example.com", Customer: customer,
		Cards: []offers.Card{{ID: pm, Brand: "visa", Last4: card[12:]}}}, c.clock()))
	c.pages = httptest.NewServer(counter.Handler())
	t.Cleanup(c.pages.Close)
	c.stripe.SetDelivery(stripetest.Delivery{Hold: true})
	c.stripe.SetWebhookURL(c.pages.URL + hook)
	return c
}

func (c *counter) clock() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *counter) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// settle performs all that is due. What fails is due again in a minute.
func (c *counter) settle() {
	c.t.Helper()
	for range 100 {
		leases, err := c.st.Lease(c.t.Context(), c.clock(), c.clock().Add(time.Minute), 100)
		if err != nil {
			c.t.Fatal(err)
		}
		if len(leases) == 0 {
			return
		}
		for _, l := range leases {
			if err := c.shop.Perform(c.t.Context(), l); err != nil {
				c.t.Logf("%s is still owed: %v", l.ID, err)
			}
		}
	}
	c.t.Fatal("effects without end")
}

// mailed brings a wish of ann's until its link is with her.
func (c *counter) mailed(post string) offers.Purchase {
	c.t.Helper()
	p, err := c.shop.Wish(c.t.Context(), offers.Wish{Post: post, Account: ann, Handle: "ann", Lang: "en", Offer: "buytee"}, c.clock())
	if err != nil {
		c.t.Fatal(err)
	}
	c.settle()
	if _, err := c.shop.Echo(c.t.Context(), p.Code, ann, post+"1", c.clock()); err != nil {
		c.t.Fatal(err)
	}
	c.settle()
	return c.is(p.ID, offers.Mailed)
}

func (c *counter) press(p offers.Purchase) {
	c.t.Helper()
	if _, err := c.shop.Press(c.t.Context(), p.ID, p.Round, "", c.clock()); err != nil {
		c.t.Fatal(err)
	}
	c.settle()
}

func (c *counter) is(id offers.ID, want offers.State) offers.Purchase {
	c.t.Helper()
	p, err := c.shop.Purchase(c.t.Context(), id)
	if err != nil || p.State != want {
		c.t.Fatalf("purchase is %s (%s), %v; want %s", p.State, p.Reason, err, want)
	}
	return p
}

// deliver has Stripe post all that it holds back.
func (c *counter) deliver() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	if err := c.stripe.Flush(ctx); err != nil {
		c.t.Fatal(err)
	}
}

// tells has Stripe post what it holds back, and does what is owed then.
func (c *counter) tells() {
	c.t.Helper()
	c.deliver()
	c.settle()
}

// silence: Stripe does what it is asked to confirm, and nothing of it is heard.
func (c *counter) silence() {
	c.stripe.Fail(stripetest.Fault{Path: "/v1/payment_intents/*/confirm", When: stripetest.After, Drop: true, Times: -1})
	c.stripe.Fail(stripetest.Fault{Method: http.MethodGet, Drop: true, Times: -1})
}

// bank answers the bank's question.
func (c *counter) bank(p offers.Purchase, answer string) {
	c.t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.PostForm(p.BankURL, url.Values{"answer": {answer}})
	if err != nil {
		c.t.Fatal(err)
	}
	resp.Body.Close()
}

// charges holds what was taken and what is left of it to Stripe's ledger.
func (c *counter) charges(times int, left int64) {
	c.t.Helper()
	n, sum := 0, int64(0)
	for _, ch := range c.stripe.Charges() {
		n++
		sum += ch.Amount - ch.Refunded
	}
	if n != times || sum != left {
		c.t.Errorf("%d charges with %d left, want %d with %d", n, sum, times, left)
	}
}

// asked is how often Stripe was asked about a payment.
func (c *counter) asked() (n int) {
	for _, call := range c.stripe.Calls() {
		if call.Method == http.MethodGet && strings.HasPrefix(call.Path, "/v1/payment_intents/") {
			n++
		}
	}
	return n
}

// kept are the keys of all records and effects that begin with one of the prefixes.
func (c *counter) kept(prefixes ...string) []string {
	c.t.Helper()
	var keys []string
	add := func(key string) {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(key, p) }) {
			keys = append(keys, key)
		}
	}
	for shard := range store.Shards {
		recs, _, err := c.st.Scan(c.t.Context(), shard, "", "", 1000)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, r := range recs {
			add(r.Key)
		}
		owed, _, err := c.st.Owed(c.t.Context(), shard, "", 1000)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, o := range owed {
			add(o.ID)
		}
	}
	slices.Sort(keys)
	return keys
}

func (c *counter) keeps(n int, prefix string) {
	c.t.Helper()
	if got := c.kept(prefix); len(got) != n {
		c.t.Errorf("%d of %s, want %d: %v", len(got), prefix, n, got)
	}
}

// event is the body of an event in the account's own version of the API.
func event(id, kind string, object map[string]any) []byte {
	body, err := json.Marshal(map[string]any{"id": id, "object": "event", "type": kind, "api_version": stripetest.APIVersion,
		"created": 1777665600, "data": map[string]any{"object": object}, "request": nil})
	if err != nil {
		panic(err)
	}
	return body
}

// paid is an event that says that a purchase's payment succeeded.
func paid(id string, p offers.Purchase) []byte {
	return event(id, "payment_intent.succeeded", map[string]any{"id": p.Intent, "metadata": map[string]string{"purchase": string(p.ID)}})
}

func sign(body []byte, secret string, at time.Time) string {
	return webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: secret, Timestamp: at}).Header
}

// post posts a body as signed, and returns the status of the answer.
func (c *counter) post(body []byte, signature string, header ...string) int {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.pages.URL+hook, bytes.NewReader(body))
	if err != nil {
		c.t.Error(err)
		return 0
	}
	r.Header.Set("Stripe-Signature", signature)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Error(err)
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// takes posts a body that Stripe has signed now, and wants a status.
func (c *counter) takes(want int, body []byte) {
	c.t.Helper()
	if got := c.post(body, sign(body, c.stripe.WebhookSecret(), c.clock())); got != want {
		c.t.Errorf("answered %d, want %d", got, want)
	}
}
