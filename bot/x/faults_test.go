package x_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"hashtill/bot/x"
	"hashtill/bot/x/xtest"
	"hashtill/offers"
)

// hearingSources are all ways of hearing, each with what its faults strike.
var hearingSources = []source{
	{name: "stream", hear: x.HearStream, path: "/2/tweets/search/stream", streams: true},
	{name: "activity", hear: x.HearActivity, path: "/2/activity/", streams: true},
	{name: "webhook", hear: x.HearWebhook, path: "/2/users/"},
	{name: "poll", hear: x.HearPoll, path: "/2/users/"},
	{name: "classic", path: "/1.1/statuses/filter.json", streams: true, classic: true},
}

type source struct {
	name    string
	hear    x.Source
	path    string // of what hearing asks for
	streams bool
	classic bool // nobody can be asked who has reposted or quoted a post
}

// hearingFaults begin what their name says, and return what ends it.
var hearingFaults = []struct {
	name  string
	skew  time.Duration // of our clock
	edits bool          // all wishes are edited
	plain bool          // X takes no rules about links
	begin func(*fair) (end func())
}{
	{name: "none", begin: func(*fair) func() { return func() {} }},
	{name: "disconnects", begin: func(f *fair) func() {
		f.each = f.x.Cut
		f.wire.set(func(r *http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })
		return f.heal
	}},
	{name: "disconnects mid-message", begin: func(f *fair) func() {
		f.each = f.x.CutMidMessage
		f.wire.set(func(r *http.Request) (*http.Response, error) {
			return f.edit(r, func(b []byte) []byte { return b[:len(b)/2] })
		})
		f.hook.set(func(r *http.Request) (*http.Response, error) {
			r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, 100), broken{}))
			return f.deliver(r)
		})
		return f.heal
	}},
	{name: "silence", begin: func(f *fair) func() {
		f.x.Silence(true)
		f.wire.set(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, context.Cause(r.Context())
		})
		return f.heal
	}},
	{name: "no rules", begin: func(f *fair) func() { f.withoutRules(); return f.heal }},
	{name: "no rules about links", plain: true, begin: func(*fair) func() { return func() {} }},
	{name: "409", begin: status(409)},
	{name: "429", begin: status(429)},
	{name: "503", begin: status(503)},
	{name: "503 for everything", begin: func(f *fair) func() {
		f.x.Fail(xtest.Fault{Times: -1, Status: 503})
		f.x.Disconnect()
		return f.heal
	}},
	{name: "duplicates", begin: func(f *fair) func() {
		f.x.Duplicate(true)
		f.wire.set(func(r *http.Request) (*http.Response, error) {
			return f.page(r, func(posts []json.RawMessage) []json.RawMessage { return slices.Concat(posts, posts) })
		})
		f.hook.set(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			again := r.Clone(r.Context())
			r.Body, again.Body = io.NopCloser(bytes.NewReader(body)), io.NopCloser(bytes.NewReader(body))
			f.deliver(again)
			return f.deliver(r)
		})
		return f.heal
	}},
	{name: "disorder", begin: func(f *fair) func() {
		n := 0
		f.each = func() {
			if n++; n%2 == 1 {
				f.x.Disorder(2)
			}
		}
		f.showLate(2)
		var held []*http.Request
		f.hook.set(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			late := r.Clone(context.Background())
			late.Body = io.NopCloser(bytes.NewReader(body))
			if held = append(held, late); len(held) == 3 {
				for _, r := range slices.Backward(held) {
					f.deliver(r)
				}
				held = nil
			}
			return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
		})
		return func() { f.heal(); f.x.Disconnect() } // with what is held back
	}},
	{name: "disconnects, and posts shown late", begin: func(f *fair) func() {
		f.each = f.x.Cut
		f.showLate(1)
		f.hook.set(func(r *http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })
		return f.heal
	}},
	{name: "edits", edits: true, begin: func(*fair) func() { return func() {} }},
	{name: "edits, and events that do not tell of them", edits: true, begin: func(f *fair) func() { f.x.Sparse(true); return func() {} }},
	{name: "a clock ahead", skew: 4 * time.Minute, begin: func(f *fair) func() {
		f.showLate(2)
		f.x.Disconnect()
		return f.heal
	}},
	{name: "a clock behind", skew: -4 * time.Minute, begin: func(f *fair) func() {
		f.showLate(2)
		f.x.Disconnect()
		return f.heal
	}},
	{name: "events that do not tell of what, and no look-ups", begin: func(f *fair) func() {
		f.x.Sparse(true)
		f.x.Fail(xtest.Fault{Method: http.MethodGet, Path: "/2/tweets", Times: -1, Status: 503})
		return func() { f.heal(); f.x.Sparse(false) }
	}},
	{name: "lost answers", begin: func(f *fair) func() {
		for _, path := range []string{"/2/tweets", "/1.1/statuses/update.json"} {
			f.x.Fail(xtest.Fault{Method: http.MethodPost, Path: path, When: xtest.After, Drop: true, Times: 3})
		}
		return f.heal
	}},
}

// status is the fault that what hearing asks for is refused.
func status(code int) func(*fair) func() {
	return func(f *fair) func() {
		f.x.Fail(xtest.Fault{Path: f.path, Times: -1, Status: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"title":"no","errors":[{"message":"no"}]}`})
		f.x.Disconnect()
		return f.heal
	}
}

// wishes are the ways to wish, and echoes those to repeat a code. Where nobody can be asked
// who has reposted a post, people whose repost was not heard say the code.
var wishes = []func(f *fair, account string) string{
	func(f *fair, by string) string { return f.post(by, "@HatShop #BuyTee", xtest.PostOptions{}) },
	func(f *fair, by string) string {
		return f.post(by, "@HatShop #buytee this one", xtest.PostOptions{Quote: f.offer})
	},
	func(f *fair, by string) string {
		return f.post(by, "#BuyTee for me", xtest.PostOptions{ReplyTo: f.offer})
	},
	func(f *fair, by string) string {
		if f.classic {
			return f.post(by, "@HatShop may I have a #BuyTee", xtest.PostOptions{})
		}
		return f.post(by, "#BuyTee", xtest.PostOptions{Quote: f.offer})
	},
}

var echoes = []func(f *fair, account string, p offers.Purchase){
	func(f *fair, by string, p offers.Purchase) {
		f.repost(by, p.Reply)
		if f.classic {
			f.post(by, "@HatShop "+p.Code.Hashtag(), xtest.PostOptions{})
		}
	},
	func(f *fair, by string, p offers.Purchase) {
		text := "yes"
		if f.classic {
			text = "@HatShop yes"
		}
		f.post(by, text, xtest.PostOptions{Quote: p.Reply})
	},
	func(f *fair, by string, p offers.Purchase) {
		f.post(by, "yes please", xtest.PostOptions{ReplyTo: p.Reply})
	},
	func(f *fair, by string, p offers.Purchase) {
		f.post(by, "@HatShop "+p.Code.Hashtag(), xtest.PostOptions{})
	},
}

// Whatever X does, and however the bot hears: of each wish comes one purchase and one
// reply, and whoever repeats the code can pay, once; nobody else can.
func TestHearingUnderFaults(t *testing.T) {
	for _, from := range hearingSources {
		for _, fault := range hearingFaults {
			t.Run(from.name+"/"+fault.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFair(t, from, fault.skew, fault.plain)
					f.play(fault.begin, fault.edits)
				})
			})
		}
	}
}

func (f *fair) play(begin func(*fair) func(), edits bool) {
	f.until("hearing", func() bool { return f.net.Status().Connected })
	_, err := f.shop.Announce(f.Context(), "buytee", "x", "en", false, f.now())
	f.must(err)
	f.until("the announcement", func() bool { return len(f.x.Timeline()) > 0 })
	f.offer = f.x.Timeline()[0].ID

	var buyers []string
	thief := f.person("thief")
	wish := func(way int) {
		by := f.person(fmt.Sprintf("buyer%d", len(buyers)))
		f.posts[by] = wishes[way](f, by)
		buyers = append(buyers, by)
		if edits {
			_, err := f.x.Edit(f.posts[by], "@HatShop #BuyTee please")
			f.must(err)
		}
	}
	wish(0)
	end := begin(f)
	for way := range wishes {
		wish(way)
	}
	f.repost(thief, f.offer)
	f.repost(thief, f.posts[buyers[1]])
	f.post(thief, "#BuyTee, look", xtest.PostOptions{Quote: f.posts[buyers[2]]})
	time.Sleep(time.Minute)
	end()
	wish(0)
	f.until("all codes", func() bool {
		for _, by := range buyers {
			if all := f.purchases(by); len(all) == 0 || all[0].State != offers.Coded {
				return false
			}
		}
		return true
	})
	f.until("hearing again", func() bool { return f.net.Status().Connected })

	codes := map[string]offers.Purchase{}
	for _, by := range buyers {
		codes[by] = f.purchases(by)[0]
		f.repost(thief, codes[by].Reply)
		f.post(thief, "mine "+by, xtest.PostOptions{Quote: codes[by].Reply})
		f.post(thief, "@HatShop "+codes[by].Code.Hashtag(), xtest.PostOptions{})
	}
	echo := func(i, way int) {
		f.mu.Lock()
		f.echoed[buyers[i]] = true
		f.mu.Unlock()
		echoes[way](f, buyers[i], codes[buyers[i]])
	}
	end = begin(f)
	for way := range echoes {
		echo(way, way)
	}
	echo(0, 3) // once more, in another way
	time.Sleep(time.Minute)
	end()
	echo(len(echoes), 0)
	last := buyers[len(buyers)-1] // never says it
	f.until("all links", func() bool {
		return !slices.ContainsFunc(buyers, func(by string) bool { return by != last && f.purchases(by)[0].State != offers.Mailed })
	})
	time.Sleep(20 * time.Minute)

	replies := map[string]int{}
	for _, p := range f.x.Timeline() {
		if p.AuthorID == f.account.ID {
			replies[p.ReplyTo]++
		}
	}
	for post, n := range replies {
		if n != 1 {
			f.Errorf("post %q was answered %d times", post, n)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, by := range buyers {
		all := f.purchases(by)
		want, links := offers.Mailed, 1
		if by == last {
			want, links = offers.Coded, 0
		}
		wished := 1
		if edits && f.classic { // which does not tell that a post is a version of another
			wished = 2
		}
		if len(all) != wished || all[0].State != want || f.mailed[all[0].ID] != links {
			f.Errorf("%s has %d purchases, the last is %s, with %d links", by, len(all), all[0].State, f.mailed[all[0].ID])
		}
		if all[0].Reply == "" {
			f.Errorf("wish %s was not answered in public", f.posts[by])
		}
	}
	if got := f.purchases(thief); len(got) > 0 {
		f.Errorf("another's wish was heard as one's own: %+v", got)
	}
}
