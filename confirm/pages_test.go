package confirm

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hashtill/offers"
	"hashtill/offers/words"
)

var declined = Standing{Status: Failed, Reason: offers.InsufficientFunds}
var atBank = Standing{Status: AtBank, BankURL: "https://bank.example/asks?id=1"}

// scenes bring a purchase into a state and return the page that its buyer sees.
var scenes = []struct {
	name   string
	status int
	play   func(*world) *httptest.ResponseRecorder
}{
	{"confirm", 200, func(w *world) *httptest.ResponseRecorder {
		_, token := w.mailed()
		w.now = w.now.Add(3*time.Minute + 10*time.Second)
		return w.ask("GET", "/c/"+token)
	}},
	{"last_minute", 200, func(w *world) *httptest.ResponseRecorder {
		p, token := w.mailed()
		w.now = p.LinkEnds().Add(-time.Second)
		return w.ask("GET", "/c/"+token)
	}},
	{"unmailed", 200, func(w *world) *httptest.ResponseRecorder { // the click is faster than the mail server's answer
		w.mailer.fail = errSilence
		p := w.is(w.echoed().ID, offers.Echoed)
		return w.ask("GET", "/c/"+w.Links.Sign(p.ID, p.Round))
	}},
	{"wait", 200, func(w *world) *httptest.ResponseRecorder {
		p, token := w.mailed()
		if _, err := w.shop.Press(context.Background(), p.ID, p.Round, "", w.now); err != nil {
			w.t.Fatal(err)
		}
		return w.ask("GET", "/c/"+token)
	}},
	{"bank", 200, func(w *world) *httptest.ResponseRecorder {
		w.till.next = atBank
		_, token := w.mailed()
		return w.post("/c/" + token)
	}},
	{"bank_back", 200, func(w *world) *httptest.ResponseRecorder {
		w.till.next = atBank
		_, token := w.mailed()
		w.post("/c/" + token)
		rec := w.ask("GET", "/c/"+token+"?payment_intent=pi_1&payment_intent_client_secret=pi_1_secret_2&redirect_status=succeeded")
		if rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != "/c/"+token+"?bank" {
			w.t.Errorf("Stripe's parameters stay: %d %s", rec.Code, rec.Header().Get("Location"))
		}
		return w.ask("GET", rec.Header().Get("Location"))
	}},
	{"paid", 200, func(w *world) *httptest.ResponseRecorder {
		_, token := w.mailed()
		return w.post("/c/" + token)
	}},
	{"paid_after_bank", 200, func(w *world) *httptest.ResponseRecorder {
		w.till.next = atBank
		_, token := w.mailed()
		w.post("/c/" + token)
		w.till.status = Standing{Status: Taken}
		return w.post("/c/" + token + "/bank")
	}},
	{"declined", 200, func(w *world) *httptest.ResponseRecorder {
		w.till.next = declined
		_, token := w.mailed()
		return w.post("/c/" + token)
	}},
	{"expired", 410, func(w *world) *httptest.ResponseRecorder {
		p, token := w.mailed()
		w.now = p.LinkEnds()
		return w.ask("GET", "/c/"+token)
	}},
	{"replaced", 410, func(w *world) *httptest.ResponseRecorder {
		p, _ := w.mailed()
		return w.ask("GET", "/c/"+w.Links.Sign(p.ID, p.Round+1))
	}},
	{"cancelled", 200, func(w *world) *httptest.ResponseRecorder {
		_, token := w.mailed()
		return w.post("/c/" + token + "/cancel")
	}},
	{"refused", 200, func(w *world) *httptest.ResponseRecorder {
		w.till.fail = &RefusedError{Why: "no such customer", Reason: offers.CardUnusable}
		p := w.is(w.echoed().ID, offers.Refused)
		return w.ask("GET", "/c/"+w.Links.Sign(p.ID, 1))
	}},
	{"refunded", 200, func(w *world) *httptest.ResponseRecorder {
		p, token := w.mailed()
		w.post("/c/" + token)
		if _, err := w.shop.RefundPurchase(context.Background(), p.ID, offers.Money{}, "", w.now); err != nil {
			w.t.Fatal(err)
		}
		w.settle()
		w.is(p.ID, offers.Refunded)
		return w.ask("GET", "/c/"+token)
	}},
	{"stopped", 200, func(w *world) *httptest.ResponseRecorder {
		_, token := w.mailed()
		w.idle = true
		if err := w.shop.Stop(context.Background(), ann, w.now); err != nil {
			w.t.Fatal(err)
		}
		return w.ask("GET", "/c/"+token)
	}},
	{"frozen", 200, func(w *world) *httptest.ResponseRecorder {
		_, token := w.mailed()
		w.idle = true
		if err := w.shop.Freeze(context.Background(), ann, offers.ByShop, w.now); err != nil {
			w.t.Fatal(err)
		}
		return w.ask("GET", "/c/"+token)
	}},
	{"grace", 200, func(w *world) *httptest.ResponseRecorder {
		w.shop.Times.Grace = time.Minute
		_, token := w.mailed()
		w.post("/c/" + token)
		w.now = w.now.Add(20 * time.Second)
		return w.ask("GET", "/c/"+token)
	}},
	{"grace_long", 200, func(w *world) *httptest.ResponseRecorder {
		w.shop.Times.Grace = 10 * time.Minute
		_, token := w.mailed()
		return w.post("/c/" + token)
	}},
	{"grace_over", 200, func(w *world) *httptest.ResponseRecorder {
		w.shop.Times.Grace = time.Minute
		_, token := w.mailed()
		w.post("/c/" + token)
		w.now = w.now.Add(time.Minute)
		return w.ask("GET", "/c/"+token)
	}},
	{"taken_back", 200, func(w *world) *httptest.ResponseRecorder {
		w.shop.Times.Grace = time.Minute
		_, token := w.mailed()
		w.post("/c/" + token)
		return w.post("/c/" + token + "/cancel")
	}},
	{"over_day", 409, func(w *world) *httptest.ResponseRecorder {
		_, token := w.mailed()
		w.limit(offers.Limits{Day: offers.Amounts{{Minor: 20000, Currency: "USD"}}})
		return w.post("/c/" + token)
	}},
	{"over_month", 409, func(w *world) *httptest.ResponseRecorder {
		_, token := w.mailed()
		w.limit(offers.Limits{Month: offers.Amounts{{Minor: 20000, Currency: "USD"}}})
		return w.post("/c/" + token)
	}},
	{"over_purchase", 409, func(w *world) *httptest.ResponseRecorder {
		_, token := w.mailed()
		w.limit(offers.Limits{Purchase: offers.Amounts{{Minor: 20000, Currency: "USD"}}})
		return w.post("/c/" + token)
	}},
	{"over_currency", 409, func(w *world) *httptest.ResponseRecorder {
		_, token := w.mailed()
		w.limit(offers.Limits{Day: offers.Amounts{{Minor: 20000, Currency: "EUR"}}})
		return w.post("/c/" + token)
	}},
	{"limit_raised", 200, func(w *world) *httptest.ResponseRecorder {
		_, token := w.mailed()
		w.limit(offers.Limits{Day: offers.Amounts{{Minor: 20000, Currency: "USD"}}})
		w.post("/c/" + token)
		w.limit(offers.Limits{Day: offers.Amounts{{Minor: 30000, Currency: "USD"}}})
		return w.post("/c/" + token)
	}},
	{"soon", 200, func(w *world) *httptest.ResponseRecorder {
		return w.ask("GET", "/c/"+w.Links.Sign(w.coded().ID, 0))
	}},
	{"too_late_to_cancel", 409, func(w *world) *httptest.ResponseRecorder {
		p, token := w.mailed()
		w.post("/c/" + token)
		w.ship(p.ID)
		return w.post("/c/" + token + "/cancel")
	}},
	{"pressed_again", 409, func(w *world) *httptest.ResponseRecorder {
		_, token := w.mailed()
		w.post("/c/" + token)
		return w.post("/c/" + token)
	}},
}

// The first page and those without a purchase speak the browser's language.
var elsewhere = []struct {
	name   string
	status int
	play   func(w *world, lang string) *httptest.ResponseRecorder
}{
	{"home", 200, func(w *world, lang string) *httptest.ResponseRecorder {
		return w.ask("GET", "/", "Accept-Language", lang)
	}},
	{"home_empty", 200, func(w *world, lang string) *httptest.ResponseRecorder {
		w.Counter.Shop = prompt{emptyShop(w.t), w}
		return w.ask("GET", "/", "Accept-Language", lang)
	}},
	{"no_link", 404, func(w *world, lang string) *httptest.ResponseRecorder {
		_, token := w.mailed()
		return w.ask("GET", "/c/"+token[:len(token)-1], "Accept-Language", lang)
	}},
	{"link_away", 403, func(w *world, lang string) *httptest.ResponseRecorder {
		p, _ := w.mailed()
		return w.ask("GET", "/c/"+string(p.ID), "Accept-Language", lang)
	}},
	{"not_found", 404, func(w *world, lang string) *httptest.ResponseRecorder {
		return w.ask("GET", "/wp-login.php", "Accept-Language", lang)
	}},
	{"foreign", 403, func(w *world, lang string) *httptest.ResponseRecorder {
		_, token := w.mailed()
		return w.ask("POST", "/c/"+token, "Sec-Fetch-Site", "cross-site", "Accept-Language", lang)
	}},
}

func emptyShop(t testing.TB) *offers.Shop {
	t.Helper()
	w := newWorld(t)
	for _, o := range w.shop.Offers() {
		o.Closes, o.Opens = t0.Add(-time.Hour), time.Time{}
		if err := w.shop.Import(t.Context(), []offers.Offer{o}, true); err != nil {
			t.Fatal(err)
		}
	}
	return w.shop
}

func TestPages(t *testing.T) {
	for _, lang := range words.Languages {
		for _, scene := range scenes {
			t.Run(scene.name+"."+lang, func(t *testing.T) {
				w := newWorld(t)
				w.register(lang)
				rec := scene.play(w)
				checkPage(t, rec, scene.status, lang)
				golden(t, "pages/"+scene.name+"."+lang+".html", rec.Body.String())
			})
		}
		for _, scene := range elsewhere {
			t.Run(scene.name+"."+lang, func(t *testing.T) {
				w := newWorld(t)
				w.register("en")
				rec := scene.play(w, lang)
				checkPage(t, rec, scene.status, lang)
				golden(t, "pages/"+scene.name+"."+lang+".html", rec.Body.String())
			})
		}
	}
}

// neverOnAPage: scripts and styles that stand within it, messages that are not there, and what a
// template refused.
var neverOnAPage = regexp.MustCompile(`<script[^>]*>[^<]| on[a-z]+=| style=|<no value>|ZgotmplZ|>(reason|page|field|reply|mail)\.[a-z_.]+<`)

// checkPage holds every page to what all pages promise.
func checkPage(t *testing.T, rec *httptest.ResponseRecorder, status int, lang string) {
	t.Helper()
	if rec.Code != status {
		t.Errorf("status %d, want %d", rec.Code, status)
	}
	h, body := rec.Header(), rec.Body.String()
	for header, want := range map[string]string{
		"Content-Language": lang, "Content-Type": "text/html; charset=utf-8",
		"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		"Strict-Transport-Security": "max-age=31536000",
	} {
		if got := h.Get(header); got != want {
			t.Errorf("%s is %q, want %q", header, got, want)
		}
	}
	if hidden := h.Get("X-Robots-Tag") == "noindex"; hidden == strings.Contains(body, `rel="canonical"`) {
		t.Errorf("hidden from search: %v", hidden)
	}
	if !strings.Contains(h.Get("Permissions-Policy"), "camera=()") {
		t.Errorf("Permissions-Policy is %q", h.Get("Permissions-Policy"))
	}
	policy := h.Get("Content-Security-Policy")
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "img-src") != strings.Contains(body, "<img") {
		t.Errorf("the policy is %s", policy)
	}
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "connect-src 'self'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy lacks %s: %s", want, policy)
		}
	}
	if bad := neverOnAPage.FindString(body); bad != "" {
		t.Errorf("the page has %q", bad)
	}
	if len(body) > 50<<10 || strings.Count(body, "<h1") != 1 || !strings.Contains(body, `<html lang="`+lang+`" dir="`+words.For(lang).Dir()+`"`) {
		t.Errorf("%d bytes:\n%s", len(body), body)
	}
}

// A scanner may open a link as often as it likes, by GET, HEAD or anything else
// that is not our own page's POST, in every state: nothing changes.
func TestLookingChangesNothing(t *testing.T) {
	for _, scene := range scenes {
		t.Run(scene.name, func(t *testing.T) {
			w := newWorld(t)
			w.register("en")
			scene.play(w)
			w.settle()
			before, calls, mails := w.everything(), len(w.till.calls), len(w.mailer.mails)
			var p offers.Purchase
			if err := w.shop.EachPurchase(t.Context(), func(found offers.Purchase) error { p = found; return nil }); err != nil {
				t.Fatal(err)
			}
			for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "PROPFIND"} {
				for round := range 3 {
					for _, more := range []string{"", "?bank", "?payment_intent=pi", "/bank", "/cancel", "/withdraw"} {
						rec := w.ask(method, "/c/"+w.Links.Sign(p.ID, round)+more)
						if method == "HEAD" && rec.Body.Len() > 0 {
							t.Errorf("HEAD %s has a body", more)
						}
					}
				}
			}
			w.settle()
			if after := w.everything(); after != before || len(w.till.calls) != calls || len(w.mailer.mails) != mails {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// Only our own page may press: what another site sends changes nothing.
func TestForeignPagesCannotPress(t *testing.T) {
	for _, from := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
		for _, path := range []string{"", "/cancel", "/bank", "/withdraw"} {
			w := newWorld(t)
			w.register("en")
			_, token := w.mailed()
			before := w.everything()
			header := []string{from[0], from[1]}
			if from[0] == "Origin" {
				header = append(header, "Sec-Fetch-Site", "")
			}
			if rec := w.ask("POST", "/c/"+token+path, header...); rec.Code != http.StatusForbidden || w.everything() != before {
				t.Errorf("%v %s: %d", from, path, rec.Code)
			}
		}
	}
	// Behind a proxy that calls us by another name, our public address is still ours.
	w := newWorld(t)
	w.register("en")
	p, token := w.mailed()
	r := httptest.NewRequest("POST", "http://10.0.0.1:8080/c/"+token, nil)
	r.Header.Set("Origin", publicURL)
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	if rec.Code != http.StatusSeeOther {
		t.Errorf("our own page is refused behind a proxy: %d", rec.Code)
	}
	w.is(p.ID, offers.Paid)
}

// However often the button is pressed, also all at once, the card is charged once.
func TestPressedManyTimes(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p, token := w.mailed()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if rec := w.ask("POST", "/c/"+token); rec.Code != http.StatusSeeOther && rec.Code != http.StatusConflict {
				t.Errorf("status %d", rec.Code)
			}
		})
	}
	wg.Wait()
	w.is(p.ID, offers.Paid)
	if want := "confirm pi_ann pm_ann confirm:" + string(p.ID) + ":1"; len(w.till.calls) != 1 || w.till.calls[0] != want {
		t.Errorf("the till was asked %q, want %q", w.till.calls, want)
	}
}

// At the deadline exactly it is too late, a millisecond before it is not. Nothing has
// swept by then: the facts and the clock decide.
func TestPressedAtTheDeadline(t *testing.T) {
	for early, want := range map[time.Duration]int{time.Millisecond: http.StatusSeeOther, 0: http.StatusGone, -time.Hour: http.StatusGone} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.register("en")
			p, token := w.mailed()
			w.idle = true
			w.now = p.LinkEnds().Add(-early)
			before := w.everything()
			if rec := w.ask("POST", "/c/"+token); rec.Code != want {
				t.Errorf("%v before the deadline: %d, want %d", early, rec.Code, want)
			}
			if moved := w.everything() != before; moved != (want == http.StatusSeeOther) {
				t.Errorf("%v before the deadline: something was written: %v", early, moved)
			}
		})
	}
}

// A declined card can be tried again until the link ends, each time under a new key.
func TestDeclinedThenPaid(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p, token := w.mailed()
	w.till.next = declined
	rec := w.post("/c/" + token)
	if !strings.Contains(rec.Body.String(), "not enough money") || !strings.Contains(rec.Body.String(), "Try again – pay $299.98") {
		t.Error(rec.Body.String())
	}
	w.till.next = Standing{}
	if rec = w.post("/c/" + token); !strings.Contains(rec.Body.String(), "Thank you") {
		t.Error(rec.Body.String())
	}
	w.is(p.ID, offers.Paid)
	if len(w.till.calls) != 2 || !strings.HasSuffix(w.till.calls[0], ":1") || !strings.HasSuffix(w.till.calls[1], ":2") {
		t.Errorf("the till was asked %q", w.till.calls)
	}
}

// A press waits for its outcome, but not for ever.
func TestPressWaitsAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.register("en")
		p, token := w.mailed()
		w.idle = true
		began := time.Now()
		rec := w.post("/c/" + token)
		if took := time.Since(began); took < 2*time.Second || took > 20*time.Second {
			t.Errorf("took %v", took)
		}
		if !strings.Contains(rec.Body.String(), `http-equiv="refresh"`) {
			t.Error(rec.Body.String())
		}
		w.is(p.ID, offers.Confirmed)
	})
}

// Whatever fails inside, the buyer reads an apology and a reference; the reason
// stands in the log, and neither holds a token, an address or a name.
func TestApology(t *testing.T) {
	w := newWorld(t)
	w.register("fr")
	_, token := w.mailed()
	if err := w.st.Close(); err != nil {
		t.Fatal(err)
	}
	for _, ask := range [][2]string{{"GET", ""}, {"POST", ""}, {"POST", "/cancel"}, {"POST", "/bank"}} {
		w.logged.Reset()
		rec := w.ask(ask[0], "/c/"+token+ask[1], "Accept-Language", "fr")
		checkPage(t, rec, http.StatusInternalServerError, "fr")
		body := rec.Body.String()
		_, ref, _ := strings.Cut(body, "Référence\u00a0: ")
		if len(ref) < 8 || !strings.Contains(w.logged.String(), "ref="+ref[:8]) || strings.Contains(body, "closed") {
			t.Errorf("log: %s\npage: %s", w.logged, body)
		}
		if strings.Contains(w.logged.String(), token) {
			t.Errorf("the log holds the token: %s", w.logged)
		}
	}
}

// The log has one line for each request, with its pattern in the place of its path.
func TestRequestsAreLogged(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p, token := w.mailed()
	w.logged.Reset()
	w.post("/c/" + token)
	w.ask("GET", "/c/"+token+"x")
	log := w.logged.String()
	if n := strings.Count(log, "msg=request"); n != 3 || !strings.Contains(log, `route="POST /c/{token}" status=303`) || !strings.Contains(log, `status=404`) {
		t.Errorf("%d lines:\n%s", n, log)
	}
	for _, secret := range []string{token, "ann@example.com", "Long Street", p.Code.Hashtag()} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q:\n%s", secret, log)
		}
	}
}

// The style fetches nothing, and may be kept.
func TestStyle(t *testing.T) {
	w := newWorld(t)
	rec := w.ask("GET", "/style.css")
	if rec.Code != http.StatusOK || !strings.HasPrefix(rec.Header().Get("Content-Type"), "text/css") || !strings.Contains(rec.Header().Get("Cache-Control"), "max-age") {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
	if strings.Contains(rec.Body.String(), "http") || strings.Contains(rec.Body.String(), "url(") {
		t.Error("the style fetches something")
	}
}

// A reason that a purchase can end for has a page, in every language.
func TestEveryReasonHasAPage(t *testing.T) {
	for _, lang := range words.Languages {
		for _, why := range allReasons() {
			w := newWorld(t)
			rec := httptest.NewRecorder()
			w.render(rec, httptest.NewRequest("GET", "/", nil), http.StatusOK, w.reasonView(words.For(lang), why, map[string]any{"Ref": "ABC", "Count": 2}))
			if bad := neverOnAPage.FindString(rec.Body.String()); bad != "" {
				t.Errorf("%s, %s: the page has %q", lang, why, bad)
			}
		}
	}
}

// What a seller or a buyer wrote is shown as text, never as markup.
func TestMarkupIsText(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p, _ := w.mailed()
	evil := `"><script>alert(1)</script>`
	p.Title, p.Seller, p.Terms, p.Variant, p.BankURL = evil, evil, evil, evil, "javascript:alert(1)"
	p.State = offers.Challenged
	_, v := w.stateView(words.For("en"), p, offers.Buyer{Address: evil}, p.Round, "/c/t", now{})
	rec := httptest.NewRecorder()
	w.render(rec, httptest.NewRequest("GET", "/", nil), http.StatusOK, v)
	m := w.pages.linkMail(words.For("en"), p, offers.Buyer{Address: evil}, addresses{"https://shop.example/c/t", "https://shop.example/not-me/t"}, "20:15 UTC")
	for _, html := range []string{rec.Body.String(), m.HTML} {
		if strings.Contains(html, "<script>") || strings.Contains(html, "javascript:") {
			t.Error(html)
		}
	}
}

// allReasons are those that a buyer may read on a page or in a mail. (Package words
// sees to it that each reason of package offers has its words.)
func allReasons() []offers.Reason {
	return []offers.Reason{noLink, linkAway, tooMany, pageNotFound, pageForeign, broken,
		offers.NotRegistered, offers.SoldOut, offers.NotOpenYet, offers.OfferClosed, offers.LimitReached, offers.WhichVariant,
		offers.CodeExpired, offers.CodeUnknown, offers.NotYourCode, offers.NotYet, offers.LinkExpired, offers.LinkReplaced,
		offers.CardDeclined, offers.CardUnusable, offers.MailRefused, offers.Unreachable, offers.AlreadyPaid, offers.TooLate,
		offers.WasCancelled, offers.WasRefunded, offers.NotPaid, offers.BuyerStopped, offers.InsufficientFunds, offers.CardExpired,
		offers.IncorrectCVC, offers.CardLimit, offers.CardNotSupported, offers.AuthenticationFailed, offers.ProcessingError,
		offers.CardUnknown, offers.NotCharged, offers.QuietHours, offers.NoWithdrawal, offers.WithdrawalOver}
}
