package bot

import (
	"errors"
	"hash/maphash"
	"math/bits"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"

	"hashtill/offers"
)

// A TagIndex knows a catalogue's hashtags by 64 bits of each, in 11 to 22 bytes a
// hashtag. It says yes to all of them, and in error to one in many billions of others:
// whoever gets a yes reads the post as a whole, and an error costs only that. It does not
// change, and serves any number of goroutines.
type TagIndex struct {
	seed  maphash.Seed
	slots []uint64 // hashes in open addressing, 0 where there is none; a power of two of them
}

// IndexTags indexes hashtags, without '#', in any spelling.
func IndexTags(tags []string) *TagIndex {
	x := &TagIndex{seed: maphash.MakeSeed(), slots: make([]uint64, 8)}
	if n := len(tags) + len(tags)/2; n > len(x.slots) {
		x.slots = make([]uint64, 1<<bits.Len(uint(n-1)))
	}
	for _, tag := range tags {
		h := x.hash([]byte(offers.TagKey(tag)))
		*x.slot(h) = h
	}
	return x
}

func (x *TagIndex) hash(key []byte) uint64 { return max(maphash.Bytes(x.seed, key), 1) }

// slot is where a hash stands, or would stand. There is always an empty one.
func (x *TagIndex) slot(h uint64) *uint64 {
	last := uint64(len(x.slots) - 1)
	for i := h & last; ; i = (i + 1) & last {
		if s := &x.slots[i]; *s == h || *s == 0 {
			return s
		}
	}
}

// A Spotter says of one hashtag whether [Read] may want something by it alone. It keeps
// what it writes in, so that it allocates nothing, and so it serves one goroutine.
type Spotter struct {
	fold  cases.Caser
	parts norm.Iter
	key   []byte
	other []byte
}

const codeLength = len("bozulapitak")

// NewSpotter returns a Spotter.
func NewSpotter() *Spotter {
	return &Spotter{fold: cases.Fold(), key: make([]byte, 0, 256), other: make([]byte, 256)}
}

// May says whether a hashtag, without '#', may be one of those in x, or a code. What it
// denies, neither [offers.TagKey] finds in a catalogue of these, nor is it a code.
func (s *Spotter) May(x *TagIndex, tag []byte) bool {
	key := s.key[:cap(s.key)]
	if len(tag) > len(key) {
		return s.mayBeOdd(x, tag)
	}
	for i, c := range tag { // most hashtags are ASCII, and need no tables
		if c >= utf8.RuneSelf {
			return s.mayBeOdd(x, tag)
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		key[i] = c
	}
	return s.mayBe(x, key[:len(tag)])
}

// mayBe is May for a key in ASCII, but for a '#' before it.
func (s *Spotter) mayBe(x *TagIndex, key []byte) bool {
	if len(key) > 0 && key[0] == '#' {
		key = key[1:]
	}
	h := x.hash(key)
	return *x.slot(h) == h || s.code(key)
}

// mayBeOdd is May for whatever a network takes for a hashtag, by the steps of TagKey.
func (s *Spotter) mayBeOdd(x *TagIndex, tag []byte) bool {
	s.normalize(tag)
	key := s.key
	if len(key) > 0 && key[0] == '#' {
		key = key[1:]
	}
	folded, ok := s.folded(key)
	if !ok {
		return true
	}
	s.normalize(folded)
	h := x.hash(s.key)
	return *x.slot(h) == h || s.code(s.key)
}

// normalize puts text into key, in NFKC. Form.Append would allocate where text changes.
func (s *Spotter) normalize(text []byte) {
	n := norm.NFKC.QuickSpan(text)
	s.key = append(s.key[:0], text[:n]...)
	if n == len(text) {
		return
	}
	s.key = s.key[:0] // what comes may change what came before
	for s.parts.Init(norm.NFKC, text); !s.parts.Done(); {
		s.key = append(s.key, s.parts.Next()...)
	}
}

// folded folds key into other, if that can be done.
func (s *Spotter) folded(key []byte) (folded []byte, ok bool) {
	for s.other = s.other[:cap(s.other)]; ; s.other = make([]byte, 2*len(s.other)) {
		s.fold.Reset()
		n, _, err := s.fold.Transform(s.other, key, true)
		if !errors.Is(err, transform.ErrShortDst) {
			return s.other[:n], err == nil
		}
	}
}

// code says whether the letters and digits of key are spelled as a code is, by what
// spelled makes of them.
func (s *Spotter) code(key []byte) bool {
	if len(key) < codeLength {
		return false
	}
	n := 0
	for i := 0; i < len(key); {
		r, size := rune(key[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(key[i:])
			if parts := norm.NFKD.Properties(key[i:]).Decomposition(); len(parts) > 0 {
				r, _ = utf8.DecodeRune(parts) // a letter; then come its accents
			}
		}
		i += size
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			continue
		}
		if r >= utf8.RuneSelf || !offers.CodeLetter(n, byte(r)) { // of nearly all words the first or the second
			return false
		}
		n++
	}
	return n == codeLength
}
