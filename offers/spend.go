package offers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"hashtill/store"
)

// Limits hold across all offers, so what an account has spent is counted in its own
// shard, while the purchase is in its offer's. No commit touches both. So the press
// of a button first counts the purchase, in one commit that cannot exceed a limit
// and happens once for each purchase, and then moves it on, in another. After a
// crash between the two the purchase counts and is not confirmed: the next press
// finds it counted and goes on.
//
// A purchase counts for as long as it holds units: until no payment can be taken for
// it any more, or it is paid back. Nothing is owed for that, and no message lost: who
// would be refused looks first which of the counted purchases have let go of their
// units, and gives them back. When the month is over, an effect that was owed with
// the counting forgets it.

// forgetSpent is the kind of the effect that forgets what was spent in a month.
const forgetSpent = "forget-spent"

// spentEffect is the body of a forgetSpent.
type spentEffect struct {
	Account  Account `json:"account"`
	Purchase ID      `json:"purchase"`
	Month    string  `json:"month"`
}

func (e spentEffect) id() string {
	return forgetSpent + "/" + e.Account.String() + "/" + string(e.Purchase) + "/" + e.Month
}

// affordable says whether a buyer may spend total at now, as an *[OverLimit] if not.
// It decides nothing: count does.
func (s *Shop) affordable(ctx context.Context, b Buyer, a Account, total Money, now time.Time) error {
	limits, over := capped(total.Currency, s.Limits, b.Limits)
	if over != nil {
		return over
	}
	for {
		over, err := s.refuse(ctx, a, limits, newCounted(total, now), false)
		if err != nil || over == nil {
			return err
		}
		freed, err := s.reclaim(ctx, a)
		if err != nil {
			return err
		}
		if !freed {
			return over
		}
	}
}

// refuse says why c cannot be spent beside what was spent in its day and month, or
// nil. among says that c is part of that already.
func (s *Shop) refuse(ctx context.Context, a Account, limits caps, c counted, among bool) (*OverLimit, error) {
	if !limits.counts() {
		return limits.refuse(c.Total, 0, 0), nil
	}
	day, month := c.keys(a)
	spent, err := s.store.Counts(ctx, a.Shard(), day, month)
	if err != nil {
		return nil, err
	}
	if among {
		spent[0] -= c.Total.Minor
		spent[1] -= c.Total.Minor
	}
	return limits.refuse(c.Total, spent[0], spent[1]), nil
}

// awake says whether something can be sold to a buyer at this hour: an error says until
// when not.
func (b Buyer) awake(now time.Time) error {
	if until, quiet := b.Quiet.At(now); quiet {
		return &QuietHoursError{until}
	}
	return nil
}

// count counts a purchase whose button is pressed against its buyer's limits, once,
// however often it is pressed. b is its buyer, as read a moment ago. An *[OverLimit] or
// another *[Refusal] says that it cannot be bought.
func (s *Shop) count(ctx context.Context, p Purchase, b Buyer, now time.Time) error {
	a, key := p.Buyer, countedKey(p.Buyer, p.ID)
	// Where nothing is counted nothing is read either: whoever tightens a limit at this
	// moment comes after the press.
	if limits, over := capped(p.Total.Currency, s.Limits, b.Limits); over == nil && !limits.counts() {
		if err := b.awake(now); err != nil {
			return err
		}
		if over := limits.refuse(p.Total, 0, 0); over != nil {
			return over
		}
		return nil
	}
	for range maxRaces {
		recs, err := s.store.Get(ctx, a.Shard(), buyerKey(a), key)
		if err != nil {
			return err
		}
		b, err := readBuyer(recs[0])
		if err != nil {
			return err
		}
		if why := b.Barred(); why != "" {
			return &Refusal{why}
		}
		if err := b.awake(now); err != nil {
			return err
		}
		limits, over := capped(p.Total.Currency, s.Limits, b.Limits)
		if over != nil {
			return over
		}
		c, among := newCounted(p.Total, now), recs[1].Version > 0
		if among {
			if c, err = readCounted(recs[1].Value); err != nil {
				return fmt.Errorf("%w: read %s: %w", ErrInvalid, key, err)
			}
		}
		// One that is counted is looked at again: a limit may have been lowered since.
		if over, err = s.refuse(ctx, a, limits, c, among); err != nil {
			return err
		}
		if over == nil {
			if among || !limits.counts() {
				return nil
			}
			// The buyer's record is part of the decision: whoever tightens a limit or
			// freezes the buyer at this moment comes first, or sees it counted.
			err = s.store.Commit(ctx, c.change(p, limits, store.Check{Key: buyerKey(a), Version: recs[0].Version}))
			if err == nil {
				return nil
			}
			if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrBound) {
				return err
			}
			continue // somebody else was faster: the next look says what that means
		}
		freed, err := s.reclaim(ctx, a)
		if err != nil {
			return err
		}
		if !freed {
			return over
		}
	}
	return fmt.Errorf("count purchase %s: lost %d races", p.ID, maxRaces)
}

// change counts a purchase, within its limits.
func (c counted) change(p Purchase, limits caps, buyer store.Check) store.Change {
	value, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and a number
	}
	forgets := spentEffect{p.Buyer, p.ID, c.month()}
	body, err := json.Marshal(forgets)
	if err != nil {
		panic(err)
	}
	due, err := c.forgotten()
	if err != nil {
		panic(err) // newCounted wrote the day
	}
	most := func(limit *Money) int64 {
		if limit == nil {
			return store.MaxCount
		}
		return limit.Minor
	}
	day, month := c.keys(p.Buyer)
	return store.Change{
		Shard: p.Buyer.Shard(),
		Check: []store.Check{buyer},
		Put:   []store.Put{{Key: countedKey(p.Buyer, p.ID), Value: value}},
		Owe:   []store.Effect{{ID: forgets.id(), Kind: forgetSpent, Due: due, Body: body}},
		Add: []store.Add{
			{Key: day, By: c.Total.Minor, Max: most(limits.day)},
			{Key: month, By: c.Total.Minor, Max: most(limits.month)},
		},
	}
}

// reclaim gives back what is counted for purchases of the account that hold no units
// any more, and says whether there was any.
func (s *Shop) reclaim(ctx context.Context, a Account) (freed bool, err error) {
	err = s.scan(ctx, a.Shard(), countedPrefix(a), func(r store.Record) error {
		id, ok := ParseID(strings.TrimPrefix(r.Key, countedPrefix(a)))
		if !ok {
			return nil // Check finds it
		}
		p, err := s.Purchase(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound):
			return nil // it was sold, and has left the store before its month was over
		case err != nil:
			return err
		case p.Held > 0 || !p.State.Ended():
			return nil
		}
		gave, err := s.uncount(ctx, a, id, nil)
		freed = freed || gave
		return err
	})
	return freed, err
}

// uncount takes a purchase out of the counts, once, and says whether it was there.
// forgets is the effect that has it done, if one does.
func (s *Shop) uncount(ctx context.Context, a Account, id ID, forgets *store.Settle) (bool, error) {
	key := countedKey(a, id)
	for range maxRaces {
		recs, err := s.store.Get(ctx, a.Shard(), key)
		if err != nil || recs[0].Version == 0 {
			return false, err
		}
		c, err := readCounted(recs[0].Value)
		if err != nil {
			return false, fmt.Errorf("%w: read %s: %w", ErrInvalid, key, err)
		}
		day, month := c.keys(a)
		change := store.Change{
			Shard: a.Shard(),
			Put:   []store.Put{{Key: key, Version: recs[0].Version}},
			Add:   []store.Add{{Key: day, By: -c.Total.Minor}, {Key: month, By: -c.Total.Minor}},
		}
		if forgets != nil {
			change.Settle = []store.Settle{*forgets}
		} else {
			change.Drop = []string{spentEffect{a, id, c.month()}.id()}
		}
		err = s.store.Commit(ctx, change)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return false, fmt.Errorf("uncount purchase %s: %w", id, err)
		}
	}
	return false, fmt.Errorf("uncount purchase %s: lost %d races", id, maxRaces)
}

// performForgetSpent forgets what was spent in a month that is over.
func (s *Shop) performForgetSpent(ctx context.Context, l store.Lease) error {
	var body spentEffect
	if err := json.Unmarshal(l.Body, &body); err != nil {
		return fmt.Errorf("read effect %s: %w", l.ID, err)
	}
	gave, err := s.uncount(ctx, body.Account, body.Purchase, &store.Settle{ID: l.ID, Try: l.Try})
	if err != nil || gave {
		return err
	}
	return s.settle(ctx, l)
}
