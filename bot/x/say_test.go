package x

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hashtill/bot"
)

func TestWeight(t *testing.T) {
	for text, want := range map[string]int{
		"":                       0,
		"Hello, world! 👋":        16,
		"café":                   4,
		"cafe\u0301":             4, // the same in form D
		"日本語":                    6,
		"“quoted” – 20 €…":       18, // € and … weigh 2
		"👾":                      2,
		"🙋🏽":                     2,
		"👨\u200d🎤":               2,
		"👨\u200d👩\u200d👧\u200d👦": 2,
		"🇩🇪🇫🇷":                   4,
		"1️⃣#️⃣":                 4,
		"❤️✌🏿️":                  4,
		"©®":                     2,
		"©️":                     2,
		"a\u200db":               3,
		"https://example.com":    23,
		"see http://a.b/c?d=e#f": 27,
		"https://example.com/very/long/path/that/goes/on/and/on": 23,
		"example.com":                     23,
		"1.5 e.g. U.S":                    12,
		strings.Repeat("x", 280):          280,
		strings.Repeat("帽", 140):          280,
		"\xff":                            2,
		"Preis: 1.234,56 € für A.B":       26,
		strings.Repeat("a", 30) + ".shop": 35,
	} {
		if got := weight(text); got != want {
			t.Errorf("weight(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestSameWords(t *testing.T) {
	for _, c := range []struct {
		shown, said string
		want        bool
	}{
		{"@ann @ben Buy &lt;this&gt; &amp; that #KUMI", "Buy <this> & that #KUMI", true},
		{"@ann see https://t.co/abc now", "see https://shop.example/x?y now", true},
		{"@ann cafe\u0301 ", "café", true},
		{"Buy #KUMI", "Buy #KUMA", false},
		{"@ann Buy", "Buy now", false},
	} {
		if got := sameWords(c.shown, c.said); got != c.want {
			t.Errorf("%q shown, %q said: %t", c.shown, c.said, got)
		}
	}
}

// TestSayOutcomes holds Say to the kinds of errors that bot.Network names.
func TestSayOutcomes(t *testing.T) {
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	const (
		notEngaged = `{"detail":"Reply to this conversation is not allowed because you have not been mentioned or otherwise engaged by the author of the post you are replying to.","type":"about:blank","title":"Forbidden","status":403}`
		duplicate  = `{"detail":"You are not allowed to create a Tweet with duplicate content.","type":"about:blank","title":"Forbidden","status":403}`
	)
	const (
		posted = iota
		refused
		later
		unknown
	)
	for _, c := range []struct {
		name     string
		status   int
		header   http.Header
		body     string
		timeline string // "" where it must not be read
		want     int
		id       string
		at       time.Time
		why      string
		refusal  bot.RefusalKind
	}{
		{name: "posted", status: 201, body: `{"data":{"id":"77","text":"x"}}`, want: posted, id: "77"},
		{name: "no id", status: 201, body: `{"data":{}}`, want: unknown},
		{name: "cut", status: 201, body: `{"data":`, want: unknown},
		{name: "reply rule", status: 403, body: notEngaged, want: refused, why: "not been mentioned", refusal: bot.ReplyNotAllowed},
		{name: "the post is gone", status: 403, want: refused, why: "deleted", refusal: bot.PostGone,
			body: `{"detail":"You attempted to reply to a Tweet that is deleted or not visible to you.","type":"about:blank","title":"Forbidden","status":403}`},
		{name: "other 403", status: 403, body: `{"title":"Forbidden","detail":"Your account is suspended"}`, want: refused, why: "suspended"},
		{name: "a 403 that is not X's", status: 403, body: `<html>`, want: unknown},
		{name: "too long for X", status: 400, body: `{"title":"Invalid Request","errors":[{"message":"too long"}]}`, want: refused, why: "too long"},
		{name: "duplicate of another reply", status: 403, body: duplicate, want: refused, why: "duplicate", refusal: bot.Duplicate,
			timeline: `{"data":[{"id":"70","text":"@ann code","referenced_tweets":[{"type":"replied_to","id":"66"}]}]}`},
		{name: "duplicate of this reply", status: 403, body: duplicate, want: posted, id: "71",
			timeline: `{"data":[{"id":"70","text":"@ann other","referenced_tweets":[{"type":"replied_to","id":"50"}]},{"id":"72","text":"@ann code","edit_history_tweet_ids":["71","72"],"referenced_tweets":[{"type":"replied_to","id":"50"}]}]}`},
		{name: "duplicate, by the new names", status: 403, body: duplicate, want: posted, id: "71",
			timeline: `{"data":[{"id":"71","text":"@ann code","referenced_posts":[{"type":"replied_to","id":"50"}]}]}`},
		{name: "limit", status: 429, header: http.Header{"X-Rate-Limit-Reset": {"1795169400"}}, want: later, at: time.Unix(1795169400, 0)},
		{name: "limit of the day", status: 429, want: later, at: time.Unix(1795250000, 0), header: http.Header{
			"X-Rate-Limit-Reset": {"1795169400"}, "X-User-Limit-24hour-Remaining": {"0"}, "X-User-Limit-24hour-Reset": {"1795250000"},
			"X-App-Limit-24hour-Remaining": {"9"}, "X-App-Limit-24hour-Reset": {"1799999999"}}},
		{name: "limit without a time", status: 429, want: later, at: now.Add(time.Minute)},
		{name: "limit in the past", status: 429, header: http.Header{"X-Rate-Limit-Reset": {"1"}}, want: later, at: now.Add(time.Minute)},
		{name: "401", status: 401, body: `{"title":"Unauthorized"}`, want: unknown},
		{name: "503", status: 503, body: `{"title":"Service Unavailable"}`, want: unknown},
		{name: "redirect", status: 302, header: http.Header{"Location": {"https://elsewhere.test/"}}, want: unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(func(r *http.Request) (*http.Response, error) {
				if !strings.HasPrefix(r.Header.Get("Authorization"), "OAuth ") || r.URL.Host != "api.x.test" {
					t.Errorf("%s signed in by %q", r.URL, r.Header.Get("Authorization"))
				}
				switch {
				case r.URL.Path == "/2/users/me":
					return respond(r, 200, me)
				case r.Method == http.MethodGet:
					if c.timeline == "" || r.URL.Path != "/2/users/"+meID+"/tweets" || r.URL.Query().Get("since_id") != "50" {
						t.Errorf("unexpected request %s", r.URL)
					}
					return respond(r, 200, c.timeline)
				}
				if body, _ := io.ReadAll(r.Body); string(body) != `{"reply":{"in_reply_to_tweet_id":"50"},"text":"code"}` {
					t.Errorf("posted %s", body)
				}
				resp, err := respond(r, c.status, c.body)
				resp.Header = c.header
				return resp, err
			})
			cfg.Now = func() time.Time { return now }
			n, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			id, err := n.Say(t.Context(), bot.Reply{To: "50", Handle: "ann", Text: "code"}, false)
			kind, no, wait := unknown, new(bot.RefusedError), new(bot.LaterError)
			switch {
			case err == nil:
				kind = posted
			case errors.As(err, &no):
				kind = refused
			case errors.As(err, &wait):
				kind = later
			}
			if kind != c.want || id != c.id || !wait.At.Equal(c.at) || !strings.Contains(no.Why, c.why) || no.Kind != c.refusal {
				t.Errorf("Say: %q, %v (%s)", id, err, no.Kind)
			}
		})
	}
}

// TestUnlinked holds titles to the widest reading of what X takes for a link.
func TestUnlinked(t *testing.T) {
	for text, want := range map[string]string{
		"shop.example":                    "shop. example",
		"Node.js T-shirt":                 "Node. js T-shirt",
		"ASP.NET mug":                     "ASP. NET mug",
		"www.shop.co.uk":                  "www. shop. co. uk",
		"https://shop.example/a?b=c.d":    "https: //shop. example/a?b=c. d",
		"HTTP://x.co":                     "HTTP: //x. co",
		"a.b.c.d.e":                       "a. b. c. d. e",
		"250.ml 3.com 1.000,50 € v1.2":    "250. ml 3. com 1.000,50 € v1.2",
		"帽子.公司":                           "帽子. 公司",
		"💩.la":                            "💩. la",
		"(t.co)":                          "(t. co)",
		"@shop.com #a.de mail@shop.com":   "@shop. com #a. de mail@shop. com",
		".NET end. Then… ..and é.fr":      ".NET end. Then… .. and é. fr",
		"Dr. No, No.5, e.g. U.S. and Co.": "Dr. No, No.5, e. g. U. S. and Co.",
		"x.xn--p1ai":                      "x. xn--p1ai",
		"":                                "",
	} {
		got := unlinked(text)
		if got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
		if linkPattern.MatchString(got) {
			t.Errorf("%q still holds %q", got, linkPattern.FindString(got))
		}
	}
}

// TestOwnReplyReadsOnce: a post that was read is not read again, but for the last
// minutes' own.
func TestOwnReplyReadsOnce(t *testing.T) {
	at := func(minute int64) string {
		return strconv.FormatInt((minute*60_000+1795169400000-1288834974657)<<22, 10)
	}
	var asked []string
	n := newNetwork(t, func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/2/users/me" {
			return respond(r, 200, me)
		}
		since := r.URL.Query().Get("since_id")
		asked = append(asked, since)
		if since == at(0) {
			return respond(r, 200, `{"data":[{"id":"`+at(30)+`","text":"x"},{"id":"`+at(20)+`","text":"code","referenced_tweets":[{"type":"replied_to","id":"`+at(10)+`"}]}]}`)
		}
		return respond(r, 200, `{"data":[]}`)
	})
	for _, c := range []struct{ to, text, want, since string }{
		{at(0), "none", "", at(0)},
		{at(10), "code", at(20), at(28)},
		{at(10), "other", "", at(28)},
		{at(-5), "older", "", at(-5)},
	} {
		asked = nil
		id, err := n.ownReply(t.Context(), bot.Reply{To: c.to, Text: c.text})
		if id != c.want || err != nil || !slices.Equal(asked, []string{c.since}) {
			t.Errorf("%q: %q, %v, read from %q, want %q from %s", c.text, id, err, asked, c.want, c.since)
		}
	}
}

// TestOwnReplyPages looks for an own reply beyond the first page, and ends.
func TestOwnReplyPages(t *testing.T) {
	pages := 0
	n := newNetwork(t, func(r *http.Request) (*http.Response, error) {
		switch {
		case r.URL.Path == "/2/users/me":
			return respond(r, 200, me)
		case r.Method == http.MethodPost:
			return respond(r, 201, `{"data":{"id":"99"}}`)
		}
		if pages++; pages == 3 && r.URL.Query().Get("pagination_token") == "more" {
			return respond(r, 200, `{"data":[{"id":"60","text":"code","referenced_tweets":[{"type":"replied_to","id":"50"}]}],"meta":{"next_token":"more"}}`)
		}
		return respond(r, 200, `{"data":[],"meta":{"next_token":"more"}}`)
	})
	if id, err := n.Say(t.Context(), bot.Reply{To: "50", Text: "code"}, true); id != "60" || err != nil || pages != 3 {
		t.Errorf("%q, %v after %d pages", id, err, pages)
	}
	if id, err := n.Say(t.Context(), bot.Reply{To: "50", Text: "other"}, true); id != "99" || err != nil || pages != 3+ownPages {
		t.Errorf("%q, %v after %d pages", id, err, pages)
	}
	if _, err := n.Say(t.Context(), bot.Reply{To: "at://elsewhere", Text: "x"}, true); !errors.As(err, new(*bot.RefusedError)) {
		t.Errorf("an answer to what is no post of X: %v", err)
	}
	if _, err := n.Say(t.Context(), bot.Reply{To: "50", Text: strings.Repeat("帽", 141)}, false); !errors.Is(err, bot.ErrTooLong) {
		t.Errorf("a text of 282: %v", err)
	}
}

// TestClassicOutcomes is TestSayOutcomes for the numbers of the classic API.
func TestClassicOutcomes(t *testing.T) {
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		status int
		body   string
		want   string
	}{
		{200, `{"id":77,"id_str":"77"}`, "77"},
		{200, `{}`, "unknown"},
		{403, `{"errors":[{"code":187,"message":"Status is a duplicate."}]}`, "71"},
		{403, `{"errors":[{"code":186,"message":"Tweet needs to be a bit shorter."}]}`, "too long"},
		{403, `{"errors":[{"code":433,"message":"The original Tweet author restricted who can reply to this Tweet."}]}`, "refused"},
		{403, `{"errors":[{"code":185,"message":"User is over daily status update limit."}]}`, "in 30m0s"},
		{429, `{"errors":[{"code":88,"message":"Rate limit exceeded"}]}`, "in 1m0s"},
		{401, `{"errors":[{"code":89,"message":"Invalid or expired token."}]}`, "unknown"},
		{503, `{"errors":[{"code":130,"message":"Over capacity"}]}`, "unknown"},
		{503, `{}`, "unknown"},
		{500, ``, "unknown"},
	} {
		cfg := config(func(r *http.Request) (*http.Response, error) {
			switch r.URL.Path {
			case "/1.1/account/verify_credentials.json":
				return respond(r, 200, classicMe)
			case "/1.1/statuses/user_timeline.json":
				if r.URL.Query().Get("max_id") != "" {
					return respond(r, 200, `[]`)
				}
				return respond(r, 200, `[{"id":71,"id_str":"71","full_text":"@ann code","in_reply_to_status_id":50,"in_reply_to_status_id_str":"50"}]`)
			}
			if body, _ := io.ReadAll(r.Body); string(body) != "in_reply_to_status_id=50&status=%40ann+code" || r.URL.Host != "api.x.test" {
				t.Errorf("posted %s to %s", body, r.URL)
			}
			return respond(r, c.status, c.body)
		})
		cfg.Now = func() time.Time { return now }
		n, err := NewClassic(cfg)
		if err != nil {
			t.Fatal(err)
		}
		id, err := n.Say(t.Context(), bot.Reply{To: "50", Handle: "ann", Text: "code"}, false)
		got, later := "unknown", new(bot.LaterError)
		switch {
		case err == nil:
			got = id
		case errors.Is(err, bot.ErrTooLong):
			got = "too long"
		case errors.As(err, new(*bot.RefusedError)):
			got = "refused"
		case errors.As(err, &later):
			got = "in " + later.At.Sub(now).String()
		}
		if got != c.want {
			t.Errorf("%d %s: %s (%v), want %s", c.status, c.body, got, err, c.want)
		}
	}
}

func TestConfig(t *testing.T) {
	if _, err := New(Config{APIURL: "ftp://x"}); err == nil || strings.Count(err.Error(), "\n") != 5 {
		t.Errorf("an empty configuration: %v", err)
	}
	cfg := config(nil)
	cfg.BearerToken = ""
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "bearer token") {
		t.Errorf("without a bearer token: %v", err)
	}
	if _, err := NewClassic(cfg); err != nil {
		t.Errorf("the classic shape needs no bearer token: %v", err)
	}
}
