package confirm

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"hashtill/offers"
	"hashtill/offers/words"
)

// All countries have a name in each language, in the order of that language.
func TestCountries(t *testing.T) {
	for _, lang := range words.Languages {
		all := countriesIn()[lang]
		names := display.Regions(language.MustParse(lang))
		for _, o := range all {
			if want := names.Name(language.MustParseRegion(o.Value)); o.Label != want {
				t.Errorf("%s in %s is %q, and %q by Unicode CLDR", o.Value, lang, o.Label, want)
			}
		}
		if len(all) != 250 {
			t.Errorf("%s: %d countries", lang, len(all))
		}
		seen := map[string]bool{}
		for _, o := range all {
			if !offers.ValidCountry(o.Value) || o.Label == "" || o.Label == o.Value || seen[o.Value] || seen[o.Label] {
				t.Errorf("%s: %+v", lang, o)
			}
			seen[o.Value], seen[o.Label] = true, true
		}
	}
	at := func(code string) int {
		return slices.IndexFunc(countriesIn()["fr"], func(o option) bool { return o.Value == code })
	}
	if some := []int{at("ZA"), at("DE"), at("EC"), at("FI")}; !slices.IsSorted(some) {
		t.Errorf("Afrique du Sud, Allemagne, Équateur, Finlande: %d", some)
	}
}

func chosen(f field) (all []string) {
	for _, o := range f.Options {
		if o.Chosen {
			all = append(all, o.Value)
		}
	}
	return all
}

func TestCountryChoice(t *testing.T) {
	say := words.For("en")
	for is, want := range map[string]string{"": "", "FR": "FR", "AC": "AC", "fr": "", "<b>": ""} {
		if got := chosen(countryChoice(say, "Country", is)); !slices.Equal(got, []string{want}) {
			t.Errorf("%q shows as %q", is, got)
		}
	}
	if got := chosen(field{Options: countriesIn()["en"]}); len(got) > 0 {
		t.Errorf("a choice stays for everybody: %v", got)
	}
}

// The country is asked for beside the address, kept with it, and may be taken back.
func TestCountryIsKept(t *testing.T) {
	j := newJoining(t, "fr")
	p := j.signsIn(j.phone)
	p.post("/join/email", "email", "ann@example.com", "country", "Nowhere").shows(http.StatusUnprocessableEntity, "Nous ne connaissons pas ce pays")
	if strings.Contains(p.rec.Body.String(), "Nowhere") {
		t.Error("what is no country can be chosen")
	}
	p.post("/join/email", "email", "ann<", "country", "BE").shows(http.StatusUnprocessableEntity, `<option value="BE" selected>Belgique</option>`)
	p.post("/join/email", "email", "ann@example.com", "country", "BE")
	p.post("/join/code", "code", j.code("ann@example.com"))
	j.saves(savedVisa)
	p.get("/join/card")
	want := func(country string) {
		t.Helper()
		if b := buyerOf(t, j.world); b.Country != country {
			t.Errorf("country %q, want %q", b.Country, country)
		}
	}
	want("BE")
	p.get("/account").shows(http.StatusOK, `<option value="BE" selected>Belgique</option>`)
	p.post("/account/address", "address", "1 rue Longue", "country", "FR").shows(http.StatusOK, `<option value="FR" selected>France</option>`)
	want("FR")
	p.post("/account/address", "address", "1 rue Longue", "country", "XX").shows(http.StatusUnprocessableEntity, "Nous ne connaissons pas ce pays")
	want("FR")
	var kept struct{ Buyer struct{ Country string } }
	if err := json.Unmarshal(p.get("/account/data").rec.Body.Bytes(), &kept); err != nil || kept.Buyer.Country != "FR" {
		t.Errorf("the file of all that is kept has %+v, %v", kept, err)
	}
	p.post("/account/address", "address", "1 rue Longue", "country", "")
	want("")
}
