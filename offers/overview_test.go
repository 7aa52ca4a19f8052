package offers

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// What is seen of all offers is what is seen of each.
func TestEachOrder(t *testing.T) {
	s := newShop(t, tee(1, 10))
	s.register(1)
	p := s.buy(1, "100")
	var orders []Order
	if err := s.EachOrder(t.Context(), func(o Order) error { orders = append(orders, o); return nil }); err != nil {
		t.Fatal(err)
	}
	if want, err := s.Orders(t.Context(), p.Offer); err != nil || len(want) != 1 || !slices.Equal(orders, want) {
		t.Error(orders, want, err)
	}
	earned := map[string][]Earned{}
	if err := s.EachEarned(t.Context(), func(offer string, e Earned) { earned[offer] = append(earned[offer], e) }); err != nil {
		t.Fatal(err)
	}
	if want, err := s.Earned(t.Context(), p.Offer); err != nil || len(want) != 1 || !slices.Equal(earned[p.Offer], want) {
		t.Error(earned, want, err)
	}
}

func TestMerchantOf(t *testing.T) {
	o := tee(1, 10)
	o.Merchant = "records"
	s := newShop(t, o)
	s.register(1)
	if _, err := s.MerchantOf(t.Context(), o.ID); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	s.On(TellMerchant, func(context.Context, Job) (Event, error) { return Event{Kind: EffectDone}, nil })
	s.buy(1, "100")
	if err := s.RemoveOffer(t.Context(), o.ID); err != nil {
		t.Fatal(err)
	}
	if of, err := s.MerchantOf(t.Context(), o.ID); err != nil || of != "records" {
		t.Error(of, err)
	}
}

func TestOwedByKind(t *testing.T) {
	s := newShop(t, tee(1, 10))
	s.register(1)
	s.wish(1, "100")
	s.now = s.now.Add(time.Minute)
	all, err := s.OwedByKind(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(k OwedKind) bool { return k.Kind == string(Reply) })
	if i < 0 || all[i].Owed != 1 || all[i].Due != 1 || !all[i].Oldest.Equal(t0) || all[i].Tries != 0 {
		t.Errorf("owed %+v", all)
	}
	if i := slices.IndexFunc(all, func(k OwedKind) bool { return k.Kind == string(Deadline) }); i < 0 || all[i].Due != 0 {
		t.Errorf("owed %+v", all)
	}
}
