package confirm

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"hashtill/offers"
)

// joinCard sends the browser to the wallet's page, where the card is typed in.
func (c *Counter) joinCard(w http.ResponseWriter, r *http.Request, m member) error {
	switch {
	case !m.maySave():
		http.Redirect(w, r, "/join", http.StatusSeeOther)
		return nil
	case len(m.buyer.Cards) >= offers.MaxCards:
		return c.accountAgain(w, r, m, offers.CardsMany)
	}
	// The number of the page is kept first: whatever is lost, the next has another key.
	var u offers.Signup
	err := c.Shop.EditSignup(r.Context(), m.Account, c.Now(), func(s *offers.Signup) error {
		s.Pages++
		if m.buyer.Customer != "" {
			s.Customer = m.buyer.Customer
		}
		u = *s
		return nil
	})
	if err != nil {
		return err
	}
	customer := u.Customer
	if customer == "" {
		customer, err = c.Wallet.Customer(r.Context(), Customer{
			Key: fmt.Sprintf("customer:%s:%d", m.Account, u.Began.UnixMilli()), Account: m.Account, Email: u.Email, Lang: m.say.Lang,
		})
		if no := (*RefusedError)(nil); errors.As(err, &no) {
			c.Log.Warn("no customer", "account", m.Account.String(), "why", no.Why)
			v := c.addressView(m, nil)
			v.Problem, v.Wrong = c.problem(m.say, walletRefused), wrongFields[walletRefused]
			c.render(w, r, http.StatusUnprocessableEntity, v)
			return nil
		} else if err != nil {
			return err
		}
	}
	page, err := c.Wallet.Begin(r.Context(), Saving{
		Key: fmt.Sprintf("saving:%s:%d:%d", m.Account, u.Began.UnixMilli(), u.Pages), Customer: customer, Account: m.Account,
		Lang: m.say.Lang, DoneURL: c.cardSavedURL(), BackURL: c.PublicURL + "/join",
	})
	if err != nil {
		return err
	}
	err = c.Shop.EditSignup(r.Context(), m.Account, c.Now(), func(s *offers.Signup) error {
		s.Customer = customer
		s.Begin(page.ID)
		return nil
	})
	if err != nil {
		return err
	}
	c.away(w, r, m.say, page.URL)
	return nil
}

// cardSaved is where the wallet sends the browser back. It asks the wallet what became of
// the page and keeps that, as the outbox would a little later by itself: a GET that
// brings nothing about, and only does not let the buyer wait.
func (c *Counter) cardSaved(w http.ResponseWriter, r *http.Request, m member) error {
	open, saved := false, false
	for _, page := range m.signup.Open {
		over, kept, err := c.lookForCard(r.Context(), m.Account, page)
		if err != nil {
			return err
		}
		open, saved = open || !over, saved || kept
	}
	if open && !saved {
		c.render(w, r, http.StatusOK, view{Lang: m.say.Lang, Kind: "wait", Title: m.say.Say("join.saving.title", nil), Text: m.say.Say("join.saving.text", nil), Refresh: 3,
			Away: button{To: "/join/card", Label: m.say.Say("page.wait.again", nil), Quiet: true}})
		return nil
	}
	m, err := c.member(r, m.visitor)
	switch {
	case err != nil:
		return err
	case !m.registered():
		http.Redirect(w, r, "/join", http.StatusSeeOther)
	case saved:
		c.goOn(w, r, m.buyer, "/account"+cardIsSaved)
	default:
		http.Redirect(w, r, "/account", http.StatusSeeOther)
	}
	return nil
}

// cardIsSaved marks the address of the account's page for those who have just saved one.
const cardIsSaved = "?saved"

// saving looks whether a card was saved on a page of the wallet, and keeps it.
func (c *Counter) saving(ctx context.Context, a offers.Account, page string) (over bool, err error) {
	over, _, err = c.lookForCard(ctx, a, page)
	return over, err
}

// lookForCard is saving, and says whether there was a card to keep.
func (c *Counter) lookForCard(ctx context.Context, a offers.Account, page string) (over, kept bool, err error) {
	got, err := c.Wallet.Saved(ctx, page)
	no := (*RefusedError)(nil)
	switch {
	case errors.As(err, &no):
		c.Log.Warn("no card was saved", "why", no.Why)
	case err != nil:
		return false, false, err
	case got.Status == SavingOpen:
		return false, false, nil
	case got.Status == Saved:
		before, err := c.Shop.Buyer(ctx, a)
		if err != nil {
			return false, false, err
		}
		err = c.Shop.SaveCard(ctx, a, page, got.Customer, got.Card, c.Now())
		switch {
		case err == nil:
			c.tellNewCard(ctx, before, got.Card)
			return true, true, nil
		case errors.Is(err, offers.ErrUnproven): // they are asked again to prove the address
			return false, false, nil
		case !errors.Is(err, offers.ErrInvalid):
			return false, false, err
		}
		c.Log.Error("a saved card cannot be kept", "account", a.String(), "err", err)
	}
	return true, false, c.Shop.EditSignup(ctx, a, c.Now(), func(u *offers.Signup) error { u.End(page); return nil })
}

// forgetCard and forgetCustomer forget at Stripe what was forgotten here.
func (c *Counter) forgetCard(ctx context.Context, card string) error {
	return c.gone(c.Wallet.Detach(ctx, card, "detach:"+card))
}

func (c *Counter) forgetCustomer(ctx context.Context, customer string) error {
	return c.gone(c.Wallet.Delete(ctx, customer, "delete:"+customer))
}

// gone: what the wallet will never forget for us, somebody has to look at.
func (c *Counter) gone(err error) error {
	if no := (*RefusedError)(nil); errors.As(err, &no) {
		c.Log.Error("the wallet refuses to forget: look at Stripe's dashboard", "why", no.Why)
		return nil
	}
	return err
}
