package x

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// steps walk through JSON as X writes it, without spaces, and allocate nothing. What they
// do not know makes them bad, and then they stay where they are. They do not check all
// that a decoder does: what is no JSON may please them.
type steps struct {
	line    []byte
	at      int
	bad     bool
	escapes bool // there may be some in line
}

// peek is the next byte, 0 at the end.
func (s *steps) peek() byte {
	if s.bad || s.at >= len(s.line) {
		return 0
	}
	return s.line[s.at]
}

// is takes text if it comes next, and says so.
func (s *steps) is(text string) bool {
	if end := s.at + len(text); end <= len(s.line) && string(s.line[s.at:end]) == text {
		s.at = end
		return true
	}
	return false
}

// take takes one byte, which must be c.
func (s *steps) take(c byte) {
	if s.peek() != c {
		s.bad = true
		return
	}
	s.at++
}

// next begins the next part of an object or a list, or takes its end.
func (s *steps) next(first *bool, end byte) bool {
	switch c := s.peek(); {
	case c == end:
		s.at++
		return false
	case !*first:
		s.take(',')
	}
	*first = false
	return !s.bad
}

// element begins the next object in a list, whose '[' or the object before it has been
// taken, or takes the list's end.
func (s *steps) element() bool {
	if !s.element0() {
		return false
	}
	s.take('{')
	return !s.bad
}

// element0 is element before the object's '{'.
func (s *steps) element0() bool {
	first := s.at > 0 && s.line[s.at-1] == '['
	return s.next(&first, ']')
}

// member begins the next member of an object, whose '{' or the member before it has been
// taken, or takes the object's end.
func (s *steps) member() bool {
	first := s.line[s.at-1] == '{'
	return s.next(&first, '}')
}

// key takes the name of a member. Whoever does not know it must ask plain: encoding/json
// does not tell capitals from small letters, and so it may be one that is known there.
func (s *steps) key() []byte {
	if s.peek() == '"' {
		from := s.at + 1
		end := quote(s.line, from)
		if end+1 < len(s.line) && s.line[end+1] == ':' {
			s.at = end + 2
			return s.line[from:end]
		}
	}
	s.bad = true
	return nil
}

// plain says whether X may write a name so.
func plain(key []byte) bool {
	for _, c := range key {
		if !isKeyByte(c) {
			return false
		}
	}
	return true
}

func isKeyByte(c byte) bool { return 'a' <= c && c <= 'z' || c == '_' || '0' <= c && c <= '9' }

// string takes a string without escapes.
func (s *steps) string() []byte {
	if s.peek() == '"' {
		from := s.at + 1
		end := quote(s.line, from)
		if end < len(s.line) && (!s.escapes || bytes.IndexByte(s.line[from:end], '\\') < 0) {
			s.at = end + 1
			return s.line[from:end]
		}
	}
	s.bad = true
	return nil
}

// number takes a whole number.
func (s *steps) number() {
	i := s.at
	for i < len(s.line) && '0' <= s.line[i] && s.line[i] <= '9' {
		i++
	}
	s.bad = s.bad || i == s.at
	s.at = i
}

// other takes a member that nobody asks for, whose name has been taken.
func (s *steps) other(key []byte) {
	s.bad = s.bad || !plain(key)
	s.skip()
}

// skip takes any value. It sees to it that brackets are as many as they should be, and
// not to their kinds.
func (s *steps) skip() {
	line, i, depth := s.line, s.at, 0
	switch s.peek() {
	case '"':
		s.at = stringEnd(line, i+1)
		return
	case '{', '[':
	default:
		// A number, or true, false, null; a ',' or ':' is none, and ends it before it begins.
		for i < len(line) && line[i] != ',' && line[i] != ':' && line[i] != ']' && line[i] != '}' {
			i++
		}
		s.bad = s.bad || i == s.at
		s.at = i
		return
	}
	for i < len(line) {
		c := line[i]
		i++
		switch c {
		case '"':
			i = stringEnd(line, i)
			continue
		case '[':
			if end := flatEnd(line, i); end > 0 {
				i = end
				break
			}
			depth++
		case '{':
			depth++
		case ']', '}':
			depth--
		case '\\': // see flatEnd
			s.bad = true
			return
		default:
			continue
		}
		if depth == 0 {
			s.at = i
			return
		}
	}
	s.bad = true
}

// flatEnd is where a list of objects ends, its ']' included, that goes on at i; 0 where
// that is not to be told at once. It takes the first ']' if no '[' comes before: that
// took an eighth off a look. If that ']' stands in a string, then whoever goes on from there
// takes strings for what is between them and the other way round, until he comes upon a
// '\' outside of a string or upon a name that is none: that is bad, too.
func flatEnd(line []byte, i int) int {
	n := bytes.IndexByte(line[i:], ']')
	if n < 1 || line[i+n-1] != '}' || bytes.IndexByte(line[i:i+n], '[') >= 0 {
		return 0
	}
	return i + n + 1
}

// stringEnd is where the string ends, its '"' included, that goes on at i; the end of the
// line where it does not.
func stringEnd(line []byte, i int) int {
	for from := i; ; {
		end := quote(line, i)
		if end == len(line) {
			return end
		}
		i = end + 1
		escapes := 0
		for j := end - 1; j >= from && line[j] == '\\'; j-- {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
	}
}

// quote is where the next '"' stands from i on, the end of the line where there is none.
// Most are near: eight bytes at once, before a call, take a few percent off a look.
func quote(line []byte, i int) int {
	const (
		ones   = 0x0101010101010101
		quotes = '"' * ones
		near   = 4
	)
	for range near {
		if i+8 > len(line) {
			break
		}
		w := binary.LittleEndian.Uint64(line[i:]) ^ quotes        // 0 for a '"'
		if found := (w - ones) &^ w & (0x80 * ones); found != 0 { // its lowest bit is right
			return i + bits.TrailingZeros64(found)/8
		}
		i += 8
	}
	if i < len(line) {
		if n := bytes.IndexByte(line[i:], '"'); n >= 0 {
			return i + n
		}
	}
	return len(line)
}
