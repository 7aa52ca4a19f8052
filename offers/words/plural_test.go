package words

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

// categories are the forms that a language has for whole numbers that a buyer may read
// (Unicode CLDR, https://www.unicode.org/cldr/charts/latest/supplemental/language_plural_rules.html).
func categories(t *testing.T, lang string) []string {
	t.Helper()
	b := i18n.NewBundle(fallback)
	m := &i18n.Message{ID: "m", Zero: "zero", One: "one", Two: "two", Few: "few", Many: "many", Other: "other"}
	if err := b.AddMessages(language.MustParse(lang), m); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{"other": true}
	for n := range 1_001 { // French has a form of its own for millions
		n *= max(1, n/1_000*1_000)
		found[i18n.NewLocalizer(b, lang).MustLocalize(&i18n.LocalizeConfig{MessageID: "m", PluralCount: n})] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// Each message that counts has the forms of its language: no more, no less.
func TestPluralsAreThoseOfTheLanguage(t *testing.T) {
	counted := map[string]bool{}
	for _, lang := range Languages {
		want := categories(t, lang)
		for key, has := range forms(t, lang) {
			if len(has) > 1 {
				counted[key] = true
			}
			if got := slices.Sorted(maps.Keys(has)); len(has) > 1 && !slices.Equal(got, want) {
				t.Errorf("%s: %s has %v, want %v", lang, key, got, want)
			}
		}
	}
	for _, lang := range Languages {
		for key, has := range forms(t, lang) {
			if counted[key] && len(has) == 1 {
				t.Errorf("%s: %s counts, and has one form", lang, key)
			}
			for form, text := range has {
				if !counted[key] && strings.Contains(text, "{{.Count}}") {
					t.Errorf("%s: %s (%s) counts without plurals", lang, key, form)
				}
			}
		}
	}
}

// A language is one file, whatever forms it has: Arabic has all six.
func TestAnotherLanguage(t *testing.T) {
	forget, err := Also("ar", []byte(`reply: {cancelled: {zero: "zero", one: "one", two: "two", few: "few {{.Count}}", many: "many", other: "other"}}`))
	if err != nil {
		t.Fatal(err)
	}
	w := For("ar-EG")
	for n, want := range map[int]string{0: "zero", 1: "one", 2: "two", 5: "few 5", 11: "many", 100: "other"} {
		if got := w.Say("reply.cancelled", map[string]any{"Count": n}); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	if w.Dir() != "rtl" || For("en").Dir() != "ltr" || For("fr").Dir() != "ltr" {
		t.Errorf("written %s, %s, %s", w.Dir(), For("en").Dir(), For("fr").Dir())
	}
	forget()
	if got := For("ar").Lang; got != "en" {
		t.Errorf("forgotten, and still %s", got)
	}
	for lang, file := range map[string]string{"ar": "reply: [", "no language": "reply: {}"} {
		if _, err := Also(lang, []byte(file)); err == nil {
			t.Errorf("%s: %s is a language", lang, file)
		}
	}
}
