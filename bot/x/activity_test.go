package x_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dghubble/oauth1"

	"hashtill/bot/x"
	"hashtill/bot/x/xtest"
)

func byActivity(cfg *x.Config) { cfg.Hear = x.HearActivity }

// The account is subscribed to what is said to it; own subscriptions that are not wanted
// go, and other programs' stay.
func TestSubscriptions(t *testing.T) {
	l := hearBy(t, xtest.Options{}, byActivity, func() []string { return nil })
	keys := l.s.Credentials(l.ann.ID) // another account of the same app
	other := oauth1.NewClient(t.Context(), oauth1.NewConfig(keys.ConsumerKey, keys.ConsumerSecret), oauth1.NewToken(keys.Token, keys.TokenSecret))
	defer other.CloseIdleConnections()
	for _, tag := range []string{"another's", "hashtill:" + l.shop.ID} {
		event := map[string]string{"another's": "post.reply.create", "hashtill:" + l.shop.ID: "post.mention.create"}[tag]
		resp, err := other.Post(l.s.URL()+"/2/activity/subscriptions", "application/json",
			strings.NewReader(`{"event_type":"`+event+`","filter":{"user_id":"`+l.ann.ID+`"},"tag":"`+tag+`"}`))
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%v %v", resp, err)
		}
		resp.Body.Close()
	}
	l.listen()
	if err := l.s.WaitStream(l.ctx); err != nil {
		t.Fatal(err)
	}
	want := []string{"post.reply.create " + l.ann.ID + " another's"}
	for _, event := range []string{"mention", "reply", "quote", "repost"} {
		want = append(want, "post."+event+".create "+l.shop.ID+" hashtill:"+l.shop.ID)
	}
	if got := l.s.Subscriptions(); !slices.Equal(got, want) {
		t.Errorf("subscribed to %q, want %q", got, want)
	}
	l.post(l.person("ben"), "@ann not for the shop", xtest.PostOptions{})
	l.repost(l.ann.ID, l.post(l.shop.ID, "code #KUMI7RAX", xtest.PostOptions{}))
	if got := l.next(); got.Author.ID != l.ann.ID || got.At.IsZero() || got.Of.Tags[0] != "KUMI7RAX" {
		t.Errorf("heard %+v", got)
	}
	l.s.Disconnect()
	if err := l.s.WaitStream(l.ctx); err != nil {
		t.Fatal(err)
	}
	if got := l.s.Subscriptions(); !slices.Equal(got, want) {
		t.Errorf("after a reconnection subscribed to %q", got)
	}
}

// hook is a program's webhook, and X's calls of it.
func hook(t *testing.T) (address string, set func(http.Handler), call func(method, query, signature string, body []byte) *http.Response) {
	handler := http.NotFoundHandler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	return server.URL, func(h http.Handler) { handler = h }, func(method, query, signature string, body []byte) *http.Response {
		t.Helper()
		r, err := http.NewRequest(method, server.URL+query, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("x-twitter-webhooks-signature", signature)
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
}

// The example of X's own documentation of the check.
func TestWebhookAnswersTheCheck(t *testing.T) {
	address, set, call := hook(t)
	l := hearBy(t, xtest.Options{}, func(cfg *x.Config) {
		cfg.Hear, cfg.WebhookURL = x.HearWebhook, address
	}, func() []string { return nil })
	set(l.n.WebhookHandler())
	resp := call(http.MethodGet, "?crc_token="+url.QueryEscape("a+b/c="), "", nil)
	body, _ := io.ReadAll(resp.Body)
	want := `{"response_token":"` + l.s.SignWebhook([]byte("a+b/c=")) + `"}`
	if strings.TrimSpace(string(body)) != want || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s, want %s", body, want)
	}
	for _, query := range []string{"", "?crc_token=", "?crc_token=" + strings.Repeat("x", 2000)} {
		if resp := call(http.MethodGet, query, "", nil); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%.20q: %d", query, resp.StatusCode)
		}
	}
}

func TestWebhookTakesWhatIsSigned(t *testing.T) {
	address, set, call := hook(t)
	l := hearBy(t, xtest.Options{Limits: quick}, func(cfg *x.Config) {
		cfg.Hear, cfg.WebhookURL, cfg.PollEvery = x.HearWebhook, address, time.Hour
	}, func() []string { return nil })
	set(l.n.WebhookHandler())
	event := []byte(`{"data":{"event_uuid":"1","event_type":"post.mention.create","filter":{"user_id":"` + l.shop.ID +
		`"},"payload":{"id":"2080765813578191303","author_id":"7","text":"@HatShop help"}}}`)
	post := func(body []byte, signature string) int {
		t.Helper()
		return call(http.MethodPost, "", signature, body).StatusCode
	}
	if got := post(event, l.s.SignWebhook(event)); got != http.StatusServiceUnavailable {
		t.Errorf("while nobody listens: %d", got)
	}
	l.listen()
	if err := l.s.WaitWebhook(l.ctx); err != nil {
		t.Fatal(err)
	}
	for _, signature := range []string{"", "sha256=", l.s.SignWebhook(append(event, ' ')), strings.TrimPrefix(l.s.SignWebhook(event), "sha256=")} {
		if got := post(event, signature); got != http.StatusForbidden {
			t.Errorf("with the signature %q: %d", signature, got)
		}
	}
	long := bytes.Repeat([]byte(" "), 1<<20+1)
	if got := post(long, l.s.SignWebhook(long)); got != http.StatusRequestEntityTooLarge {
		t.Errorf("too long: %d", got)
	}
	other := bytes.ReplaceAll(event, []byte(l.shop.ID), []byte(l.ann.ID))
	list := []byte("[" + string(other) + "," + string(event) + "]")
	if got := post(list, l.s.SignWebhook(list)); got != http.StatusOK {
		t.Errorf("signed: %d", got)
	}
	if got := l.next(); got.ID != "2080765813578191303" || got.Cursor != "" || got.Missed {
		t.Errorf("heard %+v", got)
	}
	if len(l.posts) > 0 {
		t.Errorf("heard %+v as well", <-l.posts)
	}
}

// A webhook that X has given up on is tried again, not registered twice.
func TestWebhookIsRestored(t *testing.T) {
	address, set, _ := hook(t)
	l := hearBy(t, xtest.Options{Limits: quick}, func(cfg *x.Config) {
		cfg.Hear, cfg.WebhookURL, cfg.PollEvery = x.HearWebhook, address, 10*time.Millisecond
	}, func() []string { return nil })
	set(l.n.WebhookHandler())
	l.listen()
	if err := l.s.WaitWebhook(l.ctx); err != nil {
		t.Fatal(err)
	}
	l.s.InvalidateWebhooks()
	if err := l.s.WaitWebhook(l.ctx); err != nil {
		t.Fatal(err)
	}
	if n := l.asked.of("POST /2/webhooks"); n != 1 {
		t.Errorf("registered %d times", n)
	}
	if len(l.s.Subscriptions()) != 4 {
		t.Errorf("subscribed to %q", l.s.Subscriptions())
	}
}

func TestHearingConfig(t *testing.T) {
	_, _, good := start(t, xtest.Options{})
	for _, c := range []struct {
		hear    x.Source
		webhook string
		every   time.Duration
		ok      bool
	}{
		{"", "", 0, true}, {"stream", "", 0, true}, {"activity", "", 0, true}, {"poll", "", time.Second, true},
		{"poll", "", -1, false}, {"streams", "", 0, false},
		{"webhook", "https://shop.example/x", 0, true}, {"webhook", "http://shop.example/x", 0, false}, {"webhook", "", 0, false},
	} {
		cfg := good
		cfg.Hear, cfg.WebhookURL, cfg.PollEvery = c.hear, c.webhook, c.every
		if _, err := x.New(cfg); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
