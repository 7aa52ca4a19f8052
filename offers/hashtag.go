package offers

import (
	"strings"
	"unicode"
)

// What may stand in a hashtag, after twitter-text
// (https://github.com/twitter/twitter-text, conformance/extract.yml).

// TagLetter is a rune of which a hashtag needs at least one.
func TagLetter(r rune) bool { return unicode.IsLetter(r) || unicode.IsMark(r) }

// TagRune is any rune that a hashtag may hold.
func TagRune(r rune) bool {
	if r <= unicode.MaxASCII {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_'
	}
	if TagLetter(r) || unicode.Is(unicode.Nd, r) {
		return true
	}
	switch r {
	case '\u200c', '\u200d', '\ua67e', '\u05be', '\u05f3', '\u05f4', '\uff5e', '\u301c', '\u309b',
		'\u309c', '\u30a0', '\u30fb', '\u3003', '\u0f0b', '\u0f0c', '\u00b7':
		return true
	}
	return false
}

// CodeLetter says whether c may stand in a [Code], behind n letters of it. [ParseCode] tells
// whether all of them are one. It is for who looks at each word of a whole network.
func CodeLetter(n int, c byte) bool {
	switch {
	case n >= codeLength:
		return false
	case n == codeLength-1:
		return strings.IndexByte(codeChecks, c) >= 0
	case n%2 == 1:
		return strings.IndexByte(codeVowels, c) >= 0
	}
	return strings.IndexByte(codeConsonants, c) >= 0
}
