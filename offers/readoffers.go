package offers

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"hashtill/store"
)

// An offerReader reads the records of many offers, as [readOffer] reads each. What
// [json.Marshal] writes of an Offer it reads itself, in a tenth of the time; of a million
// offers encoding/json took half the start (`hashtill bench growth`). All else, such as a
// key that it does not know, it leaves to readOffer. It serves one goroutine.
type offerReader struct {
	texts map[string]string // what many offers have in common, by how JSON has it
}

func (r *offerReader) read(rec store.Record) (Offer, error) {
	o := Offer{WithdrawalDays: DefaultWithdrawalDays}
	t := jsonText{rest: rec.Value, common: r}
	if !t.offer(&o) || len(t.rest) > 0 {
		return readOffer(rec)
	}
	o.version = rec.Version
	return o, nil
}

// mostTexts bounds what a reader remembers, where offers have little in common.
const mostTexts = 4096

// text is one that other offers may have too. It is unquoted and kept once.
func (r *offerReader) text(quoted []byte) (string, bool) {
	if s, ok := r.texts[string(quoted)]; ok {
		return s, true
	}
	s, ok := unquoted(quoted)
	if r.texts == nil || len(r.texts) >= mostTexts {
		r.texts = map[string]string{}
	}
	if ok {
		r.texts[string(quoted)] = s
	}
	return s, ok
}

// unquoted is a string that JSON has between quotes.
func unquoted(quoted []byte) (s string, ok bool) {
	if bytes.IndexByte(quoted, '\\') < 0 && utf8.Valid(quoted) {
		return string(quoted[1 : len(quoted)-1]), true
	}
	err := json.Unmarshal(quoted, &s)
	return s, err == nil
}

// A jsonText is read from its beginning. Each of its methods says whether it has found
// what it looks for; if not, the text is for encoding/json to read.
type jsonText struct {
	rest   []byte
	common *offerReader
}

// offer reads an offer. Other names of variants are rare, and left to encoding/json.
func (t *jsonText) offer(o *Offer) bool {
	return t.object(func(key []byte) bool {
		switch string(key) {
		case `"id"`:
			return t.string(&o.ID)
		case `"tag"`:
			return t.string(&o.Tag)
		case `"title"`:
			return t.string(&o.Title)
		case `"seller"`:
			return t.commonString(&o.Seller)
		case `"price"`:
			return t.money(&o.Price)
		case `"stock"`:
			if o.Stock == nil {
				o.Stock = map[string]int{}
			}
			return t.object(func(key []byte) bool {
				name, ok := unquoted(key)
				var units int
				ok = ok && t.int(&units)
				o.Stock[name] = units
				return ok
			})
		case `"per_buyer"`:
			return t.int(&o.PerBuyer)
		case `"opens"`:
			return t.time(&o.Opens)
		case `"closes"`:
			return t.time(&o.Closes)
		case `"terms"`:
			return t.commonString(&o.Terms)
		case `"picture"`:
			return t.string(&o.Picture)
		case `"tags"`:
			return t.strings(&o.Tags)
		case `"prices"`:
			return t.amounts(&o.Prices)
		case `"delivery"`:
			return t.amounts(&o.Delivery)
		case `"zone"`:
			return t.commonString(&o.Zone)
		case `"hold"`:
			var hold string
			ok := t.commonString(&hold)
			o.Hold = Hold(hold)
			return ok
		case `"waitlist"`:
			return t.bool(&o.Waitlist)
		case `"countries"`:
			return t.strings(&o.Countries)
		case `"merchant"`:
			return t.commonString(&o.Merchant)
		case `"tax_added"`:
			return t.bool(&o.TaxAdded)
		case `"seller_address"`:
			return t.commonString(&o.SellerAddress)
		case `"seller_tax_number"`:
			return t.commonString(&o.SellerTaxNumber)
		case `"tax_percent"`:
			var rate string
			ok := t.commonString(&rate)
			return ok && o.Tax.UnmarshalText([]byte(rate)) == nil
		case `"digital"`:
			return t.bool(&o.Digital)
		case `"withdrawal_days"`:
			return t.int(&o.WithdrawalDays)
		case `"removed"`:
			return t.bool(&o.Removed)
		}
		return false
	})
}

// object reads an object. value reads the value of a key, which has its quotes.
func (t *jsonText) object(value func(key []byte) bool) bool {
	if !t.next('{') {
		return false
	}
	for first := true; !t.next('}'); first = false {
		if !first && !t.next(',') {
			return false
		}
		key, ok := t.quoted()
		if !ok || !t.next(':') || !value(key) {
			return false
		}
	}
	return true
}

// list reads a list. It may be the only one of its key: encoding/json has the second one
// begin with what is left of the first.
func (t *jsonText) list(only bool, value func() bool) bool {
	if !only || !t.next('[') {
		return false
	}
	for first := true; !t.next(']'); first = false {
		if !first && !t.next(',') || !value() {
			return false
		}
	}
	return true
}

func (t *jsonText) strings(to *[]string) bool {
	list := []string{}
	ok := t.list(*to == nil, func() bool {
		list = append(list, "")
		return t.commonString(&list[len(list)-1])
	})
	*to = list
	return ok
}

func (t *jsonText) amounts(to *[]Money) bool {
	list := []Money{}
	ok := t.list(*to == nil, func() bool {
		list = append(list, Money{})
		return t.money(&list[len(list)-1])
	})
	*to = list
	return ok
}

func (t *jsonText) money(m *Money) bool {
	return t.object(func(key []byte) bool {
		switch string(key) {
		case `"minor"`:
			return t.number(&m.Minor)
		case `"currency"`:
			return t.commonString(&m.Currency)
		}
		return false
	})
}

// next goes on behind a character.
func (t *jsonText) next(c byte) bool {
	if len(t.rest) == 0 || t.rest[0] != c {
		return false
	}
	t.rest = t.rest[1:]
	return true
}

// quoted is a string with its quotes, as it stands there.
func (t *jsonText) quoted() (quoted []byte, ok bool) {
	if len(t.rest) == 0 || t.rest[0] != '"' {
		return nil, false
	}
	for i := 1; i < len(t.rest); i++ {
		switch c := t.rest[i]; {
		case c == '"':
			quoted, t.rest = t.rest[:i+1], t.rest[i+1:]
			return quoted, true
		case c == '\\':
			i++
		case c < ' ':
			return nil, false
		}
	}
	return nil, false
}

func (t *jsonText) string(to *string) bool {
	quoted, ok := t.quoted()
	if ok {
		*to, ok = unquoted(quoted)
	}
	return ok
}

func (t *jsonText) commonString(to *string) bool {
	quoted, ok := t.quoted()
	if ok {
		*to, ok = t.common.text(quoted)
	}
	return ok
}

func (t *jsonText) time(to *time.Time) bool {
	quoted, ok := t.quoted()
	return ok && to.UnmarshalJSON(quoted) == nil
}

func (t *jsonText) bool(to *bool) bool {
	for _, value := range []bool{false, true} {
		if rest, ok := bytes.CutPrefix(t.rest, strconv.AppendBool(nil, value)); ok {
			*to, t.rest = value, rest
			return true
		}
	}
	return false
}

func (t *jsonText) int(to *int) bool {
	var n int64
	ok := t.number(&n)
	*to = int(n)
	return ok && int64(*to) == n
}

// number reads a whole number. One so long that it might not fit is for encoding/json.
func (t *jsonText) number(to *int64) bool {
	negative := t.next('-')
	digits, n := 0, int64(0)
	for ; digits < len(t.rest) && '0' <= t.rest[digits] && t.rest[digits] <= '9' && digits < 19; digits++ {
		n = 10*n + int64(t.rest[digits]-'0')
	}
	if digits == 0 || digits > 18 || digits > 1 && t.rest[0] == '0' {
		return false
	}
	if negative {
		n = -n
	}
	*to, t.rest = n, t.rest[digits:]
	return true
}
