package sqlite_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"hashtill/store"
	"hashtill/store/sqlite"
)

// raw opens the file behind the store's back.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

func rawExec(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.Exec(query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func TestOpenMakesPrivateFile(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"hashtill.db", "with space? & #hash%41.db", ":memory:", "日本.db"} {
		path := filepath.Join(dir, name)
		db := open(t, path)
		put := store.Change{Put: []store.Put{{Key: "k", Value: []byte("v")}}}
		if err := db.Commit(t.Context(), put); err != nil {
			t.Fatal(err)
		}
		for _, suffix := range []string{"", "-wal", "-shm"} {
			info, err := os.Stat(path + suffix)
			if err != nil || info.Mode() != 0o600 {
				t.Errorf("%s: %v, %v, want mode 0600", path+suffix, info, err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after Close the log is still there: %v", err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 4 {
		t.Errorf("files: %v, %v", entries, err)
	}
}

// TestOpenRefuses names every file that must be refused, the words that must be
// in the message, and that the file is left as it was.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	database := func(name string, statements ...string) string {
		path := filepath.Join(dir, name)
		db := raw(t, path)
		for _, s := range statements {
			rawExec(t, db, s)
		}
		db.Close()
		return path
	}
	ours := filepath.Join(dir, "newer.db")
	open(t, ours).Close()
	newer := database("newer.db", "PRAGMA user_version=99")
	damaged := filepath.Join(dir, "damaged.db")
	open(t, damaged).Close()
	content, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	copy(content[100:], bytes.Repeat([]byte{0xee}, 400)) // past the header: the schema's page

	for name, c := range map[string]struct{ path, says string }{
		"no path":         {"", "no path"},
		"text":            {write("notes.txt", []byte("buy milk\n")), "not a SQLite database"},
		"long text":       {write("long.txt", bytes.Repeat([]byte("buy milk\n"), 1000)), "not a SQLite database"},
		"directory":       {dir, "directory"},
		"no directory":    {filepath.Join(dir, "none", "hashtill.db"), "make it first"},
		"another program": {database("other.db", "CREATE TABLE t (x)"), "another program"},
		"another's empty": {database("other2.db", "PRAGMA application_id=7"), "another program"},
		"newer":           {newer, "newer Hashtill"},
		"damaged":         {write("damaged.db", content), "restore a backup"},
	} {
		before, _ := os.ReadFile(c.path)
		db, err := sqlite.Open(t.Context(), c.path)
		if err == nil {
			db.Close()
			t.Errorf("%s: opened", name)
			continue
		}
		if !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), fmt.Sprintf("%q", c.path)) {
			t.Errorf("%s: %v, want the path and %q", name, err, c.says)
		}
		if after, _ := os.ReadFile(c.path); !bytes.Equal(after, before) {
			t.Errorf("%s: the file has been changed", name)
		}
		if _, err := os.Stat(c.path + "-wal"); c.path != "" && err == nil {
			t.Errorf("%s: left a log behind", name)
		}
	}
}

// TestOpenTwice has several stores on one new file at once, as several processes
// would: whoever is first makes the schema, and all see all.
func TestOpenTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hashtill.db")
	const stores, each = 4, 20
	var all sync.WaitGroup
	for i := range stores {
		all.Go(func() {
			db, err := sqlite.Open(t.Context(), path)
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			for n := range each {
				c := store.Change{
					Put: []store.Put{{Key: fmt.Sprint(i, ":", n), Value: []byte("v")}},
					Add: []store.Add{{Key: "n", By: 1, Max: stores * each}},
				}
				if err := db.Commit(t.Context(), c); err != nil {
					t.Errorf("Commit: %v", err)
				}
			}
		})
	}
	all.Wait()
	db := open(t, path)
	defer db.Close()
	recs, _, err := db.Scan(t.Context(), 0, "", "", 1000)
	counts, errCounts := db.Counts(t.Context(), 0, "n")
	if err != nil || errCounts != nil || len(recs) != stores*each || counts[0] != stores*each {
		t.Fatalf("%d records, counts %v; want %d of each; %v, %v", len(recs), counts, stores*each, err, errCounts)
	}
}

// While another process writes, a Commit waits for it, and sees what it wrote.
func TestOtherProcessWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hashtill.db")
	db := open(t, path)
	defer db.Close()
	other := raw(t, path)
	rawExec(t, other, "BEGIN IMMEDIATE")
	answer := make(chan error)
	go func() {
		answer <- db.Commit(t.Context(), store.Change{Put: []store.Put{{Key: "k", Value: []byte("ours")}}})
	}()
	for range 50 { // as much work as takes the Commit into its wait
		rawExec(t, other, "INSERT OR REPLACE INTO record (shard, key, version, value) VALUES (0, 'k', 1, randomblob(100000))")
	}
	rawExec(t, other, "COMMIT")
	if err := <-answer; !errors.Is(err, store.ErrConflict) {
		t.Errorf("Commit: %v, want ErrConflict with what the other wrote", err)
	}
}
