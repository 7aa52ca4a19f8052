package offers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"hashtill/store"
)

// OnLeft says who forgets a customer at Stripe whose account here is erased, and OnDetach
// who forgets a card there. Doing it again does no harm.
func (s *Shop) OnLeft(act func(ctx context.Context, customer string) error) { s.left = act }

// OnDetach is said with OnLeft.
func (s *Shop) OnDetach(act func(ctx context.Context, card string) error) { s.detach = act }

// Leave is for a buyer who wants to be forgotten. From now on nothing is sold or charged
// to the account, and it is erased, here (see [Shop.Erase]) and at Stripe, as soon as no
// payment stands in the way.
func (s *Shop) Leave(ctx context.Context, a Account, now time.Time) error {
	return s.changeBuyer(ctx, a, func(b *Buyer) ([]store.Effect, error) {
		if !b.LeavingAt.IsZero() {
			return nil, errUnchanged
		}
		b.Account, b.LeavingAt = a, now
		if b.Stopped.IsZero() {
			b.Stopped = now
		}
		customer := b.Customer
		if customer == "" { // on the way to the first card
			u, err := s.Signup(ctx, a)
			if err != nil {
				return nil, err
			}
			customer = u.Customer
		}
		e, err := leaveOwed(a, customer, now)
		return []store.Effect{e}, err
	})
}

func leaveOwed(a Account, customer string, now time.Time) (store.Effect, error) {
	body, err := json.Marshal(accountEffect{Account: a, At: now, Customer: customer})
	return store.Effect{ID: fmt.Sprintf("%s/%s/%d", leaveAccount, a, now.UnixMilli()), Kind: leaveAccount, Body: body}, err
}

// leavePause is how long an erasure waits for a payment that stands in its way.
const leavePause = time.Minute

// performLeave erases the account, and then its customer at Stripe: the other way round
// a refund could still be owed to a customer who is gone. The buyer's record goes last,
// with this effect; until then nobody registers anew. What the shop has frozen stays
// frozen: all that is kept then is that.
func (s *Shop) performLeave(ctx context.Context, l store.Lease) error {
	var body accountEffect
	if err := json.Unmarshal(l.Body, &body); err != nil {
		return fmt.Errorf("read effect %s: %w", l.ID, err)
	}
	b, err := s.Buyer(ctx, body.Account)
	if err != nil {
		return err
	}
	if !b.LeavingAt.Equal(body.At) {
		return s.settle(ctx, l) // the operator was faster
	}
	_, err = s.erase(ctx, body.Account, true, s.Now())
	if wait := (*UnfinishedError)(nil); errors.As(err, &wait) {
		return s.putOff(ctx, l, s.Now().Add(leavePause), wait.Error())
	}
	if err != nil {
		return err
	}
	if body.Customer != "" {
		if s.left == nil {
			return fmt.Errorf("nobody performs %s", l.Kind)
		}
		if err := s.left(ctx, body.Customer); err != nil {
			return err
		}
	}
	var rest []byte
	if b.FrozenBy == ByShop {
		if rest, err = json.Marshal(Buyer{Account: b.Account, Stopped: b.Stopped, Frozen: true, FrozenBy: ByShop}); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTime)
	defer cancel()
	err = s.store.Commit(ctx, store.Change{
		Shard:  l.Shard,
		Put:    []store.Put{{Key: buyerKey(body.Account), Version: b.version, Value: rest}},
		Settle: []store.Settle{{ID: l.ID, Try: l.Try}},
	})
	if err == nil {
		s.Log.InfoContext(ctx, "an account has left", "network", body.Account.Network)
	}
	return err
}

// detachEffect is the body of a dropCard.
type detachEffect struct {
	Account Account `json:"account"`
	Card    string  `json:"card"`
}

func detachOwed(a Account, card string) (store.Effect, error) {
	body, err := json.Marshal(detachEffect{a, card})
	return store.Effect{ID: dropCard + "/" + a.String() + "/" + card, Kind: dropCard, Body: body}, err
}

func (s *Shop) performDetach(ctx context.Context, l store.Lease) error {
	var body detachEffect
	if err := json.Unmarshal(l.Body, &body); err != nil {
		return fmt.Errorf("read effect %s: %w", l.ID, err)
	}
	if s.detach == nil {
		return fmt.Errorf("nobody performs %s", l.Kind)
	}
	if err := s.detach(ctx, body.Card); err != nil {
		return err
	}
	return s.settle(ctx, l)
}
