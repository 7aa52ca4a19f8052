package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hashtill/bot/x/xtest"
	"hashtill/confirm/smtp/smtptest"
	"hashtill/offers"
)

// A walk is somebody with a phone: what is tapped is counted, what is typed is not.
type walk struct {
	t     *testing.T
	d     *demoPage
	page  context.Context
	taps  int
	shots string // where pictures go; "" for none
}

// newWalk opens a phone's browser. HASHTILL_SHOTS names a directory for pictures of each
// step, to be looked at.
func newWalk(t *testing.T, d *demoPage) *walk {
	w := &walk{t: t, d: d, page: startBrowser(t), shots: os.Getenv("HASHTILL_SHOTS")}
	return w
}

func (w *walk) do(step string, actions ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	if err := chromedp.Do(w.page, actions...); err != nil {
		at, _ := chromedp.Run(w.page, chromedp.Location())
		text, _ := chromedp.Run(w.page, chromedp.Text(chromedp.CSS("body")))
		w.t.Fatalf("%s: %v\nat %s:\n%s", step, err, at, text)
	}
}

// sees waits for something on the page, and takes its picture.
func (w *walk) sees(name, css string) {
	w.t.Helper()
	w.do("see "+name, chromedp.WaitVisible(chromedp.CSS(css)))
	if at, err := chromedp.Run(w.page, chromedp.Location()); err != nil || strings.HasPrefix(at, w.d.cfg.PublicURL) { // not those of stand-ins
		accessible(w.t, w.page, name)
	}
	wide, err := chromedp.Run(w.page, chromedp.Evaluate[int](`document.documentElement.scrollWidth`))
	if err != nil || wide > 390 {
		w.t.Errorf("%s is %d pixels wide on a phone of 390 (%v)", name, wide, err)
	}
	if w.shots == "" {
		return
	}
	picture, err := chromedp.Run(w.page, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(w.shots, strings.ReplaceAll(name, " ", "_")+".png"), picture, 0o644)
	}
	if err != nil {
		w.t.Error(err)
	}
}

func (w *walk) tap(css string) {
	w.t.Helper()
	w.taps++
	w.do("tap "+css, chromedp.Click(chromedp.CSS(css), chromedp.NodeVisible))
}

func (w *walk) types(css, text string) {
	w.t.Helper()
	w.do("type into "+css, chromedp.SendKeys(chromedp.CSS(css), text))
}

var mailedCode = regexp.MustCompile(`^(\d{6}) `)

// code waits for the latest mailed code.
func (w *walk) code(email string) string {
	w.t.Helper()
	var code string
	_, err := w.d.smtp.Wait(within(w.t, 10*time.Second), func(m smtptest.Message) bool {
		found := mailedCode.FindStringSubmatch(m.Subject)
		if found == nil || !slices.Contains(m.To, email) {
			return false
		}
		code = found[1]
		return true
	})
	if err != nil {
		w.t.Fatal("no code was mailed: ", err)
	}
	return code
}

// becomes waits for a purchase to get to a state.
func (w *walk) becomes(id offers.ID, want offers.State) offers.Purchase {
	w.t.Helper()
	ctx := within(w.t, 20*time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		p, err := w.d.shop.Purchase(ctx, id)
		if err == nil && p.State == want {
			return p
		}
		select {
		case <-ctx.Done():
			w.t.Fatalf("purchase %s is %s (%v), not %s", id, p.State, err, want)
		case <-tick.C:
		}
	}
}

// Somebody who is invited registers on a phone: from the invitation to the saved card in
// six taps at most, and the wish goes on by itself.
func TestJoinInABrowser(t *testing.T) {
	d, _ := startDemo(t)
	ben := d.person("ben")
	wish, err := d.x.Post(ben.ID, "@hashtill #BuyTee", xtest.PostOptions{})
	if err != nil {
		t.Fatal(err)
	}
	id := offers.NewID("x", wish.ID, offers.TagKey("BuyTee"))
	w := newWalk(t, d)
	w.becomes(id, offers.Invited)
	if _, err := d.x.Wait(within(t, 10*time.Second), func(p xtest.Post) bool { return p.ReplyTo == wish.ID }); err != nil {
		t.Fatal("no invitation: ", err)
	}
	d.x.SignedInAs(ben.ID) // this phone is Ben's

	w.taps++ // the link on the shop's profile
	w.do("open the link of the profile", chromedp.Navigate(d.cfg.PublicURL+"/join"))
	w.sees("1 join", "form button")
	w.tap("form button")
	w.sees("2 at X", "#allow")
	w.tap("#allow")
	w.sees("3 address", `textarea[name="address"]`)
	if email, err := chromedp.Run(w.page, chromedp.Value(chromedp.CSS(`input[name="email"]`))); err != nil || email != ben.Email {
		t.Errorf("the address from X is not there: %q (%v)", email, err)
	}
	w.types(`textarea[name="address"]`, "Ben Example\n1 Long Street")
	w.tap(`form[action="/join/email"] button`)
	w.sees("4 code", `input[name="code"]`)
	w.types(`input[name="code"]`, w.code(ben.Email))
	w.tap(`form[action="/join/code"] button`)
	w.sees("5 card", "#number")
	w.types("#number", "4242424242424242")
	w.types("#exp", "12/34")
	w.types("#cvc", "123")
	w.tap("#save")
	w.sees("6 saved", "main.good")
	if text, err := chromedp.Run(w.page, chromedp.Text(chromedp.CSS("main"))); err != nil || !strings.Contains(text, "Visa ending in 4242") {
		t.Errorf("the page says (%v):\n%s", err, text)
	}
	if w.taps > 6 {
		t.Errorf("it took %d taps", w.taps)
	}
	t.Logf("%d taps", w.taps)

	p := w.becomes(id, offers.Coded)
	if !p.CodeByMail {
		t.Error("the code of the waiting wish did not go by mail")
	}
	b, err := d.shop.Buyer(t.Context(), d.account(ben))
	if err != nil || b.Account.ID != ben.ID || string(b.Email) != ben.Email || b.Address != "Ben Example\n1 Long Street" || b.Terms.Version == "" || b.Terms.At.IsZero() ||
		len(b.Cards) != 1 || b.Cards[0].Brand != "visa" || b.Cards[0].Year != 2034 {
		t.Errorf("the buyer is %+v (%v)", b, err)
	}
	if tokens := d.x.LiveTokens(); tokens != 0 {
		t.Errorf("%d tokens of buyers at X are left", tokens)
	}

	w.editsAccount(ben)
	w.leaves(ben)
}

// editsAccount presses what else there is on the account's page.
func (w *walk) editsAccount(who *person) {
	w.t.Helper()
	account := w.d.account(who)
	buyer := func() offers.Buyer {
		w.t.Helper()
		b, err := w.d.shop.Buyer(w.t.Context(), account)
		if err != nil {
			w.t.Fatal(err)
		}
		return b
	}
	w.tap(`form[action="/account/cards"] button`)
	w.sees("7 another card", "#number")
	w.types("#number", "4000000000000002") // declined when it is saved
	w.types("#exp", "12/34")
	w.types("#cvc", "123")
	w.tap("#save")
	w.sees("8 declined", "#error")
	w.types("#number", "378282246310005")
	w.types("#cvc", "1234")
	w.tap("#save")
	w.sees("9 two cards", `form[action="/account/cards/prefer"]`)
	if b := buyer(); len(b.Cards) != 2 || b.Cards[0].Brand != "amex" {
		w.t.Fatalf("cards %+v", b.Cards)
	}
	w.tap(`form[action="/account/cards/prefer"] button`)
	w.sees("10 the first again", `button[aria-label^="Pay with American Express"]`)
	w.tap(`button[aria-label^="Remove American Express"]`)
	w.do("see it gone", chromedp.WaitNotPresent(chromedp.CSS(`form[action="/account/cards/prefer"]`)))
	w.sees("11 one card", `form[action="/account/freeze"]`)
	if b := buyer(); len(b.Cards) != 1 || b.Cards[0].Brand != "visa" {
		w.t.Fatalf("cards %+v", b.Cards)
	}
	w.types(`input[name="day"]`, "100.00 USD")
	w.tap(`form[action="/account/limits"] button`)
	w.sees("12 limits", `input[name="day"][value="100.00 USD"]`)
	w.types(`input[name="hours"]`, "22:00-07:00")
	w.types(`input[name="zone"]`, "Europe/Paris")
	w.tap(`form[action="/account/quiet"] button`)
	w.sees("13 quiet hours", `input[name="zone"][value="Europe/Paris"]`)
	w.tap(`form[action="/account/freeze"] button`)
	w.sees("14 frozen", `form[action="/account/unfreeze"]`)
	if b := buyer(); b.Barred() != offers.BuyerFrozen || b.Limits.Day.String() != "100.00 USD" || b.Quiet == (offers.Quiet{}) {
		w.t.Fatalf("%+v", b)
	}
	w.tap(`form[action="/account/unfreeze"] button`)
	w.sees("15 not frozen", `form[action="/account/freeze"]`)
}

// leaves has all of the account erased, here and at Stripe.
func (w *walk) leaves(who *person) {
	w.t.Helper()
	b, err := w.d.shop.Buyer(w.t.Context(), w.d.account(who))
	if err != nil {
		w.t.Fatal(err)
	}
	w.tap(`a[href="/account/leave"]`)
	w.sees("16 leave", `form[action="/account/leave"]`)
	w.tap(`form[action="/account/leave"] button`)
	w.sees("17 left", "main.good")
	if err := w.d.outbox.WaitIdle(within(w.t, 20*time.Second)); err != nil {
		w.t.Fatal(err)
	}
	if after, err := w.d.shop.Buyer(w.t.Context(), w.d.account(who)); err != nil || after.Account != (offers.Account{}) {
		w.t.Errorf("%+v, %v is left", after, err)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.d.stripe.URL()+"/v1/customers/"+b.Customer, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.SetBasicAuth(w.d.stripe.Key(), "")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(text), `"deleted": true`) && !strings.Contains(string(text), `"deleted":true`) {
		w.t.Errorf("the customer at Stripe is left (%v): %s", err, text)
	}
}
