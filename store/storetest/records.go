package storetest

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"

	"hashtill/store"
)

var recordPromises = map[string]func(subject){
	"Record/must be new":                 mustBeNew,
	"Record/versions grow by one":        versionSteps,
	"Record/removed is absent":           removed,
	"Record/check":                       checked,
	"Record/empty value is a value":      emptyValue,
	"Record/values are the caller's own": ownValues,
	"Record/get keeps the order":         getOrder,
	"Record/scan pages by prefix":        scanPrefix,
	"Record/scan meets what stands":      scanWhileWriting,
	"Record/keys and values of any byte": anyByte,
}

func mustBeNew(s subject) {
	c := store.Change{Shard: 5, Put: []store.Put{{Key: "k", Value: []byte("1")}}}
	s.wantRecord(5, "k", 0, "")
	s.must(c)
	s.wantRecord(5, "k", 1, "1")
	c.Put[0].Value = []byte("2")
	s.refused(c, store.ErrConflict, "k")
	s.wantRecord(5, "k", 1, "1")
}

func versionSteps(s subject) {
	for v := range int64(5) {
		s.must(store.Change{Put: []store.Put{{Key: "k", Version: v, Value: fmt.Append(nil, v+1)}}})
		s.wantRecord(0, "k", v+1, fmt.Sprint(v+1))
	}
	for _, v := range []int64{0, 1, 4, 6, math.MaxInt32} {
		s.refused(store.Change{Put: []store.Put{{Key: "k", Version: v, Value: []byte("x")}}}, store.ErrConflict, "k")
	}
	s.refused(store.Change{Put: []store.Put{{Key: "none", Version: 1, Value: []byte("x")}}}, store.ErrConflict, "none")
	s.wantRecord(0, "k", 5, "5")
	s.wantRecord(0, "none", 0, "")
}

func removed(s subject) {
	s.must(store.Change{Put: []store.Put{{Key: "k", Value: []byte("1")}}})
	s.must(store.Change{Put: []store.Put{{Key: "k", Version: 1, Value: []byte("2")}}})
	s.refused(store.Change{Put: []store.Put{{Key: "k", Version: 1}}}, store.ErrConflict, "k")
	s.must(store.Change{Put: []store.Put{{Key: "k", Version: 2}}})
	s.wantRecord(0, "k", 0, "")
	if got := scanAll(s, s, 0, "", 10); len(got) != 0 {
		s.Fatalf("removed and still scanned: %v", got)
	}
	s.refused(store.Change{Put: []store.Put{{Key: "k", Version: 2}}}, store.ErrConflict, "k")
	s.must(store.Change{Put: []store.Put{{Key: "k", Value: []byte("again")}}})
	s.wantRecord(0, "k", 1, "again")
}

func checked(s subject) {
	s.must(store.Change{Put: []store.Put{{Key: "k", Value: []byte("1")}}})
	s.must(store.Change{Check: []store.Check{{Key: "k", Version: 1}, {Key: "none"}}})
	s.wantRecord(0, "k", 1, "1")
	s.refused(store.Change{Check: []store.Check{{Key: "k"}}}, store.ErrConflict, "k")
	s.refused(store.Change{Check: []store.Check{{Key: "k", Version: 2}}}, store.ErrConflict, "k")
	s.refused(store.Change{Check: []store.Check{{Key: "none", Version: 1}}}, store.ErrConflict, "none")
}

func emptyValue(s subject) {
	s.must(store.Change{Put: []store.Put{{Key: "k", Value: []byte{}}}})
	s.wantRecord(0, "k", 1, "")
	if got, ok := scanAll(s, s, 0, "", 10)["k"]; !ok || got.Value == nil {
		s.Fatalf("scanned as %+v", got)
	}
	s.must(store.Change{Put: []store.Put{{Key: "k", Version: 1, Value: []byte{}}}})
	s.wantRecord(0, "k", 2, "")
}

func ownValues(s subject) {
	value, body := []byte("value"), []byte("body")
	s.must(store.Change{
		Put: []store.Put{{Key: "k", Value: value}},
		Owe: []store.Effect{{ID: "e", Due: at(0), Body: body}},
	})
	clear(value)
	clear(body)
	clear(s.record(0, "k").Value)
	clear(scanAll(s, s, 0, "", 10)["k"].Value)
	clear(owedAll(s, s, 0, 10)["e"].Body)
	s.wantRecord(0, "k", 1, "value")
	l := s.leaseOne(at(0))
	if string(l.Body) != "body" {
		s.Fatalf("body is %q", l.Body)
	}
	clear(l.Body)
	if got := owedAll(s, s, 0, 10)["e"].Body; string(got) != "body" {
		s.Fatalf("body is %q", got)
	}
}

func getOrder(s subject) {
	s.must(store.Change{
		Put: []store.Put{{Key: "a", Value: []byte("A")}, {Key: "b", Value: []byte("B")}},
		Add: []store.Add{{Key: "a", By: 1, Max: 1}, {Key: "b", By: 2, Max: 2}},
	})
	recs, err := s.Get(s.Context(), 0, "b", "none", "a", "b")
	if err != nil || len(recs) != 4 {
		s.Fatalf("Get: %v, %v", recs, err)
	}
	got := fmt.Sprintf("%s%d%s %s%d%s %s%d%s %s%d%s", recs[0].Key, recs[0].Version, recs[0].Value,
		recs[1].Key, recs[1].Version, recs[1].Value, recs[2].Key, recs[2].Version, recs[2].Value,
		recs[3].Key, recs[3].Version, recs[3].Value)
	if want := "b1B none0 a1A b1B"; got != want {
		s.Fatalf("Get: %s, want %s", got, want)
	}
	counts, err := s.Counts(s.Context(), 0, "b", "none", "a", "b")
	if err != nil || !slices.Equal(counts, []int64{2, 0, 1, 2}) {
		s.Fatalf("Counts: %v, %v", counts, err)
	}
	if recs, err := s.Get(s.Context(), 0); err != nil || len(recs) != 0 {
		s.Fatalf("Get of nothing: %v, %v", recs, err)
	}
	if counts, err := s.Counts(s.Context(), 0); err != nil || len(counts) != 0 {
		s.Fatalf("Counts of nothing: %v, %v", counts, err)
	}
	many := make([]string, 300)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	if recs, err := s.Get(s.Context(), 0, many...); err != nil || len(recs) != 300 || recs[299].Key != "299" {
		s.Fatalf("Get of 300: %d, %v", len(recs), err)
	}
}

// awkward keys are those that a pattern, a query or a range may trip over.
var awkward = []string{
	"a", "a:", "a:1", "a:2", "a:\x00", "a:\x7f", "a:\xff", "a:\xff\xff", "a;", "b",
	"a%", "a_", "a%%b", "a*", "a?", "a[b]", "a\\", "a'", `a"`, "a{1}", "a{2}", "a b", "a\n",
	"A:1", "é", "é:1", "e\u0301:1", "日本", "日本:語", "🛍", "\xff", "\xff\xff", "\x00", "-1", "0", "null",
}

func scanPrefix(s subject) {
	const shard = 17
	c := store.Change{Shard: shard}
	for _, key := range awkward {
		c.Put = append(c.Put, store.Put{Key: key, Value: []byte("of " + key)})
	}
	s.must(c)
	s.must(store.Change{Shard: 18, Put: []store.Put{{Key: "a:other shard", Value: []byte("x")}}})
	prefixes := append([]string{"", "a:zzz", "é:", "日", "nothing", "\xff\xff\xff"}, awkward...)
	for _, prefix := range prefixes {
		want := map[string]bool{}
		for _, key := range awkward {
			if len(key) >= len(prefix) && key[:len(prefix)] == prefix {
				want[key] = true
			}
		}
		for _, limit := range []int{0, 1, 2, 3, 1000} {
			got := scanAll(s, s, shard, prefix, limit)
			if len(got) != len(want) {
				s.Fatalf("prefix %q, limit %d: %q, want %q", prefix, limit, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
			}
			for key := range want {
				if string(got[key].Value) != "of "+key || got[key].Version != 1 {
					s.Fatalf("prefix %q: %q is %+v", prefix, key, got[key])
				}
			}
		}
	}
}

// scanWhileWriting scans while other records come and go.
func scanWhileWriting(s subject) {
	stands := map[string]bool{}
	c := store.Change{}
	for i := range 40 {
		key := fmt.Sprintf("k%02d", i)
		stands[key] = true
		c.Put = append(c.Put, store.Put{Key: key, Value: []byte("v")})
	}
	s.must(c)
	cursor := ""
	for page := range 1000 {
		recs, next, err := s.Scan(s.Context(), 0, "k", cursor, 3)
		if err != nil {
			s.Fatal(err)
		}
		for _, r := range recs {
			delete(stands, r.Key)
		}
		if cursor = next; cursor == "" {
			break
		}
		come := store.Change{Put: []store.Put{{Key: fmt.Sprintf("k%02d+", page), Value: []byte("v")}}}
		if page > 0 {
			come.Put = append(come.Put, store.Put{Key: fmt.Sprintf("k%02d+", page-1), Version: 1})
		}
		s.must(come)
	}
	if len(stands) != 0 {
		s.Fatalf("not met: %v", slices.Sorted(maps.Keys(stands)))
	}
}

func anyByte(s subject) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for i, key := range append([]string{string(every)}, awkward...) {
		value := bytes.Repeat(append([]byte(key), every...), 2)
		due := at(0).AddDate(0, 0, i)
		s.must(store.Change{
			Put: []store.Put{{Key: key, Value: value}},
			Owe: []store.Effect{{ID: key, Kind: key, Due: due, Body: value}},
			Add: []store.Add{{Key: key, By: int64(i), Max: 1000}},
		})
		s.wantRecord(0, key, 1, string(value))
		s.wantCount(0, key, int64(i))
		l := s.leaseOne(due)
		if l.ID != key || l.Kind != key || !bytes.Equal(l.Body, value) {
			s.Fatalf("effect %q came back as %+v", key, l)
		}
		s.must(store.Change{PutOff: []store.PutOff{{ID: key, Try: 1, Due: due.AddDate(1, 0, 0), Note: key}}})
		if o := owedAll(s, s, 0, 100)[key]; o.Note != key || !bytes.Equal(o.Body, value) {
			s.Fatalf("effect %q stands as %+v", key, o)
		}
		s.must(store.Change{Put: []store.Put{{Key: key, Version: 1, Value: []byte("2")}}})
		s.wantRecord(0, key, 2, "2")
	}
}
