package offers

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hashtill/store"
)

// Amounts are what may be spent of each currency: at most one amount of each. No
// amounts at all are no limit. Amounts limit every currency: of one that they do not
// name nothing may be spent. So nobody gets past a limit in dollars with euros, and
// no rate of exchange, which nobody agreed to, stands between a buyer and a limit.
type Amounts []Money

// ParseAmounts reads amounts such as "200.00 USD" or "200.00 USD, 20000 JPY"; ""
// is no limit.
func ParseAmounts(s string) (Amounts, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	var all Amounts
	for one := range strings.SplitSeq(s, ",") {
		f := strings.Fields(one)
		if len(f) != 2 {
			return nil, fmt.Errorf("%q: want an amount and a currency, such as 200.00 USD", strings.TrimSpace(one))
		}
		m, err := ParseMoney(f[0], f[1])
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, all.validate()
}

// String is what [ParseAmounts] reads.
func (a Amounts) String() string {
	all := make([]string, len(a))
	for i, m := range a {
		all[i] = m.String()
	}
	return strings.Join(all, ", ")
}

func (a Amounts) validate() error {
	for i, m := range a {
		if _, err := ParseMoney(m.Decimal(), m.Currency); err != nil || m.Minor < 0 || m.Minor > store.MaxCount {
			return fmt.Errorf("%s is no amount of a currency", m)
		}
		if slices.ContainsFunc(a[:i], func(o Money) bool { return o.Currency == m.Currency }) {
			return fmt.Errorf("%s stands there twice", m.Currency)
		}
	}
	return nil
}

// of is the limit in a currency; named says that the amounts name it.
func (a Amounts) of(currency string) (most Money, named bool) {
	i := slices.IndexFunc(a, func(m Money) bool { return m.Currency == currency })
	if i < 0 {
		return Money{Currency: currency}, false
	}
	return a[i], true
}

// Limits are what may be spent in a purchase, a day and a month, across all offers.
// Days and months are those of UTC: they are the same for all who share a store.
type Limits struct {
	Purchase Amounts `json:"purchase,omitempty"`
	Day      Amounts `json:"day,omitempty"`
	Month    Amounts `json:"month,omitempty"`
}

// Validate joins every complaint about the limits of a buyer, who can only go below
// the ceiling.
func (l Limits) Validate(ceiling Limits) error {
	var errs []error
	for _, of := range []struct {
		name       string
		own, above Amounts
	}{{"purchase", l.Purchase, ceiling.Purchase}, {"day", l.Day, ceiling.Day}, {"month", l.Month, ceiling.Month}} {
		if err := of.own.validate(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", of.name, err))
		}
		for _, m := range of.own {
			if most, _ := of.above.of(m.Currency); len(of.above) > 0 && m.Minor > most.Minor {
				errs = append(errs, fmt.Errorf("%s: %s is more than the shop's own limit, %s", of.name, m, most))
			}
		}
	}
	return errors.Join(errs...)
}

// An OverLimit is a [Refusal] because of a limit on spending: OverPurchase, OverDay,
// OverMonth or OverCurrency.
type OverLimit struct {
	Reason Reason `json:"reason"`
	Limit  Money  `json:"limit"` // in the currency of the purchase
	Left   Money  `json:"left"`  // what may still be spent of it
}

func (e *OverLimit) Error() string {
	return fmt.Sprintf("refused: %s (%s, %s left)", e.Reason, e.Limit, e.Left)
}

// Unwrap is the refusal that it is.
func (e *OverLimit) Unwrap() error { return &Refusal{e.Reason} }

// caps are the limits that hold for one purchase. A cap of nobody is nil.
type caps struct{ purchase, day, month *Money }

// capped finds what holds for a currency, from the ceiling and the buyer's own
// limits: the lower one. over is set where they do not name the currency.
func capped(currency string, all ...Limits) (c caps, over *OverLimit) {
	lower := func(to **Money, a Amounts) {
		if len(a) == 0 {
			return
		}
		most, named := a.of(currency)
		if !named && over == nil {
			over = &OverLimit{Reason: OverCurrency, Limit: most, Left: most}
		}
		if *to == nil || most.Minor < (*to).Minor {
			*to = &most
		}
	}
	for _, l := range all {
		lower(&c.purchase, l.Purchase)
		lower(&c.day, l.Day)
		lower(&c.month, l.Month)
	}
	return c, over
}

// counts says that what is spent has to be counted.
func (c caps) counts() bool { return c.day != nil || c.month != nil }

// refuse says why total cannot be spent beside what was spent already, or nil.
func (c caps) refuse(total Money, spentDay, spentMonth int64) *OverLimit {
	for _, of := range []struct {
		why   Reason
		most  *Money
		spent int64
	}{{OverPurchase, c.purchase, 0}, {OverMonth, c.month, spentMonth}, {OverDay, c.day, spentDay}} {
		if of.most == nil {
			continue
		}
		left := max(of.most.Minor-of.spent, 0)
		if total.Minor > left {
			return &OverLimit{Reason: of.why, Limit: *of.most, Left: Money{left, total.Currency}}
		}
	}
	return nil
}

// A counted purchase is one that counts against its buyer's limits. Its record, in
// the account's shard, is written and removed in the commit that counts it.
type counted struct {
	Total Money  `json:"total"`
	Day   string `json:"day"` // when its button was first pressed: "2026-11-21"
}

func newCounted(total Money, at time.Time) counted {
	return counted{Total: total, Day: at.UTC().Format(time.DateOnly)}
}

// month is the month of the day, "2026-11".
func (c counted) month() string { return c.Day[:len("2026-11")] }

// forgotten is when nobody asks for the month any more. The hour is for those whose
// clocks are behind.
func (c counted) forgotten() (time.Time, error) {
	day, err := time.Parse(time.DateOnly, c.Day)
	return time.Date(day.Year(), day.Month()+1, 1, 1, 0, 0, 0, time.UTC), err
}

// keys are the counts that it is part of.
func (c counted) keys(a Account) (day, month string) {
	return spentKey(a, c.Total.Currency, c.Day), spentKey(a, c.Total.Currency, c.month())
}

func readCounted(value []byte) (counted, error) {
	var c counted
	if err := json.Unmarshal(value, &c); err != nil {
		return c, err
	}
	_, err := c.forgotten()
	return c, err
}

// Keys of what an account has spent, all in its shard.
func countedPrefix(a Account) string     { return "counted/" + a.String() + "/" }
func countedKey(a Account, id ID) string { return countedPrefix(a) + string(id) }
func spentKey(a Account, currency, period string) string {
	return "spent/" + a.String() + "/" + currency + "/" + period
}
