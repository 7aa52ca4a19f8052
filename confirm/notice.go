package confirm

import (
	"context"

	"hashtill/offers"
	"hashtill/offers/words"
)

// What has changed about the safety of an account its buyer is told by mail: another
// address (see join.go), another card, a freeze (see notme.go). A browser that is new
// needs no notice of its own: it gets nowhere before a code from a mail is typed there.

// cardMail says that a card was added.
func (p *pages) cardMail(say words.Words, handle string, card offers.Card, account string) Mail {
	l := letterTo(say, handle, "card", map[string]any{"Card": cardEnding(say, card)})
	l.Button, l.Link = say.Say("mail.reason.account", nil), account
	l.Notes = []string{say.Say("mail.card.not_me", nil)}
	return p.write(l)
}

// tellNewCard tells a buyer of a card that the account did not have before; with the first
// one they have only just registered. It is a courtesy: where it does not get through,
// nothing waits for it.
func (c *Counter) tellNewCard(ctx context.Context, before offers.Buyer, card offers.Card) {
	if _, had := before.Card(card.ID); had || before.Email == "" {
		return
	}
	mail := c.pages.cardMail(words.For(before.Lang), before.Handle, card, c.PublicURL+"/account")
	mail.ID, mail.To = "card/"+before.Account.String()+"/"+card.ID, before.Email
	if err := c.Mailer.Send(ctx, mail); err != nil {
		c.Log.Warn("the buyer cannot be told of a card", "account", before.Account.String(), "err", err)
	}
}
