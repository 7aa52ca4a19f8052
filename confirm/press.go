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

// cardField is the name of the form's field that says which card is to pay.
const cardField = "card"

// A choice is a card that a purchase can be paid with.
type choice struct {
	ID, Label, Note string
	Chosen          bool
	Dead            bool // it is shown, and cannot be chosen
}

// choices are the buyer's cards as the page of a purchase offers them; none where there
// is nothing to choose.
func (c *Counter) choices(say words.Words, p offers.Purchase, b offers.Buyer) []choice {
	cards, meant := b.Payable(p, c.Now())
	if len(cards) == 0 || len(cards) == 1 && cards[0].ID == p.Card.ID || meant.ID == "" {
		return nil
	}
	all := make([]choice, len(cards))
	for i, card := range cards {
		all[i] = choice{ID: card.ID, Label: cardEnding(say, card), Chosen: card.ID == meant.ID, Dead: card.Expired(c.Now())}
		switch until := map[string]any{"Date": fmt.Sprintf("%02d/%d", card.Month, card.Year)}; {
		case all[i].Dead:
			all[i].Note = say.Say("page.cards.expired", until)
		case p.State == offers.Declined && card.ID == p.Card.ID:
			all[i].Note = say.Say("page.cards.declined", nil)
		case card.Month > 0 && card.Year > 0:
			all[i].Note = say.Say("page.cards.until", until)
		}
	}
	return all
}

// offerToPay adds to a page what pays a purchase, with which card, and what calls it
// off. Where there is no card to choose it says how there can be one.
func (c *Counter) offerToPay(v *view, say words.Words, p offers.Purchase, b offers.Buyer, here, label string) {
	off := button{To: here + "/cancel", Label: say.Say("page.confirm.cancel", nil), Quiet: true}
	pay := button{To: here, Label: say.Say(label, map[string]any{"Total": p.Total.Format(say.Lang)}), Cards: c.choices(say, p, b)}
	if len(pay.Cards) == 0 {
		pay.Card = p.Card.ID // what is shown is what pays, whatever another window has chosen meanwhile
	}
	if len(pay.Cards) == 0 && c.SignIn != nil {
		v.Hint = hint{Text: say.Say("page.cards.add", nil), To: "/account", Label: say.Say("page.cards.account", nil)}
	} else if len(pay.Cards) > 0 {
		pay.Legend = say.Say("page.cards.legend", nil)
		if p.State == offers.Declined {
			pay.Legend = say.Say("page.cards.another", nil)
		}
		p.Card = offers.Card{} // the choice says it
		v.Rows = details(say, p, b)
	}
	v.Buttons = []button{pay, off}
}

// refusedView says why a button could not do what it says, and offers it again where it
// may a moment later.
func (c *Counter) refusedView(say words.Words, p offers.Purchase, b offers.Buyer, here string, why offers.Reason, err error) view {
	var over *offers.OverLimit
	var quiet *offers.QuietHoursError
	v := c.reasonView(say, why, nil)
	if undecided(p) {
		v = c.stoppingView(say)
	}
	v.Rows = details(say, p, b)
	switch {
	case errors.As(err, &over):
		v.Text, v.Note = say.Say("reason."+string(why)+".text", reasonArgs(say, *over, time.Time{})), say.Say("page.limit.again", nil)+" "
	case errors.As(err, &quiet):
		v.Text, v.Note = say.Say("reason."+string(why)+".text", reasonArgs(say, offers.OverLimit{}, quiet.Until)), say.Say("page.quiet.again", nil)+" "
	case p.State.Ended():
		return v
	case why == offers.SoldOut: // nothing was held for the press
		v.Text = say.Say("page.confirm.gone", nil)
	case why != offers.CardUnknown && why != offers.CardExpired:
		return v
	}
	v.Note += c.left(say, p, b)
	c.offerToPay(&v, say, p, b, here, "page.declined.again")
	return v
}

// undecided says that a purchase is over here, and that it is not known yet whether its
// last charge went through: the bank or Stripe may still say that it did.
func undecided(p offers.Purchase) bool {
	switch p.State {
	case offers.Expired, offers.Cancelled, offers.Refused:
		return p.Held > 0 && p.Attempt > 0
	}
	return false
}

// stoppingView says that, and promises nothing.
func (c *Counter) stoppingView(say words.Words) view {
	return view{Lang: say.Lang, Kind: "wait", Title: say.Say("page.stopping.title", nil), Text: say.Say("page.stopping.text", nil), Refresh: graceRefresh}
}

// A press waits this long for its outcome before it shows the waiting page.
const (
	pressWait = 8 * time.Second
	pressLook = 50 * time.Millisecond
)

// press is the click that charges.
func (c *Counter) press(w http.ResponseWriter, r *http.Request) error {
	p, b, say, round, err := c.behind(r)
	if err != nil {
		return err
	}
	if err := c.pass(&c.limits.press, r, p.Buyer); err != nil {
		return err
	}
	if err := r.ParseForm(); err != nil {
		return &offers.Refusal{Reason: pageForeign} // no form of ours is as large, or reads like that
	}
	p, err = c.Shop.Press(r.Context(), p.ID, round, r.PostForm.Get(cardField), c.Now())
	if done, err := c.refused(w, r, say, p, b, err); done || err != nil {
		return err
	}
	halted, err := c.halted(r.Context())
	if err != nil {
		return err
	}
	if !halted && !p.Revocable(c.Now()) {
		c.waitFor(r.Context(), p.ID, offers.Confirmed)
	}
	http.Redirect(w, r, "/c/"+r.PathValue("token"), http.StatusSeeOther)
	return nil
}

// cancel takes the purchase back.
func (c *Counter) cancel(w http.ResponseWriter, r *http.Request) error {
	p, b, say, _, err := c.behind(r)
	if err != nil {
		return err
	}
	p, err = c.Shop.Cancel(r.Context(), p.ID, p.Buyer, c.Now())
	if err != nil && p.WithdrawnAt.IsZero() && p.ShippedAt.IsZero() && p.Withdrawable(c.Now()) == "" {
		// Paid this moment: it can still be taken back, by a withdrawal.
		http.Redirect(w, r, "/c/"+r.PathValue("token")+"/withdraw", http.StatusSeeOther)
		return nil
	}
	if done, err := c.refused(w, r, say, p, b, err); done || err != nil {
		return err
	}
	http.Redirect(w, r, "/c/"+r.PathValue("token"), http.StatusSeeOther)
	return nil
}

// refused shows a refusal in the buyer's own language.
func (c *Counter) refused(w http.ResponseWriter, r *http.Request, say words.Words, p offers.Purchase, b offers.Buyer, err error) (bool, error) {
	var no *offers.Refusal
	if !errors.As(err, &no) {
		return false, err
	}
	c.render(w, r, statusOf(no.Reason), c.refusedView(say, p, b, "/c/"+r.PathValue("token"), no.Reason, err))
	return true, nil
}

// waitFor waits for a purchase to leave a state, for a while.
func (c *Counter) waitFor(ctx context.Context, id offers.ID, leave offers.State) {
	ctx, cancel := context.WithTimeout(ctx, pressWait)
	defer cancel()
	tick := time.NewTicker(pressLook)
	defer tick.Stop()
	for {
		if p, err := c.Shop.Purchase(ctx, id); err != nil || p.State != leave {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
