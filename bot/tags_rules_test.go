package bot

import (
	"slices"
	"testing"

	"hashtill/offers"
)

// TestTagsOfTheWorld is the project's own look at each rule that twitter-text's cases
// are about, so that a checkout that stands alone is held to them too.
func TestTagsOfTheWorld(t *testing.T) {
	for rule, cases := range map[string]map[string][]string{
		"an emoji before is no word, whatever it ends in": {
			"🧢#cap": {"cap"}, "☂\ufe0e#rain": {"rain"}, "☂️#rain": {"rain"}, "👋🏾#hello": {"hello"}, "👋🏾\ufe0f#hello": {"hello"}, "👩‍🍳#soup": {"soup"},
		},
		"letters and digits in any order, but a letter": {
			"#cap": {"cap"}, "#cap7": {"cap7"}, "#7cap": {"7cap"}, "#c7a7p": {"c7a7p"}, "#7": nil, "#2026": nil, "#7_7": nil, "#___": nil, "#_a": {"_a"}, "#٣٤": nil,
		},
		"not within a word": {
			"cap#cap": nil, "7#cap": nil, "_#cap": nil, "é#cap": nil, "帽#cap": nil, "ひ#cap": nil, "&#cap": nil, "#cap#hat": nil, "#cap #hat": {"cap", "hat"},
		},
		"punctuation around it stands outside": {
			"(#cap)": {"cap"}, "[#cap]": {"cap"}, "!#cap!": {"cap"}, "…#cap…": {"cap"}, "#cap.": {"cap"}, "#cap,#hat": {"cap", "hat"}, "#cap-hat": {"cap"}, "#cap's": {"cap"},
			"「#帽子」": {"帽子"}, "！#cap": {"cap"}, "！＃cap": {"cap"}, "。#帽子。": {"帽子"}, "#cap\n#hat": {"cap", "hat"}, "#cap\thi": {"cap"}, "#cap\u3000hi": {"cap"},
		},
		"accents, composed or not": {
			"#piñata": {"piñata"}, "#Überhut": {"Überhut"}, "#cafe\u0301": {"cafe\u0301"}, "#şapka": {"şapka"}, "#İstanbul #ılık": {"İstanbul", "ılık"}, "#ǅ #ȝ #ẛ #Ắo": {"ǅ", "ȝ", "ẛ", "Ắo"},
		},
		"Japanese": {
			"#カップ": {"カップ"}, "#ぼうし": {"ぼうし"}, "#帽子": {"帽子"}, "#capカップ": {"capカップ"}, "#capぼうし": {"capぼうし"}, "#cap帽子": {"cap帽子"},
			"#a帽子z": {"a帽子z"}, "#夏の帽子カップ": {"夏の帽子カップ"}, "#スープ": {"スープ"}, "#ｽｰﾌﾟ": {"ｽｰﾌﾟ"}, "#時々": {"時々"}, "#〃帽": {"〃帽"}, "#はい～": {"はい～"}, "#はい〜": {"はい〜"},
			"＃帽子": {"帽子"}, "#ＣＡＰ７": {"ＣＡＰ７"}, "#ラーメン・カップ": {"ラーメン・カップ"},
		},
		"Korean":             {"#모자": {"모자"}, "#ﾤﾱ": {"ﾤﾱ"}, "새 #모자, 주세요": {"모자"}},
		"Cyrillic and Greek": {"#шапка #Ґудзик": {"шапка", "Ґудзик"}, "#καπέλο": {"καπέλο"}},
		"Armenian, Georgian": {"#գլխարկ": {"գլխարկ"}, "#ქუდი": {"ქუდი"}},
		"right to left": {
			"أريد #قبعة اليوم": {"قبعة"}, "#قبعة_صيف": {"قبعة_صيف"}, "#قبعة٣": {"قبعة٣"}, "#کلاه۲۰": {"کلاه۲۰"}, "#می\u200cخرم": {"می\u200cخرم"}, "#כובע": {"כובע"}, "#צה״ל": {"צה״ל"}, "#בית־ספר": {"בית־ספר"},
		},
		"India and its neighbours": {
			"#टोपी": {"टोपी"}, "#टोपी१": {"टोपी१"}, "#টুপি #ટોપી #ಟೋಪಿ #തൊപ്പി #ਟੋਪੀ #தொப்பி #టోపీ": {"টুপি", "ટોપી", "ಟೋಪಿ", "തൊപ്പി", "ਟੋਪੀ", "தொப்பி", "టోపీ"},
			"#ශ්\u200dරී": {"ශ්\u200dරී"},
		},
		"Thailand and its neighbours": {"#หมวก": {"หมวก"}, "#មួក #ဦးထုပ် #ໝວກ": {"មួក", "ဦးထုပ်", "ໝວກ"}, "#ཞྭ་མོ": {"ཞྭ་མོ"}},
		"Ethiopia":                    {"#ኮፍያ": {"ኮፍያ"}},
		"a dot in the middle":         {"#col·lecció": {"col·lecció"}},
		"beyond the first plane":      {"#\U00020021": {"\U00020021"}, "#\U00016f04\U00016f51": {"\U00016f04\U00016f51"}, "#a\U000104a0": {"a\U000104a0"}, "🧢 #cap": {"cap"}},
		"links": {
			"#https://shop.example": nil, "#cap://x": nil, "https://shop.example/#cap": nil, "http://shop.example/a#cap #hat": {"hat"}, "shop.example/x?y#cap": nil,
			"https://shop.example/x/#cap/y": nil, "#cap https://shop.example": {"cap"},
		},
	} {
		for text, want := range cases {
			if got := Tags(text); !slices.Equal(got, want) {
				t.Errorf("%s: Tags(%q) = %q, want %q", rule, text, got, want)
			}
			for i, s := range tagSpans(text) {
				if at := text[s[0]:s[1]]; at != "#"+want[i] && at != "＃"+want[i] {
					t.Errorf("%s: in %q, hashtag %d stands at %q", rule, text, i, at)
				}
			}
		}
	}
}

// TestTagsThatAreOne: X finds a hashtag in any case, width and composition.
func TestTagsThatAreOne(t *testing.T) {
	for text, same := range map[string]bool{
		"#BuyTee #buytee": true, "#BuyTee ＃ＢＵＹＴＥＥ": true, "#Café #CAFE\u0301": true, "#ГУДЗИК #гудзик": true, "#καφές #ΚΑΦΈΣ": true,
		"#ｶｯﾌﾟ #カップ": true, "#straße #STRASSE": true, "#ﬁne #FINE": true,
		"#cafe #café": false, "#BuyTee #BuyTees": false, "#カップ #かっぷ": false, "#col·lecció #collecció": false,
	} {
		tags := Tags(text)
		if len(tags) != 2 || (offers.TagKey(tags[0]) == offers.TagKey(tags[1])) != same {
			t.Errorf("%q has %q: one hashtag is %t", text, tags, !same)
		}
	}
}
