package xtest

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// This file is OAuth 2.0 with PKCE as X has it
// (https://docs.x.com/fundamentals/authentication/oauth-2-0/authorization-code,
// https://docs.x.com/fundamentals/authentication/oauth-2-0/user-access-token).
// X takes code_challenge_method=plain as well, which nobody should use (RFC 7636,
// 4.2); the stand-in does not.

const (
	codeLife  = 30 * time.Second
	tokenLife = 2 * time.Hour
	maxState  = 500 // characters
)

// grant is what somebody has agreed to: behind a code first, behind a token then.
type grant struct {
	until     time.Time
	client    string
	account   string
	scopes    []string
	back      string // of a code
	challenge string // of a code
}

// scopes are the rights there are, and what the page calls them.
var scopes = map[string]string{
	"block.read":           "See the accounts that you block.",
	"block.write":          "Block and unblock accounts for you.",
	"bookmark.read":        "See your bookmarks.",
	"bookmark.write":       "Bookmark posts for you.",
	"dm.read":              "Read your direct messages.",
	"dm.write":             "Send direct messages for you.",
	"follows.read":         "See whom you follow and who follows you.",
	"follows.write":        "Follow and unfollow people for you.",
	"like.read":            "See what you have liked.",
	"like.write":           "Like posts for you.",
	"list.read":            "See your lists.",
	"list.write":           "Change your lists.",
	"media.write":          "Upload media for you.",
	"mute.read":            "See the accounts that you mute.",
	"mute.write":           "Mute and unmute accounts for you.",
	"offline.access":       "Stay connected to your account until you end it.",
	"space.read":           "See the spaces that you can see.",
	"tweet.moderate.write": "Hide replies to your posts.",
	"tweet.read":           "See the posts that you can see.",
	"tweet.write":          "Post for you.",
	"users.email":          "See your confirmed e-mail address.",
	"users.read":           "See the accounts that you can see, and who you are.",
}

// authorizePage serves GET /i/oauth2/authorize. X shows a page of its own for all
// that an app has done wrong, and sends nobody back with it.
func (s *Server) authorizePage(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, values := range c.query {
		if len(values) > 1 {
			return wentWrong("The parameter " + name + " is given twice.")
		}
	}
	q := c.query.Get
	app := s.signIn.apps[q("client_id")]
	if app == nil {
		return wentWrong("No app has this client_id.")
	}
	if !slices.Contains(app.backs, q("redirect_uri")) {
		return wentWrong("The redirect_uri is none of those that the app has registered.")
	}
	wanted := strings.Fields(q("scope"))
	switch {
	case q("response_type") != "code":
		return wentWrong("The response_type must be code.")
	case q("state") == "" || len([]rune(q("state"))) > maxState:
		return wentWrong("The state must have 1 to 500 characters.")
	case q("code_challenge_method") != "S256":
		return wentWrong("The code_challenge_method must be S256.")
	case !isChallenge(q("code_challenge")):
		return wentWrong("The code_challenge must be the SHA-256 of a verifier in base64url.")
	case len(wanted) == 0:
		return wentWrong("No scope is asked for.")
	}
	var words []string
	for _, scope := range wanted {
		if scopes[scope] == "" {
			return wentWrong("There is no scope " + scope + ".")
		}
		words = append(words, scopes[scope])
	}
	g := grant{client: app.id, scopes: wanted, back: q("redirect_uri"), challenge: q("code_challenge")}
	state := q("state")
	return s.ask(c, app.id, words, &asking{
		back: g.back,
		deny: url.Values{"error": {"access_denied"}, "state": {state}},
		allow: func(account string) url.Values {
			g := g
			g.account, g.until = account, s.opts.Now().Add(codeLife)
			code := rand.Text() + rand.Text()
			s.signIn.codes[code] = &g
			return url.Values{"code": {code}, "state": {state}}
		},
	})
}

// isChallenge says whether s is 32 bytes in base64url.
func isChallenge(s string) bool {
	b, err := base64.RawURLEncoding.DecodeString(s)
	return err == nil && len(b) == sha256.Size
}

// isVerifier says whether s has the form of a verifier (RFC 7636, 4.1).
func isVerifier(s string) bool {
	return len(s) >= 43 && len(s) <= 128 &&
		strings.IndexFunc(s, func(r rune) bool { return !isHandleRune(r) && r != '-' && r != '.' && r != '~' }) < 0
}

// oauthError is a refusal in the form of RFC 6749, 5.2.
func oauthError(status int, kind, description string) answer {
	a := answer{status: status, body: object{"error": kind, "error_description": description}, header: http.Header{"Cache-Control": {"no-store"}}}
	if status == http.StatusUnauthorized {
		a.header.Set("WWW-Authenticate", "Basic")
	}
	return a
}

// giveToken serves POST /2/oauth2/token. A code works once, whatever comes of it.
func (s *Server) giveToken(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	app, refusal, ok := s.client(c)
	if !ok {
		return refusal
	}
	f := c.form.Get
	switch f("grant_type") {
	case "authorization_code":
	case "":
		return missing("grant_type")
	case "refresh_token": // there are none without offline.access
		return oauthError(400, "invalid_request", "Value passed for the token was invalid.")
	default:
		return oauthError(400, "unsupported_grant_type", "The grant type is not supported.")
	}
	for _, name := range []string{"code", "redirect_uri", "code_verifier"} {
		if f(name) == "" {
			return missing(name)
		}
	}
	g := s.signIn.codes[f("code")]
	if g == nil || g.client != app.id {
		return oauthError(400, "invalid_request", "Value passed for the authorization code was invalid.")
	}
	delete(s.signIn.codes, f("code"))
	sum := sha256.Sum256([]byte(f("code_verifier")))
	switch {
	case f("redirect_uri") != g.back:
		return oauthError(400, "invalid_request", "Value passed for the redirect uri did not match the uri of the authorization code.")
	case !isVerifier(f("code_verifier")) || base64.RawURLEncoding.EncodeToString(sum[:]) != g.challenge:
		return oauthError(400, "invalid_request", "Value passed for the code verifier did not match the code challenge.")
	}
	token := rand.Text() + rand.Text()
	s.signIn.tokens[token] = &grant{client: g.client, account: g.account, scopes: g.scopes, until: s.opts.Now().Add(tokenLife)}
	return answer{status: 200, header: http.Header{"Cache-Control": {"no-store"}}, body: object{
		"token_type": "bearer", "expires_in": int(tokenLife / time.Second), "access_token": token, "scope": strings.Join(g.scopes, " "),
	}}
}

func missing(name string) answer {
	return oauthError(400, "invalid_request", "Missing required parameter ["+name+"].")
}

// client finds out which app calls: a confidential one by HTTP Basic, a public one
// by its client_id in the form.
func (s *Server) client(c *call) (a *app, refusal answer, ok bool) {
	if c.form == nil {
		return nil, oauthError(400, "invalid_request", "The Content-Type must be application/x-www-form-urlencoded."), false
	}
	for name, values := range c.form {
		if len(values) > 1 {
			return nil, oauthError(400, "invalid_request", "The parameter ["+name+"] is given twice."), false
		}
	}
	id, secret, basic := c.r.BasicAuth()
	if !basic {
		id = c.form.Get("client_id")
		if a = s.signIn.apps[id]; id == "" || a != nil && a.secret != "" {
			return nil, oauthError(401, "unauthorized_client", "Missing valid authorization header"), false
		}
		if a == nil {
			return nil, oauthError(401, "invalid_client", "Value passed for the client id was invalid."), false
		}
		return a, answer{}, true
	}
	id, idErr := url.QueryUnescape(id) // RFC 6749, 2.3.1
	secret, secretErr := url.QueryUnescape(secret)
	if a = s.signIn.apps[id]; idErr != nil || secretErr != nil || a == nil || a.secret == "" ||
		subtle.ConstantTimeCompare([]byte(secret), []byte(a.secret)) != 1 {
		return nil, oauthError(401, "unauthorized_client", "Missing valid authorization header"), false
	}
	if inForm := c.form.Get("client_id"); inForm != "" && inForm != id {
		return nil, oauthError(400, "invalid_request", "Value passed for the client id was invalid."), false
	}
	return a, answer{}, true
}

// revokeToken serves POST /2/oauth2/revoke. That a token is unknown is no error
// (RFC 7009, 2.2).
func (s *Server) revokeToken(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	app, refusal, ok := s.client(c)
	if !ok {
		return refusal
	}
	token := c.form.Get("token")
	if token == "" {
		return missing("token")
	}
	if g := s.signIn.tokens[token]; g != nil && g.client == app.id {
		delete(s.signIn.tokens, token)
	}
	return answer{status: 200, body: object{"revoked": true}}
}

// userOf returns who stands behind an OAuth 2.0 user token.
func (s *Server) userOf(token string) (c caller, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	g := s.signIn.tokens[token]
	if g == nil {
		return caller{}, false
	}
	return caller{accountID: g.account, scopes: g.scopes}, true
}
