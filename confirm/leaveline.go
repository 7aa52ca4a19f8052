package confirm

import (
	"net/http"

	"hashtill/offers"
	"hashtill/offers/words"
)

// The mail that says "you are in line" is the only one that is news and no more, and has
// more of its kind behind it; so it alone says how to unsubscribe (RFC 8058), and what that
// ends is the place in the line. All others a reader needs for a contract, for the payment,
// or for the safety of the account (Directive 2011/83/EU, Article 8(7), has the shop send
// the receipt), or they answer what was asked a moment ago, once. Thank-yous and invitations
// are public posts; "stop" ends those.

// leaveLineURL is the address at which one POST takes a purchase out of its line; "" where
// there is no https, without which RFC 8058 knows none.
func (c *Counter) leaveLineURL(p offers.Purchase) string {
	if !c.https() {
		return ""
	}
	return c.PublicURL + "/leave-line/" + c.Links.sign(toLeave, p.ID, p.Round)
}

func (c *Counter) leaveLineRoutes(page func(pattern string, h func(w http.ResponseWriter, r *http.Request) error)) {
	page("GET /leave-line/{token}", c.askLeaveLine)
	page("POST /leave-line/{token}", c.leaveLine)
}

// askLeaveLine is for the readers' programs that open the address instead. It changes
// nothing.
func (c *Counter) askLeaveLine(w http.ResponseWriter, r *http.Request) error {
	p, _, say, err := c.of(r, toLeave)
	if err != nil {
		return err
	}
	if c.hideToken(w, r, p, "") {
		return nil
	}
	if p.State != offers.Waiting {
		c.render(w, r, http.StatusOK, leftLineView(say, p))
		return nil
	}
	c.render(w, r, http.StatusOK, view{Lang: say.Lang, Title: say.Say("page.leave_line.title", nil),
		Text:    say.Say("page.leave_line.text", map[string]any{"Title": p.Title}),
		Buttons: []button{{To: "/leave-line/" + r.PathValue("token"), Label: say.Say("page.waiting.leave", nil)}}})
	return nil
}

// leaveLine takes the purchase out of its line. It answers without a redirect, as the
// readers' mail servers want it (RFC 8058, section 3.1). Where its turn has come there is
// no line any more to leave, and what is held stays held: the page says so.
func (c *Counter) leaveLine(w http.ResponseWriter, r *http.Request) error {
	p, _, say, err := c.of(r, toLeave)
	if err != nil {
		return err
	}
	if p.State == offers.Waiting {
		// Its turn may have come this moment.
		if p, err = c.Shop.LeaveLine(r.Context(), p.ID, p.Buyer, c.Now()); err != nil {
			return err
		}
	}
	c.render(w, r, http.StatusOK, leftLineView(say, p))
	return nil
}

func leftLineView(say words.Words, p offers.Purchase) view {
	if !p.TurnAt.IsZero() && p.State != offers.Cancelled {
		return view{Lang: say.Lang, Title: say.Say("page.leave_line.turn", nil), Text: say.Say("page.leave_line.kept", map[string]any{"Title": p.Title})}
	}
	return view{Lang: say.Lang, Kind: "good", Title: say.Say("page.leave_line.left", nil), Text: say.Say("page.leave_line.done", map[string]any{"Title": p.Title})}
}
