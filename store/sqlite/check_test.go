package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hashtill/store"
	"hashtill/store/sqlite"
)

// fill commits that many records of 900 bytes and one count, in shard 5.
func fill(t *testing.T, db *sqlite.DB, records int) {
	t.Helper()
	for from := 0; from < records; from += 100 {
		c := store.Change{Shard: 5, Add: []store.Add{{Key: "n", By: 100, Max: 1 << 40}}}
		for i := from; i < from+100; i++ {
			c.Put = append(c.Put, store.Put{Key: fmt.Sprintf("k:%06d", i), Value: bytes.Repeat([]byte{'v'}, 900)})
		}
		if err := db.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}

// damagedFile is a store that opens, some of whose pages are not what they were.
func damagedFile(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "hashtill.db")
	db := open(t, path)
	fill(t, db, 2000)
	if err := errors.Join(db.Check(t.Context()), db.Close()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for page := 20; page < 60; page++ {
		copy(content[page*4096+8:], bytes.Repeat([]byte{0xee}, 200)) // where it says where its cells are
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCheckFindsDamage(t *testing.T) {
	path := damagedFile(t)
	db := open(t, path)
	defer db.Close()
	err := db.Check(t.Context())
	if err == nil {
		t.Fatal("a damaged file is found whole")
	}
	for _, says := range []string{fmt.Sprintf("%q", path), "restore a backup", "damaged: "} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("Check does not say %q: %v", says, err)
		}
	}
	if lines := strings.Count(err.Error(), "\n") + 1; lines < 2 || lines > 500 {
		t.Errorf("Check says %d lines", lines)
	}
}

// What SQLite finds in order and no store has written is found too.
func TestCheckFindsForeign(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hashtill.db")
	db := open(t, path)
	defer db.Close()
	fill(t, db, 100)
	if err := db.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := raw(t, path)
	for _, c := range []struct{ damage, repair, says string }{
		{"PRAGMA application_id=7", "PRAGMA application_id=1215588716", "another program"},
		{"PRAGMA user_version=99", "PRAGMA user_version=3", "version 99"},
		{"UPDATE record SET version = 0 WHERE key = 'k:000007'", "UPDATE record SET version = 1", "record 'k:000007' of shard 5 is at version 0"},
		{"UPDATE record SET shard = 64 WHERE key = 'k:000008'", "UPDATE record SET shard = 5", "record 'k:000008' of shard 64"},
		{"INSERT INTO count VALUES (0, 'zero', 0)", "DELETE FROM count WHERE n = 0", "count 'zero' of shard 0 is 0"},
		{"INSERT INTO count VALUES (0, 'much', 1 << 54)", "DELETE FROM count WHERE key = 'much'", "count 'much'"},
		{"INSERT INTO effect VALUES (0, 'e', '', 0, 0, 1, '', x'')", "DELETE FROM effect", "effect 'e'"},
	} {
		rawExec(t, other, c.damage)
		if err := db.Check(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.damage, err, c.says)
		}
		rawExec(t, other, c.repair)
		if err := db.Check(t.Context()); err != nil {
			t.Fatalf("%s: %v", c.repair, err)
		}
	}
	// Their number is bounded.
	rawExec(t, other, "WITH RECURSIVE i(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM i WHERE i < 300) INSERT INTO count SELECT 0, 'zero' || i, 0 FROM i")
	if err := db.Check(t.Context()); err == nil || strings.Count(err.Error(), "\n")+1 != 100 {
		t.Errorf("300 complaints are told in another number of lines than 100: %v", err)
	}
}

func TestCheckEnds(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "hashtill.db"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Check(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Check: %v, want context.Canceled", err)
	}
	db.Close()
	if err := db.Check(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Check: %v, want ErrClosed", err)
	}
}
