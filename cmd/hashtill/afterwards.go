package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"hashtill/offers"
)

// What is done and seen after the payment.

// afterwards says in a few words what came after the payment.
func afterwards(p offers.Purchase) string {
	var say []string
	if p.Returning() {
		say = append(say, "withdrawn: refund it")
	} else if !p.WithdrawnAt.IsZero() {
		say = append(say, "withdrawn")
	}
	if p.Disputed() {
		say = append(say, "disputed")
	}
	made, owed := p.PaidBack()
	if owed.Minor > 0 {
		say = append(say, "refund of "+owed.Format("en")+" owed")
	}
	if made.Minor > 0 && p.State != offers.Refunded {
		say = append(say, made.Format("en")+" refunded")
	}
	if !p.ShippedAt.IsZero() {
		say = append(say, "shipped")
	}
	return strings.Join(say, ", ")
}

// noticed says what a notice of Stripe's means
// (https://docs.stripe.com/api/events/types).
func noticed(kind string) string {
	means := map[string]string{
		"charge.dispute.created":          "the buyer's bank disputes the payment: answer it in Stripe's dashboard",
		"charge.dispute.updated":          "the dispute has changed: see Stripe's dashboard",
		"charge.dispute.funds_withdrawn":  "Stripe has taken the disputed money back",
		"charge.dispute.funds_reinstated": "Stripe has returned the disputed money",
		"charge.dispute.closed":           "the dispute is decided: see Stripe's dashboard",
		"charge.refunded":                 "money was given back",
		"refund.updated":                  "a refund has changed",
		"charge.refund.updated":           "a refund has changed",
		"refund.failed":                   "a refund has failed: the buyer does not get it this way",
		"reconcile.dispute":               "the payment is disputed, as was seen at Stripe: answer it in Stripe's dashboard",
	}
	return cmp.Or(means[kind], kind)
}

type purchaseShowCmd struct {
	ID   string `arg:"" help:"The purchase's id."`
	JSON bool   `name:"json" help:"All that is known, as JSON."`
}

// Help is the rest of the help text.
func (purchaseShowCmd) Help() string {
	return "For example:\n\n  hashtill purchase show 07-3f…\n  hashtill purchase show 07-3f… --json"
}

// Run shows.
func (c purchaseShowCmd) Run(e *env) error {
	id, err := purchaseID(c.ID)
	if err != nil {
		return err
	}
	return e.withShop(false, func(_ Config, shop *offers.Shop) error {
		p, err := shop.Purchase(e.ctx, id)
		if err != nil {
			return notFound(err)
		}
		if c.JSON {
			enc := json.NewEncoder(e.out)
			enc.SetIndent("", "  ")
			return enc.Encode(p)
		}
		return showPurchase(e.out, p)
	})
}

// showPurchase prints a purchase for people.
func showPurchase(w io.Writer, p offers.Purchase) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	row := func(what, value string) {
		if value != "" {
			fmt.Fprintf(tw, "%s\t%s\n", what, value)
		}
	}
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.DateTime)
	}
	row("purchase", string(p.ID))
	row("state", strings.TrimSpace(string(p.State)+" "+string(p.Reason)))
	row("buyer", p.Buyer.String()+" @"+p.Handle)
	row("item", strings.TrimSuffix(fmt.Sprintf("%d × %s, %s", p.Quantity, p.Title, p.Variant), ", "))
	row("total", p.Total.Format("en"))
	if p.Tax > 0 {
		row("tax included", fmt.Sprintf("%s (%s%%)", p.Tax.Included(p.Total).Format("en"), p.Tax))
	}
	row("seller", p.Seller)
	row("payment", p.Intent)
	row("asked", at(p.AskedAt))
	row("confirmed", at(p.ConfirmedAt))
	row("paid", at(p.PaidAt))
	row("shipped", at(p.ShippedAt))
	row("tracking", p.Tracking)
	if !p.WithdrawnAt.IsZero() && p.Returning() {
		row("withdrawn", at(p.WithdrawnAt)+": refund it when it is back (hashtill purchase refund)")
	} else {
		row("withdrawn", at(p.WithdrawnAt))
	}
	for _, r := range p.Refunds {
		stands := "made " + at(r.MadeAt)
		if r.MadeAt.IsZero() {
			stands = "owed"
		}
		if r.Why != "" {
			stands += ": " + r.Why
		}
		row(fmt.Sprintf("refund %d", r.N), fmt.Sprintf("%s, asked for %s, %s", r.Amount.Format("en"), at(r.AskedAt), stands))
	}
	if len(p.Refunds) > 0 {
		row("left", p.Left().Format("en"))
	}
	for _, n := range p.Notices {
		row("Stripe", fmt.Sprintf("%s: %s (%s)", at(n.At), noticed(n.Type), n.Object))
	}
	row("ended", at(p.EndedAt))
	return tw.Flush()
}

// purchaseID reads an id that somebody typed.
func purchaseID(s string) (offers.ID, error) {
	id, ok := offers.ParseID(s)
	if !ok {
		return "", usageError{fmt.Errorf("%q is not the id of a purchase; see hashtill purchase list", s)}
	}
	return id, nil
}

// refusedBy makes what a purchase or its texts do not allow an error of the call.
func refusedBy(p offers.Purchase, id offers.ID, err error) error {
	var no *offers.Refusal
	switch {
	case errors.As(err, &no) && no.Reason == offers.RefundTooMuch:
		return usageError{fmt.Errorf("purchase %s: no more than %s can be given back: %w", id, p.Left(), err)}
	case errors.As(err, &no):
		return usageError{fmt.Errorf("purchase %s is %s: %w", id, p.State, err)}
	case errors.Is(err, offers.ErrInvalid):
		return usageError{err}
	}
	return notFound(err)
}

type purchaseRefundCmd struct {
	ID     string `arg:"" help:"The purchase's id."`
	Amount string `help:"How much of it, in its currency, such as 12.50; all that is left if left out."`
	Why    string `help:"A few words for the books."`
}

// Help is the rest of the help text.
func (purchaseRefundCmd) Help() string {
	return `Decides the refund; the running hashtill serve makes it at Stripe within seconds.
The buyer is told by mail. When all of it is given back, its units can be sold again.

  hashtill purchase refund 07-3f…
  hashtill purchase refund 07-3f… --amount 12.50 --why "a stain on the sleeve"`
}

// Run refunds.
func (c purchaseRefundCmd) Run(e *env) error {
	id, err := purchaseID(c.ID)
	if err != nil {
		return err
	}
	return e.withShop(false, func(_ Config, shop *offers.Shop) error {
		p, err := shop.Purchase(e.ctx, id)
		if err != nil {
			return notFound(err)
		}
		amount := offers.Money{}
		if c.Amount != "" {
			if amount, err = offers.ParseMoney(c.Amount, p.Total.Currency); err != nil {
				return usageError{err}
			}
		}
		if p, err = shop.RefundPurchase(e.ctx, id, amount, c.Why, time.Now()); err != nil {
			return refusedBy(p, id, err)
		}
		fmt.Fprintf(e.out, "refund of %s for %s is owed; %s are left\n", p.Refunds[len(p.Refunds)-1].Amount.Format("en"), id, p.Left().Format("en"))
		return nil
	})
}

type purchaseShipCmd struct {
	ID       string `arg:"" help:"The purchase's id."`
	Tracking string `help:"What it can be followed by: a carrier and its number."`
}

// Help is the rest of the help text.
func (purchaseShipCmd) Help() string {
	return `Notes that it is on its way; the buyer is told by mail, and the days to withdraw
begin.

  hashtill purchase ship 07-3f… --tracking "La Poste 6A12345678901"`
}

// Run ships.
func (c purchaseShipCmd) Run(e *env) error {
	id, err := purchaseID(c.ID)
	if err != nil {
		return err
	}
	return e.withShop(false, func(_ Config, shop *offers.Shop) error {
		p, err := shop.Ship(e.ctx, id, c.Tracking, time.Now())
		if err != nil {
			return refusedBy(p, id, err)
		}
		say := "%s is noted as shipped\n"
		if last := p.LastWithdrawal(); !last.IsZero() {
			say = "%s is noted as shipped; its buyer can withdraw until " + last.Format(time.DateOnly) + "\n"
		}
		fmt.Fprintf(e.out, say, id)
		return nil
	})
}
