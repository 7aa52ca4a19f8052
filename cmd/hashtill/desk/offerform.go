package desk

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"hashtill/offers"
)

// faults are what is wrong with a form, by field; under "" what is wrong with all of it.
type faults map[string][]string

func (f faults) add(field, text string) {
	if text != "" {
		f[field] = append(f[field], text)
	}
}

func (f faults) join(others faults) {
	for field, texts := range others {
		f[field] = append(f[field], texts...)
	}
}

// An offerForm is an offer as somebody types it. What was typed stays as it was typed.
type offerForm struct {
	New    bool
	ID     string
	Was    string            // the offer when the form was opened
	In     map[string]string // by field
	Faults faults
	Open   int64 // purchases that have not ended
}

// A field is one of the form, as a template shows it.
type field struct {
	Name, Label, Hint, Value string
	Faults                   []string
}

// Field is what the template of a field takes.
func (f offerForm) Field(name, label, hint string) field {
	return field{name, label, hint, f.In[name], f.Faults[name]}
}

// Is says whether a field has a value.
func (f offerForm) Is(name, value string) bool { return f.In[name] == value }

// offerFields are those of the form.
var offerFields = []string{"tag", "tags", "title", "seller", "price", "currency", "prices", "delivery", "tax_percent", "tax_added", "stock",
	"aliases", "per_buyer", "opens", "closes", "zone", "hold", "waitlist", "countries", "terms", "picture", "seller_address",
	"seller_tax_number", "digital", "withdrawal_days"}

func blankOffer() offerForm {
	return offerForm{New: true, Faults: faults{}, In: map[string]string{"currency": "USD", "per_buyer": "1", "zone": "UTC",
		"hold": string(offers.HoldAtWish), "withdrawal_days": strconv.Itoa(offers.DefaultWithdrawalDays)}}
}

// common takes what the offers of one merchant have in common from one of them.
func (f *offerForm) common(o offers.Offer) {
	from := formOf(o)
	for _, name := range []string{"seller", "currency", "tax_percent", "tax_added", "zone", "seller_address", "seller_tax_number", "countries", "withdrawal_days"} {
		f.In[name] = from.In[name]
	}
}

// localTime is how a browser's field for a time has it.
const localTime = "2006-01-02T15:04"

func formOf(o offers.Offer) offerForm {
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return o.InZone(t).Format(localTime)
	}
	yes := func(b bool) string {
		if b {
			return "yes"
		}
		return ""
	}
	var aliases []string
	for _, name := range slices.Sorted(maps.Keys(o.Aliases)) {
		aliases = append(aliases, name+" = "+strings.Join(o.Aliases[name], ", "))
	}
	tax := ""
	if o.Tax > 0 {
		tax = o.Tax.String()
	}
	f := offerForm{ID: o.ID, Was: stateHash(o), Faults: faults{}, In: map[string]string{
		"tag": o.Tag, "tags": strings.Join(o.Tags, " "), "title": o.Title, "seller": o.Seller,
		"price": o.Price.Decimal(), "currency": o.Price.Currency, "prices": amounts(o.Prices), "delivery": amounts(o.Delivery),
		"tax_percent": tax, "tax_added": yes(o.TaxAdded), "stock": stockLines(o), "aliases": strings.Join(aliases, "\n"),
		"per_buyer": strconv.Itoa(o.PerBuyer), "opens": at(o.Opens), "closes": at(o.Closes), "zone": o.Zone, "hold": string(o.Hold),
		"waitlist": yes(o.Waitlist), "countries": strings.Join(o.Countries, " "), "terms": o.Terms, "picture": o.Picture,
		"seller_address": o.SellerAddress, "seller_tax_number": o.SellerTaxNumber, "digital": yes(o.Digital),
		"withdrawal_days": strconv.Itoa(o.WithdrawalDays),
	}}
	if o.Zone == "" {
		f.In["zone"] = "UTC"
	}
	if o.Hold == "" {
		f.In["hold"] = string(offers.HoldAtWish)
	}
	return f
}

// stateHash tells two states of an offer apart.
func stateHash(o offers.Offer) string {
	b, err := json.Marshal(o)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", sum(string(b)))
}

func amounts(all []offers.Money) string {
	lines := make([]string, len(all))
	for i, m := range all {
		lines[i] = m.String()
	}
	return strings.Join(lines, "\n")
}

func stockLines(o offers.Offer) string {
	var lines []string
	for _, name := range o.Variants() {
		if name == "" {
			return units(o.Stock[name])
		}
		lines = append(lines, name+" = "+units(o.Stock[name]))
	}
	return strings.Join(lines, "\n")
}

// units is a number of units for people, and parseUnits reads it.
func units(n int) string {
	if n == offers.Unlimited {
		return "unlimited"
	}
	return strconv.Itoa(n)
}

func parseUnits(s string) (int, bool) {
	switch s = strings.ToLower(strings.TrimSpace(s)); s {
	case "unlimited", "∞":
		return offers.Unlimited, true
	}
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err == nil
}

// readOfferForm reads what was sent: the form as it was typed, with its faults, and the
// offer. before is the offer that is edited, the zero one where there is none.
func readOfferForm(r *http.Request, before offers.Offer) (offerForm, offers.Offer) {
	f := offerForm{ID: before.ID, Was: r.PostFormValue("was"), In: map[string]string{}, Faults: faults{}}
	for _, name := range offerFields {
		f.In[name] = strings.TrimSpace(strings.ReplaceAll(r.PostFormValue(name), "\r\n", "\n"))
	}
	in := func(name string) string { return f.In[name] }
	o := before
	o.Tag = strings.TrimPrefix(in("tag"), "#")
	o.ID = offers.TagKey(o.Tag)
	if before.ID != "" && o.ID != before.ID {
		f.Faults.add("tag", "The first hashtag of an offer stays: purchases are known by it. Add another hashtag below, or make a new offer.")
		o.ID = before.ID
	}
	o.Title, o.Seller, o.Terms, o.Picture = in("title"), in("seller"), in("terms"), in("picture")
	o.SellerAddress, o.SellerTaxNumber = in("seller_address"), in("seller_tax_number")
	o.TaxAdded, o.Waitlist, o.Digital = in("tax_added") == "yes", in("waitlist") == "yes", in("digital") == "yes"
	o.Hold = offers.Hold(in("hold"))
	o.Tags = nil
	for _, tag := range listOf(in("tags")) {
		o.Tags = append(o.Tags, strings.TrimPrefix(tag, "#"))
	}
	o.Countries = listOf(strings.ToUpper(in("countries")))

	var err error
	code := strings.ToUpper(in("currency"))
	if in("price") == "" {
		f.Faults.add("price", "is needed")
	} else if o.Price, err = offers.ParseMoney(decimal(in("price")), code); err != nil {
		f.Faults.add("price", "want an amount such as 24.90 in a currency such as EUR, with no more decimals than it has")
		o.Price.Currency = code
	}
	o.Prices, o.Delivery = f.amounts("prices"), f.amounts("delivery")
	if o.Tax, err = offers.ParsePercent(decimal(in("tax_percent"))); err != nil {
		f.Faults.add("tax_percent", "between 0 and 100, with three decimals at most")
	}
	o.Stock, o.Aliases = f.stock(), f.aliases()
	o.PerBuyer = f.number("per_buyer")
	o.WithdrawalDays = f.number("withdrawal_days")
	o.Zone = in("zone")
	if o.Zone == "UTC" {
		o.Zone = ""
	}
	if at, err := time.LoadLocation(o.Zone); err != nil {
		f.Faults.add("zone", "there is no such time zone; want one such as Europe/Paris")
	} else {
		o.Opens = f.time("opens", at, before, before.Opens)
		o.Closes = f.time("closes", at, before, before.Closes)
	}
	return f, o
}

// decimal is a number as it is typed in many countries, with a point.
func decimal(s string) string { return strings.Replace(s, ",", ".", 1) }

// listOf are words between spaces, commas and line breaks.
func listOf(s string) []string {
	words := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' || r == ';' || r == '\n' || r == '\t' })
	if len(words) == 0 {
		return nil
	}
	return words
}

// lines are those that have something on them.
func lines(s string) (all []string) {
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// amounts reads lines such as "24.90 EUR".
func (f *offerForm) amounts(name string) (all []offers.Money) {
	for _, line := range lines(f.In[name]) {
		words := strings.Fields(line)
		if len(words) == 2 && len(words[0]) == 3 && strings.Trim(words[0], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == "" {
			words[0], words[1] = words[1], words[0]
		}
		if len(words) == 2 {
			if m, err := offers.ParseMoney(decimal(words[0]), strings.ToUpper(words[1])); err == nil {
				all = append(all, m)
				continue
			}
		}
		f.Faults.add(name, fmt.Sprintf("%q: want an amount and its currency, such as 24.90 EUR", line))
	}
	return all
}

// stock reads one number, or lines such as "M black = 10".
func (f *offerForm) stock() map[string]int {
	all := lines(f.In["stock"])
	if len(all) == 0 {
		return map[string]int{"": offers.Unlimited}
	}
	if n, ok := parseUnits(all[0]); ok && len(all) == 1 {
		return map[string]int{"": n}
	}
	stock := map[string]int{}
	for _, line := range all {
		at := strings.LastIndexAny(line, "=:")
		if at < 0 {
			f.Faults.add("stock", fmt.Sprintf("%q: want a name and a number, such as M black = 10", line))
			continue
		}
		name := strings.Join(strings.Fields(line[:at]), " ")
		n, ok := parseUnits(line[at+1:])
		switch _, twice := stock[name]; {
		case !ok:
			f.Faults.add("stock", fmt.Sprintf("%q: want a whole number behind the =, or “unlimited”", line))
		case name == "":
			f.Faults.add("stock", fmt.Sprintf("%q: want a name before the =", line))
		case twice:
			f.Faults.add("stock", fmt.Sprintf("%q is there twice", name))
		default:
			stock[name] = n
		}
	}
	return stock
}

// aliases reads lines such as "M black = M noir, medium black".
func (f *offerForm) aliases() map[string][]string {
	var all map[string][]string
	for _, line := range lines(f.In["aliases"]) {
		name, others, ok := strings.Cut(line, "=")
		if !ok {
			f.Faults.add("aliases", fmt.Sprintf("%q: want a variant and its other names, such as M black = M noir, medium black", line))
			continue
		}
		name = strings.Join(strings.Fields(name), " ")
		for other := range strings.SplitSeq(others, ",") {
			if other = strings.Join(strings.Fields(other), " "); other != "" {
				if all == nil {
					all = map[string][]string{}
				}
				all[name] = append(all[name], other)
			}
		}
	}
	return all
}

func (f *offerForm) number(name string) int {
	n, err := strconv.ParseUint(f.In[name], 10, 31)
	if err != nil {
		f.Faults.add(name, "want a whole number")
	}
	return int(n)
}

// time reads a time by the clocks of a place. One that was not touched stays as exact as
// it was.
func (f *offerForm) time(name string, at *time.Location, before offers.Offer, was time.Time) time.Time {
	typed := f.In[name]
	if typed == "" {
		return time.Time{}
	}
	if !was.IsZero() && was.In(at).Format(localTime) == typed {
		return was
	}
	t, err := time.ParseInLocation(localTime, typed, at)
	switch {
	case err != nil:
		f.Faults.add(name, "want a date and a time")
	case t.Format(localTime) != typed:
		f.Faults.add(name, "the clocks there are put forward over that time: it does not exist")
	}
	return t
}

// faultFields are where the form shows a complaint that is not about a field by its name.
var faultFields = map[string]string{"id": "tag", "tax_added": "tax_percent"}

// validate adds what [offers.Offer.Validate] complains about, at each field that has no
// complaint yet.
func (f *offerForm) validate(o offers.Offer) {
	more := faults{}
	for _, err := range each(o.Validate()) {
		name, text, ok := strings.Cut(err.Error(), ": ")
		if other, is := faultFields[name]; is {
			name = other
		}
		if !ok || !slices.Contains(offerFields, name) {
			name, text = "", err.Error()
		}
		if len(f.Faults[name]) == 0 && (name != "currency" || len(f.Faults["price"]) == 0) {
			more.add(name, text)
		}
	}
	f.Faults.join(more)
}

// each are the errors that were joined into one.
func each(err error) []error {
	if err == nil {
		return nil
	}
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		var flat []error
		for _, err := range all.Unwrap() {
			flat = append(flat, each(err)...)
		}
		return flat
	}
	return []error{err}
}
