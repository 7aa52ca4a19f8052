package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hashtill/store"
	"hashtill/store/sqlite"
)

// onlyFiles checks what is in a directory.
func onlyFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("files %v, want %v", names, want)
	}
}

// keysOf returns all keys of records of a store.
func keysOf(t *testing.T, s store.Store) map[string]bool {
	t.Helper()
	keys := map[string]bool{}
	for shard := range store.Shards {
		recs, _, err := s.Scan(t.Context(), shard, "", "", 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range recs {
			keys[r.Key] = true
		}
	}
	return keys
}

// TestBackupUnderLoad takes a backup while goroutines commit pairs of records. It
// is of one moment: after the call and before the first page.
func TestBackupUnderLoad(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "hashtill.db"))
	defer db.Close()
	fill(t, db, 10_000) // more than two steps

	var acked sync.Map
	var commits atomic.Int64
	more := make(chan struct{}) // a commit has been acknowledged
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for worker := range 16 {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				name := fmt.Sprint(worker, ":", n)
				err := db.Commit(ctx, store.Change{Shard: worker, Put: []store.Put{
					{Key: "a:" + name, Value: make([]byte, 500)}, {Key: "z:" + name, Value: []byte("v")}, // on far pages
				}})
				if err != nil {
					if ctx.Err() == nil {
						t.Error(err)
					}
					return
				}
				acked.Store(name, true)
				commits.Add(1)
				select {
				case more <- struct{}{}:
				default:
				}
			}
		})
	}
	after := func(n int64) { // returns when that many further commits have been acknowledged
		deadline := time.After(30 * time.Second)
		for end := commits.Load() + n; commits.Load() < end; {
			select {
			case <-more:
			case <-deadline:
				t.Error("the commits have stopped")
				return
			}
		}
	}
	after(200)
	names := func() (names []string) {
		acked.Range(func(name, _ any) bool { names = append(names, name.(string)); return true })
		return names
	}
	before, dir := names(), t.TempDir()
	var later []string // committed while the first pages were there and the last were not
	steps, last := 0, 0
	path := filepath.Join(dir, "backup.db")
	err := db.Backup(t.Context(), path, func(done, total int) {
		if done <= last || done > total {
			t.Errorf("progress: %d of %d pages, after %d", done, total, last)
		}
		steps, last = steps+1, done
		if steps > 5 {
			return
		}
		had := map[string]bool{}
		for _, name := range names() {
			had[name] = true
		}
		after(100)
		for _, name := range names() {
			if !had[name] {
				later = append(later, name)
			}
		}
	})
	stop()
	all.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if steps < 3 || len(later) == 0 {
		t.Fatalf("%d steps, %d commits meanwhile: this shows nothing", steps, len(later))
	}
	onlyFiles(t, dir, "backup.db")
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the backup: %v, %v; want mode 0600", info, err)
	}

	backup := open(t, path)
	defer backup.Close()
	if err := backup.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys := keysOf(t, backup)
	for _, name := range before {
		if !keys["a:"+name] || !keys["z:"+name] {
			t.Errorf("committed before, and not in the backup: %s", name)
		}
	}
	for _, name := range later {
		if keys["a:"+name] || keys["z:"+name] {
			t.Errorf("committed after the backup's moment, and in it: %s", name)
		}
	}
	for key := range keys {
		side, name, _ := strings.Cut(key, ":")
		if side == "a" && !keys["z:"+name] || side == "z" && !keys["a:"+name] {
			t.Errorf("half of a Change is in the backup: %s", key)
		}
	}
	counts, err := backup.Counts(t.Context(), 5, "n")
	if err != nil || counts[0] != 10_000 {
		t.Errorf("count %v, %v", counts, err)
	}
	// The copy is a store of its own.
	if err := backup.Commit(t.Context(), store.Change{Put: []store.Put{{Key: "new", Value: []byte("v")}}}); err != nil {
		t.Error(err)
	}
}

// What cannot be done is refused, in words that say what to do, and leaves nothing.
func TestBackupRefuses(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "hashtill.db"))
	defer db.Close()
	fill(t, db, 8_000) // more than one step
	damaged := open(t, damagedFile(t))
	defer damaged.Close()
	dir := t.TempDir()
	for _, name := range []string{"taken.db", "broken.db.part"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	defer cancel()
	for name, c := range map[string]struct {
		db   *sqlite.DB
		ctx  context.Context
		path string
		says string
	}{
		"no path":      {db, t.Context(), "", "no path"},
		"taken":        {db, t.Context(), "taken.db", "move it away"},
		"broken off":   {db, t.Context(), "broken.db", "remove it"},
		"no directory": {db, t.Context(), "none/b.db", "make it first"},
		"damaged":      {damaged, t.Context(), "damaged.db", "damaged"},
		"canceled":     {db, canceled, "canceled.db", "context canceled"},
	} {
		path := c.path
		if path != "" {
			path = filepath.Join(dir, path)
		}
		err := c.db.Backup(c.ctx, path, func(done, total int) {
			if name == "canceled" {
				if done == total {
					t.Error("one step copied all: this shows nothing")
				}
				onlyFiles(t, dir, "broken.db.part", "canceled.db.part", "taken.db")
				cancel()
			}
		})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	onlyFiles(t, dir, "broken.db.part", "taken.db")
	if content, err := os.ReadFile(filepath.Join(dir, "taken.db")); err != nil || string(content) != "mine" {
		t.Errorf("the file that was there: %q, %v", content, err)
	}
	if err := db.Backup(t.Context(), filepath.Join(dir, "good.db"), nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	db.Close()
	if err := db.Backup(t.Context(), filepath.Join(dir, "closed.db"), nil); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Backup: %v, want ErrClosed", err)
	}
}
