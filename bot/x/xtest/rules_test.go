package xtest_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"hashtill/bot/x/xtest"
)

const rulesPath = "/2/tweets/search/stream/rules"

func (w *world) addRules(query string, values ...string) reply {
	w.t.Helper()
	var add []any
	for _, v := range values {
		add = append(add, map[string]any{"value": v, "tag": v})
	}
	raw, _ := json.Marshal(map[string]any{"add": add})
	return w.do(w.app(), "POST", rulesPath+query, string(raw))
}

func TestRulesAreManaged(t *testing.T) {
	w := open(t, xtest.Options{})
	if r := w.addRules("?dry_run=true", "#one"); r.status != 201 || r.get("meta.summary.created") != 1.0 {
		t.Errorf("dry run: %d %s", r.status, r.raw)
	}
	if r := w.do(w.app(), "GET", rulesPath, ""); r.get("data") != nil || r.get("meta.result_count") != 0.0 {
		t.Errorf("after the dry run: %s", r.raw)
	}
	r := w.addRules("", "#one", "@shopbot -is:retweet")
	one, two := r.get("data.0.id"), r.get("data.1.id")
	if r.status != 201 || r.get("data.0.value") != "#one" || r.get("data.0.tag") != "#one" || one == two || r.get("meta.sent") == nil {
		t.Fatalf("add: %d %s", r.status, r.raw)
	}
	r = w.addRules("", "#one", "is:retweet")
	if r.status != 200 || r.get("errors.0.title") != "DuplicateRule" || r.get("errors.0.id") != one ||
		r.get("errors.0.type") != "https://api.twitter.com/2/problems/duplicate-rules" ||
		r.get("errors.1.type") != "https://api.twitter.com/2/problems/invalid-rules" || r.get("errors.1.value") != "is:retweet" {
		t.Errorf("bad rules: %d %s", r.status, r.raw)
	}
	for name, want := range map[string]float64{"created": 0, "not_created": 2, "valid": 0, "invalid": 2} {
		if got := r.get("meta.summary." + name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if r := w.do(w.app(), "POST", rulesPath, fmt.Sprintf(`{"delete":{"ids":[%q,"7"]}}`, one)); r.status != 200 ||
		r.get("meta.summary.deleted") != 1.0 || r.get("meta.summary.not_deleted") != 1.0 || r.get("errors.0") == nil {
		t.Errorf("delete: %d %s", r.status, r.raw)
	}
	if r := w.do(w.app(), "GET", rulesPath, ""); r.get("data.0.id") != two || r.get("data.1") != nil {
		t.Errorf("left: %s", r.raw)
	}
	if r := w.do(w.app(), "POST", rulesPath, `{}`); r.status != 400 {
		t.Errorf("neither add nor delete: %d", r.status)
	}
	if r := w.addRules("", strings.Repeat("a", 1024), strings.Repeat("b", 1025)); r.get("meta.summary.created") != 1.0 || r.get("errors.0.title") != "UnprocessableEntity" {
		t.Errorf("lengths: %s", r.raw)
	}
	var many []string
	for i := range 998 {
		many = append(many, fmt.Sprintf("#tag%d", i))
	}
	if r := w.addRules("", append(many, "#over")...); r.status != 422 || r.get("errors.0.type") != "https://api.twitter.com/2/problems/rule-cap" {
		t.Errorf("1,001 rules: %d %.200s", r.status, r.raw)
	}
	if r := w.addRules("", many...); r.status != 201 || r.get("meta.summary.created") != 998.0 {
		t.Errorf("1,000 rules: %d %.200s", r.status, r.raw)
	}
}

func TestInvalidRules(t *testing.T) {
	w := open(t, xtest.Options{})
	for _, value := range []string{
		"", " ", "is:retweet", "-#tag", "is:quote OR #tag", "-is:retweet is:reply", "#", "#123", "@", "@way_too_long_a_name",
		"from:", "from:@bob", "from: bob_9", "conversation_id:x", "(#tag", "#tag)", "()", `"open`, `""`, "#tag OR", "OR #tag",
		"#tag and #other", "#tag or #other", "cat -(dog OR cow)", "#tag -", "place:x cat", "is:nonsense cat", "a,b", `url:x.com`, `url:""`, `url:"x`,
	} {
		if r := w.addRules("?dry_run=true", value); r.get("meta.summary.invalid") != 1.0 || r.get("errors.0.type") != "https://api.twitter.com/2/problems/invalid-rules" {
			t.Errorf("%q is not refused: %s", value, r.raw)
		}
	}
}

func TestRulesMatch(t *testing.T) {
	w := open(t, xtest.Options{})
	root := w.post(w.bob, "root", xtest.PostOptions{})
	want := map[string]string{ // rule: names of the posts it matches
		"#Lamp":                              "tag rt quote rtquote",
		"#lamp -is:retweet":                  "tag quote",
		"#lam":                               "",
		"@shopbot":                           "mention reply2bot rtbot",
		"@SHOPBOT -is:retweet -from:shopbot": "mention reply2bot",
		"from:ann":                           "tag mention reply quote",
		"from:" + w.ann.ID:                   "tag mention reply quote",
		"to:bob_9":                           "reply",
		"to:shopbot":                         "reply2bot",
		"retweets_of:ann":                    "rt rtquote",
		"retweets_of:ann is:retweet #lamp":   "rt rtquote",
		"conversation_id:" + root.ID:         "reply",
		"#lamp is:quote":                     "quote",
		`url:"x.com/ann/status"`:             "quote",
		"from:ann is:reply":                  "reply",
		"(#lamp OR cheap) -is:quote":         "tag rt rtquote offer rtbot mention",
		"#lamp from:ann OR lovely":           "tag quote reply",
		"#lamp (from:bob_9 OR from:zoe)":     "rt rtquote",
		`"cheap lamps"`:                      "offer rtbot",
		"lamps cheap":                        "offer rtbot",
		"lamp":                               "tag rt quote rtquote",
		"cheap has:links":                    "mention",
		"from:shopbot -has:mentions has:hashtags": "",
	}
	var rules []string
	for value := range want {
		rules = append(rules, value)
	}
	if r := w.addRules("", rules...); r.get("meta.summary.created") != float64(len(rules)) {
		t.Fatal(r.raw)
	}
	w.rule("from:zoe") // for the post that comes last
	zoe := w.add(xtest.Account{Handle: "zoe"})
	l := w.listen(w.app(), "GET", streamPath)
	got := map[string][]string{}
	names := map[string]string{}
	name := func(n string, p xtest.Post) xtest.Post { names[p.ID] = n; return p }

	tag := name("tag", w.post(w.ann, "I want a #LAMP!", xtest.PostOptions{}))
	name("rt", w.repost(w.bob, tag.ID))
	name("mention", w.post(w.ann, "@ShopBot cheap, see shop.com", xtest.PostOptions{}))
	name("reply", w.post(w.ann, "lovely", xtest.PostOptions{ReplyTo: root.ID}))
	quote := name("quote", w.post(w.ann, "this", xtest.PostOptions{Quote: tag.ID}))
	name("rtquote", w.repost(w.bob, quote.ID))
	offer := name("offer", w.post(w.bot, "Cheap lamps: lampshades", xtest.PostOptions{}))
	name("rtbot", w.repost(w.bob, offer.ID))
	name("reply2bot", w.post(w.bob, "ok", xtest.PostOptions{ReplyTo: offer.ID}))
	w.post(w.pat, "#lamp @shopbot cheap lamps", xtest.PostOptions{}) // protected: never delivered
	end := w.post(zoe, "end", xtest.PostOptions{})

	for {
		m := l.message()
		id := dig(m, "data.id").(string)
		if id == end.ID {
			break
		}
		for _, r := range m["matching_rules"].([]any) {
			value := dig(r, "tag").(string)
			got[value] = append(got[value], names[id])
		}
	}
	for value, posts := range want {
		expected := strings.Fields(posts)
		slices.Sort(expected)
		slices.Sort(got[value])
		if !slices.Equal(expected, got[value]) {
			t.Errorf("%s matches %v, want %v", value, got[value], expected)
		}
	}
}
