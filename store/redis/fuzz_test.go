package redis_test

import (
	"errors"
	"reflect"
	"strconv"
	"testing"
	"time"

	"hashtill/store"
	"hashtill/store/redis"
	"hashtill/store/redis/redistest"
)

// FuzzCommit gives the scripts any arguments at all: keys, values, notes, versions,
// counts and times. Redis must answer as memory does, and keep what memory keeps.
func FuzzCommit(f *testing.F) {
	f.Add("stock/1", "a value", "a note", int64(1), int64(0), int64(1), int64(1_700_000_000_000), byte(7))
	f.Add("}{0}\x00 ' 1", "\r\n$-1\r\n", "\xff[failed 1 of 2]", int64(-1), int64(-1), int64(0), int64(0), byte(0))
	f.Add("-1", "0", "", int64(1)<<53, -int64(1)<<53, int64(1)<<53, int64(-1), byte(255))
	db := open(f, redis.Config{URL: redistest.Start(f, nil).URL()})
	f.Cleanup(func() { _ = db.Close() })
	memory := store.NewMemory()
	runs := 0
	f.Fuzz(func(t *testing.T, key, value, note string, n, least, most, due int64, shard byte) {
		if due > store.MaxCount-time.Minute.Milliseconds() {
			return // no lease lasts beyond the end of time
		}
		runs++
		key = strconv.Itoa(runs) + "/" + key // new each time
		at, ctx, on := time.UnixMilli(due), t.Context(), int(shard)%store.Shards
		alike := func(c store.Change) {
			t.Helper()
			c.Shard = on
			got, want := db.Commit(ctx, c), memory.Commit(ctx, c)
			if !sameError(got, want) {
				t.Fatalf("%+v: Redis says %v, memory %v", c, got, want)
			}
		}
		put := func(version int64) store.Put { return store.Put{Key: key, Version: version, Value: []byte(value)} }
		add := store.Add{Key: key, By: n, Min: least, Max: most}
		owe := store.Effect{ID: key, Kind: note, Due: at, Body: []byte(value)}
		alike(store.Change{Put: []store.Put{put(0)}, Add: []store.Add{add}})
		alike(store.Change{Put: []store.Put{put(n)}})
		alike(store.Change{Check: []store.Check{{Key: key, Version: least}}, Add: []store.Add{add}})
		alike(store.Change{Put: []store.Put{put(1)}, Owe: []store.Effect{owe}})
		alike(store.Change{Owe: []store.Effect{owe}})
		same(t, db, memory, func(s store.Store) ([]store.Lease, error) { return s.Lease(ctx, at, at.Add(time.Minute), 10) })
		alike(store.Change{PutOff: []store.PutOff{{ID: key, Try: n, Due: at, Note: note}}})
		alike(store.Change{PutOff: []store.PutOff{{ID: key, Try: 1, Due: at, Note: note}}})
		same(t, db, memory, func(s store.Store) ([]store.Lease, error) { return s.Lease(ctx, at, at.Add(time.Minute), 10) })
		same(t, db, memory, func(s store.Store) ([]store.Owed, error) { owed, _, err := s.Owed(ctx, on, "", 10); return owed, err })
		alike(store.Change{Settle: []store.Settle{{ID: key, Try: 2}}, Add: []store.Add{add}})
		same(t, db, memory, func(s store.Store) ([]store.Record, error) { return s.Get(ctx, on, key) })
		same(t, db, memory, func(s store.Store) ([]int64, error) { return s.Counts(ctx, on, key) })
		same(t, db, memory, func(s store.Store) ([]store.Record, error) {
			found, _, err := s.Scan(ctx, on, key, "", 10)
			return found, err
		})
		alike(store.Change{Drop: []string{key}})
	})
}

func sameError(a, b error) bool {
	var one, other *store.GuardError
	if errors.As(a, &one) && errors.As(b, &other) {
		return *one == *other
	}
	return (a == nil) == (b == nil) && errors.Is(a, store.ErrInvalid) == errors.Is(b, store.ErrInvalid)
}

// same has both stores asked the same.
func same[T any](t *testing.T, db, memory store.Store, ask func(store.Store) ([]T, error)) {
	t.Helper()
	got, err := ask(db)
	want, wanted := ask(memory)
	if !sameError(err, wanted) || len(got) != len(want) {
		t.Fatalf("Redis: %+v, %v\nmemory: %+v, %v", got, err, want, wanted)
	}
	for i := range got {
		if !reflect.DeepEqual(plain(got[i]), plain(want[i])) {
			t.Fatalf("Redis: %+v\nmemory: %+v", got[i], want[i])
		}
	}
}

// plain is what is kept without how: times to the millisecond, no bytes as none.
func plain(v any) any {
	effect := func(e store.Effect) store.Effect {
		e.Due, e.Body = time.UnixMilli(e.Due.UnixMilli()), append([]byte{}, e.Body...)
		return e
	}
	switch v := v.(type) {
	case store.Lease:
		v.Effect, v.Until = effect(v.Effect), time.UnixMilli(v.Until.UnixMilli())
		return v
	case store.Owed:
		v.Effect = effect(v.Effect)
		return v
	case store.Record:
		v.Value = append([]byte{}, v.Value...)
		return v
	}
	return v
}
