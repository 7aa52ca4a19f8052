package offers

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"hashtill/store"
)

// An Offer is something that can be bought by its hashtag.
type Offer struct {
	ID       string         `json:"id"`  // the key of its hashtag (see [TagKey]); never changes
	Tag      string         `json:"tag"` // as it is written, without '#'
	Title    string         `json:"title"`
	Seller   string         `json:"seller"` // who sells, as the buyer reads it
	Price    Money          `json:"price"`  // of one unit
	Stock    map[string]int `json:"stock"`  // units that may ever be out, by variant; "" where there are none
	PerBuyer int            `json:"per_buyer"`
	Opens    time.Time      `json:"opens,omitzero"`  // zero: always
	Closes   time.Time      `json:"closes,omitzero"` // zero: never
	Terms    string         `json:"terms,omitempty"`
	Picture  string         `json:"picture,omitempty"` // an https address

	Tags     []string            `json:"tags,omitempty"`     // other hashtags that mean it too
	Aliases  map[string][]string `json:"aliases,omitempty"`  // other names of variants, such as those in another language
	Prices   []Money             `json:"prices,omitempty"`   // of one unit, in other currencies than Price
	Delivery []Money             `json:"delivery,omitempty"` // of a whole purchase, one for each currency at most; free in others
	Zone     string              `json:"zone,omitempty"`     // by whose clocks it opens and closes (IANA); "": UTC
	Hold     Hold                `json:"hold,omitempty"`     // when units are held
	Waitlist bool                `json:"waitlist,omitempty"` // who comes when it is sold out may wait for a unit that comes back

	// Countries are where it is sold to (ISO 3166-1 alpha-2); none: everywhere.
	Countries []string `json:"countries,omitempty"`

	// Merchant is whose offer it is, by the id of a [Merchant]; "": the operator's own.
	Merchant string `json:"merchant,omitempty"`

	SellerAddress   string  `json:"seller_address,omitempty"`
	SellerTaxNumber string  `json:"seller_tax_number,omitempty"` // such as a VAT id
	Tax             Percent `json:"tax_percent,omitzero"`        // 0: none is stated
	TaxAdded        bool    `json:"tax_added,omitempty"`         // the tax comes on top of prices and delivery; else they include it
	Digital         bool    `json:"digital,omitempty"`           // nothing is shipped

	// WithdrawalDays are the days in which the buyer can withdraw from the contract, see
	// [Purchase.WithdrawalEnds]; 0: there is no such right, which the terms should say.
	WithdrawalDays int `json:"withdrawal_days"`

	// Removed leaves the record of an offer that is taken out of the catalogue, so
	// that its versions only grow: nobody takes a later offer for this one.
	Removed bool `json:"removed,omitempty"`

	version int64 // of the record it was read from
}

// Bounds of an offer.
const (
	MaxTag      = 100 // runes of a hashtag
	MaxTitle    = 120 // runes of a title, a seller's or a variant's name
	MaxTerms    = 2000
	MaxVariants = 60
	MaxQuantity = 99 // units of one purchase

	MaxWithdrawalDays     = 400
	DefaultWithdrawalDays = 14 // Directive 2011/83/EU, Article 9
)

// Unlimited is the stock of what cannot sell out.
const Unlimited = math.MaxInt32

// TagKey is what two hashtags have in common that count as the same: NFKC, case
// folded, NFKC again, as X compares them. "#BuyTee", "#buytee" and "#ＢｕｙＴｅｅ"
// have one key.
func TagKey(tag string) string {
	if isASCII(tag) { // as nearly all are: of a million, the peak of memory at the start was 437 MB, and is 295
		return strings.ToLower(strings.TrimPrefix(tag, "#"))
	}
	tag = norm.NFKC.String(tag)
	tag = strings.TrimPrefix(tag, "#")
	return norm.NFKC.String(cases.Fold().String(tag))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Shard is where the offer and all that belongs to it lives.
func (o Offer) Shard() int { return store.ShardOf(o.ID) }

// Validate joins every complaint about an offer, each a [*FieldError].
func (o Offer) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, newFieldError(format, args...)) }

	switch _, isCode := ParseCode(o.Tag); {
	case o.Tag == "":
		bad("tag: a hashtag is needed")
	case utf8.RuneCountInString(o.Tag) > MaxTag || !isTag(o.Tag):
		bad("tag: %q is not a hashtag: letters, digits and _ with at least one letter", o.Tag)
	case isCode:
		bad("tag: #%s would be taken for a purchase code", o.Tag)
	case o.ID != TagKey(o.Tag):
		bad("id: %q does not belong to #%s", o.ID, o.Tag)
	}
	text := func(field, s string, most int) {
		long := field == "terms" || field == "seller_address" // in no reply, and of several lines
		switch {
		case s == "":
			bad("%s: is needed", field)
		case utf8.RuneCountInString(s) > most:
			bad("%s: longer than %d characters", field, most)
		case !long && (strings.ContainsAny(s, "#@＃＠") || strings.Contains(s, "://")):
			bad("%s: has a #, an @ or an address, which would count in a reply", field)
		case strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return unreadable(r) && (r != '\n' || !long) }):
			bad("%s: has control characters, or spaces around it", field)
		}
	}
	if len(o.ID) > maxKeyPart {
		bad("tag: longer than %d bytes", maxKeyPart)
	}
	text("title", o.Title, MaxTitle)
	text("seller", o.Seller, MaxTitle)
	if o.Terms != "" {
		text("terms", o.Terms, MaxTerms)
	}
	if o.SellerAddress != "" {
		text("seller_address", o.SellerAddress, MaxAddress)
	}
	if o.SellerTaxNumber != "" {
		text("seller_tax_number", o.SellerTaxNumber, MaxTitle)
	}
	if !o.Tax.valid() {
		bad("tax_percent: between 0 and 100")
	}
	if o.WithdrawalDays < 0 || o.WithdrawalDays > MaxWithdrawalDays {
		bad("withdrawal_days: between 0 (there is no such right) and %d, not %d", MaxWithdrawalDays, o.WithdrawalDays)
	}
	o.validatePrices(bad)
	if len(o.Stock) == 0 || len(o.Stock) > MaxVariants {
		bad("stock: between 1 and %d variants, not %d", MaxVariants, len(o.Stock))
	}
	for _, name := range o.Variants() {
		if n := o.Stock[name]; n < 0 || n > Unlimited {
			bad("stock: %q: %d units", name, n)
		}
		if name != "" {
			text("stock", name, MaxTitle)
			if len(name) > maxKeyPart {
				bad("stock: %q: longer than %d bytes", name, maxKeyPart)
			}
			if slices.ContainsFunc(strings.Fields(name), func(w string) bool { _, is := ParseTimes(w); return is || Word(w) == "" }) {
				bad("stock: %q has a word that would not be read as one: a number of units, or no letters and digits", name)
			} else if chosen, ok := o.Choose(strings.Fields(name)); !ok || chosen != name {
				bad("stock: %q cannot be told from another variant", name)
			}
		} else if len(o.Stock) > 1 {
			bad("stock: a variant without a name")
		}
	}
	o.validateMore(bad)
	if o.PerBuyer < 1 || o.PerBuyer > MaxQuantity {
		bad("per_buyer: between 1 and %d, not %d", MaxQuantity, o.PerBuyer)
	}
	if !o.Opens.IsZero() && !o.Closes.IsZero() && !o.Opens.Before(o.Closes) {
		bad("closes: is not after opens")
	}
	if o.Picture != "" && !strings.HasPrefix(o.Picture, "https://") {
		bad("picture: must be an https:// address")
	}
	return errors.Join(errs...)
}

// maxKeyPart bounds what of an offer stands in keys, in bytes: two parts and a
// buyer's account fit one key of the store.
const maxKeyPart = 110

// unreadable runes control a terminal or turn the direction of what follows.
func unreadable(r rune) bool { return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Bidi_Control, r) }

// isTag: what can be posted as one hashtag and found again as one.
func isTag(s string) bool {
	letter := false
	for _, r := range s {
		if !TagRune(r) {
			return false
		}
		letter = letter || TagLetter(r)
	}
	return letter
}

// Closed says why nothing of the offer can be bought at now, or "".
func (o Offer) Closed(now time.Time) Reason {
	switch {
	case !o.Opens.IsZero() && now.Before(o.Opens):
		return NotOpenYet
	case !o.Closes.IsZero() && !now.Before(o.Closes):
		return OfferClosed
	}
	return ""
}

// Keys of an offer's records and counts, all in its shard.
func offerKey(id string) string             { return "offer/" + id }
func takenKey(id, variant string) string    { return "taken/" + id + "/" + variant }
func soldKey(id, variant string) string     { return "sold/" + id + "/" + variant }
func boughtKey(id string, a Account) string { return "bought/" + id + "/" + a.String() }

func readOffer(r store.Record) (Offer, error) {
	o := Offer{WithdrawalDays: DefaultWithdrawalDays} // where an older record does not say
	if err := json.Unmarshal(r.Value, &o); err != nil {
		return Offer{}, fmt.Errorf("read offer %s: %w", r.Key, err)
	}
	o.version = r.Version
	return o, nil
}
