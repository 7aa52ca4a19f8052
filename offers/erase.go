package offers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"hashtill/store"
)

// Erased is what an erasure took.
type Erased struct {
	Purchases int    `json:"purchases"`          // archived without their buyer, and removed
	Records   int    `json:"records"`            // removed, those of the purchases included
	Customer  string `json:"customer,omitempty"` // Stripe's customer, to be deleted there; "" where the account had not registered
}

// An UnfinishedError says that not all of an account can be erased yet, and whose
// turn it is.
type UnfinishedError struct {
	Paying []ID // the buyer has confirmed these and their payment is being taken: wait until it is decided
	Owed   []ID // Stripe has yet to cancel or to pay back the payments of these, which the outbox sees to
	Seller []ID // the buyer has withdrawn from these, which were shipped, and the seller has yet to refund them
}

func (e *UnfinishedError) Error() string {
	var say []string
	if len(e.Paying) > 0 {
		say = append(say, fmt.Sprintf("a payment is being taken for %s: wait until it is paid or declined", list(e.Paying)))
	}
	if len(e.Owed) > 0 {
		say = append(say, fmt.Sprintf("still owed: Stripe has yet to cancel or to pay back %s", list(e.Owed)))
	}
	if len(e.Seller) > 0 {
		say = append(say, fmt.Sprintf("withdrawn from, and for the seller to refund: %s", list(e.Seller)))
	}
	return strings.Join(say, "; ") + "; then erase the account again"
}

func list(ids []ID) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = string(id)
	}
	if len(names) == 1 {
		return "purchase " + names[0]
	}
	return fmt.Sprintf("%d purchases (%s)", len(names), strings.Join(names, ", "))
}

// Erase removes all there is of an account, from every shard: its purchases, which
// are archived without their buyer as at the end of [Times.Keep], what it is still
// to be told, and what is known of it as a buyer; a Stop goes with the rest. What
// it has not confirmed is cancelled first.
//
// An *[UnfinishedError] says that a payment stands in the way: calling again later
// goes on. While a payment is being taken nothing is erased at all. The customer at
// Stripe is not touched; Customer names it until the buyer's record goes, which is
// the last thing that Erase does.
//
// For two days it is still remembered of the account's latest posts that they were
// dealt with, by their numbers or a hash, so that a network which brings one again
// does not begin anew what was erased.
//
// It reads every purchase in the store: none is missed because an index does not
// have it yet.
func (s *Shop) Erase(ctx context.Context, a Account, now time.Time) (Erased, error) {
	return s.erase(ctx, a, false, now)
}

// erase is Erase; with keepBuyer it does all but remove the buyer's own record.
func (s *Shop) erase(ctx context.Context, a Account, keepBuyer bool, now time.Time) (Erased, error) {
	b, err := s.Buyer(ctx, a)
	if err != nil {
		return Erased{}, err
	}
	u, err := s.Signup(ctx, a)
	if err != nil {
		return Erased{}, err
	}
	erased := Erased{Customer: cmp.Or(b.Customer, u.Customer)}
	theirs := map[ID]bool{}
	wait := &UnfinishedError{}
	err = s.eachReadable(ctx, func(p Purchase) error {
		if p.Buyer == a && !theirs[p.ID] {
			theirs[p.ID] = true
			if p.State == Confirmed || p.State == Challenged {
				wait.Paying = append(wait.Paying, p.ID)
			}
		}
		return nil
	})
	if err != nil {
		return erased, err
	}
	if len(wait.Paying) > 0 {
		return erased, wait
	}
	for _, id := range slices.Sorted(maps.Keys(theirs)) {
		if err := s.erasePurchase(ctx, id, a, now, &erased, wait); err != nil {
			return erased, err
		}
	}
	if len(wait.Paying)+len(wait.Owed)+len(wait.Seller) > 0 {
		return erased, wait
	}
	if err := s.eraseAccount(ctx, a, keepBuyer, &erased); err != nil {
		return erased, fmt.Errorf("erase: %w", err)
	}
	// What was wished while this looked elsewhere is erased by calling again.
	err = s.eachReadable(ctx, func(p Purchase) error {
		if p.Buyer == a {
			wait.Owed = append(wait.Owed, p.ID)
		}
		return nil
	})
	if err == nil && len(wait.Owed) > 0 {
		err = wait
	}
	return erased, err
}

// eachReadable shows all purchases that can be read. One that cannot is found by
// [Shop.Check], and is in nobody else's way.
func (s *Shop) eachReadable(ctx context.Context, see func(Purchase) error) error {
	for shard := range store.Shards {
		err := s.scan(ctx, shard, "purchase/", func(r store.Record) error {
			p, err := readPurchase(r)
			if err != nil {
				s.Log.Error("a purchase cannot be read", "key", r.Key)
				return nil
			}
			return see(p)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// erasePurchase cancels a purchase and takes it out of the store, or notes what
// there is to wait for.
func (s *Shop) erasePurchase(ctx context.Context, id ID, a Account, now time.Time, erased *Erased, wait *UnfinishedError) error {
	for range maxRaces {
		p, err := s.Purchase(ctx, id)
		if err == nil && !p.State.Ended() {
			p, err = s.Cancel(ctx, id, a, now)
		}
		var no *Refusal
		switch {
		case errors.Is(err, ErrNotFound):
			return nil
		case errors.As(err, &no): // confirmed this moment
			wait.Paying = append(wait.Paying, id)
			return nil
		case err != nil:
			return err
		case p.unsettled():
			wait.Owed = append(wait.Owed, id)
			return nil
		case p.Returning():
			wait.Seller = append(wait.Seller, id)
			return nil
		}
		c := store.Change{}
		if now.Sub(p.AskedAt) < postMemory {
			key := erasedKey(id)
			c.Put = []store.Put{{Key: key, Value: []byte{}}}
			c.Owe = []store.Effect{forget(key, now)}
		}
		// Nobody is told anything any more. What does not fit the last commit are looks
		// at Stripe, which nobody needs once the purchase has ended.
		drop := append([]string{deadline(p).ID()}, p.effects()...)
		if most := store.MaxParts / 2; len(drop) > most {
			for some := range slices.Chunk(drop[most:], store.MaxParts) {
				if err := s.store.Commit(ctx, store.Change{Shard: id.Shard(), Drop: some}); err != nil {
					return err
				}
			}
			drop = drop[:most]
		}
		c.Drop = drop
		n, err := s.retire(ctx, p, c)
		if errors.Is(err, store.ErrConflict) {
			continue // it has changed meanwhile
		}
		if err == nil {
			erased.Purchases++
			erased.Records += n
		}
		return err
	}
	return fmt.Errorf("erase purchase %s: lost %d races", id, maxRaces)
}

// eraseAccount removes what is left in the account's own shard when its purchases
// are gone. The buyer goes last: until then calling again tells Stripe's customer.
func (s *Shop) eraseAccount(ctx context.Context, a Account, keepBuyer bool, erased *Erased) error {
	var stray []string
	err := s.scan(ctx, a.Shard(), ownPrefix(a), func(r store.Record) error {
		id, ok := ParseID(strings.TrimPrefix(r.Key, ownPrefix(a)))
		if ok {
			_, err := s.Purchase(ctx, id)
			if !errors.Is(err, ErrNotFound) {
				return err // wished again meanwhile
			}
		}
		stray = append(stray, r.Key)
		return nil
	})
	if err != nil {
		return err
	}
	err = s.scan(ctx, a.Shard(), countedPrefix(a), func(r store.Record) error {
		id, ok := ParseID(strings.TrimPrefix(r.Key, countedPrefix(a)))
		if !ok {
			return nil // Check finds it
		}
		gave, err := s.uncount(ctx, a, id, nil)
		if gave {
			erased.Records++
		}
		return err
	})
	if err != nil {
		return err
	}
	var owed []string
	err = s.eachOwed(ctx, a.Shard(), func(o store.Owed) error {
		if whose, ok := ownerOf(o.Effect); ok && whose == a {
			owed = append(owed, o.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for some := range slices.Chunk(owed, store.MaxParts) {
		if err := s.store.Commit(ctx, store.Change{Shard: a.Shard(), Drop: some}); err != nil {
			return err
		}
	}
	n, err := s.EndSessions(ctx, a)
	if err != nil {
		return err
	}
	erased.Records += n
	stray = append(stray, signupKey(a))
	if !keepBuyer {
		stray = append(stray, buyerKey(a))
	}
	for _, key := range stray {
		n, err := s.remove(ctx, a.Shard(), key)
		if err != nil {
			return err
		}
		erased.Records += n
	}
	return nil
}

// ownerOf is the account that an effect goes with when the account is erased.
func ownerOf(e store.Effect) (a Account, ok bool) {
	switch e.Kind {
	case replyAnswer, resumeWishes, cancelWishes, lookCard, dropCard, forgetSignup, forgetSpent:
		return accountOf(e)
	}
	return Account{}, false
}

// accountOf is the account that an effect of an account names.
func accountOf(e store.Effect) (a Account, ok bool) {
	var body struct {
		Account Account `json:"account"`
	}
	err := json.Unmarshal(e.Body, &body)
	return body.Account, err == nil
}

// eachOwed shows all effects of a shard.
func (s *Shop) eachOwed(ctx context.Context, shard int, see func(store.Owed) error) error {
	return eachOwed(ctx, s.store, shard, see)
}

func eachOwed(ctx context.Context, st store.Store, shard int, see func(store.Owed) error) error {
	for cursor := ""; ; {
		owed, next, err := st.Owed(ctx, shard, cursor, scanPage)
		if err != nil {
			return err
		}
		for _, o := range owed {
			if err := see(o); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		cursor = next
	}
}
