package x

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	//lint:ignore SA1019 the classic shape is closed too, and needs nothing new
	"github.com/dghubble/go-twitter/twitter"

	"hashtill/bot"
)

// readLine reads a line of the filtered stream, as the account @HatShop.
func readLine(t *testing.T, line string) bot.Post {
	t.Helper()
	m, err := readMessage([]byte(line))
	if err != nil || m.Data == nil {
		t.Fatalf("%.200s: %v", line, err)
	}
	return reader{meID, "HatShop"}.post(m)
}

func readStatus(t *testing.T, line string) bot.Post {
	t.Helper()
	status := new(twitter.Tweet)
	if err := json.Unmarshal([]byte(line), status); err != nil || check(status) != nil {
		t.Fatalf("%.200s: %v, %v", line, err, check(status))
	}
	return reader{meID, "HatShop"}.status(status)
}

// What X says about a text counts, and not what we would read in it: not even where
// the two have nothing to do with each other.
func TestEntitiesWin(t *testing.T) {
	for name, tc := range map[string]struct {
		post  string // of API v2
		tags  []string
		names []string
	}{
		"no entities at all": {`"text":"@HatShop #BuyHat"`, []string{"BuyHat"}, []string{meID}},
		"none of them":       {`"text":"@HatShop #BuyHat","entities":{}`, nil, nil},
		"other ones": {`"text":"@HatShop #BuyHat","entities":{"hashtags":[{"start":9,"end":16,"tag":"BuyMug"}],"mentions":[{"start":0,"end":8,"username":"ann","id":"5"}]}`,
			[]string{"BuyMug"}, []string{"5"}},
		"indices of another text": {`"text":"a","entities":{"hashtags":[{"start":-7,"end":99999999999,"tag":"BuyHat"},{"start":5,"end":2,"tag":"BuyMug"}],"mentions":[{"start":1e300,"end":-1,"id":"` + meID + `"}]}`,
			[]string{"BuyHat", "BuyMug"}, []string{meID}},
		"of other types": {`"text":"#BuyHat","entities":{"hashtags":{"tag":"BuyMug"},"mentions":"@HatShop"}`, nil, nil},
		"empty ones":     {`"text":"#BuyHat","entities":{"hashtags":[{},{"tag":""},null],"mentions":[{},null]}`, nil, nil},
		"a mention without its number, in other case": {`"text":"hi","entities":{"mentions":[{"username":"hatshop"}]}`, nil, []string{meID}},
		"twice": {`"text":"hi","entities":{"mentions":[{"id":"5"},{"id":"5"}]}`, nil, []string{"5"}},
		"a link is none": {`"text":"look https://t.co/abc","entities":{"urls":[{"expanded_url":"https://shop.example/#BuyHat","display_url":"shop.example/#BuyHat"}]}`,
			nil, nil},
		"a long post's own": {`"text":"@HatShop #BuyM…","entities":{"hashtags":[{"tag":"BuyM"}]},"note_tweet":{"text":"@HatShop #BuyMug","entities":{"hashtags":[{"tag":"BuyMug"}],"mentions":[{"username":"HatShop","id":"` + meID + `"}]}}`,
			[]string{"BuyMug"}, []string{meID}},
		"a long post's, by its other name": {`"text":"@HatShop #BuyM…","entities":{"hashtags":[{"tag":"BuyM"}]},"note_post":{"text":"@HatShop #BuyMug","entities":{"hashtags":[{"tag":"BuyMug"}]}}`,
			[]string{"BuyMug"}, nil},
		"a long post's without any": {`"text":"a…","entities":{"hashtags":[{"tag":"BuyHat"}]},"note_tweet":{"text":"@HatShop a long way to #BuyMug"}`,
			[]string{"BuyMug"}, []string{meID}},
	} {
		t.Run(name, func(t *testing.T) {
			p := readLine(t, `{"data":{"id":"7","author_id":"9",`+tc.post+`}}`)
			if !slices.Equal(p.Tags, tc.tags) || !slices.Equal(p.Names, tc.names) {
				t.Errorf("tags %q, names %q, want %q, %q", p.Tags, p.Names, tc.tags, tc.names)
			}
		})
	}
	for name, tc := range map[string]struct {
		post string // of API v1.1
		tags []string
	}{
		"other ones":                {`"text":"#BuyHat","entities":{"hashtags":[{"indices":[3,1],"text":"BuyMug"}],"user_mentions":[]}`, []string{"BuyMug"}},
		"none of them":              {`"text":"#BuyHat","entities":{"hashtags":[]}`, nil},
		"no entities at all":        {`"text":"#BuyHat"`, []string{"BuyHat"}},
		"a cut post's":              {`"text":"#BuyHat…","truncated":true,"entities":{"hashtags":[{"text":"BuyHat"}]},"extended_tweet":{"full_text":"#BuyMug","entities":{"hashtags":[{"text":"BuyMug"}]}}`, []string{"BuyMug"}},
		"not those of what it says": {`"text":"look https://t.co/a","entities":{"hashtags":[]},"quoted_status":{"id_str":"3","user":{"id_str":"4"},"text":"#BuyHat","entities":{"hashtags":[{"text":"BuyHat"}]}}`, nil},
	} {
		t.Run("classic, "+name, func(t *testing.T) {
			if p := readStatus(t, `{"id_str":"7","user":{"id_str":"9"},`+tc.post+`}`); !slices.Equal(p.Tags, tc.tags) {
				t.Errorf("tags %q, want %q", p.Tags, tc.tags)
			}
		})
	}
}

// The names of 7 August 2026 for versions and references are read like the old ones.
func TestEitherName(t *testing.T) {
	old := readLine(t, `{"data":{"id":"8","author_id":"9","text":"yes","edit_history_tweet_ids":["7","8"],"referenced_tweets":[{"type":"quoted","id":"3"}]},`+
		`"includes":{"tweets":[{"id":"3","author_id":"`+meID+`","text":"#code"}]}}`)
	renamed := readLine(t, `{"data":{"id":"8","author_id":"9","text":"yes","edit_history_post_ids":["7","8"],"referenced_posts":[{"type":"quoted","id":"3"}]},`+
		`"includes":{"posts":[{"id":"3","author_id":"`+meID+`","text":"#code"}]}}`)
	for _, p := range []bot.Post{old, renamed} {
		if p.ID != "7" || !p.Edited || p.Kind != bot.Quote || p.Of.ID != "3" || p.Of.Author.ID != meID || !slices.Equal(p.Of.Tags, []string{"code"}) {
			t.Errorf("read as %+v of %+v", p, p.Of)
		}
	}
}

// X puts the names of a thread before the words of an answer.
func TestImplied(t *testing.T) {
	for text, implied := range map[string]bool{
		"@ann @HatShop #BuyHat":     true,
		"@HATSHOP @ann #BuyHat":     true,
		"@HatShop":                  true,
		"@ann @HatShop\n#BuyHat":    true,
		"@ann #BuyHat @HatShop":     false,
		"@ann @HatShop hi @hatshop": false,
		"@ann #BuyHat":              false,
	} {
		answer := `"referenced_tweets":[{"type":"replied_to","id":"3"}],"in_reply_to_user_id":"4"`
		line := fmt.Sprintf(`{"data":{"id":"7","author_id":"9","text":%q,%s}}`, text, answer)
		if p := readLine(t, line); p.Implied != implied || p.Kind != bot.Answer {
			t.Errorf("%q: implied %t", text, p.Implied)
		}
		if p := readLine(t, strings.Replace(line, answer, `"lang":"en"`, 1)); p.Implied {
			t.Errorf("%q, which answers nothing: implied", text)
		}
		status := fmt.Sprintf(`{"id_str":"7","user":{"id_str":"9"},"text":%q,"in_reply_to_status_id_str":"3","in_reply_to_user_id_str":"4"}`, text)
		if p := readStatus(t, status); p.Implied != implied {
			t.Errorf("%q in the classic shape: implied %t", text, p.Implied)
		}
	}
}

// Whatever fits a line of the stream is read in no time.
func TestHugeMessages(t *testing.T) {
	list := func(item string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(item+",", (maxLine-1000)/(len(item)+1)), ",") + "]"
	}
	numbered := func(item string) string { // each with a number of its own
		var b strings.Builder
		for n := 100000; b.Len() < maxLine-1000; n++ {
			fmt.Fprintf(&b, ","+item, n)
		}
		return "[" + b.String()[1:] + "]"
	}
	deep := func(open, end string) string {
		n := (maxLine - 1000) / (len(open) + len(end))
		return strings.Repeat(open, n) + strings.Repeat(end, n)
	}
	post := func(more string) string { return `{"data":{"id":"7","author_id":"9",` + more + `}}` }
	long := strings.Repeat("#a @b ", maxLine/6-200)
	for name, line := range map[string]string{
		"text":              post(`"text":"` + long + `"`),
		"long post":         post(`"note_tweet":{"text":"` + long + `"}`),
		"one word":          post(`"text":"` + strings.Repeat("#", maxLine-1000) + `"`),
		"one long name":     post(`"text":"` + strings.Repeat("@", maxLine-1000) + `"`),
		"hashtags":          post(`"text":"","entities":{"hashtags":` + list(`{"tag":"a"}`) + `}`),
		"mentions":          post(`"text":"","entities":{"mentions":` + numbered(`{"id":"%d"}`) + `}`),
		"answers":           post(`"text":"","referenced_tweets":` + numbered(`{"type":"quoted","id":"%d"}`)),
		"versions":          post(`"text":"","edit_history_tweet_ids":` + list(`"1"`)),
		"deep arrays":       post(`"text":"","withheld":` + deep("[", "]")),
		"deep objects":      post(`"text":"","geo":` + deep(`{"a":`, `}`)),
		"not even an end":   strings.Repeat("[", maxLine),
		"classic, deep":     `{"id_str":"7","user":{"id_str":"9"},"quoted_status":` + deep(`{"quoted_status":`, `}`) + `}`,
		"classic, hashtags": `{"id_str":"7","user":{"id_str":"9"},"entities":{"hashtags":` + list(`{"text":"a"}`) + `}}`,
		"classic, mentions": `{"id_str":"7","user":{"id_str":"9"},"entities":{"user_mentions":` + numbered(`{"id":%d}`) + `}}`,
		"classic, a text":   `{"id_str":"7","user":{"id_str":"9"},"text":"` + long + `"}`,
	} {
		start := time.Now()
		readAny(t, []byte(line))
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: %s for %d bytes", name, took, len(line))
		}
	}
}

// readAny reads a line in both shapes, and holds what it is read as to what every
// post has.
func readAny(t *testing.T, line []byte) {
	t.Helper()
	rd := reader{meID, "HatShop"}
	status := new(twitter.Tweet)
	if json.Unmarshal(line, status) == nil && check(status) == nil && !hidden(status) {
		holdTo(t, line, rd.status(status))
	}
	m, err := readMessage(line)
	if err != nil || m.Data == nil || m.hidden() {
		return
	}
	m.missing()
	holdTo(t, line, rd.post(m))
}

func holdTo(t *testing.T, line []byte, p bot.Post) {
	t.Helper()
	switch {
	case !isID(p.ID) || !isID(p.Author.ID) || p.Network != "x" || p.Kind != bot.Original && p.Of == nil:
		t.Errorf("%.200q is read as %.500v", line, p)
	case p.Kind == bot.Repost && (p.Text != "" || len(p.Tags) > 0 || len(p.Names) > 0):
		t.Errorf("a repost says %.200q", p.Text)
	case p.Implied && !slices.Contains(p.Names, meID):
		t.Errorf("%.200q names the bot by implication and not at all", line)
	}
}
