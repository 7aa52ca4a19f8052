package main

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"time"

	"hashtill/bot/x"
	"hashtill/confirm"
	"hashtill/offers"
)

// signInWith is how buyers sign in, nil where they cannot.
func signInWith(cfg Config, log *slog.Logger, now func() time.Time) (confirm.SignIn, error) {
	c := x.SignInConfig{
		APIURL: cfg.X.APIURL, AuthorizeURL: cfg.X.AuthorizeURL,
		ClientID: cfg.X.ClientID, ClientSecret: string(cfg.X.ClientSecret),
		ConsumerKey: string(cfg.X.ConsumerKey), ConsumerSecret: string(cfg.X.ConsumerSecret), Log: log, Now: now,
	}
	switch cfg.X.SignIn {
	case "oauth2":
		s, err := x.NewSignIn(c)
		return xSignIn{s}, err
	case "oauth1":
		s, err := x.NewClassicSignIn(c)
		return xSignIn{s}, err
	}
	return nil, nil
}

// xSignIn has people sign in with X. It stands here because neither room knows the other.
type xSignIn struct {
	x interface {
		Begin(ctx context.Context, back string) (to, keep string, err error)
		Finish(ctx context.Context, back, keep string, query url.Values) (x.Person, error)
	}
}

var _ confirm.SignIn = xSignIn{}

// Network implements [confirm.SignIn].
func (xSignIn) Network() string { return "x" }

// Begin implements [confirm.SignIn].
func (s xSignIn) Begin(ctx context.Context, back string) (to, keep string, err error) {
	return s.x.Begin(ctx, back)
}

// Finish implements [confirm.SignIn].
func (s xSignIn) Finish(ctx context.Context, back, keep string, query url.Values) (confirm.Person, error) {
	p, err := s.x.Finish(ctx, back, keep, query)
	if nobody := (*x.NobodyError)(nil); errors.As(err, &nobody) {
		return confirm.Person{}, &confirm.RefusedError{Why: nobody.Why}
	}
	return confirm.Person{
		Account: offers.Account{Network: "x", ID: p.ID}, Handle: p.Handle, Lang: p.Lang, Email: offers.Email(p.Email),
	}, err
}
