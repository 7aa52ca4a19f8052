package xtest_test

import (
	"net/http"
	"testing"
	"time"

	"hashtill/bot/x/xtest"
)

func TestFaults(t *testing.T) {
	posts := func(w *world) int { return len(w.Timeline()) }
	post := func(w *world) (reply, error) { return w.try(w.as(w.bot), "POST", "/2/tweets", `{"text":"hello"}`) }

	for _, c := range []struct {
		name   string
		fault  xtest.Fault
		status int // of the first try; 0 is a cut connection
		done   int // posts after the first try
		again  int // status of the second try
	}{
		{"before", xtest.Fault{Status: 503, Body: "busy", Header: http.Header{"Retry-After": {"7"}}}, 503, 0, 201},
		{"after", xtest.Fault{When: xtest.After, Status: 503, Body: "busy", Header: http.Header{"Retry-After": {"7"}}}, 503, 1, 403},
		{"drop before", xtest.Fault{Drop: true}, 0, 0, 201},
		{"drop after", xtest.Fault{When: xtest.After, Drop: true}, 0, 1, 403},
		{"slow", xtest.Fault{Delay: time.Millisecond}, 201, 1, 403},
		{"other method", xtest.Fault{Method: "GET", Status: 503}, 201, 1, 403},
		{"other path", xtest.Fault{Path: "/2/users", Status: 503}, 201, 1, 403},
		{"twice", xtest.Fault{Method: "POST", Path: "/2/tweets", Times: 2, Status: 500}, 500, 0, 500},
	} {
		w := open(t, xtest.Options{})
		w.Fail(c.fault)
		r, err := post(w)
		if r.status != c.status || (err != nil) != (c.status == 0) || posts(w) != c.done {
			t.Errorf("%s: %d %v, %d posts", c.name, r.status, err, posts(w))
		}
		if r.status == 503 && (r.raw != "busy" || r.header.Get("Retry-After") != "7") {
			t.Errorf("%s: %q %v", c.name, r.raw, r.header)
		}
		if r, err = post(w); r.status != c.again || err != nil {
			t.Errorf("%s, again: %d %v", c.name, r.status, err)
		}
	}

	w := open(t, xtest.Options{})
	w.Fail(xtest.Fault{Times: -1, Status: 500})
	for range 3 {
		if r, _ := post(w); r.status != 500 {
			t.Errorf("for good: %d", r.status)
		}
	}
	w.Heal()
	if r, _ := post(w); r.status != 201 {
		t.Errorf("healed: %d", r.status)
	}
	w.rule("#lamp")
	w.Fail(xtest.Fault{Path: streamPath, Status: 503})
	if r := w.do(w.app(), "GET", streamPath, ""); r.status != 503 {
		t.Errorf("stream: %d", r.status)
	}
}

// TestOnDeed holds that the hook runs between the deed and its answer.
func TestOnDeed(t *testing.T) {
	w := open(t, xtest.Options{})
	var deeds []xtest.Deed
	answered := make(chan struct{})
	w.OnDeed(func(d xtest.Deed) {
		deeds = append(deeds, d)
		if d.Name != "POST /2/tweets" {
			return
		}
		if _, ok := w.Find(d.Post.ID); !ok {
			t.Error("not done yet")
		}
		select {
		case <-answered:
			t.Error("answered already")
		default:
		}
	})
	id := w.botPosts("hello", "").get("data.id").(string)
	close(answered)
	w.do(w.as(w.bot), "DELETE", "/2/tweets/"+id, "")
	w.rule("#lamp")
	w.post(w.ann, "people are not told of", xtest.PostOptions{})
	w.botPosts("", "") // nothing done
	if len(deeds) != 3 || deeds[0].Post.Text != "hello" || deeds[1].Name != "DELETE /2/tweets/{id}" || deeds[1].Post.ID != id ||
		deeds[2].Name != "POST /2/tweets/search/stream/rules" {
		t.Errorf("%+v", deeds)
	}
	w.OnDeed(nil)
	w.botPosts("unseen", "")
	if len(deeds) != 3 {
		t.Errorf("%+v", deeds[3:])
	}
}
