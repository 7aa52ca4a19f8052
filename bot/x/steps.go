package x

import "bytes"

// steps walk through JSON as X writes it, without spaces, and allocate nothing. What they
// do not know makes them bad, and then they stay where they are. They do not check all
// that a decoder does: what is no JSON may please them.
type steps struct {
	line []byte
	at   int
	bad  bool
}

// peek is the next byte, 0 at the end.
func (s *steps) peek() byte {
	if s.bad || s.at >= len(s.line) {
		return 0
	}
	return s.line[s.at]
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

// key takes the name of a member. It is bad if X writes none so: encoding/json does not
// tell capitals from small letters, and so a name that is not known here may be one that
// is known there.
func (s *steps) key() []byte {
	if s.peek() == '"' {
		from := s.at + 1
		i := from
		for i < len(s.line) && isKeyByte(s.line[i]) {
			i++
		}
		if i+1 < len(s.line) && s.line[i] == '"' && s.line[i+1] == ':' {
			s.at = i + 2
			return s.line[from:i]
		}
	}
	s.bad = true
	return nil
}

func isKeyByte(c byte) bool { return 'a' <= c && c <= 'z' || c == '_' || '0' <= c && c <= '9' }

// string takes a string without escapes. Those asked for are short.
func (s *steps) string() []byte {
	if s.peek() == '"' {
		from := s.at + 1
		i := from
		for i < len(s.line) && s.line[i] != '"' && s.line[i] != '\\' {
			i++
		}
		if i < len(s.line) && s.line[i] == '"' {
			s.at = i + 1
			return s.line[from:i]
		}
	}
	s.bad = true
	return nil
}

// number takes a whole number.
func (s *steps) number() {
	from := s.at
	for c := s.peek(); '0' <= c && c <= '9'; c = s.peek() {
		s.at++
	}
	s.bad = s.bad || s.at == from
}

// skip takes any value. It sees to it that brackets are as many as they should be, and
// not to their kinds.
func (s *steps) skip() {
	line, i, depth := s.line, s.at, 0
	for !s.bad && i < len(line) {
		c := line[i]
		i++
		switch c {
		case '"':
			i = stringEnd(line, i)
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		default:
			if depth > 0 {
				continue
			}
			// A number, or true, false, null; a ',' or ':' is none, and ends it before it begins.
			from := i - 1
			for i = from; i < len(line) && line[i] != ',' && line[i] != ':' && line[i] != ']' && line[i] != '}'; {
				i++
			}
			s.bad = i == from
		}
		if depth <= 0 {
			s.at, s.bad = i, s.bad || depth < 0
			return
		}
	}
	s.bad = true
}

// stringEnd is where the string ends, its '"' included, that goes on at i; the end of the
// line where it does not.
func stringEnd(line []byte, i int) int {
	const short = 16 // bytes: so far this is faster than a call
	for end := min(i+short, len(line)); i < end; i++ {
		switch line[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	for i < len(line) {
		n := bytes.IndexByte(line[i:], '"')
		if n < 0 {
			break
		}
		escapes := 0
		for j := i + n - 1; j >= i && line[j] == '\\'; j-- {
			escapes++
		}
		if i += n + 1; escapes%2 == 0 {
			return i
		}
	}
	return len(line)
}
