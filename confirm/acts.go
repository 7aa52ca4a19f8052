package confirm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"hashtill/offers"
	"hashtill/offers/words"
)

// A Shop is what is needed of offers.Shop.
type Shop interface {
	OnSale(now time.Time, most int) []offers.Offer
	OfferByTag(tag string) (offers.Offer, bool)
	Stocked(ctx context.Context, o offers.Offer) (map[string]int64, error)
	Wish(ctx context.Context, w offers.Wish, now time.Time) (offers.Purchase, error)
	Purchase(ctx context.Context, id offers.ID) (offers.Purchase, error)
	PlaceOf(ctx context.Context, p offers.Purchase) (int, error)
	Halted(ctx context.Context) (*offers.Halt, error)
	Buyer(ctx context.Context, a offers.Account) (offers.Buyer, error)
	Press(ctx context.Context, id offers.ID, round int, card string, now time.Time) (offers.Purchase, error)
	BackFromBank(ctx context.Context, id offers.ID, now time.Time) (offers.Purchase, error)
	Cancel(ctx context.Context, id offers.ID, by offers.Account, now time.Time) (offers.Purchase, error)
	LeaveLine(ctx context.Context, id offers.ID, by offers.Account, now time.Time) (offers.Purchase, error)
	Withdraw(ctx context.Context, id offers.ID, by offers.Account, now time.Time) (offers.Purchase, error)
	Hear(ctx context.Context, h offers.Hint, now time.Time) error
	Members
}

// Members are what is needed of offers.Shop to register buyers, and for their own pages.
type Members interface {
	OpenSession(ctx context.Context, a offers.Account, now time.Time) (token string, err error)
	Session(ctx context.Context, token string, now time.Time) (offers.Session, error)
	ProveSession(ctx context.Context, token string, e offers.Email, now time.Time) error
	EndSession(ctx context.Context, token string) error
	EndSessions(ctx context.Context, a offers.Account) (int, error)
	CountProof(ctx context.Context, e offers.Email, now time.Time) error
	Signup(ctx context.Context, a offers.Account) (offers.Signup, error)
	EditSignup(ctx context.Context, a offers.Account, now time.Time, edit func(*offers.Signup) error) error
	SaveCard(ctx context.Context, a offers.Account, page, customer string, card offers.Card, now time.Time) error
	PreferCard(ctx context.Context, a offers.Account, card string, now time.Time) error
	RemoveCard(ctx context.Context, a offers.Account, card string, now time.Time) error
	SetHandle(ctx context.Context, a offers.Account, handle string, now time.Time) error
	Agree(ctx context.Context, a offers.Account, version string, now time.Time) error
	SetEmail(ctx context.Context, a offers.Account, e offers.Email, now time.Time) error
	SetAddress(ctx context.Context, a offers.Account, address, country string, now time.Time) error
	SetLimits(ctx context.Context, a offers.Account, l offers.Limits, now time.Time) error
	SetQuiet(ctx context.Context, a offers.Account, q offers.Quiet, now time.Time) error
	Freeze(ctx context.Context, a offers.Account, by offers.Freezer, now time.Time) error
	Unfreeze(ctx context.Context, a offers.Account, by offers.Freezer, now time.Time) error
	Leave(ctx context.Context, a offers.Account, now time.Time) error
	Dossier(ctx context.Context, a offers.Account) (offers.Dossier, error)
	PurchasesOf(ctx context.Context, a offers.Account) ([]offers.Purchase, error)
}

// Config of a Counter. Without Webhook, SignIn and Wallet it does all but what they are
// for.
type Config struct {
	Shop    Shop
	Till    Till
	Webhook Webhook // nil: whatever is posted there is not found
	SignIn  SignIn  // nil, as a nil Wallet: nobody registers here
	Wallet  Wallet
	Terms   Terms

	// BeforeLink, if not nil, comes before the link is mailed: for whoever knows whether
	// the wish still stands where it was said.
	BeforeLink func(offers.Act) offers.Act

	Limits    offers.Limits // the shop's own, for buyers to read
	Mailer    Mailer
	Links     *Links
	PublicURL string // where buyers reach the pages, without a slash at the end

	// Proxies are the addresses of the proxies that buyers' requests come through. What
	// they add to X-Forwarded-For is believed, and nobody else's.
	Proxies []netip.Prefix

	Now func() time.Time
	Log *slog.Logger
}

// A Counter is where buyers confirm and pay.
type Counter struct {
	Config
	pages    *pages
	refusals refusals // of webhooks
	limits   limits
}

// New opens a counter.
func New(c Config) (*Counter, error) {
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	p, err := newPages()
	if err != nil {
		return nil, err
	}
	return &Counter{Config: c, pages: p, limits: newLimits()}, nil
}

// Register has the counter perform what is owed by mail and at the till.
func (c *Counter) Register(shop Owing) {
	shop.On(offers.MailCode, c.mailCode)
	mailLink := offers.Act(c.mailLink)
	if c.BeforeLink != nil {
		mailLink = c.BeforeLink(mailLink)
	}
	shop.On(offers.MailLink, mailLink)
	shop.On(offers.MailReceipt, c.mailReceipt)
	shop.On(offers.MailReason, c.mailReason)
	shop.On(offers.Prepare, c.prepare)
	shop.On(offers.Charge, c.charge)
	shop.On(offers.Look, c.look)
	shop.On(offers.Heed, c.heed)
	shop.On(offers.Void, c.void)
	shop.On(offers.Refunding, c.refund)
	shop.On(offers.MailRefund, c.mailRefund)
	shop.On(offers.MailShipped, c.mailShipped)
	shop.On(offers.MailWithdrawal, c.mailWithdrawal)
	if c.Wallet != nil {
		shop.OnSaving(c.saving)
		shop.OnDetach(c.forgetCard)
		shop.OnLeft(c.forgetCustomer)
	}
}

// Owing is what is needed of offers.Shop to perform what is owed.
type Owing interface {
	On(kind offers.EffectKind, act offers.Act)
	OnSaving(act func(ctx context.Context, a offers.Account, page string) (over bool, err error))
	OnDetach(act func(ctx context.Context, card string) error)
	OnLeft(act func(ctx context.Context, customer string) error)
}

// linkTo is the address in the mail.
func (c *Counter) linkTo(p offers.Purchase) string {
	return c.PublicURL + "/c/" + c.Links.Sign(p.ID, p.Round)
}

// addressesOf are all addresses in the mails of a purchase.
func (c *Counter) addressesOf(p offers.Purchase) addresses {
	return addresses{page: c.linkTo(p), notMe: c.notMeURL(p)}
}

// lang is the language a buyer is written to in.
func lang(j offers.Job) words.Words { return words.For(j.Buyer.Lang, j.Purchase.Lang) }

// The mails.

func (c *Counter) mailCode(ctx context.Context, j offers.Job) (offers.Event, error) {
	// Here too the time runs from the acceptance of the mail.
	until := clock(c.Now(), c.Now().Add(j.Purchase.Times.Echo), j.Buyer)
	return c.send(ctx, j, c.pages.codeMail(lang(j), j.Purchase, c.addressesOf(j.Purchase), until), offers.CodeMailed, offers.CodeUnmailed)
}

func (c *Counter) mailLink(ctx context.Context, j offers.Job) (offers.Event, error) {
	// The deadline runs from the acceptance of this mail, which is about now.
	until := clock(c.Now(), c.Now().Add(j.Purchase.Times.Link), j.Buyer)
	return c.send(ctx, j, c.pages.linkMail(lang(j), j.Purchase, j.Buyer, c.addressesOf(j.Purchase), until), offers.LinkMailed, offers.LinkUnmailed)
}

func (c *Counter) mailReceipt(ctx context.Context, j offers.Job) (offers.Event, error) {
	return c.send(ctx, j, c.pages.receiptMail(lang(j), j.Purchase, j.Buyer, c.addressesOf(j.Purchase)), offers.EffectDone, offers.EffectDone)
}

func (c *Counter) mailReason(ctx context.Context, j offers.Job) (offers.Event, error) {
	p, why, say := j.Purchase, j.Effect.Reason, lang(j)
	var to button
	switch {
	case why == offers.OnWaitlist && p.State != offers.Waiting: // it is their turn already, or they have left
		return offers.Event{Kind: offers.EffectDone}, nil
	case why == offers.OnWaitlist:
		to = button{To: c.linkTo(p), Label: say.Say("mail.reason.place", nil)}
	case why == offers.CountryNeeded && c.SignIn != nil:
		to = button{To: c.PublicURL + "/account", Label: say.Say("mail.reason.account", nil)}
	case p.State == offers.Paid || p.State == offers.Refunded:
		if why != offers.WasRefunded { // a later try went well: what the mail would say is not true any more
			return offers.Event{Kind: offers.EffectDone}, nil
		}
	case p.State == offers.Declined && c.Now().Before(p.LinkEnds()):
		to = button{To: c.linkTo(p), Label: say.Say("mail.reason.again", nil)}
	}
	m := c.pages.reasonMail(say, p, why, c.addressesOf(p), to, clock(c.Now(), p.LinkEnds(), j.Buyer))
	if why == offers.OnWaitlist {
		m.Unsubscribe = c.leaveLineURL(p)
	}
	return c.send(ctx, j, m, offers.EffectDone, offers.EffectDone)
}

// send sends a mail under the effect's id. What the mail server refuses for good is
// an event like any other.
func (c *Counter) send(ctx context.Context, j offers.Job, m Mail, sent, refused offers.EventKind) (offers.Event, error) {
	if j.Buyer.Email == "" {
		return offers.Event{Kind: refused}, nil // left meanwhile
	}
	m.ID, m.To, m.Thread = j.Effect.ID(), j.Buyer.Email, string(j.Purchase.ID)
	err := c.Mailer.Send(ctx, m)
	var no *RefusedError
	switch {
	case errors.As(err, &no):
		c.Log.Warn("mail refused", "purchase", string(j.Purchase.ID), "effect", j.Effect.ID(), "why", no.Why)
		return offers.Event{Kind: refused}, nil
	case err != nil:
		return offers.Event{}, err
	}
	return offers.Event{Kind: sent}, nil
}

// The payment. Its keys at Stripe follow from the purchase alone.

func (c *Counter) prepare(ctx context.Context, j offers.Job) (offers.Event, error) {
	p := j.Purchase
	if len(j.Buyer.Cards) == 0 {
		return offers.Event{Kind: offers.IntentFailed, Reason: offers.CardUnusable}, nil
	}
	card := j.Buyer.Cards[0]
	intent, err := c.Till.Prepare(ctx, Payment{
		Purchase: p.ID, Key: "pi:" + string(p.ID), Customer: j.Buyer.Customer, Card: card.ID, Total: p.Total,
		Description: fmt.Sprintf("%d × %s", p.Quantity, p.Title),
	})
	var no *RefusedError
	switch {
	case errors.As(err, &no):
		c.Log.Warn("payment refused", "purchase", string(p.ID), "why", no.Why)
		return offers.Event{Kind: offers.IntentFailed, Reason: cmp.Or(no.Reason, offers.CardUnusable)}, nil
	case err != nil:
		return offers.Event{}, err
	}
	return offers.Event{Kind: offers.IntentMade, Intent: intent, Card: card}, nil
}

func (c *Counter) charge(ctx context.Context, j offers.Job) (offers.Event, error) {
	p := j.Purchase
	key := fmt.Sprintf("confirm:%s:%d", p.ID, j.Effect.N)
	s, err := c.Till.Confirm(ctx, p.Intent, p.Card.ID, key, c.linkTo(p))
	var no *RefusedError
	if errors.As(err, &no) {
		c.Log.Warn("charge refused", "purchase", string(p.ID), "why", no.Why)
		return offers.Event{Kind: offers.ChargeFailed, Attempt: j.Purchase.Attempt, Reason: cmp.Or(no.Reason, offers.CardDeclined)}, nil
	}
	return outcome(s, err, j)
}

func (c *Counter) look(ctx context.Context, j offers.Job) (offers.Event, error) {
	s, err := c.Till.Look(ctx, j.Purchase.Intent)
	return outcome(s, err, j)
}

func (c *Counter) void(ctx context.Context, j offers.Job) (offers.Event, error) {
	s, err := c.Till.Void(ctx, j.Purchase.Intent, "void:"+string(j.Purchase.ID))
	if err == nil && s.Status != Voided && s.Status != Taken {
		err = fmt.Errorf("payment is %s after it was voided", s.Status)
	}
	return outcome(s, err, j)
}

func (c *Counter) refund(ctx context.Context, j offers.Job) (offers.Event, error) {
	p, n := j.Purchase, max(j.Effect.N, 1)
	r, ok := p.Refund(n)
	if !ok {
		return offers.Event{}, fmt.Errorf("purchase %s has no refund %d", p.ID, n)
	}
	// A refund that is refused stays owed: somebody has to look at it.
	key := fmt.Sprintf("refund:%s:%d", p.ID, n)
	if err := c.Till.Refund(ctx, Refund{Purchase: p.ID, Key: key, Intent: p.Intent, Amount: r.Amount}); err != nil {
		return offers.Event{}, err
	}
	return offers.Event{Kind: offers.RefundMade, N: n}, nil
}

// outcome is the event that a standing is to the purchase. What is undecided is
// looked at again later.
func outcome(s Standing, err error, j offers.Job) (offers.Event, error) {
	if err != nil {
		return offers.Event{}, err
	}
	switch s.Status {
	case Taken:
		return offers.Event{Kind: offers.Charged}, nil
	case AtBank:
		return offers.Event{Kind: offers.BankAsks, URL: s.BankURL, Look: j.Effect.N, Attempt: j.Purchase.Attempt}, nil
	case Failed:
		return offers.Event{Kind: offers.ChargeFailed, Attempt: j.Purchase.Attempt, Reason: cmp.Or(s.Reason, offers.CardDeclined)}, nil
	case Voided:
		return offers.Event{Kind: offers.IntentVoided}, nil
	}
	return offers.Event{}, fmt.Errorf("payment is %s; looking again", s.Status)
}
