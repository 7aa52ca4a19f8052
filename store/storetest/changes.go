package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"hashtill/store"
)

var changePromises = map[string]func(subject){
	"Change/guards come before writes":       guardsBeforeWrites,
	"Change/first failing guard is reported": guardOrder,
	"Change/invalid is refused":              invalidRefused,
	"Change/bounds can be used in full":      boundsInFull,
	"Change/kinds and shards are apart":      namespacesApart,
	"Change/done context":                    doneContext,
}

// furnish prepares a shard in which every kind of guard can hold or fail: record
// and count "have", and leased effects, whose leases it returns.
func furnish(s subject, shard int) (first, second store.Lease) {
	s.must(store.Change{
		Shard: shard,
		Put:   []store.Put{{Key: "have", Value: []byte("1")}, {Key: "have2", Value: []byte("1")}},
		Owe:   []store.Effect{{ID: "one", Due: at(0)}, {ID: "two", Due: at(time.Millisecond)}},
		Add:   []store.Add{{Key: "have", By: 5, Max: 5}},
	})
	leases := s.lease(at(time.Second), 2)
	if len(leases) != 2 {
		s.Fatalf("leased %d, want 2", len(leases))
	}
	return leases[0], leases[1]
}

// guardsBeforeWrites commits Changes in which everything is right but one part,
// which stands last in its field; nothing of them may be seen.
func guardsBeforeWrites(s subject) {
	const shard = 17
	one, two := furnish(s, shard)
	right := func() store.Change {
		return store.Change{
			Shard:  shard,
			Check:  []store.Check{{Key: "have", Version: 1}, {Key: "none"}},
			Put:    []store.Put{{Key: "have2", Version: 1, Value: []byte("2")}, {Key: "new", Value: []byte("1")}},
			Settle: []store.Settle{{ID: one.ID, Try: one.Try}},
			PutOff: []store.PutOff{{ID: two.ID, Try: two.Try, Due: at(time.Hour), Note: "later"}},
			Owe:    []store.Effect{{ID: "three", Due: at(0)}},
			Add:    []store.Add{{Key: "have", By: -1}, {Key: "fresh", By: 1, Max: 1}},
		}
	}
	before := picture(s, s, shard)
	for _, wrong := range []struct {
		name string
		err  error
		key  string
		put  func(*store.Change)
	}{
		{"Check", store.ErrConflict, "x", func(c *store.Change) { c.Check = append(c.Check, store.Check{Key: "x", Version: 1}) }},
		{"Put", store.ErrConflict, "x", func(c *store.Change) { c.Put = append(c.Put, store.Put{Key: "x", Version: 3, Value: []byte("x")}) }},
		{"removal", store.ErrConflict, "x", func(c *store.Change) { c.Put = append(c.Put, store.Put{Key: "x", Version: 1}) }},
		{"Settle", store.ErrStale, "x", func(c *store.Change) { c.Settle = append(c.Settle, store.Settle{ID: "x", Try: 1}) }},
		{"PutOff", store.ErrStale, "x", func(c *store.Change) { c.PutOff = append(c.PutOff, store.PutOff{ID: "x", Try: 1}) }},
		{"Owe", store.ErrConflict, two.ID, func(c *store.Change) { c.PutOff, c.Owe = nil, append(c.Owe, store.Effect{ID: two.ID}) }},
		{"Add", store.ErrBound, "full", func(c *store.Change) { c.Add = append(c.Add, store.Add{Key: "full", By: 1}) }},
	} {
		c := right()
		wrong.put(&c)
		s.refused(c, wrong.err, wrong.key)
		if after := picture(s, s, shard); after != before {
			s.Fatalf("a Change that failed at %s left something:\n%s\nbefore:\n%s", wrong.name, after, before)
		}
	}
	s.must(right())
	s.wantRecord(shard, "have2", 2, "2")
	s.wantRecord(shard, "new", 1, "1")
	s.wantCount(shard, "have", 4)
	s.wantCount(shard, "fresh", 1)
}

// guardOrder lets two guards of every field fail and takes them away one by one.
func guardOrder(s subject) {
	const shard = 0
	furnish(s, shard)
	c := store.Change{
		Shard:  shard,
		Check:  []store.Check{{Key: "c1", Version: 1}, {Key: "c2", Version: 1}},
		Put:    []store.Put{{Key: "have", Value: []byte("x")}, {Key: "p2", Version: 7, Value: []byte("x")}},
		Settle: []store.Settle{{ID: "s1", Try: 1}, {ID: "s2", Try: 1}},
		PutOff: []store.PutOff{{ID: "o1", Try: 1}, {ID: "o2", Try: 1}},
		Owe:    []store.Effect{{ID: "one"}, {ID: "two"}},
		Add:    []store.Add{{Key: "have", By: 1, Max: 5}, {Key: "a2", By: -1}},
	}
	s.refused(c, store.ErrConflict, "c1")
	c.Check = c.Check[1:]
	s.refused(c, store.ErrConflict, "c2")
	c.Check = nil
	s.refused(c, store.ErrConflict, "have")
	c.Put = c.Put[1:]
	s.refused(c, store.ErrConflict, "p2")
	c.Put = nil
	s.refused(c, store.ErrStale, "s1")
	c.Settle = c.Settle[1:]
	s.refused(c, store.ErrStale, "s2")
	c.Settle = nil
	s.refused(c, store.ErrStale, "o1")
	c.PutOff = c.PutOff[1:]
	s.refused(c, store.ErrStale, "o2")
	c.PutOff = nil
	s.refused(c, store.ErrConflict, "one")
	c.Owe = c.Owe[1:]
	s.refused(c, store.ErrConflict, "two")
	c.Owe = nil
	s.refused(c, store.ErrBound, "have")
	c.Add = c.Add[1:]
	s.refused(c, store.ErrBound, "a2")
}

func invalidRefused(s subject) {
	long := strings.Repeat("k", store.MaxKey+1)
	large := make([]byte, store.MaxValue+1)
	v := []byte("v")
	many := make([]store.Check, store.MaxParts+1)
	for i := range many {
		many[i].Key = fmt.Sprint(i)
	}
	good := store.Put{Key: "good", Value: v}
	for name, c := range map[string]store.Change{
		"no parts":             {},
		"too many parts":       {Check: many},
		"shard below":          {Shard: -1, Put: []store.Put{good}},
		"shard above":          {Shard: store.Shards, Put: []store.Put{good}},
		"no key":               {Put: []store.Put{good, {Value: v}}},
		"long key":             {Put: []store.Put{good, {Key: long, Value: v}}},
		"large value":          {Put: []store.Put{good, {Key: "k", Value: large}}},
		"negative version":     {Put: []store.Put{good, {Key: "k", Version: -1, Value: v}}},
		"nothing to remove":    {Put: []store.Put{good, {Key: "k"}}},
		"put twice":            {Put: []store.Put{good, good}},
		"checked and put":      {Check: []store.Check{{Key: "good"}}, Put: []store.Put{good}},
		"negative check":       {Put: []store.Put{good}, Check: []store.Check{{Key: "k", Version: -1}}},
		"owed twice":           {Put: []store.Put{good}, Owe: []store.Effect{{ID: "e"}, {ID: "e"}}},
		"settled and owed":     {Put: []store.Put{good}, Settle: []store.Settle{{ID: "e", Try: 1}}, Owe: []store.Effect{{ID: "e"}}},
		"dropped and owed":     {Put: []store.Put{good}, Drop: []string{"e"}, Owe: []store.Effect{{ID: "e"}}},
		"settled and put off":  {Put: []store.Put{good}, Settle: []store.Settle{{ID: "e", Try: 1}}, PutOff: []store.PutOff{{ID: "e", Try: 1}}},
		"effect without id":    {Put: []store.Put{good}, Owe: []store.Effect{{Kind: "k"}}},
		"long kind":            {Put: []store.Put{good}, Owe: []store.Effect{{ID: "e", Kind: long}}},
		"large body":           {Put: []store.Put{good}, Owe: []store.Effect{{ID: "e", Body: large}}},
		"long note":            {Put: []store.Put{good}, PutOff: []store.PutOff{{ID: "e", Note: strings.Repeat("n", store.MaxNote+1)}}},
		"added twice":          {Put: []store.Put{good}, Add: []store.Add{{Key: "n", By: 1, Max: 9}, {Key: "n", By: 1, Max: 9}}},
		"bounds crossed":       {Put: []store.Put{good}, Add: []store.Add{{Key: "n", By: 1, Min: 2, Max: 1}}},
		"count without a name": {Put: []store.Put{good}, Add: []store.Add{{By: 1, Max: 1}}},
	} {
		if err := s.Commit(s.Context(), c); !errors.Is(err, store.ErrInvalid) {
			s.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	s.wantRecord(0, "good", 0, "")

	for _, shard := range []int{-1, store.Shards} {
		_, errGet := s.Get(s.Context(), shard, "k")
		_, errCounts := s.Counts(s.Context(), shard, "k")
		_, _, errScan := s.Scan(s.Context(), shard, "", "", 1)
		_, _, errOwed := s.Owed(s.Context(), shard, "", 1)
		for _, err := range []error{errGet, errCounts, errScan, errOwed} {
			if !errors.Is(err, store.ErrInvalid) {
				s.Errorf("reading shard %d: %v, want ErrInvalid", shard, err)
			}
		}
	}
	if _, err := s.Lease(s.Context(), at(0), at(0), 1); !errors.Is(err, store.ErrInvalid) {
		s.Errorf("a lease that ends as it begins: %v, want ErrInvalid", err)
	}
}

// boundsInFull commits what is as long, as large and as many as allowed.
func boundsInFull(s subject) {
	const shard = 63
	name := func(i int) string { return fmt.Sprintf("%0*d", store.MaxKey, i) }
	full := store.Change{Shard: shard}
	for i := range store.MaxParts / 4 {
		full.Check = append(full.Check, store.Check{Key: "absent" + fmt.Sprint(i)})
		full.Put = append(full.Put, store.Put{Key: name(i), Value: []byte{byte(i)}})
		full.Owe = append(full.Owe, store.Effect{ID: name(i), Kind: name(i), Due: at(time.Duration(i) * time.Millisecond)})
		full.Add = append(full.Add, store.Add{Key: name(i), By: int64(i), Max: int64(i)})
	}
	full.Put[0].Value = []byte(strings.Repeat("v", store.MaxValue))
	full.Owe[0].Body = []byte(strings.Repeat("b", store.MaxValue))
	s.must(full)

	s.wantRecord(shard, name(0), 1, strings.Repeat("v", store.MaxValue))
	s.wantCount(shard, name(9), 9)
	leases := s.lease(at(time.Hour), store.MaxParts)
	if len(leases) != store.MaxParts/4 || string(leases[0].Body) != strings.Repeat("b", store.MaxValue) || leases[0].Kind != name(0) {
		s.Fatalf("%d leases of a full Change", len(leases))
	}
	note := strings.Repeat("n", store.MaxNote)
	s.must(store.Change{Shard: shard, PutOff: []store.PutOff{{ID: name(0), Try: 1, Due: at(2 * time.Hour), Note: note}}})
	if got := owedAll(s, s, shard, 7)[name(0)].Note; got != note {
		s.Fatalf("note of %d bytes came back as %d", len(note), len(got))
	}
}

// namespacesApart uses one name for a record, a count and an effect, in several
// shards at once.
func namespacesApart(s subject) {
	for i, shard := range shards {
		s.must(store.Change{
			Shard: shard,
			Put:   []store.Put{{Key: "same", Value: []byte{byte(i)}}},
			Owe:   []store.Effect{{ID: "same", Due: at(0), Body: []byte{byte(i)}}},
			Add:   []store.Add{{Key: "same", By: int64(i), Max: 10}},
		})
	}
	for i, shard := range shards {
		s.wantRecord(shard, "same", 1, string([]byte{byte(i)}))
		s.wantCount(shard, "same", int64(i))
		if got := owedAll(s, s, shard, 1); len(got) != 1 || got["same"].Body[0] != byte(i) {
			s.Fatalf("shard %d owes %+v", shard, got)
		}
	}
	leases := s.lease(at(0), 10)
	met := map[int]bool{}
	for _, l := range leases {
		met[l.Shard] = true
	}
	if len(leases) != len(shards) || len(met) != len(shards) {
		s.Fatalf("leases %+v, want one of each of the shards %v", leases, shards)
	}
	s.must(store.Change{Shard: shards[0], Settle: []store.Settle{{ID: "same", Try: 1}}})
	if got := owedAll(s, s, shards[1], 1); len(got) != 1 {
		s.Fatal("settled in one shard, gone from another")
	}
}

// doneContext calls everything after its context is done: nothing may happen.
func doneContext(s subject) {
	s.must(store.Change{Owe: []store.Effect{{ID: "e", Due: at(0)}}})
	done, cancel := context.WithCancel(s.Context())
	cancel()
	calls := map[string]error{"Commit": s.Commit(done, store.Change{Put: []store.Put{{Key: "k", Value: []byte("v")}}})}
	_, calls["Get"] = s.Get(done, 0, "k")
	_, calls["Counts"] = s.Counts(done, 0, "k")
	_, _, calls["Scan"] = s.Scan(done, 0, "", "", 1)
	_, _, calls["Owed"] = s.Owed(done, 0, "", 1)
	_, calls["Lease"] = s.Lease(done, at(0), at(time.Minute), 1)
	for name, err := range calls {
		if !errors.Is(err, context.Canceled) {
			s.Errorf("%s: %v, want context.Canceled", name, err)
		}
	}
	s.wantRecord(0, "k", 0, "")
	if l := s.leaseOne(at(0)); l.Try != 1 {
		s.Errorf("a lease on a done context took try 1 away: %+v", l)
	}
}
