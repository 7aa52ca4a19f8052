package xtest_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"hashtill/bot/x/xtest"
)

// TestReplyRule holds the rule of 23 February 2026.
func TestReplyRule(t *testing.T) {
	w := open(t, xtest.Options{})
	own, err := w.Post(w.bot.ID, "Offer of the day #BuyLamp", xtest.PostOptions{})
	if err != nil {
		t.Fatal(err)
	}
	foreign := w.post(w.bob, "What do you think?", xtest.PostOptions{})
	for _, c := range []struct {
		name   string
		target xtest.Post
		status int
	}{
		{"bare hashtag", w.post(w.ann, "#BuyLamp", xtest.PostOptions{}), 403},
		{"mention", w.post(w.ann, "@ShopBot #BuyLamp", xtest.PostOptions{}), 201},
		{"mention of another", w.post(w.ann, "@bob_9 #BuyLamp", xtest.PostOptions{}), 403},
		{"quote of the bot", w.post(w.ann, "mine #BuyLamp", xtest.PostOptions{Quote: own.ID}), 201},
		{"quote of another", w.post(w.ann, "not mine #BuyLamp", xtest.PostOptions{Quote: foreign.ID}), 403},
		{"own post", own, 201},
		{"reply under own post", w.post(w.ann, "nice", xtest.PostOptions{ReplyTo: own.ID}), 201},
		{"deeper in own thread", w.post(w.bob, "@ann agreed", xtest.PostOptions{ReplyTo: w.post(w.ann, "well", xtest.PostOptions{ReplyTo: own.ID}).ID}), 201},
		{"reply elsewhere", w.post(w.ann, "nice", xtest.PostOptions{ReplyTo: foreign.ID}), 403},
	} {
		r := w.botPosts("Answer: "+c.name, c.target.ID)
		if r.status != c.status {
			t.Errorf("%s: %d %s, want %d", c.name, r.status, r.raw, c.status)
		}
		if c.status == 403 && r.raw != `{"detail":"Reply to this conversation is not allowed because you have not been mentioned or otherwise engaged by the author of the post you are replying to.","status":403,"title":"Forbidden","type":"about:blank"}` {
			t.Errorf("%s: %s", c.name, r.raw)
		}
		if got := len(w.Replies(c.target.ID)); (got > 0) != (c.status == 201) && c.target.ID != own.ID {
			t.Errorf("%s: %d replies", c.name, got)
		}
	}
	free := open(t, xtest.Options{FreeReplies: true})
	if r := free.botPosts("Answer", free.post(free.ann, "#BuyLamp", xtest.PostOptions{}).ID); r.status != 201 {
		t.Errorf("without the rule: %d %s", r.status, r.raw)
	}
}

func TestCreatePost(t *testing.T) {
	w := open(t, xtest.Options{})
	r := w.botPosts("Hello & <you>, see https://shop.example/lamps?x=1", "")
	if r.status != 201 || len(r.body) != 1 || len(r.get("data").(map[string]any)) != 3 || r.get("data.edit_history_tweet_ids.0") != r.get("data.id") {
		t.Fatalf("%d %s", r.status, r.raw)
	}
	if text := r.get("data.text").(string); !strings.HasPrefix(text, "Hello &amp; &lt;you&gt;, see https://t.co/") {
		t.Errorf("text %q is not as X delivers it", text)
	}
	if p, _ := w.Find(r.get("data.id").(string)); p.AuthorID != w.bot.ID || p.Links[0].Expands != "https://shop.example/lamps?x=1" {
		t.Errorf("posted: %+v", p)
	}
	gone := w.post(w.ann, "@shopbot gone", xtest.PostOptions{})
	if err := w.Delete(w.ann.ID, gone.ID); err != nil {
		t.Fatal(err)
	}
	hidden := w.post(w.pat, "@shopbot hidden", xtest.PostOptions{})
	const about = `"type":"about:blank"`
	for _, c := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"duplicate", `{"text":"Hello & <you>, see https://shop.example/lamps?x=1"}`, 403, `{"detail":"You are not allowed to create a Tweet with duplicate content.","status":403,"title":"Forbidden","type":"about:blank"}`},
		{"empty", `{"text":"  "}`, 400, "problems/invalid-request"},
		{"no text", `{}`, 400, "problems/invalid-request"},
		{"no JSON", `text`, 400, "problems/invalid-request"},
		{"unknown field", `{"text":"a","txet":"b"}`, 400, "problems/invalid-request"},
		{"280", `{"text":"` + strings.Repeat("a", 280) + `"}`, 201, ""},
		{"281", `{"text":"` + strings.Repeat("b", 281) + `"}`, 400, "text is too long"},
		{"141 wide", `{"text":"` + strings.Repeat("語", 141) + `"}`, 400, "text is too long"},
		{"140 wide", `{"text":"` + strings.Repeat("語", 140) + `"}`, 201, ""},
		{"quote", `{"text":"q","quote_tweet_id":"` + gone.ID + `"}`, 403, about},
		{"reply to a deleted post", `{"text":"r","reply":{"in_reply_to_tweet_id":"` + gone.ID + `"}}`, 403, "deleted or not visible"},
		{"reply to a protected post", `{"text":"r","reply":{"in_reply_to_tweet_id":"` + hidden.ID + `"}}`, 403, "deleted or not visible"},
		{"reply to nonsense", `{"text":"r","reply":{"in_reply_to_tweet_id":"x"}}`, 400, "problems/invalid-request"},
	} {
		r := w.do(w.as(w.bot), "POST", "/2/tweets", c.body)
		if r.status != c.status || !strings.Contains(r.raw, c.want) {
			t.Errorf("%s: %d %s", c.name, r.status, r.raw)
		}
		if kind := r.header.Get("Content-Type"); c.status >= 400 && kind != "application/problem+json" {
			t.Errorf("%s: Content-Type %q", c.name, kind)
		}
	}
	if r := w.do(w.as(w.ann), "POST", "/2/tweets", `{"text":"`+strings.Repeat("a", 280)+`"}`); r.status != 201 {
		t.Errorf("the same text by another account: %d", r.status)
	}
}

func TestRateLimit(t *testing.T) {
	w := open(t, xtest.Options{})
	for i := range 100 {
		r := w.botPosts("number "+strconv.Itoa(i), "")
		if left := r.header.Get("x-rate-limit-remaining"); r.status != 201 || left != strconv.Itoa(99-i) || r.header.Get("x-rate-limit-limit") != "100" {
			t.Fatalf("post %d: %d, %s left", i, r.status, left)
		}
	}
	r := w.botPosts("one too many", "")
	if r.status != 429 || r.get("title") != "Too Many Requests" || r.header.Get("x-rate-limit-remaining") != "0" {
		t.Fatalf("%d %s", r.status, r.raw)
	}
	reset, err := strconv.ParseInt(r.header.Get("x-rate-limit-reset"), 10, 64)
	if d := time.Until(time.Unix(reset, 0)); err != nil || d < 14*time.Minute || d > 15*time.Minute {
		t.Errorf("reset in %v, %v", d, err)
	}
	if r := w.do(w.as(w.ann), "POST", "/2/tweets", `{"text":"I may"}`); r.status != 201 {
		t.Errorf("another user: %d", r.status)
	}
	w.clock.Store(int64(15 * time.Minute))
	if r := w.botPosts("one too many", ""); r.status != 201 {
		t.Errorf("after the window: %d", r.status)
	}
}

func TestIDsRise(t *testing.T) {
	w := open(t, xtest.Options{Now: func() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }})
	last := int64(1) << 53
	for i := range 10 {
		id, err := strconv.ParseInt(w.post(w.ann, fmt.Sprint(i), xtest.PostOptions{}).ID, 10, 64)
		if err != nil || id <= last {
			t.Fatalf("id %d after %d, %v", id, last, err)
		}
		last = id
	}
}

func TestFieldsMustBeAskedFor(t *testing.T) {
	w := open(t, xtest.Options{})
	first := w.post(w.ann, "hello", xtest.PostOptions{})
	p := w.post(w.bob, "@shopbot & ＃Grün99 #7 http://a.example/#no", xtest.PostOptions{ReplyTo: first.ID})
	if r := w.do(w.app(), "GET", "/2/tweets/"+p.ID, ""); len(r.get("data").(map[string]any)) != 3 || r.get("includes") != nil {
		t.Errorf("without fields: %s", r.raw)
	}
	r := w.do(w.app(), "GET", "/2/tweets/"+p.ID+"?tweet.fields=created_at,conversation_id,in_reply_to_user_id,entities,referenced_tweets"+
		"&expansions=author_id,referenced_tweets.id&user.fields=protected", "")
	for path, want := range map[string]any{
		"data.author_id":                    w.bob.ID,
		"data.conversation_id":              first.ID,
		"data.in_reply_to_user_id":          w.ann.ID,
		"data.created_at":                   p.CreatedAt.Format("2006-01-02T15:04:05.000Z"),
		"data.referenced_tweets.0.type":     "replied_to",
		"data.referenced_tweets.0.id":       first.ID,
		"data.entities.mentions.0.username": "Ann", // put there because it is a reply
		"data.entities.mentions.1.username": "shopbot",
		"data.entities.mentions.1.id":       w.bot.ID,
		"data.entities.mentions.1.start":    5.0,
		"data.entities.mentions.1.end":      13.0,
		"data.entities.hashtags.0.tag":      "Grün99",
		"data.entities.hashtags.0.start":    20.0, // after "&amp;"
		"data.entities.hashtags.0.end":      27.0,
		"data.entities.hashtags.1":          nil,
		"includes.users.0.id":               w.bob.ID,
		"includes.users.0.protected":        false,
		"includes.users.0.created_at":       nil,
		"includes.users.1":                  nil,
		"includes.tweets.0.id":              first.ID,
		"includes.tweets.0.text":            "hello",
	} {
		if got := r.get(path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	if r := w.do(w.app(), "GET", "/2/tweets/"+p.ID+"?tweet.fields=colour", ""); r.status != 400 || r.get("title") != "Invalid Request" {
		t.Errorf("unknown field: %d %s", r.status, r.raw)
	}
	if r := w.do(w.app(), "GET", "/2/tweets/"+p.ID+"?colour=red", ""); r.status != 400 {
		t.Errorf("unknown parameter: %d %s", r.status, r.raw)
	}
}

func TestNewNames(t *testing.T) {
	w := open(t, xtest.Options{PostNames: true})
	p := w.post(w.ann, "hello", xtest.PostOptions{})
	q := w.post(w.bob, "look", xtest.PostOptions{Quote: p.ID})
	r := w.do(w.app(), "GET", "/2/tweets/"+q.ID+"?post.fields=referenced_posts", "")
	if r.get("data.referenced_posts.0.type") != "quoted" || r.get("data.edit_history_post_ids.0") != q.ID || r.get("data.edit_history_tweet_ids") != nil {
		t.Error(r.raw)
	}
}

func TestLookups(t *testing.T) {
	w := open(t, xtest.Options{})
	p := w.post(w.ann, "one", xtest.PostOptions{})
	hidden := w.post(w.pat, "two", xtest.PostOptions{})
	r := w.do(w.app(), "GET", "/2/tweets?ids="+p.ID+",42,"+hidden.ID, "")
	if r.get("data.0.id") != p.ID || r.get("data.1") != nil || r.get("errors.0.type") != "https://api.twitter.com/2/problems/resource-not-found" ||
		r.get("errors.0.resource_id") != "42" || r.get("errors.1.type") != "https://api.twitter.com/2/problems/not-authorized-for-resource" {
		t.Errorf("by ids: %s", r.raw)
	}
	if r := w.do(w.as(w.pat), "GET", "/2/tweets/"+hidden.ID, ""); r.get("data.text") != "two" {
		t.Errorf("own protected post: %s", r.raw)
	}
	w.repost(w.ann, p.ID)
	w.repost(w.bob, p.ID)
	w.repost(w.pat, p.ID)
	r = w.do(w.as(w.bot), "GET", "/2/tweets/"+p.ID+"/retweeted_by", "")
	if r.get("data.0.id") != w.bob.ID || r.get("data.1.username") != "Ann" || r.get("data.2") != nil || r.get("meta.result_count") != 2.0 {
		t.Errorf("reposted by: %s", r.raw)
	}
	if r := w.do(w.as(w.bot), "GET", "/2/tweets/abc", ""); r.status != 400 {
		t.Errorf("malformed id: %d", r.status)
	}
	if r := w.do(w.as(w.bot), "GET", "/2/nothing", ""); r.status != 404 {
		t.Errorf("unknown path: %d", r.status)
	}
}

func TestTimelines(t *testing.T) {
	w := open(t, xtest.Options{})
	var ids []string
	for i := range 12 {
		ids = append(ids, w.post(w.ann, fmt.Sprintf("@shopbot %d", i), xtest.PostOptions{}).ID)
	}
	w.repost(w.bob, ids[0])                                      // not a mention
	w.post(w.bob, "@ann hello", xtest.PostOptions{})             // of somebody else
	w.post(w.pat, "@shopbot from behind", xtest.PostOptions{})   // protected
	w.post(w.bob, "mail shop@shopbot.com", xtest.PostOptions{})  // not a mention
	edited, err := w.Edit(ids[11], "@shopbot eleven")            // takes the place of the old
	own := w.botPosts("mine", "").get("data.id")                 // on the bot's own timeline
	w.post(w.ann, "@shopbotty and @nobody", xtest.PostOptions{}) // nobody's name
	if err != nil {
		t.Fatal(err)
	}
	mentions := "/2/users/" + w.bot.ID + "/mentions"
	first := w.do(w.as(w.bot), "GET", mentions, "")
	if first.get("meta.result_count") != 10.0 || first.get("data.0.id") != edited.ID || first.get("data.1.id") != ids[10] ||
		first.get("meta.newest_id") != edited.ID || first.get("meta.oldest_id") != ids[2] {
		t.Fatalf("first page: %s", first.raw)
	}
	second := w.do(w.as(w.bot), "GET", mentions+"?pagination_token="+first.get("meta.next_token").(string), "")
	if second.get("data.0.id") != ids[1] || second.get("meta.result_count") != 2.0 || second.get("meta.next_token") != nil {
		t.Errorf("second page: %s", second.raw)
	}
	if r := w.do(w.app(), "GET", mentions+"?max_results=5&since_id="+ids[9], ""); r.get("meta.result_count") != 2.0 || r.get("data.1.id") != ids[10] {
		t.Errorf("since: %s", r.raw)
	}
	if r := w.do(w.app(), "GET", mentions+"?since_id="+edited.ID, ""); r.raw != `{"meta":{"result_count":0}}` {
		t.Errorf("nothing new: %s", r.raw)
	}
	for _, n := range []string{"4", "101", "x"} {
		if r := w.do(w.app(), "GET", mentions+"?max_results="+n, ""); r.status != 400 || !strings.Contains(r.raw, "is not between 5 and 100") {
			t.Errorf("max_results %s: %d %s", n, r.status, r.raw)
		}
	}
	if r := w.do(w.as(w.bot), "GET", "/2/users/"+w.bot.ID+"/tweets", ""); r.get("data.0.id") != own || r.get("data.1") != nil {
		t.Errorf("own timeline: %s", r.raw)
	}
	if r := w.do(w.as(w.bot), "GET", "/2/users/"+w.bob.ID+"/tweets?exclude=retweets", ""); r.get("meta.result_count") != 2.0 {
		t.Errorf("without reposts: %s", r.raw)
	}
	if r := w.do(w.as(w.bot), "GET", "/2/users/1/tweets", ""); r.get("errors.0.resource_type") != "user" {
		t.Errorf("unknown user: %s", r.raw)
	}
}

func TestPeople(t *testing.T) {
	w := open(t, xtest.Options{})
	offer := w.post(w.bot, "Buy #Lamp now "+strings.Repeat("word ", 40), xtest.PostOptions{})
	rt := w.repost(w.ann, offer.ID)
	if !strings.HasPrefix(rt.Text, "RT @shopbot: Buy #Lamp") || len([]rune(rt.Text)) != 140 || rt.RepostOf != offer.ID || rt.Hashtags[0].Tag != "Lamp" {
		t.Errorf("repost: %+v", rt)
	}
	if _, err := w.Repost(w.ann.ID, offer.ID); err == nil {
		t.Error("reposted twice")
	}
	if again := w.repost(w.bob, rt.ID); again.RepostOf != offer.ID {
		t.Error("the repost of a repost is not one of the original")
	}
	answer := w.post(w.ann, "plum-7", xtest.PostOptions{ReplyTo: offer.ID})
	if answer.Text != "@shopbot plum-7" || answer.ConversationID != offer.ID || answer.InReplyToUserID != w.bot.ID {
		t.Errorf("reply: %+v", answer)
	}
	quote := w.post(w.bob, "look", xtest.PostOptions{Quote: offer.ID})
	if !strings.HasPrefix(quote.Text, "look https://t.co/") || quote.Links[0].Expands != "https://x.com/shopbot/status/"+offer.ID {
		t.Errorf("quote: %+v", quote)
	}
	edited, err := w.Edit(answer.ID, "plum-8")
	if err != nil || edited.ID == answer.ID || edited.Text != "@shopbot plum-8" || len(edited.EditHistory) != 2 || edited.EditHistory[0] != answer.ID {
		t.Errorf("edited: %+v, %v", edited, err)
	}
	if replies := w.Replies(offer.ID); len(replies) != 1 || replies[0].ID != edited.ID {
		t.Errorf("replies: %+v", replies)
	}
	if old, ok := w.Find(answer.ID); !ok || len(old.EditHistory) != 2 {
		t.Errorf("old version: %+v, %v", old, ok)
	}
	if _, err := w.Post(w.ann.ID, strings.Repeat("a", 281), xtest.PostOptions{}); err == nil {
		t.Error("281 characters were posted")
	}
	if err := w.Delete(w.ann.ID, offer.ID); err == nil {
		t.Error("deleted another's post")
	}
	if err := w.Delete(w.bot.ID, offer.ID); err != nil {
		t.Error(err)
	}
	for _, p := range w.Timeline() {
		if p.RepostOf != "" {
			t.Errorf("a repost has outlived its post: %+v", p)
		}
	}
	if err := w.Rename(w.ann.ID, "BOB_9"); err == nil {
		t.Error("a taken handle was given away")
	}
	if err := w.Rename(w.ann.ID, "anna"); err != nil {
		t.Error(err)
	}
	if heir := w.add(xtest.Account{Handle: "ann"}); heir.ID == w.ann.ID {
		t.Error("two accounts with one id")
	}
}

func TestDeletePost(t *testing.T) {
	w := open(t, xtest.Options{})
	id := w.botPosts("short-lived", "").get("data.id").(string)
	if r := w.do(w.as(w.ann), "DELETE", "/2/tweets/"+id, ""); r.status != 403 {
		t.Errorf("another's: %d", r.status)
	}
	if r := w.do(w.as(w.bot), "DELETE", "/2/tweets/"+id, ""); r.status != 200 || r.get("data.deleted") != true {
		t.Errorf("own: %d %s", r.status, r.raw)
	}
	if r := w.do(w.as(w.bot), "GET", "/2/tweets/"+id, ""); r.get("errors.0.title") != "Not Found Error" {
		t.Errorf("deleted: %s", r.raw)
	}
	if r := w.botPosts("short-lived", ""); r.status != 201 {
		t.Errorf("the text of a deleted post: %d", r.status)
	}
}

func TestWait(t *testing.T) {
	s, err := xtest.Start(xtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ann, _ := s.AddAccount(xtest.Account{Handle: "ann"})
	got := make(chan xtest.Post, 1)
	go func() {
		p, _ := s.Wait(soon(t), func(p xtest.Post) bool { return p.Text == "two" })
		got <- p
	}()
	for _, text := range []string{"one", "two"} {
		if _, err := s.Post(ann.ID, text, xtest.PostOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if p := <-got; p.Text != "two" {
		t.Errorf("waited for %q", p.Text)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Wait(ctx, func(xtest.Post) bool { return false }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	ended := make(chan error)
	go func() {
		_, err := s.Wait(context.Background(), func(xtest.Post) bool { return false })
		ended <- err
	}()
	s.Close()
	if err := <-ended; !errors.Is(err, xtest.ErrClosed) {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}
