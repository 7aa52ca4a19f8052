package offers

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// A Percent is a rate in thousandths of a percent: 20000 is 20 %, 5500 is 5.5 %. It is
// never a float.
type Percent int

const onePercent Percent = 1000

// ParsePercent reads a rate such as "20" or "5.5": from 0 to 100, with at most three
// decimals. "" is 0.
func ParsePercent(s string) (Percent, error) {
	if s == "" {
		return 0, nil
	}
	whole, part, dot := strings.Cut(s, ".")
	n, err := strconv.ParseUint(whole, 10, 16)
	if err == nil && dot {
		var thousandths uint64
		thousandths, err = strconv.ParseUint(part+strings.Repeat("0", max(0, 3-len(part))), 10, 16)
		if part == "" || len(part) > 3 {
			err = strconv.ErrRange
		}
		n = min(n, 101)*uint64(onePercent) + thousandths
	} else {
		n = min(n, 101) * uint64(onePercent)
	}
	if err != nil || n > uint64(100*onePercent) {
		return 0, fmt.Errorf("%q: want a rate in percent from 0 to 100 with at most three decimals, such as 20 or 5.5", s)
	}
	return Percent(n), nil
}

// String is what [ParsePercent] reads: "5.5".
func (r Percent) String() string {
	s := strconv.Itoa(int(r / onePercent))
	if part := r % onePercent; part > 0 {
		s += "." + strings.TrimRight(fmt.Sprintf("%03d", int(part)), "0")
	}
	return s
}

// MarshalText writes the rate as String does.
func (r Percent) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what [ParsePercent] reads.
func (r *Percent) UnmarshalText(text []byte) (err error) {
	*r, err = ParsePercent(string(text))
	return err
}

func (r Percent) valid() bool { return r >= 0 && r <= 100*onePercent }

// Included is how much of an amount is tax of a rate that the amount includes, rounded
// half up to the minor unit: amount × rate / (100 % + rate).
func (r Percent) Included(m Money) Money {
	tax := Money{Currency: m.Currency}
	if !r.valid() || m.Minor <= 0 {
		return tax
	}
	// In 128 bits, for nothing else would bound the amount: (2 × amount × rate + d) / 2d.
	d := uint64(100*onePercent + r)
	hi, lo := bits.Mul64(uint64(m.Minor), 2*uint64(r))
	lo, carry := bits.Add64(lo, d, 0)
	q, _ := bits.Div64(hi+carry, lo, 2*d)
	tax.Minor = int64(q)
	return tax
}
