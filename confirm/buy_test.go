package confirm

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"hashtill/offers"
	"hashtill/offers/words"
)

// stocks puts an offer that has all that there is to say into the catalogue.
func (j *joining) stocks(edit func(*offers.Offer)) {
	j.t.Helper()
	o := offers.Offer{ID: "buymug", Tag: "BuyMug", Title: "Mug “Midi”", Seller: "Example Records", SellerAddress: "12 rue des Lilas\n69003 Lyon\nFrance",
		Price: offers.Money{Minor: 1500, Currency: "USD"}, Prices: []offers.Money{{Minor: 1400, Currency: "EUR"}, {Minor: 2200, Currency: "JPY"}},
		Delivery: []offers.Money{{Minor: 500, Currency: "USD"}}, Tax: 20000, WithdrawalDays: 14, PerBuyer: 3,
		Stock: map[string]int{"red": 100, "blue": 12, "green": 2, "grey": 0}, Terms: "Ships within 3 days.", Picture: "https://pictures.example/mug.jpg",
		Opens: t0.Add(-time.Hour), Closes: t0.Add(48 * time.Hour), Zone: "Europe/Paris"}
	if edit != nil {
		edit(&o)
	}
	if err := j.shop.PutOffer(context.Background(), o); err != nil {
		j.t.Fatal(err)
	}
	if _, err := j.shop.Refresh(context.Background()); err != nil {
		j.t.Fatal(err)
	}
}

var nonceIn = regexp.MustCompile(`name="nonce" value="([A-Z2-7]{26})"`)

// nonce is the number of the form on the phone's page.
func (p *phone) nonce() string {
	p.t.Helper()
	found := nonceIn.FindStringSubmatch(p.rec.Body.String())
	if found == nil {
		p.t.Fatalf("no form:\n%s", p.rec.Body)
	}
	return found[1]
}

// TestBuyPages holds the pages of an offer, and of what was bought there, to golden files.
func TestBuyPages(t *testing.T) {
	for _, lang := range []string{"en", "fr"} {
		t.Run(lang, func(t *testing.T) {
			j := newJoining(t, lang)
			j.stocks(nil)
			page := func(name string, p *phone, status int) {
				t.Helper()
				checkPage(t, p.rec, status, lang)
				golden(t, "pages/"+name+"."+lang+".html", p.rec.Body.String())
			}
			page("offer", j.phone.get("/o/buymug"), http.StatusOK)
			page("offer_plain", j.phone.get("/o/BuyVinyl"), http.StatusOK)
			page("offer_unregistered", j.signsIn(j.newPhone(lang)).get("/o/BuyMug"), http.StatusOK)
			p := j.registers(j.phone)
			page("offer_buy", p.get("/o/BuyMug"), http.StatusOK)
			form := []string{"nonce", "C234567A234567A234567A2345", "variant", "green", "quantity", "2", "currency", "EUR"}
			page("bought_preparing", p.post("/o/BuyMug/buy", form...), http.StatusOK)
			j.settle()
			page("bought", p.post("/o/BuyMug/buy", form...), http.StatusOK)
			page("offer_which", p.post("/o/BuyMug/buy", "nonce", "A234567A234567A234567A2345", "variant", "pink"), http.StatusUnprocessableEntity)
			j.stocks(func(o *offers.Offer) { o.Stock = map[string]int{"green": 2} })
			page("offer_sold_out", p.get("/o/BuyMug"), http.StatusOK)
			j.stocks(func(o *offers.Offer) { o.Stock, o.Waitlist = map[string]int{"green": 2}, true })
			page("offer_line", p.get("/o/BuyMug"), http.StatusOK)
			page("bought_waiting", p.post("/o/BuyMug/buy", "nonce", "D234567A234567A234567A2345", "variant", "green", "quantity", "1", "currency", "USD"), http.StatusOK)
			j.stocks(func(o *offers.Offer) { o.Opens = t0.Add(time.Hour) })
			page("offer_soon", p.get("/o/BuyMug"), http.StatusOK)
			j.stocks(func(o *offers.Offer) { o.Closes = t0 })
			page("offer_over", p.get("/o/BuyMug"), http.StatusOK)
			j.stocks(nil)
			j.moves()
			page("offer_address_new", p.get("/o/BuyMug"), http.StatusOK)
			if err := j.shop.Freeze(t.Context(), ann, offers.ByBuyer, j.now); err != nil {
				t.Fatal(err)
			}
			page("offer_frozen", p.get("/o/BuyMug"), http.StatusOK)
			w := httptest.NewRecorder()
			j.render(w, httptest.NewRequest("GET", "/", nil), http.StatusTooManyRequests, j.reasonView(words.For(lang), tooMany, map[string]any{"Count": 30}))
			golden(t, "pages/too_many."+lang+".html", w.Body.String())
		})
	}
}

// However often a form is sent it is one purchase; the link that pays is in the mail alone.
func TestBuyOnAPage(t *testing.T) {
	j := newJoining(t, "en")
	j.stocks(nil)
	p := j.registers(j.phone)
	p.get("/o/BuyMug")
	form := []string{"nonce", p.nonce(), "variant", "green", "quantity", "2", "currency", "EUR"}
	p.post("/o/BuyMug/buy", form...).shows(http.StatusOK, "Your link is on its way")
	p.post("/o/BuyMug/buy", form...).shows(http.StatusOK, "Your link is on its way")
	j.settle()
	all, err := j.shop.PurchasesOf(t.Context(), ann)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d purchases, %v", len(all), err)
	}
	bought := j.is(all[0].ID, offers.Mailed)
	if bought.Variant != "green" || bought.Quantity != 2 || bought.Total != (offers.Money{Minor: 2800, Currency: "EUR"}) || !bought.OnPage || bought.Handle != "ann" {
		t.Errorf("%+v", bought)
	}
	token := j.Links.Sign(bought.ID, bought.Round)
	p.get(boughtPath(bought.ID)).shows(http.StatusOK, "Your link is in your mail")
	if strings.Contains(p.rec.Body.String(), token) {
		t.Error("the page leads past the mail")
	}
	if m := j.mailer.last(); !strings.Contains(m.Text, token) {
		t.Errorf("the mail has no link: %s", m.Text)
	}
	// Another form is another purchase, and who shows one of theirs to somebody gets nothing by it.
	p.get("/o/BuyMug")
	p.post("/o/BuyMug/buy", "nonce", p.nonce(), "variant", "red", "quantity", "1")
	j.settle()
	if all, _ := j.shop.PurchasesOf(t.Context(), ann); len(all) != 2 {
		t.Errorf("%d purchases", len(all))
	}
	// Nobody else sees it, and who has not signed in is led to do that.
	for _, path := range []string{boughtPath(bought.ID), boughtPath(bought.ID) + "/now"} {
		j.newPhone("en").get(path).shows(http.StatusOK, `action="/join/sign-in"`)
	}
	if err := j.shop.Freeze(t.Context(), ann, offers.ByBuyer, j.now); err != nil {
		t.Fatal(err)
	}
	p.post("/o/BuyMug/buy", "nonce", "A234567A234567A234567A2345", "variant", "red").shows(http.StatusUnprocessableEntity, "frozen")
}

// What the form says must be of the offer, and the form ours.
func TestBuyRefuses(t *testing.T) {
	for _, c := range []struct {
		form   []string
		status int
		text   string
	}{
		{[]string{"variant", "red"}, http.StatusForbidden, "did not come from this page"},
		{[]string{"nonce", "x", "variant", "red"}, http.StatusForbidden, "did not come from this page"},
		{[]string{"nonce", "a234567A234567A234567A2345", "variant", "red"}, http.StatusForbidden, "did not come from this page"},
		{[]string{"nonce", "A234567A234567A234567A2345", "variant", "pink"}, http.StatusUnprocessableEntity, "choose one of these"},
		{[]string{"nonce", "A234567A234567A234567A2345"}, http.StatusUnprocessableEntity, "choose one of these"},
		{[]string{"nonce", "A234567A234567A234567A2345", "variant", "red", "quantity", "4"}, http.StatusUnprocessableEntity, "More than one buyer"},
		{[]string{"nonce", "A234567A234567A234567A2345", "variant", "red", "quantity", "-1"}, http.StatusUnprocessableEntity, "More than one buyer"},
	} {
		j := newJoining(t, "en")
		j.stocks(nil)
		p := j.registers(j.phone)
		before := j.everything()
		p.post("/o/BuyMug/buy", c.form...).shows(c.status, c.text)
		if j.everything() != before {
			t.Errorf("%q changed something", c.form)
		}
	}
	j := newJoining(t, "en")
	j.stocks(nil)
	p := j.registers(j.phone)
	p.post("/o/nothing/buy").shows(http.StatusNotFound, "nothing here")
	p.get("/o/nothing").shows(http.StatusNotFound, "nothing here")
	p.get("/bought/02-aaaaaaaaaaaaaaaaaaaaaaaa").shows(http.StatusNotFound, "nothing here")
	p.get("/bought/x").shows(http.StatusNotFound, "nothing here")
	j.stocks(func(o *offers.Offer) { o.Closes = t0 })
	p.post("/o/BuyMug/buy", "nonce", "A234567A234567A234567A2345", "variant", "red").shows(http.StatusUnprocessableEntity, "sale is over")
	// A form of somebody else's.
	j.stocks(nil)
	w := offers.Wish{Post: "page-B234567A234567A234567A2345", Account: offers.Account{Network: "x", ID: "2"}, Offer: "buymug", OnPage: true, Words: []string{"red"}}
	err := j.shop.Register(t.Context(), offers.Buyer{Account: w.Account, Handle: "eve", Email: "eve@example.com", Lang: "en", Customer: "cus_eve", Cards: []offers.Card{{ID: "pm_eve"}}}, j.now)
	if err != nil {
		t.Fatal(err)
	}
	eves, err := j.shop.Wish(t.Context(), w, j.now)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{boughtPath(eves.ID), boughtPath(eves.ID) + "/now"} {
		p.get(path).shows(http.StatusNotFound, "nothing here")
	}
	p.post("/o/BuyMug/buy", "nonce", "B234567A234567A234567A2345", "variant", "red").shows(http.StatusForbidden, "did not come from this page")
}

// Who signs in or registers to buy comes back to the offer, and never leaves for elsewhere.
func TestComesBackToTheOffer(t *testing.T) {
	j := newJoining(t, "en")
	j.stocks(nil)
	p := j.phone
	p.get("/o/BuyMug").shows(http.StatusOK, `action="/o/BuyMug/join"`)
	p.post("/o/BuyMug/join").shows(http.StatusOK, "https://network.example/authorize")
	p.get("/join/x?code=ann").shows(http.StatusOK, "Hello @ann")
	p.post("/join/email", "email", "ann@example.com", "address", "1 Long Street")
	p.post("/join/code", "code", j.code("ann@example.com"))
	j.saves(savedVisa)
	p.get("/join/card").shows(http.StatusOK, `action="/o/BuyMug/buy"`)
	if p.offer != nil {
		t.Error("the browser goes on remembering it")
	}
	p.get("/account").shows(http.StatusOK, "Your account")

	// With a card the network's word is enough: what pays is in the mail.
	other := j.newPhone("en")
	other.post("/o/BuyMug/join")
	other.get("/join/x?code=ann").shows(http.StatusOK, `action="/o/BuyMug/buy"`)
	other.get("/account").shows(http.StatusOK, "/join/again")

	for _, evil := range []string{"//evil.example", "https:%2F%2Fevil.example", "..%2F..%2F%2Fevil.example", "%2F%2Fevil.example", "%5C%5Cevil.example", "%zz"} {
		p := j.newPhone("en")
		p.post("/join/sign-in")
		p.offer = &http.Cookie{Name: "__Host-hashtill-offer", Value: evil}
		r := httptest.NewRequest("GET", publicURL+"/join/x?code=ann", nil)
		r.AddCookie(p.visit)
		rec := httptest.NewRecorder()
		j.handler.ServeHTTP(rec, r)
		for _, c := range rec.Result().Cookies() {
			if c.Name == "__Host-hashtill" {
				p.cookie = c
			}
		}
		r = httptest.NewRequest("GET", publicURL+"/join", nil)
		r.AddCookie(p.cookie)
		r.AddCookie(p.offer)
		rec = httptest.NewRecorder()
		j.handler.ServeHTTP(rec, r)
		if to := rec.Header().Get("Location"); rec.Code != http.StatusSeeOther || to != "/account" {
			t.Errorf("%s leads to %d %q", evil, rec.Code, to)
		}
	}
}

// What is left is told by its number only where it is little.
func TestWhatIsLeft(t *testing.T) {
	for left, want := range map[int]string{0: "sold out", 1: "1 left", fewCounted: "5 left", fewCounted + 1: "few left", fewLeft: "few left", fewLeft + 1: "in stock", offers.Unlimited: "in stock"} {
		s := stockOf(words.For("en"), offers.Offer{Stock: map[string]int{"": left}}, nil)
		if s.row.Value != want || s.gone != (left == 0) || len(s.options) != 0 {
			t.Errorf("%d left: %+v, want %s", left, s, want)
		}
	}
}
