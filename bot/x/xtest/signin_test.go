package xtest_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dghubble/oauth1"

	"hashtill/bot/x/xtest"
)

const (
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B
	back     = "https://app.test/back?a=1"
)

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// form sends a form, follows nothing, and returns the answer.
func (w *world) form(path string, form url.Values, change func(*http.Request)) reply {
	w.t.Helper()
	method := "POST"
	if form == nil {
		method = "GET"
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.URL()+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return reply{status: resp.StatusCode, header: resp.Header, raw: string(raw)}
}

// good is the query of a right GET /i/oauth2/authorize.
func good() url.Values {
	return url.Values{
		"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {back}, "scope": {"users.read tweet.read users.email"},
		"state": {"st&te"}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"},
	}
}

var (
	askingName = regexp.MustCompile(`name="asking" value="([^"]+)"`)
	chosen     = regexp.MustCompile(`value="(\d+)" selected`)
	trouble    = regexp.MustCompile(`id="trouble">([^<]*)`)
)

func first(re *regexp.Regexp, page string) string {
	if m := re.FindStringSubmatch(page); m != nil {
		return m[1]
	}
	return ""
}

// decides opens a page, presses a button, and returns the query that comes back.
func (w *world) decides(page, account, decision string) url.Values {
	w.t.Helper()
	shown := w.form(page, nil, nil)
	path, _, _ := strings.Cut(page, "?")
	r := w.form(path, url.Values{"asking": {first(askingName, shown.raw)}, "account": {account}, "decision": {decision}}, nil)
	u, err := url.Parse(r.header.Get("Location"))
	if r.status != 302 || err != nil || !strings.HasPrefix(u.String(), "https://app.test/back?") {
		w.t.Fatalf("%s: %d, %d to %q: %s", page, shown.status, r.status, u, trouble.FindString(shown.raw+r.raw))
	}
	return u.Query()
}

func (w *world) code(scope string) string {
	w.t.Helper()
	q := good()
	q.Set("scope", scope)
	return w.decides("/i/oauth2/authorize?"+q.Encode(), w.ann.ID, "allow").Get("code")
}

func exchange(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {back}, "code_verifier": {verifier}}
}

func basic(r *http.Request) { r.SetBasicAuth("app", "s3cr3t") }

func openSignIn(t *testing.T) *world {
	w := open(t, xtest.Options{})
	w.RegisterApp("app", "s3cr3t", back, "https://app.test/back")
	w.RegisterApp("public", "", back)
	return w
}

// TestAuthorizePage holds that the page refuses what X refuses, and sends nobody
// anywhere with it.
func TestAuthorizePage(t *testing.T) {
	w := openSignIn(t)
	page := w.form("/i/oauth2/authorize?"+good().Encode(), nil, nil)
	for _, want := range []string{"stand-in for X", "No real account", `id="allow"`, `id="deny"`, "width=device-width", "e-mail address", "@Ann", "@pat"} {
		if !strings.Contains(page.raw, want) {
			t.Errorf("the page does not hold %q", want)
		}
	}
	if page.status != 200 || strings.Contains(page.header.Get("Content-Security-Policy"), "form-action") || page.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%d %v", page.status, page.header)
	}
	if got := w.decides("/i/oauth2/authorize?"+good().Encode(), "", "deny"); got.Get("error") != "access_denied" || got.Get("state") != "st&te" || got.Get("a") != "1" || got.Has("code") {
		t.Errorf("no: %v", got)
	}
	if got := w.decides("/i/oauth2/authorize?"+good().Encode(), w.ann.ID, "allow"); got.Get("code") == "" || got.Get("state") != "st&te" || got.Get("a") != "1" {
		t.Errorf("yes: %v", got)
	}
	for name, values := range map[string][]string{
		"client_id":             {"", "other"},
		"redirect_uri":          {"", "https://app.test/back/", "https://app.test/back?a=2", "https://evil.test/"},
		"response_type":         {"", "token"},
		"state":                 {"", strings.Repeat("x", 501)},
		"code_challenge":        {"", "short", challenge() + "="},
		"code_challenge_method": {"", "plain"},
		"scope":                 {"", "users.read everything", "Users.read"},
	} {
		for _, value := range values {
			q := good()
			q.Set(name, value)
			if r := w.form("/i/oauth2/authorize?"+q.Encode(), nil, nil); r.status != 400 || r.header.Get("Location") != "" || first(trouble, r.raw) == "" {
				t.Errorf("%s=%q: %d %v", name, value, r.status, r.header)
			}
		}
		q := good()
		q.Add(name, q.Get(name))
		if r := w.form("/i/oauth2/authorize?"+q.Encode(), nil, nil); r.status != 400 {
			t.Errorf("%s twice: %d", name, r.status)
		}
	}
}

func TestPagesTakeOneDecision(t *testing.T) {
	w := openSignIn(t)
	asked := func() string {
		return first(askingName, w.form("/i/oauth2/authorize?"+good().Encode(), nil, nil).raw)
	}
	decide := func(asking, account, decision string) int {
		return w.form("/i/oauth2/authorize", url.Values{"asking": {asking}, "account": {account}, "decision": {decision}}, nil).status
	}
	page := asked()
	for _, c := range []struct {
		name, asking, account, decision string
		status                          int
	}{
		{"unknown page", "x", w.ann.ID, "allow", 400},
		{"no account", page, "", "allow", 400},
		{"unknown account", page, "1", "allow", 400},
		{"no decision", page, w.ann.ID, "", 400},
		{"yes", page, w.ann.ID, "allow", 302},
		{"again", page, w.ann.ID, "allow", 400},
		{"no after yes", page, w.ann.ID, "deny", 400},
	} {
		if got := decide(c.asking, c.account, c.decision); got != c.status {
			t.Errorf("%s: %d, want %d", c.name, got, c.status)
		}
	}
	page = asked()
	w.clock.Add(int64(16 * time.Minute))
	if got := decide(page, w.ann.ID, "allow"); got != 400 {
		t.Errorf("too late: %d", got)
	}
}

// TestBrowserIsSignedIn holds who is chosen on the page before anybody chooses.
func TestBrowserIsSignedIn(t *testing.T) {
	w := openSignIn(t)
	path := "/i/oauth2/authorize?" + good().Encode()
	if got := first(chosen, w.form(path, nil, nil).raw); got != "" {
		t.Errorf("%s is signed in", got)
	}
	w.SignedInAs(w.bob.ID)
	if got := first(chosen, w.form(path, nil, nil).raw); got != w.bob.ID {
		t.Errorf("signed in as bob: %s", got)
	}
	r := w.form(path+"&as=ann", nil, nil)
	if got := first(chosen, r.raw); got != w.ann.ID {
		t.Errorf("as ann: %s", got)
	}
	cookie := r.header.Get("Set-Cookie")
	if got := first(chosen, w.form(path, nil, func(r *http.Request) { r.Header.Set("Cookie", cookie) }).raw); got != w.ann.ID {
		t.Errorf("the browser of ann: %s", got)
	}
}

func TestTokenEndpoint(t *testing.T) {
	w := openSignIn(t)
	with := func(name, value string) func(url.Values) { return func(f url.Values) { f.Set(name, value) } }
	asPublic := func(*http.Request) {}
	for _, c := range []struct {
		name   string
		change func(url.Values)
		auth   func(*http.Request)
		status int
		kind   string
	}{
		{"no secret", nil, asPublic, 401, "unauthorized_client"},
		{"client id, no secret", with("client_id", "app"), asPublic, 401, "unauthorized_client"},
		{"wrong secret", nil, func(r *http.Request) { r.SetBasicAuth("app", "x") }, 401, "unauthorized_client"},
		{"unknown app", nil, func(r *http.Request) { r.SetBasicAuth("x", "s3cr3t") }, 401, "unauthorized_client"},
		{"public app with a secret", nil, func(r *http.Request) { r.SetBasicAuth("public", "") }, 401, "unauthorized_client"},
		{"another's code", with("client_id", "public"), asPublic, 400, "invalid_request"},
		{"two apps", with("client_id", "public"), basic, 400, "invalid_request"},
		{"no grant type", with("grant_type", ""), basic, 400, "invalid_request"},
		{"password", with("grant_type", "password"), basic, 400, "unsupported_grant_type"},
		{"refresh", with("grant_type", "refresh_token"), basic, 400, "invalid_request"},
		{"no code", with("code", ""), basic, 400, "invalid_request"},
		{"wrong code", with("code", "x"), basic, 400, "invalid_request"},
		{"code twice", func(f url.Values) { f.Add("code", f.Get("code")) }, basic, 400, "invalid_request"},
		{"other address", with("redirect_uri", "https://app.test/back"), basic, 400, "invalid_request"},
		{"no verifier", with("code_verifier", ""), basic, 400, "invalid_request"},
		{"wrong verifier", with("code_verifier", verifier[1:]+"x"), basic, 400, "invalid_request"},
		{"too late", func(url.Values) { w.clock.Add(int64(31 * time.Second)) }, basic, 400, "invalid_request"},
		{"JSON", nil, func(r *http.Request) { basic(r); r.Header.Set("Content-Type", "application/json") }, 400, "invalid_request"},
	} {
		f := exchange(w.code("users.read tweet.read"))
		if c.change != nil {
			c.change(f)
		}
		if r := w.form("/2/oauth2/token", f, c.auth); r.status != c.status || !strings.Contains(r.raw, `"error":"`+c.kind+`"`) || !strings.Contains(r.raw, `"error_description":`) {
			t.Errorf("%s: %d %s, want %d %s", c.name, r.status, r.raw, c.status, c.kind)
		}
	}
	if n := w.LiveTokens(); n != 0 {
		t.Errorf("%d tokens were given", n)
	}

	f := exchange(w.code("users.read tweet.read"))
	if r := w.form("/2/oauth2/token", f, basic); r.status != 200 || r.header.Get("Cache-Control") != "no-store" ||
		!strings.Contains(r.raw, `"expires_in":7200`) || !strings.Contains(r.raw, `"scope":"users.read tweet.read"`) || strings.Contains(r.raw, "refresh") {
		t.Errorf("%d %s", r.status, r.raw)
	}
	if r := w.form("/2/oauth2/token", f, basic); r.status != 400 {
		t.Errorf("code again: %d", r.status)
	}
	wrong := exchange(w.code("users.read tweet.read"))
	right := exchange(wrong.Get("code"))
	wrong.Set("code_verifier", strings.Repeat("x", 43))
	w.form("/2/oauth2/token", wrong, basic)
	if r := w.form("/2/oauth2/token", right, basic); r.status != 400 {
		t.Errorf("after a guess: %d", r.status)
	}
}

var accessToken = regexp.MustCompile(`"access_token":"([^"]+)"`)

func (w *world) token(scope string) string {
	w.t.Helper()
	token := first(accessToken, w.form("/2/oauth2/token", exchange(w.code(scope)), basic).raw)
	if token == "" {
		w.t.Fatal("no token")
	}
	return token
}

// TestUserTokens holds what a token is good for: what was agreed to, for two hours,
// until it is revoked.
func TestUserTokens(t *testing.T) {
	w := openSignIn(t)
	zoe := w.add(xtest.Account{Handle: "zoe", Email: "zoe@people.test"})
	w.ann = zoe
	const path = "/2/users/me?user.fields=confirmed_email"
	get := func(token string) reply { return w.do(&http.Client{Transport: bearer(token)}, "GET", path, "") }

	all := w.token("users.read tweet.read users.email")
	if r := get(all); r.status != 200 || r.get("data.id") != zoe.ID || r.get("data.confirmed_email") != "zoe@people.test" || r.get("errors") != nil {
		t.Errorf("%d %s", r.status, r.raw)
	}
	if r := w.do(&http.Client{Transport: bearer(all)}, "GET", "/2/users/me", ""); r.status != 200 || strings.Contains(r.raw, "zoe@") {
		t.Errorf("not asked for: %s", r.raw)
	}
	if r := get(w.token("users.read tweet.read")); r.status != 200 || strings.Contains(r.raw, "zoe@") || r.get("errors.0.title") != "Field Authorization Error" {
		t.Errorf("without users.email: %d %s", r.status, r.raw)
	}
	if r := get(w.token("users.read users.email")); r.status != 403 {
		t.Errorf("without tweet.read: %d", r.status)
	}
	client := &http.Client{Transport: bearer(all)}
	if r := w.do(client, "POST", "/2/tweets", `{"text":"hello"}`); r.status != 403 {
		t.Errorf("posted: %d", r.status)
	}
	if r := w.do(client, "GET", streamPath, ""); r.status != 403 {
		t.Errorf("heard: %d", r.status)
	}
	if r := w.do(&http.Client{Transport: bearer(w.token("users.read tweet.read tweet.write"))}, "POST", "/2/tweets", `{"text":"hello"}`); r.status != 201 {
		t.Errorf("with tweet.write: %d %s", r.status, r.raw)
	}
	if r := w.do(w.app(), "GET", path, ""); r.status != 403 {
		t.Errorf("the app is nobody: %d", r.status)
	}

	revoke := func(token string, auth func(*http.Request), more url.Values) int {
		f := url.Values{"token": {token}}
		for name, values := range more {
			f[name] = values
		}
		return w.form("/2/oauth2/revoke", f, auth).status
	}
	live := w.LiveTokens()
	if got := revoke(all, nil, nil); got != 401 {
		t.Errorf("revoked by nobody: %d", got)
	}
	if got := revoke("", basic, nil); got != 400 {
		t.Errorf("nothing revoked: %d", got)
	}
	if got := revoke(all, nil, url.Values{"client_id": {"public"}}); got != 200 || w.LiveTokens() != live {
		t.Errorf("revoked by another app: %d", got)
	}
	for range 2 {
		if got := revoke(all, basic, nil); got != 200 || w.LiveTokens() != live-1 || get(all).status != 401 {
			t.Errorf("revoked: %d, %d tokens", got, w.LiveTokens())
		}
	}
	late := w.token("users.read tweet.read")
	w.clock.Add(int64(2*time.Hour + time.Second))
	if r := get(late); r.status != 401 || w.LiveTokens() != 0 {
		t.Errorf("after two hours: %d", r.status)
	}
}

// legs is a client of OAuth 1.0a that is not our own.
func (w *world) legs(access string) *oauth1.Config {
	c := w.Credentials(w.bot.ID)
	config := oauth1.NewConfig(c.ConsumerKey, c.ConsumerSecret)
	config.CallbackURL = back
	config.Endpoint = oauth1.Endpoint{
		RequestTokenURL: w.URL() + "/oauth/request_token" + access,
		AuthorizeURL:    w.URL() + "/oauth/authorize",
		AccessTokenURL:  w.URL() + "/oauth/access_token",
	}
	return config
}

func TestThreeLegs(t *testing.T) {
	w := openSignIn(t)
	w.ann = w.add(xtest.Account{Handle: "zoe", Email: "zoe@people.test"})
	sign := func(access string) *http.Client {
		t.Helper()
		config := w.legs(access)
		token, secret, err := config.RequestToken()
		if err != nil {
			t.Fatal(err)
		}
		got := w.decides("/oauth/authorize?oauth_token="+token, w.ann.ID, "allow")
		if got.Get("oauth_token") != token || got.Get("a") != "1" {
			t.Errorf("came back with %v", got)
		}
		if _, _, err := config.AccessToken(token, secret, "x"); err == nil {
			t.Error("a wrong verifier was taken")
		}
		if _, _, err := config.AccessToken(token, "x", got.Get("oauth_verifier")); err == nil {
			t.Error("a wrong secret was taken")
		}
		key, keySecret, err := config.AccessToken(token, secret, got.Get("oauth_verifier"))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := config.AccessToken(token, secret, got.Get("oauth_verifier")); err == nil {
			t.Error("a request token was taken twice")
		}
		return config.Client(context.Background(), oauth1.NewToken(key, keySecret))
	}
	reader := sign("?x_auth_access_type=read")
	if r := w.do(reader, "GET", "/2/users/me?user.fields=confirmed_email", ""); r.get("data.id") != w.ann.ID || r.get("data.confirmed_email") != "zoe@people.test" {
		t.Errorf("%d %s", r.status, r.raw)
	}
	if r := w.do(reader, "POST", "/2/tweets", `{"text":"hello"}`); r.status != 403 {
		t.Errorf("a reader has posted: %d", r.status)
	}
	if r := w.do(reader, "GET", "/1.1/account/verify_credentials.json", ""); r.status != 403 || r.get("errors.0.code") != float64(453) {
		t.Errorf("v1.1: %d %s", r.status, r.raw)
	}
	if r := w.do(sign(""), "POST", "/2/tweets", `{"text":"hello"}`); r.status != 201 {
		t.Errorf("a writer: %d %s", r.status, r.raw)
	}
}

func TestThreeLegsRefusals(t *testing.T) {
	w := openSignIn(t)
	for name, change := range map[string]func(*oauth1.Config){
		"unknown address": func(c *oauth1.Config) { c.CallbackURL = "https://app.test/" },
		"no address":      func(c *oauth1.Config) { c.CallbackURL = "" },
		"wrong key":       func(c *oauth1.Config) { c.ConsumerKey = "x" },
		"wrong secret":    func(c *oauth1.Config) { c.ConsumerSecret = "x" },
		"odd access":      func(c *oauth1.Config) { c.Endpoint.RequestTokenURL += "?x_auth_access_type=all" },
	} {
		config := w.legs("")
		change(config)
		if _, _, err := config.RequestToken(); err == nil {
			t.Errorf("%s: there is a request token", name)
		}
	}
	if r := w.form("/oauth/request_token", url.Values{"oauth_callback": {back}}, nil); r.status != 401 {
		t.Errorf("unsigned: %d", r.status)
	}
	page := func(token, more string) reply { return w.form("/oauth/authenticate?oauth_token="+token+more, nil, nil) }
	if r := page("x", ""); r.status != 400 {
		t.Errorf("unknown request token: %d", r.status)
	}
	config := w.legs("?x_auth_access_type=read")
	ask := func() string {
		token, _, err := config.RequestToken()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	token := ask()
	if _, _, err := config.AccessToken(token, "x", ""); err == nil {
		t.Error("a token before anybody has agreed")
	}
	if got := w.decides("/oauth/authenticate?oauth_token="+token, "", "deny"); got.Get("denied") != token || got.Has("oauth_verifier") {
		t.Errorf("no: %v", got)
	}
	token = ask()
	one, two := first(askingName, page(token, "").raw), first(askingName, page(token, "").raw)
	statuses := []int{}
	for _, asking := range []string{one, two} {
		statuses = append(statuses, w.form("/oauth/authenticate", url.Values{"asking": {asking}, "account": {w.ann.ID}, "decision": {"allow"}}, nil).status)
	}
	if !slices.Equal(statuses, []int{302, 400}) {
		t.Errorf("two pages for one token: %v", statuses)
	}
	token = ask()
	w.clock.Add(int64(16 * time.Minute))
	if r := page(token, ""); r.status != 400 {
		t.Errorf("too late: %d", r.status)
	}

	// Who has agreed before is not asked again by authenticate, and is by authorize.
	w.SignedInAs(w.ann.ID)
	if r := page(ask(), ""); r.status != 302 || !strings.Contains(r.header.Get("Location"), "oauth_verifier=") {
		t.Errorf("agreed before: %d", r.status)
	}
	if r := page(ask(), "&force_login=true"); r.status != 200 {
		t.Errorf("force_login: %d", r.status)
	}
	if r := w.form("/oauth/authorize?oauth_token="+ask(), nil, nil); r.status != 200 {
		t.Errorf("authorize: %d", r.status)
	}
	w.SignedInAs(w.bob.ID)
	if r := page(ask(), ""); r.status != 200 {
		t.Errorf("bob has not agreed: %d", r.status)
	}
}

// TestClassicEmail holds that v1.1 tells the address to those who ask for it.
func TestClassicEmail(t *testing.T) {
	w := open(t, xtest.Options{Classic: true})
	zoe := w.add(xtest.Account{Handle: "zoe", Email: "zoe@people.test"})
	const path = "/1.1/account/verify_credentials.json"
	if r := w.do(w.as(zoe), "GET", path+"?include_email=true", ""); r.get("email") != "zoe@people.test" || r.get("id_str") != zoe.ID {
		t.Errorf("%s", r.raw)
	}
	if r := w.do(w.as(zoe), "GET", path, ""); strings.Contains(r.raw, "email") {
		t.Errorf("not asked for: %s", r.raw)
	}
	if r := w.do(w.as(w.bob), "GET", path+"?include_email=true", ""); !strings.Contains(r.raw, `"email":null`) {
		t.Errorf("none: %s", r.raw)
	}
}
