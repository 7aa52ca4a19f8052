package confirm

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

// from sends a form from a network address.
func (w *world) from(addr, path, form string, cookies ...*http.Cookie) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, publicURL+path, strings.NewReader(form))
	r.RemoteAddr = addr
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, c := range cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec
}

// wantWait wants a page that says how long to wait.
func wantWait(t *testing.T, what string, rec *httptest.ResponseRecorder) {
	t.Helper()
	after, err := strconv.Atoi(rec.Header().Get("Retry-After"))
	if err != nil || after < 1 || after > 60 || rec.Code != http.StatusTooManyRequests || !strings.Contains(rec.Body.String(), fmt.Sprintf("wait %d second", after)) {
		t.Errorf("%s: %d, Retry-After %q:\n%s", what, rec.Code, rec.Header().Get("Retry-After"), rec.Body)
	}
}

// Each kind of try has its limits, by network address and by account; who waits goes on.
func TestLimits(t *testing.T) {
	tight := Turnstile{Every: 10 * time.Second, Burst: 2}
	loose := Turnstile{Every: time.Millisecond, Burst: 1000}
	for _, by := range []string{"network", "account"} {
		t.Run(by, func(t *testing.T) {
			j := newJoining(t, "en")
			j.stocks(nil)
			p := j.registers(j.phone)
			_, token := j.mailed()
			for _, try := range []struct {
				what string
				gate *gate
				send func(addr string) *httptest.ResponseRecorder
			}{
				{"sign in", &j.limits.signIn, func(addr string) *httptest.ResponseRecorder { return j.from(addr, "/join/sign-in", "") }},
				{"sign in to buy", &j.limits.signIn, func(addr string) *httptest.ResponseRecorder { return j.from(addr, "/o/BuyMug/join", "") }},
				{"code", &j.limits.code, func(addr string) *httptest.ResponseRecorder {
					return j.from(addr, "/join/code", "code=000000", p.cookie)
				}},
				{"press", &j.limits.press, func(addr string) *httptest.ResponseRecorder { return j.from(addr, "/c/"+token, "card=pm_of_eve") }},
				{"buy", &j.limits.buy, func(addr string) *httptest.ResponseRecorder {
					nonce := p.get("/o/BuyMug").nonce()
					return j.from(addr, "/o/BuyMug/buy", "variant=red&nonce="+nonce, p.cookie)
				}},
			} {
				if by == "account" && try.gate == &j.limits.signIn {
					continue // nobody knows yet whose it is
				}
				set := func(t *Turnstile, like *Turnstile) {
					t.Every, t.Burst, t.seen, t.older = like.Every, like.Burst, nil, nil
				}
				set(&try.gate.network, &loose)
				set(&try.gate.account, &loose)
				if by == "network" {
					set(&try.gate.network, &tight)
				} else {
					set(&try.gate.account, &tight)
				}
				for i := range 2 {
					if rec := try.send("203.0.113.7:1000"); rec.Code == http.StatusTooManyRequests {
						t.Errorf("%s: try %d is one too many", try.what, i+1)
					}
				}
				before := j.everything()
				wantWait(t, try.what, try.send("203.0.113.7:2000"))
				if j.everything() != before {
					t.Errorf("%s: what is one too many changes something", try.what)
				}
				if other := try.send("203.0.113.8:1000").Code; (other == http.StatusTooManyRequests) != (by == "account") {
					t.Errorf("%s: from another address %d", try.what, other)
				}
				j.now = j.now.Add(10 * time.Second)
				if rec := try.send("203.0.113.7:3000"); rec.Code == http.StatusTooManyRequests {
					t.Errorf("%s: is not let through after the wait", try.what)
				}
			}
		})
	}
}

// The address is the one that a proxy of ours has seen; what anybody can write counts for
// nothing. What is not public is a proxy that we do not know, and is not counted.
func TestOrigin(t *testing.T) {
	w := newWorld(t)
	ours := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("198.51.100.7/32")}
	for _, c := range []struct {
		proxies   []netip.Prefix
		peer      string
		forwarded []string
		want      string
	}{
		{nil, "203.0.113.7:1", nil, "203.0.113.7"},
		{nil, "203.0.113.7:1", []string{"192.0.2.1"}, "203.0.113.7"},
		{ours, "203.0.113.7:1", []string{"192.0.2.1"}, "203.0.113.7"},
		{ours, "10.1.2.3:1", []string{"192.0.2.1"}, "192.0.2.1"},
		{ours, "10.1.2.3:1", []string{"192.0.2.99, 192.0.2.1"}, "192.0.2.1"},
		{ours, "10.1.2.3:1", []string{"192.0.2.99", "192.0.2.1"}, "192.0.2.1"},
		{ours, "10.1.2.3:1", []string{"192.0.2.1, 198.51.100.7"}, "192.0.2.1"},
		{ours, "[::ffff:10.1.2.3]:1", []string{"192.0.2.1"}, "192.0.2.1"},
		{ours, "10.1.2.3:1", []string{"2001:db8:1:2:3:4:5:6"}, "2001:db8:1:2::/64"},
		{ours, "10.1.2.3:1", []string{"not an address"}, ""},
		{ours, "10.1.2.3:1", nil, ""},
		{nil, "[2001:db8:1:2:3::1]:1", nil, "2001:db8:1:2::/64"},
		{nil, "127.0.0.1:1", []string{"192.0.2.1"}, ""},
		{nil, "192.168.1.1:1", nil, ""},
		{nil, "@", nil, ""},
	} {
		w.Proxies = c.proxies
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr, r.Header["X-Forwarded-For"] = c.peer, c.forwarded
		if got, public := Origin(r, w.Proxies); got != c.want || public != (c.want != "") {
			t.Errorf("%s forwarded for %q: %q, %v, want %q", c.peer, c.forwarded, got, public, c.want)
		}
	}
}

// A Turnstile remembers so many and no more, and those who were just there for certain.
func TestTurnstileIsBounded(t *testing.T) {
	s := Turnstile{Every: time.Hour, Burst: 1}
	for i := range 3 * maxSeen {
		if wait := s.Pass(fmt.Sprint(i), t0); wait > 0 {
			t.Fatalf("%d waits %s", i, wait)
		}
		if i%1000 == 0 && s.Pass(fmt.Sprint(i), t0) != time.Hour {
			t.Fatalf("%d comes through twice", i)
		}
	}
	if n := len(s.seen) + len(s.older); n > 2*maxSeen {
		t.Errorf("%d are remembered", n)
	}
	s = Turnstile{Every: time.Hour, Burst: 1}
	s.Pass("before", t0)
	for i := range maxSeen {
		s.Pass(fmt.Sprint(i), t0)
	}
	if s.Pass("before", t0) == 0 {
		t.Error("who was just there is forgotten")
	}
	var zero Turnstile
	if zero.Pass("a", t0) > 0 {
		t.Error("the zero Turnstile is shut")
	}
}

// When more have come than are remembered, nobody new is refused, and who has just been
// there is still known.
func TestTurnstileFull(t *testing.T) {
	g := Turnstile{Every: time.Hour, Burst: 1}
	for n := range maxSeen + 5 {
		if g.Pass(fmt.Sprint(n), t0) > 0 {
			t.Fatalf("%d is refused", n)
		}
	}
	if g.Pass(fmt.Sprint(maxSeen-1), t0) == 0 {
		t.Error("who has just been there is forgotten")
	}
}
