package desk

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"hashtill/offers"
)

// formOn is what the form of a page would send, by the names of its fields.
func (a *answer) formOn() url.Values {
	a.t.Helper()
	doc, err := html.Parse(strings.NewReader(a.body))
	if err != nil {
		a.t.Fatal(err)
	}
	form := url.Values{}
	for n := range doc.Descendants() {
		at := map[string]string{}
		for _, kv := range n.Attr {
			at[kv.Key] = kv.Val
		}
		_, checked := at["checked"]
		switch {
		case n.Type != html.ElementNode || at["name"] == "" || at["name"] == "csrf" || at["type"] == "search":
		case n.Data == "textarea":
			var text string
			if n.FirstChild != nil {
				text = n.FirstChild.Data
			}
			form.Set(at["name"], strings.TrimPrefix(text, "\n"))
		case n.Data == "input" && (at["type"] == "radio" || at["type"] == "checkbox") && !checked:
		case n.Data == "input":
			form.Set(at["name"], at["value"])
		}
	}
	return form
}

// hoodie is a form with all fields filled.
var hoodie = url.Values{
	"tag": {"#BuyHoodie"}, "tags": {"#KaufHoodie ACHETERHOODIE"}, "title": {"Tour hoodie"}, "seller": {"Example Records"},
	"price": {"59,90"}, "currency": {"eur"}, "prices": {"64.90 USD\nJPY 9000"}, "delivery": {"4.90 EUR\r\n6 USD"},
	"tax_percent": {"20"}, "tax_added": {"yes"}, "stock": {"M black = 10\r\nL black: 5\n\nXL red = unlimited"},
	"aliases": {"M black = M noir, medium  black"}, "per_buyer": {"2"}, "opens": {"2026-11-21T20:30"}, "closes": {"2026-11-22T01:00"},
	"zone": {"Europe/Paris"}, "hold": {"echo"}, "waitlist": {"yes"}, "countries": {"fr, DE be"}, "terms": {"Ships soon.\nReturns too."},
	"picture": {"https://example.com/h.jpg"}, "seller_address": {"12 rue des Lilas\n69003 Lyon"}, "seller_tax_number": {"FR40123456824"},
	"digital": {""}, "withdrawal_days": {"30"},
}

func with(form url.Values, kv ...string) url.Values {
	all := url.Values{}
	for key, values := range form {
		all[key] = values
	}
	for i := 0; i < len(kv); i += 2 {
		all.Set(kv[i], kv[i+1])
	}
	return all
}

func TestAddOffer(t *testing.T) {
	w := newWorld(t)
	b := w.as(carl)
	blank := b.get("/m/records/new").is(http.StatusOK).formOn()
	if blank.Get("seller") != "Example Records" || blank.Get("currency") != "USD" || blank.Get("hold") != "wish" || blank.Get("withdrawal_days") != "14" {
		t.Errorf("the new form has %v", blank)
	}
	b.post("/m/records/new", hoodie).leads("/m/records/?done=added")
	o, ok := w.shop.OfferByTag("kaufhoodie")
	if !ok || w.followed != 1 {
		t.Fatal("it is not there, or the bot does not follow", w.followed)
	}
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	want := offers.Offer{ID: "buyhoodie", Tag: "BuyHoodie", Tags: []string{"KaufHoodie", "ACHETERHOODIE"}, Title: "Tour hoodie", Seller: "Example Records",
		Price: offers.Money{Minor: 5990, Currency: "EUR"}, Prices: []offers.Money{{Minor: 6490, Currency: "USD"}, {Minor: 9000, Currency: "JPY"}},
		Delivery: []offers.Money{{Minor: 490, Currency: "EUR"}, {Minor: 600, Currency: "USD"}}, Tax: 20000, TaxAdded: true,
		Stock:   map[string]int{"M black": 10, "L black": 5, "XL red": offers.Unlimited},
		Aliases: map[string][]string{"M black": {"M noir", "medium black"}}, PerBuyer: 2,
		Opens: time.Date(2026, 11, 21, 20, 30, 0, 0, paris), Closes: time.Date(2026, 11, 22, 1, 0, 0, 0, paris), Zone: "Europe/Paris",
		Hold: offers.HoldAtEcho, Waitlist: true, Countries: []string{"FR", "DE", "BE"}, Terms: "Ships soon.\nReturns too.",
		Picture: "https://example.com/h.jpg", SellerAddress: "12 rue des Lilas\n69003 Lyon", SellerTaxNumber: "FR40123456824",
		WithdrawalDays: 30, Merchant: "records"}
	if stateHash(o) != stateHash(want) {
		t.Errorf("it is %+v\nnot %+v", o, want)
	}
	// What the form shows again means the same.
	b.post("/m/records/offers/buyhoodie", b.get("/m/records/offers/buyhoodie").is(http.StatusOK).formOn()).leads("/m/records/?done=saved")
	if o, _ := w.shop.OfferByTag("buyhoodie"); stateHash(o) != stateHash(want) {
		t.Errorf("saved as it was shown, it is %+v", o)
	}
	deeds, err := w.shop.Deeds(t.Context(), "records", 10)
	if err != nil || len(deeds) != 2 || deeds[0].Who != string(carl) || deeds[0].Of != "buyhoodie" {
		t.Error(deeds, err)
	}
}

// Every fault is told at its field, and nothing that was typed is lost.
func TestOfferFaults(t *testing.T) {
	w := newWorld(t)
	b := w.as(rita)
	for _, try := range []struct{ field, typed, want string }{
		{"tag", "", "hashtag is needed"}, {"tag", "two words", "not a hashtag"}, {"tags", "no-tag", "not a hashtag that can be used"},
		{"tag", "BuyTee", "one of your offers already"}, {"tags", "BUYTEE", "one of your offers already"},
		{"tag", "BuyHat", "#BuyHat is taken."}, {"tags", "BuyHat", "#BuyHat is taken."}, {"tag", "BuyPin", "#BuyPin is taken."},
		{"title", "", "is needed"}, {"title", "with #BuyTee", "has a #"}, {"seller", "", "is needed"},
		{"price", "", "is needed"}, {"price", "12.345", "no more decimals"}, {"price", "free", "want an amount"}, {"price", "0", "more than nothing"},
		{"prices", "12", "want an amount and its currency"}, {"prices", "12 EUR\n<b>", "<b>"}, {"delivery", "4 GBP", "no price in GBP"},
		{"tax_percent", "101", "between 0 and 100"}, {"tax_percent", "", "no tax_percent to add"},
		{"stock", "M", "want a name and a number"}, {"stock", "M = ten", "whole number"}, {"stock", "M = -1", "whole number"},
		{"stock", "M = 1\nM = 2", "is there twice"}, {"stock", "M = 1\nm = 2", "cannot be told"}, {"stock", "= 2", "want a name"},
		{"aliases", "M black", "its other names"}, {"aliases", "Q = M noir", "no variant"},
		{"per_buyer", "", "whole number"}, {"per_buyer", "0", "between 1 and"}, {"per_buyer", "two", "whole number"},
		{"opens", "tomorrow", "date and a time"}, {"opens", "2027-03-28T02:30", "put forward"}, {"closes", "2026-11-21T20:30", "not after opens"},
		{"zone", "Europe/Nowhere", "no such time zone"}, {"zone", "../etc/passwd", "no such time zone"}, {"hold", "never", "none of wish"},
		{"countries", "XX", "is no country"}, {"picture", "http://example.com", "https"}, {"withdrawal_days", "-1", "whole number"},
		{"withdrawal_days", "500", "between 0"},
	} {
		before := w.snapshot()
		typed := with(hoodie, try.field, try.typed)
		a := b.post("/m/records/new", typed)
		if a.Code != http.StatusBadRequest || w.snapshot() != before {
			t.Errorf("%s %q: %d", try.field, try.typed, a.Code)
			continue
		}
		if !strings.Contains(a.text(), try.want) {
			t.Errorf("%s %q is not told of with %q:\n%s", try.field, try.typed, try.want, a.text())
		}
		if fault := regexp.MustCompile(`(?s)name="` + try.field + `".*?class="problem">([^<]*)<`).FindStringSubmatch(a.body); fault == nil || !strings.Contains(unescape.Replace(fault[1]), try.want) {
			t.Errorf("%s %q: at its field is %q", try.field, try.typed, fault)
		}
		again := a.formOn()
		for name, values := range typed {
			if name == "hold" || name == "digital" || name == "waitlist" || name == "tax_added" {
				continue // one of a few
			}
			if got, want := again.Get(name), strings.ReplaceAll(values[0], "\r\n", "\n"); got != want {
				t.Errorf("%s %q: what was typed as %s is %q, not %q", try.field, try.typed, name, got, want)
			}
		}
	}
	// Several at once are all told.
	b.post("/m/records/new", with(hoodie, "title", "", "price", "x", "stock", "M")).is(http.StatusBadRequest).says("is needed", "want an amount", "a name and a number")
}

func TestEditOffer(t *testing.T) {
	w := newWorld(t)
	b := w.as(carl)
	w.mailed(1, "BuyTee", "M")
	w.paid(2, "BuyTee", "S")
	form := b.get("/m/records/offers/buytee").is(http.StatusOK).says("One purchase of it is under way").formOn()

	// Somebody else is faster: they are told of it, and decide.
	b.post("/m/records/offers/buytee/stock", url.Values{"variant": {"M"}, "by": {"10"}}).leads("/m/records/offers/buytee/stock?done=stock")
	again := b.post("/m/records/offers/buytee", with(form, "title", "Better T-shirt")).is(http.StatusConflict).says("Somebody has changed this offer").formOn()
	if again.Get("title") != "Better T-shirt" {
		t.Error("what was typed is lost:", again)
	}
	b.post("/m/records/offers/buytee", again).leads("/m/records/?done=saved")
	o, _ := w.shop.OfferByTag("BuyTee")
	if o.Title != "Better T-shirt" || o.Merchant != "records" {
		t.Error(o)
	}
	form = b.get("/m/records/offers/buytee").formOn()
	b.post("/m/records/offers/buytee", with(form, "tag", "BuyShirt")).is(http.StatusBadRequest).says("first hashtag of an offer stays")
	b.post("/m/records/offers/buytee", with(form, "tag", "BUYTEE", "merchant", "hats")).leads("/m/records/?done=saved")
	if o, _ := w.shop.OfferByTag("BuyTee"); o.Tag != "BUYTEE" || o.Merchant != "records" {
		t.Error(o.Tag, o.Merchant)
	}
}

// A time that nobody has touched stays as exact as it was.
func TestEditKeepsSeconds(t *testing.T) {
	w := newWorld(t)
	o, _ := w.shop.OfferByTag("BuyTee")
	o.Zone, o.Opens = "Europe/Berlin", time.Date(2026, 10, 25, 1, 30, 17, 0, time.UTC) // 2:30 for the second time that night
	if err := w.shop.Import(t.Context(), []offers.Offer{o}, false); err != nil {
		t.Fatal(err)
	}
	b := w.as(rita)
	b.post("/m/records/offers/buytee", b.get("/m/records/offers/buytee").formOn()).leads("/m/records/?done=saved")
	if after, _ := w.shop.OfferByTag("BuyTee"); !after.Opens.Equal(o.Opens) {
		t.Errorf("it opens %s, not %s", after.Opens, o.Opens)
	}
}

func TestStock(t *testing.T) {
	w := newWorld(t)
	w.paid(1, "BuyTee", "M")
	b := w.as(carl)
	b.get("/m/records/offers/buytee/stock").is(http.StatusOK).says("19 left", "20 in all, 1 held or sold")
	for _, try := range []struct {
		variant, by, to string
		code, want      int
	}{
		{"M", "1", "", 303, 21}, {"M", "-1", "", 303, 20}, {"M", "", "5", 303, 5}, {"M", "-10", "", 303, 0}, {"M", "", "unlimited", 303, offers.Unlimited},
		{"M", "1", "", 400, offers.Unlimited}, {"M", "", "7", 303, 7}, {"M", "", "many", 400, 7}, {"M", "", "", 400, 7}, {"M", "99999999999", "", 400, 7}, {"Q", "1", "", 400, 7},
	} {
		b.post("/m/records/offers/buytee/stock", url.Values{"variant": {try.variant}, "by": {try.by}, "to": {try.to}}).is(try.code)
		if o, _ := w.shop.OfferByTag("BuyTee"); o.Stock["M"] != try.want || o.Stock["S"] != 10 || len(o.Stock) != 2 {
			t.Errorf("%+v: %v", try, o.Stock)
		}
	}
}

func TestRemoveOffer(t *testing.T) {
	w := newWorld(t)
	w.mailed(1, "BuyTee", "M")
	b := w.as(carl)
	b.get("/m/records/offers/buytee/remove").is(http.StatusOK).says("One purchase of it is under way")
	b.post("/m/records/offers/buytee/remove", nil).leads("/m/records/?done=removed")
	if _, ok := w.shop.OfferByTag("BuyTee"); ok {
		t.Error("it is still there")
	}
	b.get("/m/records/offers/buytee").is(http.StatusNotFound)
	// Its hashtag has a past, which is nobody else's to see.
	tee := with(hoodie, "tag", "BuyTee", "tags", "")
	w.as(hans).post("/m/hats/new", tee).is(http.StatusBadRequest).says("#BuyTee is taken.")
	b.post("/m/records/new", tee).leads("/m/records/?done=added")
}

func TestAnnounce(t *testing.T) {
	w := newWorld(t)
	b := w.as(carl)
	b.get("/m/records/offers/buytee/announce").is(http.StatusOK).says("Announce #BuyTee?")
	b.post("/m/records/offers/buytee/announce", nil).leads("/m/records/?done=announced")
	if !slices.Equal(w.announced, []string{"buytee"}) {
		t.Error(w.announced)
	}
}

func TestListOffers(t *testing.T) {
	w := newWorld(t)
	w.paid(1, "BuyHat")
	w.wish(2, "BuyHat")
	w.as(hans).get("/m/hats/").is(http.StatusOK).says("#BuyHat Straw hat sold out").saysNot("BuyTee", "BuyPin")
	w.as(vera).get("/m/records/").is(http.StatusOK).says("#BuyTee", "30").saysNot("New offer", "/stock")
	var many []offers.Offer
	o, _ := w.shop.OfferByTag("BuyTee")
	for i := range 60 {
		o.Tag = "Buy" + string(rune('A'+i/26)) + string(rune('A'+i%26))
		o.ID, o.Title = offers.TagKey(o.Tag), "Thing"
		many = append(many, o)
	}
	if err := w.shop.Import(t.Context(), many, false); err != nil {
		t.Fatal(err)
	}
	b := w.as(rita)
	first := b.get("/m/records/").is(http.StatusOK).says("61 in all", "#BuyAA").saysNot("#BuyCF")
	if !strings.Contains(first.body, `href="?page=1&amp;q="`) {
		t.Error("no way to the next page")
	}
	b.get("/m/records/?page=1&q=").is(http.StatusOK).says("#BuyCF").saysNot("#BuyAA")
	b.get("/m/records/?q=%23buytee").is(http.StatusOK).says("#BuyTee", "1 in all").saysNot("#BuyAA")
	b.get("/m/records/?q=nothing&page=-7").is(http.StatusOK).says("No offer has")
	b.get("/m/records/?page=99").is(http.StatusOK).says("#BuyCF")
}

const catalogue = `- tag: BuyCap
  title: Cap
  seller: Example Records
  price: 19.90
  currency: EUR
  stock: 7
- tag: BuyTee
  title: Tour T-shirt, second print
  seller: Example Records
  price: 29.99
  currency: USD
  variants: {S: 10, M: 20}
  per_buyer: 2
`

func TestImport(t *testing.T) {
	w := newWorld(t)
	b := w.as(carl)
	before := w.snapshot()
	a := b.post("/m/records/import", url.Values{"text": {catalogue}, "format": {"yaml"}}).is(http.StatusOK).says("#BuyCap", "add", "#BuyTee", "change", "title")
	b.post("/m/records/import", url.Values{"text": {""}}).is(http.StatusBadRequest)
	b.post("/m/records/import", url.Values{"text": {catalogue + "  colour: red\n- tag: 'no tag'\n"}, "sure": {"yes"}}).is(http.StatusBadRequest).says("line 14", "line 15")
	for _, theirs := range []string{"BuyHat", "BuyPin"} {
		b.post("/m/records/import", url.Values{"text": {strings.Replace(catalogue, "BuyCap", theirs, 1)}, "sure": {"yes"}}).is(http.StatusBadRequest).says("#" + theirs + " is taken.")
	}
	b.post("/m/records/import", url.Values{"text": {strings.Replace(catalogue, "stock: 7", "stock: 7\n  tags: [BuyHat]", 1)}, "sure": {"yes"}}).is(http.StatusBadRequest).says("#BuyHat is taken.")
	if w.snapshot() != before {
		t.Fatal("a look has changed something")
	}
	b.post("/m/records/import", a.formOn()).leads("/m/records/?done=imported")
	if o, _ := w.shop.OfferByTag("BuyCap"); o.Merchant != "records" || o.Stock[""] != 7 {
		t.Error(o)
	}
	if o, _ := w.shop.OfferByTag("BuyTee"); o.Title != "Tour T-shirt, second print" || o.Merchant != "records" {
		t.Error(o)
	}
	if o, _ := w.shop.OfferByTag("BuyHat"); o.Merchant != "hats" {
		t.Error("another merchant's offers are touched")
	}
	b.post("/m/records/import", url.Values{"text": {catalogue}}).is(http.StatusOK).says("says what is there already")
}

func TestImportFile(t *testing.T) {
	w := newWorld(t)
	b := w.as(carl)
	send := func(name, text string) *answer {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		part, err := form.CreateFormFile("file", name)
		if err == nil {
			_, err = part.Write([]byte(text))
		}
		if err == nil {
			err = form.WriteField("csrf", b.csrf)
		}
		if err == nil {
			err = form.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), "POST", "https://desk.example.com/m/records/import", &body)
		r.Header.Set("Content-Type", form.FormDataContentType())
		return b.do(r)
	}
	csv := "tag,title,seller,price,currency,stock\nBuyCap,Cap,Example Records,19.90,EUR,7\n"
	a := send("offers.CSV", csv).is(http.StatusOK).says("#BuyCap", "add")
	if a.formOn().Get("format") != "csv" || a.formOn().Get("sure") != "yes" {
		t.Error(a.formOn())
	}
	b.post("/m/records/import", a.formOn()).leads("/m/records/?done=imported")
	send("offers.yaml", catalogue).is(http.StatusOK).says("#BuyTee")
	send("offers.yaml", strings.Repeat("#", maxForm+1)).is(http.StatusBadRequest).says("too much")
}

// A hashtag in any script has its pages.
func TestOfferInAnyScript(t *testing.T) {
	w := newWorld(t)
	w.desk.Close() // pages that move show one picture
	b := w.as(rita)
	b.post("/m/records/new", with(hoodie, "tag", "買うＴシャツ")).leads("/m/records/?done=added")
	links := regexp.MustCompile(`href="(/m/records/(?:sale|offers)/[^"]*%[^"]*)"`).FindAllStringSubmatch(b.get("/m/records/").body, -1)
	if len(links) < 4 {
		t.Fatal(links)
	}
	for _, link := range links {
		b.get(link[1]).is(http.StatusOK)
	}
	stock := b.post(links[len(links)-1][1]+"/stock", url.Values{"variant": {"M black"}, "by": {"1"}}).is(http.StatusSeeOther)
	b.get(stock.Header().Get("Location")).is(http.StatusOK).says("11 left")
	if moves := regexp.MustCompile(`data-live="([^"]*)"`).FindStringSubmatch(b.get(links[0][1]).body); moves == nil || b.get(moves[1]).Code != http.StatusOK {
		t.Error(moves)
	}
}
