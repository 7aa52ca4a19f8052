package confirm

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"hashtill/offers"
	"hashtill/offers/words"
)

// notMeLink is the path of the link in a mail.
func notMeLink(t testing.TB, m Mail) string {
	t.Helper()
	found := regexp.MustCompile(regexp.QuoteMeta(publicURL) + `(/not-me/[^\s"<]+)`).FindStringSubmatch(m.Text)
	if found == nil || !strings.Contains(m.HTML, found[1]) {
		t.Fatalf("no way out in %q", m.Text)
	}
	return found[1]
}

func (w *world) signedInAs(a offers.Account) (token string) {
	w.t.Helper()
	token, err := w.shop.OpenSession(context.Background(), a, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

func (w *world) frozen() bool {
	w.t.Helper()
	b, err := w.shop.Buyer(context.Background(), ann)
	if err != nil {
		w.t.Fatal(err)
	}
	return b.Frozen && b.FrozenBy == offers.ByBuyer
}

var notMeScenes = map[string]struct {
	status int
	play   func(*world) *httptest.ResponseRecorder
}{
	"not_me": {200, func(w *world) *httptest.ResponseRecorder {
		w.mailed()
		return w.ask("GET", notMeLink(w.t, w.mailer.last()))
	}},
	"not_me_paid": {200, func(w *world) *httptest.ResponseRecorder {
		_, token := w.mailed()
		w.post("/c/" + token)
		return w.ask("GET", notMeLink(w.t, w.mailer.last()))
	}},
	"not_me_done": {200, func(w *world) *httptest.ResponseRecorder {
		p, _ := w.mailed()
		rec := w.post(notMeLink(w.t, w.mailer.last()))
		w.is(p.ID, offers.Cancelled)
		return rec
	}},
	"not_me_done_paid": {200, func(w *world) *httptest.ResponseRecorder {
		p, token := w.mailed()
		w.post("/c/" + token)
		rec := w.post(notMeLink(w.t, w.mailer.last()))
		w.is(p.ID, offers.Paid)
		return rec
	}},
	"not_me_done_ask": {200, func(w *world) *httptest.ResponseRecorder { // there is no right to withdraw
		w.sell(func(o *offers.Offer) { o.WithdrawalDays = 0 })
		_, token := w.mailed()
		w.post("/c/" + token)
		return w.post(notMeLink(w.t, w.mailer.last()))
	}},
	"not_me_done_bank": {200, func(w *world) *httptest.ResponseRecorder {
		_, token := w.mailed()
		link := notMeLink(w.t, w.mailer.last())
		w.till.next = atBank
		w.post("/c/" + token)
		w.till.fail = errSilence // nobody can say yet whether it went through
		return w.post(link)
	}},
	"not_me_done_refunded": {200, func(w *world) *httptest.ResponseRecorder {
		p, token := w.mailed()
		w.post("/c/" + token)
		link := notMeLink(w.t, w.mailer.last())
		if _, err := w.shop.RefundPurchase(context.Background(), p.ID, offers.Money{}, "", w.now); err != nil {
			w.t.Fatal(err)
		}
		w.settle()
		return w.post(link)
	}},
	"not_me_over": {410, func(w *world) *httptest.ResponseRecorder {
		_, token := w.mailed()
		w.post("/c/" + token)
		w.now = w.now.Add(notMeTime)
		return w.ask("GET", notMeLink(w.t, w.mailer.last()), "Accept-Language", buyerOf(w.t.(*testing.T), w).Lang)
	}},
	"not_me_used": {410, func(w *world) *httptest.ResponseRecorder {
		w.mailed()
		link := notMeLink(w.t, w.mailer.last())
		w.post(link)
		w.now = w.now.Add(time.Minute)
		if err := w.shop.Unfreeze(context.Background(), ann, offers.ByBuyer, w.now); err != nil {
			w.t.Fatal(err)
		}
		return w.ask("GET", link, "Accept-Language", buyerOf(w.t.(*testing.T), w).Lang)
	}},
	"stay":      {200, func(w *world) *httptest.ResponseRecorder { return w.ask("GET", w.moves()) }},
	"stay_done": {200, func(w *world) *httptest.ResponseRecorder { return w.post(w.moves()) }},
	"moved_over": {410, func(w *world) *httptest.ResponseRecorder {
		link := w.moves()
		w.now = w.now.Add(offers.AddressRest)
		return w.ask("GET", link, "Accept-Language", buyerOf(w.t.(*testing.T), w).Lang)
	}},
	"leave_line_turn": {200, func(w *world) *httptest.ResponseRecorder { // it has come while the button was pressed
		w.replyFails()
		p, _ := w.waits()
		link := strings.TrimPrefix(w.mailer.to("ann@example.com").Unsubscribe, publicURL)
		w.Counter.Shop = turning{w.Counter.Shop, func() { w.bobLeaves(w.purchase(offers.NewID("x", "601", "buytee"))) }}
		rec := w.ask("POST", link, "Sec-Fetch-Site", "")
		w.settle()
		if p = w.purchase(p.ID); p.State.Ended() || p.TurnAt.IsZero() {
			w.t.Errorf("what is held for the buyer was given away: %s", p.State)
		}
		return rec
	}},
	"leave_line": {200, func(w *world) *httptest.ResponseRecorder {
		w.replyFails()
		w.waits()
		return w.ask("GET", strings.TrimPrefix(w.mailer.to("ann@example.com").Unsubscribe, publicURL))
	}},
	"leave_line_done": {200, func(w *world) *httptest.ResponseRecorder {
		w.replyFails()
		p, _ := w.waits()
		rec := w.ask("POST", strings.TrimPrefix(w.mailer.to("ann@example.com").Unsubscribe, publicURL), "Sec-Fetch-Site", "")
		w.settle()
		w.is(p.ID, offers.Cancelled)
		return rec
	}},
}

// turning has the line served the moment before somebody leaves it.
type turning struct {
	Shop
	serve func()
}

func (s turning) LeaveLine(ctx context.Context, id offers.ID, by offers.Account, now time.Time) (offers.Purchase, error) {
	s.serve()
	return s.Shop.LeaveLine(ctx, id, by, now)
}

// to is the newest mail to somebody.
func (f *fakeMailer) to(e offers.Email) (last Mail) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.mails {
		if m.To == e {
			last = m
		}
	}
	return last
}

func TestNotMePages(t *testing.T) {
	for _, lang := range words.Languages {
		for name, scene := range notMeScenes {
			t.Run(name+"."+lang, func(t *testing.T) {
				w := newWorld(t)
				w.register(lang)
				rec := scene.play(w)
				checkPage(t, rec, scene.status, lang)
				golden(t, "pages/"+name+"."+lang+".html", rec.Body.String())
				if strings.Contains(rec.Body.String(), "/c/") {
					t.Error("the page gives the purchase's own link away")
				}
			})
		}
	}
}

// One press cancels, freezes, signs out and tells; a second one changes nothing.
func TestNotMe(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p, token := w.mailed()
	session := w.signedInAs(ann)
	link := notMeLink(t, w.mailer.last())
	w.post(link)
	w.settle()
	w.is(p.ID, offers.Cancelled)
	if !w.frozen() {
		t.Error("the account is not frozen")
	}
	if _, err := w.shop.Session(t.Context(), session, w.now); !errors.Is(err, offers.ErrNotFound) {
		t.Errorf("somebody is still signed in: %v", err)
	}
	m := w.mailer.last()
	if m.Subject != "Your account here is frozen" || !strings.Contains(m.Text, publicURL+"/account") || m.Thread != string(p.ID) {
		t.Errorf("told by %+v", m)
	}
	if strings.Contains(m.Text, "/c/"+token) {
		t.Error("the notice has the purchase's link")
	}
	before, mails := w.everything(), len(w.mailer.mails)
	w.now = w.now.Add(time.Minute)
	w.post(link)
	if w.everything() != before || len(w.mailer.mails) != mails {
		t.Error("a second press changes something")
	}
	// The buyer has come back: what was mailed before is used up.
	if err := w.shop.Unfreeze(t.Context(), ann, offers.ByBuyer, w.now); err != nil {
		t.Fatal(err)
	}
	before = w.everything()
	for _, method := range []string{"GET", "POST"} {
		if rec := w.ask(method, link); rec.Code != http.StatusGone || w.everything() != before {
			t.Errorf("%s of a link from before: %d", method, rec.Code)
		}
	}
	// They are harmed again: that purchase's link works, and tells again.
	w.now = w.now.Add(time.Minute)
	if _, err := w.shop.Wish(t.Context(), offers.Wish{Post: "page-2", Account: ann, Handle: "ann", Lang: "en", Offer: "buytee", Words: []string{"m", "black"}, OnPage: true}, w.now); err != nil {
		t.Fatal(err)
	}
	w.settle()
	link, mails = notMeLink(t, w.mailer.last()), len(w.mailer.mails)
	w.post(link)
	if again := w.mailer.last(); !w.frozen() || len(w.mailer.mails) != mails+1 || again.ID == m.ID {
		t.Errorf("after the way back: %d mails, the last %s after %s", len(w.mailer.mails), again.ID, m.ID)
	}
}

// Where the mail does not leave, all else is done, and the page says the way back.
func TestNotMeUntold(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	w.mailed()
	link := notMeLink(t, w.mailer.last())
	w.mailer.fail = errSilence
	rec := w.post(link)
	if rec.Code != http.StatusOK || !w.frozen() || !strings.Contains(rec.Body.String(), "/account") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if strings.Contains(w.logged.String(), "ann@") {
		t.Error("the log has the address")
	}
}

// What the shop has frozen stays the shop's to lift, and nothing promises otherwise.
func TestNotMeAfterTheShop(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	w.mailed()
	link := notMeLink(t, w.mailer.last())
	if err := w.shop.Freeze(t.Context(), ann, offers.ByShop, w.now); err != nil {
		t.Fatal(err)
	}
	w.settle()
	mails := len(w.mailer.mails)
	rec := w.post(link)
	b := buyerOf(t, w)
	if b.FrozenBy != offers.ByShop || len(w.mailer.mails) != mails || !strings.Contains(rec.Body.String(), "ask the shop") || strings.Contains(rec.Body.String(), "/account") {
		t.Errorf("by %s, %d mails: %s", b.FrozenBy, len(w.mailer.mails)-mails, rec.Body)
	}
}

// A mail scanner, and another site, may do what they like.
func TestNotMeByOthers(t *testing.T) {
	for name, bring := range map[string]func(w *world) string{
		"not me":     func(w *world) string { w.mailed(); return notMeLink(t, w.mailer.last()) },
		"leave line": func(w *world) string { p, _ := w.waits(); return strings.TrimPrefix(w.leaveLineURL(p), publicURL) },
	} {
		w := newWorld(t)
		w.register("en")
		link := bring(w)
		before, mails := w.everything(), len(w.mailer.mails)
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "PROPFIND"} {
			w.ask(method, link)
			w.ask(method, link+"?x=1")
		}
		for _, from := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "", "Origin", "https://evil.example"}} {
			if rec := w.ask("POST", link, from...); rec.Code != http.StatusForbidden {
				t.Errorf("%s: %v: %d", name, from, rec.Code)
			}
		}
		w.settle()
		if w.everything() != before || len(w.mailer.mails) != mails {
			t.Errorf("%s: a scanner changes something", name)
		}
	}
}

// The token of one purpose is none of another, and no part of it can be changed.
func TestTokensHaveOnePurpose(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p, _ := w.mailed()
	paths := map[purpose]string{toBuy: "/c/", toFreeze: "/not-me/", toLeave: "/leave-line/", toStay: "/not-moved/"}
	seen := map[string]bool{}
	for of := range paths {
		token := w.Links.sign(of, p.ID, p.Round)
		if seen[token] {
			t.Errorf("%s has the token of another", of)
		}
		seen[token] = true
		for to, path := range paths {
			want := http.StatusNotFound
			if to == of && to != toStay { // that one names no purchase
				want = http.StatusOK
			}
			if rec := w.ask("GET", path+token); rec.Code != want {
				t.Errorf("the token to %s at %s: %d, want %d", of, path, rec.Code, want)
			}
		}
	}
	before := w.everything()
	w.post("/not-me/" + w.Links.Sign(p.ID, p.Round))
	w.post("/not-me/" + w.Links.sign(toFreeze, p.ID, p.Round) + "x")
	if w.everything() != before {
		t.Error("a token that is none froze somebody")
	}
}

// Who has left is not remembered again by being frozen.
func TestNotMeAfterLeaving(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	w.mailed()
	link := notMeLink(t, w.mailer.last())
	if err := w.shop.Leave(t.Context(), ann, w.now); err != nil {
		t.Fatal(err)
	}
	for _, then := range []string{"while they leave", "when they have left"} {
		before := w.everything()
		if rec := w.post(link); rec.Code != http.StatusNotFound || w.everything() != before {
			t.Errorf("%s: %d", then, rec.Code)
		}
		w.settle()
		w.now = w.now.Add(2 * time.Minute)
		w.settle()
	}
}

// Only news can be unsubscribed from, and that ends the news alone.
func TestUnsubscribe(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	w.replyFails()
	p, _ := w.waits()
	m := w.mailer.to("ann@example.com")
	if !strings.HasPrefix(m.Unsubscribe, publicURL+"/leave-line/") {
		t.Fatalf("%q unsubscribes at %q", m.Subject, m.Unsubscribe)
	}
	link := strings.TrimPrefix(m.Unsubscribe, publicURL)
	for range 2 { // a mail server's request: no browser, no redirect, as often as it likes
		if rec := w.ask("POST", link, "Sec-Fetch-Site", "", "Content-Type", "application/x-www-form-urlencoded"); rec.Code != http.StatusOK {
			t.Errorf("answered %d", rec.Code)
		}
		w.settle()
		w.is(p.ID, offers.Cancelled)
	}
	if w.frozen() {
		t.Error("the buyer is frozen")
	}

	w = newWorld(t)
	w.register("en")
	w.replyFails()
	p, _ = w.waits()
	link = strings.TrimPrefix(w.mailer.to("ann@example.com").Unsubscribe, publicURL)
	var other offers.Purchase
	if err := w.shop.EachPurchase(t.Context(), func(q offers.Purchase) error {
		if q.Buyer == bob {
			other = q
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.bobLeaves(other) // it is ann's turn
	before := w.everything()
	if w.ask("POST", link, "Sec-Fetch-Site", ""); w.everything() != before {
		t.Error("what is held for the buyer was given away")
	}
	if turn := w.mailer.to("ann@example.com"); turn.Unsubscribe != "" || w.purchase(p.ID).TurnAt.IsZero() {
		t.Errorf("the turn: %q unsubscribes at %q", turn.Subject, turn.Unsubscribe)
	}

	for name, bring := range letters {
		w := newWorld(t)
		w.register("en")
		bring(w)
		for _, m := range w.mailer.mails {
			if m.Unsubscribe != "" {
				t.Errorf("%s: %q can be unsubscribed from", name, m.Subject)
			}
			if m.Thread == "" {
				t.Errorf("%s: %q is of no conversation", name, m.Subject)
			}
		}
	}
}

// Where there is no https there is no one-click unsubscription.
func TestUnsubscribeNeedsHTTPS(t *testing.T) {
	w := newWorld(t)
	w.Counter.PublicURL = "http://127.0.0.1:8080"
	w.register("en")
	w.replyFails()
	w.waits()
	if m := w.mailer.to("ann@example.com"); m.Unsubscribe != "" || m.Subject == "" {
		t.Errorf("%q unsubscribes at %q", m.Subject, m.Unsubscribe)
	}
}

// A card is told of once, to who had another before, whoever looks first that it is saved.
func TestNewCardIsTold(t *testing.T) {
	j := newJoining(t, "en")
	j.registers(j.phone)
	told := func() (n int) {
		for _, m := range j.mailer.mails {
			if m.Subject == "A card was added to your account" {
				n++
			}
		}
		return n
	}
	if told() != 0 {
		t.Error("told of the card with which they registered")
	}
	j.phone.post("/account/cards")
	j.saves(offers.Card{ID: "pm_amex", Brand: "amex", Last4: "0005"})
	j.phone.get("/join/card")
	j.settle()
	j.phone.get("/join/card")
	if m := j.mailer.last(); told() != 1 || m.To != "ann@example.com" || !strings.Contains(m.Text, "American Express ending in 0005") {
		t.Errorf("told %d times, %+v", told(), m)
	}
	j.mailer.fail = errSilence
	j.phone.post("/account/cards")
	j.saves(offers.Card{ID: "pm_third", Brand: "visa", Last4: "1111"})
	j.phone.get("/join/card")
	if b := buyerOf(t, j.world); b.Cards[0].ID != "pm_third" || strings.Contains(j.logged.String(), "ann@") {
		t.Errorf("a mail that does not leave holds the card up: %+v", b.Cards)
	}
}
