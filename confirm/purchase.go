package confirm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"hashtill/offers"
	"hashtill/offers/words"
)

// behind is the purchase behind the link of a request, with its buyer's words.
func (c *Counter) behind(r *http.Request) (p offers.Purchase, b offers.Buyer, say words.Words, round int, err error) {
	token, err := c.token(r, toBuy)
	if err != nil {
		return p, b, say, 0, err
	}
	id, round, ok := c.Links.Verify(token)
	if !ok {
		return p, b, say, 0, &offers.Refusal{Reason: noLink}
	}
	if p, err = c.Shop.Purchase(r.Context(), id); errors.Is(err, offers.ErrNotFound) {
		return p, b, say, 0, &offers.Refusal{Reason: noLink} // forgotten since
	} else if err != nil {
		return p, b, say, 0, err
	}
	b, err = c.Shop.Buyer(r.Context(), p.Buyer)
	return p, b, words.For(b.Lang, p.Lang), round, err
}

// show shows a purchase as it stands. It changes nothing, however often and by
// whomever it is asked for.
func (c *Counter) show(w http.ResponseWriter, r *http.Request) error {
	p, b, say, round, err := c.behind(r)
	if err != nil {
		return err
	}
	here, mark := "/c/"+r.PathValue("token"), ""
	bank := r.URL.Query().Has("payment_intent")
	if bank || r.URL.RawQuery == fromBank[1:] {
		mark = fromBank
	}
	if c.hideToken(w, r, p, mark) {
		return nil
	}
	if bank {
		// The bank sends the buyer here with Stripe's parameters, one of which is a
		// secret: they leave the address bar
		// (https://docs.stripe.com/payments/3d-secure/authentication-flow).
		http.Redirect(w, r, here+fromBank, http.StatusSeeOther)
		return nil
	}
	n, err := c.nowOf(r.Context(), p)
	if err != nil {
		return err
	}
	n.back = mark != ""
	status, v := c.stateView(say, p, b, round, here, n)
	v.About = p.Title
	c.again(&v, say, p)
	c.watching(&v, here, p, n)
	c.render(w, r, status, v)
	return nil
}

// again leads from a purchase that came to nothing to its offer, while that can be bought.
func (c *Counter) again(v *view, say words.Words, p offers.Purchase) {
	over := p.State == offers.Mailed && !c.Now().Before(p.LinkEnds())
	if !over && p.State != offers.Expired && p.State != offers.Cancelled && p.State != offers.Refused || undecided(p) {
		return
	}
	if o, ok := c.Shop.OfferByTag(p.Tag); ok && o.Closed(c.Now()) == "" {
		v.Hint = hint{Text: say.Say("page.again.text", nil), To: offerPath(o), Label: say.Say("page.again.button", nil)}
	}
}

// nowOf finds out what a purchase's page says beside what is kept with the purchase.
func (c *Counter) nowOf(ctx context.Context, p offers.Purchase) (n now, err error) {
	switch p.State {
	case offers.Waiting:
		n.place, err = c.Shop.PlaceOf(ctx, p)
	case offers.Confirmed:
		n.halted, err = c.halted(ctx)
	}
	return n, err
}

// fromBank marks the address of a purchase's page for those who come from the
// bank's.
const fromBank = "?bank"

// now is what a purchase's page says beside what is kept with the purchase.
type now struct {
	back   bool // the buyer comes from the bank's page
	place  int  // in the line, where it waits
	halted bool // nothing is charged at the moment
}

// halted says whether the shop is halted.
func (c *Counter) halted(ctx context.Context) (bool, error) {
	h, err := c.Shop.Halted(ctx)
	return h != nil, err
}

// stateView is the page of a purchase, which stands at the path here.
func (c *Counter) stateView(say words.Words, p offers.Purchase, b offers.Buyer, round int, here string, n now) (int, view) {
	rows := details(say, p, b)
	bad := func(why offers.Reason) (int, view) {
		v := c.reasonView(say, why, reasonArgs(say, p.Over, p.QuietUntil))
		v.Rows = rows
		return cmp.Or(statuses[why], http.StatusOK), v
	}
	ok := func(v view) (int, view) {
		v.Lang, v.Rows = say.Lang, rows
		return http.StatusOK, v
	}
	over := !c.Now().Before(p.LinkEnds())
	if undecided(p) {
		return ok(c.stoppingView(say))
	}

	switch p.State {
	case offers.Confirmed:
		if p.Revocable(c.Now()) {
			v := c.graceView(say, p, here)
			if n.halted {
				v.Note += " " + say.Say("page.paused.text", nil)
			}
			return ok(v)
		}
		if n.halted {
			return ok(view{Kind: "wait", Title: say.Say("page.paused.title", nil), Text: say.Say("page.paused.text", nil), Refresh: graceRefresh})
		}
		return ok(view{Kind: "wait", Title: say.Say("page.wait.title", nil), Text: say.Say("page.wait.text", nil), Refresh: 2,
			Away: button{To: here, Label: say.Say("page.wait.again", nil), Quiet: true}})
	case offers.Challenged:
		goOn := button{To: here + "/bank", Label: say.Say("page.bank.back", nil), Quiet: !n.back}
		v := view{Kind: "wait", Title: say.Say("page.bank.title", nil), Text: say.Say("page.bank.text", nil),
			Away: button{To: p.BankURL, Label: say.Say("page.bank.button", nil), Quiet: n.back}, Buttons: []button{goOn}, Refresh: 5}
		if n.back {
			v.Title, v.Text, v.Refresh = say.Say("page.wait.title", nil), say.Say("page.wait.text", nil), 2
		}
		return ok(v)
	case offers.Paid:
		if p.Left().Minor <= 0 {
			return bad(offers.WasRefunded)
		}
		return ok(c.paidView(say, p, here))
	case offers.Waiting:
		return ok(waitingView(say, p, n.place, here))
	case offers.Refunded, offers.Expired, offers.Cancelled, offers.Refused:
		return bad(endedFor(p))
	case offers.Echoed, offers.Mailed, offers.Declined:
		switch {
		case b.Barred() != "":
			return bad(b.Barred())
		case round != p.Round:
			return bad(offers.LinkReplaced)
		case p.State != offers.Echoed && over:
			return bad(offers.LinkExpired)
		}
	default:
		return ok(view{Title: say.Say("page.soon.title", nil), Text: say.Say("page.soon.text", nil)})
	}

	if until, quiet := b.Quiet.At(c.Now()); quiet {
		return http.StatusOK, c.refusedView(say, p, b, here, offers.QuietHours, &offers.QuietHoursError{Until: until})
	}
	v := view{Lang: say.Lang, Title: say.Say("page.confirm.title", nil), Text: c.left(say, p, b), Note: say.Say("page.confirm.note", nil), Rows: rows}
	if unheld(p) {
		v.Text = say.Say("page.confirm.unheld", nil) + " " + v.Text
	}
	label := "page.confirm.button"
	if p.State == offers.Declined {
		_, v = bad(p.Reason)
		v.Note, label = c.left(say, p, b), "page.declined.again"
	}
	c.offerToPay(&v, say, p, b, here, label)
	if !p.MailedAt.IsZero() {
		v.Countdown = countdownTo(say, p.LinkEnds().Sub(c.Now()))
	}
	return http.StatusOK, v
}

// waitingView says where a purchase stands in its line, and lets the buyer leave it.
func waitingView(say words.Words, p offers.Purchase, place int, here string) view {
	return view{Kind: "wait", Title: say.Say("page.waiting.title", nil), Text: say.Say("page.waiting.text", map[string]any{"Place": max(place, 1)}),
		Note:    say.Say("page.waiting.until", map[string]any{"Until": p.WaitUntil.UTC().Format(dateMinute)}),
		Buttons: []button{{To: here + "/cancel", Label: say.Say("page.waiting.leave", nil), Quiet: true}}}
}

// graceView lets the buyer take back what was confirmed, for as long as that can be.
func (c *Counter) graceView(say words.Words, p offers.Purchase, here string) view {
	left := p.GraceEnds().Sub(c.Now())
	unit, count := "seconds", int(math.Ceil(left.Seconds()))
	refresh := min(count+1, graceRefresh)
	if left > 2*time.Minute {
		unit, count = "minutes", int(math.Ceil(left.Minutes()))
	}
	return view{Kind: "wait", Title: say.Say("page.grace.title", nil),
		Text: say.Say("page.grace.text", map[string]any{"Total": p.Total.Format(say.Lang), "Until": p.GraceEnds().UTC().Format("15:04:05 UTC")}),
		Note: say.Say("page.grace."+unit, map[string]any{"Count": count}), Refresh: refresh,
		Buttons: []button{{To: here + "/cancel", Label: say.Say("page.grace.button", nil), Quiet: true}}}
}

// graceRefresh is how often the page looks again while a press can be taken back, in
// seconds: seldom enough to find the button.
const graceRefresh = 30

// reasonArgs are what the words for a limit and for quiet hours need.
func reasonArgs(say words.Words, over offers.OverLimit, quiet time.Time) map[string]any {
	return map[string]any{"Limit": over.Limit.Format(say.Lang), "Left": over.Left.Format(say.Lang), "Currency": over.Limit.Currency,
		"Until": quiet.Format("15:04 (UTC-07:00)")} // by the buyer's clocks
}

// left says until when the link is valid.
func (c *Counter) left(say words.Words, p offers.Purchase, b offers.Buyer) string {
	ends := p.LinkEnds()
	if p.MailedAt.IsZero() { // the click is faster than the mail server's answer
		ends = c.Now().Add(p.Times.Link)
	}
	return say.Say("page.confirm.left", map[string]any{"Until": c.clock(ends, b), "Count": int(math.Ceil(ends.Sub(c.Now()).Minutes()))})
}

// details are the lines about a purchase.
func details(say words.Words, p offers.Purchase, b offers.Buyer) []line {
	var rows []line
	add := func(field, value string) {
		if value == "" {
			return
		}
		l := line{Label: say.Say("field."+field, nil), Value: value}
		if field == "total" || field == "number" {
			l.Kind = field
		}
		rows = append(rows, l)
	}
	add("item", p.Title)
	add("variant", p.Variant)
	add("quantity", fmt.Sprint(p.Quantity))
	rows = append(rows, charges(say, p)...)
	add("total", p.Total.Format(say.Lang))
	add("tax", taxIncluded(say, p))
	if p.Card.Last4 != "" {
		add("card", cardEnding(say, p.Card))
	}
	if !p.PaidAt.IsZero() {
		add("paid", p.PaidAt.UTC().Format(dateMinute))
	}
	add("seller", seller(p))
	add("tax_number", p.SellerTaxNumber)
	if !p.Digital {
		add("address", b.Address)
	}
	add("terms", p.Terms)
	add("withdrawal", withdrawalRight(say, p))
	rows = append(rows, afterRows(say, p)...)
	add("number", string(p.ID))
	return rows
}

// brand is a card's brand as people write it; Stripe's list is at
// https://docs.stripe.com/api/payment_methods/object#payment_method_object-card-brand.
func brand(s string) string {
	names := map[string]string{"amex": "American Express", "diners": "Diners Club", "discover": "Discover", "jcb": "JCB",
		"mastercard": "Mastercard", "unionpay": "UnionPay", "visa": "Visa"}
	if name, ok := names[s]; ok {
		return name
	}
	return s
}

// backFromBank asks Stripe at once how it stands.
func (c *Counter) backFromBank(w http.ResponseWriter, r *http.Request) error {
	p, _, _, _, err := c.behind(r)
	if err != nil {
		return err
	}
	if _, err := c.Shop.BackFromBank(r.Context(), p.ID, c.Now()); err != nil {
		return err
	}
	c.waitFor(r.Context(), p.ID, offers.Challenged)
	http.Redirect(w, r, "/c/"+r.PathValue("token")+fromBank, http.StatusSeeOther)
	return nil
}
