package offers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"hashtill/store"
)

// catalogue is what a process knows of the offers in the store.
type catalogue struct {
	mu     sync.RWMutex
	offers [store.Shards]shelf
	seen   [store.Shards]int64 // how often the offers of a shard had changed
}

func (c *catalogue) get(id string) (Offer, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.offers[store.ShardOf(id)].get(id)
}

// shards are those in which there are offers, or once were; true: one can be bought now.
func (c *catalogue) shards(now time.Time) map[int]bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := map[int]bool{}
	for shard := range c.offers {
		offers := c.offers[shard].data
		if len(offers) > 0 || c.seen[shard] > 0 {
			all[shard] = !c.offers[shard].each(func(o Offer) bool { return o.Closed(now) != "" })
		}
	}
	return all
}

// offersCount grows with every change of an offer in its shard, so that a process
// sees with one small read whether it has to read more.
const offersCount = "offers"

// Refresh brings the catalogue up to date with the store, and says whether
// something had changed.
//
// The store is read shard after shard; on the other cores, what was read is decoded
// meanwhile. Of a million offers that is three quarters of the work.
func (s *Shop) Refresh(ctx context.Context) (changed bool, err error) {
	var decoding errgroup.Group
	decoding.SetLimit(runtime.GOMAXPROCS(0))
	for shard := range store.Shards {
		counts, err := s.store.Counts(ctx, shard, offersCount)
		if err != nil {
			return changed, errors.Join(err, decoding.Wait())
		}
		s.catalogue.mu.RLock()
		known := s.catalogue.seen[shard] == counts[0]
		s.catalogue.mu.RUnlock()
		if known {
			continue
		}
		var recs []store.Record
		err = s.scan(ctx, shard, "offer/", func(r store.Record) error {
			recs = append(recs, r)
			return nil
		})
		if err != nil {
			return changed, errors.Join(err, decoding.Wait())
		}
		changed = true
		decoding.Go(func() error { return s.catalogue.fill(shard, recs, counts[0]) })
	}
	return changed, decoding.Wait()
}

// fill has the offers of a shard be those that were read when they had changed so often.
func (c *catalogue) fill(shard int, recs []store.Record, seen int64) error {
	var found shelf
	for _, r := range recs {
		o, err := readOffer(r)
		if err != nil {
			return err
		}
		if !o.Removed {
			found.put(o)
		}
	}
	found.compact()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offers[shard], c.seen[shard] = found, seen
	return nil
}

// Offers are those of the catalogue, by id.
func (s *Shop) Offers() []Offer {
	s.catalogue.mu.RLock()
	defer s.catalogue.mu.RUnlock()
	var all []Offer
	for shard := range s.catalogue.offers {
		s.catalogue.offers[shard].each(func(o Offer) bool { all = append(all, o); return true })
	}
	slices.SortFunc(all, func(a, b Offer) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Tags are the hashtags of all offers, as they are written, sorted.
func (s *Shop) Tags() []string {
	s.catalogue.mu.RLock()
	defer s.catalogue.mu.RUnlock()
	var all []string
	for shard := range s.catalogue.offers {
		all = s.catalogue.offers[shard].tags(all)
	}
	slices.Sort(all)
	return all
}

// OnSale are offers that can be bought at now, at most so many, by id. Where there are
// more it is the same ones again and again, and not the first of all: those are only
// known to whoever has looked at each.
func (s *Shop) OnSale(now time.Time, most int) []Offer {
	s.catalogue.mu.RLock()
	defer s.catalogue.mu.RUnlock()
	var all []Offer
	for shard := range s.catalogue.offers {
		s.catalogue.offers[shard].each(func(o Offer) bool {
			if len(all) < most && o.Closed(now) == "" {
				all = append(all, o)
			}
			return len(all) < most
		})
	}
	slices.SortFunc(all, func(a, b Offer) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// OfferCount is how many offers there are.
func (s *Shop) OfferCount() (n int) {
	s.catalogue.mu.RLock()
	defer s.catalogue.mu.RUnlock()
	for shard := range s.catalogue.offers {
		n += s.catalogue.offers[shard].count
	}
	return n
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
	offers := &s.catalogue.offers[store.ShardOf(id)]
	var o Offer
	if recs[0].Version > 0 {
		o, err = readOffer(recs[0])
	}
	if err == nil && (recs[0].Version == 0 || o.Removed) {
		err = fmt.Errorf("offer %s: %w", id, ErrNotFound)
	}
	known, ok := offers.get(id)
	if err != nil {
		if ok {
			*offers = *offers.without(id)
		}
		return Offer{}, err
	}
	if !ok || known.version != o.version {
		offers.put(o)
	}
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
