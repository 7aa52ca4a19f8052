package xtest

import (
	"cmp"
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// This file is OAuth 1.0a in three legs as X has it
// (https://docs.x.com/fundamentals/authentication/api-reference).

// request is a request token.
type request struct {
	until    time.Time
	secret   string
	back     string
	readOnly bool
	account  string // who has agreed, "" until then
	verifier string
}

var (
	badSignature = classicError(401, 32, "Could not authenticate you.")
	badToken     = classicError(401, 89, "Invalid or expired token.")
)

// requestToken serves POST oauth/request_token.
func (s *Server) requestToken(c *call) answer {
	oauth := oauthOf(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	if oauth["oauth_token"] != "" || !s.signed(c.r, oauth, "", c.query, c.form) {
		return badSignature
	}
	back := cmp.Or(oauth["oauth_callback"], c.params().Get("oauth_callback"))
	known := false
	for _, a := range s.signIn.apps {
		known = known || slices.Contains(a.backs, back)
	}
	if !known {
		return classicError(403, 415, "Callback URL not approved for this client application. Approved callback URLs can be adjusted in your application settings")
	}
	access := c.params().Get("x_auth_access_type")
	if access != "" && access != "read" && access != "write" {
		return classicError(400, 44, "x_auth_access_type parameter is invalid.")
	}
	token := rand.Text()
	r := &request{secret: rand.Text(), back: back, readOnly: access == "read", until: s.opts.Now().Add(pageLife)}
	s.signIn.requests[token] = r
	return formAnswer(url.Values{"oauth_token": {token}, "oauth_token_secret": {r.secret}, "oauth_callback_confirmed": {"true"}})
}

// authenticatePage serves GET oauth/authorize and GET oauth/authenticate, which
// sends those straight back who are signed in and have agreed before. A no leads
// back at once; X shows a page in between that leads there.
func (s *Server) authenticatePage(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	token := c.query.Get("oauth_token")
	r := s.signIn.requests[token]
	if r == nil || r.account != "" {
		return wentWrong("There is no such request token, or it was used before, or it is too old.")
	}
	approval := func(account string) string {
		if r.readOnly {
			return account + " read"
		}
		return account + " write"
	}
	a := &asking{back: r.back, deny: url.Values{"denied": {token}}}
	a.allow = func(account string) url.Values {
		if r.account != "" || s.signIn.requests[token] != r {
			return nil
		}
		r.account, r.verifier = account, rand.Text()
		s.signIn.approved[approval(account)] = true
		return url.Values{"oauth_token": {token}, "oauth_verifier": {r.verifier}}
	}
	if id, _ := s.browser(c); strings.HasSuffix(c.r.URL.Path, "/authenticate") && c.query.Get("force_login") != "true" &&
		s.accounts[id] != nil && s.signIn.approved[approval(id)] {
		return sendBack(a.back, a.allow(id))
	}
	wants := []string{"See posts, your lists, and who you are.", scopes["users.email"]}
	if !r.readOnly {
		wants = append(wants, scopes["tweet.write"], "Change whom you follow, and your profile.")
	}
	return s.ask(c, "The app "+s.consumerKey, wants, a)
}

// accessToken serves POST oauth/access_token. A request token works once. The same
// account gets the same token again.
func (s *Server) accessToken(c *call) answer {
	oauth := oauthOf(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	token := oauth["oauth_token"]
	r := s.signIn.requests[token]
	if r == nil {
		return badToken
	}
	if !s.signed(c.r, oauth, r.secret, c.query, c.form) {
		return badSignature
	}
	verifier := cmp.Or(oauth["oauth_verifier"], c.params().Get("oauth_verifier"))
	if r.account == "" || subtle.ConstantTimeCompare([]byte(verifier), []byte(r.verifier)) != 1 {
		return badToken
	}
	delete(s.signIn.requests, token)
	a := s.accounts[r.account]
	key, secret := a.token, a.secret
	if r.readOnly {
		a.readKeys()
		key, secret = a.readToken, a.readSecret
	}
	return formAnswer(url.Values{"oauth_token": {key}, "oauth_token_secret": {secret}, "user_id": {a.ID}, "screen_name": {a.Handle}})
}

// oauthOf reads the OAuth parameters of the Authorization header; nil if there are
// none, which no signature fits.
func oauthOf(c *call) map[string]string {
	scheme, rest, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "OAuth") {
		return nil
	}
	params, err := parseOAuthHeader(rest)
	if err != nil {
		return nil
	}
	return params
}

// formAnswer is an answer in the form of a form, which X calls HTML.
func formAnswer(v url.Values) answer {
	return answer{status: http.StatusOK, text: v.Encode(), header: http.Header{
		"Content-Type": {"text/html;charset=utf-8"}, "Cache-Control": {"no-store"},
	}}
}
