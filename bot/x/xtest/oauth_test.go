package xtest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/dghubble/oauth1"

	"hashtill/bot/x/xtest"
)

// fixed is a noncer that repeats itself.
type fixed string

func (f fixed) Nonce() string { return string(f) }

func TestSignaturesAreVerified(t *testing.T) {
	w := open(t, xtest.Options{})
	good := w.Credentials(w.bot.ID)
	client := func(change func(*xtest.Credentials)) *http.Client {
		c := good
		change(&c)
		return oauth1.NewConfig(c.ConsumerKey, c.ConsumerSecret).Client(context.Background(), oauth1.NewToken(c.Token, c.TokenSecret))
	}
	for name, c := range map[string]struct {
		client *http.Client
		status int
	}{
		"good":               {client(func(*xtest.Credentials) {}), 200},
		"no signature":       {http.DefaultClient, 401},
		"other token secret": {client(func(c *xtest.Credentials) { c.TokenSecret = "x" }), 401},
		"other key secret":   {client(func(c *xtest.Credentials) { c.ConsumerSecret = "x" }), 401},
		"unknown token":      {client(func(c *xtest.Credentials) { c.Token += "x" }), 401},
		"unknown key":        {client(func(c *xtest.Credentials) { c.ConsumerKey = "x" }), 401},
		"another's token":    {client(func(c *xtest.Credentials) { c.Token = w.Credentials(w.ann.ID).Token }), 401},
		"wrong bearer":       {&http.Client{Transport: bearer("x")}, 401},
		"bearer for a user":  {w.app(), 403},
	} {
		r := w.do(c.client, "GET", "/2/users/me?user.fields=protected%2Cdescription", "")
		if r.status != c.status {
			t.Errorf("%s: %d, want %d", name, r.status, c.status)
		}
		if c.status == 401 && r.raw != `{"detail":"Unauthorized","status":401,"title":"Unauthorized","type":"about:blank"}` {
			t.Errorf("%s: %s", name, r.raw)
		}
	}
	if r := w.do(w.as(w.bot), "GET", "/2/users/me", ""); r.get("data.id") != w.bot.ID || r.get("data.username") != "shopbot" {
		t.Errorf("me: %s", r.raw)
	}
	if r := w.do(w.as(w.bot), "GET", "/2/tweets/search/stream/rules", ""); r.status != 403 || r.get("type") != "https://api.twitter.com/2/problems/unsupported-authentication" {
		t.Errorf("rules as a user: %d %s", r.status, r.raw)
	}
}

func TestNoncesWorkOnce(t *testing.T) {
	w := open(t, xtest.Options{})
	c := w.Credentials(w.bot.ID)
	config := oauth1.NewConfig(c.ConsumerKey, c.ConsumerSecret)
	config.Noncer = fixed("again")
	client := config.Client(context.Background(), oauth1.NewToken(c.Token, c.TokenSecret))
	statuses := map[int]int{}
	for range 5 { // a nonce may be used again in another second
		statuses[w.do(client, "GET", "/2/users/me", "").status]++
	}
	if statuses[401] == 0 || statuses[200] == 0 {
		t.Errorf("five uses of a nonce: %v", statuses)
	}
}

// header signs by hand, with the timestamp of another time.
func header(w *world, method, path string, at time.Time, form url.Values) string {
	c := w.Credentials(w.bot.ID)
	params := url.Values{
		"oauth_consumer_key": {c.ConsumerKey}, "oauth_token": {c.Token}, "oauth_nonce": {"n" + at.String()},
		"oauth_signature_method": {"HMAC-SHA1"}, "oauth_timestamp": {fmt.Sprint(at.Unix())},
	}
	all := url.Values{}
	for _, values := range []url.Values{params, form} {
		for k, v := range values {
			all[k] = v
		}
	}
	encoded := strings.ReplaceAll(all.Encode(), "+", "%20")
	base := method + "&" + oauth1.PercentEncode(w.URL()+path) + "&" + oauth1.PercentEncode(encoded)
	signature, err := (&oauth1.HMACSigner{ConsumerSecret: c.ConsumerSecret}).Sign(c.TokenSecret, base)
	if err != nil {
		w.t.Fatal(err)
	}
	params.Set("oauth_signature", signature)
	var parts []string
	for k := range params {
		parts = append(parts, fmt.Sprintf("%s=%q", k, oauth1.PercentEncode(params.Get(k))))
	}
	return `OAuth realm="x", ` + strings.Join(parts, ", ")
}

func TestOldSignaturesAreRefused(t *testing.T) {
	w := open(t, xtest.Options{})
	for age, status := range map[time.Duration]int{0: 200, 4 * time.Minute: 200, 6 * time.Minute: 401, -6 * time.Minute: 401} {
		req, _ := http.NewRequest("GET", w.URL()+"/2/users/me", nil)
		req.Header.Set("Authorization", header(w, "GET", "/2/users/me", time.Now().Add(-age), nil))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("signed %v ago: %d, want %d", age, resp.StatusCode, status)
		}
	}
}

func TestFormsAreSignedAndJSONIsNot(t *testing.T) {
	w := open(t, xtest.Options{Classic: true})
	form := url.Values{"status": {"50% off & more: ünïcode ~ ok"}}
	send := func(path, kind, body, auth string) int {
		req, _ := http.NewRequest("POST", w.URL()+path, strings.NewReader(body))
		req.Header.Set("Content-Type", kind)
		req.Header.Set("Authorization", auth)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	const formKind = "application/x-www-form-urlencoded"
	const update = "/1.1/statuses/update.json"
	if got := send(update, formKind, form.Encode(), header(w, "POST", update, time.Now(), form)); got != 200 {
		t.Errorf("signed form: %d", got)
	}
	if got := send(update, formKind, "status=other", header(w, "POST", update, time.Now().Add(time.Second), form)); got != 401 {
		t.Errorf("changed form: %d, want 401", got)
	}
	if got := send("/2/tweets", "application/json", `{"text":"hello"}`, header(w, "POST", "/2/tweets", time.Now(), nil)); got != 201 {
		t.Errorf("JSON: %d", got)
	}
}
