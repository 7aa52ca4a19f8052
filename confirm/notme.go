package confirm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"hashtill/offers"
	"hashtill/offers/words"
)

// "This wasn't me": the way out for a reader of our mails whose account on the network is
// in somebody else's hands. Who holds the link can only do good by it, so that it asks for
// no sign-in, leads nowhere else, and works long after the purchase.

// notMeTime is how long after its purchase has ended a link still freezes: the buyer may
// learn of it by the next statements of the card.
const notMeTime = 90 * 24 * time.Hour

// Reasons that only this page has.
const (
	notMeOver offers.Reason = "not_me_over"
	notMeUsed offers.Reason = "not_me_used" // the buyer has lifted a freeze since the purchase was asked for
)

// notMeURL is the address in the mails.
func (c *Counter) notMeURL(p offers.Purchase) string {
	return c.PublicURL + "/not-me/" + c.Links.sign(toFreeze, p.ID, p.Round)
}

func (c *Counter) notMeRoutes(page func(pattern string, h func(w http.ResponseWriter, r *http.Request) error)) {
	page("GET /not-me/{token}", c.askNotMe)
	page("POST /not-me/{token}", c.notMe)
}

// of is the purchase that a request's token for some purpose names, with its buyer's words.
func (c *Counter) of(r *http.Request, to purpose) (p offers.Purchase, b offers.Buyer, say words.Words, err error) {
	token, err := c.token(r, to)
	if err != nil {
		return p, b, say, err
	}
	id, _, ok := c.Links.verify(to, token)
	if !ok {
		return p, b, say, &offers.Refusal{Reason: noLink}
	}
	if p, err = c.Shop.Purchase(r.Context(), id); errors.Is(err, offers.ErrNotFound) {
		return p, b, say, &offers.Refusal{Reason: noLink} // forgotten since
	} else if err != nil {
		return p, b, say, err
	}
	b, err = c.Shop.Buyer(r.Context(), p.Buyer)
	return p, b, words.For(b.Lang, p.Lang), err
}

// suspect is what both steps begin with. A link that is too old is a *[offers.Refusal], and
// so is one from before the buyer last lifted a freeze: else each mail of the past would
// undo that.
func (c *Counter) suspect(r *http.Request) (p offers.Purchase, b offers.Buyer, say words.Words, err error) {
	p, b, say, err = c.of(r, toFreeze)
	switch {
	case err != nil:
	case b.Registered.IsZero() || !b.LeavingAt.IsZero(): // nothing of them is left to freeze
		err = &offers.Refusal{Reason: noLink}
	case p.State.Ended() && c.Now().Sub(p.EndedAt) >= notMeTime:
		err = &offers.Refusal{Reason: notMeOver}
	case !b.Frozen && p.AskedAt.Before(b.UnfrozenAt):
		err = &offers.Refusal{Reason: notMeUsed}
	}
	return p, b, say, err
}

// askNotMe says what the button does, or what it has done. It changes nothing.
func (c *Counter) askNotMe(w http.ResponseWriter, r *http.Request) error {
	p, b, say, err := c.suspect(r)
	if err != nil {
		return err
	}
	if c.hideToken(w, r, p, "") {
		return nil
	}
	v := c.notMeView(say, p, "/not-me/"+r.PathValue("token"))
	if b.Frozen {
		v = c.frozenView(say, p, b)
	}
	v.Rows = statementRows(say, p)
	c.render(w, r, http.StatusOK, v)
	return nil
}

func (c *Counter) notMeView(say words.Words, p offers.Purchase, here string) view {
	text := "text"
	if !p.PaidAt.IsZero() {
		text = "paid"
	}
	return view{Lang: say.Lang, Title: say.Say("page.not_me.title", nil), Text: say.Say("page.not_me."+text, nil),
		Buttons: []button{{To: here, Label: say.Say("page.not_me.button", nil)}}, Note: say.Say("page.not_me.keep", nil)}
}

// frozenView says that everything is stopped, what became of the purchase, and the way
// back. It leads to no page of the purchase: the link in the mails is all that does.
func (c *Counter) frozenView(say words.Words, p offers.Purchase, b offers.Buyer) view {
	v := view{Lang: say.Lang, Kind: "good", Title: say.Say("page.not_me.done.title", nil), Text: say.Say("account.freeze."+frozenBy(b), nil)}
	switch {
	case undecided(p) || p.State == offers.Confirmed || p.State == offers.Challenged:
		v.Kind, v.Refresh = "wait", graceRefresh
		v.Text += " " + say.Say("page.stopping.text", nil)
	case p.State == offers.Refunded || p.State == offers.Paid && p.Left().Minor <= 0:
		v.Text += " " + say.Say("page.not_me.done.refunded", nil)
	case p.State == offers.Paid && p.WithdrawnAt.IsZero() && p.Withdrawable(c.Now()) == "":
		v.Text += " " + say.Say("page.not_me.done.withdraw", nil)
	case p.State == offers.Paid:
		v.Text += " " + say.Say("page.not_me.done.ask", nil)
	default:
		v.Text += " " + say.Say("page.not_me.done.nothing", nil)
	}
	v.Note = say.Say("mail.frozen.password", nil)
	if c.SignIn != nil && c.Wallet != nil && b.FrozenBy == offers.ByBuyer {
		v.Hint = hint{Text: say.Say("mail.frozen.back", nil), To: "/account", Label: say.Say("mail.reason.account", nil)}
	}
	return v
}

// notMe stops everything: the account first, so that nothing new begins meanwhile, then
// the purchase and every session. Doing it again does no harm, and mails nothing more.
func (c *Counter) notMe(w http.ResponseWriter, r *http.Request) error {
	p, b, say, err := c.suspect(r)
	if err != nil {
		return err
	}
	if err := c.Shop.Freeze(r.Context(), p.Buyer, offers.ByBuyer, c.Now()); err != nil {
		return err
	}
	_, err = c.Shop.Cancel(r.Context(), p.ID, p.Buyer, c.Now())
	if no := (*offers.Refusal)(nil); err != nil && !errors.As(err, &no) { // what cannot be cancelled the page says
		return err
	}
	if _, err := c.Shop.EndSessions(r.Context(), p.Buyer); err != nil {
		return err
	}
	if !b.Frozen {
		c.tellFrozen(r.Context(), say, p)
	}
	http.Redirect(w, r, "/not-me/"+r.PathValue("token"), http.StatusSeeOther)
	return nil
}

// tellFrozen mails the way back. The page says it too: where the mail does not get
// through, nothing waits for it.
func (c *Counter) tellFrozen(ctx context.Context, say words.Words, p offers.Purchase) {
	b, err := c.Shop.Buyer(ctx, p.Buyer)
	if err == nil && b.Frozen {
		account := ""
		if c.SignIn != nil && c.Wallet != nil {
			account = c.PublicURL + "/account"
		}
		mail := c.pages.frozenMail(say, p, account)
		// Two presses at once tell of one freeze.
		mail.ID, mail.To, mail.Thread = fmt.Sprintf("frozen/%s/%d", p.Buyer, b.Stopped.UnixNano()), b.Email, string(p.ID)
		err = c.Mailer.Send(ctx, mail)
	}
	if err != nil {
		c.Log.Warn("the buyer cannot be told of the freeze", "purchase", string(p.ID), "err", err)
	}
}
