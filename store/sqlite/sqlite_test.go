package sqlite_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hashtill/store"
	"hashtill/store/sqlite"
	"hashtill/store/storetest"
)

func open(t testing.TB, path string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func openNew(t *testing.T) store.Store {
	return open(t, filepath.Join(t.TempDir(), "hashtill.db"))
}

func TestDescribe(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "hashtill.db"))
	if got, err := db.Describe(t.Context()); err != nil || !strings.HasPrefix(got, "SQLite 3.") {
		t.Errorf("%q, %v", got, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Describe(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestStore(t *testing.T) { storetest.Run(t, openNew) }

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hashtill.db")
	storetest.Reopen(t, func(t *testing.T) store.Store { return open(t, path) })
}

func TestLife(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := openNew(t)
			defer s.Close()
			storetest.Life(t, seed, 400, s, store.NewMemory())
		})
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, committers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprint(committers), func(b *testing.B) {
			db := open(b, filepath.Join(b.TempDir(), "hashtill.db"))
			defer db.Close()
			storetest.BenchCommit(b, db, committers)
		})
	}
}

func BenchmarkOutbox(b *testing.B) {
	db := open(b, filepath.Join(b.TempDir(), "hashtill.db"))
	defer db.Close()
	storetest.BenchOutbox(b, db, 64)
}

// BenchmarkIdle is the price of asking when nothing is due, with many owed later.
func BenchmarkIdle(b *testing.B) {
	db := open(b, filepath.Join(b.TempDir(), "hashtill.db"))
	defer db.Close()
	now := time.Now()
	for i := range 1000 {
		c := store.Change{Shard: i % store.Shards, Owe: []store.Effect{{ID: fmt.Sprint(i), Due: now.Add(time.Hour)}}}
		if err := db.Commit(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if leases, err := db.Lease(b.Context(), now, now.Add(time.Minute), 64); err != nil || len(leases) != 0 {
			b.Fatal(leases, err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	for _, keys := range [][]string{{"k"}, {"k", "l", "m", "n"}} {
		b.Run(fmt.Sprint(len(keys)), func(b *testing.B) {
			db := open(b, filepath.Join(b.TempDir(), "hashtill.db"))
			defer db.Close()
			if err := db.Commit(b.Context(), store.Change{Put: []store.Put{{Key: "k", Value: make([]byte, 300)}}}); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := db.Get(b.Context(), 0, keys...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
