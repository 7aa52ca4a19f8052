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
	forgetRecord = "forget" // of a post that nobody brings again any more
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
// given stays, and so does a Stop. Wishes that wait for it go on by themselves.
func (s *Shop) Register(ctx context.Context, b Buyer, now time.Time) error {
	if err := b.Validate(); err != nil {
		return err
	}
	return s.editBuyer(ctx, b.Account, resumeWishes, now, func(old *Buyer) bool {
		renewed := b
		renewed.Registered, renewed.Stopped, renewed.version = now, old.Stopped, old.version
		renewed.Handle = cmp.Or(b.Handle, old.Handle)
		renewed.Lang = cmp.Or(b.Lang, old.Lang)
		renewed.Address = cmp.Or(b.Address, old.Address)
		*old = renewed
		return true
	})
}

// Stop obeys an account that wants to be left alone: what it has not confirmed is
// cancelled, nothing is sold to it, and it gets no replies.
func (s *Shop) Stop(ctx context.Context, a Account, now time.Time) error {
	return s.editBuyer(ctx, a, cancelWishes, now, func(b *Buyer) bool {
		stop := b.Stopped.IsZero()
		b.Account, b.Stopped = a, now
		return stop
	})
}

// Start takes back a Stop from before now.
func (s *Shop) Start(ctx context.Context, a Account, now time.Time) error {
	return s.editBuyer(ctx, a, resumeWishes, now, func(b *Buyer) bool {
		if b.Stopped.IsZero() || b.Stopped.After(now) {
			return false
		}
		b.Stopped = time.Time{}
		return true
	})
}

// editBuyer changes a buyer's record, and owes an effect of that kind with it.
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
			Owe:   []store.Effect{{ID: id, Kind: owe, Body: body}},
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
