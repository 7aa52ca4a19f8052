package stripe

import (
	"fmt"
	"math"
	"strings"

	"github.com/bojanz/currency"
	sdk "github.com/stripe/stripe-go/v76"

	"hashtill/offers"
)

// decimals are the decimals of Stripe's amounts, where they are not two
// (docs.stripe.com/currencies). Stripe's and ISO 4217's differ: the ariary has two
// at ISO and none at Stripe; the króna and the Ugandan shilling have none, and
// Stripe wants them with two that are zero.
var decimals = map[string]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "JPY": 0, "KMF": 0, "KRW": 0, "MGA": 0,
	"PYG": 0, "RWF": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
	"BHD": 3, "JOD": 3, "KWD": 3, "OMR": 3, "TND": 3,
}

// decimalsOf a currency, in Stripe's amounts.
func decimalsOf(code string) int {
	if d, ok := decimals[code]; ok {
		return d
	}
	return 2
}

// minor is an amount as Stripe wants it, with the currency in lower case. An error
// says that there is no such amount at Stripe.
func minor(m offers.Money) (amount int64, code string, err error) {
	digits, ok := currency.GetDigits(m.Currency)
	if !ok {
		return 0, "", fmt.Errorf("stripe: %q is not a currency", m.Currency)
	}
	if m.Minor <= 0 {
		return 0, "", fmt.Errorf("stripe: %s is not an amount to pay", m)
	}
	want := decimalsOf(m.Currency)
	amount = m.Minor
	for have := int(digits); have < want; have++ {
		if amount > math.MaxInt64/10 {
			return 0, "", fmt.Errorf("stripe: %s is too much", m)
		}
		amount *= 10
	}
	for have := int(digits); have > want; have-- {
		if amount%10 != 0 {
			return 0, "", fmt.Errorf("stripe: %s has more decimals than can be charged", m)
		}
		amount /= 10
	}
	if want == 3 && amount%10 != 0 {
		return 0, "", fmt.Errorf("stripe: %s: of its three decimals the last has to be 0", m)
	}
	return amount, strings.ToLower(m.Currency), nil
}

// money reads an amount of Stripe's: the way back of minor. What minor would never
// send, an unknown currency or a fraction of a króna, is not ours, and is read as
// near as it can be.
func money(amount int64, in sdk.Currency) offers.Money {
	code := strings.ToUpper(string(in))
	want := decimalsOf(code)
	have := want
	if digits, ok := currency.GetDigits(code); ok {
		have = int(digits)
	}
	for ; have < want; have++ {
		amount /= 10
	}
	for ; have > want; have-- {
		amount *= 10
	}
	return offers.Money{Minor: amount, Currency: code}
}
