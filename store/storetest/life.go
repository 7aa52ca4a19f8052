package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/store"
)

var lifePromises = map[string]func(subject){
	"Life/agrees with the memory store": func(s subject) { Life(s.T, 1, 300, s, store.NewMemory()) },
	"Close/nothing goes on afterwards":  closed,
	"Close/waits for what is under way": closeUnderWay,
}

// Life plays the same random life of that many steps to two empty stores. They
// must agree at every step: in results, in errors down to the key of the guard
// that failed, and in all that can be read. A seed is a life; the one that
// failed is in the message.
func Life(t *testing.T, seed uint64, steps int, a, b store.Store) {
	t.Helper()
	l := &life{T: t, Rand: rand.New(rand.NewPCG(seed, 0)), a: a, b: b, now: at(0)}
	for step := range steps {
		l.what = ""
		switch n := l.IntN(10); {
		case n < 7:
			l.commit()
		case n < 9:
			l.lease()
		default:
			l.read()
		}
		if l.Failed() {
			t.Fatalf("seed %d, step %d: %s", seed, step, l.what)
		}
		l.now = l.now.Add(time.Duration(l.IntN(2_000_000)) * time.Microsecond)
	}
}

type life struct {
	*testing.T
	*rand.Rand
	a, b   store.Store
	now    time.Time
	leases []store.Lease // the last that were handed out, stale ones among them
	what   string        // this step does
}

// Few names, so that they meet often.
var (
	lifeKeys   = []string{"k", "k:1", "k:2", "k%", "é", "z"}
	lifeIDs    = []string{"e", "e:1", "e:2", "e_", "語", "z"}
	lifeCounts = []string{"n", "n:1", "n:2"}
)

func pick[V any](r *rand.Rand, of []V) V { return of[r.IntN(len(of))] }

func (l *life) shard() int { return pick(l.Rand, shards) }

// version is mostly the right one.
func (l *life) version(shard int, key string) int64 {
	if l.IntN(5) == 0 {
		return l.Int64N(4)
	}
	recs, err := l.a.Get(l.Context(), shard, key)
	if err != nil {
		l.Fatalf("Get: %v", err)
	}
	return recs[0].Version
}

// held is mostly the name and the try of something that was leased.
func (l *life) held(shard int) (id string, try int64) {
	for range 4 {
		if len(l.leases) == 0 {
			break
		}
		if lease := pick(l.Rand, l.leases); lease.Shard == shard {
			return lease.ID, lease.Try
		}
	}
	return pick(l.Rand, lifeIDs), l.Int64N(4)
}

func (l *life) bytes() []byte {
	return fmt.Append(nil, strings.Repeat("v", l.IntN(40)), l.Uint32())
}

// due is around now, off the millisecond.
func (l *life) due() time.Time {
	return l.now.Add(time.Duration(l.Int64N(int64(10*time.Second))) - 3*time.Second)
}

// commit plays a Change of parts at random, invalid ones included.
func (l *life) commit() {
	c := store.Change{Shard: l.shard()}
	for range 1 + l.IntN(4) {
		switch l.IntN(8) {
		case 0:
			key := pick(l.Rand, lifeKeys)
			c.Check = append(c.Check, store.Check{Key: key, Version: l.version(c.Shard, key)})
		case 1, 2:
			key := pick(l.Rand, lifeKeys)
			p := store.Put{Key: key, Version: l.version(c.Shard, key), Value: l.bytes()}
			if p.Version > 0 && l.IntN(4) == 0 {
				p.Value = nil
			}
			c.Put = append(c.Put, p)
		case 3:
			id, try := l.held(c.Shard)
			c.Settle = append(c.Settle, store.Settle{ID: id, Try: try})
		case 4:
			id, try := l.held(c.Shard)
			c.PutOff = append(c.PutOff, store.PutOff{ID: id, Try: try, Due: l.due(), Note: string(l.bytes())})
		case 5:
			c.Owe = append(c.Owe, store.Effect{ID: pick(l.Rand, lifeIDs), Kind: "kind", Due: l.due(), Body: l.bytes()})
		case 6:
			low := l.Int64N(4) - 2
			c.Add = append(c.Add, store.Add{Key: pick(l.Rand, lifeCounts), By: l.Int64N(7) - 3, Min: low, Max: low + l.Int64N(6)})
		case 7:
			c.Drop = append(c.Drop, pick(l.Rand, lifeIDs))
		}
	}
	l.what = fmt.Sprintf("Commit of %+v", c)
	errA, errB := l.a.Commit(l.Context(), c), l.b.Commit(l.Context(), c)
	l.same("error", outcome(errA), outcome(errB))
	l.same("shard", picture(l, l.a, c.Shard), picture(l, l.b, c.Shard))
	if strings.HasPrefix(outcome(errA), "unknown") {
		l.Errorf("Commit: %v", errA)
	}
}

// outcome is what the contract says about an error of Commit.
func outcome(err error) string {
	var guard *store.GuardError
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &guard):
		return fmt.Sprint(guard.Err, guard.Key)
	case errors.Is(err, store.ErrInvalid):
		return "invalid"
	}
	return fmt.Sprintf("unknown: %v", err)
}

// lease takes all that is due from both, in bites: which shard comes first is the
// back-end's own affair, so that only the whole can be compared.
func (l *life) lease() {
	until := l.now.Add(time.Millisecond + time.Duration(l.Int64N(int64(6*time.Second))))
	limit := 1 + l.IntN(6)
	l.what = fmt.Sprintf("Lease at %v until %v by %d", l.now, until, limit)
	a, b := l.leaseAll(l.a, until, limit), l.leaseAll(l.b, until, limit)
	l.same("leases", fmt.Sprint(a), fmt.Sprint(b))
	l.leases = append(l.leases, a...)
	l.leases = l.leases[max(0, len(l.leases)-12):]
	for _, shard := range shards {
		l.same("shard", picture(l, l.a, shard), picture(l, l.b, shard))
	}
}

func (l *life) leaseAll(s store.Store, until time.Time, limit int) []store.Lease {
	var all []store.Lease
	last := map[int]time.Time{}
	for {
		if len(all) > len(shards)*len(lifeIDs) {
			l.Fatalf("%s: more are handed out than can be owed", l.what)
		}
		leases, err := s.Lease(l.Context(), l.now, until, limit)
		if err != nil || len(leases) > limit {
			l.Fatalf("%s: %d leases, %v", l.what, len(leases), err)
		}
		if len(leases) == 0 {
			break
		}
		for _, lease := range leases {
			if lease.Due.Before(last[lease.Shard]) {
				l.Errorf("shard %d: %q is due at %v, after one that is due at %v", lease.Shard, lease.ID, lease.Due, last[lease.Shard])
			}
			last[lease.Shard] = lease.Due
			lease.Due, lease.Until = lease.Due.UTC(), lease.Until.UTC()
			all = append(all, lease)
		}
	}
	slices.SortFunc(all, func(x, y store.Lease) int {
		return cmp.Or(cmp.Compare(x.Shard, y.Shard), cmp.Compare(x.ID, y.ID))
	})
	return all
}

// read asks both for the same keys and prefixes.
func (l *life) read() {
	shard := l.shard()
	keys := make([]string, l.IntN(5))
	for i := range keys {
		keys[i] = pick(l.Rand, lifeKeys)
	}
	prefix, limit := pick(l.Rand, []string{"", "k", "k:", "k%", "é", "none"}), 1+l.IntN(4)
	l.what = fmt.Sprintf("read of shard %d, %q, prefix %q by %d", shard, keys, prefix, limit)
	var seen [2]string
	for i, s := range []store.Store{l.a, l.b} {
		recs, err := s.Get(l.Context(), shard, keys...)
		if err != nil {
			l.Fatalf("Get: %v", err)
		}
		seen[i] = fmt.Sprintf("%v %v %v %v", recs, scanAll(l, s, shard, prefix, limit), countsAll(l, s, shard, "n:", limit), len(owedAll(l, s, shard, limit)))
	}
	l.same("read", seen[0], seen[1])
}

func (l *life) same(what, a, b string) {
	if a != b {
		l.Errorf("they disagree on the %s.\none:\n%s\nother:\n%s", what, a, b)
	}
}

// closed calls everything on a closed store.
func closed(s subject) {
	s.must(store.Change{Put: []store.Put{{Key: "k", Value: []byte("v")}}})
	if err := s.Close(); err != nil {
		s.Fatalf("Close: %v", err)
	}
	calls := map[string]error{"Commit": s.Commit(s.Context(), store.Change{Check: []store.Check{{Key: "x"}}})}
	_, calls["Get"] = s.Get(s.Context(), 0, "k")
	_, calls["Counts"] = s.Counts(s.Context(), 0, "k")
	_, _, calls["Scan"] = s.Scan(s.Context(), 0, "", "", 1)
	_, _, calls["ScanCounts"] = s.ScanCounts(s.Context(), 0, "", "", 1)
	calls["Load"] = s.Load(s.Context(), 0, store.Rows{Counts: []store.Count{{Key: "n", N: 1}}})
	_, _, calls["Owed"] = s.Owed(s.Context(), 0, "", 1)
	_, calls["Lease"] = s.Lease(s.Context(), at(0), at(time.Minute), 1)
	calls["Close"] = s.Close()
	for name, err := range calls {
		if !errors.Is(err, store.ErrClosed) {
			s.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
}

// closeUnderWay closes while others commit: each is answered, by success or by
// ErrClosed, and nothing panics or hangs.
func closeUnderWay(s subject) {
	together(17, func(i int) {
		if i == 0 {
			if err := s.Close(); err != nil {
				s.Errorf("Close: %v", err)
			}
			return
		}
		for n := range 1000 {
			err := s.Commit(s.Context(), store.Change{Put: []store.Put{{Key: fmt.Sprint(i, ":", n), Value: []byte("v")}}})
			if errors.Is(err, store.ErrClosed) {
				return
			}
			if err != nil {
				s.Errorf("Commit while closing: %v", err)
				return
			}
		}
	})
}
