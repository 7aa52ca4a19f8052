package offers

import "time"

// A Card as a person knows it again. The number itself is only at Stripe.
type Card struct {
	ID    string `json:"id"` // Stripe's payment method
	Brand string `json:"brand"`
	Last4 string `json:"last4"`
	Month int    `json:"month,omitempty"` // until the end of which it is good; 0: not known
	Year  int    `json:"year,omitempty"`  // of four digits
}

// westmost is how far the last place where a month ends is behind UTC.
const westmost = 12 * time.Hour

// Expired says that the month until the end of which the card is good is over
// everywhere, as far as is known here: the bank may have renewed it meanwhile.
func (c Card) Expired(now time.Time) bool {
	if c.Month == 0 || c.Year == 0 {
		return false
	}
	return !now.Before(time.Date(c.Year, time.Month(c.Month)+1, 1, 0, 0, 0, 0, time.UTC).Add(westmost))
}

// choose finds the card that a press of a purchase's button is to be paid with, or why
// it cannot be that. Only one of the buyer's own may be chosen, at that moment. "" is the
// purchase's, as its id is; the date of that one is left to the bank.
func (b Buyer) choose(p Purchase, id string, now time.Time) (Card, Reason) {
	if id == "" {
		id = p.Card.ID
	}
	asBefore := id == p.Card.ID
	c, theirs := b.Card(id)
	switch {
	case !theirs && id != "":
		return Card{}, CardUnknown
	case !asBefore && c.Expired(now):
		return Card{}, CardExpired
	}
	return c, ""
}

// Payable are the cards that a buyer may choose from for a purchase, and the one that
// is meant if nobody chooses: the purchase's own, or where that is gone or has expired
// the buyer's first one that has not. Where all have expired none is meant.
func (b Buyer) Payable(p Purchase, now time.Time) (cards []Card, meant Card) {
	if c, theirs := b.Card(p.Card.ID); theirs && !c.Expired(now) {
		return b.Cards, c
	}
	for _, c := range b.Cards {
		if !c.Expired(now) {
			return b.Cards, c
		}
	}
	return b.Cards, Card{}
}
