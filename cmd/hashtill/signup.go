package main

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// signsUp registers a person's card as the person would: at the shop, at X, in the
// mailbox and at Stripe, page by page.
func (p *play) signsUp(ctx context.Context, who *person) error {
	shop := p.cfg.PublicURL
	pg, err := p.browse(ctx, http.MethodPost, shop+"/join/sign-in", nil)
	if err != nil {
		return err
	}
	asks, err := p.browse(ctx, http.MethodGet, pg.next, nil)
	if err != nil {
		return err
	}
	p.say(who.Handle, "signs in with X", asks.head)
	pg, err = p.browse(ctx, http.MethodPost, asks.at.String(), url.Values{
		"account": {who.ID}, "asking": {hiddenValue(asks.body, "asking")}, "decision": {"allow"},
	})
	if err != nil {
		return err
	}
	p.say(who.Handle, "reads", pg.head)
	if pg, err = p.browse(ctx, http.MethodPost, shop+"/join/email", url.Values{"email": {who.Email}}); err != nil {
		return err
	}
	m, err := p.getsMail(ctx, who, 1)
	if err != nil {
		return err
	}
	code, _, _ := strings.Cut(m.Subject, " ")
	if pg, err = p.browse(ctx, http.MethodPost, shop+"/join/code", url.Values{"code": {code}}); err != nil {
		return err
	}
	if pg, err = p.browse(ctx, http.MethodPost, pg.next, url.Values{"number": {who.Card}, "exp": {"12/34"}, "cvc": {"123"}}); err != nil {
		return err
	}
	p.say(who.Handle, "saves a card at Stripe", pg.head)
	if pg.at.Path != "/account" || !strings.Contains(pg.body, who.Card[len(who.Card)-4:]) {
		return fmt.Errorf("the way to a saved card ends at %s: %s", pg.at.Path, pg.head)
	}
	return nil
}

// hiddenValue is the value of a hidden field of a page.
func hiddenValue(body, name string) string {
	m := regexp.MustCompile(`name="` + regexp.QuoteMeta(name) + `" value="([^"]*)"`).FindStringSubmatch(body)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}
