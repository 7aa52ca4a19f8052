package x

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/bot"
	"hashtill/offers"
)

// shopTags is what is followed in these tests.
var shopTags = []string{"BuyHat", "Größe_1", "帽子", "ＢｕｙＴｅｅ", "İstanbul", "ΣΊΣΥΦΟΣ"}

func shopOffer(tag string) (offers.Offer, bool) {
	for _, t := range shopTags {
		if offers.TagKey(tag) == offers.TagKey(t) {
			return offers.Offer{ID: offers.TagKey(t), Tag: t}, true
		}
	}
	return offers.Offer{}, false
}

// needed says why a line must be decoded, "" if it need not be, by decoding it.
func needed(line []byte) string {
	m, err := readMessage(line)
	switch {
	case err != nil:
		return ""
	case m.Data == nil:
		return "it is about the stream"
	case len(m.Errors) > 0:
		return "it brings errors"
	case m.Data.AuthorID == meID, m.hidden(): // neither is handed over
		return ""
	case len(m.missing()) > 0:
		return "a post it refers to is to be looked up"
	}
	p := reader{meID, "HatShop"}.post(m)
	switch in := bot.Read(p, meID, shopOffer); {
	case in.Kind != bot.Nothing:
		return fmt.Sprintf("it wants %d", in.Kind)
	case in.Addressed:
		return "it speaks to the bot"
	case p.Of != nil && p.Of.Author.ID == meID:
		return "it is about a post of the bot's"
	case strings.Contains(strings.Join(p.Names, " ")+" ", meID+" "):
		return "it names the bot"
	}
	return ""
}

// plainPost is a line as X writes it, with what stands in a text and in its entities.
func plainPost(text, entities string) string {
	return `{"data":{"author_id":"783214","created_at":"2026-11-20T10:00:02.000Z","edit_history_tweet_ids":["1990000000000000001"],` +
		entities + `"id":"1990000000000000001","lang":"en","text":"` + text + `"},"includes":{"users":[{"id":"783214","name":"Ann [x]","protected":false,"username":"ann"}]},` +
		`"matching_rules":[{"id":"1990000000000000900","tag":"hashtill:2244994945"}]}`
}

// relatedPost is one that refers to another, with what else stands in either.
func relatedPost(kind, more, included string) string {
	return `{"data":{"author_id":"783214","edit_history_tweet_ids":["1990000000000000002"],"id":"1990000000000000002",` + more +
		`"referenced_tweets":[{"type":"` + kind + `","id":"1990000000000000001"}],"text":"so \"it\" is"},` +
		`"includes":{"tweets":[` + included + `],"users":[{"id":"783214","name":"A\\","username":"ann"}]},"matching_rules":[]}`
}

const strangerPost = `{"author_id":"12","edit_history_tweet_ids":["1990000000000000001"],"id":"1990000000000000001","public_metrics":{"like_count":-1.5e+3,"x":null},"text":"my #hat"}`

func hashtagsIn(tags ...string) string {
	var list []string
	for _, tag := range tags {
		list = append(list, `{"start":9,"end":16,"tag":"`+tag+`"}`)
	}
	return `"entities":{"hashtags":[` + strings.Join(list, ",") + `]},`
}

func TestGlance(t *testing.T) {
	code := string(offers.NewCode([]byte("key"), "id", 0))
	mine := strings.Replace(strangerPost, `"author_id":"12"`, `"author_id":"`+meID+`"`, 1)
	for name, c := range map[string]struct {
		line  string
		posts int // 0: it must be decoded
	}{
		"plain":                         {plainPost("good morning", ""), 1},
		"another hashtag":               {plainPost("my #hat and #Größe, #帽, #ＢｕｙＴｅ", hashtagsIn("hat", "Größe", "帽", "ＢｕｙＴｅ")), 1},
		"lists in a text":               {plainPost("[a] :-[ so[b]", ""), 1},
		"line ends and quotes":          {plainPost(`a\nb \"c\" \\user`, ""), 1},
		"another's name":                {plainPost("@HatShoe @Hat", `"entities":{"mentions":[{"start":0,"end":8,"username":"HatShoe","id":"7"}]},`), 1},
		"answer to somebody":            {relatedPost("replied_to", `"in_reply_to_user_id":"12",`, strangerPost), 2},
		"quote of somebody":             {relatedPost("quoted", "", strangerPost), 2},
		"eleven letters":                {plainPost("#conundrumed #bozulapitax", ""), 0}, // as a code
		"hashtag":                       {plainPost("#BuyHat", hashtagsIn("BuyHat")), 0},
		"hashtag in the text only":      {plainPost("\\n#bUYhAT!", ""), 0},
		"hashtag in a list only":        {plainPost("no", hashtagsIn("hat", "bUYhAT")), 0},
		"hashtag with its sign":         {plainPost("no", hashtagsIn("＃buyhat")), 0},
		"full-width sign":               {plainPost("＃buyhat", ""), 0},
		"full-width letters":            {plainPost("#ｂＵＹｈａｔ", hashtagsIn("ｂＵＹｈａｔ")), 0},
		"other letters in a text":       {plainPost("#σίσυφος", ""), 0},
		"other letters in a list":       {plainPost("", hashtagsIn("GRÖSSE_1")), 0},
		"apart and together":            {plainPost("#Gro\u0308ße_1", ""), 0},
		"Chinese":                       {plainPost("买#帽子。", ""), 0},
		"code":                          {plainPost("#"+strings.ToUpper(code), ""), 0},
		"code in parts":                 {plainPost("", hashtagsIn(code[:5]+"_"+code[5:])), 0},
		"code with accents":             {plainPost("", hashtagsIn(code[:2]+"\u0301"+code[2:])), 0},
		"escaped sign":                  {plainPost(`\u0023BuyHat`, ""), 0},
		"escaped letter":                {plainPost(`#\u0042uyHat`, ""), 0},
		"name":                          {plainPost("@hatshop hello", ""), 0},
		"mention of the number":         {plainPost("hello", `"entities":{"mentions":[{"start":0,"end":8,"username":"OldName","id":"`+meID+`"}]},`), 0},
		"mention without a number":      {plainPost("hello", `"entities":{"mentions":[{"start":0,"end":8,"username":"HatShop"}]},`), 0},
		"answer to the bot":             {relatedPost("replied_to", `"in_reply_to_user_id":"`+meID+`",`, strangerPost), 0},
		"quote of the bot":              {relatedPost("quoted", "", mine), 0},
		"repost of the bot":             {relatedPost("retweeted", "", mine), 0},
		"repost of the unknown":         {relatedPost("retweeted", "", ""), 0},
		"repost of what else is in":     {relatedPost("retweeted", "", strings.ReplaceAll(strangerPost, "00001", "00003")), 0},
		"edited twice":                  {strings.Replace(plainPost("no", ""), `["1990000000000000001"]`, `["1990000000000000001","1990000000000000005"]`, 1), 0},
		"errors":                        {strings.Replace(plainPost("no", ""), `"matching_rules":[`, `"errors":[`, 1), 0},
		"about the stream":              {`{"errors":[{"title":"operational-disconnect"}]}`, 0},
		"cut":                           {`{"data":{"id":"1"},"inc`, 0},
		"with spaces":                   {`{"data": {"id":"1","author_id":"2","text":"no"}}`, 0},
		"list behind a space":           {plainPost("no", `"entities":{"hashtags": [{"tag":"BuyHat"}]},`), 0},
		"capitals":                      {plainPost("no", `"entities":{"HashTags":[{"tag":"BuyHat"}]},`), 0},
		"long s":                        {plainPost("no", `"entities":{"haſhtags":[{"tag":"BuyHat"}]},`), 0},
		"members in another order":      {plainPost("no", `"entities":{"hashtags":[{"tag":"BuyHat","end":2,"start":1}]},`), 0},
		"capitals in a member":          {plainPost("no", `"entities":{"hashtags":[{"Tag":"BuyHat"}]},`), 0},
		"many hashtags":                 {plainPost("#a #b #c #d #e #f #g #h #i #j", hashtagsIn("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")), 1},
		"hashtags in another order":     {plainPost("#hat #tee", hashtagsIn("tee", "hat")), 1},
		"hashtag with more in the list": {plainPost("so", `"entities":{"hashtags":[{"start":0,"end":7,"tag":"BuyHat!"}]},"note_tweet":{"text":"#BuyHat! so"},`), 0},
		"hashtag goes on in the text":   {plainPost("#BuyHat so", hashtagsIn("Buy")), 0},
		"list behind the text":          {strings.Replace(plainPost("#hat #tee", ""), `"},"inc`, `","entities":{"hashtags":[{"end":4,"start":0,"tag":"hat"},{"end":9,"start":5,"tag":"tee"}]}},"inc`, 1), 1},
		"note":                          {plainPost("so", `"note_tweet":{"entities":{"hashtags":[{"start":1,"end":2,"tag":"x"}]},"text":"so #BuyHat"},`), 0},
		"hashtag in a note's list":      {plainPost("so", `"note_tweet":{"entities":{"hashtags":[{"start":1,"end":2,"tag":"BuyHat"}]},"text":"so"},`), 0},
		"note of no interest":           {plainPost("so", `"note_tweet":{"entities":{"hashtags":[{"start":1,"end":2,"tag":"x"}]},"text":"so #x"},`), 1},
		"one of X's names to come":      {strings.NewReplacer("tweets", "posts", "tweet_", "post_").Replace(relatedPost("quoted", "", strangerPost)), 2},
		"both names":                    {strings.Replace(relatedPost("quoted", "", strangerPost), `"users"`, `"posts":[`+mine+`],"users"`, 1), 0},
		"two lists of posts":            {strings.Replace(relatedPost("quoted", "", strangerPost), `"users"`, `"tweets":[`+strings.ReplaceAll(strangerPost, "00001", "00003")+`],"users"`, 1), 0},
		"nested list":                   {plainPost("so", `"entities":{"urls":[{"images":[{"url":"a"}],"url":"b"}]},`), 1},
		"another one as long":           {plainPost("#hatter", hashtagsIn("BuyHat")), 0},
		"list ends in a name":           {relatedPost("quoted", `"entities":{"urls":[{"a":"b}],c"}]},`, strangerPost), 0},
		"list ends before a quote":      {relatedPost("quoted", `"entities":{"urls":[{"a":"b}]\","c":1}]},`, strangerPost), 0},
		"list ends before a sign":       {relatedPost("quoted", `"entities":{"urls":[{"a":"b}]\"","c":1}]},`, strangerPost), 0},
		"post in a list of others":      {relatedPost("quoted", `"entities":{"urls":[{"a":[{}],"tweets":[{"id":"1990000000000000001"}]}]},`, ""), 0},
	} {
		t.Run(name, func(t *testing.T) {
			posts, may := newGlance(meID, "HatShop").may([]byte(c.line), bot.IndexTags(shopTags))
			if posts != c.posts || may != (c.posts == 0) {
				t.Errorf("%d posts, may %t, want %d\n%s", posts, may, c.posts, c.line)
			}
			if why := needed([]byte(c.line)); why != "" && !may {
				t.Errorf("turned away though %s", why)
			}
		})
	}
	if _, may := newGlance(meID, "HatShop").may([]byte(plainPost("good morning", "")), nil); !may {
		t.Error("a post is turned away before anybody has said what is followed")
	}
}

// TestGlanceAllocates: a miss leaves nothing behind, whatever its hashtags are written in.
func TestGlanceAllocates(t *testing.T) {
	g, tags := newGlance(meID, "HatShop"), bot.IndexTags(shopTags)
	for _, line := range []string{
		plainPost("my #hat #"+strings.Repeat("x", 300), hashtagsIn("hat")),
		plainPost("#帽 ＃Größer #ΣΊΣΥΦΟΝ #ｂＵＹｈ", hashtagsIn("帽", "Größer", "ΣΊΣΥΦΟΝ")),
		relatedPost("quoted", "", strangerPost),
	} {
		if n := testing.AllocsPerRun(100, func() {
			if _, may := g.may([]byte(line), tags); may {
				t.Error("no miss")
			}
		}); n > 1 { // the line
			t.Errorf("%.0f allocations for %s", n-1, line)
		}
	}
}

// FuzzGlance: no line is turned away that decoding finds to be for anybody.
func FuzzGlance(f *testing.F) {
	for _, name := range []string{"testdata/stream.jsonl", "testdata/classic.jsonl"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			f.Add(string(bytes.TrimSpace(line)))
			tight := strings.NewReplacer(`": `, `":`, `, "`, `,"`, `}, {`, `},{`).Replace(string(bytes.TrimSpace(line)))
			f.Add(tight)
		}
	}
	for _, tag := range append([]string{"hat", "帽", string(offers.NewCode([]byte("key"), "id", 0))}, shopTags...) {
		f.Add(plainPost("#"+tag, ""))
		f.Add(plainPost("＃"+tag+" \\n [x] @ann", hashtagsIn("no")))
		f.Add(plainPost("&amp;#"+tag, hashtagsIn("no", tag)))
	}
	f.Add(plainPost("no", `"note_tweet":{"entities":{"hashtags":[{"start":1,"end":2,"tag":"x"}]},"text":"#BuyHat"},`))
	f.Add(plainPost("so", `"entities":{"hashtags":[{"start":0,"end":7,"tag":"BuyHat!"}]},"note_tweet":{"text":"#BuyHat! so"},`))
	f.Add(plainPost("no", `"entities":{"mentions":[{"start":0,"end":8,"username":"HatShop","id":"`+meID+`"}]},`))
	f.Add(relatedPost("replied_to", `"in_reply_to_user_id":"12",`, strangerPost))
	f.Add(relatedPost("quoted", `"referenced_posts":[{"type":"quoted","id":"5"}],`, strangerPost))
	f.Add(relatedPost("retweeted", "", strings.Replace(strangerPost, `"12"`, `"`+meID+`"`, 1)))
	f.Add(relatedPost("quoted", `"entities":{"urls":[{"a":"b}],c"}]},`, ""))
	f.Add(relatedPost("quoted", `"entities":{"urls":[{"a":"b}]\","c":[{"d":"}]"}]}]},`, ""))
	f.Add(relatedPost("quoted", `"x":{"urls":[{"a":[{}],"tweets":[{"id":"1990000000000000001"}]}]},`, ""))
	tags := bot.IndexTags(shopTags)
	f.Fuzz(func(t *testing.T, line string) {
		why := needed([]byte(line))
		if _, may := newGlance(meID, "HatShop").may([]byte(line), tags); !may && why != "" {
			t.Errorf("turned away though %s: %s", why, line)
		}
	})
}

// TestGlanceAtAStream: what nobody needs to hear is not handed over, but paid for; the
// rest is, in its order.
func TestGlanceAtAStream(t *testing.T) {
	var stream strings.Builder
	const lines = 200
	var want []string
	for i := range lines {
		text := "good morning #hat"
		id := fmt.Sprint(1990000000000001000 + i)
		switch i % 50 {
		case 20:
			text = "#buyhat please"
		case 30:
			text = "@hatshop hello"
		case 40:
			text = `\u0023BuyHat`
		}
		if text != "good morning #hat" {
			want = append(want, id)
		}
		stream.WriteString(strings.ReplaceAll(plainPost(text, ""), "1990000000000000001", id) + "\r\n")
	}
	end := strings.ReplaceAll(plainPost("@HatShop that was all", ""), "1990000000000000001", "1990000000000009999")
	n := newNetwork(t, func(r *http.Request) (*http.Response, error) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/users/me"):
			return respond(r, 200, me)
		case strings.HasSuffix(r.URL.Path, "/search/stream"):
			return streaming(r, func(w *io.PipeWriter) { io.WriteString(w, stream.String()+end+"\r\n") })
		}
		return respond(r, 200, `{"data":[],"meta":{}}`)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := n.Follow(ctx, []string{"BuyHat"}); err != nil {
		t.Fatal(err)
	}
	var heard []string
	others := 0
	err := n.Listen(ctx, "", func(_ context.Context, p bot.Post) error {
		switch {
		case p.ID == "1990000000000009999":
			cancel()
		case p.ID == "":
		case p.Text == "good morning #hat": // let pass for its cursor
			others++
		default:
			heard = append(heard, p.ID)
		}
		return nil
	})
	if err != nil || !slices.Equal(heard, want) {
		t.Errorf("heard %v, %v, want %v", heard, err, want)
	}
	if others < 1 || others > lines/passEvery {
		t.Errorf("%d posts were handed over so that the cursor moves", others)
	}
	if spent := n.Spent(); spent.PostsRead != lines+1 || spent.MicroDollars != (lines+1)*readPrice {
		t.Errorf("the bill is %+v for %d posts", spent, lines+1)
	}
}
