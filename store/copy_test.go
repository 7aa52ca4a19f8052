package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/store"
	"hashtill/store/sqlite"
)

var copyTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func commit(t *testing.T, s store.Store, c store.Change) {
	t.Helper()
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func openSQLite(t *testing.T) store.Store {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "hashtill.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(db.Check(context.Background()), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return db
}

// copySource holds something of every kind in every shard but three, and many rows
// in shard 9.
func copySource(t *testing.T) *store.Memory {
	t.Helper()
	s := store.NewMemory()
	for shard := 3; shard < store.Shards; shard++ {
		commit(t, s, store.Change{
			Shard: shard,
			Put:   []store.Put{{Key: "one", Value: []byte("1")}, {Key: "語", Value: []byte{}}},
			Add:   []store.Add{{Key: "one", By: int64(shard), Max: 1 << 50}, {Key: "below", By: -7, Min: -7}, {Key: "most", By: store.MaxCount, Max: store.MaxCount}},
			Owe: []store.Effect{
				{ID: "later", Kind: "mail", Due: copyTime.Add(time.Hour), Body: []byte("body")},
				{ID: "leased", Kind: "reply", Due: copyTime}, {ID: "put off", Due: copyTime},
			},
		})
		commit(t, s, store.Change{Shard: shard, Put: []store.Put{{Key: "one", Version: 1, Value: []byte("2")}}})
	}
	leases, err := s.Lease(t.Context(), copyTime, copyTime.Add(time.Minute), 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases {
		if l.ID == "put off" {
			off := store.PutOff{ID: l.ID, Try: l.Try, Due: copyTime.Add(90 * time.Minute), Note: "busy"}
			commit(t, s, store.Change{Shard: l.Shard, PutOff: []store.PutOff{off}})
		}
	}
	for i := range 5 * store.MaxParts {
		commit(t, s, store.Change{Shard: 9, Put: []store.Put{{Key: fmt.Sprint("many:", i), Value: fmt.Append(nil, i)}}})
	}
	return s
}

// largeValues adds twenty of them, in shard 10.
func largeValues(t *testing.T, s store.Store) {
	t.Helper()
	for i := range 20 {
		commit(t, s, store.Change{Shard: 10, Put: []store.Put{{Key: fmt.Sprint("large:", i), Value: bytes.Repeat([]byte{byte(i)}, store.MaxValue)}}})
	}
}

// everything is all that can be read of a store, in one order.
func everything(t *testing.T, s store.Store) string {
	t.Helper()
	var lines []string
	for shard := range store.Shards {
		recs, next, err := s.Scan(t.Context(), shard, "", "", 1<<30)
		if err != nil || next != "" {
			t.Fatalf("Scan: %q, %v", next, err)
		}
		for _, r := range recs {
			lines = append(lines, fmt.Sprintf("%d record %q %d %q", shard, r.Key, r.Version, r.Value))
		}
		counts, next, err := s.ScanCounts(t.Context(), shard, "", "", 1<<30)
		if err != nil || next != "" {
			t.Fatalf("ScanCounts: %q, %v", next, err)
		}
		for _, c := range counts {
			lines = append(lines, fmt.Sprintf("%d count %q %d", shard, c.Key, c.N))
		}
		owed, next, err := s.Owed(t.Context(), shard, "", 1<<30)
		if err != nil || next != "" {
			t.Fatalf("Owed: %q, %v", next, err)
		}
		for _, o := range owed {
			lines = append(lines, fmt.Sprintf("%d effect %q %q due %d try %d note %q body %q", shard, o.ID, o.Kind, o.Due.UnixMilli(), o.Try, o.Note, o.Body))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// same fails if two stores differ, without printing all of them.
func same(t *testing.T, a, b store.Store) {
	t.Helper()
	one, other := strings.Split(everything(t, a), "\n"), strings.Split(everything(t, b), "\n")
	for i := range min(len(one), len(other)) {
		if one[i] != other[i] {
			t.Fatalf("they differ:\n%.200s\n%.200s", one[i], other[i])
		}
	}
	if len(one) != len(other) {
		t.Fatalf("%d rows, and %d", len(one), len(other))
	}
}

// A watched store counts what is written to it, can refuse it, and hands out every
// page twice over, as a back-end may.
type watched struct {
	store.Store
	t      *testing.T
	writes int               // Loads and Commits so far
	loads  map[int]int       // of each shard
	fail   func(n int) error // what becomes of the n-th write
	after  bool              // it fails when it has happened
	twice  bool
}

func watch(t *testing.T, s store.Store) *watched {
	return &watched{Store: s, t: t, loads: map[int]int{}, fail: func(int) error { return nil }}
}

func (w *watched) write(do func() error) error {
	err := w.fail(w.writes)
	w.writes++
	if err != nil && !w.after {
		return err
	}
	return errors.Join(do(), err)
}

func (w *watched) Load(ctx context.Context, shard int, rows store.Rows) error {
	w.loads[shard]++
	size := 0
	for _, r := range rows.Records {
		size += len(r.Key) + len(r.Value)
	}
	if size > 1<<20 {
		w.t.Errorf("a Load of %d bytes", size)
	}
	return w.write(func() error { return w.Store.Load(ctx, shard, rows) })
}

func (w *watched) Commit(ctx context.Context, c store.Change) error {
	return w.write(func() error { return w.Store.Commit(ctx, c) })
}

func (w *watched) Scan(ctx context.Context, shard int, prefix, cursor string, limit int) ([]store.Record, string, error) {
	recs, next, err := w.Store.Scan(ctx, shard, prefix, cursor, limit)
	if w.twice {
		recs = append(recs, recs...)
	}
	return recs, next, err
}

var errBroken = errors.New("broken off")

func TestCopy(t *testing.T) {
	source := copySource(t)
	largeValues(t, source)
	from := watch(t, source)
	from.twice = true
	from.fail = func(int) error { t.Error("the source is written to"); return nil }
	through, back := openSQLite(t), watch(t, store.NewMemory())

	var last store.CopyProgress
	calls := 0
	monotonic := func(p store.CopyProgress) {
		if p.Copied < last.Copied || p.Verified < last.Verified || p.Rows < last.Rows || p.Bytes < last.Bytes ||
			p.Copied > store.Shards || p.Verified > 0 && p.Copied < store.Shards {
			t.Errorf("progress goes from %+v to %+v", last, p)
		}
		last = p
		calls++
	}
	report, err := store.Copy(t.Context(), "source", from, through, monotonic)
	if err != nil {
		t.Fatal(err)
	}
	if last.Copied != store.Shards || last.Verified != store.Shards || calls < 2*store.Shards {
		t.Errorf("progress ends at %+v, after %d calls", last, calls)
	}
	const shards = store.Shards - 3
	want := store.CopyReport{Records: 2*shards + 5*store.MaxParts + 20, Counts: 3 * shards, Effects: 3 * shards}
	want.Bytes = report.Bytes
	if report != want || report.Bytes < 20*store.MaxValue || report.Bytes > 20*store.MaxValue+40_000 {
		t.Errorf("report %+v, want %+v", report, want)
	}
	again, err := store.Copy(t.Context(), "source", through, back, nil)
	if err != nil || again != report {
		t.Errorf("report %+v, %v; want %+v", again, err, report)
	}
	same(t, source, through)
	same(t, source, back)
	if err := store.Unfinished(t.Context(), back); err != nil {
		t.Error(err)
	}
	if back.loads[0] != 0 || back.loads[3] != 1 || back.loads[9] < 5 || back.loads[10] < 3 {
		t.Errorf("Loads of the shards: %v", back.loads)
	}
	// What was leased in the source is handed out again when that lease ends.
	settle := store.Change{Shard: 3, Settle: []store.Settle{{ID: "leased", Try: 1}}}
	if err := back.Commit(t.Context(), settle); !errors.Is(err, store.ErrStale) {
		t.Errorf("a lease of the source settles in the target: %v", err)
	}
	leases, err := back.Lease(t.Context(), copyTime.Add(time.Minute), copyTime.Add(time.Hour), 1000)
	if err != nil || len(leases) != shards || leases[0].ID != "leased" || leases[0].Try != 2 {
		t.Errorf("%d leases, %v", len(leases), err)
	}
}

// TestCopyBrokenOff breaks a copy off at each of its writes, before and after it
// has happened, and goes on.
func TestCopyBrokenOff(t *testing.T) {
	source := copySource(t)
	whole := watch(t, store.NewMemory())
	if _, err := store.Copy(t.Context(), "source", source, whole, nil); err != nil {
		t.Fatal(err)
	}
	loads := func(w *watched) (sum int) {
		for n := range maps.Values(w.loads) {
			sum += n
		}
		return sum
	}
	for n := range whole.writes {
		for _, after := range []bool{false, true} {
			target := store.NewMemory()
			first, second := watch(t, target), watch(t, target)
			first.after = after
			first.fail = func(at int) error {
				if at == n {
					return errBroken
				}
				return nil
			}
			_, err := store.Copy(t.Context(), "source", source, first, nil)
			switch {
			case err == nil:
				// Whether a mark has been written can be found out.
				if !after || loads(first) != loads(whole) {
					t.Fatalf("write %d was refused and the copy ended well", n)
				}
				same(t, source, target)
				continue
			case !errors.Is(err, errBroken):
				t.Fatalf("write %d: %v", n, err)
			}
			unfinished := store.Unfinished(t.Context(), target)
			if n > 0 && (unfinished == nil || !strings.Contains(unfinished.Error(), "not finished")) {
				t.Fatalf("broken off at write %d: %v", n, unfinished)
			}
			if _, err := store.Copy(t.Context(), "source", source, second, nil); err != nil {
				t.Fatalf("going on from write %d: %v", n, err)
			}
			same(t, source, target)
			if more := loads(first) + loads(second) - loads(whole); more > 7 { // those of one shard
				t.Errorf("broken off at write %d: %d Loads more than in one go", n, more)
			}
		}
	}
}

func TestCopyCanceled(t *testing.T) {
	source, target := copySource(t), openSQLite(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := store.Copy(ctx, "source", source, target, func(p store.CopyProgress) {
		if p.Copied == 20 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Copy: %v, want context.Canceled", err)
	}
	first := -1
	if _, err := store.Copy(t.Context(), "source", source, target, func(p store.CopyProgress) {
		if first < 0 {
			first = p.Copied
		}
	}); err != nil || first != 20 {
		t.Fatalf("it goes on from shard %d, %v", first, err)
	}
	same(t, source, target)
}

// TestCopyChanged changes the source after the shard has been copied.
func TestCopyChanged(t *testing.T) {
	const shard = 5
	for name, c := range map[string]struct {
		store.Change
		says string
	}{
		"record":  {store.Change{Put: []store.Put{{Key: "one", Version: 2, Value: []byte("2")}}}, `record "one" is not the same`},
		"new":     {store.Change{Put: []store.Put{{Key: "new", Value: []byte("2")}}}, `record "new" is in the source alone`},
		"removed": {store.Change{Put: []store.Put{{Key: "one", Version: 2}}}, `record "one" is in the target alone`},
		"count":   {store.Change{Add: []store.Add{{Key: "one", By: 1, Max: 1000}}}, `count "one" is not the same`},
		"zero":    {store.Change{Add: []store.Add{{Key: "below", By: 7}}}, `count "below" is in the target alone`},
		"put off": {store.Change{PutOff: []store.PutOff{{ID: "leased", Try: 1, Due: copyTime.Add(time.Minute), Note: "n"}}}, `effect "leased" is not the same`},
		"due":     {store.Change{PutOff: []store.PutOff{{ID: "leased", Try: 1, Due: copyTime}}}, `effect "leased" is not the same`},
		"settled": {store.Change{Settle: []store.Settle{{ID: "leased", Try: 1}}}, `effect "leased" is in the target alone`},
		"owed":    {store.Change{Owe: []store.Effect{{ID: "new"}}}, `effect "new" is in the source alone`},
	} {
		source, target := copySource(t), store.NewMemory()
		c.Shard = shard
		changed := false
		_, err := store.Copy(t.Context(), "source", source, target, func(p store.CopyProgress) {
			if p.Copied > shard && !changed {
				commit(t, source, c.Change)
				changed = true
			}
		})
		for _, says := range []string{c.says, "shard 5", "begin anew"} {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v, want %q", name, err, says)
			}
		}
		if store.Unfinished(t.Context(), target) == nil {
			t.Errorf("%s: nothing tells that the copy is not finished", name)
		}
		if _, err := store.Copy(t.Context(), "source", source, target, nil); err == nil {
			t.Errorf("%s: at the second call all is well", name)
		}
	}
}

// Of many differences the first few are named.
func TestCopyOtherSource(t *testing.T) {
	source, target := copySource(t), watch(t, store.NewMemory())
	target.fail = func(int) error {
		if target.loads[10] > 0 {
			return errBroken
		}
		return nil
	}
	if _, err := store.Copy(t.Context(), "source", source, target, nil); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	target.fail = func(int) error { return nil }
	before := maps.Clone(target.loads)
	if _, err := store.Copy(t.Context(), "another", store.NewMemory(), target, nil); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "another store") {
		t.Errorf("another source: %v", err)
	}
	if !maps.Equal(before, target.loads) {
		t.Error("another source was copied")
	}
	// One that only has the same name is found out by comparing.
	_, err := store.Copy(t.Context(), "source", store.NewMemory(), target, nil)
	if err == nil || !strings.Contains(err.Error(), `count "below" is in the target alone`) ||
		!strings.Contains(err.Error(), "and 3 more") || strings.Count(err.Error(), "alone") != 5 {
		t.Errorf("Copy: %v", err)
	}
}

func TestCopyRefuses(t *testing.T) {
	source := copySource(t)
	const last = store.Shards - 1
	for says, c := range map[string]store.Change{
		`record "k"`: {Put: []store.Put{{Key: "k", Value: []byte("v")}}},
		`count "n"`:  {Shard: last, Add: []store.Add{{Key: "n", By: 1, Max: 1}}},
		`effect "e"`: {Shard: last, Owe: []store.Effect{{ID: "e"}}},
	} {
		target := store.NewMemory()
		commit(t, target, c)
		before := everything(t, target)
		_, err := store.Copy(t.Context(), "source", source, target, nil)
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "empty it") {
			t.Errorf("a target that holds %s: %v", says, err)
		}
		if everything(t, target) != before {
			t.Errorf("a target that holds %s has been written to", says)
		}
	}

	// A source that is half a copy itself.
	half := watch(t, store.NewMemory())
	half.fail = func(n int) error {
		if n == 7 {
			return errBroken
		}
		return nil
	}
	if _, err := store.Copy(t.Context(), "source", source, half, nil); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	target := store.NewMemory()
	if _, err := store.Copy(t.Context(), "source", half, target, nil); err == nil || !strings.Contains(err.Error(), "the source: ") {
		t.Errorf("half a copy is copied: %v", err)
	}
	if everything(t, target) != "" {
		t.Error("the target of half a copy has been written to")
	}

	// Two at once: the one that is overtaken ends.
	begun := false
	_, err := store.Copy(t.Context(), "source", source, target, func(p store.CopyProgress) {
		if p.Copied == 20 && !begun {
			begun = true
			if _, err := store.Copy(t.Context(), "source", source, target, nil); err != nil {
				t.Error(err)
			}
		}
	})
	if err == nil || !strings.Contains(err.Error(), "another copy") {
		t.Errorf("a copy that was overtaken: %v", err)
	}
	if err := store.Unfinished(t.Context(), target); err != nil {
		t.Error(err)
	}
	same(t, source, target)
}
