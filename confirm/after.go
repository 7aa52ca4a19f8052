package confirm

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"hashtill/offers"
	"hashtill/offers/words"
)

// What the buyer reads after the payment: the order page, the receipt, what became of a
// parcel and of refunds, and the withdrawal from the contract in two steps with its
// acknowledgement (Directive 2011/83/EU, Article 11a, as of Directive (EU) 2023/2673).

// How dates are written, in UTC as all times here.
const (
	dateOnly   = time.DateOnly
	dateMinute = "2006-01-02 15:04 UTC"
	dateSecond = "2006-01-02 15:04:05 UTC"
)

// taxIncluded says how much of the total is tax, or "".
func taxIncluded(say words.Words, p offers.Purchase) string {
	if p.Tax == 0 {
		return ""
	}
	rate := strings.Replace(p.Tax.String(), ".", say.Say("field.decimal", nil), 1)
	amount := p.Tax.Included(p.Total)
	if added := taxAdded(p); added.Minor > 0 {
		amount = added
	}
	return say.Say("field.tax_value", map[string]any{"Amount": amount.Format(say.Lang), "Rate": rate})
}

// taxAdded is the tax that came on top of what is bought and its delivery; nothing where
// their prices include it.
func taxAdded(p offers.Purchase) offers.Money {
	if p.Price.Minor == 0 { // asked for before prices were kept, when all of them did
		return offers.Money{Currency: p.Total.Currency}
	}
	return offers.Money{Minor: p.Total.Minor - p.Delivery.Minor - p.Price.Minor*int64(p.Quantity), Currency: p.Total.Currency}
}

// charges are the lines of what the total is made of.
func charges(say words.Words, p offers.Purchase) []line {
	if p.PaidAt.IsZero() && p.Delivery.Minor == 0 {
		return nil // there is nothing but the total to know
	}
	price := p.Price
	if price.Minor == 0 {
		price = offers.Money{Minor: p.Total.Minor / int64(max(p.Quantity, 1)), Currency: p.Total.Currency}
	}
	amount := func(m offers.Money) string {
		if taxAdded(p).Minor > 0 {
			return say.Say("field.before_tax", map[string]any{"Amount": m.Format(say.Lang)})
		}
		return m.Format(say.Lang)
	}
	rows := []line{{Label: say.Say("field.unit_price", nil), Value: amount(price)}}
	if p.Delivery.Minor > 0 {
		rows = append(rows, line{Label: say.Say("field.delivery", nil), Value: amount(p.Delivery)})
	}
	return rows
}

// withdrawalRight says until when the buyer can withdraw, or that there is no such
// right; "" where that is no matter any more.
func withdrawalRight(say words.Words, p offers.Purchase) string {
	last := p.LastWithdrawal()
	switch {
	case !p.WithdrawnAt.IsZero():
		return say.Say("field.withdrawn_at", map[string]any{"At": p.WithdrawnAt.UTC().Format(dateSecond)})
	case p.State.Ended() && (p.State != offers.Paid || p.Left().Minor <= 0):
		return ""
	case p.WithdrawalDays <= 0:
		return say.Say("field.withdrawal_none", nil)
	case !last.IsZero():
		return say.Say("field.withdrawal_until", map[string]any{"Date": last.Format(dateOnly)})
	case p.Digital:
		return say.Say("field.withdrawal_paid", map[string]any{"Count": p.WithdrawalDays})
	}
	return say.Say("field.withdrawal_shipped", map[string]any{"Count": p.WithdrawalDays})
}

// afterRows are the lines about what came after the payment.
func afterRows(say words.Words, p offers.Purchase) []line {
	var rows []line
	if !p.ShippedAt.IsZero() {
		rows = append(rows, line{Label: say.Say("field.shipped", nil), Value: p.ShippedAt.UTC().Format(dateMinute)})
	}
	if p.Tracking != "" {
		rows = append(rows, line{Label: say.Say("field.tracking", nil), Value: p.Tracking})
	}
	for _, r := range p.Refunds {
		value := say.Say("field.refund_owed", map[string]any{"Amount": r.Amount.Format(say.Lang)})
		if !r.MadeAt.IsZero() {
			value = say.Say("field.refund_made", map[string]any{"Amount": r.Amount.Format(say.Lang), "Date": r.MadeAt.UTC().Format(dateOnly)})
		}
		rows = append(rows, line{Label: say.Say("field.refund", nil), Value: value})
	}
	return rows
}

// paidView is the order page of a paid purchase, without its rows.
func (c *Counter) paidView(say words.Words, p offers.Purchase, here string) view {
	v := view{Kind: "good", Title: say.Say("page.paid.title", nil), Text: say.Say("page.paid.text", map[string]any{"Total": p.Total.Format(say.Lang)})}
	switch {
	case p.Returning():
		v.Title, v.Text = say.Say("page.withdrawn.title", nil), say.Say("page.withdrawn.text", nil)
	case !p.ShippedAt.IsZero():
		v.Title, v.Text = say.Say("page.shipped.title", nil), say.Say("page.shipped.text", nil)
	}
	if p.WithdrawnAt.IsZero() && p.Withdrawable(c.Now()) == "" {
		v.Away = button{To: here + "/withdraw", Label: say.Say("page.withdraw.link", nil), Quiet: true}
	}
	return v
}

// askWithdraw is the first step of a withdrawal: it shows what will be stated, and
// changes nothing.
func (c *Counter) askWithdraw(w http.ResponseWriter, r *http.Request) error {
	p, b, say, _, err := c.behind(r)
	if err != nil {
		return err
	}
	here := "/c/" + r.PathValue("token")
	if !p.WithdrawnAt.IsZero() {
		http.Redirect(w, r, here, http.StatusSeeOther) // which says so
		return nil
	}
	if why := p.Withdrawable(c.Now()); why != "" {
		_, err := c.refused(w, r, say, p, b, &offers.Refusal{Reason: why})
		return err
	}
	v := view{Lang: say.Lang, Title: say.Say("page.withdraw.title", nil), Text: statement(say, p), Rows: statementRows(say, p),
		Buttons: []button{{To: here + "/withdraw", Label: say.Say("page.withdraw.confirm", nil)}},
		Away:    button{To: here, Label: say.Say("page.withdraw.keep", nil), Quiet: true},
		Note:    say.Say("page.withdraw."+afterwards(p), map[string]any{"Amount": p.Left().Format(say.Lang)})}
	if b.Email != "" {
		v.Rows = append(v.Rows, line{Label: say.Say("field.acknowledged", nil), Value: masked(b.Email)})
	}
	c.render(w, r, http.StatusOK, v)
	return nil
}

// withdraw is the second step: the statement is made.
func (c *Counter) withdraw(w http.ResponseWriter, r *http.Request) error {
	p, b, say, _, err := c.behind(r)
	if err != nil {
		return err
	}
	p, err = c.Shop.Withdraw(r.Context(), p.ID, p.Buyer, c.Now())
	if done, err := c.refused(w, r, say, p, b, err); done || err != nil {
		return err
	}
	http.Redirect(w, r, "/c/"+r.PathValue("token"), http.StatusSeeOther)
	return nil
}

// statement is what the buyer states by withdrawing.
func statement(say words.Words, p offers.Purchase) string {
	return say.Say("page.withdraw.statement", map[string]any{"Title": p.Title, "Number": p.ID})
}

// statementRows are the lines that say from what and for whom.
func statementRows(say words.Words, p offers.Purchase) []line {
	rows := append(brief(say, p), line{Label: say.Say("field.seller", nil), Value: seller(p)})
	rows = append(rows, line{Label: say.Say("field.number", nil), Value: string(p.ID), Kind: "number"})
	return append(rows, line{Label: say.Say("field.buyer", nil), Value: "@" + p.Handle})
}

// brief are the lines down to the total.
func brief(say words.Words, p offers.Purchase) []line {
	rows := details(say, p, offers.Buyer{})
	for i, row := range rows {
		if row.Kind == "total" {
			return rows[: i+1 : i+1]
		}
	}
	return rows
}

// seller is who sells, with the address if it is known.
func seller(p offers.Purchase) string {
	return strings.TrimSpace(p.Seller + "\n" + p.SellerAddress)
}

// afterwards is the key of the words for what follows a withdrawal.
func afterwards(p offers.Purchase) string {
	if p.ShippedAt.IsZero() {
		return "refund"
	}
	return "return"
}

// The mails.

func (c *Counter) mailRefund(ctx context.Context, j offers.Job) (offers.Event, error) {
	r, ok := j.Purchase.Refund(j.Effect.N)
	if !ok {
		return offers.Event{}, errors.New("there is no such refund")
	}
	return c.send(ctx, j, c.pages.refundMail(lang(j), j.Purchase, r, c.linkTo(j.Purchase)), offers.EffectDone, offers.EffectDone)
}

func (c *Counter) mailShipped(ctx context.Context, j offers.Job) (offers.Event, error) {
	return c.send(ctx, j, c.pages.shippedMail(lang(j), j.Purchase, j.Buyer, c.linkTo(j.Purchase)), offers.EffectDone, offers.EffectDone)
}

func (c *Counter) mailWithdrawal(ctx context.Context, j offers.Job) (offers.Event, error) {
	return c.send(ctx, j, c.pages.withdrawalMail(lang(j), j.Purchase, c.linkTo(j.Purchase)), offers.EffectDone, offers.EffectDone)
}

func (p *pages) receiptMail(say words.Words, pur offers.Purchase, b offers.Buyer, at addresses) Mail {
	args := map[string]any{"Title": pur.Title, "Total": pur.Total.Format(say.Lang), "Paid": pur.PaidAt.UTC().Format(dateMinute)}
	l := letterTo(say, pur.Handle, "receipt", args)
	l.Preheader = say.Say("mail.receipt.paid", args)
	l.Rows = details(say, pur, b)
	l.Button, l.Link = say.Say("mail.order", nil), at.page
	l.NotMe = notMe(say, pur, at.notMe)
	l.Notes = []string{say.Say("mail.receipt.paid", args)}
	if pur.WithdrawalDays > 0 {
		l.Notes = append(l.Notes, say.Say("mail.receipt.withdraw", nil))
	}
	l.Notes = append(l.Notes, say.Say("mail.receipt.after", nil))
	return p.write(l)
}

func (p *pages) refundMail(say words.Words, pur offers.Purchase, r offers.Refund, link string) Mail {
	l := letterTo(say, pur.Handle, "refund", map[string]any{"Title": pur.Title, "Total": pur.Total.Format(say.Lang), "Amount": r.Amount.Format(say.Lang)})
	l.Rows = append(brief(say, pur), afterRows(say, offers.Purchase{Refunds: pur.Refunds})...)
	l.Button, l.Link = say.Say("mail.order", nil), link
	l.Notes = []string{say.Say("mail.number", map[string]any{"Number": pur.ID})}
	return p.write(l)
}

func (p *pages) shippedMail(say words.Words, pur offers.Purchase, b offers.Buyer, link string) Mail {
	l := letterTo(say, pur.Handle, "shipped", map[string]any{"Title": pur.Title})
	l.Rows = append(brief(say, pur), afterRows(say, offers.Purchase{ShippedAt: pur.ShippedAt, Tracking: pur.Tracking})...)
	if b.Address != "" {
		l.Rows = append(l.Rows, line{Label: say.Say("field.address", nil), Value: b.Address})
	}
	if right := withdrawalRight(say, pur); right != "" {
		l.Rows = append(l.Rows, line{Label: say.Say("field.withdrawal", nil), Value: right})
	}
	l.Button, l.Link = say.Say("mail.order", nil), link
	l.Notes = []string{say.Say("mail.number", map[string]any{"Number": pur.ID})}
	return p.write(l)
}

// withdrawalMail acknowledges a withdrawal: what was stated, and its date and time.
func (p *pages) withdrawalMail(say words.Words, pur offers.Purchase, link string) Mail {
	l := letterTo(say, pur.Handle, "withdrawal", map[string]any{"Title": pur.Title, "At": pur.WithdrawnAt.UTC().Format(dateSecond)})
	l.Rows = append([]line{{Label: say.Say("field.statement", nil), Value: statement(say, pur)}}, statementRows(say, pur)...)
	l.Rows = append(l.Rows, line{Label: say.Say("field.received", nil), Value: pur.WithdrawnAt.UTC().Format(dateSecond)})
	l.Button, l.Link = say.Say("mail.order", nil), link
	l.Notes = []string{say.Say("mail.withdrawal."+afterwards(pur), map[string]any{"Amount": withdrawnAmount(pur).Format(say.Lang)})}
	return p.write(l)
}

// withdrawnAmount is what was decided to go back because of the withdrawal.
func withdrawnAmount(p offers.Purchase) offers.Money {
	for _, r := range p.Refunds {
		if !r.AskedAt.Before(p.WithdrawnAt) {
			return r.Amount
		}
	}
	return p.Left()
}
