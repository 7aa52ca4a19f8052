package stripe

import (
	"math"
	"math/big"
	"testing"

	"github.com/bojanz/currency"
	sdk "github.com/stripe/stripe-go/v76"

	"hashtill/offers"
)

func TestMinor(t *testing.T) {
	for _, c := range []struct {
		minor  int64
		code   string
		amount int64 // 0: there is no such amount
	}{
		{14999, "USD", 14999},
		{1, "EUR", 1},
		{500, "JPY", 500},
		{500, "KRW", 500},
		{500, "XAF", 500},
		{5120, "KWD", 5120},
		{5124, "KWD", 0}, // docs.stripe.com/currencies: 5120 or 5130
		{10, "TND", 10},
		{500, "MGA", 5}, // two decimals at ISO, none at Stripe
		{550, "MGA", 0},
		{5, "ISK", 500}, // and the other way round
		{5, "UGX", 500},
		{104500, "HUF", 104500},
		{80045, "TWD", 80045},
		{100, "IQD", 10}, // three decimals at ISO; not one of Stripe's three-decimal ones
		{0, "USD", 0},    // nothing to pay
		{-500, "USD", 0}, // less than nothing
		{100, "", 0},
		{100, "usd", 0},
		{100, "XXXX", 0},
		{math.MaxInt64, "ISK", 0},
		{math.MaxInt64, "JPY", math.MaxInt64},
	} {
		amount, code, err := minor(offers.Money{Minor: c.minor, Currency: c.code})
		if amount != c.amount || (err != nil) != (c.amount == 0) {
			t.Errorf("minor(%d %s) = %d %s, %v; want %d", c.minor, c.code, amount, code, err, c.amount)
		}
		if back := money(amount, sdk.Currency(code)); err == nil && back != (offers.Money{Minor: c.minor, Currency: c.code}) {
			t.Errorf("%d %s came back as %s", c.minor, c.code, back)
		}
	}
}

// Whatever the currency, one whole unit is the same money here and at Stripe.
func TestMinorOfAllCurrencies(t *testing.T) {
	for _, code := range currency.GetCurrencyCodes() {
		m, err := offers.ParseMoney("7", code)
		if err != nil {
			t.Fatal(err)
		}
		want := int64(700)
		switch decimals[code] {
		case 3:
			want = 7000
		case 0:
			if _, zero := decimals[code]; zero {
				want = 7
			}
		}
		if got, _, err := minor(m); err != nil || got != want {
			t.Errorf("7 %s is %d at Stripe, %v; want %d", code, got, err, want)
		}
	}
}

func FuzzMinor(f *testing.F) {
	f.Add(int64(14999), "USD")
	f.Add(int64(5124), "KWD")
	f.Add(int64(math.MaxInt64), "ISK")
	f.Fuzz(func(t *testing.T, n int64, code string) {
		amount, lower, err := minor(offers.Money{Minor: n, Currency: code})
		if err != nil {
			return
		}
		if back := money(amount, sdk.Currency(lower)); back != (offers.Money{Minor: n, Currency: code}) {
			t.Errorf("%d %s came back as %s", n, code, back)
		}
		have, _ := currency.GetDigits(code)
		want, special := decimals[code]
		if !special {
			want = 2
		}
		here := new(big.Int).Mul(big.NewInt(n), ten(want))
		there := new(big.Int).Mul(big.NewInt(amount), ten(int(have)))
		if here.Cmp(there) != 0 {
			t.Errorf("%d %s became %d", n, code, amount)
		}
	})
}

// ten to the n.
func ten(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }
