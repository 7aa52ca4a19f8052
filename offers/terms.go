package offers

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bojanz/currency"
	"golang.org/x/text/language"

	"hashtill/store"
)

// What an offer says beside its name and stock: what it costs, when its units are held,
// and to whom it is sold.

// A Hold is when the units of a purchase are taken from stock.
type Hold string

const (
	// HoldAtWish promises the units with the code. The zero Hold means it too.
	HoldAtWish Hold = "wish"
	// HoldAtEcho promises them with the repost of the code: codes that nobody repeats hold
	// nothing up.
	HoldAtEcho Hold = "echo"
	// HoldAtClick promises them with the press of the button: who is first there has it.
	HoldAtClick Hold = "click"
)

// Holds are all of them.
var Holds = []Hold{HoldAtWish, HoldAtEcho, HoldAtClick}

// is says whether units are held at that moment.
func (h Hold) is(at Hold) bool { return h == at || h == "" && at == HoldAtWish }

// Bounds of what an offer says.
const (
	maxTags      = 10
	maxAliases   = 10 // of a variant
	maxPrices    = 20
	maxCountries = 250
)

// PriceIn is what one unit costs in a currency.
func (o Offer) PriceIn(code string) (Money, bool) {
	if o.Price.Currency == code {
		return o.Price, true
	}
	return inCurrency(o.Prices, code)
}

// DeliveryIn is what the delivery of a purchase costs in a currency; nothing where none
// is named, or nothing is shipped.
func (o Offer) DeliveryIn(code string) Money {
	if fee, ok := inCurrency(o.Delivery, code); ok && !o.Digital {
		return fee
	}
	return Money{Currency: code}
}

func inCurrency(all []Money, code string) (Money, bool) {
	i := slices.IndexFunc(all, func(m Money) bool { return m.Currency == code })
	if i < 0 {
		return Money{}, false
	}
	return all[i], true
}

// Total is what n units cost in a currency that the offer has a price in: the units, the
// delivery, and the tax where it is not included. It is what the card is charged.
func (o Offer) Total(n int, code string) (Money, error) {
	price, ok := o.PriceIn(code)
	if !ok {
		return Money{}, fmt.Errorf("offer #%s has no price in %s", o.Tag, code)
	}
	total, err := price.Times(n)
	if err != nil {
		return Money{}, err
	}
	more := func(m Money) {
		if err == nil && m.Minor > maxTotal-total.Minor {
			err = fmt.Errorf("%s and %s are out of range", total, m)
		}
		total.Minor += m.Minor
	}
	if more(o.DeliveryIn(code)); o.TaxAdded {
		more(o.Tax.Of(total))
	}
	return total, err
}

// maxTotal bounds what is paid: a count of the store sums it.
const maxTotal = store.MaxCount

// Of is the tax of a rate on an amount that does not include it, rounded half up to what
// cards are charged in: the minor unit, or ten of it (see [Money.inSteps]).
func (r Percent) Of(m Money) Money {
	step := int64(1)
	if !(Money{1, m.Currency}).inSteps() {
		step = 10
	}
	d := int64(100*onePercent) * step
	n := new(big.Int).Mul(big.NewInt(m.Minor), big.NewInt(int64(r)))
	n.Add(n, big.NewInt(d/2)).Div(n, big.NewInt(d))
	if !n.IsInt64() || n.Int64() > maxTotal {
		return Money{maxTotal, m.Currency}
	}
	return Money{n.Int64() * step, m.Currency}
}

// currencyOf is what a wish is paid in: the first currency that its words name and the
// offer has a price in, else that of the buyer's country, else that of Price.
func (o Offer) currencyOf(words []string, country string) string {
	for _, w := range words {
		w = strings.ToUpper(Word(w))
		if _, ok := o.PriceIn(w); ok {
			return w
		}
	}
	if own, ok := moneyOf(country); ok {
		if _, ok := o.PriceIn(own); ok {
			return own
		}
	}
	return o.Price.Currency
}

// moneyOf is the currency of a country.
func moneyOf(country string) (string, bool) { return currency.ForCountryCode(country) }

// soldTo says why the offer is not sold to a country, or "".
func (o Offer) soldTo(country string) Reason {
	switch {
	case len(o.Countries) == 0 || slices.Contains(o.Countries, country):
		return ""
	case country == "":
		return CountryNeeded
	}
	return NotSoldThere
}

// InZone is a time by the clocks at which the offer opens and closes.
func (o Offer) InZone(t time.Time) time.Time {
	if at, err := time.LoadLocation(o.Zone); err == nil {
		return t.In(at)
	}
	return t.UTC()
}

// ValidCountry says whether s is a country as ISO 3166-1 alpha-2 has it: "FR".
func ValidCountry(s string) bool {
	if len(s) != 2 || s != strings.ToUpper(s) {
		return false
	}
	r, err := language.ParseRegion(s)
	return err == nil && r.IsCountry() && r.String() == s
}

func (o Offer) validatePrices(bad func(format string, args ...any)) {
	seen := map[string]bool{}
	price := func(field string, m Money, least int64) {
		if m.Minor < least {
			bad("%s: must be more than nothing", field)
		}
		if _, err := ParseMoney(m.Decimal(), m.Currency); err != nil {
			bad("currency: %q is not a currency (ISO 4217, such as USD)", m.Currency)
		} else if _, err := m.Times(MaxQuantity); err != nil {
			bad("%s: %v", field, err)
		} else if !m.inSteps() {
			bad("%s: cards are charged in steps of 0.010 %s", field, m.Currency)
		}
		if seen[field+m.Currency] {
			bad("%s: %s is there twice", field, m.Currency)
		}
		seen[field+m.Currency] = true
	}
	price("price", o.Price, 1)
	if len(o.Prices) > maxPrices || len(o.Delivery) > maxPrices+1 {
		bad("prices: in %d currencies at most", maxPrices)
		return
	}
	for _, m := range o.Prices {
		price("price", m, 1)
	}
	for _, m := range o.Delivery {
		price("delivery", m, 0)
		if _, ok := o.PriceIn(m.Currency); !ok {
			bad("delivery: there is no price in %s", m.Currency)
		}
	}
	for _, m := range append([]Money{o.Price}, o.Prices...) {
		if _, err := o.Total(MaxQuantity, m.Currency); err != nil && m.Minor > 0 && m.Minor < maxTotal/MaxQuantity {
			bad("price: %v", err)
		}
	}
	if o.TaxAdded && o.Tax == 0 {
		bad("tax_added: there is no tax_percent to add")
	}
}

func (o Offer) validateMore(bad func(format string, args ...any)) {
	if len(o.Tags) > maxTags {
		bad("tags: %d at most", maxTags)
	}
	keys := map[string]bool{o.ID: true}
	for _, tag := range o.Tags[:min(len(o.Tags), maxTags)] {
		if _, isCode := ParseCode(tag); isCode || !isTag(tag) || utf8.RuneCountInString(tag) > MaxTag || len(TagKey(tag)) > maxKeyPart {
			bad("tags: %q is not a hashtag that can be used", tag)
		} else if keys[TagKey(tag)] {
			bad("tags: #%s is there twice", tag)
		}
		keys[TagKey(tag)] = true
	}
	for name, all := range o.Aliases {
		if _, ok := o.Stock[name]; !ok || name == "" {
			bad("aliases: there is no variant %q", name)
		}
		if len(all) > maxAliases {
			bad("aliases: %q has more than %d", name, maxAliases)
		}
		for _, alias := range all {
			if utf8.RuneCountInString(alias) > MaxTitle || strings.ContainsFunc(alias, unreadable) || unspeakable(alias) {
				bad("aliases: %q cannot be read in a wish", alias)
			} else if chosen, ok := o.Choose(strings.Fields(alias)); !ok || chosen != name {
				bad("aliases: %q cannot be told from another variant", alias)
			}
		}
	}
	if o.Hold != "" && !slices.Contains(Holds, o.Hold) {
		bad("hold: %q is none of wish, echo and click", o.Hold)
	}
	if _, err := time.LoadLocation(o.Zone); err != nil || o.Zone == "Local" {
		bad("zone: %q is no time zone, such as Europe/Paris", o.Zone)
	}
	if len(o.Countries) > maxCountries {
		bad("countries: %d at most", maxCountries)
	}
	for i, c := range o.Countries[:min(len(o.Countries), maxCountries)] {
		if !ValidCountry(c) {
			bad("countries: %q is no country (ISO 3166-1, such as FR)", c)
		} else if slices.Contains(o.Countries[:i], c) {
			bad("countries: %s is there twice", c)
		}
	}
	if o.Merchant != "" && !ValidMerchantID(o.Merchant) {
		bad("merchant: %q is no merchant's id", o.Merchant)
	}
}

// unspeakable: a name of which a wish could not have all words.
func unspeakable(name string) bool {
	words := strings.Fields(name)
	return len(words) == 0 || slices.ContainsFunc(words, func(w string) bool { _, is := ParseTimes(w); return is || Word(w) == "" })
}
