package xtest

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// pageLife is how long a page waits for a decision, and a request token for its
// use. X does not tell how long it waits.
const pageLife = 15 * time.Minute

// signInState is what is known of apps and of people who are signing in to them.
// The lock guards it.
type signInState struct {
	apps     map[string]*app     // by client id
	signedIn string              // account whose browser it is, "" if nobody's
	asked    map[string]*asking  // pages that wait for a decision, by a name of their own
	codes    map[string]*grant   // OAuth 2.0 codes
	tokens   map[string]*grant   // OAuth 2.0 user tokens
	requests map[string]*request // OAuth 1.0a request tokens
	approved map[string]bool     // OAuth 1.0a: account and access, agreed to before
}

func newSignInState() signInState {
	return signInState{
		apps:     make(map[string]*app),
		asked:    make(map[string]*asking),
		codes:    make(map[string]*grant),
		tokens:   make(map[string]*grant),
		requests: make(map[string]*request),
		approved: make(map[string]bool),
	}
}

// app is an app of the developer portal.
type app struct {
	id, secret string   // of OAuth 2.0; the secret is "" for a public client
	backs      []string // callback addresses
}

// asking is a page on which somebody is asked to agree.
type asking struct {
	until time.Time
	back  string                              // where both ways lead
	deny  url.Values                          // what is told there of a no
	allow func(account string) (v url.Values) // and of a yes, nil if it is too late; called with the lock held
}

// RegisterApp makes an app known, as the developer portal does: its OAuth 2.0
// client id, its secret, which is "" for a public client, and the addresses that
// people may be sent back to, which must be named exactly. OAuth 1.0a takes the
// addresses of every app. An app that is registered again is replaced.
func (s *Server) RegisterApp(clientID, secret string, redirectURIs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signIn.apps[clientID] = &app{id: clientID, secret: secret, backs: slices.Clone(redirectURIs)}
}

// SignedInAs makes every browser one in which an account is signed in, as long as
// the browser itself says no other; "" is for nobody.
func (s *Server) SignedInAs(accountID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signIn.signedIn = accountID
}

// LiveTokens returns how many OAuth 2.0 user tokens are good for something.
func (s *Server) LiveTokens() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	return len(s.signIn.tokens)
}

// signInEndpoints lists what three-legged sign-in needs
// (https://docs.x.com/fundamentals/authentication/api-reference).
func (s *Server) signInEndpoints() []endpoint {
	return []endpoint{
		{pattern: "GET /i/oauth2/authorize", open: true, serve: s.authorizePage},
		{pattern: "POST /i/oauth2/authorize", open: true, serve: s.decide},
		{pattern: "POST /2/oauth2/token", open: true, serve: s.giveToken},
		{pattern: "POST /2/oauth2/revoke", open: true, serve: s.revokeToken},
		{pattern: "POST /oauth/request_token", open: true, serve: s.requestToken},
		{pattern: "GET /oauth/authenticate", open: true, serve: s.authenticatePage},
		{pattern: "GET /oauth/authorize", open: true, serve: s.authenticatePage},
		{pattern: "POST /oauth/authenticate", open: true, serve: s.decide},
		{pattern: "POST /oauth/authorize", open: true, serve: s.decide},
		{pattern: "POST /oauth/access_token", open: true, serve: s.accessToken},
	}
}

// sweep forgets what has run out. The lock must be held.
func (s *Server) sweep() {
	now := s.opts.Now()
	for name, a := range s.signIn.asked {
		if now.After(a.until) {
			delete(s.signIn.asked, name)
		}
	}
	for _, grants := range []map[string]*grant{s.signIn.codes, s.signIn.tokens} {
		for name, g := range grants {
			if now.After(g.until) {
				delete(grants, name)
			}
		}
	}
	for name, r := range s.signIn.requests {
		if now.After(r.until) {
			delete(s.signIn.requests, name)
		}
	}
}

//go:embed signin.html
var signInHTML string

var signInPage = template.Must(template.New("signin").Parse(signInHTML))

// page is what signInPage shows.
type page struct {
	Trouble  string // instead of everything else
	App      string
	Name     string // of the asking
	Wants    []string
	Accounts []Account
	SignedIn string // id of the account that is chosen already, "" for none
}

func (p page) answer(status int) answer {
	var b bytes.Buffer
	if err := signInPage.Execute(&b, p); err != nil {
		panic(err) // a bug: a buffer takes everything
	}
	return answer{status: status, text: b.String(), header: http.Header{
		"Content-Type":            {"text/html; charset=utf-8"},
		"Cache-Control":           {"no-store"},
		"X-Frame-Options":         {"DENY"},
		"Content-Security-Policy": {"default-src 'none'; style-src 'unsafe-inline'"}, // and form-action free: forms lead to the app
	}}
}

// wentWrong is the page for everything that X does not send back to an app.
func wentWrong(why string) answer { return page{Trouble: why}.answer(http.StatusBadRequest) }

// browserCookie holds the account that a browser has signed in with.
const browserCookie = "standin_account"

// browser says which account is signed in in the browser that has sent a request:
// the one that the address names as "as", else the one it has named before, else
// that of SignedInAs. The lock must be held.
func (s *Server) browser(c *call) (accountID string, cookie *http.Cookie) {
	if as := c.query.Get("as"); as != "" {
		a := s.accounts[as]
		if a == nil {
			a = s.byHandle(as)
		}
		if a != nil {
			return a.ID, &http.Cookie{Name: browserCookie, Value: a.ID, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
		}
	}
	if cookie, err := c.r.Cookie(browserCookie); err == nil && s.accounts[cookie.Value] != nil {
		return cookie.Value, nil
	}
	return s.signIn.signedIn, nil
}

// ask shows the page on which somebody is asked. The lock must be held.
func (s *Server) ask(c *call, appName string, wants []string, a *asking) answer {
	s.sweep()
	name := rand.Text()
	a.until = s.opts.Now().Add(pageLife)
	s.signIn.asked[name] = a
	p := page{App: appName, Name: name, Wants: wants}
	for _, a := range s.accounts {
		p.Accounts = append(p.Accounts, a.Account)
	}
	slices.SortFunc(p.Accounts, func(a, b Account) int {
		return strings.Compare(strings.ToLower(a.Handle), strings.ToLower(b.Handle))
	})
	id, cookie := s.browser(c)
	p.SignedIn = id
	shown := p.answer(http.StatusOK)
	if cookie != nil {
		shown.header.Add("Set-Cookie", cookie.String())
	}
	return shown
}

// decide serves the form of the page. Every page takes one decision.
func (s *Server) decide(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	name := c.form.Get("asking")
	a := s.signIn.asked[name]
	if a == nil {
		return wentWrong("This page was answered before, or has waited for too long.")
	}
	switch c.form.Get("decision") {
	case "deny":
		delete(s.signIn.asked, name)
		return sendBack(a.back, a.deny)
	case "allow":
	default:
		return wentWrong("There is nothing between yes and no.")
	}
	account := c.form.Get("account")
	if s.accounts[account] == nil {
		return wentWrong("No account was chosen.")
	}
	delete(s.signIn.asked, name)
	v := a.allow(account)
	if v == nil {
		return wentWrong("This was answered on another page.")
	}
	return sendBack(a.back, v)
}

// sendBack leads a browser back to an app; what stands in the query of the
// address stays there.
func sendBack(back string, v url.Values) answer {
	separator := "?"
	if strings.Contains(back, "?") {
		separator = "&"
	}
	return answer{status: http.StatusFound, header: http.Header{
		"Location":      {back + separator + v.Encode()},
		"Cache-Control": {"no-store"},
	}}
}
