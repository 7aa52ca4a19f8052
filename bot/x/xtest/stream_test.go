package xtest_test

import (
	"strings"
	"testing"
	"time"

	"hashtill/bot/x/xtest"
)

func TestStreamNeedsRulesAndABearer(t *testing.T) {
	w := open(t, xtest.Options{})
	r := w.do(w.app(), "GET", streamPath, "")
	if r.status != 409 || r.get("title") != "ConnectionException" || r.get("connection_issue") != "RuleConfigurationIssue" || r.header.Get("x-rate-limit-limit") != "50" {
		t.Errorf("without rules: %d %s", r.status, r.raw)
	}
	w.rule("#lamp")
	if r := w.do(w.as(w.bot), "GET", streamPath, ""); r.status != 403 {
		t.Errorf("as a user: %d", r.status)
	}
	if r := w.do(w.app(), "GET", streamPath+"?backfill_minutes=5", ""); r.status != 403 {
		t.Errorf("backfill: %d", r.status)
	}
	l := w.listen(w.app(), "GET", streamPath)
	r = w.do(w.app(), "GET", streamPath, "")
	if r.status != 429 || r.raw != `{"connection_issue":"TooManyConnections","detail":"This stream is currently at the maximum allowed connection limit.","title":"ConnectionException","type":"https://api.twitter.com/2/problems/streaming-connection"}` {
		t.Errorf("second connection: %d %s", r.status, r.raw)
	}
	l.stop()
	if err := w.WaitNoStream(soon(t)); err != nil {
		t.Fatal(err)
	}
	w.listen(w.app(), "GET", streamPath)
}

func TestStreamMessages(t *testing.T) {
	w := open(t, xtest.Options{})
	w.rule("#lamp")
	l := w.listen(w.app(), "GET", streamPath+"?tweet.fields=author_id,created_at,conversation_id,entities,referenced_tweets,in_reply_to_user_id&expansions=author_id,referenced_tweets.id&user.fields=username")
	p := w.post(w.ann, "a #Lamp please", xtest.PostOptions{})
	w.post(w.bob, "nothing of interest", xtest.PostOptions{})
	rt := w.repost(w.bob, p.ID)
	edited, err := w.Edit(p.ID, "a green #Lamp please")
	if err != nil {
		t.Fatal(err)
	}
	m := l.message()
	for path, want := range map[string]any{
		"data.id": p.ID, "data.author_id": w.ann.ID, "data.text": "a #Lamp please", "data.conversation_id": p.ID,
		"data.entities.hashtags.0.tag": "Lamp", "data.entities.hashtags.0.start": 2.0, "data.entities.hashtags.0.end": 7.0,
		"data.referenced_tweets": nil, "data.in_reply_to_user_id": nil,
		"includes.users.0.username": "Ann", "includes.tweets": nil, "matching_rules.0.tag": "t",
	} {
		if got := dig(m, path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	m = l.message()
	for path, want := range map[string]any{
		"data.id": rt.ID, "data.author_id": w.bob.ID, "data.text": "RT @Ann: a #Lamp please",
		"data.referenced_tweets.0.type": "retweeted", "data.referenced_tweets.0.id": p.ID,
		"includes.tweets.0.id": p.ID, "includes.tweets.0.author_id": w.ann.ID, "includes.users.0.id": w.bob.ID, "includes.users.1": nil,
	} {
		if got := dig(m, path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	m = l.message()
	if dig(m, "data.id") != edited.ID || dig(m, "data.edit_history_tweet_ids.0") != p.ID || dig(m, "data.edit_history_tweet_ids.1") != edited.ID {
		t.Errorf("edited: %v", m)
	}
	w.Disconnect()
	if m := l.message(); dig(m, "errors.0.title") != "operational-disconnect" {
		t.Errorf("farewell: %v", m)
	}
	l.ended()
	if l.err != nil {
		t.Errorf("Disconnect does not end the stream in good order: %v", l.err)
	}
	bare := w.listen(w.app(), "GET", streamPath)
	w.repost(w.ann, edited.ID)
	if m := bare.message(); len(m["data"].(map[string]any)) != 3 || m["includes"] != nil {
		t.Errorf("without fields: %v", m)
	}
}

func TestHeartbeat(t *testing.T) {
	w := open(t, xtest.Options{Heartbeat: 5 * time.Millisecond})
	w.rule("#lamp")
	l := w.listen(w.app(), "GET", streamPath)
	for range 3 {
		select {
		case raw := <-l.lines:
			if raw != "" {
				t.Errorf("heartbeat %q", raw)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no heartbeat")
		}
	}
	w.Silence(true)
	lost := w.post(w.ann, "#lamp one", xtest.PostOptions{})
	w.Silence(false)
	heard := w.post(w.ann, "#lamp two", xtest.PostOptions{})
	if m := l.message(); dig(m, "data.id") != heard.ID {
		t.Errorf("heard %v; %s should be lost", m, lost.ID)
	}
}

func TestSilenceStopsHeartbeats(t *testing.T) {
	w := open(t, xtest.Options{Heartbeat: time.Millisecond})
	w.rule("#lamp")
	w.Silence(true)
	l := w.listen(w.app(), "GET", streamPath)
	select {
	case raw := <-l.lines:
		t.Errorf("in silence: %q", raw)
	case <-time.After(50 * time.Millisecond):
	}
	w.Silence(false)
	if raw := <-l.lines; raw != "" {
		t.Errorf("after silence: %q", raw)
	}
}

func TestTroubledDeliveries(t *testing.T) {
	w := open(t, xtest.Options{})
	w.rule("#lamp")
	l := w.listen(w.app(), "GET", streamPath)
	if err := w.WaitStream(soon(t)); err != nil {
		t.Fatal(err)
	}
	id := func() any { return dig(l.message(), "data.id") }

	w.Duplicate(true)
	p := w.post(w.ann, "#lamp twice", xtest.PostOptions{})
	if a, b := id(), id(); a != p.ID || b != p.ID {
		t.Errorf("delivered %v and %v", a, b)
	}
	w.Duplicate(false)

	w.Disorder(3)
	var sent []string
	for _, n := range []string{"1", "2", "3"} {
		sent = append(sent, w.post(w.ann, "#lamp "+n, xtest.PostOptions{}).ID)
	}
	for i := 2; i >= 0; i-- {
		if got := id(); got != sent[i] {
			t.Errorf("delivered %v, want %v", got, sent[i])
		}
	}

	w.Send(`{"data":`)
	if raw, _ := l.next(); raw != `{"data":` {
		t.Errorf("raw line %q", raw)
	}

	w.CutMidMessage()
	p = w.post(w.ann, "#lamp cut", xtest.PostOptions{})
	raw, _ := l.next()
	if !strings.HasPrefix(raw, `{"data":{"edit`) || strings.HasSuffix(raw, "}") {
		t.Errorf("cut message %q", raw)
	}
	l.ended()
	if l.err == nil {
		t.Error("the connection was not cut")
	}

	if err := w.WaitNoStream(soon(t)); err != nil {
		t.Fatal(err)
	}
	l = w.listen(w.app(), "GET", streamPath)
	w.Cut()
	l.ended()
	if l.err == nil {
		t.Error("the connection was not cut")
	}
	w.listen(w.app(), "GET", streamPath) // at once
}

func TestCloseEndsStreams(t *testing.T) {
	s, err := xtest.Start(xtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, Server: s}
	w.rule("#lamp")
	l := w.listen(w.app(), "GET", streamPath)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	l.ended()
}
