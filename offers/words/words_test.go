package words

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"hashtill/offers"
)

// messages reads a language's file as text: key to message, plurals taken together.
func messages(t *testing.T, lang string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for key, m := range forms(t, lang) {
		all[key] = m["other"]
	}
	return all
}

// forms reads a language's file: key to the forms of a message, of which "other" is the
// only one where it has no plurals.
func forms(t *testing.T, lang string) map[string]map[string]string {
	t.Helper()
	text, err := os.ReadFile(lang + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string]string{}
	var walk func(prefix string, v any)
	walk = func(prefix string, v any) {
		m, ok := v.(map[string]any)
		if !ok {
			all[prefix] = map[string]string{"other": v.(string)}
			return
		}
		if _, plural := m["other"]; plural {
			all[prefix] = map[string]string{}
			for form, text := range m {
				all[prefix][form] = text.(string)
			}
			return
		}
		for k, v := range m {
			walk(strings.TrimPrefix(prefix+"."+k, "."), v)
		}
	}
	walk("", doc)
	return all
}

var placeholder = regexp.MustCompile(`\{\{[^}]*\}\}`)

func placeholders(s string) []string {
	found := placeholder.FindAllString(s, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

// Every language says the same things with the same placeholders.
func TestLanguagesAgree(t *testing.T) {
	if len(Languages) < 2 {
		t.Fatalf("only %v", Languages)
	}
	want := messages(t, Languages[0])
	for _, lang := range Languages[1:] {
		got := messages(t, lang)
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if _, ok := got[key]; !ok {
				t.Errorf("%s: %s is missing", lang, key)
			} else if !slices.Equal(placeholders(got[key]), placeholders(want[key])) {
				t.Errorf("%s: %s has %v, %s has %v", lang, key, placeholders(got[key]), Languages[0], placeholders(want[key]))
			}
			delete(got, key)
		}
		for key := range got {
			t.Errorf("%s: %s is nowhere else", lang, key)
		}
	}
}

var someArgs = map[string]any{
	"Title": strings.Repeat("W", 40), "Total": "$149,999.99", "Minutes": 15, "Code": "#bozulapitak", "Ref": "abc123",
	"Choices": strings.Repeat("M black, ", 9)[:80], "Count": 2, "Handle": "ann", "Number": "07-abc", "Until": "20:15 UTC",
	"Brand": "Visa", "Last4": "4242", "Reason": "Sold out", "Paid": "1 May", "Tag": "#BuyTee",
	"Limit": "$200.00", "Left": "$50.00", "Currency": "USD",
	"Date": "04/2027", "Network": "X", "Email": "a•••@example.com", "Card": "Visa ending in 4242", "Most": "200.00 USD",
	"Version": "2026-11", "At": "2026-11-21", "Amount": "$12.50", "Rate": "5.5", "Place": 10000, "Price": "$149.99", "Example": "#BuyTee M black",
}

func TestEveryMessageRenders(t *testing.T) {
	for _, lang := range Languages {
		w := For(lang)
		for key := range messages(t, lang) {
			text := w.Say(key, someArgs)
			if text == "" || text == key || strings.Contains(text, "<no value>") || strings.Contains(text, "{{") {
				t.Errorf("%s: %s reads %q", lang, key, text)
			}
		}
	}
}

// Replies fit the network, hold no address, and no hashtag but the code.
func TestRepliesFit(t *testing.T) {
	for _, lang := range Languages {
		w := For(lang)
		for key := range messages(t, lang) {
			if !strings.HasPrefix(key, "reply.") {
				continue
			}
			text := w.Say(key, someArgs)
			if n := utf8.RuneCountInString(text); n > 200 {
				t.Errorf("%s: %s has %d characters: %s", lang, key, n, text)
			}
			if key != "reply.code" && (strings.Contains(text, "#") || !strings.Contains(text, "abc123")) || strings.Contains(text, "://") {
				t.Errorf("%s: %s: %s", lang, key, text)
			}
		}
	}
}

// Whatever a purchase is refused for has its words.
func TestEveryReasonHasWords(t *testing.T) {
	source, err := os.ReadFile("../purchase.go")
	if err != nil {
		t.Fatal(err)
	}
	reasons := regexp.MustCompile(`Reason\s+= "(\w+)"`).FindAllStringSubmatch(string(source), -1)
	if len(reasons) < 20 {
		t.Fatalf("found only %d reasons", len(reasons))
	}
	for _, r := range reasons {
		for _, part := range []string{".title", ".text"} {
			if key := "reason." + r[1] + part; !For("en").Has(key) {
				t.Errorf("%s is missing", key)
			}
		}
	}
	for _, r := range []offers.Reason{offers.SoldOut, offers.NotOpenYet, offers.OfferClosed, offers.LimitReached, offers.WhichVariant,
		offers.OverPurchase, offers.OverDay, offers.OverMonth, offers.OverCurrency, offers.QuietHours, offers.CountryNeeded, offers.NotSoldThere} {
		if key := "reply.refused." + string(r); !For("en").Has(key) {
			t.Errorf("%s is missing", key)
		}
	}
	for _, r := range []offers.Reason{offers.NotYourCode, offers.CodeUnknown, offers.TooLate, offers.BuyerFrozen} {
		if key := "reply." + string(r); !For("en").Has(key) {
			t.Errorf("%s is missing", key)
		}
	}
}

// French sets its high marks off by a space that does not break a line.
func TestFrenchIsWellSet(t *testing.T) {
	wrong := regexp.MustCompile(`[^\x{a0}\x{202f}\d][;!?:»]|«[^\x{a0}\x{202f}]|'`)
	for key, text := range messages(t, "fr") {
		if bad := wrong.FindString(text); bad != "" {
			t.Errorf("%s has %q: %s", key, bad, text)
		}
	}
}

func TestFor(t *testing.T) {
	for _, c := range []struct{ want, first, second string }{
		{"en", "", ""}, {"fr", "fr", ""}, {"fr", "fr-CA,en;q=0.5", ""}, {"en", "de", ""}, {"fr", "de", "fr"},
		{"fr", "", "fr-CH"}, {"en", "und", ""}, {"en", ";;;", "\xff"}, {"en", "en-GB", "fr"}, {"fr", "qme", "fr"},
		{"fr", "fr" + strings.Repeat(",de-AT;q=0.5", 50), ""}, {"en", strings.Repeat("x", 300), ""}, {"fr", "fr;q=0,fr;q=0.5,", ""},
	} {
		if got := For(c.first, c.second).Lang; got != c.want {
			t.Errorf("For(%q, %q) is %s, want %s", c.first, c.second, got, c.want)
		}
	}
}

func TestPlurals(t *testing.T) {
	for lang, want := range map[string][2]string{"en": {"Your purchase is", "Your 2 purchases are"}, "fr": {"Votre achat est", "Vos 2 achats sont"}} {
		for i, n := range []int{1, 2} {
			if got := For(lang).Say("reply.cancelled", map[string]any{"Count": n, "Ref": "r"}); !strings.HasPrefix(got, want[i]) {
				t.Errorf("%s, %d: %s", lang, n, got)
			}
		}
	}
}
