package offers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestReadYAML(t *testing.T) {
	got, err := ReadYAML(strings.NewReader(`
- tag: BuyTee
  title: Tour T-shirt
  seller: Example Records
  price: 149.90
  currency: USD
  variants: {M black: 10, L black: 5}
  closes: 2026-11-21T23:00:00+01:00
- {tag: Été, title: Disque, seller: Example Records, price: 20, currency: EUR, stock: 3, per_buyer: 2}
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].ID != "buytee" || got[0].Price != (Money{14990, "USD"}) || got[0].Stock["L black"] != 5 ||
		got[0].PerBuyer != 1 || got[0].Closes.UTC().Hour() != 22 || got[1].ID != "été" || got[1].Stock[""] != 3 {
		t.Errorf("read %+v", got)
	}
}

// all is what an offer can say, as two files have it.
const (
	allYAML = `
- &tee
  tag: BuyTee
  tags: [KaufTee, ティー]
  title: Tour T-shirt
  seller: Example Records
  price: 149.99
  currency: USD
  prices: {EUR: 139, JPY: 20000}
  delivery: {USD: 8, EUR: 5.50}
  variants: {M black: 1_000, L black: unlimited}
  aliases:
    M black: [M noir, M negro]
    L black: L noir
  per_buyer: 2
  hold: echo
  waitlist: yes
  zone: Europe/Paris
  opens: 2026-11-21 20:00
  closes: 2026-11-21T23:00:00Z
  countries: [FR, BE]
  terms: |-
    Ships within a week.
    Returns within 14 days.
  picture: https://example.com/tee.jpg
  seller_address: 12 rue des Lilas
  seller_tax_number: FR40123456824
  tax_percent: 5.5
  tax_added: true
  withdrawal_days: 30
  merchant: example
- <<: *tee
  tag: BuyHat
  tags:
  delivery: 3
  variants:
  aliases: ~
  digital: true
`
	allCSV = "\ufeff" + `tag;Tags;title;seller;price;currency;prices;delivery;variant;stock;aliases;per_buyer;hold;waitlist;zone;opens;closes;countries;terms;picture;seller_address;seller_tax_number;tax_percent;tax_added;withdrawal_days;merchant;digital
BuyTee;KaufTee | ティー;Tour T-shirt;Example Records;149,99;USD;139 EUR|20000 JPY;8 USD|5,50 EUR;M black;1000;M noir|M negro;2;echo;VRAI;Europe/Paris;2026-11-21 20:00;2026-11-21T23:00:00Z;FR|BE;"Ships within a week.
Returns within 14 days.";https://example.com/tee.jpg;12 rue des Lilas;FR40123456824;5,5;yes;30;example;
BuyHat;;Tour T-shirt;Example Records;149,99;USD;139 EUR|20000 JPY;3;;unlimited;;2;echo;VRAI;Europe/Paris;2026-11-21 20:00;2026-11-21T23:00:00Z;FR|BE;"Ships within a week.
Returns within 14 days.";https://example.com/tee.jpg;12 rue des Lilas;FR40123456824;5,5;yes;30;example;1
BuyTee;;;;;;;;L black;Unlimited;L noir;;;;;;;;;;;;;;;;
`
)

func TestFilesSayAll(t *testing.T) {
	fromYAML, err := ReadYAML(strings.NewReader(allYAML))
	if err != nil {
		t.Fatal(err)
	}
	fromCSV, err := ReadCSV(strings.NewReader(allCSV))
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"id":"buytee","tag":"BuyTee","title":"Tour T-shirt","seller":"Example Records","price":{"minor":14999,"currency":"USD"},` +
		`"stock":{"L black":2147483647,"M black":1000},"per_buyer":2,"opens":"2026-11-21T20:00:00+01:00","closes":"2026-11-21T23:00:00Z",` +
		`"terms":"Ships within a week.\nReturns within 14 days.","picture":"https://example.com/tee.jpg","tags":["KaufTee","ティー"],` +
		`"aliases":{"L black":["L noir"],"M black":["M noir","M negro"]},"prices":[{"minor":13900,"currency":"EUR"},{"minor":20000,"currency":"JPY"}],` +
		`"delivery":[{"minor":800,"currency":"USD"},{"minor":550,"currency":"EUR"}],"zone":"Europe/Paris","hold":"echo","waitlist":true,` +
		`"countries":["FR","BE"],"merchant":"example","seller_address":"12 rue des Lilas","seller_tax_number":"FR40123456824","tax_percent":"5.5",` +
		`"tax_added":true,"withdrawal_days":30},{"id":"buyhat","tag":"BuyHat","title":"Tour T-shirt","seller":"Example Records",` +
		`"price":{"minor":14999,"currency":"USD"},"stock":{"":2147483647},"per_buyer":2,"opens":"2026-11-21T20:00:00+01:00",` +
		`"closes":"2026-11-21T23:00:00Z","terms":"Ships within a week.\nReturns within 14 days.","picture":"https://example.com/tee.jpg",` +
		`"prices":[{"minor":13900,"currency":"EUR"},{"minor":20000,"currency":"JPY"}],"delivery":[{"minor":300,"currency":"USD"}],` +
		`"zone":"Europe/Paris","hold":"echo","waitlist":true,"countries":["FR","BE"],"merchant":"example","seller_address":"12 rue des Lilas",` +
		`"seller_tax_number":"FR40123456824","tax_percent":"5.5","tax_added":true,"digital":true,"withdrawal_days":30}]`
	for name, all := range map[string][]Offer{"YAML": fromYAML, "CSV": fromCSV} {
		if got, _ := json.Marshal(all); string(got) != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
}

// places are where faults are told, and of what: "3:12 price".
func places(t *testing.T, err error) (all []string) {
	t.Helper()
	var faults *Faults
	if !errors.As(err, &faults) {
		t.Fatalf("want faults: %v", err)
	}
	for _, f := range faults.Told {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%d:%d %s", f.Line, f.Column, f.Field)))
	}
	return all
}

func TestReadYAMLTellsEveryFault(t *testing.T) {
	_, err := ReadYAML(strings.NewReader(`- {tag: BuyTee, title: A, seller: S, price: 1.999, currency: USD}
- {tag: "not a tag", title: A, seller: S, price: 1, currency: USD, colour: red, per_buyer: many}

- {tag: Fine, title: A, seller: S, price: 1, currency: USD, stock: 1, per_buyer: 100}
- {tag: Both, title: A, seller: S, price: 1, currency: USD, stock: 1, variants: {a: 1}}
- tag: Été
  title: "é #"
  price: 1
  price: 2
  currency: ABC
  variants:
    M black: 10
    black m: ten
    Black M: 3
  aliases:
    M black: [L noir, ", "]
    XXL: nothing
  prices: {EUR: 1.999, EUR: 2}
  delivery: {JPY: 5}
  opens: tomorrow
  closes: 2026-10-25 02:30
  zone: Europe/Paris
  countries: [FR, XX, FR]
  hold: never
  tags: [buytee, Fine2]
- just text
- {tag: BUYTEE, title: A, seller: S, price: 1, currency: USD, tags: fine2}
`))
	want := []string{"1:45 price", "2:9 tag", "2:68", "2:92 per_buyer", "4:82 per_buyer", "5:68 stock",
		"6:3 seller", "7:10 title", "9:3 price", "10:13 currency", "12:5 stock", "13:14 variants", "14:5 stock",
		"16:23 aliases", "17:5 aliases", "17:10 aliases", "18:17 prices", "20:10 opens", "21:11 closes",
		"23:19 countries", "23:23 countries", "24:9 hold", "25:10 tags", "26:3", "27:9 tag", "27:69 tags"}
	if got := places(t, err); !slices.Equal(got, want) {
		t.Errorf("told %q\nwant %q:\n%v", got, want, err)
	}
	if !strings.Contains(err.Error(), `line 1, column 45: offer #BuyTee: price: amount "1.999" has more decimals than USD`) {
		t.Error(err)
	}
	for text, want := range map[string]string{
		"- tag: A\n  colour: red\n":         `line 2, column 3: offer #A: unknown key "colour"`,
		"- tag: A\n  per_buyer: many":       "line 2, column 14: offer #A: per_buyer: this key wants another kind",
		"tag: A":                            "line 1, column 1: the file wants another kind",
		"- tag: [":                          "line 1, column 3: this is no YAML",
		"- {tag: A}\n---\n- {tag: B}":       "line 2, column 1: more than one document",
		"- tag: A\n  title: [x\n- tag: B C": "line 3, column 8: offer #B C: tag: ", // beside what is no YAML
		"- tag: A\n\ttitle: x\n- tag: B\n  title: 'y\n- tag: C\n  stock: x": "line 6, column 10: offer #C: stock: ",
		"- &a {<<: *a, tag: A}": "", // ends
		"- {title: A, seller: S, price: 1, currency: usd}\n- {title: B, seller: S, price: 1, currency: USD, tag: [x]}": "" +
			"line 1, column 3: tag: a hashtag is needed\nline 1, column 45: currency: \"usd\" is not a currency (ISO 4217, such as USD)\n" +
			"line 2, column 55: tag: this key wants another kind of value",
	} {
		if _, err := ReadYAML(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestFaultsAreBounded(t *testing.T) {
	_, err := ReadYAML(strings.NewReader(strings.Repeat("- x\n", maxFaults+17)))
	var faults *Faults
	if !errors.As(err, &faults) || len(faults.Told) != maxFaults || faults.More != 17 || !strings.HasSuffix(err.Error(), "\nand 17 more") {
		t.Errorf("%T: …%s", err, err.Error()[len(err.Error())-40:])
	}
}

func TestTimesByTheZonesClocks(t *testing.T) {
	for _, c := range []struct{ text, zone, want string }{
		{"2026-11-21 20:00", "Europe/Paris", "2026-11-21T20:00:00+01:00"},
		{"2026-07-21 20:00:01.5", "Europe/Paris", "2026-07-21T20:00:01.5+02:00"},
		{"2026-11-21T20:00", "", "2026-11-21T20:00:00Z"},
		{"2026-11-21", "Asia/Tokyo", "2026-11-21T00:00:00+09:00"},
		{"2026-11-21T20:00:00+05:00", "Europe/Paris", "2026-11-21T20:00:00+05:00"},
		{"2026-11-21 20:00Z", "Europe/Paris", "2026-11-21T20:00:00Z"},
		{"2026-03-29 02:30", "Europe/Paris", "skip"},
		{"2026-10-25 02:30", "Europe/Paris", "twice: write 2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00"},
		{"2026-04-05 01:45", "Australia/Lord_Howe", "twice"},
		{"21/11/2026 20:00", "Europe/Paris", "want a time"},
		{"2026-02-30 20:00", "Europe/Paris", "want a time"},
	} {
		got, err := parseTime(c.text, c.zone)
		if err != nil && !strings.Contains(err.Error(), c.want) || err == nil && got.Format(time.RFC3339Nano) != c.want {
			t.Errorf("%q in %q: %v, %v; want %s", c.text, c.zone, got, err, c.want)
		}
		if again, err2 := parseTime(timeText(got, c.zone), c.zone); err == nil && (err2 != nil || !again.Equal(got)) {
			t.Errorf("%v is written as %s", got, timeText(got, c.zone))
		}
	}
}

func TestAmong(t *testing.T) {
	f, err := ReadFile(strings.NewReader(`- {tag: BuyTee, title: A, seller: S, price: 1, currency: USD}
- {tag: BuyHat, title: A, seller: S, price: 1, currency: USD, tags: [Hat, Mug]}
`), YAML)
	if err != nil {
		t.Fatal(err)
	}
	other := func(tag string, tags ...string) Offer { return Offer{ID: TagKey(tag), Tag: tag, Tags: tags} }
	if err := f.Among([]Offer{other("BuyMug", "buycup"), other("BUYHAT", "BuyTee")}); err != nil {
		t.Errorf("#BuyHat takes the place of the one there is: %v", err)
	}
	err = f.Among([]Offer{other("Mug"), other("BuyCup", "HAT", "BuyTee")})
	if got := places(t, err); !slices.Equal(got, []string{"1:9 tag", "2:70 tags", "2:75 tags"}) || !strings.Contains(err.Error(), "tags: #mug belongs to the offer #Mug") {
		t.Error(got, err)
	}
}

// anyOffer is an offer that uses what an offer can say, and texts that files have to quote.
func anyOffer(rt *rapid.T, n int) Offer {
	draw := func(name string, few ...string) string { return rapid.SampledFrom(few).Draw(rt, name) }
	odd := []string{"Tour T-shirt", "=1+1", "'=x", "''-y", "+x", "-", "- a: b", "null", "~", "true", "2026-11-21", "1_000", "0x1f", "a|b", `a\b`, `"q"`, "a;b,c",
		"<<", "*a", "&a", "!x", "%x", "`x", "[x", "{x}", "x: y", "x  y", "é 🎉", "＝x", "'", "\\", "a\u2028b", "? x", "| x", "> x", "\ufeffx", "."}
	o := Offer{
		Tag: fmt.Sprint(draw("tag", "Tee", "Été", "null", "ティー"), "n", n), Title: draw("title", odd...), Seller: draw("seller", odd...),
		Price: Money{rapid.Int64Range(1, 1e9).Draw(rt, "price") * 10, draw("currency", "USD", "JPY", "KWD")}, PerBuyer: rapid.IntRange(1, MaxQuantity).Draw(rt, "per buyer"),
		WithdrawalDays: rapid.IntRange(0, MaxWithdrawalDays).Draw(rt, "withdrawal"), Hold: Hold(draw("hold", "", "wish", "echo", "click")),
		Zone: draw("zone", "", "Europe/Paris", "Asia/Kathmandu"), Waitlist: rapid.Bool().Draw(rt, "waitlist"), Digital: rapid.Bool().Draw(rt, "digital"),
		Merchant: draw("merchant", "", "example", "1e5"), Tax: Percent(rapid.IntRange(0, 100_000).Draw(rt, "tax")),
		SellerAddress: draw("address", append(odd, "", "12 rue #3\n\n  Lyon \n@x", "a\n- b", "a \nb")...), Terms: draw("terms", append(odd, "", "a\n\nb: c")...),
		SellerTaxNumber: draw("tax number", append(odd, "")...), Picture: draw("picture", "", "https://example.com/a|b?c=#d"),
	}
	o.ID, o.TaxAdded = TagKey(o.Tag), o.Tax > 0 && rapid.Bool().Draw(rt, "added")
	at := time.Unix(rapid.Int64Range(1_700_000_000, 1_900_000_000).Draw(rt, "opens"), rapid.SampledFrom([]int64{0, 5e8}).Draw(rt, "ns"))
	if in := draw("in", "", "Europe/Paris", "UTC", "America/Caracas"); in != "" {
		zone, err := time.LoadLocation(in)
		if err != nil {
			rt.Fatal(err)
		}
		o.Opens, o.Closes = at.In(zone), at.Add(time.Hour).UTC()
	}
	if rapid.Bool().Draw(rt, "other tags") {
		o.Tags = []string{fmt.Sprint("Alt", n), fmt.Sprint("Été", n)}
		o.Countries = []string{"NO", "FR"} // YAML of old reads NO as false
		o.Prices = []Money{{rapid.Int64Range(1, 1e9).Draw(rt, "eur"), "EUR"}, {100, "BHD"}}
		o.Delivery = []Money{{rapid.Int64Range(0, 1e6).Draw(rt, "fee"), "EUR"}, {0, o.Price.Currency}}
	}
	o.Stock = map[string]int{"": rapid.SampledFrom([]int{0, 7, Unlimited}).Draw(rt, "stock")}
	if rapid.Bool().Draw(rt, "variants") {
		o.Stock = map[string]int{}
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"S", "M black", "=XL", "a|b", `c\d`, "null", "2024", "'quoted", "x: y", "NO", "-5"}), 1, 6, rapid.ID).Draw(rt, "names") {
			o.Stock[name] = rapid.SampledFrom([]int{0, 7, Unlimited}).Draw(rt, "units")
		}
		o.Aliases = map[string][]string{o.Variants()[0]: {"nero|m", `\n1`, " spaced ", "=k", "1.0", "two  words"}}
	}
	if err := o.Validate(); err != nil {
		rt.Fatalf("%+v: %v", o, err)
	}
	return o
}

// What is written reads the same, and is written the same again.
func TestFilesGiveBackTheSame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		all := make([]Offer, rapid.IntRange(0, 4).Draw(rt, "offers"))
		for n := range all {
			all[n] = anyOffer(rt, n)
		}
		for _, f := range Formats {
			sameAgain(rt, f, all)
		}
	})
}

func sameAgain(t interface {
	Helper()
	Fatalf(string, ...any)
}, f Format, all []Offer) {
	t.Helper()
	var text bytes.Buffer
	if err := WriteFile(&text, f, all); err != nil {
		t.Fatalf("%v", err)
	}
	again, err := ReadFile(bytes.NewReader(text.Bytes()), f)
	if err != nil {
		t.Fatalf("%s\n%v", text.String(), err)
	}
	want, _ := json.Marshal(all)
	if got, _ := json.Marshal(again.Offers); !bytes.Equal(got, want) && len(all) > 0 {
		t.Fatalf("%s\nreads\n%s\nwant\n%s", text.String(), got, want)
	}
}

// fuzzFile holds what is read of any text: each offer is valid, comes back from both
// formats, and each fault has its place.
func fuzzFile(t *testing.T, format Format, text string) {
	read, err := ReadFile(strings.NewReader(text), format)
	if err != nil {
		var faults *Faults
		if !errors.As(err, &faults) {
			t.Fatal(err)
		}
		lines := strings.Count(text, "\n") + 1
		for _, f := range faults.Told {
			if f.Line < 1 || f.Line > lines+1 || f.Column < 1 {
				t.Errorf("%q: a fault stands nowhere: %v", text, f)
			}
		}
		return
	}
	for _, o := range read.Offers {
		if err := o.Validate(); err != nil {
			t.Errorf("%q gave an offer that is not valid: %+v: %v", text, o, err)
		}
	}
	for _, to := range Formats {
		if to == YAML || !strings.ContainsFunc(text, unreadable) { // a cell of a spreadsheet has no spaces around it
			sameAgain(t, to, read.Offers)
		}
	}
}

func FuzzReadYAML(f *testing.F) {
	f.Add("- {tag: BuyTee, title: A, seller: S, price: 1.99, currency: USD, stock: 1}")
	f.Add(allYAML)
	f.Add("- tag: A\n  title: [x\n- tag: B C")
	f.Add("- &a {<<: [*a, *a], tag: A}")
	f.Fuzz(func(t *testing.T, text string) { fuzzFile(t, YAML, text) })
}
