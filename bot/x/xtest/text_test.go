package xtest

import (
	"fmt"
	"strings"
	"testing"
)

func TestWeight(t *testing.T) {
	for text, want := range map[string]int{
		"":                0,
		"hello":           5,
		"grüße":           5,
		"gru\u0308ße":     5, // composed first
		"日本語":             6,
		"ＡＢ":              4,
		"привет":          6,
		"“quoted” – and…": 15 + 1, // the ellipsis is U+2026, outside the light ranges
		"😀":               2,
		"👨‍👩‍👧‍👦":         2,
		"👍🏽":              2,
		"🇫🇷🇩🇪":            4,
		"1️⃣":             2,
		"☎️":              2,
		"https://a.example/" + strings.Repeat("x", 300): 23,
		"see example.com.":           4 + 23 + 1,
		"see www.shop.co/x, ok":      4 + 23 + 4,
		"bob@example.com":            15,
		"3.50 or v1.2.company":       20,
		"http://a.com http://b.com!": 23 + 1 + 23 + 1,
	} {
		if got := weight(text); got != want {
			t.Errorf("%q weighs %d, want %d", text, got, want)
		}
	}
}

func TestHashtags(t *testing.T) {
	for text, want := range map[string]string{
		"#BuyLamp":                "0-8:BuyLamp",
		"say #one, #two!":         "4-8:one 10-14:two",
		"＃全角 and #日本語":            "0-3:全角 8-12:日本語",
		"#1 #1a #_ #_a":           "3-6:1a 10-13:_a",
		"a#b &#c ##d":             "9-11:d",
		"#half-way":               "0-5:half",
		"👍 #after_emoji":          "2-14:after_emoji",
		"#हिन्दी":                 "0-7:हिन्दी",
		"#a#b #http://x":          "",
		"(#in) \"#quotes\" .#dot": "1-4:in 7-14:quotes 17-21:dot",
	} {
		var got []string
		for _, h := range hashtags(text) {
			got = append(got, fmt.Sprintf("%d-%d:%s", h.Start, h.End, h.Tag))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q: %s, want %s", text, s, want)
		}
	}
}
