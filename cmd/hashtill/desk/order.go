package desk

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hashtill/offers"
)

// stateWords say how far a purchase is, for people of the shop.
var stateWords = map[offers.State]string{
	offers.Invited:    "Invited to register",
	offers.Waiting:    "In line",
	offers.Asked:      "Code on its way",
	offers.Coded:      "Waits for the repost",
	offers.Echoed:     "Link on its way",
	offers.Mailed:     "Waits for the click",
	offers.Confirmed:  "Being charged",
	offers.Challenged: "At the bank",
	offers.Paid:       "Paid",
	offers.Declined:   "Card declined",
	offers.Expired:    "Expired",
	offers.Cancelled:  "Cancelled",
	offers.Refused:    "Refused",
	offers.Refunded:   "Refunded",
}

// A moment is something that happened to a purchase.
type moment struct {
	At   time.Time
	What string
	More string
}

// orderView is one purchase.
type orderView struct {
	offers.Purchase
	State            string
	Marks            []mark
	Tax              offers.Money // in the total; zero: none is stated
	Address, Country string       // where it goes
	Moments          []moment
	Left             offers.Money // that can be refunded
	CanShip          bool
	CanRefund        bool
	CanCancel        bool
	Returning        bool
	WithdrawUntil    time.Time // the last day; zero: not known, or excluded
}

func (c *call) orderPage() error {
	p, err := c.purchase(c.r.PathValue("id"))
	if err != nil {
		return err
	}
	v := orderView{Purchase: p, State: stateWords[p.State], Marks: marksOf(p), Moments: momentsOf(p), Left: p.Left(), Returning: p.Returning(),
		CanShip: p.ToShip(), CanRefund: p.State == offers.Paid && p.Left().Minor > 0, CanCancel: cancellable(p, c.Now()), WithdrawUntil: p.LastWithdrawal()}
	v.Tax = p.Tax.Included(p.Total)
	if !p.Digital && !p.PaidAt.IsZero() { // nobody else's address is needed
		b, err := c.Shop.Buyer(c.r.Context(), p.Buyer)
		if err != nil {
			return err
		}
		v.Address, v.Country = b.Address, b.Country
	}
	c.title = p.Title + " for @" + p.Handle
	return c.page("order.html", v)
}

// cancellable says that the shop can still take a purchase back.
func cancellable(p offers.Purchase, now time.Time) bool {
	return !p.State.Ended() && (p.State != offers.Confirmed || p.Revocable(now))
}

// momentsOf are what happened to a purchase, the first first.
func momentsOf(p offers.Purchase) (all []moment) {
	add := func(at time.Time, what, more string) {
		if !at.IsZero() {
			all = append(all, moment{at, what, more})
		}
	}
	add(p.AskedAt, "Asked for", "")
	add(p.LineSince, "Sold out: put in line", "")
	add(p.TurnAt, "A unit came back: it is their turn", "")
	add(p.CodedAt, "Code told", p.Code.Hashtag())
	add(p.EchoedAt, "Code reposted", "")
	add(p.MailedAt, "Link mailed", "")
	add(p.ConfirmedAt, "Button pressed", "")
	add(p.ChallengedAt, "The bank asked the buyer", "")
	add(p.PaidAt, "Paid", p.Total.Format("en"))
	add(p.ShippedAt, "Shipped", p.Tracking)
	add(p.WithdrawnAt, "Withdrawn by the buyer", "")
	for _, r := range p.Refunds {
		add(r.AskedAt, "Refund decided: "+r.Amount.Format("en"), r.Why)
		add(r.MadeAt, "Refund made: "+r.Amount.Format("en"), "")
	}
	for _, n := range p.Notices {
		add(n.At, "Stripe says: "+n.Type, n.Object)
	}
	switch p.State {
	case offers.Expired, offers.Cancelled, offers.Refused:
		add(p.EndedAt, stateWords[p.State], reasonWords[p.Reason])
	}
	slices.SortStableFunc(all, func(a, b moment) int { return a.At.Compare(b.At) })
	return all
}

// reasonWords are why a purchase has ended, where its state does not say it.
var reasonWords = map[offers.Reason]string{
	offers.ShopCancelled: "by the shop",
	offers.SoldOut:       "sold out",
	offers.NotOpenYet:    "not on sale yet",
	offers.OfferClosed:   "the sale is over",
	offers.LimitReached:  "more than one buyer can have",
	offers.WhichVariant:  "it was not clear which variant",
	offers.CardUnusable:  "the card cannot be used",
	offers.MailRefused:   "their mail server refused our mail",
	offers.Unreachable:   "neither reply nor mail got through",
	offers.NotCharged:    "it could not be charged in time",
	offers.QuietHours:    "outside of the buyer’s hours",
	offers.CountryNeeded: "their country is not known",
	offers.NotSoldThere:  "not sold to their country",
	offers.OverPurchase:  "over a limit of theirs",
	offers.OverDay:       "over a limit of theirs",
	offers.OverMonth:     "over a limit of theirs",
	offers.OverCurrency:  "over a limit of theirs",
}

// orderPath is the address of a purchase's page.
func (c *call) orderPath(id offers.ID, done string) string {
	return c.Base() + "/orders/" + string(id) + "?done=" + done
}

// ship marks an order as shipped; its buyer is told by mail.
func (c *call) ship() error {
	p, err := c.purchase(c.r.PathValue("id"))
	if err != nil {
		return err
	}
	tracking := strings.TrimSpace(c.r.PostFormValue("tracking"))
	if err := c.writes("ship", string(p.ID), ""); err != nil {
		return err
	}
	if _, err := c.Shop.Ship(c.r.Context(), p.ID, tracking, c.Now()); err != nil {
		return err
	}
	return c.done(c.orderPath(p.ID, "shipped"))
}

// note writes a note, once, however often the button is pressed.
func (c *call) note() error {
	p, err := c.purchase(c.r.PathValue("id"))
	if err != nil {
		return err
	}
	text := strings.Join(strings.Fields(c.r.PostFormValue("text")), " ")
	if text == "" {
		return &formError{"The note is empty."}
	}
	if n := len(p.Notes); n > 0 && p.Notes[n-1].Text == text && p.Notes[n-1].By == c.Email() {
		return c.done(c.orderPath(p.ID, "noted"))
	}
	if err := c.writes("note", string(p.ID), ""); err != nil {
		return err
	}
	if _, err := c.Shop.Note(c.r.Context(), p.ID, c.Email(), text, c.Now()); err != nil {
		return err
	}
	return c.done(c.orderPath(p.ID, "noted"))
}

// cancelOrder takes back a purchase that is not paid; its buyer is told by mail.
func (c *call) cancelOrder() error {
	p, err := c.purchase(c.r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := c.writes("cancel", string(p.ID), ""); err != nil {
		return err
	}
	if p, err = c.Shop.CancelByShop(c.r.Context(), p.ID, c.Email(), c.Now()); err != nil {
		return err
	}
	if p.State != offers.Cancelled {
		return &formError{"It had ended before, and stays as it was: " + strings.ToLower(stateWords[p.State]) + "."}
	}
	return c.done(c.orderPath(p.ID, "cancelled"))
}

// A refundForm is a refund on its way: asked, shown, confirmed.
type refundForm struct {
	offers.Purchase
	Left    offers.Money
	N       int    // which refund it is to be
	Typed   string // the amount as it was typed; "": all that is left
	Amount  offers.Money
	InWords string
	Why     string
	Problem string
}

// refundOf reads the form of a refund, and says what is wrong with it.
func (c *call) refundOf(form url.Values) (f refundForm, err error) {
	f.Purchase, err = c.purchase(c.r.PathValue("id"))
	if err != nil {
		return f, err
	}
	f.Left, f.N = f.Purchase.Left(), len(f.Refunds)+1
	f.Typed, f.Why = strings.TrimSpace(form.Get("amount")), strings.TrimSpace(form.Get("why"))
	if f.Amount = f.Left; f.Typed != "" {
		amount, err := offers.ParseMoney(f.Typed, f.Total.Currency)
		switch {
		case err != nil:
			f.Problem = "Write the amount like " + f.Left.Decimal() + "."
		case amount.Minor > f.Left.Minor:
			f.Problem = "So much is not left: " + f.Left.Format("en") + " is."
		case amount.Minor <= 0:
			f.Problem = "That is nothing."
		default:
			f.Amount = amount
		}
	}
	f.InWords = spelled(f.Amount)
	c.title = "Refund " + f.Title
	return f, nil
}

// refundPage asks how much goes back.
func (c *call) refundPage() error {
	f, err := c.refundOf(c.r.URL.Query())
	if err != nil {
		return err
	}
	switch {
	case f.State == offers.Refunded, f.State == offers.Paid && f.Left.Minor <= 0:
		return &offers.Refusal{Reason: offers.WasRefunded}
	case f.State != offers.Paid:
		return &offers.Refusal{Reason: offers.NotPaid}
	}
	return c.page("refund.html", f)
}

// confirmRefund shows what is about to be paid back, and changes nothing.
func (c *call) confirmRefund() error {
	f, err := c.refundOf(c.r.PostForm)
	if err != nil {
		return err
	}
	if f.Problem != "" {
		return c.pageWith(http.StatusBadRequest, "refund.html", f)
	}
	return c.page("refundconfirm.html", f)
}

// refund decides the refund that was shown. It carries the number that this refund was to
// have: pressed twice, or meanwhile decided by somebody else, it changes nothing.
func (c *call) refund() error {
	form := c.r.PostForm
	p, err := c.purchase(c.r.PathValue("id"))
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(form.Get("n"))
	amount, err2 := offers.ParseMoney(form.Get("amount"), p.Total.Currency)
	if cmp.Or(err, err2) != nil || n < 1 || n > len(p.Refunds)+1 {
		return &formError{"This form is not whole. Please begin again."}
	}
	why := strings.TrimSpace(form.Get("why"))
	before, decided := p.Refund(n)
	if !decided {
		if err := c.writes("refund", string(p.ID), amount.String()); err != nil {
			return err
		}
		var no *offers.Refusal
		p, err = c.Shop.RefundNext(c.r.Context(), p.ID, n, amount, why, c.Now())
		if err != nil && !errors.As(err, &no) {
			return err
		}
		if before, decided = p.Refund(n); err != nil && !decided {
			return err
		}
	}
	if before.Amount != amount || before.Why != why {
		return &formError{"Meanwhile another refund of it was decided: " + before.Amount.Format("en") + ". Yours was not. Please look at the order again."}
	}
	return c.done(c.orderPath(p.ID, "refund"))
}
