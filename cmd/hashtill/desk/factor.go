package desk

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"
)

// Codes of a second factor, by RFC 6238: six digits for each step of 30 seconds.

const (
	factorStep   = 30 // seconds
	secretLength = 20 // bytes
)

// stepOf is the step that a code belongs to: the present one, or the one before or after.
func stepOf(secret, code string, now time.Time) (step uint64, ok bool) {
	code = strings.Join(strings.Fields(code), "")
	for _, off := range []int64{0, -1, 1} {
		at := uint64(now.Unix()/factorStep + off)
		want, err := hotp.GenerateCodeCustom(secret, at, hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			return at, true
		}
	}
	return 0, false
}

// newSecret makes one for whoever signs in with an address.
func newSecret(who string) (string, error) {
	key, err := totp.Generate(totp.GenerateOpts{Issuer: issuer, AccountName: who, SecretSize: secretLength})
	if err != nil {
		return "", err
	}
	return key.Secret(), nil
}

const issuer = "Hashtill desk"

// validSecret: one that newSecret has made, or might have.
func validSecret(s string) bool {
	b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(s)
	return err == nil && len(b) == secretLength
}

// keyOf is how programs that make codes are told of a secret
// (https://github.com/google/google-authenticator/wiki/Key-Uri-Format).
func keyOf(secret, who string) (*otp.Key, error) {
	u := url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + issuer + ":" + who,
		RawQuery: "secret=" + secret + "&issuer=" + url.PathEscape(issuer)}
	return otp.NewKeyFromURL(u.String())
}

// sum is a hash of texts.
func sum(parts ...string) []byte {
	b := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return b[:12]
}

// sortBy sorts by a text, as people write it.
func sortBy[T any](all []T, text func(T) string) {
	slices.SortStableFunc(all, func(a, b T) int { return strings.Compare(strings.ToLower(text(a)), strings.ToLower(text(b))) })
}
