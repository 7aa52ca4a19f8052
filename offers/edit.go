package offers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"hashtill/store"
)

// EditOffer changes an offer as it is now in the store: of two who change it at once
// neither undoes what the other did. edit may be called several times; its error ends it
// and is returned.
func (s *Shop) EditOffer(ctx context.Context, id string, edit func(*Offer) error) error {
	shard, key := store.ShardOf(id), offerKey(id)
	for range maxRaces {
		recs, err := s.store.Get(ctx, shard, key)
		if err != nil {
			return err
		}
		var o Offer
		if recs[0].Version > 0 {
			if o, err = readOffer(recs[0]); err != nil {
				return err
			}
		}
		if recs[0].Version == 0 || o.Removed {
			return fmt.Errorf("offer %s: %w", id, ErrNotFound)
		}
		if err := edit(&o); err != nil {
			return err
		}
		if err := o.Validate(); err != nil {
			return fmt.Errorf("%w: offer #%s: %w", ErrInvalid, o.Tag, err)
		}
		if o.ID != id {
			return fmt.Errorf("%w: an offer keeps its hashtag", ErrInvalid)
		}
		value, err := json.Marshal(o)
		if err != nil {
			return err
		}
		err = s.writeOffers(ctx, shard, []offerEdit{{id: id, value: value, guarded: true, version: recs[0].Version}})
		if !errors.Is(err, ErrOfferChanged) {
			return err
		}
	}
	return fmt.Errorf("offer %s: lost %d races", id, maxRaces)
}

// ReplaceOffer puts an offer in the place of one as it was read before; of the zero Offer,
// where there is none, or one that was removed and was nobody else's. [ErrOfferChanged] says
// that it is not so (any more).
func (s *Shop) ReplaceOffer(ctx context.Context, before, after Offer) error {
	if err := after.Validate(); err != nil {
		return fmt.Errorf("%w: offer #%s: %w", ErrInvalid, after.Tag, err)
	}
	shard := after.Shard()
	recs, err := s.store.Get(ctx, shard, offerKey(after.ID))
	if err != nil {
		return err
	}
	switch old := recs[0]; {
	case before.version > 0 && old.Version != before.version:
		return ErrOfferChanged
	case before.version == 0 && old.Version > 0:
		o, err := readOffer(old)
		if err != nil {
			return err
		}
		if !o.Removed || o.Merchant != "" && o.Merchant != after.Merchant {
			return ErrOfferChanged
		}
	}
	value, err := json.Marshal(after)
	if err != nil {
		return err
	}
	return s.writeOffers(ctx, shard, []offerEdit{{id: after.ID, value: value, guarded: true, version: recs[0].Version}})
}
