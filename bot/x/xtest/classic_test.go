package xtest_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	//lint:ignore SA1019 the owner's package, to which Classic must stay true
	"github.com/dghubble/go-twitter/twitter"
	"github.com/dghubble/oauth1"

	"hashtill/bot/x/xtest"
)

// elsewhere sends requests to another host and changes nothing else.
type elsewhere struct {
	base *url.URL
	next http.RoundTripper
}

func (e elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host = r.URL.Host // still names Twitter
	r.URL.Scheme, r.URL.Host = e.base.Scheme, e.base.Host
	return e.next.RoundTrip(r)
}

// goTwitter is go-twitter, redirected either before its requests are signed or
// after: a program may do either.
func (w *world) goTwitter(a xtest.Account, signFirst bool) *twitter.Client {
	base, err := url.Parse(w.URL())
	if err != nil {
		w.t.Fatal(err)
	}
	c := w.Credentials(a.ID)
	config, token := oauth1.NewConfig(c.ConsumerKey, c.ConsumerSecret), oauth1.NewToken(c.Token, c.TokenSecret)
	if signFirst {
		ctx := context.WithValue(context.Background(), oauth1.HTTPClient, &http.Client{Transport: elsewhere{base, http.DefaultTransport}})
		return twitter.NewClient(config.Client(ctx, token))
	}
	client := config.Client(context.Background(), token)
	client.Transport = before{base, client.Transport}
	return twitter.NewClient(client)
}

// before is elsewhere for requests that are still to be signed: the signature
// is then over the new host.
type before elsewhere

func (b before) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.Host = b.base.Scheme, b.base.Host, b.base.Host
	return b.next.RoundTrip(r)
}

func number(t *testing.T, id string) int64 {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestClassicIsClosed(t *testing.T) {
	w := open(t, xtest.Options{})
	client := w.goTwitter(w.bot, true)
	_, resp, err := client.Statuses.Update("hello", nil)
	if resp.StatusCode != 403 || err == nil || !strings.Contains(err.Error(), "453") {
		t.Errorf("update: %d %v", resp.StatusCode, err)
	}
	if r := w.do(w.as(w.bot), "POST", filterPath+"?track=lamp", ""); r.status != 410 {
		t.Errorf("filter: %d", r.status)
	}
}

func TestClassicServices(t *testing.T) {
	for _, signFirst := range []bool{true, false} {
		w := open(t, xtest.Options{Classic: true})
		client := w.goTwitter(w.bot, signFirst)
		user, _, err := client.Accounts.VerifyCredentials(nil)
		if err != nil || user.IDStr != w.bot.ID || user.ID != number(t, w.bot.ID) || user.ScreenName != "shopbot" {
			t.Fatalf("me: %+v, %v", user, err)
		}
		ask := w.post(w.ann, "@shopbot #BuyLamp", xtest.PostOptions{})
		tweet, _, err := client.Statuses.Update("@Ann your code: #plum7 & more", &twitter.StatusUpdateParams{InReplyToStatusID: number(t, ask.ID)})
		if err != nil || tweet.InReplyToStatusIDStr != ask.ID || tweet.InReplyToScreenName != "Ann" || tweet.Text != "@Ann your code: #plum7 &amp; more" ||
			tweet.Entities.Hashtags[0].Text != "plum7" || tweet.Entities.Hashtags[0].Indices != (twitter.Indices{16, 22}) {
			t.Fatalf("reply: %+v, %v", tweet, err)
		}
		if date, err := tweet.CreatedAtTime(); err != nil || time.Since(date).Abs() > time.Minute {
			t.Errorf("date: %v, %v", date, err)
		}
		if tweet, _, err = client.Statuses.Update("no name in it", &twitter.StatusUpdateParams{InReplyToStatusID: number(t, ask.ID)}); err != nil || tweet.InReplyToStatusID != 0 {
			t.Errorf("a reply without the name: %+v, %v", tweet, err)
		}
		if tweet, _, err = client.Statuses.Update("name left to X", &twitter.StatusUpdateParams{InReplyToStatusID: number(t, ask.ID), AutoPopulateReplyMetadata: twitter.Bool(true)}); err != nil || tweet.InReplyToStatusIDStr != ask.ID {
			t.Errorf("a reply with the name filled in: %+v, %v", tweet, err)
		}
		bare := w.post(w.bob, "#BuyLamp", xtest.PostOptions{})
		for text, code := range map[string]string{
			"@Ann your code: #plum7 & more": "187",
			strings.Repeat("a", 281):        "186",
			"":                              "170",
		} {
			if _, resp, err := client.Statuses.Update(text, nil); err == nil || resp.StatusCode != 403 || !strings.Contains(err.Error(), code) {
				t.Errorf("%.20q: %v, want %s", text, err, code)
			}
		}
		if _, _, err := client.Statuses.Update("@bob_9 hello", &twitter.StatusUpdateParams{InReplyToStatusID: number(t, bare.ID)}); err == nil || !strings.Contains(err.Error(), "433") {
			t.Errorf("unasked reply: %v", err)
		}
		mentions, _, err := client.Timelines.MentionTimeline(nil)
		if err != nil || len(mentions) != 1 || mentions[0].IDStr != ask.ID || mentions[0].User.IDStr != w.ann.ID {
			t.Errorf("mentions: %+v, %v", mentions, err)
		}
		own, _, err := client.Timelines.UserTimeline(&twitter.UserTimelineParams{Count: 2})
		if err != nil || len(own) != 2 || own[0].Text != "@Ann name left to X" {
			t.Errorf("own timeline: %+v, %v", own, err)
		}
		if _, resp, err := client.Statuses.Show(42, nil); err == nil || resp.StatusCode != 404 || !strings.Contains(err.Error(), "144") {
			t.Errorf("show: %v", err)
		}
		long := w.post(w.ann, strings.Repeat("word ", 40)+"#end", xtest.PostOptions{})
		short, _, err := client.Statuses.Show(number(t, long.ID), nil)
		if err != nil || !short.Truncated || len([]rune(short.Text)) != 140 || len(short.Entities.Hashtags) != 0 {
			t.Errorf("long: %+v, %v", short, err)
		}
		full, _, err := client.Statuses.Show(number(t, long.ID), &twitter.StatusShowParams{TweetMode: "extended"})
		if err != nil || full.FullText != long.Text || full.Text != "" || full.Entities.Hashtags[0].Text != "end" {
			t.Errorf("extended: %+v, %v", full, err)
		}
	}
}

func TestClassicStream(t *testing.T) {
	w := open(t, xtest.Options{Classic: true})
	client := w.goTwitter(w.bot, true)
	stream, err := client.Streams.Filter(&twitter.StreamFilterParams{Track: []string{"#lamp", "@shopbot buy"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.WaitStream(soon(t)); err != nil {
		t.Fatal(err)
	}
	var heard []*twitter.Tweet
	var notices []int64
	demux := twitter.NewSwitchDemux()
	demux.Tweet = func(tweet *twitter.Tweet) { heard = append(heard, tweet) }
	demux.StreamDisconnect = func(d *twitter.StreamDisconnect) { notices = append(notices, d.Code) }

	p := w.post(w.ann, "a #Lamp please", xtest.PostOptions{})
	w.post(w.ann, "lamp without the sign", xtest.PostOptions{})
	w.post(w.pat, "hidden #lamp", xtest.PostOptions{})
	w.repost(w.bob, p.ID)
	w.post(w.bob, "look", xtest.PostOptions{Quote: p.ID})
	w.post(w.bob, "will @shopbot let me buy?", xtest.PostOptions{})
	long := w.post(w.bob, strings.Repeat("word ", 40)+"#lamp", xtest.PostOptions{})
	for range 5 {
		select {
		case m := <-stream.Messages:
			demux.Handle(m)
		case <-time.After(10 * time.Second):
			t.Fatal("no message")
		}
	}
	if len(heard) != 5 {
		t.Fatalf("heard %d", len(heard))
	}
	if heard[0].IDStr != p.ID || heard[0].User.ScreenName != "Ann" || heard[0].Entities.Hashtags[0].Text != "Lamp" {
		t.Errorf("post: %+v", heard[0])
	}
	if heard[1].RetweetedStatus == nil || heard[1].RetweetedStatus.IDStr != p.ID || heard[1].Text != "RT @Ann: a #Lamp please" {
		t.Errorf("repost: %+v", heard[1])
	}
	if heard[2].QuotedStatus == nil || heard[2].QuotedStatus.IDStr != p.ID || heard[2].QuotedStatusIDStr != p.ID {
		t.Errorf("quote: %+v", heard[2])
	}
	if names := heard[3].Entities.UserMentions; len(names) != 1 || names[0].IDStr != w.bot.ID {
		t.Errorf("mention: %+v", heard[3])
	}
	if e := heard[4].ExtendedTweet; e == nil || e.FullText != long.Text || e.Entities.Hashtags[0].Text != "lamp" || !heard[4].Truncated {
		t.Errorf("long: %+v", heard[4])
	}

	// go-twitter gives up on a 404, and closes Messages. Its Stop would race
	// with its own reconnecting.
	w.Fail(xtest.Fault{Path: filterPath, Status: 404, Times: -1})
	w.Disconnect()
	for m := range stream.Messages {
		demux.Handle(m)
	}
	if !slices.Equal(notices, []int64{1}) {
		t.Errorf("notices: %v", notices)
	}
}

const filterPath = "/1.1/statuses/filter.json"

func TestClassicStreamIsOnePerAccount(t *testing.T) {
	w := open(t, xtest.Options{Classic: true})
	first := w.listen(w.as(w.bot), "POST", filterPath+"?track=lamp")
	other := w.listen(w.as(w.ann), "POST", filterPath+"?track=lamp")
	second := w.listen(w.as(w.bot), "POST", filterPath+"?track=lamp")
	if m := first.message(); dig(m, "disconnect.code") != 7.0 {
		t.Errorf("farewell: %v", m)
	}
	first.ended()
	p := w.post(w.bob, "lamp", xtest.PostOptions{})
	for _, l := range []*listener{other, second} {
		if m := l.message(); dig(m, "id_str") != p.ID {
			t.Errorf("heard %v", m)
		}
	}
	if r := w.do(w.as(w.bot), "POST", filterPath, ""); r.status != 406 {
		t.Errorf("no track: %d", r.status)
	}
}
