package offers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hashtill/store"
)

// What is seen of all offers, or of all that is owed, is read shard by shard.

// EachOrder shows the purchases of all offers that were paid and are still kept, in no
// order. It may show one twice. An error of see ends it and is returned.
func (s *Shop) EachOrder(ctx context.Context, see func(Order) error) error {
	for shard := range store.Shards {
		err := s.scan(ctx, shard, "order/", func(r store.Record) error {
			offer, digits, _ := strings.Cut(strings.TrimPrefix(r.Key, "order/"), "/")
			id, ok := ParseID(digits)
			at, err := time.Parse(time.RFC3339, string(r.Value))
			if !ok || err != nil {
				return nil // Check finds it
			}
			return see(Order{id, offer, at})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// EachEarned shows what all offers have earned, by offer, currency and day, in no order.
// It may show one twice.
func (s *Shop) EachEarned(ctx context.Context, see func(offer string, e Earned)) error {
	for shard := range store.Shards {
		err := s.scanCounts(ctx, shard, "earned/", func(n store.Count) {
			if part := strings.Split(strings.TrimPrefix(n.Key, "earned/"), "/"); len(part) == 3 {
				see(part[0], Earned{part[2], Money{n.N, part[1]}})
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// MerchantOf is whose offer one is that was sold, removed or not, by one of the purchases
// that were paid of it. ErrNotFound says that none is kept any more.
func (s *Shop) MerchantOf(ctx context.Context, offer string) (merchant string, err error) {
	if known, ok := s.sellers.Load(offer); ok {
		return known.(string), nil
	}
	enough := errors.New("enough")
	err = s.scan(ctx, store.ShardOf(offer), orderPrefix(offer), func(r store.Record) error {
		id, ok := ParseID(strings.TrimPrefix(r.Key, orderPrefix(offer)))
		if !ok {
			return nil // Check finds it
		}
		p, err := s.Purchase(ctx, id)
		if errors.Is(err, ErrNotFound) {
			return nil // it has left the store this moment
		}
		merchant = p.Merchant
		return cmp.Or(err, enough)
	})
	switch err {
	case nil:
		return "", fmt.Errorf("orders of %s: %w", offer, ErrNotFound)
	case enough:
		s.sellers.Store(offer, merchant) // only of what was sold, and that is not made up
		return merchant, nil
	}
	return "", err
}

// SoldBefore are the ids of offers of a merchant that are not in the catalogue any more and
// had sold.
func (s *Shop) SoldBefore(ctx context.Context, merchant string) (ids []string, err error) {
	gone := map[string]bool{}
	err = s.EachEarned(ctx, func(id string, _ Earned) {
		if _, ok := s.catalogue.get(id); !ok {
			gone[id] = true
		}
	})
	if err != nil {
		return nil, err
	}
	for id := range gone {
		of, err := s.MerchantOf(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return nil, err
		case of == merchant:
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// An OwedKind is what is owed of a kind of effect.
type OwedKind struct {
	Kind   string    `json:"kind"`
	Owed   int       `json:"owed"`
	Due    int       `json:"due"`             // of them, by now
	Oldest time.Time `json:"oldest,omitzero"` // since when one is due; zero: none is, or it is not known
	Tries  int64     `json:"tries"`           // of the one that was tried most often
}

// OwedByKind counts all that is owed in a store, the kinds in order. All of it is read;
// progress, if it is not nil, is called after each shard.
func OwedByKind(ctx context.Context, st store.Store, now time.Time, progress func(shard int)) ([]OwedKind, error) {
	kinds := map[string]*OwedKind{}
	for shard := range store.Shards {
		err := eachOwed(ctx, st, shard, func(o store.Owed) error {
			k := kinds[o.Kind]
			if k == nil {
				k = &OwedKind{Kind: o.Kind}
				kinds[o.Kind] = k
			}
			k.Owed++
			k.Tries = max(k.Tries, o.Try)
			if o.Due.After(now) {
				return nil
			}
			k.Due++
			// What is owed for at once, without a date, has none to tell.
			if o.Due.Unix() > 0 && (k.Oldest.IsZero() || o.Due.Before(k.Oldest)) {
				k.Oldest = o.Due
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if progress != nil {
			progress(shard)
		}
	}
	var all []OwedKind
	for _, k := range kinds {
		all = append(all, *k)
	}
	slices.SortFunc(all, func(a, b OwedKind) int { return cmp.Compare(a.Kind, b.Kind) })
	return all, nil
}

// OwedByKind counts all that is owed.
func (s *Shop) OwedByKind(ctx context.Context) ([]OwedKind, error) {
	return OwedByKind(ctx, s.store, s.Now(), nil)
}
