package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"hashtill/store"
)

var crowdPromises = map[string]func(subject){
	"Crowd/one of many makes a new record":  oneWins,
	"Crowd/no write is lost":                noLostWrite,
	"Crowd/a bound holds":                   boundHolds,
	"Crowd/a Change is seen whole":          seenWhole,
	"Crowd/each is told what it asked for":  toldApart,
	"Crowd/each effect is leased once":      leasedOnce,
	"Crowd/one of two tries settles":        oneSettles,
	"Crowd/a failure touches no other call": failuresApart,
}

// together calls f from n goroutines and returns when all have ended.
func together(n int, f func(i int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	all.Wait()
}

// toldApart has many read different keys of one shard at once, some of which are not
// there, and one that has given up before.
func toldApart(s subject) {
	const keys = 16
	c := store.Change{}
	for i := range keys {
		c.Put = append(c.Put, store.Put{Key: fmt.Sprint("k", i), Value: []byte(fmt.Sprint("v", i))})
		c.Add = append(c.Add, store.Add{Key: fmt.Sprint("n", i), By: int64(i + 1), Max: keys})
	}
	s.must(c)
	gone, leave := context.WithCancel(s.Context())
	leave()
	together(64, func(i int) {
		if _, err := s.Get(gone, 0, "k0"); !errors.Is(err, context.Canceled) {
			s.Errorf("Get after the context's end: %v", err)
		}
		one, other := i%keys, (i+5)%keys
		recs, err := s.Get(s.Context(), 0, fmt.Sprint("k", one), "absent", fmt.Sprint("k", other))
		if err != nil || string(recs[0].Value) != fmt.Sprint("v", one) || recs[1].Version != 0 || string(recs[2].Value) != fmt.Sprint("v", other) {
			s.Errorf("records %d and %d: %v, %v", one, other, recs, err)
		}
		counts, err := s.Counts(s.Context(), 0, "absent", fmt.Sprint("n", one))
		if err != nil || counts[0] != 0 || counts[1] != int64(one+1) {
			s.Errorf("count %d: %v, %v", one, counts, err)
		}
	})
}

func oneWins(s subject) {
	for round := range 5 {
		key := fmt.Sprint("k", round)
		var won atomic.Int64
		var winner atomic.Value
		together(32, func(i int) {
			value := fmt.Sprint(i)
			err := s.Commit(s.Context(), store.Change{Put: []store.Put{{Key: key, Value: []byte(value)}}})
			switch {
			case err == nil:
				won.Add(1)
				winner.Store(value)
			case !errors.Is(err, store.ErrConflict):
				s.Errorf("Commit: %v", err)
			}
		})
		if won.Load() != 1 {
			s.Fatalf("%d made the same new record", won.Load())
		}
		s.wantRecord(0, key, 1, winner.Load().(string))
	}
}

// noLostWrite lets many read, add one and write under the version they read.
func noLostWrite(s subject) {
	const writers, each = 8, 10
	together(writers, func(int) {
		for done := 0; done < each; {
			recs, err := s.Get(s.Context(), 0, "k")
			if err != nil {
				s.Error(err)
				return
			}
			var n int
			fmt.Sscan(string(recs[0].Value), &n)
			err = s.Commit(s.Context(), store.Change{
				Put: []store.Put{{Key: "k", Version: recs[0].Version, Value: fmt.Append(nil, n+1)}},
				Add: []store.Add{{Key: "k", By: 1, Max: writers * each}},
			})
			switch {
			case err == nil:
				done++
			case !errors.Is(err, store.ErrConflict):
				s.Error(err)
				return
			}
		}
	})
	s.wantRecord(0, "k", writers*each, fmt.Sprint(writers*each))
	s.wantCount(0, "k", writers*each)
}

func boundHolds(s subject) {
	const buyers, units = 48, 10
	var sold atomic.Int64
	together(buyers, func(i int) {
		err := s.Commit(s.Context(), store.Change{
			Put: []store.Put{{Key: fmt.Sprint("purchase", i), Value: []byte("v")}},
			Add: []store.Add{{Key: "sold", By: 1, Max: units}},
		})
		switch {
		case err == nil:
			sold.Add(1)
		case !errors.Is(err, store.ErrBound):
			s.Errorf("Commit: %v", err)
		}
	})
	if sold.Load() != units {
		s.Fatalf("%d sold of %d", sold.Load(), units)
	}
	s.wantCount(0, "sold", units)
	if got := scanAll(s, s, 0, "purchase", 100); len(got) != units {
		s.Fatalf("%d purchases of %d units", len(got), units)
	}
}

// seenWhole reads two records that are always written together.
func seenWhole(s subject) {
	const writes = 100
	done := make(chan struct{})
	together(3, func(i int) {
		if i == 0 {
			defer close(done)
			for v := range int64(writes) {
				value := fmt.Append(nil, v)
				err := s.Commit(s.Context(), store.Change{Put: []store.Put{
					{Key: "a", Version: v, Value: value}, {Key: "b", Version: v, Value: value},
				}})
				if err != nil {
					s.Error(err)
					return
				}
			}
			return
		}
		for last := int64(0); ; {
			recs, err := s.Get(s.Context(), 0, "b", "a")
			if err != nil || recs[0].Version != recs[1].Version || string(recs[0].Value) != string(recs[1].Value) || recs[0].Version < last {
				s.Errorf("Get after version %d: %+v, %v", last, recs, err)
				return
			}
			last = recs[0].Version
			select {
			case <-done:
				return
			default:
			}
		}
	})
	s.wantRecord(0, "a", writes, fmt.Sprint(writes-1))
}

func leasedOnce(s subject) {
	const effects, takers = 400, 8
	for shard := 0; shard < store.Shards; shard += 4 {
		c := store.Change{Shard: shard}
		for i := range effects / (store.Shards / 4) {
			c.Owe = append(c.Owe, store.Effect{ID: fmt.Sprint("e", i), Due: at(time.Duration(i) * time.Millisecond)})
		}
		s.must(c)
	}
	var mu sync.Mutex
	met := map[string]int{}
	together(takers, func(i int) {
		for {
			leases, err := s.Lease(s.Context(), at(time.Minute), at(time.Hour), 1+i*5)
			if err != nil {
				s.Errorf("Lease: %v", err)
				return
			}
			if len(leases) == 0 {
				return
			}
			mu.Lock()
			twice := false
			for _, l := range leases {
				id := fmt.Sprint(l.Shard, l.ID)
				met[id]++
				twice = twice || met[id] > 1
			}
			mu.Unlock()
			if twice {
				return // told below
			}
		}
	})
	if len(met) != effects {
		s.Fatalf("%d of %d were handed out", len(met), effects)
	}
	for id, n := range met {
		if n != 1 {
			s.Fatalf("%s was handed out %d times", id, n)
		}
	}
}

// oneSettles lets many settle an effect, each telling so in a record of its own.
func oneSettles(s subject) {
	s.must(owe(0, "e", at(0)))
	first := s.leaseOne(at(0))
	second := s.leaseOne(first.Until)
	var settled atomic.Int64
	together(16, func(i int) {
		l := first
		if i%2 == 0 {
			l = second
		}
		c := settle(0, "e", l.Try)
		c.Put = []store.Put{{Key: fmt.Sprint("settled by ", i), Value: []byte("v")}}
		err := s.Commit(s.Context(), c)
		switch {
		case err == nil:
			settled.Add(1)
			if l.Try != second.Try {
				s.Errorf("try %d settled what try %d holds", l.Try, second.Try)
			}
		case !errors.Is(err, store.ErrStale):
			s.Errorf("Commit: %v", err)
		}
	})
	if settled.Load() != 1 {
		s.Fatalf("settled %d times", settled.Load())
	}
	if got := scanAll(s, s, 0, "settled by ", 10); len(got) != 1 {
		s.Fatalf("%d tell that they settled it", len(got))
	}
}

// failuresApart mixes Changes that succeed, fail and are invalid: where a back-end
// puts many into one transaction, each must still get its own answer.
func failuresApart(s subject) {
	s.must(store.Change{Put: []store.Put{{Key: "there", Value: []byte("v")}}})
	together(90, func(i int) {
		mine := store.Put{Key: fmt.Sprint("k", i), Value: []byte("v")}
		var want error
		c := store.Change{Put: []store.Put{mine}, Add: []store.Add{{Key: "n", By: 1, Max: 1000}}}
		switch i % 3 {
		case 1: // fails at its last guard, after all else was found right
			c.Add = append(c.Add, store.Add{Key: "never", By: 1})
			want = store.ErrBound
		case 2:
			c.Put = append(c.Put, store.Put{Key: "there", Value: []byte("v")})
			want = store.ErrConflict
		}
		if err := s.Commit(s.Context(), c); !errors.Is(err, want) {
			s.Errorf("Commit: %v, want %v", err, want)
		}
	})
	s.wantCount(0, "n", 30)
	if got := scanAll(s, s, 0, "k", 100); len(got) != 30 {
		s.Fatalf("%d records, want 30", len(got))
	}
}
