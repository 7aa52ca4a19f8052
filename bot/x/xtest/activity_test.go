package xtest_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hashtill/bot/x/xtest"
)

const subscriptions = "/2/activity/subscriptions"

// must holds a request to a status.
func (w *world) must(status int, c *http.Client, method, path, body string) reply {
	w.t.Helper()
	r, err := w.try(c, method, path, body)
	if err != nil || r.status != status {
		w.t.Fatalf("%s %s %s: %d %s, %v; want %d", method, path, body, r.status, r.raw, err, status)
	}
	return r
}

func subscribe(event string, a xtest.Account) string {
	return fmt.Sprintf(`{"event_type":%q,"filter":{"user_id":%q},"tag":"t"}`, event, a.ID)
}

func TestSubscriptionsArePrivate(t *testing.T) {
	w := open(t, xtest.Options{})
	w.must(403, w.app(), "POST", subscriptions, subscribe("post.mention.create", w.bot))
	w.must(403, w.as(w.ann), "POST", subscriptions, subscribe("post.mention.create", w.bot))
	w.must(400, w.as(w.bot), "POST", subscriptions, subscribe("post.unheard.of", w.bot))
	made := w.must(200, w.as(w.bot), "POST", subscriptions, subscribe("post.mention.create", w.bot))
	w.must(409, w.as(w.bot), "POST", subscriptions, subscribe("post.mention.create", w.bot))
	id := made.get("data.subscription.subscription_id").(string)
	if got := w.must(200, w.app(), "GET", subscriptions, ""); got.get("data.0.subscription_id") != id || got.get("data.0.filter.user_id") != w.bot.ID {
		t.Errorf("listed %s", got.raw)
	}
	w.must(200, w.as(w.bot), "DELETE", subscriptions+"/"+id, "")
	w.must(404, w.as(w.bot), "DELETE", subscriptions+"/"+id, "")
}

func TestActivityStream(t *testing.T) {
	w := open(t, xtest.Options{})
	for _, event := range []string{"mention", "reply", "quote", "repost"} {
		w.must(200, w.as(w.bot), "POST", subscriptions, subscribe("post."+event+".create", w.bot))
	}
	var streams []*bufio.Reader
	for range 2 {
		resp, err := w.app().Get(w.URL() + "/2/activity/stream")
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%v %v", resp, err)
		}
		defer resp.Body.Close()
		streams = append(streams, bufio.NewReader(resp.Body))
	}
	w.must(429, w.app(), "GET", "/2/activity/stream", "")
	own := w.post(w.bot, "a lamp", xtest.PostOptions{})
	w.post(w.ann, "nothing of the bot", xtest.PostOptions{})
	w.post(w.pat, "@shopbot in secret", xtest.PostOptions{})
	w.wantEvent(streams, "post.repost.create", w.repost(w.ann, own.ID))
	w.wantEvent(streams, "post.mention.create", w.post(w.ann, "hello @shopbot", xtest.PostOptions{}))
	w.wantEvent(streams, "post.quote.create", w.post(w.ann, "mine", xtest.PostOptions{Quote: own.ID}))
	if r := w.must(200, w.app(), "GET", "/2/tweets/"+own.ID+"/quote_tweets", ""); r.get("data.0.text") == nil || r.get("meta.result_count") != 1.0 {
		t.Errorf("quotes: %s", r.raw)
	}
	if r := w.must(200, w.as(w.bot), "GET", "/2/users/reposts_of_me?tweet.fields=public_metrics", ""); r.get("data.0.id") != own.ID || r.get("data.0.public_metrics.retweet_count") != 1.0 {
		t.Errorf("reposted: %s", r.raw)
	}
}

// wantEvent holds the next line of each stream to an event.
func (w *world) wantEvent(streams []*bufio.Reader, event string, p xtest.Post) {
	w.t.Helper()
	for _, s := range streams {
		line, err := s.ReadString('\n')
		var got map[string]any
		if err != nil || json.Unmarshal([]byte(line), &got) != nil {
			w.t.Fatalf("%q, %v", line, err)
		}
		if dig(got, "data.event_type") != event || dig(got, "data.payload.id") != p.ID || dig(got, "data.filter.user_id") != w.bot.ID || dig(got, "data.event_uuid") == nil {
			w.t.Errorf("%s, want %s of %s", line, event, p.ID)
		}
	}
}

// A webhook must pass the check, and its deliveries are signed.
func TestWebhooks(t *testing.T) {
	w := open(t, xtest.Options{})
	token, delivered := "", make(chan string, 1)
	hook := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprintf(rw, `{"response_token":%q}`, token+w.SignWebhook([]byte(r.URL.Query().Get("crc_token"))))
			return
		}
		body := new(strings.Builder)
		bufio.NewReader(r.Body).WriteTo(body)
		if r.Header.Get("x-twitter-webhooks-signature") == w.SignWebhook([]byte(body.String())) {
			delivered <- body.String()
		}
	}))
	defer hook.Close()
	at := fmt.Sprintf(`{"url":%q}`, hook.URL)
	token = "wrong "
	w.must(400, w.app(), "POST", "/2/webhooks", at)
	token = ""
	w.must(400, w.app(), "POST", "/2/webhooks", `{"url":"http://shop.example/"}`)
	id := w.must(200, w.app(), "POST", "/2/webhooks", at).get("data.id").(string)
	w.must(400, w.app(), "POST", "/2/webhooks", at)
	w.must(200, w.as(w.bot), "POST", subscriptions, fmt.Sprintf(`{"event_type":"post.mention.create","filter":{"user_id":%q},"webhook_id":%q}`, w.bot.ID, id))
	w.InvalidateWebhooks()
	w.post(w.ann, "@shopbot unheard", xtest.PostOptions{})
	if r := w.must(200, w.app(), "GET", "/2/webhooks", ""); r.get("data.0.valid") != false {
		t.Errorf("webhooks: %s", r.raw)
	}
	w.must(200, w.app(), "PUT", "/2/webhooks/"+id, "")
	p := w.post(w.ann, "@shopbot heard", xtest.PostOptions{})
	if err := w.WaitDelivered(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-delivered; !strings.Contains(got, `"id":"`+p.ID+`"`) {
		t.Errorf("delivered %s", got)
	}
}
