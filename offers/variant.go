package offers

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Variants are the names of what can be chosen, sorted; one empty name where
// there is no choice.
func (o Offer) Variants() []string {
	names := make([]string, 0, len(o.Stock))
	for name := range o.Stock {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Choose finds the variant that the words of a wish name: the one all of whose
// words, or all those of one of its aliases, stand among them, in any order and case,
// with accents or without; where several do, the one with the most words. Not ok:
// none does, or two equally.
func (o Offer) Choose(words []string) (variant string, ok bool) {
	if _, single := o.Stock[""]; single {
		return "", true
	}
	said := map[string]bool{}
	for _, w := range words {
		said[wordKey(w)] = true
	}
	best := 0
	for _, name := range o.Variants() {
		most := 0
		for _, called := range append([]string{name}, o.Aliases[name]...) {
			named := strings.Fields(called)
			if !slices.ContainsFunc(named, func(w string) bool { return !said[wordKey(w)] }) {
				most = max(most, len(named))
			}
		}
		switch {
		case most == 0 || most < best:
		case most == best:
			ok = false
		default:
			variant, ok, best = name, true, most
		}
	}
	return variant, ok
}

// wordKey is what two words of wishes have in common that count as the same: as hashtags
// do (see [TagKey]), and without accents, which keyboards leave out.
func wordKey(w string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(TagKey(Word(w))) {
		if !unicode.Is(unicode.Mn, r) {
			b.WriteRune(r)
		}
	}
	return norm.NFC.String(b.String())
}

// ParseTimes reads how many are wanted: "x2", "2x", "×2" and "2×". More than can be
// had is as good as any other number that is too large.
func ParseTimes(word string) (int, bool) {
	word = TagKey(word)
	digits := word
	for _, x := range []string{"x", "×"} {
		if d, ok := strings.CutPrefix(word, x); ok {
			digits = d
		} else if d, ok := strings.CutSuffix(word, x); ok {
			digits = d
		}
	}
	if digits == word {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	return int(min(n, 10*MaxQuantity+9)), err == nil && n > 0
}

// Word is a word of a text without what stands around it: commas, quotes, brackets.
func Word(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '×' })
}
