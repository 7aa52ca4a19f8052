package offers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// A Wish is a post that asks for an offer.
type Wish struct {
	Post     string
	Account  Account
	Handle   string
	Lang     string
	Offer    string   // its id
	Quantity int      // 0: one
	Words    []string // that may name a variant
	ByMail   bool     // nobody may answer it in public: only a registered buyer's counts, and by mail from the start
	OnPage   bool     // it was made on a page of the shop, by who has signed in there: Post is the page's own, new for each
}

// ErrOfferChanged: what was decided rested on an offer that is no longer so.
var ErrOfferChanged = errors.New("the offer has changed")

// Wish takes a wish. The same post asking for the same offer is one purchase,
// however often it comes: it is returned as it stands.
func (s *Shop) Wish(ctx context.Context, w Wish, now time.Time) (Purchase, error) {
	now = now.Round(0) // see moveOn
	o, err := s.offer(ctx, w.Offer)
	if err != nil {
		return Purchase{}, err
	}
	b, err := s.look(ctx, w.Account)
	if err != nil {
		return Purchase{}, err
	}
	if why := b.Barred(); why != "" {
		return Purchase{}, &Refusal{why}
	}
	if w.OnPage {
		w.ByMail = true
		if b.AddressIsNew(now) {
			return Purchase{}, &Refusal{AddressNew}
		}
	}
	if w.ByMail && !b.Known() {
		return Purchase{}, &Refusal{NotRegistered}
	}
	for range maxRaces {
		p, reason, err := s.consider(ctx, w, o, b, now)
		if err != nil {
			return Purchase{}, err
		}
		p, err = s.move(ctx, p.ID, Event{Kind: WishHeard, Wish: p, By: p.Buyer, Reason: reason}, nil, now)
		if !errors.Is(err, ErrOfferChanged) {
			return p, err
		}
		fresh, err := s.reload(ctx, w.Offer)
		switch {
		case errors.Is(err, ErrNotFound):
			o.Closes = now // taken out of the catalogue this moment
		case err != nil:
			return Purchase{}, err
		default:
			o = fresh
		}
	}
	return Purchase{}, fmt.Errorf("wish %s: lost %d races", w.Post, maxRaces)
}

// consider is the purchase that a wish asks for, and why it cannot be had.
func (s *Shop) consider(ctx context.Context, w Wish, o Offer, b Buyer, now time.Time) (p Purchase, reason Reason, err error) {
	p = Purchase{
		ID:    NewID(w.Account.Network, w.Post, o.ID),
		Buyer: w.Account, Handle: w.Handle, Lang: w.Lang, Registered: b.Known(), Wish: w.Post,
		Offer: o.ID, Tag: o.Tag, Title: o.Title, Seller: o.Seller, Terms: o.Terms,
		Quantity: min(max(w.Quantity, 1), MaxQuantity), Times: s.Times, Thanks: s.Thanks && !w.ByMail, CodeByMail: w.ByMail, OnPage: w.OnPage,
		SellerAddress: o.SellerAddress, SellerTaxNumber: o.SellerTaxNumber, Tax: o.Tax, Digital: o.Digital, WithdrawalDays: o.WithdrawalDays,
		Picture: o.Picture, Merchant: o.Merchant, Hold: o.Hold, Waitlist: o.Waitlist,
		offerVersion: o.version,
	}
	if b.Lang != "" {
		p.Lang = b.Lang
	}
	pays := o.currencyOf(w.Words, b.Country)
	if p.Total, err = o.Total(p.Quantity, pays); err != nil {
		return p, "", err
	}
	p.Price, _ = o.PriceIn(pays)
	if fee := o.DeliveryIn(pays); fee.Minor > 0 {
		p.Delivery = fee
	}
	if p.Waitlist {
		p.WaitUntil = now.Add(cmp.Or(s.Times.Wait, DefaultTimes.Wait))
		if !o.Closes.IsZero() && o.Closes.Before(p.WaitUntil) {
			p.WaitUntil = o.Closes
		}
	}
	reason = o.Closed(now)
	if variant, ok := o.Choose(w.Words); ok {
		p.Variant = variant
	} else if reason == "" {
		reason, p.Choices = WhichVariant, o.Variants()
	}
	if reason == "" && w.Quantity > o.PerBuyer {
		reason = LimitReached
	}
	if reason == "" && p.Registered {
		reason = o.soldTo(b.Country)
	}
	full := takenKey(o.ID, p.Variant)
	_, likely := s.soldOut.Load(full)
	if reason == "" && (likely || !p.Registered || o.Waitlist) {
		// Nobody should register for what is gone. And where the last wish found nothing, a
		// look costs less than a commit that fails and is taken back: without it a wish for
		// what is sold out was written twice.
		counts := []string{full}
		if o.Waitlist {
			counts = append(counts, waitingKey(o.ID, p.Variant))
		}
		taken, err := s.store.Counts(ctx, o.Shard(), counts...)
		if err != nil {
			return p, "", err
		}
		if o.Waitlist {
			p.Place = int(max(taken[1], 0)) + 1
		}
		if taken[0]+int64(p.Quantity) > int64(o.Stock[p.Variant]) || p.Place > 1 { // nobody overtakes who waits
			reason = SoldOut
		} else if likely {
			s.soldOut.Delete(full)
		}
	}
	if until, quiet := b.Quiet.At(now); reason == "" && quiet {
		reason, p.QuietUntil = QuietHours, until
	}
	if reason == "" {
		// Here it is only told early: what counts is the press of the button.
		var over *OverLimit
		if err := s.affordable(ctx, b, w.Account, p.Total, now); errors.As(err, &over) {
			reason, p.Over = over.Reason, *over
		} else if err != nil {
			return p, "", err
		}
	}
	return p, reason, nil
}
