package desk

import (
	"fmt"
	"strings"

	"hashtill/offers"
)

var (
	ones = strings.Fields("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen")
	tens = strings.Fields("- - twenty thirty forty fifty sixty seventy eighty ninety")
)

// spelled writes an amount as a cheque does, "twenty-nine and 99/100 USD": a point in the
// wrong place is seen.
func spelled(m offers.Money) string {
	whole, part, has := strings.Cut(m.Decimal(), ".")
	n := int64(0)
	for _, digit := range whole {
		n = n*10 + int64(digit-'0')
	}
	words := spell(n)
	if has && strings.Trim(part, "0") != "" {
		words += " and " + part + "/1" + strings.Repeat("0", len(part))
	}
	return words + " " + m.Currency
}

// spell writes a number that is not negative in words.
func spell(n int64) string {
	switch {
	case n < 20:
		return ones[n]
	case n < 100 && n%10 == 0:
		return tens[n/10]
	case n < 100:
		return tens[n/10] + "-" + ones[n%10]
	case n < 1000:
		return rest(ones[n/100]+" hundred", n%100)
	}
	for _, big := range []struct {
		n    int64
		name string
	}{{1_000_000_000_000, "million million"}, {1_000_000_000, "thousand million"}, {1_000_000, "million"}, {1000, "thousand"}} {
		if n >= big.n {
			return rest(fmt.Sprintf("%s %s", spell(n/big.n), big.name), n%big.n)
		}
	}
	return ""
}

func rest(words string, n int64) string {
	if n == 0 {
		return words
	}
	return words + " " + spell(n)
}
