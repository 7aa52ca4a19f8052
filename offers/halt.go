package offers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"hashtill/store"
)

// A Halt stops all charging at once. No charge begins while it stands, from the moment
// that [Shop.Halt] has returned; what was on its way then, or just about to be, may still
// be taken.
// Wishes are heard and wait: within seconds no code, no payment and no link goes
// out. What waits goes on when the halt is lifted, and what has waited for longer than
// [Times.Answer] expires, and its buyer is told that nothing was charged.
type Halt struct {
	At  time.Time `json:"at"`
	By  string    `json:"by"` // who has halted the shop, for people to read
	Why string    `json:"why,omitempty"`
}

// haltKey is a record in each shard, so that the look before a charge is part of the read
// of its purchase.
const haltKey = "halt"

// haltPause is how long what is halted is put off.
const haltPause = 5 * time.Second

// Halt halts the shop. It may be called again; an error says that it may be halted in
// part, and that it has to be called again.
func (s *Shop) Halt(ctx context.Context, h Halt) error {
	if err := errors.Join(spoken("by", h.By, MaxTitle), spoken("why", h.Why, MaxWhy)); err != nil {
		return err
	}
	value, err := json.Marshal(h)
	if err != nil {
		return err
	}
	// Shard 0, which tells of it, comes last; and what a Resume that was under way has lifted
	// behind our back is set again.
	for missing, rounds := 1, 0; missing > 0; rounds++ {
		if rounds >= maxRaces {
			return fmt.Errorf("the shop is halted in part: try again: lost %d races", maxRaces)
		}
		missing = 0
		for shard := store.Shards - 1; shard >= 0; shard-- {
			set, err := s.setHalt(ctx, shard, value)
			if err != nil {
				return fmt.Errorf("the shop is halted in %d of %d parts: try again: %w", store.Shards-1-shard, store.Shards, err)
			}
			if set {
				missing++
			}
		}
	}
	s.halt.Store(&h)
	s.Log.Warn("the shop is halted: nothing is charged", "why", h.Why)
	return nil
}

// Resume lifts the halt. It may be called again.
func (s *Shop) Resume(ctx context.Context) error {
	for shard := store.Shards - 1; shard >= 0; shard-- {
		if _, err := s.setHalt(ctx, shard, nil); err != nil {
			return fmt.Errorf("the halt is lifted in %d of %d parts: try again: %w", store.Shards-1-shard, store.Shards, err)
		}
	}
	s.halt.Store(nil)
	s.Log.Warn("the halt is lifted")
	return nil
}

// setHalt writes the record of a shard, or removes it, and says whether that changed
// something. The first halt stays as it was.
func (s *Shop) setHalt(ctx context.Context, shard int, value []byte) (changed bool, err error) {
	if value == nil {
		n, err := s.remove(ctx, shard, haltKey)
		return n > 0, err
	}
	err = s.store.Commit(ctx, store.Change{Shard: shard, Put: []store.Put{{Key: haltKey, Value: value}}})
	if errors.Is(err, store.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// Halted reads whether the shop is halted; nil: it is not.
func (s *Shop) Halted(ctx context.Context) (*Halt, error) {
	recs, err := s.store.Get(ctx, 0, haltKey)
	if err != nil {
		return nil, err
	}
	var h *Halt
	if recs[0].Version > 0 {
		h = &Halt{}
		if err := json.Unmarshal(recs[0].Value, h); err != nil {
			h = &Halt{Why: "the record of it cannot be read"}
		}
	}
	s.halt.Store(h)
	return h, nil
}

// IsHalted is Halted as it was read last, which is seconds ago ([Shop.Refresh]).
func (s *Shop) IsHalted() bool { return s.halt.Load() != nil }

// waits: an effect of that kind is not done while the shop is halted.
func waits(kind EffectKind) bool {
	switch kind {
	case Reply, MailCode, Prepare, MailLink, Charge:
		return true
	}
	return false
}

// purchaseUnlessHalted reads a purchase, and whether the shop is halted at that moment.
func (s *Shop) purchaseUnlessHalted(ctx context.Context, id ID) (p Purchase, halted bool, err error) {
	recs, err := s.store.Get(ctx, id.Shard(), purchaseKey(id), haltKey)
	if err != nil {
		return Purchase{}, false, err
	}
	if recs[0].Version == 0 {
		return Purchase{}, false, fmt.Errorf("purchase %s: %w", id, ErrNotFound)
	}
	p, err = s.recent.read(id, recs[0])
	return p, recs[1].Version > 0, err
}
