package offers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"hashtill/store"
)

// A StuckEffect is an effect that was tried again and again, or for long, and is still owed.
type StuckEffect struct {
	ID       string // for TryAgain and GiveUp
	Kind     string
	Purchase ID // "": of none
	Offer    string
	Merchant string
	Due      time.Time // the next try
	Since    time.Time // when it was due first, as far as is known
	Try      int64     // how often it was tried
	Note     string    // why it failed last

	CanGiveUp bool
}

// What counts as stuck: so many tries, or overdue for so long.
const (
	stuckTries = 5
	stuckFor   = 10 * time.Minute
)

// Stuck are the effects that do not get done, those tried most first. All that is owed is
// read for it.
func (s *Shop) Stuck(ctx context.Context, most int) (all []StuckEffect, err error) {
	now := s.Now()
	for shard := range store.Shards {
		err := s.eachOwed(ctx, shard, func(o store.Owed) error {
			if o.Try < stuckTries && now.Sub(o.Due) < stuckFor || o.Try < 2 && o.Due.After(now) {
				return nil
			}
			st := StuckEffect{ID: fmt.Sprintf("%02d:%s", shard, o.ID), Kind: o.Kind, Due: o.Due, Try: o.Try, Note: o.Note, CanGiveUp: abandons(EffectKind(o.Kind)) != nil}
			if slices.Contains(EffectKinds, EffectKind(o.Kind)) {
				var e Effect
				if json.Unmarshal(o.Body, &e) == nil {
					st.Purchase = e.Purchase
				}
			}
			all = append(all, st)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b StuckEffect) int {
		return cmp.Or(cmp.Compare(b.Try, a.Try), a.Due.Compare(b.Due), cmp.Compare(a.ID, b.ID))
	})
	all = all[:min(len(all), most)]
	for i := range all {
		if _, ok := ParseID(string(all[i].Purchase)); !ok {
			continue
		}
		p, err := s.Purchase(ctx, all[i].Purchase)
		switch {
		case err == nil:
			all[i].Offer, all[i].Merchant, all[i].Since = p.Offer, p.Merchant, p.AskedAt
		case !errors.Is(err, ErrNotFound):
			return nil, err
		}
	}
	return all, nil
}

// abandons is what becomes of a purchase when an effect of that kind is never done: an
// event; nil: it must be done. Money is never given up.
func abandons(kind EffectKind) *Event {
	switch kind {
	case MailReceipt, Thank, MailReason, ReplyReason, MailRefund, MailShipped, MailWithdrawal, TellMerchant, EffectKind(replyAnswer):
		return &Event{Kind: EffectDone}
	case Reply:
		return &Event{Kind: ReplyFailed}
	case MailCode:
		return &Event{Kind: CodeUnmailed}
	case MailLink:
		return &Event{Kind: LinkUnmailed}
	}
	return nil
}

// owed finds an effect by the ID of its StuckEffect.
func (s *Shop) owed(ctx context.Context, id string) (found store.Owed, err error) {
	digits, id, _ := strings.Cut(id, ":")
	shard, err := strconv.Atoi(digits)
	if err != nil || len(digits) != 2 || shard < 0 || shard >= store.Shards {
		return found, fmt.Errorf("effect: %w", ErrNotFound)
	}
	err = s.eachOwed(ctx, shard, func(o store.Owed) error {
		if o.ID == id {
			found, found.Shard = o, shard
		}
		return nil
	})
	if err == nil && found.ID == "" {
		err = fmt.Errorf("effect %s: %w", id, ErrNotFound)
	}
	return found, err
}

// TryAgain has an effect tried now, whenever its next try was to be. ErrNotFound says that
// it is not owed any more. One that is being tried at this moment is left alone.
func (s *Shop) TryAgain(ctx context.Context, id string) error {
	o, err := s.owed(ctx, id)
	if err != nil {
		return err
	}
	c := store.Change{Shard: o.Shard, PutOff: []store.PutOff{{ID: o.ID, Try: o.Try, Due: s.Now(), Note: o.Note, Waits: true}}}
	err = s.store.Commit(ctx, c)
	if errors.Is(err, store.ErrStale) {
		return nil
	}
	if err == nil && s.Owing != nil {
		s.Owing()
	}
	return err
}

// GiveUp has an effect never be done, and its purchase go on as if it had failed for good.
// ErrInvalid says that it cannot be given up: money is owed until it is paid.
func (s *Shop) GiveUp(ctx context.Context, id string) error {
	o, err := s.owed(ctx, id)
	if err != nil {
		return err
	}
	ev := abandons(EffectKind(o.Kind))
	if ev == nil {
		return fmt.Errorf("%w: %s has to be done: it cannot be given up", ErrInvalid, o.Kind)
	}
	if ev.Kind != EffectDone {
		var e Effect
		if err := json.Unmarshal(o.Body, &e); err != nil {
			return fmt.Errorf("read effect %s: %w", o.ID, err)
		}
		if _, err := s.move(ctx, e.Purchase, *ev, nil, s.Now()); asRefusal(err) != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	s.Log.Warn("an effect was given up", "effect", o.ID, "tries", o.Try)
	return s.store.Commit(ctx, store.Change{Shard: o.Shard, Drop: []string{o.ID}})
}
