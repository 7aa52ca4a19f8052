package storetest

import (
	"fmt"
	"maps"
	"math"

	"hashtill/store"
)

var countPromises = map[string]func(subject){
	"Count/stays within its bounds":             countBounds,
	"Count/comes back from a tightened bound":   tightenedBound,
	"Count/moves by nothing whatever its bound": addZero,
	"Count/without a bound":                     unbounded,
	"Count/never beyond MaxCount":               mostCount,
	"Count/scan pages by prefix":                scanCounts,
}

func add(key string, by, low, high int64) store.Change {
	return store.Change{Shard: 3, Add: []store.Add{{Key: key, By: by, Min: low, Max: high}}}
}

func countBounds(s subject) {
	s.wantCount(3, "n", 0)
	s.refused(add("n", 4, 0, 3), store.ErrBound, "n")
	s.refused(add("n", -1, 0, 3), store.ErrBound, "n")
	s.wantCount(3, "n", 0)
	s.must(add("n", 2, 0, 3))
	s.refused(add("n", 2, 0, 3), store.ErrBound, "n")
	s.must(add("n", 1, 0, 3))
	s.refused(add("n", 1, 0, 3), store.ErrBound, "n")
	s.wantCount(3, "n", 3)
	s.refused(add("n", -4, 0, 3), store.ErrBound, "n")
	s.must(add("n", -3, 0, 3))
	s.refused(add("n", -1, 0, 3), store.ErrBound, "n")
	s.wantCount(3, "n", 0)
	s.must(add("n", 3, 0, 3))
	s.wantCount(3, "n", 3)

	s.must(add("below", -5, -5, -2))
	s.wantCount(3, "below", -5)
	s.refused(add("below", -1, -5, -2), store.ErrBound, "below")
	s.must(add("below", 3, -5, -2))
	s.refused(add("below", 1, -5, -2), store.ErrBound, "below")
	s.refused(add("new", 1, -5, -2), store.ErrBound, "new")
	s.wantCount(3, "below", -2)
	s.wantCount(3, "new", 0)
}

func tightenedBound(s subject) {
	s.must(add("n", 10, 0, 10))
	s.refused(add("n", 1, 0, 4), store.ErrBound, "n")
	s.must(add("n", -1, 0, 4))
	s.wantCount(3, "n", 9)
	s.must(add("n", -1, 0, 4))
	s.refused(add("n", -1, 8, 9), store.ErrBound, "n")
	s.must(add("n", 1, 20, 30))
	s.wantCount(3, "n", 9)
}

func addZero(s subject) {
	s.must(add("n", 0, 5, 6))
	s.wantCount(3, "n", 0)
	s.must(add("n", 3, 0, 3))
	s.must(add("n", 0, 0, 1))
	s.wantCount(3, "n", 3)
}

func unbounded(s subject) {
	s.must(add("n", 1<<40, 0, math.MaxInt64))
	s.must(add("n", 1<<40, 0, math.MaxInt64))
	s.must(add("n", -(1 << 42), math.MinInt64, 0))
	s.wantCount(3, "n", -(1 << 41))
}

func mostCount(s subject) {
	most := int64(store.MaxCount)
	s.refused(add("n", most+1, 0, math.MaxInt64), store.ErrBound, "n")
	s.refused(add("n", math.MinInt64, math.MinInt64, 0), store.ErrBound, "n")
	s.must(add("n", most-1, 0, math.MaxInt64))
	s.must(add("n", 1, 0, math.MaxInt64))
	s.wantCount(3, "n", most)
	s.refused(add("n", 1, 0, math.MaxInt64), store.ErrBound, "n")
	s.refused(add("n", math.MaxInt64, 0, math.MaxInt64), store.ErrBound, "n")
	s.must(add("n", -2*most, math.MinInt64, 0))
	s.wantCount(3, "n", -most)
	s.refused(add("n", -1, math.MinInt64, 0), store.ErrBound, "n")
	s.refused(add("n", 2*most+1, 0, math.MaxInt64), store.ErrBound, "n")
	s.wantCount(3, "n", -most)
}

func scanCounts(s subject) {
	want := map[string]int64{}
	for i := range 30 {
		key := fmt.Sprint("n:", i)
		want[key] = int64(i + 1)
		s.must(add(key, int64(i+1), 0, 100))
	}
	s.must(add("n", 1, 0, 1))
	s.must(add("m:1", -1, -1, 1))
	s.must(store.Change{Shard: 3, Put: []store.Put{{Key: "n:record", Value: []byte("v")}}})
	s.must(store.Change{Shard: 4, Add: []store.Add{{Key: "n:other", By: 1, Max: 1}}})
	for _, limit := range []int{-1, 1, 7, 1000} {
		if got := countsAll(s, s, 3, "n:", limit); !maps.Equal(got, want) {
			s.Errorf("by %d: %v, want %v", limit, got, want)
		}
	}
	// A count that is 0 again leaves nothing behind.
	s.must(add("n:3", -4, 0, 100))
	delete(want, "n:3")
	if got := countsAll(s, s, 3, "n:", 10); !maps.Equal(got, want) {
		s.Errorf("%v, want %v", got, want)
	}
	s.wantCount(3, "n:3", 0)
	s.must(add("n:3", 2, 0, 100))
	s.wantCount(3, "n:3", 2)
}
