package offers

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bojanz/currency"
)

// An entry is an offer as a file has it, by the keys of [fileKeys].
type entry struct {
	at     place
	single map[string]cell
	lists  map[string][]cell
	named  map[string][]namedCell
	told   map[string]bool // fields of which a fault is told: what else there is to say may follow from it
}

// A place is where something stands in a file, from 1.
type place struct{ line, column int }

// A cell is what stands at a place.
type cell struct {
	text string
	at   place
}

// A namedCell is one of several things that have names: units of a variant, an amount in a currency.
type namedCell struct{ name, value cell }

// A keyKind is what a key has.
type keyKind int

const (
	aWord       keyKind = iota // a text
	aNumber                    // a whole number
	aFlag                      // true or false
	aList                      // several texts
	aMapping                   // by name, a text each
	listsByName                // by name, several texts each
)

// fileKeys are the keys of an offer, in the order in which they are written.
var fileKeys = []struct {
	name string
	kind keyKind
}{
	{"tag", aWord}, {"tags", aList}, {"title", aWord}, {"seller", aWord}, {"price", aWord}, {"currency", aWord}, {"prices", aMapping},
	{"delivery", aMapping}, {"stock", aNumber}, {"variants", aMapping}, {"aliases", listsByName}, {"per_buyer", aNumber}, {"hold", aWord},
	{"waitlist", aFlag}, {"zone", aWord}, {"opens", aWord}, {"closes", aWord}, {"countries", aList}, {"terms", aWord}, {"picture", aWord},
	{"seller_address", aWord}, {"seller_tax_number", aWord}, {"tax_percent", aWord}, {"tax_added", aFlag}, {"digital", aFlag},
	{"withdrawal_days", aNumber}, {"merchant", aWord},
}

func newEntry(at place) *entry {
	return &entry{at: at, single: map[string]cell{}, lists: map[string][]cell{}, named: map[string][]namedCell{}, told: map[string]bool{}}
}

// place is where a field stands, and of it what it says of one of items.
func (e *entry) place(field string, items []string) place {
	fields := []string{field}
	if field == "stock" {
		fields = append(fields, "variants")
	}
	for _, field := range fields { // from behind: of what is there twice, the second is wrong
		for _, c := range slices.Backward(e.lists[field]) {
			if slices.Contains(items, c.text) {
				return c.at
			}
		}
		for _, n := range slices.Backward(e.named[field]) {
			if slices.Contains(items, n.value.text) && field == "aliases" {
				return n.value.at
			}
			if slices.Contains(items, n.name.text) {
				return n.name.at
			}
		}
	}
	for _, field := range fields {
		if c, ok := e.single[field]; ok {
			return c.at
		}
		if all := e.lists[field]; len(all) > 0 {
			return all[0].at
		}
		if all := e.named[field]; len(all) > 0 {
			return all[0].name.at
		}
	}
	return e.at
}

// unlimited is how a file says [Unlimited].
const unlimited = "unlimited"

// offer is what the entry says, and a fault for each thing that it says wrongly.
func (e *entry) offer(faults *Faults) Offer {
	text := func(key string) string { return e.single[key].text }
	bad := func(at place, field, what string) {
		faults.add(at, text("tag"), field, what)
		e.told[field] = true
	}
	whole := func(key string, otherwise int) int {
		c, ok := e.single[key]
		if !ok {
			return otherwise
		}
		n, err := strconv.Atoi(c.text)
		if err != nil {
			bad(c.at, key, fmt.Sprintf("%q is no whole number", c.text))
		}
		return n
	}
	units := func(c cell) int {
		if c.text == unlimited {
			return Unlimited
		}
		n, err := strconv.Atoi(c.text)
		if err != nil {
			bad(c.at, "stock", fmt.Sprintf("%q: want a number of units, or %s", c.text, unlimited))
		}
		return n
	}
	o := Offer{
		ID: TagKey(text("tag")), Tag: text("tag"), Title: text("title"), Seller: text("seller"), PerBuyer: whole("per_buyer", 1),
		Terms: text("terms"), Picture: text("picture"), Zone: text("zone"), Hold: Hold(text("hold")), Waitlist: text("waitlist") == "true",
		Merchant: text("merchant"), SellerAddress: text("seller_address"), SellerTaxNumber: text("seller_tax_number"),
		TaxAdded: text("tax_added") == "true", Digital: text("digital") == "true", WithdrawalDays: whole("withdrawal_days", DefaultWithdrawalDays),
	}
	if o.PerBuyer == 0 {
		o.PerBuyer = 1
	}
	for _, c := range e.lists["tags"] {
		o.Tags = append(o.Tags, c.text)
	}
	for _, c := range e.lists["countries"] {
		o.Countries = append(o.Countries, c.text)
	}
	e.stock(&o, units, bad)
	for _, n := range e.named["aliases"] {
		if o.Aliases == nil {
			o.Aliases = map[string][]string{}
		}
		o.Aliases[n.name.text] = append(o.Aliases[n.name.text], n.value.text)
	}
	if !e.money(&o, bad) { // what more there is to say of them may follow from that
		e.told["price"], e.told["currency"], e.told["delivery"] = true, true, true
	}
	var err error
	if o.Tax, err = ParsePercent(text("tax_percent")); err != nil {
		bad(e.place("tax_percent", nil), "tax_percent", err.Error())
	}
	for key, to := range map[string]*time.Time{"opens": &o.Opens, "closes": &o.Closes} {
		if c, ok := e.single[key]; ok {
			if *to, err = parseTime(c.text, o.Zone); err != nil {
				bad(c.at, key, err.Error())
			}
		}
	}
	for _, c := range complaints(o.Validate()) {
		if !e.told[c.Field] {
			faults.add(e.place(c.Field, c.about), o.Tag, c.Field, c.What)
		}
	}
	return o
}

func (e *entry) stock(o *Offer, units func(cell) int, bad func(at place, field, what string)) {
	stock, one := e.single["stock"]
	variants := e.named["variants"]
	switch {
	case one && len(variants) > 0:
		bad(stock.at, "stock", "stock and variants: give one of them")
	case one:
		o.Stock = map[string]int{"": units(stock)}
	case len(variants) == 0:
		o.Stock = map[string]int{"": Unlimited}
	default:
		o.Stock = map[string]int{}
		for _, v := range variants {
			if _, twice := o.Stock[v.name.text]; twice {
				bad(v.name.at, "variants", fmt.Sprintf("%q is there twice", v.name.text))
			}
			o.Stock[v.name.text] = units(v.value)
		}
	}
}

// money says whether all amounts are told rightly, as far as it can tell without [Offer.Validate].
func (e *entry) money(o *Offer, bad func(at place, field, what string)) (ok bool) {
	ok = true
	wrong := func(at place, field, what string) {
		ok = false
		bad(at, field, what)
	}
	amount := func(field string, c cell, code cell) (Money, bool) {
		if code.text == "" || !currency.IsValid(code.text) { // "" is one for it, of nothing
			if field == "price" {
				field = "currency"
			}
			if ok = false; !e.told[field] {
				bad(code.at, field, fmt.Sprintf("%q is not a currency (ISO 4217, such as USD)", code.text))
			}
			return Money{}, false
		}
		m, err := ParseMoney(c.text, code.text)
		if err != nil {
			wrong(c.at, field, err.Error())
		}
		return m, err == nil
	}
	code := cell{e.single["currency"].text, e.place("currency", nil)}
	price, is := e.single["price"]
	switch {
	case is:
		o.Price, _ = amount("price", price, code)
	case e.told["price"]:
		ok = false
	default:
		wrong(e.at, "price", "is needed")
	}
	for key, to := range map[string]*[]Money{"prices": &o.Prices, "delivery": &o.Delivery} {
		for _, n := range e.named[key] {
			if n.name.text == "" {
				n.name = code
			}
			if m, ok := amount(key, n.value, n.name); ok {
				*to = append(*to, m)
			}
		}
	}
	return ok
}

// complaints are those of [Offer.Validate].
func complaints(err error) (all []*FieldError) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	for _, err := range joined.Unwrap() {
		if c := (*FieldError)(nil); errors.As(err, &c) {
			all = append(all, c)
		}
	}
	return all
}

// entryOf is what a file has for an offer: what need not be said is left out.
func entryOf(o Offer) *entry {
	e := newEntry(place{})
	say := func(key, text string) {
		if text != "" {
			e.single[key] = cell{text: text}
		}
	}
	say("tag", o.Tag)
	say("title", o.Title)
	say("seller", o.Seller)
	say("price", o.Price.Decimal())
	say("currency", o.Price.Currency)
	say("per_buyer", strconv.Itoa(o.PerBuyer))
	say("hold", string(o.Hold))
	say("zone", o.Zone)
	say("terms", o.Terms)
	say("picture", o.Picture)
	say("seller_address", o.SellerAddress)
	say("seller_tax_number", o.SellerTaxNumber)
	say("withdrawal_days", strconv.Itoa(o.WithdrawalDays))
	say("merchant", o.Merchant)
	if o.Tax > 0 {
		say("tax_percent", o.Tax.String())
	}
	for key, is := range map[string]bool{"waitlist": o.Waitlist, "tax_added": o.TaxAdded, "digital": o.Digital} {
		if is {
			say(key, "true")
		}
	}
	for key, t := range map[string]time.Time{"opens": o.Opens, "closes": o.Closes} {
		if !t.IsZero() {
			say(key, timeText(t, o.Zone))
		}
	}
	for _, tag := range o.Tags {
		e.lists["tags"] = append(e.lists["tags"], cell{text: tag})
	}
	for _, c := range o.Countries {
		e.lists["countries"] = append(e.lists["countries"], cell{text: c})
	}
	for key, all := range map[string][]Money{"prices": o.Prices, "delivery": o.Delivery} {
		for _, m := range all {
			e.named[key] = append(e.named[key], namedCell{cell{text: m.Currency}, cell{text: m.Decimal()}})
		}
	}
	for _, name := range o.Variants() {
		units := strconv.Itoa(o.Stock[name])
		if o.Stock[name] == Unlimited {
			units = unlimited
		}
		if name == "" {
			say("stock", units)
			continue
		}
		e.named["variants"] = append(e.named["variants"], namedCell{cell{text: name}, cell{text: units}})
		for _, alias := range o.Aliases[name] {
			e.named["aliases"] = append(e.named["aliases"], namedCell{cell{text: name}, cell{text: alias}})
		}
	}
	return e
}

// A FieldError is a complaint about a field of an offer, by the name that files have for it.
type FieldError struct {
	Field, What string
	about       []string // may name what of the field: a variant, a currency
}

func (e *FieldError) Error() string { return e.Field + ": " + e.What }

func newFieldError(format string, args ...any) *FieldError {
	var e FieldError
	e.Field, e.What, _ = strings.Cut(fmt.Sprintf(format, args...), ": ")
	for _, arg := range args {
		if s, ok := arg.(string); ok {
			e.about = append(e.about, s)
		}
	}
	return &e
}
