package offers

import (
	"fmt"
	"math"
	"strconv"

	"github.com/bojanz/currency"
)

// Money is an amount in the minor unit of its currency: cents for USD, yen for
// JPY, fils for KWD. It is never a float.
type Money struct {
	Minor    int64  `json:"minor"`
	Currency string `json:"currency"` // ISO 4217, upper case
}

// ParseMoney reads a decimal number such as "149.99" in a currency. More digits
// than the currency has, a sign and anything else that is not an exact amount are
// errors.
func ParseMoney(amount, code string) (Money, error) {
	if amount == "" || amount[0] == '-' || amount[0] == '+' {
		return Money{}, fmt.Errorf("amount %q: want a positive number such as 149.99", amount)
	}
	a, err := currency.NewAmount(amount, code)
	if err != nil {
		return Money{}, fmt.Errorf("amount %q %s: %w", amount, code, err)
	}
	if !a.Round().Equal(a) {
		return Money{}, fmt.Errorf("amount %q has more decimals than %s", amount, code)
	}
	minor, err := a.Int64()
	if err != nil {
		return Money{}, fmt.Errorf("amount %q: %w", amount, err)
	}
	return Money{Minor: minor, Currency: code}, nil
}

// Times is the amount n times over, or an error if it does not fit.
func (m Money) Times(n int) (Money, error) {
	if n < 0 || m.Minor < 0 || (n > 0 && m.Minor > math.MaxInt64/int64(n)) {
		return Money{}, fmt.Errorf("%s times %d is out of range", m, n)
	}
	return Money{Minor: m.Minor * int64(n), Currency: m.Currency}, nil
}

// Format writes the amount as the readers of a language do (Unicode CLDR):
// "$149.99" in English, "149,99 $US" in French.
func (m Money) Format(lang string) string {
	key := reading{m, lang}
	text, known := formatted.get(key)
	if !known {
		text = m.format(lang)
		formatted.put(key, text, nil)
	}
	return text
}

// formatted are amounts as they were formatted lately: prices are said again and again,
// and to put one together takes 10 µs.
var formatted lately[reading, string]

// A reading is an amount as the readers of a language see it.
type reading struct {
	amount Money
	lang   string
}

func (m Money) format(lang string) string {
	a, err := currency.NewAmountFromInt64(m.Minor, m.Currency)
	if err != nil {
		return m.String()
	}
	return currency.NewFormatter(currency.NewLocale(lang)).Format(a)
}

// Decimal is the amount as a plain number, "149.99": what [ParseMoney] reads.
func (m Money) Decimal() string {
	a, err := currency.NewAmountFromInt64(m.Minor, m.Currency)
	if err != nil {
		return strconv.FormatInt(m.Minor, 10)
	}
	return a.Number()
}

// String is the amount for logs and tables, "149.99 USD".
func (m Money) String() string { return m.Decimal() + " " + m.Currency }
