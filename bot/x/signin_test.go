package x_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hashtill/bot/x"
	"hashtill/bot/x/xtest"
)

const back = "https://shop.test/join/x?from=hashtill"

// signer is what both ways of signing in have.
type signer interface {
	Begin(ctx context.Context, back string) (to, keep string, err error)
	Finish(ctx context.Context, back, keep string, query url.Values) (x.Person, error)
}

// door is a stand-in at which people sign in to an app.
type door struct {
	*xtest.Server
	t     *testing.T
	shape string
	app   signer
	cfg   x.SignInConfig
	ann   xtest.Account
	clock *atomic.Int64 // nanoseconds added to the time of both
	log   *bytes.Buffer // of the adapter, one line after the other
}

// doors plays f with every shape of signing in.
func doors(t *testing.T, f func(t *testing.T, d *door)) {
	for _, shape := range []string{"confidential", "public", "classic", "classic, v1.1 open"} {
		t.Run(shape, func(t *testing.T) { f(t, openDoor(t, shape)) })
	}
}

func openDoor(t *testing.T, shape string) *door {
	t.Helper()
	clock := new(atomic.Int64)
	now := func() time.Time { return time.Now().Add(time.Duration(clock.Load())) }
	s, shop, cfg := start(t, xtest.Options{Classic: shape == "classic, v1.1 open", Now: now})
	ann, err := s.AddAccount(xtest.Account{Handle: "Ann_9", Email: "ann@buyers.test"})
	if err != nil {
		t.Fatal(err)
	}
	d := &door{Server: s, t: t, shape: shape, ann: ann, clock: clock, log: new(bytes.Buffer)}
	d.cfg = x.SignInConfig{APIURL: s.URL(), HTTP: cfg.HTTP, Now: now, Log: slog.New(slog.NewTextHandler(d.log, nil))}
	if d.oauth2() {
		d.cfg.AuthorizeURL = s.URL() + "/i/oauth2/authorize"
		d.cfg.ClientID = "client:1"
		if shape == "confidential" {
			d.cfg.ClientSecret = "s3cr3t+/%"
		}
		d.app, err = x.NewSignIn(d.cfg)
	} else {
		d.cfg.ConsumerKey, d.cfg.ConsumerSecret = s.Credentials(shop.ID).ConsumerKey, s.Credentials(shop.ID).ConsumerSecret
		d.app, err = x.NewClassicSignIn(d.cfg)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.RegisterApp("client:1", d.cfg.ClientSecret, back, "https://shop.test/other")
	return d
}

func (d *door) oauth2() bool { return d.shape == "confidential" || d.shape == "public" }

func (d *door) begin() (to, keep string) {
	d.t.Helper()
	to, keep, err := d.app.Begin(d.t.Context(), back)
	if err != nil {
		d.t.Fatal(err)
	}
	return to, keep
}

var asking = regexp.MustCompile(`name="asking" value="([^"]+)"`)

// answer presses a button of the page to, and returns the query that comes back.
func (d *door) answer(to, account, decision string) url.Values {
	d.t.Helper()
	client := &http.Client{Transport: d.cfg.HTTP.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(to)
	if err != nil {
		d.t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	found := asking.FindSubmatch(page)
	if err != nil || resp.StatusCode != 200 || found == nil {
		d.t.Fatalf("%d %s %v", resp.StatusCode, page, err)
	}
	resp, err = client.PostForm(to, url.Values{"asking": {string(found[1])}, "account": {account}, "decision": {decision}})
	if err != nil {
		d.t.Fatal(err)
	}
	resp.Body.Close()
	location := resp.Header.Get("Location")
	if !strings.HasPrefix(location, back+"&") {
		d.t.Fatalf("%d, sent to %q", resp.StatusCode, location)
	}
	u, err := url.Parse(location)
	if err != nil {
		d.t.Fatal(err)
	}
	return u.Query()
}

// finish holds that no error and no line of the log tells what is nobody's concern.
func (d *door) finish(back, keep string, query url.Values) (x.Person, error) {
	d.t.Helper()
	p, err := d.app.Finish(d.t.Context(), back, keep, query)
	told := d.log.String()
	if err != nil {
		told += err.Error()
	}
	secrets := []string{"ann@buyers.test", d.ann.Handle, d.cfg.ClientSecret, d.cfg.ConsumerSecret}
	for _, name := range []string{"code", "state", "oauth_token", "oauth_verifier"} {
		secrets = append(secrets, query.Get(name))
	}
	var kept map[string]any
	if json.Unmarshal([]byte(keep), &kept) == nil {
		for _, name := range []string{"public", "secret"} {
			s, _ := kept[name].(string)
			secrets = append(secrets, s)
		}
	}
	for _, secret := range secrets {
		if len(secret) > 4 && strings.Contains(told, secret) {
			d.t.Errorf("%q is told: %s", secret, told)
		}
	}
	return p, err
}

func (d *door) nobody(err error) {
	d.t.Helper()
	if !errors.As(err, new(*x.NobodyError)) {
		d.t.Errorf("%v, want a NobodyError", err)
	}
}

func TestSignIn(t *testing.T) {
	doors(t, func(t *testing.T, d *door) {
		bob, err := d.AddAccount(xtest.Account{Handle: "bob"})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []x.Person{{ID: d.ann.ID, Handle: "Ann_9", Email: "ann@buyers.test"}, {ID: bob.ID, Handle: "bob"}} {
			to, keep := d.begin()
			got, err := d.finish(back, keep, d.answer(to, want.ID, "allow"))
			if err != nil || got != want {
				t.Errorf("%+v %v, want %+v", got, err, want)
			}
		}
		if n := d.LiveTokens(); n != 0 {
			t.Errorf("%d tokens are left", n)
		}
		if d.log.Len() > 0 {
			t.Errorf("log: %s", d.log)
		}
	})
}

// TestSignInAsksForLittle holds what is asked for: to read, once.
func TestSignInAsksForLittle(t *testing.T) {
	d := openDoor(t, "confidential")
	to, keep := d.begin()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	var kept struct{ Public, Secret string }
	if err := json.Unmarshal([]byte(keep), &kept); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(kept.Secret))
	for name, want := range map[string]string{
		"response_type": "code", "client_id": "client:1", "redirect_uri": back, "scope": "users.read tweet.read users.email",
		"state": kept.Public, "code_challenge_method": "S256", "code_challenge": base64.RawURLEncoding.EncodeToString(sum[:]),
	} {
		if q.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	if len(q) != 7 || strings.Contains(to, kept.Secret) || strings.Contains(to, "+") {
		t.Errorf("%s", to)
	}
	again, _ := d.begin()
	if again == to {
		t.Error("two people share a state")
	}

	// The page of OAuth 1.0a says what the request token is good for.
	d = openDoor(t, "classic")
	to, _ = d.begin()
	resp, err := d.cfg.HTTP.Get(to)
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || bytes.Contains(page, []byte("Post for you")) || !bytes.Contains(page, []byte("e-mail address")) {
		t.Errorf("%s %v", page, err)
	}
}

// TestSignInNobody holds every answer that proves nothing to a NobodyError.
func TestSignInNobody(t *testing.T) {
	const day = 24 * time.Hour
	key := func(d *door) string { // what binds the answer to the browser
		if d.oauth2() {
			return "state"
		}
		return "oauth_token"
	}
	code := func(d *door) string {
		if d.oauth2() {
			return "code"
		}
		return "oauth_verifier"
	}
	cases := map[string]func(d *door, keep *string, q url.Values) url.Values{
		"another's state":    func(d *door, _ *string, q url.Values) url.Values { q.Set(key(d), "x"+q.Get(key(d))[1:]); return q },
		"longer state":       func(d *door, _ *string, q url.Values) url.Values { q.Set(key(d), q.Get(key(d))+"x"); return q },
		"no state":           func(d *door, _ *string, q url.Values) url.Values { q.Del(key(d)); return q },
		"empty state":        func(d *door, _ *string, q url.Values) url.Values { q.Set(key(d), ""); return q },
		"state twice":        func(d *door, _ *string, q url.Values) url.Values { q.Add(key(d), q.Get(key(d))); return q },
		"code twice":         func(d *door, _ *string, q url.Values) url.Values { q.Add(code(d), q.Get(code(d))); return q },
		"no code":            func(d *door, _ *string, q url.Values) url.Values { q.Del(code(d)); return q },
		"wrong code":         func(d *door, _ *string, q url.Values) url.Values { q.Set(code(d), "abc"); return q },
		"overlong code":      func(d *door, _ *string, q url.Values) url.Values { q.Set(code(d), strings.Repeat("x", 1001)); return q },
		"overlong other":     func(d *door, _ *string, q url.Values) url.Values { q.Set("z", strings.Repeat("x", 5<<20)); return q },
		"no query":           func(*door, *string, url.Values) url.Values { return nil },
		"another's keep":     func(d *door, keep *string, q url.Values) url.Values { _, *keep = d.begin(); return q },
		"no keep":            func(d *door, keep *string, q url.Values) url.Values { *keep = ""; return q },
		"empty keep":         func(d *door, keep *string, q url.Values) url.Values { *keep = "{}"; q.Set(key(d), ""); return q },
		"no JSON in keep":    func(d *door, keep *string, q url.Values) url.Values { *keep = (*keep)[1:]; return q },
		"overlong keep":      func(d *door, keep *string, q url.Values) url.Values { *keep += strings.Repeat(" ", 1<<20); return q },
		"half an hour later": func(d *door, _ *string, q url.Values) url.Values { d.clock.Add(int64(30 * time.Minute)); return q },
		"a day later":        func(d *door, _ *string, q url.Values) url.Values { d.clock.Add(int64(day)); return q },
		"another secret": func(d *door, keep *string, q url.Values) url.Values {
			var k map[string]any
			if err := json.Unmarshal([]byte(*keep), &k); err != nil {
				d.t.Fatal(err)
			}
			k["secret"] = strings.Repeat("A", 52)
			data, err := json.Marshal(k)
			if err != nil {
				d.t.Fatal(err)
			}
			*keep = string(data)
			return q
		},
		"too many": func(d *door, _ *string, q url.Values) url.Values {
			for i := range 30 {
				q.Set("z"+strings.Repeat("z", i), "")
			}
			return q
		},
		"no of another browser": func(d *door, _ *string, _ url.Values) url.Values {
			return url.Values{"error": {"access_denied"}, "state": {"x"}, "denied": {"x"}}
		},
	}
	doors(t, func(t *testing.T, d *door) {
		for name, change := range cases {
			to, keep := d.begin()
			query := change(d, &keep, d.answer(to, d.ann.ID, "allow"))
			if p, err := d.finish(back, keep, query); !errors.As(err, new(*x.NobodyError)) || p != (x.Person{}) {
				t.Errorf("%s: %v %v", name, p, err)
			}
		}
		to, keep := d.begin()
		_, err := d.finish(back, keep, d.answer(to, d.ann.ID, "deny"))
		if d.nobody(err); err != nil && !strings.Contains(err.Error(), "said no") {
			t.Error(err)
		}

		to, keep = d.begin()
		query := d.answer(to, d.ann.ID, "allow")
		if _, err := d.finish("https://shop.test/other", keep, query); err == nil {
			t.Error("finished at another address")
		}
		if _, err := d.finish(back, keep, query); err != nil {
			t.Error(err)
		}
		_, err = d.finish(back, keep, query) // a callback that is played again
		d.nobody(err)
		if n := d.LiveTokens(); n != 0 {
			t.Errorf("%d tokens are left", n)
		}
	})
}

// TestSignInTooLate holds that X's 30 seconds end in a NobodyError, and our 15
// minutes as well.
func TestSignInTooLate(t *testing.T) {
	for _, c := range []struct {
		before, after time.Duration // the yes
		why           string
	}{
		{14*time.Minute + 20*time.Second, 20 * time.Second, ""},
		{0, 31 * time.Second, "30 seconds"},
		{14*time.Minute + 50*time.Second, 20 * time.Second, "took too long"},
	} {
		d := openDoor(t, "confidential")
		to, keep := d.begin()
		d.clock.Add(int64(c.before))
		query := d.answer(to, d.ann.ID, "allow")
		d.clock.Add(int64(c.after))
		_, err := d.finish(back, keep, query)
		if c.why == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if d.nobody(err); err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%v, want %q", err, c.why)
		}
	}
}

// TestSignInFollowsNobody holds that codes and tokens go to the configured address
// only.
func TestSignInFollowsNobody(t *testing.T) {
	var came atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { came.Add(1) }))
	t.Cleanup(elsewhere.Close)
	doors(t, func(t *testing.T, d *door) {
		for _, path := range []string{"/2/oauth2/token", "/oauth/access_token", "/2/users/me", "/1.1/account/verify_credentials.json"} {
			to, keep := d.begin()
			query := d.answer(to, d.ann.ID, "allow")
			d.Fail(xtest.Fault{Path: path, Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {elsewhere.URL}}})
			d.finish(back, keep, query) // fails where the shape asks there
			d.Heal()
		}
	})
	if n := came.Load(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

// TestSignInTrouble plays what a network does to answers.
func TestSignInTrouble(t *testing.T) {
	const (
		in     = iota
		nobody // begin anew
		absent // X did not answer
	)
	doors(t, func(t *testing.T, d *door) {
		token, me := "/2/oauth2/token", "/2/users/me"
		if !d.oauth2() {
			token = "/oauth/access_token"
		}
		if d.shape == "classic, v1.1 open" {
			me = "/1.1/account/verify_credentials.json"
		}
		for _, c := range []struct {
			name  string
			fault xtest.Fault
			want  int
		}{
			{"token lost before", xtest.Fault{Path: token, Drop: true}, in},
			{"token lost after", xtest.Fault{Path: token, When: xtest.After, Drop: true}, nobody},
			{"token 503 after", xtest.Fault{Path: token, When: xtest.After, Status: 503}, nobody},
			{"token 503", xtest.Fault{Path: token, Status: 503}, in},
			{"token 503 twice", xtest.Fault{Path: token, Status: 503, Times: 2}, absent},
			{"token 429", xtest.Fault{Path: token, Status: 429, Body: "ann@buyers.test"}, absent},
			{"token of nobody", xtest.Fault{Path: token, Status: 200, Body: "{}", Times: 2}, absent},
			{"token endless", xtest.Fault{Path: token, Status: 200, Body: strings.Repeat(" ", 2<<20), Times: 2}, absent},
			{"token elsewhere", xtest.Fault{Path: token, Status: 302, Header: http.Header{"Location": {d.URL() + "/elsewhere"}}}, absent},
			{"identity lost once", xtest.Fault{Path: me, Drop: true}, in},
			{"identity lost", xtest.Fault{Path: me, Times: -1, Drop: true}, absent},
			{"identity 500", xtest.Fault{Path: me, Status: 500}, in},
			{"identity 401", xtest.Fault{Path: me, Status: 401, Body: `{"title":"ann@buyers.test"}`}, absent},
			{"identity cut", xtest.Fault{Path: me, Status: 200, Body: `{"data":`, Times: 2}, absent},
			{"identity endless", xtest.Fault{Path: me, Status: 200, Body: strings.Repeat(" ", 2<<20), Times: 2}, absent},
			{"no number", xtest.Fault{Path: me, Status: 200, Body: `{"data":{"id":"1x","username":"ann"},"id_str":"1x","screen_name":"ann"}`}, absent},
			{"no handle", xtest.Fault{Path: me, Status: 200, Body: `{"data":{"id":"1"},"id_str":"1"}`}, absent},
			{"odd handle", xtest.Fault{Path: me, Status: 200, Body: `{"data":{"id":"1","username":"<b>"},"id_str":"1","screen_name":"<b>"}`}, absent},
		} {
			to, keep := d.begin()
			query := d.answer(to, d.ann.ID, "allow")
			d.Fail(c.fault)
			p, err := d.finish(back, keep, query)
			d.Heal()
			d.log.Reset()
			isNobody := errors.As(err, new(*x.NobodyError))
			if (err == nil) != (c.want == in) || isNobody != (c.want == nobody) || (err == nil) != (p.ID == d.ann.ID) {
				t.Errorf("%s: %v %v", c.name, p.ID, err)
			}
			if c.fault.Path == me && d.LiveTokens() > 0 {
				t.Errorf("%s: the token lives on", c.name)
			}
			// The token of a lost answer lives for its two hours: nobody knows it.
			d.clock.Add(int64(3 * time.Hour))
		}
	})
}

// TestSignInRevokes holds that a token that cannot be revoked keeps nobody out.
func TestSignInRevokes(t *testing.T) {
	for _, shape := range []string{"confidential", "public"} {
		d := openDoor(t, shape)
		to, keep := d.begin()
		query := d.answer(to, d.ann.ID, "allow")
		d.Fail(xtest.Fault{Path: "/2/oauth2/revoke", Drop: true})
		if p, err := d.finish(back, keep, query); err != nil || p.ID != d.ann.ID || d.LiveTokens() != 1 || !strings.Contains(d.log.String(), "not revoked") {
			t.Errorf("%v %v, %d tokens, log %s", p.ID, err, d.LiveTokens(), d.log)
		}
	}
}

// TestSignInWithoutEmail holds that an account is worth more than its address.
func TestSignInWithoutEmail(t *testing.T) {
	for _, status := range []int{400, 403} {
		d := openDoor(t, "confidential")
		to, keep := d.begin()
		query := d.answer(to, d.ann.ID, "allow")
		d.Fail(xtest.Fault{Path: "/2/users/me", Status: status})
		if p, err := d.finish(back, keep, query); err != nil || p != (x.Person{ID: d.ann.ID, Handle: "Ann_9"}) {
			t.Errorf("%d: %+v %v", status, p, err)
		}
	}
}

// TestSignInMisconfigured holds that what the operator has done wrong is not blamed
// on the person.
func TestSignInMisconfigured(t *testing.T) {
	doors(t, func(t *testing.T, d *door) {
		cfg := d.cfg
		cfg.ConsumerSecret = "wrong"
		if d.oauth2() {
			to, keep := d.begin()
			query := d.answer(to, d.ann.ID, "allow")
			d.RegisterApp("client:1", "another secret", back)
			_, err := d.finish(back, keep, query)
			if err == nil || errors.As(err, new(*x.NobodyError)) || !strings.Contains(err.Error(), "unauthorized_client") || !strings.Contains(err.Error(), "developer portal") {
				t.Error(err)
			}
			_, err = d.finish(back, keep, url.Values{"state": query["state"], "error": {"invalid_scope"}})
			if err == nil || errors.As(err, new(*x.NobodyError)) || !strings.Contains(err.Error(), "invalid_scope") {
				t.Error(err)
			}
			_, err = d.finish(back, keep, url.Values{"state": query["state"], "error": {"<script>"}})
			if err == nil || errors.As(err, new(*x.NobodyError)) || strings.Contains(err.Error(), "script") {
				t.Error(err)
			}
			return
		}
		wrong, err := x.NewClassicSignIn(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := wrong.Begin(t.Context(), back); err == nil || !strings.Contains(err.Error(), "401") {
			t.Error(err)
		}
		if _, _, err := d.app.Begin(t.Context(), "https://shop.test/unknown"); err == nil || !strings.Contains(err.Error(), "403") {
			t.Error(err)
		}
		d.Fail(xtest.Fault{Path: "/oauth/request_token", Drop: true})
		d.begin() // once more
		d.Fail(xtest.Fault{Path: "/oauth/request_token", Drop: true, Times: 2})
		if _, _, err := d.app.Begin(t.Context(), back); err == nil || strings.Contains(err.Error(), "oauth_") {
			t.Error(err)
		}
	})
}

func TestSignInConfig(t *testing.T) {
	if _, err := x.NewSignIn(x.SignInConfig{APIURL: "x.com", AuthorizeURL: "ftp://x.com"}); err == nil ||
		!strings.Contains(err.Error(), `"x.com"`) || !strings.Contains(err.Error(), `"ftp://x.com"`) || !strings.Contains(err.Error(), "client id") {
		t.Error(err)
	}
	if _, err := x.NewClassicSignIn(x.SignInConfig{}); err == nil || !strings.Contains(err.Error(), "consumer key") || !strings.Contains(err.Error(), "consumer secret") {
		t.Error(err)
	}
	s, err := x.NewSignIn(x.SignInConfig{ClientID: "c"})
	if err != nil {
		t.Fatal(err)
	}
	if to, _, err := s.Begin(t.Context(), back); err != nil || !strings.HasPrefix(to, "https://x.com/i/oauth2/authorize?") {
		t.Error(to, err)
	}
	for _, back := range []string{"", "/join", "javascript:alert(1)", "https://shop.test/#a", "https://shop.test/" + strings.Repeat("x", 2000)} {
		if _, _, err := s.Begin(t.Context(), back); err == nil {
			t.Errorf("%.30q is taken", back)
		}
	}
	var told bytes.Buffer
	slog.New(slog.NewTextHandler(&told, nil)).Info("in", "person", x.Person{ID: "77", Handle: "ann", Email: "ann@buyers.test"})
	if !strings.Contains(told.String(), "77") || strings.Contains(told.String(), "ann") {
		t.Error(told.String())
	}
}

// TestSignInGivesUp holds that nobody waits for longer than they want to.
func TestSignInGivesUp(t *testing.T) {
	doors(t, func(t *testing.T, d *door) {
		to, keep := d.begin()
		query := d.answer(to, d.ann.ID, "allow")
		d.Fail(xtest.Fault{Path: "/2/oauth2/token", Delay: time.Hour})
		d.Fail(xtest.Fault{Path: "/oauth/access_token", Delay: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := d.app.Finish(ctx, back, keep, query); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}
