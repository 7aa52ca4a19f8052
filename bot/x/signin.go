package x

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Person is somebody who has signed in.
type Person struct {
	ID     string // account number
	Handle string // without '@'
	Lang   string // BCP 47, "" if X does not say
	Email  string // as X has it confirmed, "" if X does not say
}

// LogValue implements slog.LogValuer: a log gets to see the number only.
func (p Person) LogValue() slog.Value { return slog.StringValue(p.ID) }

// NobodyError says that nobody has signed in, and that trying the same again is of
// no use: the person has to begin anew. Every other error of Finish means that X
// was not there or that the app is not set up as X wants it.
type NobodyError struct {
	Why string // without anything secret or personal
}

func (e *NobodyError) Error() string { return "x: nobody has signed in: " + e.Why }

// SignInConfig says how people sign in.
type SignInConfig struct {
	APIURL       string // default https://api.x.com
	AuthorizeURL string // the page that asks; default https://x.com/i/oauth2/authorize, of OAuth 1.0a APIURL/oauth/authenticate

	// Of the app, from the developer portal. The client id and secret are those of
	// OAuth 2.0, the secret "" for a public client; the consumer key and secret are
	// those of OAuth 1.0a. The addresses that people come back to are registered
	// there, exactly.
	ClientID, ClientSecret      string
	ConsumerKey, ConsumerSecret string

	HTTP *http.Client // whose transport is used; default one of its own
	Log  *slog.Logger // default none
	Now  func() time.Time
}

// What X asks for and what is taken from it, in bytes.
const (
	maxBack     = 2000
	maxParam    = 1000 // of a query that comes back; codes of X have about 100
	maxParams   = 20   // in such a query
	maxSecret   = 4096 // a token
	maxIdentity = 1 << 20
)

const (
	signInLife    = 15 * time.Minute // from Begin to Finish
	signInTimeout = 25 * time.Second // for Begin, and for Finish without the revoking; somebody waits
	revokeTimeout = 3 * time.Second
)

// signInScopes are what is asked for: who it is, for which X wants tweet.read as
// well, and the e-mail address
// (https://docs.x.com/fundamentals/authentication/guides/v2-authentication-mapping).
// Never a right to write, never offline.access.
const signInScopes = "users.read tweet.read users.email"

// SignIn lets people sign in with X by OAuth 2.0, authorization code with PKCE
// (https://docs.x.com/fundamentals/authentication/oauth-2-0/authorization-code). It
// may be used by many goroutines.
type SignIn struct{ signIn }

// signIn is what both ways share.
type signIn struct {
	cfg  SignInConfig
	base http.RoundTripper
	log  *slog.Logger
}

// NewSignIn returns sign-in by OAuth 2.0. It talks to nobody yet; the error lists
// all that is wrong with the configuration.
func NewSignIn(cfg SignInConfig) (*SignIn, error) {
	s, err := newSignIn(cfg, "https://x.com/i/oauth2/authorize", credential{"OAuth 2.0 client id", cfg.ClientID})
	if err != nil {
		return nil, err
	}
	return &SignIn{s}, nil
}

type credential struct{ name, value string }

// newSignIn fills in the defaults and checks the rest; a page that begins with '/'
// is one of the API's.
func newSignIn(cfg SignInConfig, page string, needed ...credential) (signIn, error) {
	var errs []error
	if cfg.APIURL == "" {
		cfg.APIURL = "https://api.x.com"
	}
	cfg.APIURL = strings.TrimSuffix(cfg.APIURL, "/")
	if strings.HasPrefix(page, "/") {
		page = cfg.APIURL + page
	}
	if cfg.AuthorizeURL == "" {
		cfg.AuthorizeURL = page
	}
	for _, u := range []string{cfg.APIURL, cfg.AuthorizeURL} {
		if !isHTTP(u) {
			errs = append(errs, fmt.Errorf("x: %q is no http address", u))
		}
	}
	for _, c := range needed {
		if c.value == "" {
			errs = append(errs, fmt.Errorf("x: the %s is missing: create it in X's developer portal under Keys and tokens", c.name))
		}
	}
	if len(errs) > 0 {
		return signIn{}, errors.Join(errs...)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := signIn{cfg: cfg, log: cfg.Log.With("network", name)}
	switch {
	case cfg.HTTP == nil:
		s.base = http.DefaultTransport.(*http.Transport).Clone()
	case cfg.HTTP.Transport == nil:
		s.base = http.DefaultTransport
	default:
		s.base = cfg.HTTP.Transport
	}
	return s, nil
}

// isHTTP says whether s is an address for a browser.
func isHTTP(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && u.Fragment == ""
}

// kept is what Begin hands to Finish: of OAuth 2.0 the state and the verifier, of
// OAuth 1.0a the request token and its secret.
type kept struct {
	Public string    `json:"public"` // what the browser brings back
	Secret string    `json:"secret"` // what proves that the one who asks is the one who began
	Back   string    `json:"back"`
	Until  time.Time `json:"until"`
}

// keep makes the text that is given to Finish.
func (s *signIn) keep(public, secret, back string) (string, error) {
	data, err := json.Marshal(kept{public, secret, back, s.cfg.Now().Add(signInLife).UTC()})
	return string(data), err
}

// came checks the query with which a browser has come back: that it belongs to
// what was kept, by the parameter named public, or if X says no, by the one named
// denied.
func (s *signIn) came(back, keep string, query url.Values, public, denied string) (kept, error) {
	var k kept
	if len(keep) > maxBack+2*maxSecret || json.Unmarshal([]byte(keep), &k) != nil || k.Public == "" || k.Secret == "" {
		return kept{}, &NobodyError{"this browser has not begun to sign in, or has finished"}
	}
	if k.Back != back {
		return kept{}, errors.New("x: finish signing in: not the address that it was begun with")
	}
	if !s.cfg.Now().Before(k.Until) {
		return kept{}, &NobodyError{"it took too long"}
	}
	if len(query) > maxParams {
		return kept{}, &NobodyError{"the answer is too long"}
	}
	for _, values := range query {
		if len(values) != 1 {
			return kept{}, &NobodyError{"the answer says something twice"}
		}
		if len(values[0]) > maxParam {
			return kept{}, &NobodyError{"the answer is too long"}
		}
	}
	if query.Has(denied) {
		public = denied
	}
	if subtle.ConstantTimeCompare([]byte(query.Get(public)), []byte(k.Public)) != 1 {
		return kept{}, &NobodyError{"the answer is not the one that was asked for"}
	}
	return k, nil
}

// Begin returns the page of X that the browser is sent to, and what Finish needs
// and nobody else may see: it is kept for this browser alone, and forgotten when
// Finish is called. It is good for 15 minutes. From the page the
// browser comes to back, an address that is registered with X exactly.
func (s *SignIn) Begin(_ context.Context, back string) (to, keep string, err error) {
	if !isHTTP(back) || len(back) > maxBack {
		return "", "", errors.New("x: begin signing in: no address to come back to")
	}
	state, verifier := rand.Text(), rand.Text()+rand.Text() // 130 bits, and 52 characters of the 43 to 128 (RFC 7636, 4.1)
	challenge := sha256.Sum256([]byte(verifier))
	page, err := url.Parse(s.cfg.AuthorizeURL)
	if err != nil {
		return "", "", err
	}
	q := page.Query()
	for name, value := range map[string]string{
		"response_type":         "code",
		"client_id":             s.cfg.ClientID,
		"redirect_uri":          back,
		"scope":                 signInScopes,
		"state":                 state,
		"code_challenge":        base64.RawURLEncoding.EncodeToString(challenge[:]),
		"code_challenge_method": "S256",
	} {
		q.Set(name, value)
	}
	page.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20") // as X writes it
	keep, err = s.keep(state, verifier, back)
	return page.String(), keep, err
}

// Finish reads the query with which the browser came to back, and asks X who that
// is. A *[NobodyError] says that nobody has signed in. The code of a query works
// once: whoever comes with it again is nobody, also when the first answer was lost.
// The token is used once and revoked.
func (s *SignIn) Finish(ctx context.Context, back, keep string, query url.Values) (Person, error) {
	ctx, cancel := context.WithTimeout(ctx, signInTimeout)
	defer cancel()
	k, err := s.came(back, keep, query, "state", "state")
	if err != nil {
		return Person{}, err
	}
	switch problem := query.Get("error"); {
	case problem == "access_denied":
		return Person{}, &NobodyError{"the person has said no"}
	case slices.Contains(oauthErrors, problem):
		return Person{}, fmt.Errorf("x: the page that asks has failed: %s", problem)
	case query.Has("error"):
		return Person{}, errors.New("x: the page that asks has failed")
	case query.Get("code") == "":
		return Person{}, &NobodyError{"the answer holds no code"}
	}
	token, err := s.token(ctx, back, query.Get("code"), k.Secret)
	if err != nil {
		return Person{}, err
	}
	defer s.revoke(context.WithoutCancel(ctx), token)
	return s.me(ctx, bearerOf{s.base, token})
}

// oauthErrors are the refusals of RFC 6749, 4.1.2.1 and 5.2: the only words of an
// answer that are passed on.
var oauthErrors = []string{"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
	"unsupported_response_type", "invalid_scope", "server_error", "temporarily_unavailable"}

// token trades the code for a token. If the answer is lost it asks again, and so
// learns whether the code is spent.
func (s *SignIn) token(ctx context.Context, back, code, verifier string) (string, error) {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {back}, "code_verifier": {verifier}}
	var answer struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
	}
	err := s.twice(ctx, func() error { return s.post(ctx, "/2/oauth2/token", form, &answer) })
	if refused := new(signInError); errors.As(err, &refused) && refused.status == http.StatusBadRequest &&
		(refused.code == "invalid_grant" || refused.code == "invalid_request") { // X says invalid_request of a code that is spent or too old
		return "", &NobodyError{"X does not take the code: it works once, and for 30 seconds"}
	}
	switch {
	case err != nil:
		return "", err
	case answer.AccessToken == "" || len(answer.AccessToken) > maxSecret || !strings.EqualFold(answer.TokenType, "bearer"):
		return "", errors.New("x: POST /2/oauth2/token: the answer holds no token")
	}
	return answer.AccessToken, nil
}

// revoke makes a token worthless, if X can be reached
// (https://docs.x.com/fundamentals/authentication/oauth-2-0/user-access-token). If
// not, it is within two hours.
func (s *SignIn) revoke(ctx context.Context, token string) {
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	if err := s.post(ctx, "/2/oauth2/revoke", form, new(struct{})); err != nil {
		s.log.WarnContext(ctx, "token not revoked", "err", err)
	}
}

// post sends a form to an endpoint of OAuth 2.0 in the name of the app: a
// confidential client signs in by HTTP Basic, a public one only says who it is.
func (s *SignIn) post(ctx context.Context, path string, form url.Values, answer any) error {
	if s.cfg.ClientSecret == "" {
		form.Set("client_id", s.cfg.ClientID)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.APIURL+path, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if s.cfg.ClientSecret != "" {
		r.SetBasicAuth(url.QueryEscape(s.cfg.ClientID), url.QueryEscape(s.cfg.ClientSecret)) // RFC 6749, 2.3.1
	}
	return s.ask(s.base, r, answer)
}

// bearerOf sends requests with a bearer token.
type bearerOf struct {
	base  http.RoundTripper
	token string
}

// RoundTrip implements http.RoundTripper.
func (b bearerOf) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.base.RoundTrip(r)
}

// signInError is a request that X has answered with no. X's words are not in it:
// they may repeat what was sent.
type signInError struct {
	request string // "GET /2/users/me"
	status  int
	code    string // one of oauthErrors, or ""
}

func (e *signInError) Error() string {
	text := fmt.Sprintf("x: %s: %d %s", e.request, e.status, http.StatusText(e.status))
	if e.code != "" {
		text += ": " + e.code
	}
	if e.status == http.StatusUnauthorized || e.status == http.StatusForbidden {
		text += "; check the client id and secret, or the consumer key and secret, and that the app may ask for e-mail addresses and knows the address to come back to (developer portal)"
	}
	return text
}

// ask sends a request and reads the JSON of its answer. An answer other than 2xx is
// a *signInError.
func (s *signIn) ask(via http.RoundTripper, r *http.Request, answer any) error {
	r.Header.Set("User-Agent", "hashtill")
	r.Header.Set("Accept", "application/json")
	request := r.Method + " " + r.URL.Path
	client := http.Client{Transport: via, CheckRedirect: noRedirect, Timeout: callTimeout}
	resp, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("x: %s: %w", request, withoutAddress(err))
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxIdentity+1))
	if resp.StatusCode/100 != 2 {
		e := &signInError{request: request, status: resp.StatusCode}
		var refusal struct{ Error string }
		if json.Unmarshal(data, &refusal) == nil && slices.Contains(oauthErrors, refusal.Error) {
			e.code = refusal.Error
		}
		return e
	}
	switch {
	case err != nil:
		return fmt.Errorf("x: %s: %w", request, err)
	case len(data) > maxIdentity:
		return fmt.Errorf("x: %s: the answer has more than %d bytes", request, maxIdentity)
	case decode(data, answer) != nil:
		return fmt.Errorf("x: %s: the answer cannot be read", request)
	}
	return nil
}

// withoutAddress takes the address out of an error of package http.
func withoutAddress(err error) error {
	if e := new(url.Error); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// twice tries once more if X has not answered, or not as itself.
func (s *signIn) twice(ctx context.Context, do func() error) error {
	err := do()
	refused := new(signInError)
	if err == nil || ctx.Err() != nil || errors.As(err, &refused) && refused.status < 500 {
		return err
	}
	s.log.WarnContext(ctx, "sign-in tried again", "err", err)
	return do()
}

// me asks GET /2/users/me (https://docs.x.com/x-api/users/get-my-user). If X does
// not want to tell the address, it is asked without.
func (s *signIn) me(ctx context.Context, via http.RoundTripper) (Person, error) {
	var answer struct {
		Data struct {
			ID       string
			Username string
			Email    string `json:"confirmed_email"`
		}
	}
	get := func(query string) error {
		return s.twice(ctx, func() error {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.cfg.APIURL+"/2/users/me"+query, nil)
			if err != nil {
				return err
			}
			return s.ask(via, r, &answer)
		})
	}
	err := get("?user.fields=confirmed_email")
	if refused := new(signInError); errors.As(err, &refused) && (refused.status == http.StatusBadRequest || refused.status == http.StatusForbidden) {
		err = get("")
	}
	if err != nil {
		return Person{}, err
	}
	return person(answer.Data.ID, answer.Data.Username, "", answer.Data.Email)
}

// person is whom X names, if it names anybody.
func person(id, handle, lang, email string) (Person, error) {
	if !isID(id) || handle == "" || len(handle) > 50 || strings.IndexFunc(handle, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) >= 0 {
		return Person{}, errors.New("x: ask who has signed in: the answer names no account")
	}
	if len(email) > 254 || !strings.Contains(email, "@") || strings.ContainsFunc(email, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		email = ""
	}
	if lang = language(lang); len(lang) > 35 {
		lang = ""
	}
	return Person{ID: id, Handle: handle, Lang: lang, Email: email}, nil
}
