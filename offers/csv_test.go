package offers

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"
	"testing"
)

func TestReadCSVTellsEveryFault(t *testing.T) {
	_, err := ReadCSV(strings.NewReader("\ufeff" + `title,tag,seller,price,currency,variant,stock,waitlist,prices,colour,tag
Été,BuyTee,S,1.999,USD,,5,perhaps,"1 EUR|2"
"two
lines",BuyHat,S,"149,99",USD,,5,,,,
A,BuyMug,S,1,USD,M,,,
,BuyMug,,2,,M,3,no,
,BuyMug,,,,,3,,
Été,"BuyCup",S,1,USD,,x,,,,,,more
A "quote,BuyPen,S,1,USD,,1
,,,,,,,,
Été,BUYTEE,S,1,USD,,1,,
A,not a tag,S,1,USD,,1,,
A,BuyBad,` + "\xe9" + `,1,USD,,1,,
A,BuyLong,` + strings.Repeat("x", maxCell+1) + `,1,USD,,1,,
A,BuyLast,S,1,EUR,,many,,
"never closed,BuyEnd,S,1
`))
	want := []string{"1:63", "1:70 tag", "2:14 price", "2:27 waitlist", "2:35 prices", "3:1 title", "4:17 price", "5:1 stock",
		"6:10 price", "6:13 variants", "6:17 waitlist", "7:2 tag", "8:30", "9:3", "11:5 tag", "12:3 tag", "13:10 seller", "14:11 seller", "15:20 stock", "16:26"}
	got := places(t, err)
	if !slices.Equal(got, want) {
		t.Errorf("told %q\nwant %q:\n%v", got, want, err)
	}
	for text, want := range map[string]string{
		"":                                  "the header has no column tag, title, seller, price, currency",
		"tag,price\nBuyTee,x,,\nBuyHat,y":   "line 1, column 1: the header has no column title, seller, currency",
		"title;price;stock\nA;1;2\nB;2;x\n": "line 1, column 1: the header has no column tag, seller, currency\nline 3, column 5: stock: \"x\"",
		"tag;title;seller;price;currency\nA;A;S;1,499;USD":          `line 2, column 7: offer #A: price: amount "1,499"`, // of what, only its writer knows
		"tag\ttitle\tseller\tprice\tcurrency\nA\tA\tS\t1,49,1\tUSD": "line 2, column 7",
	} {
		if _, err := ReadCSV(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	all, err := ReadCSV(strings.NewReader("tag\ttitle\tseller\tprice\tcurrency\nBuyA1\tA\tS\t1,5\tUSD\n"))
	if err != nil || all[0].Price != (Money{150, "USD"}) || all[0].Stock[""] != Unlimited {
		t.Errorf("%+v, %v", all, err)
	}
}

// What a spreadsheet would take for a formula is text for it, and comes back as it was.
func TestCSVHasNoFormulas(t *testing.T) {
	o := tee(1, 1)
	o.Title, o.Seller, o.Terms = "=HYPERLINK(\"x\")", "+1", "'@SUM(1)"
	o.SellerAddress, o.SellerTaxNumber = "'tis", "＝1"
	o.Stock = map[string]int{"-5": 1, "M": 1}
	o.Aliases = map[string][]string{"-5": {"=five"}}
	var text bytes.Buffer
	if err := WriteFile(&text, CSV, []Offer{o}); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text.Bytes(), []byte(byteOrderMark)))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		for _, c := range row {
			if c != "" && strings.ContainsAny(c[:1], "=+-@\t\r") {
				t.Errorf("%q is a formula", c)
			}
		}
	}
	if !slices.Contains(rows[1], "'=HYPERLINK(\"x\")") || !slices.Contains(rows[1], "''@SUM(1)") || !slices.Contains(rows[1], "'tis") {
		t.Errorf("%q", rows[1])
	}
	sameAgain(t, CSV, []Offer{o})
}

func TestSplit(t *testing.T) {
	for s, want := range map[string][]string{
		"": nil, " | ": nil, "a": {"a"}, " a b |c": {"a b", "c"}, `a\|b|\\`: {"a|b", `\`}, `\ a\ `: {" a "}, `a\`: {`a\`},
	} {
		if got := split(s); !slices.Equal(got, want) {
			t.Errorf("%q is split to %q, want %q", s, got, want)
		}
		if got := split(join(want)); !slices.Equal(got, want) {
			t.Errorf("%q is joined as %q", want, join(want))
		}
	}
}

func FuzzCSV(f *testing.F) {
	f.Add("tag,title,seller,price,currency\nBuyTee,A,S,1.99,USD\n")
	f.Add(allCSV)
	f.Add("tag;title;seller;price;currency;variant;stock\r\nBuyTee;'=A;S;1,99;USD;M;5\r\nBuyTee;;;;;L;unlimited\r\n")
	f.Add("tag\ttitle\tseller\tprice\tcurrency\tdelivery\nBuyTee\t\"A\"\"B\"\tS\t1\tUSD\t5|1 USD\n")
	f.Fuzz(func(t *testing.T, text string) { fuzzFile(t, CSV, text) })
}
