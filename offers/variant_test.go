package offers

import (
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// The short way of TagKey comes to what the long way comes to.
func FuzzTagKey(f *testing.F) {
	for _, tag := range []string{"#BuyTee", "buytee", "ＢｕｙＴｅｅ", "##a", "İstanbul", "a b\x00", "Straße"} {
		f.Add(tag)
	}
	f.Fuzz(func(t *testing.T, tag string) {
		long := norm.NFKC.String(cases.Fold().String(strings.TrimPrefix(norm.NFKC.String(tag), "#")))
		if got := TagKey(tag); utf8.ValidString(tag) && got != long {
			t.Errorf("%q: %q, and %q", tag, got, long)
		}
	})
}
