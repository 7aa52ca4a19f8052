package offers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"hashtill/store"
)

// What an import does to an offer.
const (
	OfferAdded   = "add"
	OfferChanged = "change"
	OfferRemoved = "remove"
)

// An OfferChange is what an import does to one offer.
type OfferChange struct {
	Does   string   `json:"does"` // OfferAdded, OfferChanged or OfferRemoved
	Tag    string   `json:"tag"`
	Fields []string `json:"fields,omitempty"` // those that change

	offer Offer
	old   int64 // the version of the record that it changes, 0: there was none
}

// An ImportPlan is what an import is going to do.
type ImportPlan struct {
	Changes   []OfferChange // in the order of the offers, those that are removed last
	Unchanged int
}

// PlanImport looks at an import as a whole and changes nothing: whether each offer is valid,
// and whether each hashtag means one of them, or of those that stay. With only, offers of the
// store that are not among them are to be removed.
func (s *Shop) PlanImport(ctx context.Context, all []Offer, only bool) (*ImportPlan, error) {
	if _, err := s.Refresh(ctx); err != nil {
		return nil, err
	}
	kept := s.Offers()
	ids := make(map[string]bool, len(all))
	var errs []error
	for _, o := range all {
		if err := o.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("offer #%s: %w", o.Tag, err))
		}
		ids[o.ID] = true
	}
	var beside []Offer
	if !only {
		beside = kept
	}
	clashes(all, beside, func(n int, key string, other Offer) {
		if what := fmt.Errorf("offer #%s: #%s belongs to the offer #%s", all[n].Tag, key, other.Tag); key != other.ID || key != all[n].ID {
			errs = append(errs, what)
		} else {
			errs = append(errs, fmt.Errorf("offer #%s: is there twice", all[n].Tag))
		}
	})
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	plan := &ImportPlan{}
	for _, o := range all {
		change := OfferChange{Does: OfferAdded, Tag: o.Tag, offer: o}
		if old, ok := s.catalogue.get(o.ID); ok {
			fields, err := changedFields(old, o)
			if err != nil {
				return nil, err
			}
			if len(fields) == 0 {
				plan.Unchanged++
				continue
			}
			change.Does, change.Fields, change.old = OfferChanged, fields, old.version
		}
		plan.Changes = append(plan.Changes, change)
	}
	for _, o := range kept {
		if only && !ids[o.ID] {
			plan.Changes = append(plan.Changes, OfferChange{Does: OfferRemoved, Tag: o.Tag, offer: Offer{ID: o.ID, Removed: true, Merchant: o.Merchant}, old: o.version})
		}
	}
	return plan, nil
}

// changedFields are the keys in which the records of two offers differ.
func changedFields(a, b Offer) ([]string, error) {
	was, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	is, err := json.Marshal(b)
	if err != nil || bytes.Equal(was, is) {
		return nil, err
	}
	var before, after map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(was, &before), json.Unmarshal(is, &after)); err != nil {
		return nil, err
	}
	changed := map[string]bool{}
	for key := range before {
		changed[key] = !bytes.Equal(before[key], after[key])
	}
	for key := range after {
		changed[key] = !bytes.Equal(before[key], after[key])
	}
	maps.DeleteFunc(changed, func(_ string, is bool) bool { return !is })
	return slices.Sorted(maps.Keys(changed)), nil
}

// Carry does what an import has planned, and tells progress how many changes are made
// each time that there are more. Where it fails some are made, and a new import makes the
// rest. [ErrOfferChanged] says that another has changed or added one of them since the plan.
func (s *Shop) Carry(ctx context.Context, plan *ImportPlan, progress func(done int)) error {
	var edits [store.Shards][]offerEdit
	for _, c := range plan.Changes {
		value, err := json.Marshal(c.offer)
		if err != nil {
			return err
		}
		shard := c.offer.Shard()
		edits[shard] = append(edits[shard], offerEdit{id: c.offer.ID, value: value, remove: c.offer.Removed, guarded: c.old > 0, version: c.old, added: c.old == 0})
	}
	var told sync.Mutex
	done := 0
	g, atOnce := errgroup.WithContext(ctx)
	g.SetLimit(shardsAtOnce)
	for shard := range edits {
		g.Go(func() error {
			for batch := range slices.Chunk(edits[shard], editsAtOnce) {
				if err := s.writeOffers(atOnce, shard, batch); err != nil {
					return err
				}
				told.Lock()
				done += len(batch)
				progress(done)
				told.Unlock()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("%d of %d changes are made: import again to make the rest: %w", done, len(plan.Changes), err)
	}
	_, err := s.Refresh(ctx)
	return err
}

// Import makes the store's offers those given: all of them are looked at before
// anything changes. With only, offers that are not among them are removed.
func (s *Shop) Import(ctx context.Context, all []Offer, only bool) error {
	for range maxRaces {
		plan, err := s.PlanImport(ctx, all, only)
		if err != nil {
			return err
		}
		// Where another writes meanwhile it is planned anew: what is given here counts.
		if err := s.Carry(ctx, plan, func(int) {}); !errors.Is(err, ErrOfferChanged) {
			return err
		}
	}
	return fmt.Errorf("import: lost %d races", maxRaces)
}

// An offerEdit is what the record of an offer is to be.
type offerEdit struct {
	id     string
	value  []byte
	remove bool // value says that it is removed; where there is none, none is written

	guarded bool // it was made from the record of a version, and counts only where that is there
	version int64

	added bool // there is none, or it was removed
}

// editsAtOnce fit one commit: each is a record, and an effect for its line.
const editsAtOnce = (store.MaxParts - 1) / 2

// writeOffers makes edits of one shard, editsAtOnce at most, in one commit.
func (s *Shop) writeOffers(ctx context.Context, shard int, edits []offerEdit) error {
	keys := make([]string, len(edits))
	for i, e := range edits {
		keys[i] = offerKey(e.id)
	}
	for range maxRaces {
		recs, err := s.store.Get(ctx, shard, keys...)
		if err != nil {
			return err
		}
		c := store.Change{Shard: shard}
		for i, e := range edits {
			old := recs[i]
			if e.guarded && old.Version != e.version || e.added && old.Version > 0 && !bytes.Contains(old.Value, []byte(`"removed":true`)) {
				return fmt.Errorf("offer %s: %w", e.id, ErrOfferChanged)
			}
			if bytes.Equal(old.Value, e.value) || e.remove && old.Version == 0 {
				continue
			}
			c.Put = append(c.Put, store.Put{Key: keys[i], Version: old.Version, Value: e.value})
			if bytes.Contains(old.Value, []byte(`"waitlist":true`)) { // there may be more of it than before, and who waits
				line, err := lineEffect{e.id, fmt.Sprintf("%s/%d", e.id, old.Version+1)}.owed(s.Now())
				if err != nil {
					return err
				}
				c.Owe = append(c.Owe, line)
			}
		}
		if len(c.Put) == 0 {
			return nil
		}
		c.Add = []store.Add{{Key: offersCount, By: int64(len(c.Put)), Max: 1 << 62}}
		if err = s.store.Commit(ctx, c); err == nil {
			s.owing(c)
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("offer %s: lost %d races", edits[0].id, maxRaces)
}
