package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hashtill/store"
	"hashtill/store/storetest"
)

func openNew(t *testing.T) *DB {
	t.Helper()
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "hashtill.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Error(err)
		}
	})
	return db
}

func put(key string) store.Change {
	return store.Change{Put: []store.Put{{Key: key, Value: []byte("v")}}}
}

func has(t *testing.T, db *DB, key string) bool {
	t.Helper()
	recs, err := db.Get(t.Context(), 0, key)
	if err != nil {
		t.Fatal(err)
	}
	return recs[0].Version > 0
}

// hold keeps the writer busy with one job until release is called, which returns
// what that job was told.
func hold(db *DB) (release func() error) {
	begun, end, told := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		told <- db.writer.call(context.Background(), 1, func(*writer) error {
			close(begun)
			<-end
			return nil
		})
	}()
	<-begun
	return func() error {
		close(end)
		return <-told
	}
}

// queued waits until that many jobs wait for the writer.
func queued(t *testing.T, db *DB, jobs int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); len(db.writer.jobs) < jobs; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d jobs are waiting, want %d", len(db.writer.jobs), jobs)
		}
	}
}

// A call that the writer has not taken up ends with its context, and never
// happens.
func TestWithdrawn(t *testing.T) {
	db := openNew(t)
	release := hold(db)
	ctx, cancel := context.WithCancel(t.Context())
	answers := make(chan error)
	for i := range 3 {
		go func() { answers <- db.Commit(ctx, put(fmt.Sprint("withdrawn", i))) }()
	}
	stays := make(chan error)
	go func() { stays <- db.Commit(t.Context(), put("stays")) }()
	queued(t, db, 4)
	cancel()
	for range 3 {
		if err := <-answers; !errors.Is(err, context.Canceled) {
			t.Errorf("Commit: %v, want context.Canceled", err)
		}
	}
	if err := errors.Join(release(), <-stays); err != nil {
		t.Errorf("Commit: %v", err)
	}
	if !has(t, db, "stays") || has(t, db, "withdrawn0") || has(t, db, "withdrawn1") || has(t, db, "withdrawn2") {
		t.Error("what was withdrawn has happened, or what was not has not")
	}
}

// The queue is bounded: a caller beyond it waits with its own context.
func TestQueueBounded(t *testing.T) {
	db := openNew(t)
	release := hold(db)
	var waiting sync.WaitGroup
	for i := range maxBatch {
		waiting.Go(func() {
			if err := db.Commit(t.Context(), put(fmt.Sprint(i))); err != nil {
				t.Errorf("Commit: %v", err)
			}
		})
	}
	queued(t, db, maxBatch)
	if n := cap(db.writer.jobs); n > maxBatch {
		t.Errorf("%d callers may wait, want %d", n, maxBatch)
	}
	ctx, cancel := context.WithCancel(t.Context())
	outside := make(chan error)
	go func() { outside <- db.Commit(ctx, put("outside")) }()
	cancel()
	if err := <-outside; !errors.Is(err, context.Canceled) {
		t.Errorf("Commit: %v, want context.Canceled", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	waiting.Wait()
	if recs, _, err := db.Scan(t.Context(), 0, "", "", 2*maxBatch); err != nil || len(recs) != maxBatch {
		t.Errorf("%d records, %v; want %d", len(recs), err, maxBatch)
	}
}

// When the database refuses, all of the batch is told and nothing of it is there;
// when it accepts again, so does the store.
func TestDatabaseFull(t *testing.T) {
	db := openNew(t)
	if err := db.Commit(t.Context(), put("before")); err != nil {
		t.Fatal(err)
	}
	limit := func(pages int) {
		t.Helper()
		err := db.writer.call(t.Context(), 1, func(w *writer) error {
			return w.exec(fmt.Sprintf("PRAGMA max_page_count=%d", pages))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	limit(20)
	release := hold(db)
	const callers = 8
	answers := make(chan error)
	for i := range callers {
		go func() {
			c := put(fmt.Sprint("large", i))
			c.Put[0].Value = make([]byte, store.MaxValue)
			answers <- db.Commit(t.Context(), c)
		}()
	}
	queued(t, db, callers)
	full := func(err error) {
		t.Helper()
		if code(err) != 13 || !strings.HasPrefix(err.Error(), "sqlite: ") { // SQLITE_FULL
			t.Errorf("told %v, want that the database is full", err)
		}
	}
	full(release()) // it is in the same batch
	for range callers {
		full(<-answers)
	}
	limit(1 << 20)
	if err := db.Commit(t.Context(), put("after")); err != nil {
		t.Fatal(err)
	}
	recs, _, err := db.Scan(t.Context(), 0, "", "", 100)
	if err != nil || len(recs) != 2 || recs[0].Key != "after" || recs[1].Key != "before" {
		t.Fatalf("records %v, %v", recs, err)
	}
}

// An older schema is brought forward, once, with what is in it; what fails leaves
// the file at the version it had.
func TestMigrate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hashtill.db")
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Commit(t.Context(), put("k")); err != nil {
		t.Fatal(err)
	}
	// As version 1 may have left it.
	err = db.writer.call(t.Context(), 1, func(w *writer) error {
		return w.exec("DROP TABLE record; DROP TABLE count; DROP TABLE effect;" + schema + `
			PRAGMA user_version=1;
			INSERT INTO record VALUES (0, 'k', 1, x'76');
			INSERT INTO count VALUES (0, 'zero', 0), (0, 'one', 1);
			INSERT INTO effect VALUES (3, 'e', 'mail', 1000, 2, 0, 'later', x'62')`)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	pool := connect(path, 1)
	defer pool.Close()
	conn, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	view := []View{{Name: "v"}} // which would be in the way of the last step
	if err := prepare(t.Context(), conn, migrations, view); err != nil {
		t.Fatal(err)
	}
	var counts string
	if err := conn.QueryRowContext(t.Context(), "SELECT group_concat(key) FROM count").Scan(&counts); err != nil || counts != "one" {
		t.Fatalf("counts after version 1: %s, %v", counts, err)
	}
	var effect string
	if err := conn.QueryRowContext(t.Context(), "SELECT concat_ws(' ', shard, id, kind, due, try, leased, note, body) FROM effect").Scan(&effect); err != nil || effect != "3 e mail 1000 2 0 later b" {
		t.Fatalf("effects after version 1: %s, %v", effect, err)
	}
	now := len(migrations)
	broken := append(migrations[:now:now], "CREATE TABLE next (x); CREATE TABLE record (x)")
	if err := prepare(t.Context(), conn, broken, view); err == nil || !strings.Contains(err.Error(), fmt.Sprint("schema version ", now+1)) {
		t.Fatalf("a step that fails: %v", err)
	}
	if v, err := version(t.Context(), conn, now); v != now || err != nil {
		t.Fatalf("after a step that failed: version %d, %v", v, err)
	}
	good := append(migrations[:now:now],
		"CREATE TABLE next (x)", "ALTER TABLE next ADD COLUMN y; INSERT INTO next SELECT version, key FROM record",
		"CREATE TABLE other AS SELECT * FROM record; DROP TABLE record; ALTER TABLE other RENAME TO record")
	for range 2 {
		if err := prepare(t.Context(), conn, good, view); err != nil {
			t.Fatal(err)
		}
	}
	var x int
	var y string
	if err := conn.QueryRowContext(t.Context(), "SELECT x, y FROM next, v WHERE key = y").Scan(&x, &y); err != nil || x != 1 || y != "k" {
		t.Fatalf("brought forward: %d, %q, %v", x, y, err)
	}
	if _, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "newer Hashtill") {
		t.Fatalf("an older Hashtill opens a newer file: %v", err)
	}
}

// The settings that durability and speed rest on are really in force.
func TestSettings(t *testing.T) {
	db := openNew(t)
	want := map[string]string{
		"journal_mode": "wal", "synchronous": "2", "wal_autocheckpoint": "16000", "busy_timeout": "10000",
		"user_version": "3", "application_id": "1215588716", "temp_store": "2",
	}
	for name, value := range want {
		var got string
		err := db.writer.call(t.Context(), 1, func(w *writer) error {
			return w.raw.each(func(row []driver.Value) error {
				got = fmt.Sprint(row[0])
				return nil
			}, "PRAGMA "+name)
		})
		if err != nil || got != value {
			t.Errorf("%s is %s, %v; want %s", name, got, err, value)
		}
	}
	if _, err := db.read.ExecContext(t.Context(), "DELETE FROM record"); err == nil {
		t.Error("a reader's connection can write")
	}
}

// Every statement finds its rows by a key, in their order: none reads a whole
// table or sorts.
func TestPlans(t *testing.T) {
	db := openNew(t)
	storetest.Life(t, 1, 100, db, store.NewMemory()) // so that each has been prepared
	if err := db.Load(t.Context(), 0, store.Rows{
		Records: []store.Record{{Key: "k", Version: 1, Value: []byte("v")}},
		Counts:  []store.Count{{Key: "n", N: 1}, {Key: "none"}},
		Effects: []store.Owed{{Effect: store.Effect{ID: "e"}}},
	}); err != nil {
		t.Fatal(err)
	}
	queries := slices.Collect(maps.Keys(db.queries.kept))
	err := db.writer.call(t.Context(), 1, func(w *writer) error {
		queries = append(queries, slices.Collect(maps.Keys(w.raw.kept))...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	queries = append(queries, getRecord, getCount)
	plans := 0
	for _, query := range queries {
		if verb, _, _ := strings.Cut(query, " "); verb == "SELECT" || verb == "UPDATE" || verb == "DELETE" || verb == "INSERT" {
			plan := explainPlan(t, db.read, query)
			if strings.Contains(plan, "TEMP B-TREE") || strings.Contains(plan, "SCAN ") && !strings.Contains(plan, "SCAN CONSTANT ROW") {
				t.Errorf("%s\nplan:\n%s", query, plan)
			}
			plans++
		}
	}
	if plans < 20 {
		t.Errorf("only %d statements were looked at", plans)
	}
}

func explainPlan(t *testing.T, db *sql.DB, query string) (plan string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, 1, 1, 1, 1, 1, 1, 1)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan += detail + "\n"
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}

// A guard that fails after its Change has written something takes back that Change
// and no other of its transaction, and so do those that follow.
func TestOneFails(t *testing.T) {
	db := openNew(t)
	var once sync.Once
	begun, end, told := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		told <- db.writer.call(t.Context(), 1, func(w *writer) error { // done twice, as all of its batch
			once.Do(func() { close(begun); <-end })
			return w.apply(put("first"))
		})
	}()
	<-begun
	answers := make([]chan error, 3)
	for i, c := range []store.Change{
		{Put: put("before").Put, Add: []store.Add{{Key: "n", By: 1, Max: 1}}},
		{Put: put("sold out").Put, Add: []store.Add{{Key: "m", By: 1, Max: 1}, {Key: "n", By: 1, Max: 1}}},
		{Put: put("after").Put, Add: []store.Add{{Key: "m", By: 1, Max: 1}}},
	} {
		answers[i] = make(chan error, 1)
		go func() { answers[i] <- db.Commit(t.Context(), c) }()
		queued(t, db, i+1)
	}
	close(end)
	for i, ch := range append([]chan error{told}, answers...) {
		if err := <-ch; errors.Is(err, store.ErrBound) != (i == 2) || (err != nil) != (i == 2) {
			t.Errorf("Change %d is told %v", i, err)
		}
	}
	if w := db.writer; w.careful != wary {
		t.Errorf("careful for %d batches, want %d: the batch was not done anew", w.careful, wary)
	}
	for range wary + 1 { // with savepoints, and then without
		c := store.Change{Put: put("later").Put, Add: []store.Add{{Key: "n", By: 1, Max: 1}}}
		if err := db.Commit(t.Context(), c); !errors.Is(err, store.ErrBound) {
			t.Errorf("a later one: %v, want ErrBound", err)
		}
	}
	n, err := db.Counts(t.Context(), 0, "n", "m")
	if err != nil || n[0] != 1 || n[1] != 1 {
		t.Errorf("counts %v, %v, want 1 and 1", n, err)
	}
	for key, want := range map[string]bool{"first": true, "before": true, "sold out": false, "after": true, "later": false} {
		if has(t, db, key) != want {
			t.Errorf("%q is there: %t, want %t", key, !want, want)
		}
	}
}

// What is loaded stands, whatever the same batch has counted before, and what it counts
// afterwards is added to that.
func TestLoadedWithinABatch(t *testing.T) {
	db := openNew(t)
	release := hold(db)
	add := func() error {
		return db.Commit(t.Context(), store.Change{Add: []store.Add{{Key: "n", By: 1, Max: 9}, {Key: "gone", By: 1, Max: 9}}})
	}
	load := func() error {
		return db.Load(t.Context(), 0, store.Rows{Counts: []store.Count{{Key: "n", N: 5}, {Key: "gone", N: 0}}})
	}
	answers := make(chan error, 3)
	for i, do := range []func() error{add, load, add} {
		go func() { answers <- do() }()
		queued(t, db, i+1)
	}
	err := release()
	for range 3 {
		err = errors.Join(err, <-answers)
	}
	n, errCounts := db.Counts(t.Context(), 0, "n", "gone")
	if err = errors.Join(err, errCounts); err != nil || n[0] != 6 || n[1] != 1 {
		t.Errorf("counts %v, %v, want 6 and 1", n, err)
	}
}
