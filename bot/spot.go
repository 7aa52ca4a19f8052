package bot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"math/rand/v2"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"

	"hashtill/offers"
)

// A TagIndex knows a catalogue's hashtags by 64 bits of each, in 11 to 23 bytes a
// hashtag. It says yes to all of them, and in error to one in many billions of others:
// whoever gets a yes reads the post as a whole, and an error costs only that. It does not
// change, and serves any number of goroutines.
type TagIndex struct {
	seed  uint64   // so that nobody can choose hashtags that get a yes
	slots []uint64 // hashes in open addressing, 0 where there is none; a power of two of them

	// sieve has, in one word that a hash names, up to five bits of it: a 16th of the memory
	// of slots, and one in fifty others passes it. Whether the first slot is empty the CPU
	// cannot guess, and waits for memory; that the sieve says no it can, and goes on. With
	// a million hashtags that took 140 ns off a post's 1,160.
	sieve []uint64
}

// IndexTags indexes hashtags, without '#', in any spelling.
func IndexTags(tags []string) *TagIndex {
	x := &TagIndex{seed: rand.Uint64(), slots: make([]uint64, 8)}
	if n := len(tags) + len(tags)/2; n > len(x.slots) {
		x.slots = make([]uint64, 1<<bits.Len(uint(n-1)))
	}
	x.sieve = make([]uint64, max(1, len(x.slots)/16))
	for _, tag := range tags {
		h := x.hash([]byte(offers.TagKey(tag)))
		*x.slot(h) = h
		*x.sieved(h) |= sieveBits(h)
	}
	return x
}

// has says whether a hash is that of a hashtag.
func (x *TagIndex) has(h uint64) bool {
	b := sieveBits(h)
	return *x.sieved(h)&b == b && *x.slot(h) == h
}

// sieved is the word of the sieve for a hash.
func (x *TagIndex) sieved(h uint64) *uint64 { return &x.sieve[h>>32&uint64(len(x.sieve)-1)] }

// sieveBits are the bits of a hash in its word: up to five.
func sieveBits(h uint64) uint64 {
	return 1<<(h&63) | 1<<(h>>6&63) | 1<<(h>>12&63) | 1<<(h>>18&63) | 1<<(h>>24&63)
}

// hash is never 0. Keys are short, and eight bytes of them at once are what [Spotter.Word]
// has in its hands.
func (x *TagIndex) hash(key []byte) uint64 {
	h := x.seed
	i := 0
	for ; i+8 <= len(key); i += 8 {
		h = mix(h, binary.LittleEndian.Uint64(key[i:]))
	}
	return last(h, word(key[i:]), len(key))
}

// mix makes a hash of a hash and eight more bytes, last of it and the rest of n.
func mix(h, w uint64) uint64 {
	high, low := bits.Mul64(h^w, 0x9e3779b97f4a7c15)
	return high ^ low
}

func last(h, w uint64, n int) uint64 {
	return max(mix(mix(h, w)+uint64(n), 0xd6e8feb86659fd93), 1)
}

// word is up to eight bytes as a number, with zeros behind them.
func word(text []byte) uint64 {
	if len(text) >= 8 {
		return binary.LittleEndian.Uint64(text)
	}
	var w [8]byte
	copy(w[:], text)
	return binary.LittleEndian.Uint64(w[:])
}

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
	if n, may := s.Word(x, tag); n == len(tag) { // most hashtags are ASCII, and need no tables
		return may
	}
	if steady(tag) {
		return x.has(x.hash(tag))
	}
	return s.mayBeOdd(x, tag)
}

// steady says whether a hashtag that is not ASCII alone is its own key, and so no code: the
// small letters, digits, '_', kana and Chinese characters, of which each stands for itself in
// NFKC and none has a capital. Where one post in seven is Japanese, this takes a fifteenth
// off a look at the stream.
func steady(tag []byte) bool {
	for i := 0; i < len(tag); {
		r, size := rune(tag[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(tag[i:])
		}
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '_':
		case 0x3041 <= r && r <= 0x3096, 0x30a1 <= r && r <= 0x30fa, 0x4e00 <= r && r <= 0x9fef:
		default:
			return false
		}
		i += size
	}
	return true
}

// Word is May for the ASCII letters, digits and '_' that text begins with, n of them. It
// finds their end, makes them small and hashes them eight at a time, as the CPU cannot
// guess where a hashtag ends: what is behind the '#' of a post took 250 ns, and takes 170.
func (s *Spotter) Word(x *TagIndex, text []byte) (n int, may bool) {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	h := x.seed
	apart := 0 // how many '_' there are, which a code has none of
	for {
		w := word(text[n:])
		low := w &^ highs
		// The high bit of a byte says that it is one of these; nothing is carried on to the next.
		small := low | 0x20*ones
		letters := (small + (0x80-'a')*ones) &^ (small + (0x80-'z'-1)*ones)
		digits := (low + (0x80-'0')*ones) &^ (low + (0x80-'9'-1)*ones)
		lines := highs - (low ^ '_'*ones)
		w |= (letters & highs &^ w) >> 2
		others := ^(letters|digits|lines)&highs | w&highs
		if others != 0 {
			rest := bits.TrailingZeros64(others) / 8
			n += rest
			begins := uint64(1)<<(8*rest) - 1
			apart += bits.OnesCount64(lines & highs & begins)
			h = last(h, w&begins, n)
			break
		}
		apart += bits.OnesCount64(lines & highs)
		h = mix(h, w)
		n += 8
	}
	return n, x.has(h) || n-apart == codeLength && s.code(text[:n])
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
	if !bytes.Equal(folded, key) { // else it is normal already
		s.normalize(folded)
		key = s.key
	}
	return x.has(x.hash(key)) || s.code(key)
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
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
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
