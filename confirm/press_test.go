package confirm

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hashtill/offers"
	"hashtill/offers/words"
)

var (
	visa    = offers.Card{ID: "pm_ann", Brand: "visa", Last4: "4242", Month: 4, Year: 2027}
	amex    = offers.Card{ID: "pm_other", Brand: "amex", Last4: "0005", Month: 12, Year: 2026}
	expired = offers.Card{ID: "pm_old", Brand: "mastercard", Last4: "4444", Month: 4, Year: 2025}
)

var someQuiet = offers.Quiet{From: 22 * 60, To: 22*60 + 10, Zone: "Europe/Paris"} // 20:00 UTC is 22:00

func (w *world) quiet(q offers.Quiet) {
	w.t.Helper()
	if err := w.shop.SetQuiet(context.Background(), ann, q, w.now); err != nil {
		w.t.Fatal(err)
	}
}

// choosing are the scenes about cards, hours and charges that cannot be made.
var choosing = []struct {
	name   string
	status int
	play   func(*world) *httptest.ResponseRecorder
}{
	{"cards", 200, func(w *world) *httptest.ResponseRecorder {
		w.owns(visa, amex, expired)
		_, token := w.mailed()
		return w.ask("GET", "/c/"+token)
	}},
	{"cards_declined", 200, func(w *world) *httptest.ResponseRecorder {
		w.owns(visa, amex)
		w.till.next = declined
		_, token := w.mailed()
		return w.post("/c/" + token)
	}},
	{"card_one", 200, func(w *world) *httptest.ResponseRecorder {
		w.owns(visa)
		_, token := w.mailed()
		return w.ask("GET", "/c/"+token)
	}},
	{"card_one_declined", 200, func(w *world) *httptest.ResponseRecorder {
		w.owns(visa)
		w.till.next = declined
		_, token := w.mailed()
		return w.post("/c/" + token)
	}},
	{"card_removed", 200, func(w *world) *httptest.ResponseRecorder { // the one that was to pay
		w.owns(visa, amex, expired)
		_, token := w.mailed()
		w.owns(expired, amex)
		return w.ask("GET", "/c/"+token)
	}},
	{"card_unknown", 409, func(w *world) *httptest.ResponseRecorder {
		w.owns(visa, amex)
		_, token := w.mailed()
		return w.choose("/c/"+token, "pm_theirs")
	}},
	{"card_expired", 409, func(w *world) *httptest.ResponseRecorder {
		w.owns(visa, expired)
		_, token := w.mailed()
		return w.choose("/c/"+token, expired.ID)
	}},
	{"card_chosen", 200, func(w *world) *httptest.ResponseRecorder {
		w.owns(visa, amex)
		_, token := w.mailed()
		return w.choose("/c/"+token, amex.ID)
	}},
	{"quiet_press", 409, func(w *world) *httptest.ResponseRecorder {
		w.owns(visa, amex)
		_, token := w.mailed()
		w.quiet(someQuiet)
		return w.post("/c/" + token)
	}},
	{"quiet", 200, func(w *world) *httptest.ResponseRecorder {
		w.owns(visa)
		_, token := w.mailed()
		w.quiet(someQuiet)
		return w.ask("GET", "/c/"+token)
	}},
	{"quiet_over", 200, func(w *world) *httptest.ResponseRecorder {
		_, token := w.mailed()
		w.quiet(someQuiet)
		w.post("/c/" + token)
		w.now = w.now.Add(10 * time.Minute)
		return w.post("/c/" + token)
	}},
	{"not_charged", 200, func(w *world) *httptest.ResponseRecorder {
		_, token := w.mailed()
		w.idle = true
		w.press(token)
		w.now = w.now.Add(time.Hour)
		w.idle = false
		w.settle()
		return w.ask("GET", "/c/"+token)
	}},
	{"stopping", 200, func(w *world) *httptest.ResponseRecorder {
		_, token := w.mailed()
		w.till.fail = errSilence
		w.press(token)
		w.now = w.now.Add(time.Hour)
		w.settle()
		return w.ask("GET", "/c/"+token)
	}},
}

// press presses without waiting for what comes of it.
func (w *world) press(token string) {
	w.t.Helper()
	id, round, _ := w.Links.Verify(token)
	if _, err := w.Counter.Shop.Press(context.Background(), id, round, "", w.now); err != nil {
		w.t.Fatal(err)
	}
}

func TestChoosingPages(t *testing.T) {
	for _, lang := range words.Languages {
		for _, scene := range choosing {
			t.Run(scene.name+"."+lang, func(t *testing.T) {
				w := newWorld(t)
				w.register(lang)
				rec := scene.play(w)
				checkPage(t, rec, scene.status, lang)
				golden(t, "pages/"+scene.name+"."+lang+".html", rec.Body.String())
				checkLabels(t, rec.Body.String())
			})
		}
	}
}

// checkLabels: each radio button stands in a label, all of them in a field set with a
// legend, and exactly one that can be chosen is.
func checkLabels(t *testing.T, body string) {
	t.Helper()
	radios := strings.Count(body, `type="radio"`)
	if strings.Count(body, "<label") != radios || strings.Count(body, "<fieldset>\n<legend>") != min(radios, 1) {
		t.Errorf("radio buttons without labels or a legend:\n%s", body)
	}
	if n := strings.Count(body, " checked>"); n != min(radios, 1) {
		t.Errorf("%d of %d cards are chosen:\n%s", n, radios, body)
	}
}

// The card that was chosen on the page is the one that is charged, whatever the one
// before was.
func TestChosenCardIsCharged(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	w.owns(visa, amex)
	p, token := w.mailed()
	w.till.next = declined
	rec := w.choose("/c/"+token, visa.ID)
	if body := rec.Body.String(); !strings.Contains(body, "declined just now") || !strings.Contains(body, "Pay with another card") {
		t.Error(body)
	}
	w.till.next = Standing{}
	w.choose("/c/"+token, amex.ID)
	if p = w.is(p.ID, offers.Paid); p.Card != amex {
		t.Errorf("paid with %+v", p.Card)
	}
	want := []string{"confirm pi_ann pm_ann confirm:" + string(p.ID) + ":1", "confirm pi_ann pm_other confirm:" + string(p.ID) + ":2"}
	if strings.Join(w.till.calls, "\n") != strings.Join(want, "\n") {
		t.Errorf("the till was asked %q", w.till.calls)
	}
	if body := w.mailer.last().Text; !strings.Contains(body, "0005") || strings.Contains(body, "4242") {
		t.Errorf("the receipt has another card:\n%s", body)
	}
}

// What no form of ours sends charges nothing.
func TestFormsThatAreNotOurs(t *testing.T) {
	for form, want := range map[string]int{
		"card=pm_theirs":                       http.StatusConflict,
		"card=pm_old":                          http.StatusConflict,
		"card=%zz":                             http.StatusForbidden,
		"card=" + strings.Repeat("x", maxForm): http.StatusForbidden,
	} {
		w := newWorld(t)
		w.register("en")
		w.owns(visa, amex, expired)
		p, token := w.mailed()
		before := w.everything()
		if rec := w.send("/c/"+token, form); rec.Code != want {
			t.Errorf("%.20s: %d, want %d", form, rec.Code, want)
		}
		// Nor does an address that somebody made.
		if rec := w.ask("GET", "/c/"+token+"?card=pm_other"); rec.Code != http.StatusOK {
			t.Errorf("%d", rec.Code)
		}
		if w.is(p.ID, offers.Mailed); w.everything() != before || len(w.till.calls) > 0 {
			t.Errorf("%.20s changed something", form)
		}
	}
}

// What has ended with the same reason offers nothing any more.
func TestEndedOffersNoCards(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	w.owns(visa, amex)
	w.till.fail = &RefusedError{Why: "expired", Reason: offers.CardExpired}
	p := w.is(w.echoed().ID, offers.Refused)
	if rec := w.choose("/c/"+w.Links.Sign(p.ID, p.Round), amex.ID); rec.Code != http.StatusConflict || strings.Contains(rec.Body.String(), "<form") {
		t.Errorf("%d: %s", rec.Code, rec.Body)
	}
}

// What the address says is no choice: only the form is.
func TestCardInTheAddress(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	w.owns(visa, amex)
	p, token := w.mailed()
	w.send("/c/"+token+"?card="+amex.ID, "")
	if p = w.is(p.ID, offers.Paid); p.Card != visa {
		t.Errorf("paid with %+v", p.Card)
	}
}

// While nobody knows whether the last charge went through, no page says that nothing was
// charged: neither after the deadline nor after the buyer has called it off.
func TestUndecidedPromisesNothing(t *testing.T) {
	for name, over := range map[string]func(w *world, token string){
		"expired":   func(w *world, _ string) { w.now = w.now.Add(16 * time.Minute) },
		"cancelled": func(w *world, token string) { w.post("/c/" + token + "/cancel") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.register("en")
			p, token := w.mailed()
			w.till.next = Standing{Status: AtBank, BankURL: "https://bank.example/"}
			w.post("/c/" + token)
			w.is(p.ID, offers.Challenged)
			w.till.fail = errors.New("no answer")
			over(w, token)
			w.settle()
			for _, rec := range []*httptest.ResponseRecorder{w.ask(http.MethodGet, "/c/"+token), w.post("/c/" + token)} {
				if body := rec.Body.String(); !strings.Contains(body, "not certain") || strings.Contains(body, "othing was charged") {
					t.Errorf("the page says:\n%s", body)
				}
			}
			w.till.fail, w.till.status = nil, Standing{Status: Taken} // the bank had said yes
			w.now = w.now.Add(time.Minute)
			w.settle()
			if body := w.ask(http.MethodGet, "/c/"+token).Body.String(); strings.Contains(body, "othing was charged") {
				t.Errorf("the page says:\n%s", body)
			}
		})
	}
}

// The card that a page shows is the card that its button charges, whatever another
// window has chosen meanwhile.
func TestShownCardPays(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	visa, amex := offers.Card{ID: "pm_ann", Brand: "visa", Last4: "4242"}, offers.Card{ID: "pm_other", Brand: "amex", Last4: "0005"}
	w.owns(visa)
	p, token := w.mailed()
	first := w.ask(http.MethodGet, "/c/"+token).Body.String()
	if !strings.Contains(first, `name="card" value="pm_ann"`) {
		t.Fatalf("the page sends no card:\n%s", first)
	}
	w.owns(visa, amex)
	w.till.next = Standing{Status: Failed, Reason: offers.CardDeclined}
	w.choose("/c/"+token, amex.ID)
	if got := w.is(p.ID, offers.Declined); got.Card != amex {
		t.Fatalf("tried with %+v", got.Card)
	}
	w.till.next = Standing{}
	w.choose("/c/"+token, visa.ID) // what the first window's form sends
	if got := w.is(p.ID, offers.Paid); got.Card != visa || !strings.HasPrefix(w.till.calls[len(w.till.calls)-1], "confirm pi_ann pm_ann") {
		t.Errorf("charged %+v, %q", got.Card, w.till.calls)
	}
}
