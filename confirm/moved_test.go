package confirm

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"hashtill/offers"
)

// moves changes ann's address, and is the path of the link for the former one.
func (w *world) moves() (link string) {
	w.t.Helper()
	if err := w.shop.SetEmail(context.Background(), ann, "new@example.com", w.now); err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimPrefix(w.stayURL(ann, w.now), publicURL)
}

// Whoever changes the address at a browser that was left signed in gains nothing on pages
// for a while.
func TestNewAddressRests(t *testing.T) {
	j := newJoining(t, "en")
	j.stocks(func(o *offers.Offer) { o.Closes = time.Time{} })
	p := j.registers(j.phone)
	p.post("/account/limits", "purchase", "50.00 USD").shows(http.StatusOK, "50.00 USD")
	p.post("/account/email", "email", "new@example.com")
	p.post("/join/code", "code", j.code("new@example.com")).shows(http.StatusOK, "new@example.com")
	const words = "Your e-mail address is new"
	buy := []string{"nonce", "A234567A234567A234567A2345", "variant", "red"}
	raised := [][]string{{"purchase", ""}, {"purchase", "50.01 USD"}, {"purchase", "50.00 USD, 1.00 EUR"}, {"purchase", "50.00 EUR"}}

	p.get("/o/BuyMug").shows(http.StatusOK, words)
	if strings.Contains(p.rec.Body.String(), `action="/o/BuyMug/buy"`) {
		t.Error("the button is offered")
	}
	before := j.everything()
	p.post("/o/BuyMug/buy", buy...).shows(http.StatusUnprocessableEntity, words)
	for _, form := range raised {
		p.post("/account/limits", form...).shows(http.StatusUnprocessableEntity, words)
	}
	if j.everything() != before {
		t.Error("something was changed")
	}
	p.post("/account/limits", "purchase", "40.00 USD", "day", "90.00 USD").shows(http.StatusOK, "40.00 USD")
	p.post("/account/freeze")
	j.now = j.now.Add(offers.AddressRest - time.Nanosecond)
	p = j.signsIn(j.newPhone("en"))
	p.post("/join/again")
	p.post("/join/code", "code", j.code("new@example.com"))
	p.post("/account/unfreeze").shows(http.StatusUnprocessableEntity, words)
	if !j.frozen() {
		t.Error("the freeze is lifted")
	}

	j.now = j.now.Add(time.Nanosecond)
	p.post("/account/unfreeze")
	p.post("/account/limits", "purchase", "50.00 USD").shows(http.StatusOK, "50.00 USD")
	p.get("/o/BuyMug").shows(http.StatusOK, `action="/o/BuyMug/buy"`)
	p.post("/o/BuyMug/buy", buy...).shows(http.StatusOK, "Your link is on its way")
}

// The reader of the former address freezes the account by the mail, whatever was changed
// since, and once.
func TestNotMoved(t *testing.T) {
	j := newJoining(t, "en")
	p := j.registers(j.phone)
	p.post("/account/email", "email", "new@example.com")
	p.post("/join/code", "code", j.code("new@example.com"))
	m := j.mailer.to("ann@example.com")
	_, link, _ := strings.Cut(m.Text, publicURL+"/not-moved/")
	link = "/not-moved/" + strings.TrimSpace(link)
	if !strings.Contains(m.HTML, publicURL+link) {
		t.Fatalf("no way out in %q", m.Text)
	}
	j.now = j.now.Add(time.Hour)
	if err := j.shop.SetEmail(t.Context(), ann, "third@example.com", j.now); err != nil {
		t.Fatal(err)
	}
	session := j.signedInAs(ann)

	before := j.everything()
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT"} {
		j.ask(method, link)
	}
	j.ask("POST", link, "Sec-Fetch-Site", "cross-site")
	purchase := offers.NewID("x", "1", "buytee")
	for _, token := range []string{j.Links.Sign(purchase, 0), j.Links.sign(toFreeze, purchase, 0), j.Links.sign(toStay, purchase, 0), "x",
		j.Links.signStay(offers.Account{Network: "x", ID: "nobody"}, j.now), link[len("/not-moved/"):] + "x", strings.Replace(link[len("/not-moved/"):], ".1", ".2", 1)} {
		if rec := j.ask("POST", "/not-moved/"+token); rec.Code != http.StatusNotFound {
			t.Errorf("%s: %d", token, rec.Code)
		}
	}
	for _, path := range []string{"/c/", "/not-me/", "/leave-line/"} {
		if rec := j.ask("GET", path+link[len("/not-moved/"):]); rec.Code != http.StatusNotFound {
			t.Errorf("at %s: %d", path, rec.Code)
		}
	}
	if j.everything() != before {
		t.Fatal("something was changed by others")
	}

	j.post(link)
	if !j.frozen() {
		t.Error("the account is not frozen")
	}
	if _, err := j.shop.Session(t.Context(), session, j.now); !errors.Is(err, offers.ErrNotFound) {
		t.Errorf("somebody is still signed in: %v", err)
	}
	before = j.everything()
	j.now = j.now.Add(time.Minute)
	if rec := j.post(link); rec.Code != http.StatusOK || j.everything() != before {
		t.Errorf("a second press changes something: %d", rec.Code)
	}
	// The shop has given the address back.
	if err := j.shop.Unfreeze(t.Context(), ann, offers.ByShop, j.now); err != nil {
		t.Fatal(err)
	}
	if rec := j.ask("POST", link); rec.Code != http.StatusGone || j.frozen() {
		t.Errorf("it works twice: %d", rec.Code)
	}
}

// A change counts for a while, to the moment.
func TestNotMovedRunsOut(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	link := w.moves()
	w.now = w.now.Add(offers.AddressRest)
	if rec := w.ask("POST", link); rec.Code != http.StatusGone || w.frozen() {
		t.Errorf("answered %d", rec.Code)
	}
	w.now = w.now.Add(-time.Nanosecond)
	if w.post(link); !w.frozen() {
		t.Error("it ended too early")
	}
}
