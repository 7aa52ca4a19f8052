package bot

import (
	"reflect"
	"strings"
	"testing"

	"hashtill/offers"
)

const self = "99"

var code = offers.NewCode([]byte("key"), offers.NewID("x", "1", "buytee"), 0)

func onSale(tag string) (offers.Offer, bool) {
	for _, known := range []string{"BuyTee", "été", "東京タワー"} {
		if offers.TagKey(tag) == offers.TagKey(known) {
			return offers.Offer{ID: offers.TagKey(known), Tag: known}, true
		}
	}
	return offers.Offer{}, false
}

// said is a post by somebody whose hashtags are read from the text.
func said(text string) Post {
	p := Post{Author: Author{ID: "1"}, Text: text, Tags: Tags(text)}
	if strings.Contains(text, "@bot") {
		p.Names = []string{self}
	}
	return p
}

func ours(text string) *Post {
	return &Post{Author: Author{ID: self}, Text: text, Tags: Tags(text)}
}

func TestRead(t *testing.T) {
	quote := func(text string, of *Post) Post { p := said(text); p.Kind, p.Of = Quote, of; return p }
	answer := func(text string, of *Post) Post { p := said(text); p.Kind, p.Of = Answer, of; return p }
	repost := func(of *Post) Post { return Post{Author: Author{ID: "1"}, Kind: Repost, Of: of} }
	theirs := func(text string) *Post { return &Post{Author: Author{ID: "2"}, Text: text, Tags: Tags(text)} }
	c := code.Hashtag()

	type want struct {
		kind     IntentKind
		offer    string
		quantity int
		words    string
	}
	for name, tc := range map[string]struct {
		post Post
		want want
	}{
		"wish":                         {said("@bot #BuyTee"), want{WantsOffer, "buytee", 0, ""}},
		"bare":                         {said("#buytee"), want{WantsOffer, "buytee", 0, ""}},
		"accents":                      {said("@bot je veux #ÉTÉ !"), want{WantsOffer, "été", 0, "je veux"}},
		"CJK":                          {said("@bot ＃東京タワー ください"), want{WantsOffer, "東京タワー", 0, "ください"}},
		"quantity and variant":         {said("@bot #BuyTee x2, M black"), want{WantsOffer, "buytee", 2, "M black"}},
		"the other way round":          {said("M black 3× #BuyTee @bot"), want{WantsOffer, "buytee", 3, "M black"}},
		"the first quantity counts":    {said("@bot #BuyTee x2 x9"), want{WantsOffer, "buytee", 2, ""}},
		"no number is guessed":         {said("@bot #BuyTee 2 x0 x"), want{WantsOffer, "buytee", 0, "2 x0 x"}},
		"unknown tag":                  {said("@bot #BuyHat"), want{}},
		"first of two":                 {said("@bot #nothing #été #BuyTee"), want{WantsOffer, "été", 0, ""}},
		"code":                         {said("@bot " + c), want{kind: RepeatsCode}},
		"code without mention":         {said(c), want{kind: RepeatsCode}},
		"code in capitals":             {said(strings.ToUpper(c)), want{kind: RepeatsCode}},
		"code and tag":                 {said("@bot " + c + " #BuyTee"), want{kind: RepeatsCode}},
		"mistyped code":                {said("@bot " + c[:len(c)-2] + "aa"), want{}},
		"repost of our code":           {repost(ours("repost this: " + c)), want{kind: RepeatsCode}},
		"repost of another's post":     {repost(theirs("look: " + c)), want{}},
		"repost of another's wish":     {repost(theirs("@bot #BuyTee")), want{}},
		"repost of our offer":          {repost(ours("buy #BuyTee")), want{}},
		"repost of what is unknown":    {repost(nil), want{}},
		"quote of our code":            {quote("yes!", ours(c)), want{kind: RepeatsCode}},
		"answer to our code":           {answer("no thanks, too expensive", ours(c)), want{}},
		"answer with the code":         {answer("yes "+c, ours(c)), want{kind: RepeatsCode}},
		"talk with a command in it":    {answer("@ann @bot stop wasting money", theirs("x")), want{}},
		"culture":                      {said("@bot cancel culture is everywhere"), want{}},
		"a lot":                        {said("@bot #BuyTee x1000"), want{WantsOffer, "buytee", 999, ""}},
		"cancel under our code":        {answer("cancel", ours(c)), want{kind: WantsCancel}},
		"new wish under an old code":   {answer("one more #BuyTee", ours(c)), want{WantsOffer, "buytee", 0, "one more"}},
		"quote of our offer":           {quote("#BuyTee please", ours("buy #BuyTee")), want{WantsOffer, "buytee", 0, "please"}},
		"tag only in what is quoted":   {quote("look", theirs("#BuyTee")), want{}},
		"bare tag over another's post": {quote("#BuyTee", theirs("nice")), want{}},
		"the same to the bot":          {quote("@bot #BuyTee", theirs("nice")), want{WantsOffer, "buytee", 0, ""}},
		"stop":                         {said("@bot STOP"), want{kind: WantsStop}},
		"stop wins":                    {said("@bot stop #BuyTee"), want{kind: WantsStop}},
		"arrête":                       {said("@bot Arrête !"), want{kind: WantsStop}},
		"stop to somebody else":        {said("stop it"), want{}},
		"stop is not first":            {said("@bot please never stop"), want{}},
		"start":                        {said("@bot start"), want{kind: WantsStart}},
		"help":                         {said("@bot help"), want{kind: WantsHelp}},
		"#help":                        {said("@bot #help"), want{kind: WantsHelp}},
		"aide":                         {said("@bot aide"), want{kind: WantsHelp}},
		"cancel all":                   {said("@bot cancel"), want{kind: WantsCancel}},
		"by the bot":                   {Post{Author: Author{ID: self}, Text: "#BuyTee", Tags: []string{"BuyTee"}}, want{}},
		"by a bot":                     {Post{Author: Author{ID: "3", Bot: true}, Text: "#BuyTee", Tags: []string{"BuyTee"}, Names: []string{self}}, want{}},
		"by nobody":                    {Post{Text: "#BuyTee", Tags: []string{"BuyTee"}}, want{}},
		"an address is no word":        {said("@bot #BuyTee https://x.com/x2"), want{WantsOffer, "buytee", 0, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			in := Read(tc.post, self, onSale)
			got := want{in.Kind, in.Offer.ID, in.Quantity, strings.Join(in.Words, " ")}
			if in.Kind != WantsOffer {
				got = want{kind: in.Kind}
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			if in.Kind == RepeatsCode && in.Code != code {
				t.Errorf("code %q, want %q", in.Code, code)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"@bot #BuyTee x2 M black", "#été", "cancel", code.Hashtag(), "×", "x999", "＃東京タワー"} {
		f.Add(s, "ours", uint8(0))
	}
	f.Fuzz(func(t *testing.T, text, of string, kind uint8) {
		p := said(text)
		p.Kind = PostKind(kind % 4)
		if p.Kind != Original {
			p.Of = ours(of)
		}
		in := Read(p, self, onSale)
		if len(in.Words) > maxWords || in.Quantity < 0 || in.Quantity > 999 {
			t.Errorf("%q: %d words, %d wanted", text, len(in.Words), in.Quantity)
		}
		if in.Kind == RepeatsCode {
			if _, ok := offers.ParseCode(string(in.Code)); !ok {
				t.Errorf("%q repeats %q", text, in.Code)
			}
		}
		p.Author.ID = self
		if in := Read(p, self, onSale); in.Kind != Nothing {
			t.Errorf("the bot wants something of itself: %q", text)
		}
	})
}
