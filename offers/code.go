package offers

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"hashtill/store"
)

// A Code is what the buyer reposts to confirm a wish, without the '#': five
// syllables and a check character, "bozulapitak". It reads as a hashtag, can be
// said aloud, carries the shard of its purchase in the first syllable, and
// notices every single mistyped letter and every swap of neighbours.
//
// A syllable is a consonant and a vowel and holds six bits, in the manner of
// Wilkerson's proquints (https://arxiv.org/html/0901.4016).
type Code string

const (
	codeConsonants = "bdfghjklmnprstvz" // 16: four bits
	codeVowels     = "aiou"             // 4: two bits
	codeChecks     = "abdefghjkmnprstuvwxyz23"
	codeSyllables  = 5
	codeLength     = 2*codeSyllables + 1
)

// NewCode derives the code of a purchase by a keyed hash of its id, so that
// making the purchase again makes the same code again, and nobody without the
// key can tell it beforehand. Four syllables are 24 bits: enough to keep the open
// codes of a shard apart. Where two meet all the same, the next nonce gives another
// code.
func NewCode(key []byte, id ID, nonce int) Code {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("code\x00" + string(id)))
	mac.Write(binary.BigEndian.AppendUint32([]byte{0}, uint32(nonce)))
	bits := uint64(id.Shard())<<24 | uint64(binary.BigEndian.Uint32(mac.Sum(nil))>>8)

	var b strings.Builder
	for i := codeSyllables - 1; i >= 0; i-- {
		syllable := bits >> (6 * i) & 63
		b.WriteByte(codeConsonants[syllable>>2])
		b.WriteByte(codeVowels[syllable&3])
	}
	b.WriteByte(codeCheck(b.String()))
	return Code(b.String())
}

// ParseCode reads a code from a hashtag or from what somebody typed, in any case
// and with or without '#'. What is not a code of ours, check character included,
// is not ok.
func ParseCode(s string) (c Code, ok bool) {
	s = strings.ToLower(strings.TrimPrefix(strings.TrimPrefix(s, "#"), "＃"))
	if len(s) != codeLength {
		return "", false
	}
	for i := range codeLength - 1 {
		alphabet := codeConsonants
		if i%2 == 1 {
			alphabet = codeVowels
		}
		if strings.IndexByte(alphabet, s[i]) < 0 {
			return "", false
		}
	}
	if s[codeLength-1] != codeCheck(s[:codeLength-1]) {
		return "", false
	}
	return Code(s), true
}

// Shard is where the purchase of a code lives.
func (c Code) Shard() int {
	return (strings.IndexByte(codeConsonants, c[0])<<2 | strings.IndexByte(codeVowels, c[1])) % store.Shards
}

// Hashtag is the code as it is posted.
func (c Code) Hashtag() string { return "#" + string(c) }

// codeCheck is a weighted sum modulo 23. 23 is a prime above the 20 letters in use
// and above the length, so that no single change and no swap keeps the sum.
func codeCheck(s string) byte {
	sum := 0
	for i := range len(s) {
		sum += (i + 1) * strings.IndexByte(codeConsonants+codeVowels, s[i])
	}
	return codeChecks[sum%len(codeChecks)]
}
