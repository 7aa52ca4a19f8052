package offers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"hashtill/store"
)

// catalogue is what a process knows of the offers in the store.
type catalogue struct {
	mu     sync.RWMutex
	offers [store.Shards]map[string]Offer // by id
	seen   [store.Shards]int64            // how often the offers of a shard had changed
}

func (c *catalogue) get(id string) (Offer, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	o, ok := c.offers[store.ShardOf(id)][id]
	return o, ok
}

// shards are those in which there are offers, or once were, with what there is.
func (c *catalogue) shards() map[int][]Offer {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := map[int][]Offer{}
	for shard, offers := range c.offers {
		if len(offers) > 0 || c.seen[shard] > 0 {
			all[shard] = slices.Collect(maps.Values(offers))
		}
	}
	return all
}

// offersCount grows with every change of an offer in its shard, so that a process
// sees with one small read whether it has to read more.
const offersCount = "offers"

// Refresh brings the catalogue up to date with the store, and says whether
// something had changed.
func (s *Shop) Refresh(ctx context.Context) (changed bool, err error) {
	for shard := range store.Shards {
		counts, err := s.store.Counts(ctx, shard, offersCount)
		if err != nil {
			return changed, err
		}
		s.catalogue.mu.RLock()
		known := s.catalogue.seen[shard] == counts[0]
		s.catalogue.mu.RUnlock()
		if known {
			continue
		}
		found := map[string]Offer{}
		err = s.scan(ctx, shard, "offer/", func(r store.Record) error {
			o, err := readOffer(r)
			if !o.Removed {
				found[o.ID] = o
			}
			return err
		})
		if err != nil {
			return changed, err
		}
		s.catalogue.mu.Lock()
		s.catalogue.offers[shard], s.catalogue.seen[shard] = found, counts[0]
		s.catalogue.mu.Unlock()
		changed = true
	}
	return changed, nil
}

// Offers are those of the catalogue, by id.
func (s *Shop) Offers() []Offer {
	s.catalogue.mu.RLock()
	defer s.catalogue.mu.RUnlock()
	var all []Offer
	for _, offers := range s.catalogue.offers {
		all = slices.AppendSeq(all, maps.Values(offers))
	}
	slices.SortFunc(all, func(a, b Offer) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// OfferByTag finds the offer of a hashtag in the catalogue.
func (s *Shop) OfferByTag(tag string) (Offer, bool) { return s.catalogue.get(TagKey(tag)) }

// offer is one of the catalogue, or of the store where the catalogue is behind.
func (s *Shop) offer(ctx context.Context, id string) (Offer, error) {
	if o, ok := s.catalogue.get(id); ok {
		return o, nil
	}
	return s.reload(ctx, id)
}

// reload reads an offer anew.
func (s *Shop) reload(ctx context.Context, id string) (Offer, error) {
	recs, err := s.store.Get(ctx, store.ShardOf(id), offerKey(id))
	if err != nil {
		return Offer{}, err
	}
	s.catalogue.mu.Lock()
	defer s.catalogue.mu.Unlock()
	offers := maps.Clone(s.catalogue.offers[store.ShardOf(id)])
	if offers == nil {
		offers = map[string]Offer{}
	}
	delete(offers, id)
	defer func() { s.catalogue.offers[store.ShardOf(id)] = offers }()
	var o Offer
	if recs[0].Version > 0 {
		if o, err = readOffer(recs[0]); err != nil {
			return Offer{}, err
		}
	}
	if recs[0].Version == 0 || o.Removed {
		return Offer{}, fmt.Errorf("offer %s: %w", id, ErrNotFound)
	}
	offers[id] = o
	return o, nil
}

// Stocked says how many units of an offer are held or sold, by variant.
func (s *Shop) Stocked(ctx context.Context, o Offer) (map[string]int64, error) {
	names := o.Variants()
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = takenKey(o.ID, name)
	}
	counts, err := s.store.Counts(ctx, o.Shard(), keys...)
	if err != nil {
		return nil, err
	}
	taken := map[string]int64{}
	for i, name := range names {
		taken[name] = counts[i]
	}
	return taken, nil
}

// PutOffer adds an offer, or puts it in the place of the one with its id. Each
// process sees it at its next [Shop.Refresh].
func (s *Shop) PutOffer(ctx context.Context, o Offer) error {
	if err := o.Validate(); err != nil {
		return fmt.Errorf("offer #%s: %w", o.Tag, err)
	}
	value, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return s.writeOffer(ctx, o.ID, func(old store.Record) ([]byte, bool) {
		return value, string(old.Value) != string(value)
	})
}

// RemoveOffer takes an offer out of the catalogue. Purchases go on with what they
// were promised.
func (s *Shop) RemoveOffer(ctx context.Context, id string) error {
	value, err := json.Marshal(Offer{ID: id, Removed: true})
	if err != nil {
		return err
	}
	return s.writeOffer(ctx, id, func(old store.Record) ([]byte, bool) {
		return value, old.Version > 0 && string(old.Value) != string(value)
	})
}

func (s *Shop) writeOffer(ctx context.Context, id string, edit func(store.Record) (value []byte, changed bool)) error {
	for range maxRaces {
		recs, err := s.store.Get(ctx, store.ShardOf(id), offerKey(id))
		if err != nil {
			return err
		}
		value, changed := edit(recs[0])
		if !changed {
			return nil
		}
		err = s.store.Commit(ctx, store.Change{
			Shard: store.ShardOf(id),
			Put:   []store.Put{{Key: offerKey(id), Version: recs[0].Version, Value: value}},
			Add:   []store.Add{{Key: offersCount, By: 1, Max: 1 << 62}},
		})
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("offer %s: lost %d races", id, maxRaces)
}

// Import makes the store's offers those given: all of them are looked at before
// anything changes. With only, offers that are not among them are removed.
func (s *Shop) Import(ctx context.Context, all []Offer, only bool) error {
	var errs []error
	ids := map[string]bool{}
	for _, o := range all {
		if err := o.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("offer #%s: %w", o.Tag, err))
		}
		if ids[o.ID] {
			errs = append(errs, fmt.Errorf("offer #%s: is there twice", o.Tag))
		}
		ids[o.ID] = true
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, o := range all {
		if err := s.PutOffer(ctx, o); err != nil {
			return err
		}
	}
	if _, err := s.Refresh(ctx); err != nil || !only {
		return err
	}
	for _, o := range s.Offers() {
		if !ids[o.ID] {
			if err := s.RemoveOffer(ctx, o.ID); err != nil {
				return err
			}
		}
	}
	_, err := s.Refresh(ctx)
	return err
}
