package offers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
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
	seen   [store.Shards]int64             // how often the offers of a shard had changed
	also   [store.Shards]map[string]string // ids of offers, by the keys of their other hashtags
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
// A shard whose offers fit one page is read before the next one. One with more is read on
// beside others: on two cores, a million offers are there in half the time.
func (s *Shop) Refresh(ctx context.Context) (changed bool, err error) {
	s.forgetOld()
	var others errgroup.Group
	others.SetLimit(shardsAtOnce)
	large := 0 // shards with more than a page
	for shard := range store.Shards {
		counts, err := s.store.Counts(ctx, shard, offersCount)
		if err != nil {
			return changed, errors.Join(err, others.Wait())
		}
		s.catalogue.mu.RLock()
		known := s.catalogue.seen[shard] == counts[0]
		s.catalogue.mu.RUnlock()
		if known {
			continue
		}
		r := shelfReader{shop: s, shard: shard}
		more, err := r.page(ctx)
		if err != nil {
			return changed, errors.Join(err, others.Wait())
		}
		changed = true
		if !more {
			s.catalogue.fill(shard, r.found, counts[0])
			continue
		}
		large++
		others.Go(func() (err error) {
			for more := true; more && err == nil; {
				more, err = r.page(ctx)
			}
			if err == nil {
				s.catalogue.fill(shard, r.found, counts[0])
			}
			return err
		})
	}
	if err := others.Wait(); err != nil {
		return changed, err
	}
	if large > store.Shards/2 {
		// What a million offers were decoded from is as much again as they take. Nothing that
		// comes later needs it, and unasked it would be given back after minutes.
		debug.FreeOSMemory()
	}
	_, err = s.Halted(ctx)
	return changed, err
}

// forgetOld drops what purchases and buyers were, from time to time.
func (s *Shop) forgetOld() {
	now := s.Now()
	if turned := s.turned.Load(); now.Unix()-turned >= int64(keptFor/time.Second) && s.turned.CompareAndSwap(turned, now.Unix()) {
		s.recent.turn()
		s.decoded.turn()
	}
}

// shardsAtOnce is how many shards are read at once: as many as keep the cores busy, or a
// store that is far away, or a disk. A million offers that nobody had read since the
// machine was started took 4.9 s by four, and take 4.0.
const shardsAtOnce = 8

// A shelfReader reads the offers of a shard.
type shelfReader struct {
	shop   *Shop
	shard  int
	cursor string
	reader offerReader
	found  shelf
}

// page reads the next page, and says whether there are more.
func (r *shelfReader) page(ctx context.Context) (more bool, err error) {
	recs, next, err := r.shop.store.Scan(ctx, r.shard, "offer/", r.cursor, scanPage)
	if err != nil {
		return false, err
	}
	for _, rec := range recs {
		o, err := r.reader.read(rec)
		if err != nil {
			return false, err
		}
		if !o.Removed {
			r.found.put(o)
		}
	}
	r.cursor = next
	return next != "", nil
}

// fill has the offers of a shard be those that were found when they had changed so often.
func (c *catalogue) fill(shard int, found shelf, seen int64) {
	found.compact()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offers[shard], c.seen[shard], c.also[shard] = found, seen, found.others()
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
	n := 0
	for shard := range s.catalogue.offers {
		n += s.catalogue.offers[shard].count
	}
	all := make([]string, 0, n)
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
// Where it is the first one of an offer and another one of a second, it means the first.
func (s *Shop) OfferByTag(tag string) (Offer, bool) {
	key := TagKey(tag)
	if o, ok := s.catalogue.get(key); ok {
		return o, true
	}
	first := ""
	s.catalogue.mu.RLock()
	for _, also := range s.catalogue.also { // of two offers, always the same one
		if id, ok := also[key]; ok && (first == "" || id < first) {
			first = id
		}
	}
	s.catalogue.mu.RUnlock()
	if first == "" {
		return Offer{}, false
	}
	return s.catalogue.get(first)
}

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
		s.catalogue.also[store.ShardOf(id)] = offers.others()
	}
	return o, nil
}

// Stocked says how many units of an offer are held or sold, by variant.
func (s *Shop) Stocked(ctx context.Context, o Offer) (map[string]int64, error) {
	return s.countEach(ctx, o, takenKey)
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
	return s.writeOffers(ctx, o.Shard(), []offerEdit{{id: o.ID, value: value}})
}

// RemoveOffer takes an offer out of the catalogue. Purchases go on with what they
// were promised.
func (s *Shop) RemoveOffer(ctx context.Context, id string) error {
	gone := Offer{ID: id, Removed: true}
	if o, err := s.offer(ctx, id); err == nil {
		gone.Merchant = o.Merchant // nobody else takes its hashtag over
	} else if !errors.Is(err, ErrNotFound) {
		return err
	}
	value, err := json.Marshal(gone)
	if err != nil {
		return err
	}
	return s.writeOffers(ctx, store.ShardOf(id), []offerEdit{{id: id, value: value, remove: true}})
}
