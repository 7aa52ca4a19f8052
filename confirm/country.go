package confirm

import (
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/collate"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"hashtill/offers"
	"hashtill/offers/words"
)

// countryField is the name of the forms' field that says where an address is.
const countryField = "country"

// countries are those of ISO 3166-1, and XK, which stands for Kosovo by agreement.
const countries = `
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR
GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP
KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY
MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM
PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ
TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW`

// An option is one of those that a field lets one choose.
type option struct {
	Value, Label string
	Chosen       bool
}

// countriesIn are the countries by their names in each language, in its order.
var countriesIn = sync.OnceValue(func() map[string][]option {
	all := map[string][]option{}
	for _, lang := range words.Languages {
		tag := language.MustParse(lang)
		names, order := display.Regions(tag), collate.New(tag)
		for _, code := range strings.Fields(countries) {
			all[lang] = append(all[lang], option{Value: code, Label: names.Name(language.MustParseRegion(code))})
		}
		slices.SortFunc(all[lang], func(a, b option) int { return order.CompareString(a.Label, b.Label) })
	}
	return all
})

// countryChoice is the field that asks for a country. Nobody has to tell.
func countryChoice(say words.Words, label, chosen string) field {
	all := append([]option{{Label: say.Say("field.country_not_told", nil)}}, countriesIn()[say.Lang]...)
	at := slices.IndexFunc(all, func(o option) bool { return o.Value == chosen })
	if at < 0 && offers.ValidCountry(chosen) { // the operator knows more than the list
		at, all = len(all), append(all, option{Value: chosen, Label: chosen})
	}
	all[max(at, 0)].Chosen = true
	return field{Name: countryField, Label: label, Auto: "country", Options: all}
}
