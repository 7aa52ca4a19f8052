package x

import (
	"bytes"
	"encoding/binary"
)

// A line is JSON as X writes it, without spaces. Its methods take what begins at i, say where
// that ends and allocate nothing. What they do not know ends nowhere, and there nothing
// begins. They do not check all that a decoder does: what is no JSON may please them.
//
// A place that is handed on stays in a register of the CPU: that took a quarter off the walk
// of a type that keeps it.
type line []byte

// nowhere is behind all lines.
const nowhere = 1 << 30

// byte is the one at i, 0 behind the end.
func (l line) byte(i int) byte {
	if uint(i) < uint(len(l)) {
		return l[i]
	}
	return 0
}

// word is the eight bytes from i on, the first one the lowest, and 0 if there are fewer.
func (l line) word(i int) uint64 {
	if i+8 <= len(l) {
		return binary.LittleEndian.Uint64(l[i:])
	}
	return 0
}

// take takes one byte, which must be c.
func (l line) take(i int, c byte) int {
	if l.byte(i) != c {
		return nowhere
	}
	return i + 1
}

// more goes on behind a member of an object or a list: to the next one, or behind the end.
func (l line) more(i int, end byte) (next int, more bool) {
	switch l.byte(i) {
	case ',':
		return i + 1, true
	case end:
		return i + 1, false
	}
	return nowhere, false
}

// A key is the name of a member with what stands around it and what its value begins with.
type key struct {
	text        string
	first, mask uint64 // its first eight bytes, by which it is told from others
}

func keyOf(text string) key {
	var w [8]byte
	copy(w[:], text)
	return key{text: text, first: binary.LittleEndian.Uint64(w[:]), mask: 1<<(8*len(text)) - 1}
}

// begins says whether the key's first bytes are the first of w.
func (k *key) begins(w uint64) bool { return w&k.mask == k.first }

// after takes a key.
func (l line) after(i int, k *key) int {
	if end := i + len(k.text); end <= len(l) && string(l[i:end]) == k.text {
		return end
	}
	return nowhere
}

// either takes one of two keys.
func (l line) either(i int, a, b *key) int {
	if end := l.after(i, a); end != nowhere {
		return end
	}
	return l.after(i, b)
}

// number takes a whole number.
func (l line) number(i int) int {
	from := i
	for c := l.byte(i); '0' <= c && c <= '9'; c = l.byte(i) {
		i++
	}
	if i == from {
		return nowhere
	}
	return i
}

func isKeyByte(c byte) bool { return 'a' <= c && c <= 'z' || c == '_' || '0' <= c && c <= '9' }

// other takes a member that nobody asks for. encoding/json does not tell capitals from small
// letters, and so one whose name X would not write so may be one that is known there.
func (l line) other(i int) int {
	i = l.take(i, '"')
	for isKeyByte(l.byte(i)) {
		i++
	}
	return l.skip(l.take(l.take(i, '"'), ':'))
}

// skip takes any value. It sees to it that brackets are as many as they should be, and
// not to their kinds.
func (l line) skip(i int) int {
	switch l.byte(i) {
	case '"':
		return l.textEnd(i + 1)
	case '[':
		if end := l.flatEnd(i + 1); end > 0 {
			return end
		}
	case '{':
	default: // a number, or true, false, null
		from := i
		for c := l.byte(i); isKeyByte(c) || c == '-' || c == '+' || c == '.' || c == 'E'; c = l.byte(i) {
			i++
		}
		if i == from {
			return nowhere
		}
		return i
	}
	for depth := 0; i < len(l); {
		c := l[i]
		i++
		switch c {
		case '"':
			i = l.textEnd(i)
			continue
		case '[':
			if end := l.flatEnd(i); end > 0 {
				i = end
				break
			}
			depth++
		case '{':
			depth++
		case ']', '}':
			depth--
		case '\\': // see flatEnd
			return nowhere
		default:
			continue
		}
		if depth == 0 {
			return i
		}
	}
	return nowhere
}

// flatEnd is where a list of objects ends, its ']' included, that goes on at i; 0 where
// that is not to be told at once. It takes the first ']' if no '[' comes before: that
// takes a quarter off a look. If that ']' stands in a string, then whoever goes on from there
// takes strings for what is between them and the other way round, until he comes upon a
// '\' outside of a string or upon a name that is none: that ends nowhere, too. So it is
// where quote has taken a '"' that is escaped.
func (l line) flatEnd(i int) int {
	n := bytes.IndexByte(l[i:], ']')
	if n < 1 || l[i+n-1] != '}' || bytes.IndexByte(l[i:i+n], '[') >= 0 {
		return 0
	}
	return i + n + 1
}

// textEnd is where the string ends, its '"' included, that goes on at i.
func (l line) textEnd(i int) int {
	for from := i; ; {
		end := l.quote(i)
		if end == nowhere {
			return nowhere
		}
		escapes := 0
		for j := end - 1; j >= from && l[j] == '\\'; j-- {
			escapes++
		}
		if i = end + 1; escapes%2 == 0 {
			return i
		}
	}
}

// quote is where the next '"' stands from i on, escaped or not.
func (l line) quote(i int) int {
	if i < len(l) {
		if n := bytes.IndexByte(l[i:], '"'); n >= 0 {
			return i + n
		}
	}
	return nowhere
}
