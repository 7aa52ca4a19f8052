package xtest

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Hashtag is a hashtag in a text, without its # sign. Start and End count code
// points from the start of the text; the # is included, End is not.
type Hashtag struct {
	Start, End int
	Tag        string
}

// Mention is an @name in a text that named an account when the text was
// posted. Start and End count as in Hashtag.
type Mention struct {
	Start, End        int
	Handle, AccountID string
}

// Link is a t.co link in a text and the address it stands for.
type Link struct {
	Start, End   int
	URL, Expands string
}

// maxWeight is the weighted length a text may have.
const maxWeight = 280

// An address with its scheme, or a bare domain of a well-known ending: X links
// both. Whether a match really stands alone is decided by links.
var linkPattern = regexp.MustCompile(`(?i)https?://[^\s<>"…]+|` +
	`(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?:com|org|net|info|io|co|eu|de|uk|fr|nl|dev|app|shop|store|biz|me|us)(?:/[^\s<>"…]*)?`)

// links returns the byte ranges of text that X turns into links.
func links(text string) [][2]int {
	var found [][2]int
	for _, m := range linkPattern.FindAllStringIndex(text, -1) {
		start, end := m[0], m[0]+len(strings.TrimRight(text[m[0]:m[1]], `.,;:!?'")`))
		before, _ := utf8.DecodeLastRuneInString(text[:start])
		after, _ := utf8.DecodeRuneInString(text[m[1]:])
		if start > 0 && (isWordRune(before) || strings.ContainsRune("@#$/.-", before)) {
			continue
		}
		if m[1] < len(text) && end == m[1] && (isWordRune(after) || after == '-' || after == '@') {
			continue
		}
		found = append(found, [2]int{start, end})
	}
	return found
}

// weight returns the length of a text as X counts it: Latin and most other
// alphabets 1 a character, everything else 2, an emoji 2 however many code
// points it has, a link 23.
// https://docs.x.com/fundamentals/counting-characters and
// https://github.com/twitter/twitter-text/blob/master/config/v3.json
func weight(text string) int {
	text = norm.NFC.String(text)
	total, from := 0, 0
	for _, l := range links(text) {
		total += plainWeight(text[from:l[0]]) + 23
		from = l[1]
	}
	return total + plainWeight(text[from:])
}

func plainWeight(text string) int {
	total, runes := 0, []rune(text)
	for i := 0; i < len(runes); {
		if n := emojiLen(runes[i:]); n > 0 {
			total, i = total+2, i+n
			continue
		}
		switch r := runes[i]; {
		case r <= 4351, 8192 <= r && r <= 8205, 8208 <= r && r <= 8223, 8242 <= r && r <= 8247:
			total++
		default:
			total += 2
		}
		i++
	}
	return total
}

// emojiLen returns how many code points at the start of runes make up one
// emoji, or 0 if none does.
func emojiLen(runes []rune) int {
	at := func(i int) rune {
		if i < len(runes) {
			return runes[i]
		}
		return 0
	}
	flag := func(r rune) bool { return 0x1F1E6 <= r && r <= 0x1F1FF }
	base := func(r rune) bool {
		return 0x1F000 <= r && r <= 0x1FAFF && !flag(r) || 0x2190 <= r && r <= 0x2BFF
	}
	first := at(0)
	if flag(first) && flag(at(1)) {
		return 2
	}
	if strings.ContainsRune("0123456789#*", first) {
		if at(1) == 0xFE0F && at(2) == 0x20E3 {
			return 3
		}
		if at(1) == 0x20E3 {
			return 2
		}
		return 0
	}
	if !base(first) {
		return 0
	}
	n := 1
	for {
		switch r := at(n); {
		case r == 0xFE0F, 0x1F3FB <= r && r <= 0x1F3FF, 0xE0020 <= r && r <= 0xE007F:
			n++
		case r == 0x200D && base(at(n+1)):
			n += 2
		default:
			return n
		}
	}
}

// shorten turns the links of a text into t.co links of 23 characters.
func shorten(text string) (string, []Link) {
	var out strings.Builder
	var made []Link
	from, points := 0, 0
	for _, l := range links(text) {
		address := text[l[0]:l[1]]
		short := address
		if !strings.HasPrefix(address, "https://t.co/") {
			sum := sha256.Sum256([]byte(address))
			short = "https://t.co/" + hex.EncodeToString(sum[:5])
		}
		if !strings.Contains(address, "://") {
			address = "http://" + address
		}
		out.WriteString(text[from:l[0]])
		points += utf8.RuneCountInString(text[from:l[0]])
		out.WriteString(short)
		made = append(made, Link{Start: points, End: points + len(short), URL: short, Expands: address})
		points += len(short)
		from = l[1]
	}
	out.WriteString(text[from:])
	return out.String(), made
}

// hashtags finds the hashtags of a text: # or the full-width ＃, not inside a
// word, then letters, marks, digits and underscores with at least one letter.
func hashtags(text string) []Hashtag {
	var found []Hashtag
	runes := []rune(text)
	for i := 0; i < len(runes); i++ {
		if runes[i] != '#' && runes[i] != '＃' {
			continue
		}
		if i > 0 && (isTagRune(runes[i-1]) || runes[i-1] == '&') {
			continue
		}
		end, letter := i+1, false
		for end < len(runes) && isTagRune(runes[end]) {
			letter = letter || unicode.IsLetter(runes[end]) || unicode.IsMark(runes[end])
			end++
		}
		if !letter || end < len(runes) && (runes[end] == '#' || runes[end] == '＃') || strings.HasPrefix(string(runes[end:]), "://") {
			continue
		}
		found = append(found, Hashtag{Start: i, End: end, Tag: string(runes[i+1 : end])})
		i = end - 1
	}
	return found
}

// isTagRune reports whether r may be part of a hashtag. Beside the plain
// classes twitter-text allows some joiners and middle dots.
func isTagRune(r rune) bool {
	return isWordRune(r) || strings.ContainsRune("\u200c\u200d\ua67e\u05be\u05f3\u05f4\uff5e\u301c\u309b\u309c\u30a0\u30fb\u3003\u0f0b\u0f0c\u00b7", r)
}

func isWordRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r) || r == '_'
}

// mentions finds the @names of a text that name an account.
func (s *Server) mentions(text string) []Mention {
	var found []Mention
	runes := []rune(text)
	for i := 0; i < len(runes); i++ {
		if runes[i] != '@' && runes[i] != '＠' {
			continue
		}
		if i > 0 && (isHandleRune(runes[i-1]) || strings.ContainsRune("!#$%&*@＠", runes[i-1])) {
			continue
		}
		end := i + 1
		for end < len(runes) && isHandleRune(runes[end]) {
			end++
		}
		if end < len(runes) && (runes[end] == '@' || isWordRune(runes[end])) || strings.HasPrefix(string(runes[end:]), "://") {
			continue
		}
		if a := s.byHandle(string(runes[i+1 : end])); a != nil {
			found = append(found, Mention{Start: i, End: end, Handle: a.Handle, AccountID: a.ID})
		}
		i = end - 1
	}
	return found
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// offsets returns where a code point of text stands after escaping.
func offsets(text string) func(int) int {
	if !strings.ContainsAny(text, "&<>") {
		return func(i int) int { return i }
	}
	at := []int{0}
	for _, r := range text {
		at = append(at, at[len(at)-1]+utf8.RuneCountInString(escaper.Replace(string(r))))
	}
	return func(i int) int { return at[i] }
}
