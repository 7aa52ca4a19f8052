package bot

import (
	"reflect"
	"strings"
	"testing"
	"time"

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

// wide is text in full-width characters.
func wide(text string) string {
	return strings.Map(func(r rune) rune {
		if '!' <= r && r <= '~' {
			r += '！' - '!'
		}
		return r
	}, text)
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
		"code, full-width":             {said("@bot " + wide(strings.ToUpper(c))), want{kind: RepeatsCode}},
		"code with accents":            {said("@bot " + c[:3] + "\u0301" + c[3:]), want{kind: RepeatsCode}},
		"code in Turkish capitals":     {said("@bot " + strings.ReplaceAll(strings.ToUpper(c), "I", "İ")), want{kind: RepeatsCode}},
		"code with a joiner in it":     {said("@bot " + c[:4] + "\u200d" + c[4:]), want{kind: RepeatsCode}},
		"code between bidi marks":      {said("\u2066@bot\u2069 \u200f" + c + "\u200f"), want{kind: RepeatsCode}},
		"number right behind the tag":  {said("@bot #BuyTee,x2"), want{WantsOffer, "buytee", 2, ""}},
		"number in brackets behind it": {said("@bot #BuyTee（x2）"), want{WantsOffer, "buytee", 2, ""}},
		"variant right behind the tag": {said("@bot #BuyTee/M,black"), want{WantsOffer, "buytee", 0, "M,black"}},
		"a genitive is no size":        {said("@bot one of #BuyTee's and @ann’s"), want{WantsOffer, "buytee", 0, "one of and"}},
		"a link's path is no word":     {said("@bot #BuyTee https://x.com/@ann/x2 x.com/@ann/x3"), want{WantsOffer, "buytee", 0, ""}},
		"a tag within other words":     {said("@bot cap#BuyTee"), want{}},
		"thumb down to our code":       {answer("@bot 👎🏽", ours(c)), want{}},
		"cross to our code":            {answer("❌", ours(c)), want{}},
		"mistyped code":                {said("@bot " + c[:len(c)-2] + "aa"), want{}},
		"repost of our code":           {repost(ours("repost this: " + c)), want{kind: RepeatsCode}},
		"repost of another's post":     {repost(theirs("look: " + c)), want{}},
		"repost of another's wish":     {repost(theirs("@bot #BuyTee")), want{}},
		"repost of our offer":          {repost(ours("buy #BuyTee")), want{}},
		"repost of what is unknown":    {repost(nil), want{}},
		"quote of our code":            {quote("yes!", ours(c)), want{kind: RepeatsCode}},
		"answer to our code":           {answer("no thanks, too expensive", ours(c)), want{}},
		"yes to our code":              {answer("@bot yes please!", ours(c)), want{kind: RepeatsCode}},
		"a thumb to our code":          {answer("👍", ours(c)), want{kind: RepeatsCode}},
		"oui to our code":              {answer("Oui, je confirme", ours(c)), want{kind: RepeatsCode}},
		"no words to our code":         {answer("@bot", ours(c)), want{kind: RepeatsCode}},
		"refusal of our code":          {answer("@bot Non merci", ours(c)), want{}},
		"another refusal":              {answer("I didn’t ask for that", ours(c)), want{}},
		"question to our code":         {answer("and if it does fit?", ours(c)), want{}},
		"answer to another's code":     {answer("yes", theirs(c)), want{}},
		"answer to our offer":          {answer("yes", ours("buy #BuyTee")), want{}},
		"the tag under our offer":      {answer("#BuyTee x2", ours("buy #BuyTee")), want{WantsOffer, "buytee", 2, ""}},
		"stop under our code":          {answer("please stop", ours(c)), want{kind: WantsStop}},
		"quote of another's code":      {quote("yes", theirs(c)), want{}},
		"tag under another's post":     {answer("#BuyTee", theirs("nice")), want{}},
		"quote of another's wish":      {quote("me too", theirs("@bot #BuyTee")), want{}},
		"tags in a link":               {said("@bot https://shop.example/#BuyTee"), want{}},
		"tag in what the quoted quote": {quote("this", ours("look")), want{}},
		"removed":                      {Post{Author: Author{ID: "1"}, ID: "7", Kind: Deletion}, want{kind: WithdrawsWish}},
		"removed by the bot":           {Post{Author: Author{ID: self}, ID: "7", Kind: Deletion}, want{}},
		"stop as a hashtag":            {said("@bot #STOP"), want{kind: WantsStop}},
		"cancel as a hashtag":          {said("@bot #cancel"), want{kind: WantsCancel}},
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

// X puts the names of a thread before the words of each answer in it. Who has not
// written the bot's name has not spoken to it, and where that cannot be told nothing is
// sold; stop is obeyed all the same.
func TestReadInAThread(t *testing.T) {
	in := func(text string, of *Post) Post {
		p := said("@ann @bot " + text)
		p.Kind, p.Of, p.Implied = Answer, of, true
		return p
	}
	theirs := func(text string) *Post {
		of := said(text)
		of.Author.ID = "2"
		return &of
	}
	written := in("#BuyTee for me @bot", theirs("@bot #BuyTee"))
	written.Implied = false
	quoting := in("#BuyTee", theirs("look"))
	quoting.Kind = Quote
	for name, tc := range map[string]struct {
		post      Post
		want      IntentKind
		addressed bool
	}{
		"a wish under a wish":            {in("#BuyTee is great", theirs("@bot #BuyTee")), Nothing, false},
		"the same with the name written": {written, WantsOffer, true},
		"under what does not name us":    {in("#BuyTee", theirs("look at that shirt")), WantsOffer, true},
		"under what nobody knows":        {in("#BuyTee", &Post{ID: "3"}), Nothing, false},
		"a quote within the thread":      {quoting, Nothing, false},
		"under our own":                  {in("#BuyTee", ours("buy #BuyTee")), WantsOffer, true},
		"a code":                         {in(code.Hashtag(), theirs("@bot #BuyTee")), RepeatsCode, false},
		"help":                           {in("help", theirs("@bot #BuyTee")), Nothing, false},
		"#help":                          {in("#help", theirs("@bot #BuyTee")), Nothing, false},
		"cancel":                         {in("cancel", theirs("@bot #BuyTee")), Nothing, false},
		"stop":                           {in("stop", theirs("@bot #BuyTee")), WantsStop, true},
		"stop under what nobody knows":   {in("STOP!", &Post{ID: "3"}), WantsStop, true},
	} {
		got := Read(tc.post, self, onSale)
		if got.Kind != tc.want || got.Addressed != tc.addressed && got.Kind != Nothing {
			t.Errorf("%s: %d, addressed %t", name, got.Kind, got.Addressed)
		}
	}
}

func TestCommands(t *testing.T) {
	for text, want := range map[string]IntentKind{
		"stop": WantsStop, "STOP!": WantsStop, "Stop.": WantsStop, "“stop”": WantsStop, "ＳＴＯＰ": WantsStop, "stop 🛑": WantsStop,
		"please stop": WantsStop, "Stop, thank you": WantsStop, "stop now": WantsStop, "STOP STOP STOP": WantsStop, "#stop": WantsStop,
		"arrête": WantsStop, "Arrêtez !": WantsStop, "arrete": WantsStop, "ARRÊTE s'il te plaît": WantsStop, "arrêt": WantsStop,
		"stop svp": WantsStop, "arre\u0302te": WantsStop,
		"unsubscribe": WantsStop, "Unsubscribe me": WantsStop, "désabonner": WantsStop, "me désabonner": WantsStop,
		"Désabonnez-moi": WantsStop, "désabonnez moi": WantsStop, "desabonnement": WantsStop, "désinscription": WantsStop, "opt-out": WantsStop, "opt out": WantsStop,
		"leave me alone": WantsStop, "laissez-moi tranquille": WantsStop,
		"help": WantsHelp, "Help!": WantsHelp, "aide": WantsHelp, "#help": WantsHelp, "#AIDE": WantsHelp, "help me please": WantsHelp,
		"what is this #help": WantsHelp,
		"cancel":             WantsCancel, "Annuler SVP": WantsCancel, "start": WantsStart,
		"stop replying to me": WantsStop, "Stop messaging me!": WantsStop, "please don’t reply": WantsStop, "remove me": WantsStop,
		"Arrêtez de me répondre": WantsStop, "ne me répondez plus": WantsStop, "stop stp": WantsStop,
		"": Nothing, "stop it": Nothing, "don't stop replying to me": Nothing, "don't stop": Nothing, "never stop": Nothing, "stop or go": Nothing, "please": Nothing,
		"thank you": Nothing, "non-stop": Nothing, "stopped": Nothing, strings.Repeat("please ", 50) + "stop": Nothing,
	} {
		if got := Read(said("@bot "+text), self, onSale).Kind; got != want {
			t.Errorf("%.40q is %d, want %d", text, got, want)
		}
		if got := Read(said(text), self, onSale).Kind; got != Nothing {
			t.Errorf("%.40q, said to nobody, is %d", text, got)
		}
	}
	// Wherever the name stands, and whatever stands around it.
	for _, text := range []string{".@shop stop", "@shop, stop", "@shop,stop", "@shop:STOP", "stop,@shop!", "“@shop stop”", "(@shop) stop", "stop #shop @shop",
		"\u2066@shop\u2069 stop", "\u200f@shop \u200fstop", "\u200b@shop s\u200btop", "＠shop　stop", "@shop stop https://shop.example/x2"} {
		p := said(text)
		p.Names = []string{self}
		if got := Read(p, self, onSale).Kind; got != WantsStop {
			t.Errorf("%q is %d, want stop", text, got)
		}
	}
	sold := func(string) (offers.Offer, bool) { return offers.Offer{ID: "quit", Tag: "Quit"}, true }
	if got := Read(said("@bot #Quit"), self, sold).Kind; got != WantsOffer {
		t.Errorf("what is sold as #Quit cannot be had: %d", got)
	}
}

// However much is in a post, reading it takes no time and keeps little.
func TestReadHuge(t *testing.T) {
	asked := 0
	count := func(tag string) (offers.Offer, bool) { asked++; return onSale(tag) }
	for _, part := range []string{"a", "#a ", "@b ", "x2 ", "stop ", "é", "\u0302", "ﷺ ", "#", code.Hashtag()[:5] + " "} {
		p := said(strings.Repeat(part, 1<<20/len(part)))
		p.Names, p.Kind, p.Of = []string{self}, Answer, ours(code.Hashtag())
		for range 10000 {
			p.Tags = append(p.Tags, strings.Repeat("b", 1000))
		}
		start := time.Now()
		asked = 0
		in := Read(p, self, count)
		if took := time.Since(start); took > 2*time.Second || asked > maxTags+1 || len(in.Words) > maxWords {
			t.Errorf("1 MiB of %q: %s, %d hashtags looked up, %d words kept", part, took, asked, len(in.Words))
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"@bot #BuyTee x2 M black", "#été", "cancel", code.Hashtag(), "×", "x999", "＃東京タワー"} {
		f.Add(s, "ours", uint8(0))
	}
	f.Add("please stop", "@bot", uint8(128+3))
	f.Add(strings.Repeat("#a ", 5000), code.Hashtag(), uint8(3))
	f.Fuzz(func(t *testing.T, text, of string, kind uint8) {
		p := said(text)
		p.Kind, p.Implied = PostKind(kind%5), kind >= 128
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
