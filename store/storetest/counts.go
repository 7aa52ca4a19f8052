package storetest

import (
	"math"

	"hashtill/store"
)

var countPromises = map[string]func(subject){
	"Count/stays within its bounds":             countBounds,
	"Count/comes back from a tightened bound":   tightenedBound,
	"Count/moves by nothing whatever its bound": addZero,
	"Count/without a bound":                     unbounded,
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
