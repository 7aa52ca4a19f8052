// Package storetest holds every back-end of package store to the same promises.
//
//   - [Run] checks them one by one, as named subtests.
//   - [Life] plays a seeded random life to two stores, which must agree at every
//     step: a back-end is compared with [store.Memory].
//   - [Reopen] checks what must survive closing and opening again.
//   - [BenchCommit] and [BenchOutbox] measure.
//
// A back-end's tests call all of them. The suite uses nothing but the methods of
// [store.Store] and asks for no order that the contract leaves open.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/store"
)

// Run holds a back-end to every promise of the contract. open returns an empty
// store, a fresh one for each subtest, which Run closes.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, group := range []map[string]func(subject){
		changePromises, recordPromises, countPromises, effectPromises, crowdPromises, loadPromises, lifePromises,
	} {
		for _, name := range slices.Sorted(maps.Keys(group)) {
			t.Run(name, func(t *testing.T) {
				s := open(t)
				t.Cleanup(func() {
					if err := s.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
						t.Errorf("Close: %v", err)
					}
				})
				group[name](subject{t, s})
			})
		}
	}
}

// Shards that the suite uses: the ends and one between.
var shards = []int{0, 17, store.Shards - 1}

// at is a moment of the suite's own time.
func at(d time.Duration) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(d)
}

// A subject is a store under test, with calls that must succeed.
type subject struct {
	*testing.T
	store.Store
}

// must commits a Change that has to succeed.
func (s subject) must(c store.Change) {
	s.Helper()
	if err := s.Commit(s.Context(), c); err != nil {
		s.Fatalf("Commit: %v\nof %+v", err, c)
	}
}

// refused commits a Change that has to fail at the guard of the key.
func (s subject) refused(c store.Change, want error, key string) {
	s.Helper()
	err := s.Commit(s.Context(), c)
	var guard *store.GuardError
	if !errors.Is(err, want) || !errors.As(err, &guard) || guard.Key != key {
		s.Fatalf("Commit: %v, want %v of %q", err, want, key)
	}
}

// record reads one record.
func (s subject) record(shard int, key string) store.Record {
	s.Helper()
	recs, err := s.Get(s.Context(), shard, key)
	if err != nil || len(recs) != 1 || recs[0].Key != key {
		s.Fatalf("Get %q: %+v, %v", key, recs, err)
	}
	return recs[0]
}

// wantRecord checks version and value; version 0 is no record.
func (s subject) wantRecord(shard int, key string, version int64, value string) {
	s.Helper()
	got := s.record(shard, key)
	if got.Version != version || string(got.Value) != value || (version == 0) != (got.Value == nil) {
		s.Fatalf("record %q is %+v, want version %d, %q", key, got, version, value)
	}
}

// wantCount checks one count.
func (s subject) wantCount(shard int, key string, want int64) {
	s.Helper()
	got, err := s.Counts(s.Context(), shard, key)
	if err != nil || len(got) != 1 || got[0] != want {
		s.Fatalf("count %q is %v, %v, want %d", key, got, err, want)
	}
}

// lease takes up to limit effects that are due at now, for a minute.
func (s subject) lease(now time.Time, limit int) []store.Lease {
	s.Helper()
	leases, err := s.Lease(s.Context(), now, now.Add(time.Minute), limit)
	if err != nil {
		s.Fatalf("Lease: %v", err)
	}
	if len(leases) > limit {
		s.Fatalf("Lease of %d handed out %d", limit, len(leases))
	}
	return leases
}

// leaseOne takes the only effect that is due at now.
func (s subject) leaseOne(now time.Time) store.Lease {
	s.Helper()
	leases := s.lease(now, 10)
	if len(leases) != 1 {
		s.Fatalf("%d effects are due, want 1: %+v", len(leases), leases)
	}
	return leases[0]
}

// wantNoneDue checks that nothing is handed out.
func (s subject) wantNoneDue(now time.Time) {
	s.Helper()
	if leases := s.lease(now, 10); len(leases) != 0 {
		s.Fatalf("handed out, and should not be: %+v", leases)
	}
}

// scanAll reads all records with a prefix, page by page, by key.
func scanAll(t testing.TB, s store.Store, shard int, prefix string, limit int) map[string]store.Record {
	t.Helper()
	return pages(t, func(ctx context.Context, cursor string) (map[string]store.Record, string, error) {
		recs, next, err := s.Scan(ctx, shard, prefix, cursor, limit)
		page := map[string]store.Record{}
		for _, r := range recs {
			if !strings.HasPrefix(r.Key, prefix) || r.Version < 1 || r.Value == nil {
				t.Fatalf("Scan of %q met %+v", prefix, r)
			}
			page[r.Key] = r
		}
		if len(recs) > max(limit, 1) {
			t.Fatalf("Scan: a page of %d, limit %d", len(recs), limit)
		}
		return page, next, err
	})
}

// owedAll reads all effects of a shard, page by page, by id.
func owedAll(t testing.TB, s store.Store, shard, limit int) map[string]store.Owed {
	t.Helper()
	return pages(t, func(ctx context.Context, cursor string) (map[string]store.Owed, string, error) {
		owed, next, err := s.Owed(ctx, shard, cursor, limit)
		page := map[string]store.Owed{}
		for _, o := range owed {
			if o.Shard != shard {
				t.Fatalf("Owed of shard %d met %+v", shard, o)
			}
			page[o.ID] = o
		}
		if len(owed) > max(limit, 1) {
			t.Fatalf("Owed: a page of %d, limit %d", len(owed), limit)
		}
		return page, next, err
	})
}

// pages goes from cursor to cursor until there is none. What is met twice counts
// once, as the contract allows it.
func pages[V any](t testing.TB, page func(ctx context.Context, cursor string) (map[string]V, string, error)) map[string]V {
	t.Helper()
	all := map[string]V{}
	cursor := ""
	for range 100_000 {
		got, next, err := page(t.Context(), cursor)
		if err != nil {
			t.Fatalf("page after %q: %v", cursor, err)
		}
		maps.Copy(all, got)
		if next == "" {
			return all
		}
		cursor = next
	}
	t.Fatal("the pages never end")
	return nil
}

// countsAll reads all counts with a prefix, page by page, by key.
func countsAll(t testing.TB, s store.Store, shard int, prefix string, limit int) map[string]int64 {
	t.Helper()
	return pages(t, func(ctx context.Context, cursor string) (map[string]int64, string, error) {
		counts, next, err := s.ScanCounts(ctx, shard, prefix, cursor, limit)
		page := map[string]int64{}
		for _, c := range counts {
			if !strings.HasPrefix(c.Key, prefix) || c.N == 0 {
				t.Fatalf("ScanCounts of %q met %+v", prefix, c)
			}
			page[c.Key] = c.N
		}
		if len(counts) > max(limit, 1) {
			t.Fatalf("ScanCounts: a page of %d, limit %d", len(counts), limit)
		}
		return page, next, err
	})
}

// picture is all that can be read of a shard, in one order, for comparison.
func picture(t testing.TB, s store.Store, shard int) string {
	t.Helper()
	var b strings.Builder
	recs := scanAll(t, s, shard, "", 50)
	for _, key := range slices.Sorted(maps.Keys(recs)) {
		fmt.Fprintf(&b, "record %q %d %q\n", key, recs[key].Version, recs[key].Value)
	}
	owed := owedAll(t, s, shard, 50)
	for _, id := range slices.Sorted(maps.Keys(owed)) {
		o := owed[id]
		fmt.Fprintf(&b, "effect %q %q due %d try %d note %q body %q\n", id, o.Kind, o.Due.UnixMilli(), o.Try, o.Note, o.Body)
	}
	counts := countsAll(t, s, shard, "", 50)
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&b, "count %q %d\n", key, counts[key])
	}
	return b.String()
}
