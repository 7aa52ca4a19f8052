package confirm

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"hashtill/offers"
)

// Links makes and checks the tokens of links. A token names a purchase and a
// round, and bears a keyed hash of both, so that nobody else can make one. That it
// works once, and for how long, is the purchase's affair.
type Links struct {
	keys []linkKey // the first signs, all check
}

type linkKey struct {
	id     string
	secret []byte
}

// The parts of a keys file.
const (
	codeKeyID  = "code" // the key that makes the codes
	minSecret  = 16     // characters of a secret
	macBytes   = 16     // of a token's HMAC-SHA256: 128 bits
	tokenParts = 4
	maxRound   = 1<<16 - 1
)

// ParseKeys reads a keys file: a line for each key, an id and a secret. '#' begins
// a comment.
//
//	code  RXPQ…      # makes the codes; it never changes
//	2     JW4K…      # signs links
//	1     ZB3T…      # signed links that are still out
//
// To rotate, put a new line above the old ones, and remove the old line when its
// links have run out. The code key stays, for it makes the same code of the same
// purchase again.
func ParseKeys(text string) (links *Links, codeKey []byte, err error) {
	links = &Links{}
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
			continue
		case len(fields) != 2 || !isKeyID(fields[0]):
			return nil, nil, fmt.Errorf("line %d: want an id and a secret, as `hashtill keys` makes them", i+1)
		case len(fields[1]) < minSecret:
			return nil, nil, fmt.Errorf("line %d: the secret is shorter than %d characters", i+1, minSecret)
		case fields[0] == codeKeyID && codeKey == nil:
			codeKey = []byte(fields[1])
			continue
		case fields[0] == codeKeyID || links.key(fields[0]) != nil:
			return nil, nil, fmt.Errorf("line %d: key %s is there twice", i+1, fields[0])
		}
		links.keys = append(links.keys, linkKey{fields[0], []byte(fields[1])})
	}
	if codeKey == nil || len(links.keys) == 0 {
		return nil, nil, errors.New("want a line that begins with `code` and at least one more, as `hashtill keys` makes them")
	}
	return links, codeKey, nil
}

func isKeyID(s string) bool {
	return len(s) <= 8 && !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
}

// NewKeys makes a keys file.
func NewKeys() string {
	return codeKeyID + " " + rand.Text() + " # makes the codes; keep it for ever\n" +
		"1 " + rand.Text() + " # signs the links; to rotate, put a line `2 …` above this one\n"
}

func (l *Links) key(id string) []byte {
	i := slices.IndexFunc(l.keys, func(k linkKey) bool { return k.id == id })
	if i < 0 {
		return nil
	}
	return l.keys[i].secret
}

var tokenEncoding = base32.HexEncoding.WithPadding(base32.NoPadding)

// A purpose is what a token is good for. It is sealed with the rest, so that the token of
// one purpose is none of another, and tells nothing about it.
type purpose string

const (
	toBuy    purpose = "link"
	toFreeze purpose = "not me" // see notme.go
	toLeave  purpose = "leave"  // the line; see leaveline.go
	toStay   purpose = "stay"   // at the former address; see moved.go
)

// Sign makes the token of a round of a purchase, such as "1.07-3f….1.9q…": key,
// purchase, round, and what nobody else can make.
func (l *Links) Sign(id offers.ID, round int) string { return l.sign(toBuy, id, round) }

func (l *Links) sign(to purpose, id offers.ID, round int) string {
	k := l.keys[0]
	return fmt.Sprintf("%s.%s.%d.%s", k.id, id, round, seal(k.secret, to, id, round))
}

func seal(secret []byte, to purpose, id offers.ID, round int) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(string(to) + "\x00" + string(id)))
	mac.Write(binary.BigEndian.AppendUint32([]byte{0}, uint32(round)))
	return strings.ToLower(tokenEncoding.EncodeToString(mac.Sum(nil)[:macBytes]))
}

// Verify reads a token that came from outside. Each token has one spelling.
func (l *Links) Verify(token string) (id offers.ID, round int, ok bool) {
	return l.verify(toBuy, token)
}

func (l *Links) verify(to purpose, token string) (id offers.ID, round int, ok bool) {
	parts := strings.Split(token, ".")
	if len(token) > 100 || len(parts) != tokenParts {
		return "", 0, false
	}
	secret := l.key(parts[0])
	id, ok = offers.ParseID(parts[1])
	if _, err := fmt.Sscanf(parts[2], "%d", &round); err != nil || secret == nil || !ok ||
		round < 0 || round > maxRound || fmt.Sprint(round) != parts[2] {
		return "", 0, false
	}
	if !hmac.Equal([]byte(parts[3]), []byte(seal(secret, to, id, round))) {
		return "", 0, false
	}
	return id, round, true
}
