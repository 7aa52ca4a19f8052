package confirm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/offers"
)

// A fakeNetwork signs people in who bring the code "ann" and nobody else.
type fakeNetwork struct {
	begun int
	err   error
}

func (*fakeNetwork) Network() string { return "x" }

func (f *fakeNetwork) Begin(_ context.Context, back string) (to, keep string, err error) {
	f.begun++
	return "https://network.example/authorize?back=" + url.QueryEscape(back), fmt.Sprint("kept-", f.begun), f.err
}

func (f *fakeNetwork) Finish(_ context.Context, back, keep string, query url.Values) (Person, error) {
	if f.err != nil {
		return Person{}, f.err
	}
	if query.Get("code") != "ann" || keep != fmt.Sprint("kept-", f.begun) || back != publicURL+"/join/x" {
		return Person{}, &RefusedError{Why: "nobody"}
	}
	return Person{Account: ann, Handle: "ann", Email: "ann@example.com"}, nil
}

// A fakeWallet keeps cards as it is told.
type fakeWallet struct {
	calls  []string
	result map[string]SavingResult
	err    error
	refuse bool
}

func (f *fakeWallet) call(what string) error {
	if f.err == nil {
		f.calls = append(f.calls, what)
	}
	return f.err
}

func (f *fakeWallet) Customer(_ context.Context, c Customer) (string, error) {
	if f.refuse {
		return "", &RefusedError{Why: "no such address"}
	}
	return "cus_" + c.Account.ID, f.call("customer " + string(c.Email))
}

func (f *fakeWallet) Begin(_ context.Context, s Saving) (SavingPage, error) {
	if err := f.call("begin " + s.Customer); err != nil {
		return SavingPage{}, err
	}
	id := fmt.Sprint("cs_", len(f.result)+1)
	f.result[id] = SavingResult{Status: SavingOpen, Customer: s.Customer}
	return SavingPage{ID: id, URL: "https://wallet.example/" + id}, nil
}

func (f *fakeWallet) Saved(_ context.Context, page string) (SavingResult, error) {
	return f.result[page], f.err
}

func (f *fakeWallet) Detach(_ context.Context, card, key string) error {
	return f.call("detach " + card + " " + key)
}

func (f *fakeWallet) Delete(_ context.Context, customer, key string) error {
	return f.call("delete " + customer + " " + key)
}

// A phone is a browser with a cookie.
type phone struct {
	t       testing.TB
	handler http.Handler
	lang    string
	cookie  *http.Cookie // of the session
	visit   *http.Cookie // of a sign-in under way
	offer   *http.Cookie // of what it is for
	rec     *httptest.ResponseRecorder
}

func (p *phone) do(method, path string, form ...string) *phone {
	p.t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	r := httptest.NewRequest(method, publicURL+path, strings.NewReader(values.Encode()))
	r.Header.Set("Accept-Language", p.lang)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for _, c := range []*http.Cookie{p.cookie, p.visit, p.offer} {
		if c != nil {
			r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
		}
	}
	p.rec = httptest.NewRecorder()
	p.handler.ServeHTTP(p.rec, r)
	for _, c := range p.rec.Result().Cookies() {
		at := map[string]**http.Cookie{"__Host-hashtill": &p.cookie, "__Host-hashtill-sign-in": &p.visit, "__Host-hashtill-offer": &p.offer}[c.Name]
		if at == nil || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
			p.t.Fatalf("cookie %v", c)
		}
		if *at = c; c.MaxAge < 0 {
			*at = nil
		}
	}
	if to := p.rec.Header().Get("Location"); p.rec.Code == http.StatusSeeOther {
		return p.get(to)
	}
	return p
}

func (p *phone) get(path string) *phone { return p.do(http.MethodGet, path) }
func (p *phone) post(path string, form ...string) *phone {
	p.t.Helper()
	return p.do(http.MethodPost, path, form...)
}

// shows wants a page with a status and a text in it.
func (p *phone) shows(status int, text string) *phone {
	p.t.Helper()
	if p.rec.Code != status || !strings.Contains(p.rec.Body.String(), text) {
		p.t.Fatalf("want %d and %q, got %d:\n%s", status, text, p.rec.Code, p.rec.Body)
	}
	return p
}

// A joining is a world where one can register.
type joining struct {
	*world
	network *fakeNetwork
	wallet  *fakeWallet
	phone   *phone
}

func newJoining(t testing.TB, lang string) *joining {
	w := newWorld(t)
	j := &joining{world: w, network: &fakeNetwork{}, wallet: &fakeWallet{result: map[string]SavingResult{}}}
	w.SignIn, w.Wallet, w.Terms = j.network, j.wallet, Terms{Version: "2026-11", URL: "https://shop.example/terms"}
	w.Register(w.shop)
	w.handler = w.Handler()
	j.phone = j.newPhone(lang)
	return j
}

func (j *joining) newPhone(lang string) *phone {
	return &phone{t: j.t, handler: j.handler, lang: lang}
}

// signsIn takes a phone to the page after the network's.
func (j *joining) signsIn(p *phone) *phone {
	j.t.Helper()
	p.get("/join").shows(http.StatusOK, `action="/join/sign-in"`)
	p.post("/join/sign-in").shows(http.StatusOK, "https://network.example/authorize")
	if to := p.rec.Header().Get("Refresh"); !strings.HasPrefix(to, "0; url=https://network.example/authorize?") {
		j.t.Fatalf("led to %q", to)
	}
	return p.get("/join/x?code=ann")
}

var sixDigits = regexp.MustCompile(`\b\d{6}\b`)

// code is the one in the latest mail.
func (j *joining) code(to offers.Email) string {
	j.t.Helper()
	m := j.mailer.mails[len(j.mailer.mails)-1]
	code := sixDigits.FindString(m.Subject)
	if m.To != to || code == "" || !strings.Contains(m.Text, code) || !strings.Contains(m.HTML, code) {
		j.t.Fatalf("mail to %s: %q", string(m.To), m.Subject)
	}
	return code
}

// saves has the wallet keep a card on its latest page.
func (j *joining) saves(card offers.Card) {
	id := fmt.Sprint("cs_", len(j.wallet.result))
	r := j.wallet.result[id]
	r.Status, r.Card = Saved, card
	j.wallet.result[id] = r
}

// registers takes a phone from the first page to the saved card.
func (j *joining) registers(p *phone) *phone {
	j.t.Helper()
	j.signsIn(p).shows(http.StatusOK, `value="ann@example.com"`)
	p.post("/join/email", "email", "ann@example.com", "address", "1 Long Street\r\nSpringfield").shows(http.StatusOK, "a•••@example.com")
	p.post("/join/code", "code", j.code("ann@example.com")).shows(http.StatusOK, "https://wallet.example/cs_")
	j.saves(savedVisa)
	return p.get("/join/card")
}

var savedVisa = offers.Card{ID: "pm_visa", Brand: "visa", Last4: "4242", Month: 4, Year: 2030}

func TestRegistering(t *testing.T) {
	for _, lang := range []string{"en", "fr"} {
		t.Run(lang, func(t *testing.T) {
			j := newJoining(t, lang)
			p := j.coded() // nobody knows ann: she is invited
			j.is(p.ID, offers.Invited)
			j.registers(j.phone).shows(http.StatusOK, "4242")
			j.settle()
			j.is(p.ID, offers.Coded) // the wish went on by itself
			b, err := j.shop.Buyer(t.Context(), ann)
			if err != nil || b.Email != "ann@example.com" || b.Address != "1 Long Street\nSpringfield" || b.Lang != lang ||
				b.Terms != (offers.Consent{Version: "2026-11", At: j.now}) || !slices.Equal(b.Cards, []offers.Card{savedVisa}) || b.Customer != "cus_1001" {
				t.Fatalf("%+v, %v", b, err)
			}
			for _, secret := range []string{"ann@example.com", "Long Street", "kept-1", j.phone.cookie.Value} {
				if strings.Contains(j.logged.String(), secret) {
					t.Errorf("%q is in the log:\n%s", secret, j.logged)
				}
			}
		})
	}
}

// TestJoinPages holds the pages of the way to a card to golden files.
func TestJoinPages(t *testing.T) {
	for _, lang := range []string{"en", "fr"} {
		t.Run(lang, func(t *testing.T) {
			j := newJoining(t, lang)
			page := func(name string, p *phone, status int) {
				t.Helper()
				checkPage(t, p.rec, status, lang)
				golden(t, "pages/"+name+"."+lang+".html", p.rec.Body.String())
			}
			p := j.phone
			page("join", p.get("/join"), http.StatusOK)
			page("join_away", p.post("/join/sign-in"), http.StatusOK)
			page("join_email", p.get("/join/x?code=ann"), http.StatusOK)
			page("join_email_invalid", p.post("/join/email", "email", "ann<", "address", "here"), http.StatusUnprocessableEntity)
			page("join_code", p.post("/join/email", "email", "ann@example.com", "address", "1 Long Street"), http.StatusOK)
			m := j.mailer.mails[0]
			code := j.code("ann@example.com")
			checkMail(t, m, lang)
			golden(t, "mails/proof."+lang+".html", strings.ReplaceAll(m.HTML, code, "123456"))
			golden(t, "mails/proof."+lang+".txt", strings.ReplaceAll("Subject: "+m.Subject+"\n\n"+m.Text, code, "123456"))
			page("join_code_wrong", p.post("/join/code", "code", "0"), http.StatusUnprocessableEntity)
			p.post("/join/code", "code", code)
			page("join_card", p.get("/join"), http.StatusOK)
			page("join_saving", p.get("/join/card"), http.StatusOK)
			j.saves(savedVisa)
			page("account_saved", p.get("/join/card"), http.StatusOK)
			p.post("/account/cards")
			j.saves(offers.Card{ID: "pm_amex", Brand: "amex", Last4: "0005"})
			p.get("/join/card")
			added := j.mailer.last()
			checkMail(t, added, lang)
			golden(t, "mails/card."+lang+".html", added.HTML)
			golden(t, "mails/card."+lang+".txt", "Subject: "+added.Subject+"\n\n"+added.Text)
			page("account", p.get("/account"), http.StatusOK)
			page("account_limits", p.post("/account/limits", "purchase", "much"), http.StatusUnprocessableEntity)
			page("account_frozen", p.post("/account/freeze"), http.StatusOK)
			page("leave", p.get("/account/leave"), http.StatusOK)
			page("left", p.post("/account/leave"), http.StatusOK)
			other := j.signsIn(j.newPhone(lang))
			page("leaving", other, http.StatusConflict)
			page("sign_in_lost", p.get("/join/x?code=ann"), http.StatusBadRequest)
			p.post("/join/sign-in")
			page("sign_in_failed", p.get("/join/x?error=access_denied"), http.StatusForbidden)
		})
	}
}

// To hold the account on the network is not enough to see or change anything.
func TestBackNeedsTheMail(t *testing.T) {
	j := newJoining(t, "en")
	j.registers(j.phone)
	thief := j.signsIn(j.newPhone("en")).shows(http.StatusOK, "/join/again")
	before, err := j.shop.Buyer(t.Context(), ann)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/account", "/account/data", "/account/leave", "/join/card"} {
		if body := thief.get(path).rec.Body.String(); strings.Contains(body, "4242") || strings.Contains(body, "ann@example.com") {
			t.Errorf("%s shows it:\n%s", path, body)
		}
	}
	for path, form := range map[string][]string{
		"/account/cards": nil, "/account/cards/remove": {"card", savedVisa.ID}, "/account/cards/prefer": {"card", savedVisa.ID},
		"/account/email": {"email", "eve@example.com"}, "/account/address": {"address", "elsewhere"}, "/account/limits": {"day", ""},
		"/account/unfreeze": nil, "/account/leave": nil, "/join/card": nil, "/join/email": {"email", "eve@example.com"},
	} {
		thief.post(path, form...)
		after, err := j.shop.Buyer(t.Context(), ann)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprintf("%+v", after) != fmt.Sprintf("%+v", before) {
			t.Fatalf("%s changed the buyer", path)
		}
	}
	for _, m := range j.mailer.mails {
		if m.To != "ann@example.com" {
			t.Errorf("a mail to %s", string(m.To))
		}
	}
	if got := fmt.Sprint(j.wallet.calls); strings.Count(got, "begin") != 1 {
		t.Errorf("the wallet was called: %s", got)
	}

	// A code for another address, out for the buyer's own session, opens none for the thief.
	j.now = j.now.Add(time.Hour)
	j.phone.post("/account/email", "email", "new@example.com").shows(http.StatusOK, "n•••@example.com")
	code := j.code("new@example.com")
	thief.post("/join/code", "code", code).shows(http.StatusUnprocessableEntity, "does not count")
	j.phone.post("/join/code", "code", code).shows(http.StatusOK, "new@example.com")
	if b, _ := j.shop.Buyer(t.Context(), ann); b.Email != "new@example.com" {
		t.Fatalf("the address is %s", string(b.Email))
	}

	// Whoever has read the mail gets in; and freezing needs less.
	thief.post("/account/freeze").shows(http.StatusOK, "frozen")
	if b, _ := j.shop.Buyer(t.Context(), ann); b.FrozenBy != offers.ByBuyer {
		t.Fatal("not frozen")
	}
	other := j.signsIn(j.newPhone("en"))
	other.post("/join/again").shows(http.StatusOK, "n•••@example.com")
	other.post("/join/code", "code", j.code("new@example.com")).shows(http.StatusOK, "4242")
	other.post("/account/unfreeze").shows(http.StatusUnprocessableEntity, "Your e-mail address is new")
	j.now = j.now.Add(offers.AddressRest)
	other = j.signsIn(j.newPhone("en"))
	other.post("/join/again")
	other.post("/join/code", "code", j.code("new@example.com"))
	other.post("/account/unfreeze")
	if b, _ := j.shop.Buyer(t.Context(), ann); b.Barred() != "" {
		t.Fatal("still frozen")
	}
}

func TestAccountEdits(t *testing.T) {
	j := newJoining(t, "en")
	p := j.registers(j.phone)
	buyer := func() offers.Buyer {
		t.Helper()
		b, err := j.shop.Buyer(t.Context(), ann)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	p.post("/account/address", "address", "2 New Street").shows(http.StatusOK, "2 New Street")
	p.post("/account/address", "address", strings.Repeat("é", 401)).shows(http.StatusUnprocessableEntity, "400 characters")
	p.post("/account/limits", "purchase", "50.00 USD", "day", "100.00 USD, 90.00 EUR", "month", "").shows(http.StatusOK, "50.00 USD")
	p.post("/account/limits", "purchase", "1.234 USD").shows(http.StatusUnprocessableEntity, `value="1.234 USD"`)
	if b := buyer(); b.Limits.Day.String() != "100.00 USD, 90.00 EUR" || b.Address != "2 New Street" {
		t.Fatalf("%+v", b)
	}
	p.post("/account/quiet", "hours", "22:00 – 07:00", "zone", "Europe/Paris").shows(http.StatusOK, `value="22:00-07:00"`)
	p.post("/account/quiet", "hours", "22:00", "zone", "Nowhere").shows(http.StatusUnprocessableEntity, `value="Nowhere"`)
	if q := buyer().Quiet.String(); q != "22:00-07:00 Europe/Paris" {
		t.Fatalf("quiet hours %q", q)
	}
	p.post("/account/quiet", "hours", "").shows(http.StatusOK, "Quiet hours")
	if q := buyer().Quiet; q != (offers.Quiet{}) {
		t.Fatalf("quiet hours %q", q)
	}
	p.post("/account/cards").shows(http.StatusOK, "https://wallet.example/cs_2")
	j.saves(offers.Card{ID: "pm_amex", Brand: "amex", Last4: "0005"})
	p.get("/join/card").shows(http.StatusOK, "0005")
	p.post("/account/cards/prefer", "card", savedVisa.ID)
	if b := buyer(); b.Cards[0] != savedVisa {
		t.Fatalf("%+v", b.Cards)
	}
	p.post("/account/cards/remove", "card", "pm_eve").shows(http.StatusUnprocessableEntity, "not registered")
	p.post("/account/cards/remove", "card", savedVisa.ID)
	j.settle()
	if b := buyer(); len(b.Cards) != 1 || !slices.Contains(j.wallet.calls, "detach pm_visa detach:pm_visa") {
		t.Fatalf("%+v, %q", b.Cards, j.wallet.calls)
	}

	var d offers.Dossier
	p.get("/account/data")
	if err := json.Unmarshal(p.rec.Body.Bytes(), &d); err != nil || d.Buyer.Email != "ann@example.com" || d.Signup.Handle != "ann" ||
		!strings.HasPrefix(p.rec.Header().Get("Content-Disposition"), "attachment") {
		t.Fatalf("%v: %+v", err, d)
	}

	p.post("/account/leave").shows(http.StatusOK, "You have left")
	if p.cookie != nil {
		t.Fatal("still signed in")
	}
	j.settle()
	if b := buyer(); b.Account != (offers.Account{}) || !slices.Contains(j.wallet.calls, "delete cus_1001 delete:cus_1001") {
		t.Fatalf("%+v, %q", b, j.wallet.calls)
	}
}

func TestSignOut(t *testing.T) {
	j := newJoining(t, "en")
	p := j.registers(j.phone)
	token := p.cookie
	p.post("/account/sign-out")
	if p.cookie != nil {
		t.Fatal("the cookie stays")
	}
	p.cookie = token
	p.get("/account").shows(http.StatusOK, "/join/sign-in")
}

// What the network sends the browser back with counts once, and for the browser that
// was sent there.
func TestSignInIsBound(t *testing.T) {
	j := newJoining(t, "en")
	p := j.phone.post("/join/sign-in")
	if p.cookie != nil || p.visit == nil || p.visit.MaxAge <= 0 {
		t.Fatalf("cookies %v, %v", p.cookie, p.visit)
	}
	// Another browser, and one with a sign-in of its own, get nothing from the address.
	j.newPhone("en").get("/join/x?code=ann").shows(http.StatusBadRequest, "do not know what you signed in for")
	p.get("/join/x?code=ann").shows(http.StatusOK, "Hello @ann")
	first := p.cookie
	if p.visit != nil || first == nil {
		t.Fatalf("cookies %v, %v", p.cookie, p.visit)
	}
	p.get("/join/x?code=ann").shows(http.StatusBadRequest, "do not know what you signed in for")
	other := j.newPhone("en")
	other.visit = &http.Cookie{Name: "__Host-hashtill-sign-in", Value: "bm90IG91cnM"}
	other.get("/join/x?code=ann").shows(http.StatusForbidden, "Nobody signed in")

	// Whoever signs in anew leaves no session behind.
	p.post("/join/sign-in")
	p.get("/join/x?code=ann")
	if p.cookie.Value == first.Value {
		t.Fatal("the session was not renewed")
	}
	other.cookie = first
	other.get("/join").shows(http.StatusOK, "/join/sign-in")
}

// A session that has proven one address proves no other.
func TestProvenIsAnAddress(t *testing.T) {
	j := newJoining(t, "en")
	eve := j.signsIn(j.newPhone("en")) // had the account on the network in her hands for a while
	eve.post("/join/email", "email", "eve@example.com")
	eve.post("/join/code", "code", j.code("eve@example.com")).shows(http.StatusOK, "https://wallet.example/cs_1")
	p := j.signsIn(j.phone).shows(http.StatusOK, "e•••@example.com")
	p.get("/join?address").shows(http.StatusOK, `action="/join/email"`)
	p.post("/join/email", "email", "ann@example.com").shows(http.StatusOK, "a•••@example.com")
	p.post("/join/code", "code", j.code("ann@example.com"))
	j.saves(savedVisa)
	p.get("/join/card").shows(http.StatusOK, "4242")
	eve.get("/account").shows(http.StatusOK, "/join/again")
	eve.post("/account/email", "email", "eve2@example.com")
	if m := j.mailer.last(); m.To == "eve2@example.com" {
		t.Fatal("eve changes the address")
	}

	// Who has read the mail at the former address may change nothing any more, and is told.
	second := j.signsIn(j.newPhone("en")).post("/join/again")
	second.post("/join/code", "code", j.code("ann@example.com")).shows(http.StatusOK, "4242")
	p.post("/account/email", "email", "new@example.com")
	p.post("/join/code", "code", j.code("new@example.com")).shows(http.StatusOK, "new@example.com")
	if m := j.mailer.last(); m.To != "ann@example.com" || !strings.Contains(m.Text, "n•••@example.com") {
		t.Errorf("the former address was not told: %+v", m)
	}
	second.get("/account").shows(http.StatusOK, "/join/again")
}

// Slips of the finger, double taps and second browsers lose nothing.
func TestJoiningClumsily(t *testing.T) {
	j := newJoining(t, "en")
	p := j.signsIn(j.phone)
	p.post("/join/email", "email", "amn@example.com").shows(http.StatusOK, `href="/join?address"`)
	p.get("/join?address").shows(http.StatusOK, `value="amn@example.com"`)
	p.post("/join/email", "email", "ann@example.com")
	p.post("/join/code", "code", j.code("ann@example.com")).shows(http.StatusOK, "https://wallet.example/cs_1")
	p.post("/join/card").shows(http.StatusOK, "https://wallet.example/cs_2") // and finishes on the first page
	other := j.signsIn(j.newPhone("en")).shows(http.StatusOK, "/join/again")
	other.post("/join/again").shows(http.StatusOK, "a•••@example.com")
	j.wallet.result["cs_1"] = SavingResult{Status: Saved, Customer: "cus_1001", Card: savedVisa}
	p.get("/join/card").shows(http.StatusOK, "Your card is saved")
	other.post("/join/code", "code", j.code("ann@example.com")).shows(http.StatusOK, "4242")

	j.saves(savedVisa) // the same card on the page that was left open
	j.now = j.now.Add(time.Hour)
	j.settle()
	if b, err := j.shop.Buyer(t.Context(), ann); err != nil || len(b.Cards) != 1 {
		t.Fatalf("%+v, %v", b, err)
	}
	p.get("/join/card")
	if strings.Contains(p.rec.Body.String(), "Your card is saved") {
		t.Error("nothing was saved")
	}
	p.post("/account/address", "address", strings.Repeat("x", maxForm)).shows(http.StatusForbidden, "did not come from this page")
	if b, _ := j.shop.Buyer(t.Context(), ann); b.Address != "" {
		t.Errorf("address %q", b.Address)
	}
	p.post("/account/sign-out-everywhere")
	other.get("/account").shows(http.StatusOK, "/join/sign-in")
}

// Who has not registered can have all forgotten that there is of them.
func TestLeavingBeforeJoining(t *testing.T) {
	j := newJoining(t, "en")
	p := j.signsIn(j.phone)
	p.post("/join/email", "email", "ann@example.com")
	p.post("/join/code", "code", j.code("ann@example.com"))
	p.get("/account/leave").shows(http.StatusOK, "erase everything")
	p.post("/account/leave").shows(http.StatusOK, "You have left")
	j.settle()
	if !slices.Contains(j.wallet.calls, "delete cus_1001 delete:cus_1001") || strings.Contains(j.everything(), "ann@example.com") {
		t.Errorf("calls %q, left:\n%s", j.wallet.calls, j.everything())
	}
	j.wallet.refuse = true // Stripe takes no customer with that address
	j.signsIn(p)
	p.post("/join/email", "email", "ann@example.com")
	p.post("/join/code", "code", j.code("ann@example.com")).shows(http.StatusUnprocessableEntity, "Stripe does not take that address")
}

// GETs that a mail's or a chat's scanner makes without the cookie change nothing.
func TestScannersChangeNothing(t *testing.T) {
	j := newJoining(t, "en")
	j.registers(j.phone)
	j.settle()
	before := j.everything()
	for _, path := range []string{"/join", "/join/x?code=ann&state=1", "/join/card", "/account", "/account/leave", "/account/data"} {
		j.newPhone("en").get(path)
	}
	if after := j.everything(); after != before {
		t.Fatalf("changed:\n%s\nwas:\n%s", after, before)
	}
}

// What is away for a while loses nothing: the step is made again.
func TestJoiningWhileOthersAreAway(t *testing.T) {
	j := newJoining(t, "en")
	p := j.phone
	j.network.err = errors.New("no answer")
	p.post("/join/sign-in").shows(http.StatusInternalServerError, "Reference")
	j.network.err = nil
	j.signsIn(p)
	j.mailer.fail = errors.New("no answer")
	p.post("/join/email", "email", "ann@example.com").shows(http.StatusInternalServerError, "Reference")
	j.mailer.fail = &RefusedError{Why: "no such mailbox"}
	p.post("/join/again").shows(http.StatusUnprocessableEntity, "refused")
	j.mailer.fail = nil
	p.post("/join/again").shows(http.StatusOK, "a•••@example.com")
	j.wallet.err = errors.New("no answer")
	p.post("/join/code", "code", j.code("ann@example.com")).shows(http.StatusInternalServerError, "Reference")
	j.wallet.err = nil
	p.get("/join").shows(http.StatusOK, `action="/join/card"`)
	p.post("/join/card").shows(http.StatusOK, "https://wallet.example/cs_1")
	j.wallet.err = errors.New("no answer")
	j.saves(savedVisa)
	p.get("/join/card").shows(http.StatusInternalServerError, "Reference")
	j.wallet.err = nil
	j.now = j.now.Add(time.Minute) // the browser does not come back: the outbox looks
	j.settle()
	p.get("/join").shows(http.StatusOK, "4242")
}

func TestCodesAreCounted(t *testing.T) {
	j := newJoining(t, "en")
	p := j.signsIn(j.phone)
	p.post("/join/email", "email", "ann@example.com")
	code := j.code("ann@example.com")
	for range 5 {
		p.post("/join/code", "code", "000 00x").shows(http.StatusUnprocessableEntity, "not the code")
	}
	p.post("/join/code", "code", code).shows(http.StatusUnprocessableEntity, "does not count any more")
	for range 4 {
		p.post("/join/again").shows(http.StatusOK, "six digits")
	}
	p.post("/join/again").shows(http.StatusUnprocessableEntity, "Enough codes")
	if len(j.mailer.mails) != 5 {
		t.Fatalf("%d mails", len(j.mailer.mails))
	}
}
