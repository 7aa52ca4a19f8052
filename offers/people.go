package offers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"hashtill/store"
)

// Effects of an account, in the account's shard.
const (
	replyAnswer  = "answer" // to a post that is no wish
	resumeWishes = "resume" // of a buyer who has registered
	cancelWishes = "cancel" // of an account that said stop
	forgetRecord = "forget" // of what nobody brings again any more
	dropCard     = "detach" // a card, at Stripe
	forgetSignup = "forget-signup"
	lookCard     = "card"  // whether a card was saved on a page
	leaveAccount = "leave" // erase the account, here and at Stripe
)

// An Answer is owed to a post that is no wish: help was asked for, something was
// stopped, a code was another's.
type Answer struct {
	Post    string  `json:"post"`
	Account Account `json:"account"`
	Handle  string  `json:"handle"`
	Lang    string  `json:"lang"`
	Word    string  `json:"word"`            // which message (package words)
	Count   int     `json:"count,omitempty"` // where the message counts
}

// accountEffect is the body of an effect of an account.
type accountEffect struct {
	Account Account   `json:"account"`
	At      time.Time `json:"at"` // wishes after that are not meant

	Customer string `json:"customer,omitempty"` // of one who leaves
}

// Buyer reads what is known of an account; the zero Buyer where nothing is.
func (s *Shop) Buyer(ctx context.Context, a Account) (Buyer, error) {
	recs, err := s.store.Get(ctx, a.Shard(), buyerKey(a))
	if err != nil {
		return Buyer{}, err
	}
	return readBuyer(recs[0])
}

// look is Buyer for who changes nothing of what it answers.
func (s *Shop) look(ctx context.Context, a Account) (Buyer, error) {
	recs, err := s.store.Get(ctx, a.Shard(), buyerKey(a))
	if err != nil {
		return Buyer{}, err
	}
	return s.decoded.read(a, recs[0])
}

// Register makes an account a buyer, or renews what is known of one: what is not
// given stays, and so do a Stop and the buyer's limits. Wishes that wait for it go on
// by themselves.
func (s *Shop) Register(ctx context.Context, b Buyer, now time.Time) error {
	if err := b.Validate(); err != nil {
		return err
	}
	return s.editBuyer(ctx, b.Account, resumeWishes, now, func(old *Buyer) bool {
		renewed := b
		renewed.Registered, renewed.version = now, old.version
		renewed.EmailAt, renewed.UnfrozenAt = old.EmailAt, old.UnfrozenAt
		renewed.Stopped, renewed.Frozen, renewed.FrozenBy, renewed.LeavingAt = old.Stopped, old.Frozen, old.FrozenBy, old.LeavingAt
		renewed.Limits, renewed.Quiet = old.Limits, old.Quiet
		if b.Terms == (Consent{}) {
			renewed.Terms = old.Terms
		}
		renewed.Handle = cmp.Or(b.Handle, old.Handle)
		renewed.Lang = cmp.Or(b.Lang, old.Lang)
		renewed.Address = cmp.Or(b.Address, old.Address)
		renewed.Country = cmp.Or(b.Country, old.Country)
		*old = renewed
		return true
	})
}

// Stop obeys an account that wants to be left alone: what it has not confirmed is
// cancelled, nothing is sold or charged to it, and it gets no replies. What was
// taken at that very moment goes back.
func (s *Shop) Stop(ctx context.Context, a Account, now time.Time) error {
	return s.editBuyer(ctx, a, cancelWishes, now, func(b *Buyer) bool {
		stop := b.Stopped.IsZero()
		b.Account, b.Stopped = a, now
		return stop
	})
}

// Start takes back a Stop from before now. A freeze stays: *[Refusal].
func (s *Shop) Start(ctx context.Context, a Account, now time.Time) error {
	frozen := false
	err := s.editBuyer(ctx, a, resumeWishes, now, func(b *Buyer) bool {
		if frozen = b.Frozen; frozen || b.Stopped.IsZero() || b.Stopped.After(now) || !b.LeavingAt.IsZero() {
			return false
		}
		b.Stopped = time.Time{}
		return true
	})
	if err == nil && frozen {
		err = &Refusal{BuyerFrozen}
	}
	return err
}

// Freeze is a [Shop.Stop] that no post takes back: whoever has got hold of the
// account on the network cannot lift it. It is for the operator, and for the buyer's
// own pages.
func (s *Shop) Freeze(ctx context.Context, a Account, by Freezer, now time.Time) error {
	return s.editBuyer(ctx, a, cancelWishes, now, func(b *Buyer) bool {
		if b.Frozen && (by == ByBuyer || b.FrozenBy == ByShop) {
			return false
		}
		b.Account, b.Frozen, b.FrozenBy = a, true, by
		if b.Stopped.IsZero() || now.After(b.Stopped) {
			b.Stopped = now
		}
		return true
	})
}

// Unfreeze takes back a Freeze, and whatever Stop there was. A *[Refusal] says that the
// shop has frozen what the buyer asks to lift.
func (s *Shop) Unfreeze(ctx context.Context, a Account, by Freezer, now time.Time) error {
	no := false
	err := s.editBuyer(ctx, a, resumeWishes, now, func(b *Buyer) bool {
		no = by == ByBuyer && b.Frozen && b.FrozenBy != ByBuyer || !b.LeavingAt.IsZero()
		if no || b.Stopped.IsZero() {
			return false
		}
		if b.Frozen {
			b.UnfrozenAt = now
		}
		b.Stopped, b.Frozen, b.FrozenBy = time.Time{}, false, ""
		return true
	})
	if err == nil && no {
		err = &Refusal{BuyerFrozen}
	}
	return err
}

// editRegistered changes what is known of a buyer. ErrNotFound says that the account
// has not registered.
func (s *Shop) editRegistered(ctx context.Context, a Account, now time.Time, edit func(*Buyer) error) error {
	var no error
	err := s.editBuyer(ctx, a, "", now, func(b *Buyer) bool {
		switch {
		case b.Registered.IsZero():
			no = fmt.Errorf("buyer %s: %w", a, ErrNotFound)
		case !b.LeavingAt.IsZero():
			no = &Refusal{Leaving}
		default:
			no = edit(b)
		}
		return no == nil
	})
	return cmp.Or(no, err)
}

// SetEmail sets where a buyer's mails go. That it is theirs was proven before.
func (s *Shop) SetEmail(ctx context.Context, a Account, e Email, now time.Time) error {
	return s.editRegistered(ctx, a, now, func(b *Buyer) error {
		if !ValidEmail(e) {
			return &Refusal{EmailInvalid}
		}
		if b.Email != "" && b.Email != e {
			b.EmailAt = now
		}
		b.Email = e
		return nil
	})
}

// AddressRest is for how long after a change of a buyer's address nothing is bought on
// pages, and nothing is lifted there: whoever sits at a browser that was left open could
// change it, and then confirm to themselves. What is asked for by posts goes on.
const AddressRest = 72 * time.Hour

// AddressIsNew says that the buyer's address was changed so lately.
func (b Buyer) AddressIsNew(now time.Time) bool {
	return !b.EmailAt.IsZero() && now.Sub(b.EmailAt) < AddressRest
}

// SetHandle notes that an account goes by another handle now.
func (s *Shop) SetHandle(ctx context.Context, a Account, handle string, now time.Time) error {
	return s.editRegistered(ctx, a, now, func(b *Buyer) error {
		b.Handle = handle
		return nil
	})
}

// Agree notes that a buyer has agreed to the terms.
func (s *Shop) Agree(ctx context.Context, a Account, version string, now time.Time) error {
	return s.editRegistered(ctx, a, now, func(b *Buyer) error {
		b.Terms = Consent{Version: version, At: now}
		return nil
	})
}

// SetAddress sets where what a buyer buys is delivered to, and the country of that (ISO
// 3166-1 alpha-2); "" forgets it.
func (s *Shop) SetAddress(ctx context.Context, a Account, address, country string, now time.Time) error {
	return s.editRegistered(ctx, a, now, func(b *Buyer) error {
		switch {
		case !ValidAddress(address):
			return &Refusal{AddressInvalid}
		case country != "" && !ValidCountry(country):
			return &Refusal{CountryInvalid}
		}
		b.Address, b.Country = address, country
		return nil
	})
}

// PreferCard makes a card of a buyer the one that pays.
func (s *Shop) PreferCard(ctx context.Context, a Account, card string, now time.Time) error {
	return s.editRegistered(ctx, a, now, func(b *Buyer) error {
		c, ok := b.Card(card)
		if !ok {
			return &Refusal{CardUnknown}
		}
		rest := slices.DeleteFunc(slices.Clone(b.Cards), func(o Card) bool { return o.ID == card })
		b.Cards = append([]Card{c}, rest...)
		return nil
	})
}

// RemoveCard forgets a card of a buyer, and owes that it is forgotten at Stripe. It
// pays nothing any more that is not confirmed yet.
func (s *Shop) RemoveCard(ctx context.Context, a Account, card string, now time.Time) error {
	return s.changeBuyer(ctx, a, func(b *Buyer) ([]store.Effect, error) {
		if _, ok := b.Card(card); !ok {
			return nil, &Refusal{CardUnknown}
		}
		b.Cards = slices.DeleteFunc(slices.Clone(b.Cards), func(c Card) bool { return c.ID == card })
		e, err := detachOwed(a, card)
		return []store.Effect{e}, err
	})
}

// SetLimits sets what a buyer may spend, in the place of the limits before. They hold
// from the next press of a button on; what was bought while no limit for a day or a
// month stood is not counted. ErrInvalid says that they are above the shop's own.
func (s *Shop) SetLimits(ctx context.Context, a Account, l Limits, now time.Time) error {
	if err := l.Validate(s.Limits); err != nil {
		return fmt.Errorf("%w: limits of %s: %w", ErrInvalid, a, err)
	}
	registered := false
	err := s.editBuyer(ctx, a, "", now, func(b *Buyer) bool {
		registered = !b.Registered.IsZero()
		b.Limits = l
		return registered
	})
	if err == nil && !registered {
		err = fmt.Errorf("buyer %s: %w", a, ErrNotFound)
	}
	return err
}

// editBuyer changes a buyer's record, and owes an effect of that kind with it, if owe
// names one.
func (s *Shop) editBuyer(ctx context.Context, a Account, owe string, now time.Time, edit func(*Buyer) (changed bool)) error {
	return s.changeBuyer(ctx, a, func(b *Buyer) ([]store.Effect, error) {
		if !edit(b) {
			return nil, errUnchanged
		}
		if owe == "" {
			return nil, nil
		}
		e, err := accountOwes(owe, a, b.version+1, now)
		return []store.Effect{e}, err
	})
}

// errUnchanged: there is nothing to write.
var errUnchanged = errors.New("unchanged")

// changeBuyer changes a buyer's record, and owes the effects with it that edit returns.
// Nothing is written where edit returns an error; errUnchanged is none to the caller.
func (s *Shop) changeBuyer(ctx context.Context, a Account, edit func(*Buyer) ([]store.Effect, error)) error {
	for range maxRaces {
		b, err := s.Buyer(ctx, a)
		if err != nil {
			return err
		}
		owe, err := edit(&b)
		if err == errUnchanged {
			return nil
		}
		if err != nil {
			return err
		}
		value, err := json.Marshal(b)
		if err != nil {
			return err
		}
		c := store.Change{
			Shard: a.Shard(),
			Put:   []store.Put{{Key: buyerKey(a), Version: b.version, Value: value}},
			Owe:   owe,
		}
		err = s.store.Commit(ctx, c)
		if err == nil {
			s.owing(c)
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("buyer %s: lost %d races", a, maxRaces)
}

// EachBuyer shows all buyers, shard by shard.
func (s *Shop) EachBuyer(ctx context.Context, see func(Buyer) error) error {
	for shard := range store.Shards {
		err := s.scan(ctx, shard, "buyer/", func(r store.Record) error {
			b, err := readBuyer(r)
			if err != nil {
				return err
			}
			return see(b)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Answered says whether a post was answered, so that a command which is heard twice
// is obeyed once. It knows this for two days.
func (s *Shop) Answered(ctx context.Context, a Account, post string) (bool, error) {
	recs, err := s.store.Get(ctx, a.Shard(), answerKey(a, post))
	return err == nil && recs[0].Version > 0, err
}

// Wished says whether an account has wished something by that post.
func (s *Shop) Wished(ctx context.Context, a Account, post string) (wished bool, err error) {
	err = s.eachOwn(ctx, a, func(p Purchase) error {
		wished = wished || p.Wish == post
		return nil
	})
	return wished, err
}

// OweAnswer answers a post, once, unless its author said stop.
func (s *Shop) OweAnswer(ctx context.Context, a Answer) error {
	b, err := s.look(ctx, a.Account)
	if err != nil {
		return err
	}
	if !b.Stopped.IsZero() && a.Word != "stopped" {
		return nil
	}
	if b.Lang != "" {
		a.Lang = b.Lang
	}
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	key := answerKey(a.Account, a.Post)
	c := store.Change{
		Shard: a.Account.Shard(),
		Put:   []store.Put{{Key: key, Value: []byte(a.Word)}},
		Owe:   []store.Effect{{ID: key, Kind: replyAnswer, Body: body}, forget(key, s.Now())},
	}
	err = s.store.Commit(ctx, c)
	if errors.Is(err, store.ErrConflict) {
		return nil // answered already
	}
	if err == nil {
		s.owing(c)
	}
	return err
}
