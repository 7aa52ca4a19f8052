package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"hashtill/bot/x/xtest"
	"hashtill/confirm/smtp/smtptest"
	"hashtill/offers"
	"hashtill/offers/words"
)

// The stories of the play. Each returns what came out, in the words of its
// expectation.

func (p *play) completes(ctx context.Context, who *person) (string, error) {
	id, address, err := p.untilLink(ctx, who, "@hashtill I'd love this #BuyTee x2", "BuyTee")
	if err != nil {
		return "", err
	}
	// A mail scanner opens the link first, and often. That must change nothing.
	for range 3 {
		if _, err := p.browse(ctx, http.MethodGet, address, nil); err != nil {
			return "", err
		}
	}
	if _, err := p.becomes(ctx, id, offers.Mailed); err != nil {
		return "", err
	}
	return p.confirms(ctx, who, id, address, func(pur offers.Purchase) string {
		return fmt.Sprintf("paid, %d units, %s", pur.Held, p.once(pur, "en"))
	})
}

func (p *play) completesInFrench(ctx context.Context, who *person) (string, error) {
	id, address, err := p.untilLink(ctx, who, "@hashtill je voudrais #BuyHoodie black l", "BuyHoodie")
	if err != nil {
		return "", err
	}
	return p.confirms(ctx, who, id, address, func(pur offers.Purchase) string {
		return fmt.Sprintf("paid, %d unit, %s", pur.Held, p.once(pur, "fr"))
	})
}

// confirms opens the link, presses the button, and reads receipt and thanks.
func (p *play) confirms(ctx context.Context, who *person, id offers.ID, address string, got func(offers.Purchase) string) (string, error) {
	if _, err := p.opens(ctx, who, address); err != nil {
		return "", err
	}
	if _, err := p.presses(ctx, who, address); err != nil {
		return "", err
	}
	pur, err := p.becomes(ctx, id, offers.Paid)
	if err != nil {
		return "", err
	}
	return got(pur), p.isThanked(ctx, who, pur)
}

// isThanked waits for the receipt and the public thank-you.
func (p *play) isThanked(ctx context.Context, who *person, pur offers.Purchase) error {
	m, err := p.smtp.Wait(ctx, func(m smtptest.Message) bool {
		return slices.Contains(m.To, who.Email) && strings.HasPrefix(oneLine(m.Subject), receiptSubject(who))
	})
	if err != nil {
		return fmt.Errorf("no receipt: %w", err)
	}
	p.say(who.Handle, "gets mail", m.Subject)
	thanks, err := p.x.Wait(ctx, func(q xtest.Post) bool {
		return q.ReplyTo == pur.Wish && q.AuthorID == p.shopX.ID && q.ID != pur.Reply
	})
	if err != nil {
		return fmt.Errorf("no thanks: %w", err)
	}
	p.say(botHandle, "replies", thanks.Text)
	return nil
}

func (p *play) registersLater(ctx context.Context, who *person) (string, error) {
	id, invitation, err := p.wishes(ctx, who, "@hashtill #BuyTee", "BuyTee")
	if err != nil {
		return "", err
	}
	if strings.Contains(invitation.Text, "#") {
		return "", fmt.Errorf("a stranger got a code: %s", invitation.Text)
	}
	if _, err := p.becomes(ctx, id, offers.Invited); err != nil {
		return "", err
	}
	if err := p.signsUp(ctx, who); err != nil {
		return "", err
	}
	if _, err := p.getsMail(ctx, who, 2); err != nil {
		return "", err
	}
	pur, err := p.becomes(ctx, id, offers.Coded)
	if err != nil {
		return "", err
	}
	if _, err := p.posts(who, "@hashtill "+pur.Code.Hashtag()); err != nil {
		return "", err
	}
	address, err := p.getsLink(ctx, who, 3)
	if err != nil {
		return "", err
	}
	return p.confirms(ctx, who, id, address, func(pur offers.Purchase) string {
		invitations := len(p.x.Replies(pur.Wish))
		if invitations != 1 && invitations != 2 { // with or without the thanks
			return fmt.Sprintf("%d replies", invitations)
		}
		return "invited once, then paid " + strings.TrimSuffix(p.once(pur, "en"), ", once")
	})
}

func (p *play) isDeclined(ctx context.Context, who *person) (string, error) {
	id, address, err := p.untilLink(ctx, who, "@hashtill #BuyTee", "BuyTee")
	if err != nil {
		return "", err
	}
	if _, err := p.presses(ctx, who, address); err != nil {
		return "", err
	}
	if _, err := p.becomes(ctx, id, offers.Declined); err != nil {
		return "", err
	}
	if _, err := p.getsMail(ctx, who, 2); err != nil {
		return "", err
	}
	return "declined, " + p.nothingCharged(id), nil
}

func (p *play) nothingCharged(id offers.ID) string {
	if n, minor := p.charges(id); n > 0 {
		return fmt.Sprintf("charged %d", minor)
	}
	return "nothing charged"
}

func (p *play) isEchoedByAnother(ctx context.Context, who *person) (string, error) {
	id, reply, err := p.wishes(ctx, who, "@hashtill #BuyTee", "BuyTee")
	if err != nil {
		return "", err
	}
	if _, err := p.becomes(ctx, id, offers.Coded); err != nil {
		return "", err
	}
	if _, err := p.reposts(p.person("eve"), reply); err != nil {
		return "", err
	}
	// The stream is in order: when dan's repost has been heard, eve's was before it.
	own, err := p.reposts(who, reply)
	if err != nil {
		return "", err
	}
	address, err := p.getsLink(ctx, who, 1)
	if err != nil {
		return "", err
	}
	return p.confirms(ctx, who, id, address, func(pur offers.Purchase) string {
		if pur.Echo != own.ID {
			return "moved by " + pur.Echo
		}
		if n := len(p.smtp.Mailbox(p.person("eve").Email)); n > 0 {
			return fmt.Sprintf("eve got %d mails", n)
		}
		return "eve's repost moved nothing; paid by dan's own"
	})
}

func (p *play) wantsTheLast(ctx context.Context, fay *person) (string, error) {
	gus := p.person("gus")
	var wg sync.WaitGroup
	var mu sync.Mutex
	var got []string
	for _, who := range []*person{fay, gus} {
		wg.Go(func() {
			outcome, err := p.triesForTheLast(ctx, who)
			if err != nil {
				outcome = "failed: " + err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			got = append(got, outcome)
		})
	}
	wg.Wait()
	slices.Sort(got)
	return strings.Join(got, ", "), nil
}

func (p *play) triesForTheLast(ctx context.Context, who *person) (string, error) {
	id, reply, err := p.wishes(ctx, who, "@hashtill #LastVinyl", "LastVinyl")
	if err != nil {
		return "", err
	}
	pur, err := p.shop.Purchase(ctx, id)
	if err != nil {
		return "", err
	}
	if pur.State == offers.Refused && pur.Reason == offers.SoldOut {
		return "one told that it is sold out", nil
	}
	if _, err := p.reposts(who, reply); err != nil {
		return "", err
	}
	address, err := p.getsLink(ctx, who, 1)
	if err != nil {
		return "", err
	}
	return p.confirms(ctx, who, id, address, func(offers.Purchase) string { return "one paid" })
}

func (p *play) clicksTwice(ctx context.Context, who *person) (string, error) {
	id, address, err := p.untilLink(ctx, who, "@hashtill #BuyTee", "BuyTee")
	if err != nil {
		return "", err
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { p.presses(ctx, who, address) })
	}
	wg.Wait()
	pur, err := p.becomes(ctx, id, offers.Paid)
	if err != nil {
		return "", err
	}
	if _, err := p.presses(ctx, who, address); err != nil { // and once more
		return "", err
	}
	if n, minor := p.charges(id); n != 1 || minor != pur.Total.Minor {
		return fmt.Sprintf("charged %d times, %d in all", n, minor), nil
	}
	return "paid, charged once", p.isThanked(ctx, who, pur)
}

func (p *play) isAskedByTheBank(ctx context.Context, who *person) (string, error) {
	id, address, err := p.untilLink(ctx, who, "@hashtill #BuyTee", "BuyTee")
	if err != nil {
		return "", err
	}
	if _, err := p.presses(ctx, who, address); err != nil {
		return "", err
	}
	pur, err := p.becomes(ctx, id, offers.Challenged)
	if err != nil {
		return "", err
	}
	bank, err := p.browse(ctx, http.MethodGet, pur.BankURL, nil)
	if err != nil {
		return "", err
	}
	p.say(who.Handle, "is at the bank", bank.head)
	back, err := p.browse(ctx, http.MethodPost, bank.at.String(), url.Values{"answer": {"complete"}})
	if err != nil {
		return "", err
	}
	p.say(who.Handle, "is back", back.head)
	if _, err := p.presses(ctx, who, address+"/bank"); err != nil {
		return "", err
	}
	if pur, err = p.becomes(ctx, id, offers.Paid); err != nil {
		return "", err
	}
	if n, _ := p.charges(id); n != 1 {
		return fmt.Sprintf("charged %d times", n), nil
	}
	return "challenged, then paid, once", p.isThanked(ctx, who, pur)
}

func (p *play) repostsLate(ctx context.Context, who *person) (string, error) {
	id, reply, err := p.wishes(ctx, who, "@hashtill #BuyTee", "BuyTee")
	if err == nil {
		_, err = p.becomes(ctx, id, offers.Coded)
	}
	if waited := p.waitForTheClock(ctx); err != nil || waited != nil {
		return "", errors.Join(err, waited)
	}
	if _, err := p.reposts(who, reply); err != nil {
		return "", err
	}
	if _, err := p.getsMail(ctx, who, 1); err != nil {
		return "", err
	}
	if _, err := p.becomes(ctx, id, offers.Expired); err != nil {
		return "", err
	}
	return "expired, told by mail, " + p.nothingCharged(id), nil
}

func (p *play) clicksLate(ctx context.Context, who *person) (string, error) {
	id, address, err := p.untilLink(ctx, who, "@hashtill #BuyTee", "BuyTee")
	if err == nil {
		_, err = p.becomes(ctx, id, offers.Mailed)
	}
	if waited := p.waitForTheClock(ctx); err != nil || waited != nil {
		return "", errors.Join(err, waited)
	}
	if _, err := p.opens(ctx, who, address); err != nil {
		return "", err
	}
	if _, err := p.presses(ctx, who, address); err != nil {
		return "", err
	}
	pur, err := p.becomes(ctx, id, offers.Expired)
	if err != nil {
		return "", err
	}
	unit := "unit held"
	if pur.Held == 0 {
		unit = "unit back"
	}
	return "expired, " + unit + ", " + p.nothingCharged(id), nil
}

// checkBooks looks at the whole: the money at Stripe, the units, the replies.
func (p *play) checkBooks(ctx context.Context) {
	sold := map[string]int64{}
	var due, twice int64
	counted := map[offers.ID]bool{}
	err := p.shop.EachPurchase(ctx, func(pur offers.Purchase) error {
		if counted[pur.ID] {
			return nil
		}
		counted[pur.ID] = true
		sold[pur.Offer+"/"+pur.Variant] += int64(pur.Held)
		if pur.State == offers.Paid {
			due += pur.Total.Minor
		}
		if n, _ := p.charges(pur.ID); n > 1 {
			twice++
		}
		return nil
	})
	var taken int64
	for _, c := range p.stripe.Charges() {
		taken += c.Amount - c.Refunded
	}
	got := "they do"
	switch {
	case err != nil:
		got = err.Error()
	case taken != due:
		got = fmt.Sprintf("Stripe took %d, the purchases say %d", taken, due)
	case twice > 0:
		got = fmt.Sprintf("%d purchases were charged more than once", twice)
	}
	p.results = append(p.results, result{"books", "money at Stripe and purchases agree", "they do", got, got == "they do"})

	got = "they do"
	for _, o := range p.shop.Offers() {
		held, err := p.shop.Stocked(ctx, o)
		if err != nil {
			got = err.Error()
		}
		for variant, n := range held {
			if n != sold[o.ID+"/"+variant] || n > int64(o.Stock[variant]) {
				got = fmt.Sprintf("#%s %s: %d counted, %d in purchases, %d in stock", o.Tag, variant, n, sold[o.ID+"/"+variant], o.Stock[variant])
			}
		}
	}
	p.results = append(p.results, result{"books", "units counted and units in purchases agree", "they do", got, got == "they do"})
}

// receiptSubject is how the subject of a receipt begins.
func receiptSubject(who *person) string {
	subject, _, _ := strings.Cut(words.For(who.Lang).Say("mail.receipt.subject", nil), "<")
	return oneLine(subject)
}
