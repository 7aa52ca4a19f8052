package x

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/dghubble/oauth1"
)

// ClassicSignIn lets people sign in with X by OAuth 1.0a in three legs
// (https://docs.x.com/x-for-websites/log-in-with-x/guides/implementing-sign-in-with-x).
// It asks for the right to read only, whatever the app may do else. It may be used
// by many goroutines.
//
// The token that it gets is dropped, and not invalidated: X has one per app and
// account, and the bot's own could be it.
type ClassicSignIn struct{ signIn }

// NewClassicSignIn returns sign-in by OAuth 1.0a. It talks to nobody yet; the error
// lists all that is wrong with the configuration.
func NewClassicSignIn(cfg SignInConfig) (*ClassicSignIn, error) {
	s, err := newSignIn(cfg, "/oauth/authenticate", credential{"consumer key", cfg.ConsumerKey}, credential{"consumer secret", cfg.ConsumerSecret})
	if err != nil {
		return nil, err
	}
	return &ClassicSignIn{s}, nil
}

// leg is beneath oauth1 for one of its calls: it binds the request to a context,
// which oauth1 does not know, bounds the answer, and keeps its status.
type leg struct {
	ctx    context.Context
	base   http.RoundTripper
	status int // 0 before the answer
}

// RoundTrip implements http.RoundTripper.
func (l *leg) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(l.ctx)
	r.Header.Set("User-Agent", "hashtill")
	resp, err := l.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	l.status = resp.StatusCode
	resp.Body = &boundedBody{io.LimitReader(resp.Body, 64<<10), resp.Body}
	return resp, nil
}

// call makes one call of oauth1. Its errors repeat what X has answered, and so are
// not passed on.
func (s *ClassicSignIn) call(ctx context.Context, path, back string, do func(*oauth1.Config) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	l := &leg{ctx: ctx, base: s.base}
	c := oauth1.NewConfig(s.cfg.ConsumerKey, s.cfg.ConsumerSecret)
	c.CallbackURL = back
	c.HTTPClient = &http.Client{Transport: l, CheckRedirect: noRedirect}
	c.Endpoint = oauth1.Endpoint{
		RequestTokenURL: s.cfg.APIURL + "/oauth/request_token?x_auth_access_type=read",
		AuthorizeURL:    s.cfg.AuthorizeURL,
		AccessTokenURL:  s.cfg.APIURL + "/oauth/access_token",
	}
	err := do(c)
	switch unsent := new(url.Error); {
	case err == nil:
		return nil
	case l.status != 0 && l.status/100 != 2:
		return &signInError{request: "POST " + path, status: l.status}
	case errors.As(err, &unsent):
		return fmt.Errorf("x: POST %s: %w", path, unsent.Err)
	case ctx.Err() != nil:
		return fmt.Errorf("x: POST %s: %w", path, ctx.Err())
	}
	return fmt.Errorf("x: POST %s: the answer holds no token", path)
}

// Begin is that of [SignIn.Begin]. It asks X for a request token, and fails if X
// does not answer.
func (s *ClassicSignIn) Begin(ctx context.Context, back string) (to, keep string, err error) {
	if !isHTTP(back) || len(back) > maxBack {
		return "", "", errors.New("x: begin signing in: no address to come back to")
	}
	ctx, cancel := context.WithTimeout(ctx, signInTimeout)
	defer cancel()
	var token, secret string
	var page *url.URL
	err = s.twice(ctx, func() error {
		return s.call(ctx, "/oauth/request_token", back, func(c *oauth1.Config) (err error) {
			if token, secret, err = c.RequestToken(); err == nil {
				page, err = c.AuthorizationURL(token)
			}
			return err
		})
	})
	switch {
	case err != nil:
		return "", "", err
	case len(token) > maxParam || len(secret) > maxSecret:
		return "", "", errors.New("x: POST /oauth/request_token: the answer is too long")
	}
	keep, err = s.keep(token, secret, back)
	return page.String(), keep, err
}

// Finish is that of [SignIn.Finish].
func (s *ClassicSignIn) Finish(ctx context.Context, back, keep string, query url.Values) (Person, error) {
	ctx, cancel := context.WithTimeout(ctx, signInTimeout)
	defer cancel()
	k, err := s.came(back, keep, query, "oauth_token", "denied")
	switch {
	case err != nil:
		return Person{}, err
	case query.Has("denied"):
		return Person{}, &NobodyError{"the person has said no"}
	case query.Get("oauth_verifier") == "":
		return Person{}, &NobodyError{"the answer holds no verifier"}
	}
	var token *oauth1.Token
	err = s.twice(ctx, func() error {
		return s.call(ctx, "/oauth/access_token", back, func(c *oauth1.Config) error {
			key, secret, err := c.AccessToken(k.Public, k.Secret, query.Get("oauth_verifier"))
			token = oauth1.NewToken(key, secret)
			return err
		})
	})
	// The keys of the app were good for the request token, so it is the token that X
	// does not take.
	if refused := new(signInError); errors.As(err, &refused) && (refused.status == http.StatusUnauthorized || refused.status == http.StatusBadRequest) {
		return Person{}, &NobodyError{"X does not take the request token: it works once, and not for long"}
	}
	if err != nil {
		return Person{}, err
	}
	base := context.WithValue(ctx, oauth1.HTTPClient, &http.Client{Transport: s.base})
	return s.verify(ctx, oauth1.NewClient(base, oauth1.NewConfig(s.cfg.ConsumerKey, s.cfg.ConsumerSecret), token).Transport)
}

// verify asks GET account/verify_credentials, which is documented to tell the
// e-mail address
// (https://developer.x.com/en/docs/x-api/v1/accounts-and-users/manage-account-settings/api-reference/get-account-verify_credentials),
// and GET /2/users/me where X has closed that.
func (s *ClassicSignIn) verify(ctx context.Context, via http.RoundTripper) (Person, error) {
	var u struct {
		ID     json.Number
		IDStr  string `json:"id_str"`
		Handle string `json:"screen_name"`
		Lang   string
		Email  string
	}
	err := s.twice(ctx, func() error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet,
			s.cfg.APIURL+"/1.1/account/verify_credentials.json?include_email=true&include_entities=false&skip_status=true", nil)
		if err != nil {
			return err
		}
		return s.ask(via, r, &u)
	})
	closed := new(signInError)
	if errors.As(err, &closed) && (closed.status == http.StatusForbidden || closed.status == http.StatusNotFound || closed.status == http.StatusGone) {
		return s.me(ctx, via)
	}
	if err != nil {
		return Person{}, err
	}
	id := u.IDStr
	if id == "" {
		id = u.ID.String()
	}
	return person(id, u.Handle, u.Lang, u.Email)
}
