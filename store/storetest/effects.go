package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"hashtill/store"
)

var effectPromises = map[string]func(subject){
	"Effect/put off out of order":               putOffOutOfOrder,
	"Effect/owed once":                          owedOnce,
	"Effect/handed out when due":                dueTimes,
	"Effect/due is rounded up to a millisecond": dueRounding,
	"Effect/longest due first within a shard":   dueOrder,
	"Effect/lease excludes and runs out":        leaseRunsOut,
	"Effect/lease limit":                        leaseLimit,
	"Effect/settled is gone":                    settledGone,
	"Effect/settled by its try only":            settleStale,
	"Effect/put off":                            putOff,
	"Effect/put off by its try only":            putOffStale,
	"Effect/put off while it waits":             putOffWaiting,
	"Effect/dropped is gone":                    dropped,
	"Effect/owed pages":                         owedPages,
}

func owe(shard int, id string, due time.Time) store.Change {
	return store.Change{Shard: shard, Owe: []store.Effect{{ID: id, Kind: "mail", Due: due, Body: []byte("to " + id)}}}
}

func settle(shard int, id string, try int64) store.Change {
	return store.Change{Shard: shard, Settle: []store.Settle{{ID: id, Try: try}}}
}

func owedOnce(s subject) {
	s.must(owe(1, "e", at(0)))
	s.refused(owe(1, "e", at(time.Hour)), store.ErrConflict, "e")
	s.must(owe(2, "e", at(0)))
	want := store.Owed{Shard: 1, Effect: store.Effect{ID: "e", Kind: "mail", Due: at(0), Body: []byte("to e")}}
	got := owedAll(s, s, 1, 10)
	if o := got["e"]; len(got) != 1 || o.Kind != want.Kind || !o.Due.Equal(want.Due) || string(o.Body) != "to e" || o.Try != 0 || o.Note != "" {
		s.Fatalf("owed %+v, want %+v", got, want)
	}
	if leases := s.lease(at(0), 10); len(leases) != 2 {
		s.Fatalf("leases %+v", leases)
	}
	s.refused(owe(1, "e", at(0)), store.ErrConflict, "e")
	s.must(settle(1, "e", 1))
	s.must(owe(1, "e", at(0)))
	if l := s.leaseOne(at(0)); l.Try != 1 {
		s.Fatalf("owed anew begins at try %d", l.Try)
	}
}

func dueTimes(s subject) {
	s.must(owe(0, "later", at(time.Second)))
	s.must(owe(63, "sooner", at(-time.Hour)))
	s.must(owe(9, "long ago", time.Unix(-5, 0)))
	s.must(owe(9, "no time given", time.Time{}))
	got := s.lease(at(0), 10)
	ids := []string{}
	for _, l := range got {
		ids = append(ids, l.ID)
	}
	slices.Sort(ids)
	if fmt.Sprint(ids) != "[long ago no time given sooner]" {
		s.Fatalf("due: %v", ids)
	}
	s.wantNoneDue(at(time.Second - time.Millisecond))
	l := s.leaseOne(at(time.Second))
	if l.ID != "later" || l.Shard != 0 || l.Kind != "mail" || string(l.Body) != "to later" || l.Try != 1 ||
		!l.Due.Equal(at(time.Second)) || !l.Until.Equal(at(time.Second+time.Minute)) {
		s.Fatalf("lease %+v", l)
	}
}

func dueRounding(s subject) {
	s.must(owe(0, "e", at(time.Nanosecond)))
	s.wantNoneDue(at(0))
	s.wantNoneDue(at(999 * time.Microsecond))
	l := s.leaseOne(at(time.Millisecond))
	if !l.Due.Equal(at(time.Millisecond)) {
		s.Fatalf("due at %v, want %v", l.Due, at(time.Millisecond))
	}
	s.must(store.Change{PutOff: []store.PutOff{{ID: "e", Try: 1, Due: at(time.Second + time.Microsecond)}}})
	s.wantNoneDue(at(time.Second + 999*time.Microsecond))
	leases, err := s.Lease(s.Context(), at(time.Second+time.Millisecond), at(2*time.Second+time.Nanosecond), 1)
	if err != nil || len(leases) != 1 || !leases[0].Until.Equal(at(2*time.Second+time.Millisecond)) {
		s.Fatalf("leases %+v, %v: the end of a lease is rounded up", leases, err)
	}
	s.wantNoneDue(at(2*time.Second + 999*time.Microsecond))
	s.leaseOne(at(2*time.Second + time.Millisecond))
}

func dueOrder(s subject) {
	const n = 30
	c := store.Change{Shard: 11}
	for i := range n {
		// 7 and 30 have no common factor: each due time comes once, out of order.
		due := at(time.Duration(i*7%n) * time.Millisecond)
		c.Owe = append(c.Owe, store.Effect{ID: fmt.Sprintf("e%d", n-i), Due: due})
	}
	s.must(c)
	for want := 0; want < n; {
		leases := s.lease(at(time.Second), 7)
		if len(leases) == 0 {
			s.Fatalf("only %d of %d were handed out", want, n)
		}
		for _, l := range leases {
			if due := at(time.Duration(want) * time.Millisecond); !l.Due.Equal(due) {
				s.Fatalf("number %d was due at %v, want %v", want, l.Due, due)
			}
			want++
		}
	}
}

func leaseRunsOut(s subject) {
	s.must(owe(4, "e", at(0)))
	now := at(0)
	for try := int64(1); try <= 3; try++ {
		l := s.leaseOne(now)
		if l.Try != try || !l.Due.Equal(now) {
			s.Fatalf("try %d due at %v, want %d at %v", l.Try, l.Due, try, now)
		}
		if o := owedAll(s, s, 4, 1)["e"]; o.Try != try || !o.Due.Equal(l.Until) {
			s.Fatalf("while leased it stands as %+v", o)
		}
		s.wantNoneDue(now)
		s.wantNoneDue(l.Until.Add(-time.Millisecond))
		now = l.Until
	}
	// The last try may settle although its time is over: nobody else has it.
	s.must(settle(4, "e", 3))
}

func leaseLimit(s subject) {
	for i := range 20 {
		s.must(owe(i, "e", at(0)))
	}
	if got := s.lease(at(0), 0); len(got) != 0 {
		s.Fatalf("limit 0: %+v", got)
	}
	met := map[int]bool{}
	for range 20 {
		leases := s.lease(at(0), 3)
		if len(leases) == 0 {
			break
		}
		for _, l := range leases {
			if met[l.Shard] {
				s.Fatalf("handed out twice: %+v", l)
			}
			met[l.Shard] = true
		}
	}
	if len(met) != 20 {
		s.Fatalf("%d of 20 were handed out", len(met))
	}
}

func settledGone(s subject) {
	s.must(owe(0, "e", at(0)))
	s.refused(settle(0, "e", 0), store.ErrStale, "e") // never leased
	s.refused(settle(0, "e", 1), store.ErrStale, "e")
	l := s.leaseOne(at(0))
	s.must(settle(0, "e", l.Try))
	s.wantNoneDue(l.Until.Add(time.Hour))
	if got := owedAll(s, s, 0, 10); len(got) != 0 {
		s.Fatalf("still owed: %+v", got)
	}
	s.refused(settle(0, "e", l.Try), store.ErrStale, "e")
}

func settleStale(s subject) {
	s.must(owe(0, "e", at(0)))
	first := s.leaseOne(at(0))
	s.refused(settle(0, "e", first.Try+1), store.ErrStale, "e")
	s.refused(settle(1, "e", first.Try), store.ErrStale, "e")
	second := s.leaseOne(first.Until)
	s.refused(settle(0, "e", first.Try), store.ErrStale, "e")
	s.must(settle(0, "e", second.Try))
}

func putOff(s subject) {
	s.must(owe(8, "e", at(0)))
	l := s.leaseOne(at(0))
	s.must(store.Change{Shard: 8, PutOff: []store.PutOff{{ID: "e", Try: l.Try, Due: at(time.Second), Note: "refused, é"}}})
	if o := owedAll(s, s, 8, 10)["e"]; o.Note != "refused, é" || o.Try != 1 || !o.Due.Equal(at(time.Second)) || string(o.Body) != "to e" {
		s.Fatalf("put off it stands as %+v", o)
	}
	// The try has given it back: it can neither settle it nor put it off again.
	s.refused(settle(8, "e", l.Try), store.ErrStale, "e")
	s.refused(store.Change{Shard: 8, PutOff: []store.PutOff{{ID: "e", Try: l.Try, Due: at(0)}}}, store.ErrStale, "e")
	s.wantNoneDue(at(time.Second - time.Millisecond))
	l = s.leaseOne(at(time.Second))
	if l.Try != 2 || l.Note != "refused, é" || !l.Due.Equal(at(time.Second)) {
		s.Fatalf("after the put-off it is leased as %+v", l)
	}
	s.must(store.Change{Shard: 8, PutOff: []store.PutOff{{ID: "e", Try: 2, Due: at(0)}}})
	l = s.leaseOne(at(0)) // put off to the past is due at once
	if l.Try != 3 || l.Note != "" {
		s.Fatalf("after a put-off without a note it is leased as %+v", l)
	}
	s.must(settle(8, "e", 3))
}

func putOffStale(s subject) {
	late := func(try int64) store.Change {
		return store.Change{PutOff: []store.PutOff{{ID: "e", Try: try, Due: at(time.Hour), Note: "stale"}}}
	}
	s.refused(late(1), store.ErrStale, "e")
	s.must(owe(0, "e", at(0)))
	s.refused(late(0), store.ErrStale, "e")
	s.refused(late(1), store.ErrStale, "e")
	first := s.leaseOne(at(0))
	second := s.leaseOne(first.Until)
	s.refused(late(first.Try), store.ErrStale, "e")
	if o := owedAll(s, s, 0, 10)["e"]; o.Note != "" || !o.Due.Equal(second.Until) {
		s.Fatalf("a stale put-off left %+v", o)
	}
	s.must(settle(0, "e", second.Try))
}

// putOffWaiting has effects tried at once that nobody holds, and no others.
func putOffWaiting(s subject) {
	now := func(try int64) store.Change {
		return store.Change{PutOff: []store.PutOff{{ID: "e", Try: try, Due: at(0), Note: "again", Waits: true}}}
	}
	s.refused(now(0), store.ErrStale, "e")
	s.must(owe(0, "e", at(time.Hour)))
	s.refused(now(1), store.ErrStale, "e")
	s.must(now(0)) // that nobody has tried yet
	l := s.leaseOne(at(0))
	if l.Try != 1 || l.Note != "again" {
		s.Fatalf("leased %+v", l)
	}
	s.refused(now(1), store.ErrStale, "e") // it is being tried
	s.must(store.Change{PutOff: []store.PutOff{{ID: "e", Try: 1, Due: at(time.Hour), Note: "away"}}})
	s.refused(now(0), store.ErrStale, "e")
	s.must(now(1))
	s.must(settle(0, "e", s.leaseOne(at(0)).Try))
	s.refused(now(2), store.ErrStale, "e")
}

func dropped(s subject) {
	s.must(owe(3, "held", at(0)))
	s.must(owe(3, "free", at(0)))
	s.must(owe(3, "kept", at(0)))
	s.must(owe(4, "held", at(time.Hour)))
	s.lease(at(0), 3)
	s.must(store.Change{Shard: 3, Drop: []string{"held", "free", "not there"}})
	s.refused(settle(3, "held", 1), store.ErrStale, "held")
	if got := owedAll(s, s, 3, 10); len(got) != 1 {
		s.Fatalf("after the drop there are %+v", got)
	}
	if got := owedAll(s, s, 4, 10); len(got) != 1 {
		s.Fatalf("another shard's effect went along: %+v", got)
	}
	// A Change that fails drops nothing.
	s.refused(store.Change{Shard: 3, Drop: []string{"kept"}, Put: []store.Put{{Key: "k", Version: 7, Value: []byte("v")}}}, store.ErrConflict, "k")
	s.must(settle(3, "kept", 1))
}

func owedPages(s subject) {
	c := store.Change{Shard: 17}
	for _, id := range awkward {
		c.Owe = append(c.Owe, store.Effect{ID: id, Kind: strings.ToUpper(id), Due: at(0)})
	}
	s.must(c)
	s.must(owe(16, "of another shard", at(0)))
	for _, limit := range []int{0, 1, 7, len(awkward), 1000} {
		got := owedAll(s, s, 17, limit)
		if len(got) != len(awkward) {
			s.Fatalf("limit %d: %d owed, want %d", limit, len(got), len(awkward))
		}
	}
}

// putOffOutOfOrder holds many, and puts them off to times that are not in their
// order.
func putOffOutOfOrder(s subject) {
	const many = 8
	c := store.Change{}
	for i := range many {
		c.Owe = append(c.Owe, store.Effect{ID: fmt.Sprint(i), Due: at(0)})
	}
	s.must(c)
	leases := s.lease(at(0), many)
	if len(leases) != many {
		s.Fatalf("leased %d of %d", len(leases), many)
	}
	for i, l := range leases {
		due := at(time.Duration(many-i) * time.Second)
		s.must(store.Change{PutOff: []store.PutOff{{ID: l.ID, Try: l.Try, Due: due}}})
	}
	for i := range many {
		if l := s.leaseOne(at(time.Duration(i+1) * time.Second)); l.ID != leases[many-1-i].ID {
			s.Fatalf("after %d s %q is due, want %q", i+1, l.ID, leases[many-1-i].ID)
		}
		s.must(settle(0, leases[many-1-i].ID, 2))
	}
}
