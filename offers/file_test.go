package offers

import (
	"strings"
	"testing"
)

func TestReadYAML(t *testing.T) {
	got, err := ReadYAML(strings.NewReader(`
- tag: BuyTee
  title: Tour T-shirt
  seller: Example Records
  price: 149.90
  currency: USD
  variants: {M black: 10, L black: 5}
  closes: 2026-11-21T23:00:00+01:00
- {tag: Été, title: Disque, seller: Example Records, price: 20, currency: EUR, stock: 3, per_buyer: 2}
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].ID != "buytee" || got[0].Price != (Money{14990, "USD"}) || got[0].Stock["L black"] != 5 ||
		got[0].PerBuyer != 1 || got[0].Closes.UTC().Hour() != 22 || got[1].ID != "été" || got[1].Stock[""] != 3 {
		t.Errorf("read %+v", got)
	}
}

func TestReadYAMLTellsEveryFault(t *testing.T) {
	_, err := ReadYAML(strings.NewReader(`- {tag: BuyTee, title: A, seller: S, price: 1.999, currency: USD}
- {tag: "not a tag", title: A, seller: S, price: 1, currency: USD}

- {tag: Fine, title: A, seller: S, price: 1, currency: USD, stock: 1, per_buyer: 100}
- {tag: Both, title: A, seller: S, price: 1, currency: USD, stock: 1, variants: {a: 1}}
`))
	for _, want := range []string{"line 1: offer #BuyTee", "line 2: offer #not a tag", "line 4: offer #Fine", "line 5: offer #Both"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not told in:\n%v", want, err)
		}
	}
	for text, want := range map[string]string{
		"- tag: A\n  colour: red\n":   `line 2: unknown key "colour"`,
		"- tag: A\n  per_buyer: many": "line 2: this key wants another kind",
		"tag: A":                      "wants another kind",
		"- tag: [":                    "yaml",
	} {
		if _, err := ReadYAML(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzReadYAML(f *testing.F) {
	f.Add("- {tag: BuyTee, title: A, seller: S, price: 1.99, currency: USD, stock: 1}")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := ReadYAML(strings.NewReader(text))
		for _, o := range all {
			if err != nil || o.Validate() != nil {
				t.Errorf("%q gave an offer that is not valid: %+v", text, o)
			}
		}
	})
}
