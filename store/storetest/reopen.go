package storetest

import (
	"testing"
	"time"

	"hashtill/store"
)

// Reopen holds a durable back-end to keeping everything when it is closed and
// opened again. open returns the same store each time, empty at first; Reopen
// closes what it opens.
func Reopen(t *testing.T, open func(t *testing.T) store.Store) {
	const shard = 17
	s := subject{t, open(t)}
	first, second := furnish(s, shard)
	s.must(store.Change{
		Shard:  shard,
		Put:    []store.Put{{Key: "have", Version: 1, Value: []byte("2")}, {Key: "have2", Version: 1}},
		PutOff: []store.PutOff{{ID: first.ID, Try: first.Try, Due: at(time.Hour), Note: "busy"}},
		Owe:    []store.Effect{{ID: "three", Kind: "k", Due: at(2 * time.Hour), Body: []byte("b")}},
		Add:    []store.Add{{Key: "have", By: -2, Max: 5}},
	})
	for range 3 {
		before := picture(s, s, shard)
		if err := s.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		s.Store = open(t)
		if after := picture(s, s, shard); after != before {
			t.Fatalf("after opening again:\n%s\nbefore:\n%s", after, before)
		}
	}
	// The lease goes on across the closing, and its try still settles.
	s.wantNoneDue(second.Until.Add(-time.Millisecond))
	s.must(settle(shard, second.ID, second.Try))
	if l := s.leaseOne(at(time.Hour)); l.ID != first.ID || l.Try != 2 || l.Note != "busy" {
		t.Fatalf("the effect that was put off is leased as %+v", l)
	}
	s.refused(store.Change{Shard: shard, Put: []store.Put{{Key: "have", Version: 1, Value: []byte("x")}}}, store.ErrConflict, "have")
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}
