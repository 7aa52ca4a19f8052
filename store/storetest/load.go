package storetest

import (
	"errors"
	"time"

	"hashtill/store"
)

var loadPromises = map[string]func(subject){
	"Load/writes rows as they stood": loadRows,
	"Load/invalid rows":              loadInvalid,
}

func loadRows(s subject) {
	const shard = 17
	first, second := furnish(s, shard) // what is there under other keys stays
	rows := store.Rows{
		Records: []store.Record{{Key: "have", Version: 7, Value: []byte("seven")}, {Key: "k", Version: 3, Value: []byte{}}},
		Counts:  []store.Count{{Key: "n", N: -4}, {Key: "have", N: 0}},
		Effects: []store.Owed{
			{Shard: 1, Effect: store.Effect{ID: first.ID, Kind: "again", Due: at(time.Hour), Body: []byte("b")}, Try: 9, Note: "note"},
			{Effect: store.Effect{ID: "new", Due: at(2 * time.Hour)}},
		},
	}
	for range 2 { // it may be done again
		if err := s.Load(s.Context(), shard, rows); err != nil {
			s.Fatalf("Load: %v", err)
		}
		s.wantRecord(shard, "have", 7, "seven")
		s.wantRecord(shard, "k", 3, "")
		s.wantCount(shard, "n", -4)
		s.wantCount(shard, "have", 0)
	}
	if counts := countsAll(s, s, shard, "", 10); len(counts) != 1 {
		s.Errorf("counts %v, want one", counts)
	}
	if recs := scanAll(s, s, shard, "", 10); len(recs) != 3 {
		s.Errorf("records %v, want three", recs)
	}
	// The old lease is nobody's any more; the loaded effect goes on from its try.
	s.refused(settle(shard, first.ID, first.Try), store.ErrStale, first.ID)
	s.refused(settle(shard, first.ID, 9), store.ErrStale, first.ID)
	s.must(settle(shard, second.ID, second.Try))
	s.wantNoneDue(at(time.Hour - time.Millisecond))
	l := s.leaseOne(at(time.Hour))
	if l.ID != first.ID || l.Shard != shard || l.Kind != "again" || l.Try != 10 || l.Note != "note" || string(l.Body) != "b" {
		s.Fatalf("leased %+v", l)
	}
	s.must(settle(shard, first.ID, 10))
	if l := s.leaseOne(at(2 * time.Hour)); l.ID != "new" || l.Try != 1 {
		s.Fatalf("leased %+v", l)
	}
	s.must(store.Change{Shard: shard, Put: []store.Put{{Key: "have", Version: 7, Value: []byte("eight")}}})
	s.wantRecord(shard, "have", 8, "eight")
}

func loadInvalid(s subject) {
	record := store.Record{Key: "k", Version: 1, Value: []byte("v")}
	for name, rows := range map[string]store.Rows{
		"nothing":    {},
		"twice":      {Records: []store.Record{record, record}},
		"no version": {Records: []store.Record{{Key: "k", Value: []byte("v")}}},
		"no value":   {Records: []store.Record{{Key: "k", Version: 1}}},
		"no key":     {Counts: []store.Count{{N: 1}}},
		"too large":  {Counts: []store.Count{{Key: "n", N: store.MaxCount + 1}}},
		"negative":   {Effects: []store.Owed{{Effect: store.Effect{ID: "e"}, Try: -1}}},
		"too many":   {Records: make([]store.Record, store.MaxParts+1)},
	} {
		rows.Counts = append(rows.Counts, store.Count{Key: "other", N: 1})
		if name == "nothing" {
			rows.Counts = nil
		}
		if err := s.Load(s.Context(), 0, rows); !errors.Is(err, store.ErrInvalid) {
			s.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if err := s.Load(s.Context(), store.Shards, store.Rows{Records: []store.Record{record}}); !errors.Is(err, store.ErrInvalid) {
		s.Errorf("no such shard: %v, want ErrInvalid", err)
	}
	s.wantCount(0, "other", 0)
	s.wantRecord(0, "k", 0, "")
}
