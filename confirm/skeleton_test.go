package confirm

import (
	"strings"
	"testing"
)

// A letter that is written by its skeleton reads as the templates write it.
func FuzzSkeleton(f *testing.F) {
	f.Add("Ann <b>&\"'+\x00\xff", "1 rue Longue\n69001 Lyon\n\n", "https://shop.example/c/a.b-c_d~e?x=1&y=#z", "mark1kram", uint16(0xffff))
	f.Add("", "", "javascript:alert(1)", "\u2028", uint16(0x1234))
	f.Add("a", "\n", "https://shop.example/'(%41%zz) ü", "<!--", uint16(0))
	m, err := newMailTemplates()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, a, b, to, c string, has uint16) {
		bit := func(n uint, s string) string {
			if has>>n&1 == 0 {
				return ""
			}
			return s
		}
		l := letter{Lang: "en", Dir: "ltr", Subject: a, Hello: b, Text: c, Preheader: a + c, Code: bit(0, c), Picture: bit(1, to), PictureAlt: a,
			Colon: ": ", Button: b, Link: bit(2, to), NotMe: hint{Text: c, To: bit(3, to), Label: a}}
		for n := range has >> 4 & 3 {
			l.Notes = append(l.Notes, strings.Repeat(a, int(n))+b)
		}
		for n := range has >> 6 & 7 {
			l.Rows = append(l.Rows, line{Label: a, Value: []string{a, b, c, to}[n%4], Kind: []string{"", "total", "number"}[n%3]})
		}
		html, text, ok := m.skeletons.of(l, m.execute).fill(l)
		if plain := l.Picture+l.Link+l.NotMe.To == "" || plainAddress(to); ok != plain {
			t.Fatalf("%q can be filled in: %v", to, ok)
		}
		if wantHTML, wantText := m.execute(l); ok && (html != wantHTML || text != wantText) {
			t.Errorf("%+v reads\n%s\nwant\n%s\nor\n%s\nwant\n%s", l, html, wantHTML, text, wantText)
		}
		if len(m.skeletons.all) > maxSkeletons {
			t.Errorf("%d skeletons are kept", len(m.skeletons.all))
		}
	})
}

// What a mail costs, written by its skeleton and by the templates themselves.
func BenchmarkMail(b *testing.B) {
	m, err := newMailTemplates()
	if err != nil {
		b.Fatal(err)
	}
	l := letter{Lang: "en", Dir: "ltr", Subject: "Your purchase", Hello: "Hello @ann,", Text: "Press the button to buy it.",
		Colon: ": ", Button: "Confirm", Link: "https://shop.example/c/abc", Notes: []string{"Until 12:30.", "Nothing is charged before."},
		NotMe: hint{Text: "It was not you?", To: "https://shop.example/n/abc", Label: "Stop it"}}
	for range 8 {
		l.Rows = append(l.Rows, line{Label: "Seller", Value: "Example Ltd\n1 Road, Town"})
	}
	b.Run("skeleton", func(b *testing.B) {
		for b.Loop() {
			m.skeletons.of(l, m.execute).fill(l)
		}
	})
	b.Run("templates", func(b *testing.B) {
		for b.Loop() {
			m.execute(l)
		}
	})
}
