package x

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxWeight is what a post may weigh, and linkWeight what a link weighs
// (https://docs.x.com/fundamentals/counting-characters; the ranges below:
// https://github.com/twitter/twitter-text, config/v3.json).
const (
	maxWeight  = 280
	linkWeight = 23
)

// Whole addresses, and words that X may take for one: which ones it does depends
// on its list of domains.
var linkPattern = regexp.MustCompile(`(?i)https?://[^\s<>"]+|[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)*\.\p{L}{2,}(?:/[^\s<>"]*)?`)

// weight is the length of a text as X counts it. Where X's list of domains
// decides, it is the greater of both lengths.
func weight(text string) int {
	text = norm.NFC.String(text)
	total, from := 0, 0
	for _, m := range linkPattern.FindAllStringIndex(text, -1) {
		total += plainWeight(text[from:m[0]])
		from = m[1]
		link := text[m[0]:m[1]]
		if strings.Contains(link, "://") {
			total += linkWeight
		} else {
			total += max(linkWeight, plainWeight(link))
		}
	}
	return total + plainWeight(text[from:])
}

// unlinked parts what X may take for a link by spaces: after each dot that a letter
// follows, and before the slashes of an address with a scheme. A domain of X's needs the
// dot and its letters side by side.
func unlinked(text string) string {
	text = strings.ReplaceAll(text, "://", ": //")
	var out strings.Builder
	var dot, word bool // what came before is a dot, with something before it
	for _, r := range text {
		if dot && unicode.IsLetter(r) {
			out.WriteByte(' ')
		}
		dot = word && r == '.'
		word = !unicode.IsSpace(r)
		out.WriteRune(r)
	}
	return out.String()
}

// maskLinks puts one and the same mark in the place of every link.
func maskLinks(text string) string { return linkPattern.ReplaceAllString(text, "\x00") }

func plainWeight(text string) int {
	total := 0
	for text != "" {
		r, size := utf8.DecodeRuneInString(text)
		if n := emojiSize(text); n > 0 {
			total, text = total+2, text[n:]
			continue
		}
		switch {
		case r <= 4351, 8192 <= r && r <= 8205, 8208 <= r && r <= 8223, 8242 <= r && r <= 8247:
			total++
		default:
			total += 2
		}
		text = text[size:]
	}
	return total
}

const (
	joiner = '\u200d'
	emoji  = '\ufe0f'
	keycap = '\u20e3'
)

// emojiSize is the length in bytes of the emoji at the start of text, however
// many code points it is made of, 0 if there is none
// (https://www.unicode.org/reports/tr51/, emoji_zwj_sequence and its like).
func emojiSize(text string) int {
	at := func(i int) (rune, int) { return utf8.DecodeRuneInString(text[i:]) }
	first, i := at(0)
	if second, n := at(i); isFlag(first) && isFlag(second) {
		return i + n
	} else if strings.ContainsRune("0123456789#*", first) || first == '©' || first == '®' {
		if second == emoji {
			i += n
			second, n = at(i)
		}
		switch {
		case second == keycap && first < utf8.RuneSelf:
			return i + n
		case first > utf8.RuneSelf && i > 2:
			return i
		}
		return 0
	}
	if !isPicture(first) {
		return 0
	}
	for {
		r, n := at(i)
		switch {
		case r == emoji, 0x1f3fb <= r && r <= 0x1f3ff, 0xe0020 <= r && r <= 0xe007f: // style, skin, tags
			i += n
		case r == joiner:
			next, m := at(i + n)
			if !isPicture(next) {
				return i
			}
			i += n + m
		default:
			return i
		}
	}
}

func isFlag(r rune) bool { return 0x1f1e6 <= r && r <= 0x1f1ff }

// isPicture takes in all blocks in which emoji stand; what else stands there
// weighs 2 as well.
func isPicture(r rune) bool {
	return !isFlag(r) && 0x1f000 <= r && r <= 0x1faff || 0x2190 <= r && r <= 0x2bff
}
