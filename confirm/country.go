package confirm

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"hashtill/offers"
	"hashtill/offers/words"
)

// countryField is the name of the forms' field that says where an address is.
const countryField = "country"

// An option is one of those that a field lets one choose.
type option struct {
	Value, Label string
	Chosen       bool
}

// countriesIn are the countries of ISO 3166-1, and XK, which stands for Kosovo by agreement,
// by their names in each language, in its order.
var countriesIn = sync.OnceValue(func() map[string][]option {
	all := map[string][]option{}
	for _, lang := range words.Languages {
		for line := range strings.Lines(words.For(lang).Say("countries", nil)) {
			if code, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
				all[lang] = append(all[lang], option{Value: code, Label: name})
			}
		}
		slices.SortFunc(all[lang], func(a, b option) int { return cmp.Compare(plainLetters(a.Label), plainLetters(b.Label)) })
	}
	return all
})

// plainLetters is a name to sort by: without accents and capitals. The tables of x/text by
// which it could be done in every script, and those of the names, made the binary 4 MB
// larger.
func plainLetters(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFD.String(s))
}

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
