package offers

import (
	"strings"
	"testing"
)

func TestTotal(t *testing.T) {
	o := tee(1, 1)
	o.Prices = []Money{{13900, "EUR"}, {1000, "JPY"}, {5000, "KWD"}}
	o.Delivery = []Money{{500, "EUR"}, {10, "KWD"}}
	o.Tax = 20 * onePercent
	total := func(n int, code string) string {
		m, err := o.Total(n, code)
		if err != nil {
			return err.Error()
		}
		return m.String()
	}
	for _, want := range []struct {
		n               int
		code            string
		included, onTop string
	}{
		{n: 1, code: "USD", included: "149.99 USD", onTop: "179.99 USD"},
		{n: 2, code: "EUR", included: "283.00 EUR", onTop: "339.60 EUR"},
		{n: 3, code: "JPY", included: "3000 JPY", onTop: "3600 JPY"},
		{n: 1, code: "KWD", included: "5.010 KWD", onTop: "6.010 KWD"}, // 6.012, in steps of 0.010
	} {
		o.TaxAdded = false
		if got := total(want.n, want.code); got != want.included {
			t.Errorf("%d in %s: %s, want %s", want.n, want.code, got, want.included)
		}
		o.TaxAdded = true
		if got := total(want.n, want.code); got != want.onTop {
			t.Errorf("%d in %s with tax on top: %s, want %s", want.n, want.code, got, want.onTop)
		}
	}
	if got := total(1, "GBP"); !strings.Contains(got, "no price in GBP") {
		t.Error(got)
	}
}

func TestTermsOfAWish(t *testing.T) {
	o := tee(1, 1)
	o.Prices = []Money{{13900, "EUR"}}
	for _, c := range []struct{ words, country, want string }{
		{"", "", "USD"}, {"black eur please", "", "EUR"}, {"", "FR", "EUR"}, {"USD", "FR", "USD"}, {"", "JP", "USD"},
	} {
		if got := o.currencyOf(strings.Fields(c.words), c.country); got != c.want {
			t.Errorf("%q from %q pays in %s, want %s", c.words, c.country, got, c.want)
		}
	}
	o.Countries = []string{"FR", "BE"}
	for country, want := range map[string]Reason{"FR": "", "": CountryNeeded, "US": NotSoldThere} {
		if got := o.soldTo(country); got != want {
			t.Errorf("to %q: %q, want %q", country, got, want)
		}
	}
}

func TestChooseByAliases(t *testing.T) {
	o := tee(1, 1)
	o.Stock = map[string]int{"M black": 1, "M white": 1, "Été": 1}
	o.Aliases = map[string][]string{"M black": {"M noir", "medium black"}}
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	for words, want := range map[string]string{
		"noir m": "M black", "BLACK, medium": "M black", "m white": "M white", "ete": "Été", "É́té!": "Été", "m": "",
	} {
		if got, ok := o.Choose(strings.Fields(words)); got != want || ok != (want != "") {
			t.Errorf("%q chooses %q, %t; want %q", words, got, ok, want)
		}
	}
}

func TestTermsAreValidated(t *testing.T) {
	for want, edit := range map[string]func(*Offer){
		"is there twice":       func(o *Offer) { o.Prices = []Money{{1, "USD"}} },
		"no price in EUR":      func(o *Offer) { o.Delivery = []Money{{1, "EUR"}} },
		"no tax_percent":       func(o *Offer) { o.TaxAdded = true },
		"hashtag that can":     func(o *Offer) { o.Tags = []string{"12"} },
		"#BUYTEE":              func(o *Offer) { o.Tags = []string{"BUYTEE"} },
		"no variant":           func(o *Offer) { o.Aliases = map[string][]string{"L": {"large"}} },
		"none of wish":         func(o *Offer) { o.Hold = "later" },
		"no time zone":         func(o *Offer) { o.Zone = "Mars/Olympus" },
		"no country":           func(o *Offer) { o.Countries = []string{"fr"} },
		"FR is there twice":    func(o *Offer) { o.Countries = []string{"FR", "FR"} },
		"no merchant's id":     func(o *Offer) { o.Merchant = "A B" },
		"must be more than no": func(o *Offer) { o.Delivery = []Money{{-1, "USD"}} },
	} {
		o := tee(1, 1)
		edit(&o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Another hashtag of an offer means it, and its own wins.
func TestOtherTags(t *testing.T) {
	a, b := tee(1, 1), tee(1, 1)
	a.Tags = []string{"TourTee", "BuyHat"}
	b.ID, b.Tag = "buyhat", "BuyHat"
	s := newShop(t, b)
	if err := s.Import(t.Context(), []Offer{a}, false); err == nil || !strings.Contains(err.Error(), "#buyhat belongs to the offer #BuyHat") {
		t.Errorf("an import with another's hashtag: %v", err)
	}
	if err := s.PutOffer(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for tag, want := range map[string]string{"tourtee": "buytee", "BuyHat": "buyhat", "BUYTEE": "buytee", "none": ""} {
		if o, _ := s.OfferByTag(tag); o.ID != want {
			t.Errorf("#%s is %q, want %q", tag, o.ID, want)
		}
	}
	if tags := strings.Join(s.Tags(), " "); tags != "BuyHat BuyHat BuyTee TourTee" {
		t.Error(tags)
	}
}

// Another hashtag is known as soon as its offer is, whoever has read that.
func TestOtherTagsAreKnownAtOnce(t *testing.T) {
	s := newShop(t)
	o := tee(1, 1)
	o.Tags = []string{"TourTee"}
	if err := s.PutOffer(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := s.reload(t.Context(), o.ID); err != nil {
		t.Fatal(err)
	}
	if o, ok := s.OfferByTag("tourtee"); !ok || o.ID != "buytee" {
		t.Errorf("#tourtee is %q, %t", o.ID, ok)
	}
}
