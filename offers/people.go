package offers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"hashtill/store"
)

// Effects of an account, in the account's shard.
const (
	replyAnswer  = "answer" // to a post that is no wish
	resumeWishes = "resume" // of a buyer who has registered
	cancelWishes = "cancel" // of an account that said stop
	forgetRecord = "forget" // of what nobody brings again any more
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
}

// Buyer reads what is known of an account; the zero Buyer where nothing is.
func (s *Shop) Buyer(ctx context.Context, a Account) (Buyer, error) {
	recs, err := s.store.Get(ctx, a.Shard(), buyerKey(a))
	if err != nil {
		return Buyer{}, err
	}
	return readBuyer(recs[0])
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
		renewed.Stopped, renewed.Frozen, renewed.Limits = old.Stopped, old.Frozen, old.Limits
		renewed.Handle = cmp.Or(b.Handle, old.Handle)
		renewed.Lang = cmp.Or(b.Lang, old.Lang)
		renewed.Address = cmp.Or(b.Address, old.Address)
		*old = renewed
		return true
	})
}

// Stop obeys an account that wants to be left alone: what it has not confirmed is
// cancelled, nothing is sold or charged to it, and it gets no replies. A charge that
// has begun goes on.
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
		if frozen = b.Frozen; frozen || b.Stopped.IsZero() || b.Stopped.After(now) {
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
func (s *Shop) Freeze(ctx context.Context, a Account, now time.Time) error {
	return s.editBuyer(ctx, a, cancelWishes, now, func(b *Buyer) bool {
		if b.Frozen {
			return false
		}
		b.Account, b.Frozen = a, true
		if b.Stopped.IsZero() || now.After(b.Stopped) {
			b.Stopped = now
		}
		return true
	})
}

// Unfreeze takes back a Freeze, and whatever Stop there was.
func (s *Shop) Unfreeze(ctx context.Context, a Account, now time.Time) error {
	return s.editBuyer(ctx, a, resumeWishes, now, func(b *Buyer) bool {
		if b.Stopped.IsZero() {
			return false
		}
		b.Stopped, b.Frozen = time.Time{}, false
		return true
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
	for range maxRaces {
		b, err := s.Buyer(ctx, a)
		if err != nil {
			return err
		}
		if !edit(&b) {
			return nil
		}
		value, err := json.Marshal(b)
		if err != nil {
			return err
		}
		body, err := json.Marshal(accountEffect{a, now})
		if err != nil {
			return err
		}
		// The time is in the effect's id because versions begin anew when an account
		// is erased.
		id := fmt.Sprintf("%s/%s/%d-%d", owe, a, b.version+1, now.UnixMilli())
		c := store.Change{
			Shard: a.Shard(),
			Put:   []store.Put{{Key: buyerKey(a), Version: b.version, Value: value}},
		}
		if owe != "" {
			c.Owe = []store.Effect{{ID: id, Kind: owe, Body: body}}
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
	b, err := s.Buyer(ctx, a.Account)
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
