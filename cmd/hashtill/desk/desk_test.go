package desk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"hashtill/confirm"
	"hashtill/offers"
	"hashtill/store"
)

var t0 = time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)

// Who signs in at the desk of a world. Rita, Carl and Vera work for "records", Hans for
// "hats"; Olga runs the whole, and Otto looks at the whole.
const (
	rita = offers.Email("rita@records.example") // owner
	carl = offers.Email("carl@records.example") // clerk
	vera = offers.Email("vera@records.example") // viewer
	hans = offers.Email("hans@hats.example")    // owner
	olga = offers.Email("olga@example.com")     // owner of the whole
	otto = offers.Email("otto@example.com")     // viewer of the whole
)

// A world is a desk over a shop on a memory store, with an outside that does all it is
// asked. There are two merchants, "records" with #BuyTee (S, M) and "hats" with #BuyHat
// (a single kind, with a waiting list), and the operator's #BuyPin.
type world struct {
	t    *testing.T
	desk *Desk
	shop *offers.Shop
	st   store.Store
	http http.Handler

	mu        sync.Mutex
	now       time.Time
	mails     []confirm.Mail
	failMail  error
	announced []string // offers
	followed  int
	states    []State
	posts     int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, st: store.NewMemory(), now: t0, states: []State{{"Mail", true, "works"}}}
	var err error
	w.shop, err = offers.NewShop(w.st, offers.Settings{
		CodeKey: []byte("0123456789abcdef"), Times: offers.DefaultTimes, Log: slog.New(slog.DiscardHandler), Now: w.clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	for kind, ev := range map[offers.EffectKind]offers.Event{
		offers.Reply: {Kind: offers.ReplySent, Post: "reply"}, offers.MailCode: {Kind: offers.CodeMailed},
		offers.Prepare: {Kind: offers.IntentMade, Intent: "pi_1"}, offers.MailLink: {Kind: offers.LinkMailed},
		offers.Charge: {Kind: offers.Charged}, offers.Look: {Kind: offers.Charged}, offers.Void: {Kind: offers.IntentVoided},
		offers.Refunding: {Kind: offers.RefundMade}, offers.MailReceipt: {Kind: offers.EffectDone}, offers.MailReason: {Kind: offers.EffectDone},
		offers.ReplyReason: {Kind: offers.EffectDone}, offers.Thank: {Kind: offers.EffectDone}, offers.MailRefund: {Kind: offers.EffectDone},
		offers.MailShipped: {Kind: offers.EffectDone}, offers.MailWithdrawal: {Kind: offers.EffectDone}, offers.TellMerchant: {Kind: offers.EffectDone},
	} {
		w.shop.On(kind, func(_ context.Context, j offers.Job) (offers.Event, error) {
			ev := ev
			switch kind {
			case offers.Prepare:
				ev.Card = j.Buyer.Cards[0]
			case offers.Refunding:
				ev.N = j.Effect.N
			}
			return ev, nil
		})
	}
	w.shop.OnAnswer(func(context.Context, offers.Answer, bool) error { return nil })

	ctx := t.Context()
	for id, name := range map[string]string{"records": "Example Records", "hats": "Example Hats"} {
		if _, err := w.shop.EditMerchant(ctx, id, func(m *offers.Merchant) error { m.Name = name; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	tee := offers.Offer{ID: "buytee", Tag: "BuyTee", Title: "Tour T-shirt", Seller: "Example Records", Price: offers.Money{Minor: 2999, Currency: "USD"},
		Stock: map[string]int{"S": 10, "M": 20}, PerBuyer: 2, WithdrawalDays: 14, Merchant: "records"}
	hat := offers.Offer{ID: "buyhat", Tag: "BuyHat", Title: "Straw hat", Seller: "Example Hats", Price: offers.Money{Minor: 4500, Currency: "EUR"},
		Stock: map[string]int{"": 1}, PerBuyer: 1, WithdrawalDays: 14, Waitlist: true, Merchant: "hats"}
	pin := offers.Offer{ID: "buypin", Tag: "BuyPin", Title: "Pin", Seller: "Example Operator", Price: offers.Money{Minor: 500, Currency: "USD"},
		Stock: map[string]int{"": 100}, PerBuyer: 5, WithdrawalDays: 14}
	if err := w.shop.Import(ctx, []offers.Offer{tee, hat, pin}, true); err != nil {
		t.Fatal(err)
	}
	for who, roles := range map[offers.Email]map[string]offers.Role{
		rita: {"records": offers.Owner}, carl: {"records": offers.Clerk}, vera: {"records": offers.Viewer},
		hans: {"hats": offers.Owner}, olga: {offers.Operator: offers.Owner}, otto: {offers.Operator: offers.Viewer},
	} {
		if _, err := w.shop.EditPerson(ctx, who, func(p *offers.Person) error { p.Roles = roles; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	w.desk, err = New(Config{
		Shop: w.shop, Mailer: w, URL: "https://desk.example.com", Pages: "https://pay.example.com", Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: w.clock,
		Followed: func() { w.followed++ },
		Announce: func(_ context.Context, o offers.Offer) error { w.announced = append(w.announced, o.ID); return nil },
		States:   func(context.Context) []State { return w.states },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.http = w.desk.Handler()
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// passes lets time pass.
func (w *world) passes(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// Send implements [confirm.Mailer].
func (w *world) Send(_ context.Context, m confirm.Mail) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failMail == nil {
		w.mails = append(w.mails, m)
	}
	return w.failMail
}

// settle performs all that is due, until nothing is.
func (w *world) settle() {
	w.t.Helper()
	for range 100 {
		leases, err := w.st.Lease(w.t.Context(), w.clock(), w.clock().Add(time.Minute), 100)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(leases) == 0 {
			return
		}
		for _, l := range leases {
			if err := w.shop.Perform(w.t.Context(), l); err != nil {
				w.t.Fatalf("perform %s: %v", l.ID, err)
			}
		}
	}
	w.t.Fatal("effects without end")
}

// wish has buyer n ask for an offer, with more words such as a variant.
func (w *world) wish(n int, tag string, words ...string) offers.Purchase {
	w.t.Helper()
	ctx, a := w.t.Context(), offers.Account{Network: "x", ID: fmt.Sprint(1000 + n)}
	if b, err := w.shop.Buyer(ctx, a); err != nil || !b.Known() {
		err := w.shop.Register(ctx, offers.Buyer{Account: a, Handle: fmt.Sprintf("buyer%d", n), Email: offers.Email(fmt.Sprintf("b%d@example.com", n)),
			Address: fmt.Sprintf("Buyer %d\n%d Long Street", n, n), Customer: "cus_1", Cards: []offers.Card{{ID: "pm_1"}}}, w.clock())
		if err != nil {
			w.t.Fatal(err)
		}
	}
	w.posts++
	p, err := w.shop.Wish(ctx, offers.Wish{Post: fmt.Sprint(w.posts), Account: a, Handle: fmt.Sprintf("buyer%d", n), Lang: "en",
		Offer: offers.TagKey(tag), Words: words}, w.clock())
	if err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	return w.purchase(p.ID)
}

// mailed has buyer n wish and echo, and be sent the link.
func (w *world) mailed(n int, tag string, words ...string) offers.Purchase {
	w.t.Helper()
	p := w.wish(n, tag, words...)
	if _, err := w.shop.Echo(w.t.Context(), p.Code, p.Buyer, "echo", w.clock()); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	return w.purchase(p.ID)
}

// paid has buyer n buy.
func (w *world) paid(n int, tag string, words ...string) offers.Purchase {
	w.t.Helper()
	p := w.mailed(n, tag, words...)
	if _, err := w.shop.Press(w.t.Context(), p.ID, p.Round, "", w.clock()); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	if p = w.purchase(p.ID); p.State != offers.Paid {
		w.t.Fatalf("purchase is %s (%s), not paid", p.State, p.Reason)
	}
	return p
}

func (w *world) purchase(id offers.ID) offers.Purchase {
	w.t.Helper()
	p, err := w.shop.Purchase(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// A browser is somebody at the desk.
type browser struct {
	*world
	email offers.Email
	token string // of the session; "": signed out
	csrf  string
	ip    string
}

// nobody is a browser in which nobody has signed in.
func (w *world) nobody() *browser { return &browser{world: w, ip: "192.0.2.1:1234"} }

// as signs somebody in.
func (w *world) as(e offers.Email) *browser {
	w.t.Helper()
	link, err := w.shop.AskShift(w.t.Context(), e, w.clock())
	if err != nil {
		w.t.Fatal(err)
	}
	b := &browser{world: w, email: e, ip: "192.0.2.1:1234"}
	if b.token, err = w.shop.BeginShift(w.t.Context(), link, w.clock()); err != nil {
		w.t.Fatal(err)
	}
	sh, err := w.shop.Shift(w.t.Context(), b.token, w.clock())
	if err != nil {
		w.t.Fatal(err)
	}
	b.csrf = sh.CSRF
	return b
}

// withFactor has the browser's person have a second factor, and give it now.
func (b *browser) withFactor() *browser {
	b.t.Helper()
	if _, err := b.shop.EditPerson(b.t.Context(), b.email, func(p *offers.Person) error {
		key, err := totp.Generate(totp.GenerateOpts{Issuer: "Hashtill", AccountName: string(b.email)})
		p.Factor = key.Secret()
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	if err := b.shop.FactorShift(b.t.Context(), b.token, b.clock()); err != nil {
		b.t.Fatal(err)
	}
	return b
}

// An answer is what the desk answered.
type answer struct {
	*httptest.ResponseRecorder
	t    *testing.T
	body string
}

func (b *browser) do(r *http.Request) *answer {
	b.t.Helper()
	r.RemoteAddr = b.ip
	if b.token != "" {
		r.AddCookie(&http.Cookie{Name: b.desk.cookieName(), Value: b.token})
	}
	rec := httptest.NewRecorder()
	b.http.ServeHTTP(rec, r)
	body, err := io.ReadAll(rec.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return &answer{rec, b.t, string(body)}
}

func (b *browser) get(path string) *answer {
	b.t.Helper()
	return b.do(httptest.NewRequestWithContext(b.t.Context(), "GET", "https://desk.example.com"+path, nil))
}

// post sends a form with the session's token.
func (b *browser) post(path string, form url.Values) *answer {
	b.t.Helper()
	sent := url.Values{"csrf": {b.csrf}}
	for key, values := range form {
		sent[key] = values
	}
	r := httptest.NewRequestWithContext(b.t.Context(), "POST", "https://desk.example.com"+path, strings.NewReader(sent.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(r)
}

// is wants a status.
func (a *answer) is(code int) *answer {
	a.t.Helper()
	if a.Code != code {
		a.t.Fatalf("the answer is %d, not %d; it leads to %q:\n%s", a.Code, code, a.Header().Get("Location"), a.text())
	}
	return a
}

// leads wants to be led on.
func (a *answer) leads(path string) *answer {
	a.t.Helper()
	if got := a.Header().Get("Location"); got != path {
		a.t.Fatalf("the answer is %d and leads to %q, not %q:\n%s", a.Code, got, path, a.text())
	}
	return a
}

// says wants texts on the page.
func (a *answer) says(texts ...string) *answer {
	a.t.Helper()
	for _, text := range texts {
		if !strings.Contains(a.text(), text) {
			a.t.Errorf("it does not say %q:\n%s", text, a.text())
		}
	}
	return a
}

// saysNot wants texts not to be on the page, nor anywhere in it.
func (a *answer) saysNot(texts ...string) *answer {
	a.t.Helper()
	for _, text := range texts {
		if strings.Contains(a.body, text) {
			a.t.Errorf("it says %q:\n%s", text, a.text())
		}
	}
	return a
}

var (
	tags     = regexp.MustCompile(`<[^>]*>`)
	space    = regexp.MustCompile(`\s+`)
	unescape = strings.NewReplacer("&#39;", "'", "&#34;", `"`, "&amp;", "&", "&lt;", "<", "&gt;", ">", "&#43;", "+")
)

// text is a page without its tags.
func (a *answer) text() string {
	return strings.TrimSpace(unescape.Replace(space.ReplaceAllString(tags.ReplaceAllString(a.body, " "), " ")))
}

// code is what the person's second factor shows now.
func (b *browser) code() string {
	b.t.Helper()
	p, err := b.shop.Person(b.t.Context(), b.email)
	if err == nil && p.Factor == "" {
		err = errors.New("they have no second factor")
	}
	if err != nil {
		b.t.Fatal(err)
	}
	code, err := totp.GenerateCode(p.Factor, b.clock())
	if err != nil {
		b.t.Fatal(err)
	}
	return code
}
