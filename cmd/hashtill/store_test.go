package main

import (
	"database/sql"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hashtill/store/redis/redistest"
)

// command runs hashtill, which must succeed.
func command(t *testing.T, environ []string, args ...string) string {
	t.Helper()
	var out, problems strings.Builder
	if code := run(t.Context(), args, environ, &out, &problems); code != exitOK {
		t.Fatalf("hashtill %s: %d\n%s%s", strings.Join(args, " "), code, out.String(), problems.String())
	}
	return out.String()
}

var rows = regexp.MustCompile(`(\d+ records, \d+ counts and \d+ effects)`)

// A store goes from one back-end to each other and back, and is the same.
func TestStoreCopy(t *testing.T) {
	dir := t.TempDir()
	from := "sqlite:" + filepath.Join(dir, "from.db")
	loadFor(t, from, 2000, nil)
	cluster := redistest.StartCluster(t, 3, 0, nil)
	way := []string{from, redistest.Start(t, nil).URL(), cluster.URL(), "sqlite:" + filepath.Join(dir, "to.db")}
	first := ""
	for i, to := range way[1:] {
		said := rows.FindString(command(t, nil, "store", "copy", way[i], to))
		if first == "" {
			first = said
		}
		if said != first || said == "" {
			t.Errorf("copied %q to %s, and %q at first", said, storeKind(to), first)
		}
		if said := command(t, []string{"HASHTILL_STORE=" + to}, "store", "check"); !strings.Contains(said, "everything agrees") {
			t.Errorf("%s: %s", storeKind(to), said)
		}
	}
	var out strings.Builder
	if code := run(t.Context(), []string{"store", "copy", way[0], way[3]}, nil, &out, &out); code == exitOK {
		t.Error("copied into a store that holds something")
	}
}

// A backup is made while the shop sells, and agrees with itself; people can ask it in
// SQL what was sold.
func TestStoreBackup(t *testing.T) {
	dir := t.TempDir()
	where, to := "sqlite:"+filepath.Join(dir, "hashtill.db"), filepath.Join(dir, "backup.db")
	loadFor(t, where, 1500, func() {
		if said := command(t, []string{"HASHTILL_STORE=" + where}, "store", "backup", to); !strings.Contains(said, "checked") {
			t.Error(said)
		}
	})
	if said := command(t, []string{"HASHTILL_STORE=sqlite:" + to}, "store", "check"); !strings.Contains(said, "everything agrees") {
		t.Error(said)
	}
	db, err := sql.Open("sqlite", to)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var paid, minor int
	var currency, title string
	err = db.QueryRow(`SELECT count(*), sum(total_minor), min(currency), min(title) FROM purchase WHERE state = 'paid'`).Scan(&paid, &minor, &currency, &title)
	if err != nil || paid == 0 || minor != 100*paid || currency != "USD" || !strings.HasPrefix(title, "Load") {
		t.Errorf("%d paid, %d %s, %q, %v", paid, minor, currency, title, err)
	}
	var empty int
	err = db.QueryRow(`SELECT count(*) FROM purchase WHERE id IS NULL OR state IS NULL OR account IS NULL OR offer IS NULL OR quantity IS NULL OR asked_at IS NULL`).Scan(&empty)
	if err != nil || empty > 0 {
		t.Errorf("%d purchases show nothing where there is something, %v", empty, err)
	}
	if _, err := db.Exec(`UPDATE purchase SET state = 'paid'`); err == nil {
		t.Error("the view can be written to")
	}
}

// A backup is put in the place of a store that was killed, whose log is not played
// into it; and nothing is restored under a running shop.
func TestStoreRestore(t *testing.T) {
	dir := t.TempDir()
	path, backup := filepath.Join(dir, "hashtill.db"), filepath.Join(dir, "backup.db")
	environ := []string{"HASHTILL_STORE=sqlite:" + path}
	loadFor(t, "sqlite:"+path, 800, func() { command(t, environ, "store", "backup", backup) })
	before := command(t, []string{"HASHTILL_STORE=sqlite:" + backup}, "purchase", "list", "--json")
	// As a kill leaves it: a log beside the file.
	if err := os.WriteFile(path+"-wal", []byte("a log that belongs to the old file"), 0o600); err != nil {
		t.Fatal(err)
	}
	said := command(t, environ, "store", "restore", backup)
	if after := command(t, environ, "purchase", "list", "--json"); after != before {
		t.Errorf("restored something else; %s", said)
	}
	command(t, environ, "store", "check")
	old, err := filepath.Glob(path + ".*Z")
	if err != nil || len(old) != 1 || !strings.Contains(said, old[0]) {
		t.Errorf("the old store: %v, %v; %s", old, err, said)
	}
}
