package offers

import (
	"errors"
	"sync"
	"testing"
)

// Of those who change an offer at once nobody undoes what another did.
func TestEditOfferAtOnce(t *testing.T) {
	s := newShop(t, tee(0, 1))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 5 {
				if err := s.EditOffer(t.Context(), "buytee", func(o *Offer) error { o.Stock[""]++; return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if _, err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o, _ := s.OfferByTag("buytee"); o.Stock[""] != 40 {
		t.Errorf("stock %d", o.Stock[""])
	}
	no := errors.New("no")
	if err := s.EditOffer(t.Context(), "buytee", func(*Offer) error { return no }); err != no {
		t.Error(err)
	}
	if err := s.EditOffer(t.Context(), "other", func(*Offer) error { return nil }); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

// An offer is replaced only where it is as it was read, and nobody takes another
// merchant's hashtag over, not even when it was removed.
func TestReplaceOffer(t *testing.T) {
	o := tee(1, 1)
	o.Merchant = "records"
	s := newShop(t, o)
	ctx := t.Context()
	read, _ := s.OfferByTag("buytee")
	read.Title = "Another"
	if err := s.ReplaceOffer(ctx, read, read); err != nil {
		t.Fatal(err)
	}
	if err := s.ReplaceOffer(ctx, read, read); !errors.Is(err, ErrOfferChanged) {
		t.Error("by what was read before the last change:", err)
	}
	if err := s.ReplaceOffer(ctx, Offer{}, o); !errors.Is(err, ErrOfferChanged) {
		t.Error("in the place of one that is there:", err)
	}
	if err := s.RemoveOffer(ctx, "buytee"); err != nil {
		t.Fatal(err)
	}
	other := o
	other.Merchant = "hats"
	if err := s.ReplaceOffer(ctx, Offer{}, other); !errors.Is(err, ErrOfferChanged) {
		t.Error("by another merchant:", err)
	}
	if err := s.ReplaceOffer(ctx, Offer{}, o); err != nil {
		t.Error("by the merchant itself:", err)
	}
}
