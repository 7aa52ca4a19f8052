package offers

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"hashtill/store"
)

// plainOffer has what most offers have.
func plainOffer() Offer {
	return Offer{
		ID: "tee", Tag: "Tee", Title: "Tour T-shirt, “blue”", Seller: "Records & Söhne", Price: Money{Minor: 2999, Currency: "EUR"},
		Stock: map[string]int{"S": 0, "M \"new\"": Unlimited}, PerBuyer: 2, Terms: "None.\nReally <none>.", SellerAddress: "1 Street\nTown",
		SellerTaxNumber: "DE 1", Tax: 5500, WithdrawalDays: 14, Opens: time.Date(2026, 5, 1, 20, 0, 0, 1, time.FixedZone("", 19800)),
		Tags: []string{"Shirt", "シャツ"}, Prices: []Money{{Minor: 1, Currency: "USD"}, {Minor: 2, Currency: "JPY"}}, Delivery: []Money{{Minor: 3, Currency: "EUR"}},
		Zone: "Europe/Berlin", Hold: "wish", Waitlist: true, Countries: []string{"DE", "FR"}, Merchant: "records", TaxAdded: true,
	}
}

// What json.Marshal writes of an offer is read without encoding/json: a field that is
// added and not known to the reader would make every start slow.
func TestReadOffersQuickly(t *testing.T) {
	for _, o := range []Offer{{}, plainOffer(), {ID: "tee", Removed: true, Digital: true, Picture: "https://a.example/?a&b", Closes: time.Unix(1e9, 0).UTC(), Stock: map[string]int{}}} {
		if o.Stock == nil {
			o.Stock = map[string]int{}
		}
		value, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var got Offer
		text := jsonText{rest: value, common: &offerReader{}}
		if !text.offer(&got) || len(text.rest) > 0 {
			t.Errorf("left to encoding/json: %s, from %s", value, text.rest)
		}
		got, err = new(offerReader).read(store.Record{Version: 7, Value: value})
		want, err2 := readOffer(store.Record{Version: 7, Value: value})
		if err != nil || err2 != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v, %v:\n%+v, not\n%+v", err, err2, got, want)
		}
	}
}

// FuzzReadOffers holds the reader to readOffer, whatever a record has become.
func FuzzReadOffers(f *testing.F) {
	value, err := json.Marshal(plainOffer())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value)
	for _, s := range []string{
		``, `{}`, ` {}`, `{} `, `{}}`, `{,}`, `{"id":"a",}`, `{"ID":"a"}`, `null`, `[]`, `{"id":null}`, `{"id":"a","id":"b"}`, `{"id":"\ud800"}`, "{\"id\":\"\xff\"}",
		"{\"id\":\"a\nb\"}", `{"id":"a\`, `{"id":"a\"`, `{"\u0069d":"a"}`, `{"other":1}`, `{"stock":{"a":1,"a":2},"stock":{"b":3}}`, `{"stock":null}`, `{"stock":{"a":1.0}}`,
		`{"price":{"minor":1},"price":{"currency":"USD"}}`, `{"price":{"minor":01}}`, `{"price":{"minor":-0}}`, `{"price":{"minor":-}}`, `{"price":{"minor":9223372036854775808}}`,
		`{"price":{"minor":-123456789012345678}}`, `{"price":{"minor":1e3}}`, `{"digital":true,"removed":false}`, `{"digital":"true"}`, `{"digital":truer}`, `{"opens":"2026-05-01T20:00:00Z"}`,
		`{"opens":"yesterday"}`, `{"opens":""}`, `{"tax_percent":"20"}`, `{"tax_percent":"200"}`, `{"tax_percent":20}`, `{"seller":"a\u00e9\/\n"}`, `{"withdrawal_days":0}`,
		`{"tags":[]}`, `{"tags":["a",]}`, `{"tags":["a"],"tags":["b"]}`, `{"prices":[{"minor":1}],"prices":[{"currency":"USD"}]}`, `{"prices":[{}]}`, `{"tags":null}`, `{"countries":[1]}`,
		`{"aliases":{"a":["b"]}}`, `{"hold":"reply"}`, `{"hold":"x"}`, `{"merchant":"m"}`, `{"tags":["a"`,
	} {
		f.Add([]byte(s))
	}
	reader := &offerReader{} // one that remembers
	f.Fuzz(func(t *testing.T, value []byte) {
		r := store.Record{Key: "offer/a", Version: 3, Value: value}
		got, err := reader.read(r)
		want, wantErr := readOffer(r)
		if (err == nil) != (wantErr == nil) || !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\n%+v, %v, not\n%+v, %v", value, got, err, want, wantErr)
		}
	})
}

// The reader forgets what it has remembered when it is too much.
func TestReadOffersBounded(t *testing.T) {
	r := &offerReader{}
	for n := range 3 * mostTexts {
		o := plainOffer()
		o.Seller = string(rune('一' + n))
		value, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.read(store.Record{Value: value}); err != nil || got.Seller != o.Seller {
			t.Fatalf("%+v, %v", got, err)
		}
		if len(r.texts) > mostTexts {
			t.Fatalf("%d texts", len(r.texts))
		}
	}
}
