package offers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"hashtill/store"
)

func manyOffers(n int) []Offer {
	all := make([]Offer, n)
	for i := range all {
		all[i] = tee(100, 2)
		all[i].Tag = fmt.Sprintf("Item%dx", i)
		all[i].ID = TagKey(all[i].Tag)
		if i%3 == 0 {
			all[i].Stock = map[string]int{"M black": 10, "L black": 5}
		}
	}
	return all
}

// A file with 50 faults in 100,000 offers tells all 50 (and so does YAML, of fewer); without
// them they are imported in few commits, and what changes is known before.
func TestImportOfMany(t *testing.T) {
	all := manyOffers(100_000)
	for _, format := range Formats {
		faulty := slices.Clone(all)
		if format == YAML {
			faulty = faulty[:10_000]
		}
		for i := range 50 {
			o := &faulty[i*(len(faulty)/50)+7]
			switch i % 5 {
			case 0:
				o.Title = "two\nlines"
			case 1:
				o.Tag = "no tag " + o.Tag
			case 2:
				o.Countries = []string{"XX"}
			case 3:
				o.Tag = "ITEM1X"
			case 4:
				o.Tags = []string{"item2x"}
			}
			o.Stock = map[string]int{"": 1}
		}
		var text bytes.Buffer
		if err := WriteFile(&text, format, faulty); err != nil {
			t.Fatal(err)
		}
		_, err := ReadFile(&text, format)
		var faults *Faults
		if !errors.As(err, &faults) || len(faults.Told) != 50 || faults.More > 0 {
			t.Fatalf("%s: %.3000v", format, err)
		}
		if !slices.IsSortedFunc(faults.Told, func(a, b Fault) int { return a.Line - b.Line }) {
			t.Errorf("%s: not in the order of the file:\n%v", format, err)
		}
	}

	counted := &countingStore{Store: store.NewMemory()}
	s := newShopOn(t, counted)
	plan, err := s.PlanImport(t.Context(), all, true)
	if err != nil || len(plan.Changes) != len(all) || plan.Unchanged != 0 || counted.commits.Load() != 0 {
		t.Fatalf("%d changes, %v, %d commits", len(plan.Changes), err, counted.commits.Load())
	}
	told := 0
	if err := s.Carry(t.Context(), plan, func(done int) {
		if done <= told {
			t.Errorf("%d after %d", done, told)
		}
		told = done
	}); err != nil {
		t.Fatal(err)
	}
	if told != len(all) || s.OfferCount() != len(all) || counted.commits.Load() > int64(len(all)/editsAtOnce+store.Shards) {
		t.Errorf("%d told, %d there, %d commits", told, s.OfferCount(), counted.commits.Load())
	}
	if plan, err = s.PlanImport(t.Context(), all, true); err != nil || len(plan.Changes) != 0 || plan.Unchanged != len(all) {
		t.Errorf("the same again: %d changes, %d unchanged, %v", len(plan.Changes), plan.Unchanged, err)
	}
}

// countingStore counts commits, and does something else before the next one.
type countingStore struct {
	store.Store
	commits atomic.Int64
	before  func() // its first one
}

func (c *countingStore) Commit(ctx context.Context, change store.Change) error {
	if before := c.before; before != nil {
		c.before = nil
		before()
	}
	err := c.Store.Commit(ctx, change)
	if err == nil {
		c.commits.Add(1)
	}
	return err
}

func TestPlanImport(t *testing.T) {
	a, b, c := tee(1, 1), tee(1, 1), tee(1, 1)
	b.Tag, b.ID, b.Tags = "BuyHat", "buyhat", []string{"Hat"}
	c.Tag, c.ID = "BuyMug", "buymug"
	s := newShop(t, a, b)
	b.Stock, b.Terms = map[string]int{"": 2}, "No returns."
	plan, err := s.PlanImport(t.Context(), []Offer{b, c}, true)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, change := range plan.Changes {
		got = append(got, strings.TrimSpace(change.Does+" "+change.Tag+" "+strings.Join(change.Fields, " ")))
	}
	if want := []string{"change BuyHat stock terms", "add BuyMug", "remove BuyTee"}; !slices.Equal(got, want) {
		t.Errorf("planned %q, want %q", got, want)
	}
	if _, ok := s.OfferByTag("BuyMug"); ok || s.OfferCount() != 2 {
		t.Error("a plan has changed something")
	}
	c.Tags = []string{"HAT"} // of an offer that stays
	if err := s.Import(t.Context(), []Offer{c}, false); err == nil || s.OfferCount() != 2 {
		t.Errorf("#Hat means two offers: %v", err)
	}
	if err := s.Import(t.Context(), []Offer{c}, true); err != nil || s.OfferCount() != 1 {
		t.Errorf("#Hat is free: %v", err)
	}
	// One that was removed comes back, and who else writes meanwhile is written over.
	if err := s.Import(t.Context(), []Offer{b}, true); err != nil {
		t.Error(err)
	}
	if o, ok := s.OfferByTag("hat"); !ok || o.Stock[""] != 2 {
		t.Errorf("%+v", o)
	}
}

// Another's write between the look and the commit of an import makes it look again.
func TestImportIsRaced(t *testing.T) {
	raced := &countingStore{Store: store.NewMemory()}
	s := newShopOn(t, raced, tee(1, 1))
	raced.before = func() {
		if err := s.PutOffer(t.Context(), tee(5, 1)); err != nil {
			t.Error(err)
		}
	}
	if err := s.Import(t.Context(), []Offer{tee(7, 1)}, false); err != nil {
		t.Fatal(err)
	}
	if o, _ := s.OfferByTag("BuyTee"); o.Stock[""] != 7 {
		t.Errorf("stock is %d", o.Stock[""])
	}
}
