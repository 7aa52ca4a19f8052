package offers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"hashtill/store"
)

// MaxPostAge is the age above which no post may be taken for a wish, a code or a
// command. What is known of a post is forgotten only when it is older by far, so
// that a post which a network brings again is never obeyed again.
const MaxPostAge = 24 * time.Hour

// postMemory is how long what is known of a post is kept at least. Networks' clocks
// differ, and posts may be on their way for a while: it is twice [MaxPostAge].
const postMemory = 2 * MaxPostAge

// retryRetire is how long a purchase stays on that something is still owed for.
const retryRetire = 24 * time.Hour

// Archived is what is kept of a purchase that leaves the store: the bookkeeping,
// and nothing that names a person.
type Archived struct {
	ID          ID        `json:"id"`
	State       State     `json:"state"`
	Reason      Reason    `json:"reason,omitempty"`
	Offer       string    `json:"offer"`
	Tag         string    `json:"tag"`
	Title       string    `json:"title"`
	Seller      string    `json:"seller"`
	Variant     string    `json:"variant,omitempty"`
	Quantity    int       `json:"quantity"`
	Total       Money     `json:"total"`
	TaxPercent  Percent   `json:"tax_percent,omitzero"` // included in the total
	Tax         Money     `json:"tax,omitzero"`
	Intent      string    `json:"intent,omitempty"` // Stripe's
	AskedAt     time.Time `json:"asked_at"`
	PaidAt      time.Time `json:"paid_at,omitzero"`
	ShippedAt   time.Time `json:"shipped_at,omitzero"`
	WithdrawnAt time.Time `json:"withdrawn_at,omitzero"`
	Refunds     []Refund  `json:"refunds,omitempty"`    // without their reasons
	RefundedAt  time.Time `json:"refunded_at,omitzero"` // all of it
	EndedAt     time.Time `json:"ended_at"`
}

func archived(p Purchase) Archived {
	a := Archived{
		ID: p.ID, State: p.State, Reason: p.Reason, Offer: p.Offer, Tag: p.Tag, Title: p.Title, Seller: p.Seller,
		Variant: p.Variant, Quantity: p.Quantity, Total: p.Total, Intent: p.Intent,
		AskedAt: p.AskedAt, PaidAt: p.PaidAt, ShippedAt: p.ShippedAt, WithdrawnAt: p.WithdrawnAt, EndedAt: p.EndedAt,
	}
	if p.Tax > 0 {
		a.TaxPercent, a.Tax = p.Tax, p.Tax.Included(p.Total)
	}
	for _, r := range p.Refunds {
		r.Why = "" // it may name somebody
		a.Refunds = append(a.Refunds, r)
	}
	if p.State == Refunded {
		a.RefundedAt = p.EndedAt
	}
	return a
}

// unsettled says that money or units may still move: the purchase goes on, or
// Stripe has yet to cancel its payment or to pay it back.
func (p Purchase) unsettled() bool {
	if p.State == Paid {
		_, owed := p.PaidBack()
		return owed.Minor > 0
	}
	return !p.State.Ended() || p.Held > 0
}

// effects are the ids of all that can be owed for an ended purchase, but for its
// deadline. Looks, of which there may be many, are the last.
func (p Purchase) effects() []string {
	var ids []string
	add := func(e Effect) {
		e.Purchase = p.ID
		ids = append(ids, e.ID())
	}
	for _, kind := range []EffectKind{Reply, MailCode, Prepare, Void, MailReceipt, Thank, ReplyReason, MailShipped, MailWithdrawal, File} {
		add(Effect{Kind: kind})
	}
	for _, why := range p.Told {
		add(Effect{Kind: MailReason, Reason: why})
	}
	numbered := func(kind EffectKind, most int) {
		for n := range most {
			add(Effect{Kind: kind, N: n + 1})
		}
	}
	numbered(MailLink, p.Round)
	numbered(Charge, p.Attempt)
	numbered(Refunding, len(p.Refunds))
	numbered(MailRefund, len(p.Refunds))
	numbered(TellMerchant, p.MerchantTold)
	numbered(Look, p.Looks)
	return ids
}

// performRetire takes a purchase out of the store whose time there is over, or
// puts that off while something is owed for it.
func (s *Shop) performRetire(ctx context.Context, l store.Lease, p Purchase, now time.Time) error {
	wait := p.unsettled()
	if !wait {
		var err error
		if wait, err = s.owes(ctx, l.Shard, p.effects()); err != nil {
			return err
		}
	}
	if wait {
		return s.putOff(ctx, l, now.Add(retryRetire), "kept on: something else is still owed for it")
	}
	_, err := s.retire(ctx, p, store.Change{Settle: []store.Settle{{ID: l.ID, Try: l.Try}}})
	return err
}

// retire takes an ended purchase out of the store, with c in the last commit, and
// says how many records that removed. Each step may be done again after a crash:
// the purchase goes last, and whatever made it go is still owed until then.
func (s *Shop) retire(ctx context.Context, p Purchase, c store.Change) (records int, err error) {
	if s.Archive != nil {
		line, err := json.Marshal(archived(p))
		if err != nil {
			return 0, err
		}
		if err := s.Archive(ctx, line); err != nil {
			return 0, fmt.Errorf("archive purchase %s: %w", p.ID, err)
		}
	}
	if p.Held == 0 {
		// Once it is gone, nobody could tell it from one that was sold.
		if _, err := s.uncount(ctx, p.Buyer, p.ID, nil); err != nil {
			return 0, err
		}
	}
	if records, err = s.remove(ctx, p.Buyer.Shard(), ownKey(p.Buyer, p.ID)); err != nil {
		return 0, err
	}
	c.Shard = p.ID.Shard()
	c.Put = append(c.Put, store.Put{Key: purchaseKey(p.ID), Version: p.version})
	records++
	if p.Code != "" {
		recs, err := s.store.Get(ctx, c.Shard, codeKey(p.Code))
		if err != nil {
			return 0, err
		}
		if recs[0].Version > 0 && ID(recs[0].Value) == p.ID {
			c.Put = append(c.Put, store.Put{Key: codeKey(p.Code), Version: recs[0].Version})
			records++
		}
	}
	if !p.PaidAt.IsZero() {
		recs, err := s.store.Get(ctx, c.Shard, orderKey(p))
		if err != nil {
			return 0, err
		}
		if recs[0].Version > 0 {
			c.Put = append(c.Put, store.Put{Key: orderKey(p), Version: recs[0].Version})
			records++
		}
	}
	if units := int64(p.Held); units > 0 {
		// They are sold: they stay taken, but nobody's.
		c.Add = append(c.Add,
			store.Add{Key: boughtKey(p.Offer, p.Buyer), By: -units},
			store.Add{Key: soldKey(p.Offer, p.Variant), By: units, Max: store.MaxCount})
	}
	if err := s.store.Commit(ctx, c); err != nil {
		return 0, fmt.Errorf("retire purchase %s: %w", p.ID, err)
	}
	s.Log.LogAttrs(ctx, slog.LevelInfo, "purchase retired", slog.String("purchase", string(p.ID)),
		slog.String("offer", p.Offer), slog.String("state", string(p.State)))
	return records, nil
}

// owes says whether any of these effects is owed. It asks with a Change that can
// never happen: its last guard wants a count to grow and to stay at the lowest
// there is. Guards are looked at in order, so the effects tell first. (To look
// through all that a shard owes would cost more the longer purchases are kept.)
func (s *Shop) owes(ctx context.Context, shard int, ids []string) (bool, error) {
	for some := range slices.Chunk(ids, store.MaxParts-1) {
		c := store.Change{Shard: shard, Add: []store.Add{{Key: "never", By: 1, Min: -store.MaxCount, Max: -store.MaxCount}}}
		for _, id := range some {
			c.Owe = append(c.Owe, store.Effect{ID: id})
		}
		switch err := s.store.Commit(ctx, c); {
		case errors.Is(err, store.ErrConflict):
			return true, nil
		case !errors.Is(err, store.ErrBound):
			return false, fmt.Errorf("look whether %s is owed: %w", some[0], err)
		}
	}
	return false, nil
}

// remove takes a record away, if it is there, and says how many that were.
func (s *Shop) remove(ctx context.Context, shard int, key string) (int, error) {
	for range maxRaces {
		recs, err := s.store.Get(ctx, shard, key)
		if err != nil {
			return 0, err
		}
		if recs[0].Version == 0 {
			return 0, nil
		}
		err = s.store.Commit(ctx, store.Change{Shard: shard, Put: []store.Put{{Key: key, Version: recs[0].Version}}})
		if err == nil {
			return 1, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return 0, err
		}
	}
	return 0, fmt.Errorf("remove %s: lost %d races", key, maxRaces)
}

// forgetEffect is the body of an effect that removes a record of its shard.
type forgetEffect struct {
	Key string `json:"key"`
}

func (e forgetEffect) id() string { return forgetRecord + "/" + e.Key }

// forget owes that a record is removed when nobody needs its memory any more.
func forget(key string, now time.Time) store.Effect { return forgetAt(key, now.Add(postMemory)) }

func forgetAt(key string, due time.Time) store.Effect {
	e := forgetEffect{key}
	body, err := json.Marshal(e)
	if err != nil {
		panic(err) // a string
	}
	return store.Effect{ID: e.id(), Kind: forgetRecord, Due: due, Body: body}
}

func (s *Shop) performForget(ctx context.Context, l store.Lease) error {
	var body forgetEffect
	if err := json.Unmarshal(l.Body, &body); err != nil {
		return fmt.Errorf("read effect %s: %w", l.ID, err)
	}
	if _, err := s.remove(ctx, l.Shard, body.Key); err != nil {
		return err
	}
	return s.settle(ctx, l)
}
