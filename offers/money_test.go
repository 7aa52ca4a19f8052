package offers

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestMoneyFormat(t *testing.T) {
	for _, c := range []struct {
		m      Money
		en, fr string
	}{
		{Money{14999, "USD"}, "$149.99", "149,99\u00a0$US"},
		{Money{14999, "EUR"}, "€149.99", "149,99\u00a0€"},
		{Money{1500, "JPY"}, "¥1,500", "1\u202f500\u00a0¥"},
		{Money{1234, "KWD"}, "KWD\u00a01.234", "1,234\u00a0KWD"},
		{Money{0, "USD"}, "$0.00", "0,00\u00a0$US"},
	} {
		if got := c.m.Format("en"); got != c.en {
			t.Errorf("%v in English: %q, want %q", c.m, got, c.en)
		}
		if got := c.m.Format("fr"); got != c.fr {
			t.Errorf("%v in French: %q, want %q", c.m, got, c.fr)
		}
	}
}

func TestParseMoneyRefuses(t *testing.T) {
	for _, c := range [][2]string{
		{"", "USD"}, {"-1", "USD"}, {"+1", "USD"}, {"1.999", "USD"}, {"1.5", "JPY"},
		{"1e400", "USD"}, {"NaN", "USD"}, {"Infinity", "USD"}, {"1,50", "USD"},
		{"1", "XXZ"}, {"92233720368547758.08", "USD"}, {"1.0005", "KWD"},
	} {
		if m, err := ParseMoney(c[0], c[1]); err == nil {
			t.Errorf("ParseMoney(%q, %q) = %v, want an error", c[0], c[1], m)
		}
	}
}

func TestMoneyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Money{
			Minor:    rapid.Int64Range(0, math.MaxInt64).Draw(t, "minor"),
			Currency: rapid.SampledFrom([]string{"USD", "EUR", "JPY", "KWD", "HUF"}).Draw(t, "currency"),
		}
		back, err := ParseMoney(m.Decimal(), m.Currency)
		if err != nil || back != m {
			t.Fatalf("%v became %v, %v", m, back, err)
		}
	})
}

func TestMoneyTimes(t *testing.T) {
	if m, err := (Money{14999, "USD"}).Times(3); err != nil || m.Minor != 44997 {
		t.Errorf("three times: %v, %v", m, err)
	}
	if _, err := (Money{math.MaxInt64/2 + 1, "USD"}).Times(2); err == nil {
		t.Error("an overflow went unnoticed")
	}
}
