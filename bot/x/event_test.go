package x

import (
	"testing"

	"hashtill/bot"
)

// FuzzEvent holds deliveries of the X Activity API to what readers of them rely on.
func FuzzEvent(f *testing.F) {
	for _, seed := range []string{
		`{"data":{"event_uuid":"1","event_type":"post.mention.create","filter":{"user_id":"42"},"tag":"t","payload":{"id":"9","author_id":"7","text":"hey @HatShop","entities":{"mentions":[{"start":4,"end":12,"username":"HatShop","id":"42"}]}},"includes":{"users":[{"id":"7","username":"ann"}]}}}`,
		`{"data":{"event_type":"post.repost.create","filter":{"user_id":"42"},"payload":{"id":"9","author_id":"7","referenced_tweets":[{"type":"retweeted","id":"8"}]},"includes":{"tweets":[{"id":"8","author_id":"42","text":"#KUMI7RAX"}],"users":[{"data":{"id":"7"}}]}}}`,
		`{"data":{"event_type":"post.reply.create","filter":{"user_id":"42"},"payload":{"id":"9","author_id":"7","in_reply_to_user_id":"42"}}}`,
		`{"data":{"event_type":"post.quote.create","filter":{"user_id":42},"payload":[]}}`, `{"errors":[{"title":"x"}]}`, `{"data":null}`, `[]`, `7`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := readEvent(line, "42")
		if err != nil || m == nil {
			return
		}
		if m.Data == nil {
			if len(m.Errors) == 0 {
				t.Error("neither a post nor an error")
			}
			return
		}
		p := reader{"42", "HatShop"}.post(m)
		if m.hidden(); !isID(m.Data.ID) || !isID(p.Author.ID) || p.ID == "" {
			t.Errorf("%+v", p)
		}
	})
}

// What an event lacks about its post is looked up.
func TestPartialEvents(t *testing.T) {
	for _, c := range []struct {
		event, payload string
		partial        bool
		kind           bot.PostKind // as it is read where it cannot be looked up
		of             string       // whose post it is of
	}{
		{"post.mention.create", `"text":"@HatShop #BuyHat","edit_history_tweet_ids":["9"]`, false, bot.Original, ""},
		{"post.mention.create", `"text":"@HatShop #BuyHat","edit_history_post_ids":["9"]`, false, bot.Original, ""},
		{"post.mention.create", `"text":"@HatShop #BuyHat"`, true, bot.Original, ""},
		{"post.mention.create", `"in_reply_to_user_id":"43","edit_history_tweet_ids":["9"]`, true, bot.Answer, "43"},
		{"post.reply.create", `"text":"x","edit_history_tweet_ids":["9"]`, true, bot.Answer, "42"},
		{"post.quote.create", `"text":"x","edit_history_tweet_ids":["9"]`, true, bot.Quote, "42"},
		{"post.repost.create", `"text":"RT @HatShop: A #BuyHat costs 20 €","edit_history_tweet_ids":["9"]`, true, bot.Repost, "42"},
	} {
		line := `{"data":{"event_type":"` + c.event + `","filter":{"user_id":"42"},"payload":{"id":"9","author_id":"7",` + c.payload + `}}}`
		m, err := readEvent([]byte(line), "42")
		if err != nil || m.partial != c.partial {
			t.Errorf("%s %s: %+v, %v", c.event, c.payload, m, err)
			continue
		}
		p := reader{"42", "HatShop"}.post(m)
		of := ""
		if p.Of != nil {
			of = p.Of.Author.ID
		}
		if p.Kind != c.kind || of != c.of || p.Kind == bot.Repost && len(p.Tags) > 0 {
			t.Errorf("%s %s: read as %+v of %+v", c.event, c.payload, p, p.Of)
		}
	}
	if m, err := readEvent([]byte(`{"data":{"event_type":"post.delete","filter":{"user_id":"42"},"payload":{"id":"9","author_id":"7"}}}`), "42"); m != nil || err != nil {
		t.Errorf("of no interest: %+v, %v", m, err)
	}
}
