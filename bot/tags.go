package bot

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"hashtill/offers"
)

// Tags returns the hashtags of a text, in order, without their '#', as
// twitter-text finds them
// (https://github.com/twitter/twitter-text, conformance/extract.yml): a run of
// letters, marks, digits and a few joining characters with at least one letter
// in it, behind a '#' that neither stands within a word nor within a link. It
// takes time in proportion to the text.
//
// Where a network sends the hashtags it has found, those count, and not these.
func Tags(text string) []string {
	var tags []string
	for _, s := range tagSpans(text) {
		_, sign := utf8.DecodeRuneInString(text[s[0]:])
		tags = append(tags, text[s[0]+sign:s[1]])
	}
	return tags
}

// tagSpans returns where the hashtags stand in text, in bytes, with their '#'.
func tagSpans(text string) (spans [][2]int) {
	scan(text, func(k spanKind, start, end int) {
		if k == tagSpan {
			spans = append(spans, [2]int{start, end})
		}
	})
	return spans
}

// A spanKind is what a part of a text is that is no plain words.
type spanKind int

const (
	tagSpan     spanKind = iota
	linkSpan             // an address
	mentionSpan          // a name with its '@'
)

// scan finds the hashtags, links and mentions in text, in order.
func scan(text string, found func(k spanKind, start, end int)) {
	for i, before := 0, rune(0); i < len(text); {
		if end := linkEnd(text, i, before); end > i {
			if strings.Contains(text[i:end], "/") { // else it is a word
				found(linkSpan, i, end)
			}
			before, _ = utf8.DecodeLastRuneInString(text[:end])
			i = end
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if (r == '#' || r == '＃') && mayPrecedeTag(before) {
			if end := tagEnd(text, i+size); end > 0 {
				found(tagSpan, i, end)
				before, _ = utf8.DecodeLastRuneInString(text[:end])
				i = end
				continue
			}
		}
		if (r == '@' || r == '＠') && !offers.TagRune(before) {
			if end := nameEnd(text, i+size); end > i+size {
				found(mentionSpan, i, end)
			}
		}
		before, i = r, i+size
	}
}

// nameEnd returns where the name of an account ends that begins at i.
func nameEnd(text string, i int) int {
	for i < len(text) && (isHostByte(text[i]) || text[i] == '_') && text[i] != '.' && text[i] != '-' {
		i++
	}
	return i
}

// plainWords is text with a space in place of each hashtag, link and mention, and of the
// "'s" behind it.
func plainWords(text string) string {
	var b strings.Builder
	from := 0
	scan(text, func(_ spanKind, start, end int) {
		b.WriteString(text[from:start])
		b.WriteByte(' ')
		from = end
		for _, s := range []string{"'s", "’s"} {
			from += len(text[end:]) - len(strings.TrimPrefix(text[end:], s))
		}
	})
	return b.String() + text[from:]
}

// mayPrecedeTag says whether a '#' behind r can begin a hashtag. Variation
// selectors are marks, but end an emoji and not a word.
func mayPrecedeTag(r rune) bool {
	return r == '\ufe0e' || r == '\ufe0f' || r != '&' && !offers.TagRune(r)
}

// tagEnd returns where the hashtag ends whose '#' stands before i, 0 if none does.
func tagEnd(text string, i int) int {
	rest := text[i:]
	if strings.HasPrefix(rest, "\ufe0f") || strings.HasPrefix(rest, "\u20e3") { // the emoji #️⃣
		return 0
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return !offers.TagRune(r) })
	if end < 0 {
		end = len(rest)
	}
	body, after := rest[:end], rest[end:]
	if !strings.ContainsFunc(body, offers.TagLetter) ||
		strings.HasPrefix(after, "#") || strings.HasPrefix(after, "＃") || strings.HasPrefix(after, "://") {
		return 0
	}
	return i + end
}

// linkEnd returns where the link ends that begins at i behind the rune before,
// or where a word ends that might have become one; i itself if neither is there.
// Links are addresses with http: or https:, and bare domains with a path:
// nowhere else could a link hold a '#' that begins a hashtag.
func linkEnd(text string, i int, before rune) int {
	if !isHostByte(text[i]) || text[i] == '.' || text[i] == '-' {
		return i
	}
	end := i
	for end < len(text) && isHostByte(text[end]) {
		end++
	}
	if strings.ContainsRune("@＠$#＃", before) || unicode.IsLetter(before) || unicode.IsDigit(before) || before == '_' {
		return end
	}
	host, rest := strings.ToLower(text[i:end]), text[end:]
	switch last := strings.LastIndexByte(host, '.'); {
	case (host == "http" || host == "https") && strings.HasPrefix(rest, "://"):
	case last > 0 && isTopLevel(host[last+1:]) && strings.HasPrefix(rest, "/"):
	default:
		return end
	}
	if n := strings.IndexFunc(rest, func(r rune) bool { return !isLinkRune(r) }); n >= 0 {
		return end + n
	}
	return len(text)
}

func isHostByte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '.' || b == '-'
}

func isTopLevel(label string) bool {
	return len(label) >= 2 && strings.Trim(label, "abcdefghijklmnopqrstuvwxyz") == ""
}

// isLinkRune says whether r may stand in the path of a link.
func isLinkRune(r rune) bool {
	if r < utf8.RuneSelf {
		return r > ' ' && r != 0x7f && !strings.ContainsRune("\"<>\\^`{}", r)
	}
	return unicode.In(r, unicode.Latin, unicode.Cyrillic)
}
