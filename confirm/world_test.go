package confirm

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hashtill/offers"
	"hashtill/store"
)

var update = flag.Bool("update", false, "write golden files anew")

// The world of the tests is always the same, so that golden files can be compared
// to the byte.
const (
	testKeys  = "code aaaaaaaaaaaaaaaaaaaaaaaaaa\n1 bbbbbbbbbbbbbbbbbbbbbbbbbb\n"
	publicURL = "https://shop.example"
)

var t0 = time.Date(2026, 5, 1, 20, 0, 0, 0, time.UTC)

// A world is a counter in front of a real shop on a memory store, with a till and a
// mailer that do as they are told.
type world struct {
	*Counter
	t       testing.TB
	st      *store.Memory
	shop    *offers.Shop
	till    *fakeTill
	mailer  *fakeMailer
	handler http.Handler
	logged  *bytes.Buffer

	mu   sync.Mutex // one settle at a time
	now  time.Time
	idle bool // leaves what is owed undone, as if the outbox were slow
}

// prompt is a shop whose outbox does what is owed before the caller has turned
// around.
type prompt struct {
	*offers.Shop
	w *world
}

func (p prompt) Press(ctx context.Context, id offers.ID, round int, card string, now time.Time) (offers.Purchase, error) {
	defer p.w.settle()
	return p.Shop.Press(ctx, id, round, card, now)
}

func (p prompt) BackFromBank(ctx context.Context, id offers.ID, now time.Time) (offers.Purchase, error) {
	defer p.w.settle()
	return p.Shop.BackFromBank(ctx, id, now)
}

func (p prompt) Cancel(ctx context.Context, id offers.ID, by offers.Account, now time.Time) (offers.Purchase, error) {
	defer p.w.settle()
	return p.Shop.Cancel(ctx, id, by, now)
}

func (p prompt) LeaveLine(ctx context.Context, id offers.ID, by offers.Account, now time.Time) (offers.Purchase, error) {
	defer p.w.settle()
	return p.Shop.LeaveLine(ctx, id, by, now)
}

func (p prompt) Withdraw(ctx context.Context, id offers.ID, by offers.Account, now time.Time) (offers.Purchase, error) {
	defer p.w.settle()
	return p.Shop.Withdraw(ctx, id, by, now)
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, st: store.NewMemory(), till: &fakeTill{}, mailer: &fakeMailer{}, now: t0, logged: &bytes.Buffer{}}
	now := func() time.Time { return w.now }
	links, codeKey := newLinks(t, testKeys)
	var err error
	w.shop, err = offers.NewShop(w.st, offers.Settings{CodeKey: codeKey, Times: offers.DefaultTimes, Log: slog.New(slog.DiscardHandler), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	w.Counter, err = New(Config{
		Shop: prompt{w.shop, w}, Till: w.till, Mailer: w.mailer, Links: links, PublicURL: publicURL + "/", Now: now,
		SignIn: &fakeNetwork{}, Wallet: &fakeWallet{result: map[string]SavingResult{}},
		Log: slog.New(slog.NewTextHandler(w.logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Register(w.shop)
	for kind, ev := range map[offers.EffectKind]offers.EventKind{
		offers.Reply: offers.ReplySent, offers.ReplyReason: offers.EffectDone, offers.Thank: offers.EffectDone,
	} {
		w.shop.On(kind, func(context.Context, offers.Job) (offers.Event, error) { return offers.Event{Kind: ev, Post: "9"}, nil })
	}
	w.handler = w.Handler()
	err = w.shop.Import(t.Context(), []offers.Offer{
		{ID: "buytee", Tag: "BuyTee", Title: "Tour T-shirt “Nuit blanche”", Seller: "Example Records",
			SellerAddress: "12 rue des Lilas\n69003 Lyon\nFrance", SellerTaxNumber: "FR40123456824", Tax: 20000, WithdrawalDays: 14,
			Price: offers.Money{Minor: 14999, Currency: "USD"}, Stock: map[string]int{"S black": 5, "M black": 5}, PerBuyer: 3,
			Terms: "Ships within 3 days. 14 days to return."},
		{ID: "buyvinyl", Tag: "BuyVinyl", Title: "Signed vinyl", Seller: "Example Records, 12 rue des Lilas, Lyon",
			Price: offers.Money{Minor: 4500, Currency: "EUR"}, Stock: map[string]int{"": 3}, PerBuyer: 1, Picture: "https://pictures.example/vinyl.jpg"},
		{ID: "lastyear", Tag: "LastYear", Title: "Sold last year", Seller: "Example Records",
			Price: offers.Money{Minor: 100, Currency: "EUR"}, Stock: map[string]int{"": 3}, PerBuyer: 1, Closes: t0.Add(-time.Hour)},
	}, true)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

var ann = offers.Account{Network: "x", ID: "1001"}

// register makes ann a buyer who reads a language.
func (w *world) register(lang string) {
	w.t.Helper()
	err := w.shop.Register(context.Background(), offers.Buyer{
		Account: ann, Handle: "ann", Email: "ann@example.com", Lang: lang, Customer: "cus_ann",
		Cards:   []offers.Card{{ID: "pm_ann", Brand: "visa", Last4: "4242"}, {ID: "pm_other", Brand: "amex", Last4: "0005"}},
		Address: "Ann Example\n1 Long Street\nSpringfield",
	}, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	w.settle()
}

// limit sets what ann may spend.
func (w *world) limit(l offers.Limits) {
	w.t.Helper()
	if err := w.shop.SetLimits(context.Background(), ann, l, w.now); err != nil {
		w.t.Fatal(err)
	}
}

// coded brings a wish of ann's until its code is public.
func (w *world) coded() offers.Purchase {
	w.t.Helper()
	p, err := w.shop.Wish(context.Background(), offers.Wish{Post: "501", Account: ann, Handle: "ann", Lang: "en", Offer: "buytee", Quantity: 2, Words: []string{"m", "black"}}, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	return w.purchase(p.ID)
}

// echoed has ann repost the code too, and does what is owed then.
func (w *world) echoed() offers.Purchase {
	w.t.Helper()
	p := w.coded()
	if _, err := w.shop.Echo(context.Background(), p.Code, ann, "502", w.now); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	return w.purchase(p.ID)
}

// mailed brings a wish of ann's until its link is with her, and returns its token.
func (w *world) mailed() (offers.Purchase, string) {
	w.t.Helper()
	p := w.is(w.echoed().ID, offers.Mailed)
	return p, w.Links.Sign(p.ID, p.Round)
}

func (w *world) purchase(id offers.ID) offers.Purchase {
	w.t.Helper()
	p, err := w.shop.Purchase(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) is(id offers.ID, want offers.State) offers.Purchase {
	w.t.Helper()
	p := w.purchase(id)
	if p.State != want {
		w.t.Fatalf("purchase is %s (%s), want %s", p.State, p.Reason, want)
	}
	return p
}

// settle performs all that is due now, until nothing is. What fails is due again in
// a minute.
func (w *world) settle() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.idle {
		return
	}
	for range 100 {
		leases, err := w.st.Lease(context.Background(), w.now, w.now.Add(time.Minute), 100)
		if errors.Is(err, store.ErrClosed) || err == nil && len(leases) == 0 {
			return
		}
		if err != nil {
			w.t.Fatal(err)
		}
		for _, l := range leases {
			if err := w.shop.Perform(context.Background(), l); err != nil {
				w.t.Logf("%s is still owed: %v", l.ID, err)
			}
		}
	}
	w.t.Fatal("effects without end")
}

// everything is all that the store holds, to compare.
func (w *world) everything() string {
	w.t.Helper()
	var all []string
	for shard := range store.Shards {
		for cursor := ""; ; {
			recs, next, err := w.st.Scan(context.Background(), shard, "", cursor, 1000)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, r := range recs {
				all = append(all, fmt.Sprintf("%s %d %s", r.Key, r.Version, r.Value))
			}
			if cursor = next; next == "" {
				break
			}
		}
		for cursor := ""; ; {
			owed, next, err := w.st.Owed(context.Background(), shard, cursor, 1000)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, o := range owed {
				all = append(all, fmt.Sprintf("owed %s %v %d", o.ID, o.Due, o.Try))
			}
			if cursor = next; next == "" {
				break
			}
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// ask sends a request as a browser does that stands on our own page.
func (w *world) ask(method, path string, header ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequest(method, publicURL+path, nil)
	if method == http.MethodPost {
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec
}

// post presses a button and follows to the page behind it.
func (w *world) post(path string) *httptest.ResponseRecorder {
	w.t.Helper()
	rec := w.ask(http.MethodPost, path)
	if rec.Code == http.StatusSeeOther {
		return w.ask(http.MethodGet, rec.Header().Get("Location"))
	}
	return rec
}

// choose presses the button with a card chosen, and follows.
func (w *world) choose(path, card string) *httptest.ResponseRecorder {
	w.t.Helper()
	rec := w.send(path, url.Values{"card": {card}}.Encode())
	if rec.Code == http.StatusSeeOther {
		return w.ask(http.MethodGet, rec.Header().Get("Location"))
	}
	return rec
}

// send posts a form's content.
func (w *world) send(path, form string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, publicURL+path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec
}

// owns gives ann these cards.
func (w *world) owns(cards ...offers.Card) {
	w.t.Helper()
	b, err := w.shop.Buyer(context.Background(), ann)
	if err != nil {
		w.t.Fatal(err)
	}
	b.Cards = cards
	if err := w.shop.Register(context.Background(), b, w.now); err != nil {
		w.t.Fatal(err)
	}
}

// anew is what differs from one page to the next, or with each edit of the style.
var anew = regexp.MustCompile(`((?:style\.css|page\.js)\?)[0-9a-f]{12}|(name="nonce" value=")[A-Z2-7]{26}`)

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = anew.ReplaceAllString(got, "${1}${2}ANEW")
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test ./confirm -update writes it", err)
	}
	if got != string(want) {
		t.Errorf("%s is not what it was; go test ./confirm -update writes it anew:\n%s", path, got)
	}
}

// A fakeTill keeps one payment as Stripe does, and answers as it is told.
type fakeTill struct {
	mu       sync.Mutex
	prepared []Payment
	refunds  []Refund
	calls    []string // what was called, with intent and key
	returns  string   // the last address that the bank was told
	status   Standing // of the payment
	next     Standing // what a confirmation makes of it; zero: Taken
	fail     error    // answers everything
}

func (f *fakeTill) Prepare(_ context.Context, p Payment) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return "", f.fail
	}
	f.prepared = append(f.prepared, p)
	f.status = Standing{Status: Open}
	return "pi_ann", nil
}

func (f *fakeTill) Confirm(_ context.Context, intent, card, key, returnURL string) (Standing, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, strings.Join([]string{"confirm", intent, card, key}, " "))
	f.returns = returnURL
	if f.fail == nil {
		f.status = f.next
		if f.next.Status == "" {
			f.status = Standing{Status: Taken}
		}
	}
	return f.status, f.fail
}

func (f *fakeTill) Look(_ context.Context, intent string) (Standing, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status, f.fail
}

func (f *fakeTill) Void(_ context.Context, intent, key string) (Standing, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, strings.Join([]string{"void", intent, key}, " "))
	if f.fail == nil && f.status.Status != Taken {
		f.status = Standing{Status: Voided}
	}
	return f.status, f.fail
}

func (f *fakeTill) Refund(_ context.Context, r Refund) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, strings.Join([]string{"refund", r.Intent, r.Key}, " "))
	if f.fail == nil {
		f.refunds = append(f.refunds, r)
	}
	return f.fail
}

// A fakeMailer keeps what it is given.
type fakeMailer struct {
	mu    sync.Mutex
	mails []Mail
	fail  error
}

func (f *fakeMailer) Send(_ context.Context, m Mail) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return f.fail
	}
	f.mails = append(f.mails, m)
	return nil
}

// last is the newest mail.
func (f *fakeMailer) last() Mail {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.mails) == 0 {
		return Mail{}
	}
	return f.mails[len(f.mails)-1]
}

var errSilence = errors.New("no answer")
