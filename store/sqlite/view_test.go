package sqlite_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hashtill/store"
	"hashtill/store/sqlite"
)

var orders = sqlite.View{Name: "order", Prefix: "order:'%_", Columns: []sqlite.Column{
	{Name: "state", Path: "$.state"}, {Name: "total_minor", Path: "$.total.minor"},
	{Name: "currency", Path: "$.total.currency"}, {Name: "first", Path: "$.lines[0]"}, {Name: "all", Path: "$"},
}}

func openViews(t *testing.T, path string, views ...sqlite.View) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, views...)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// rowsOf prints what a query finds, a line a row.
func rowsOf(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintln(values...)))
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return strings.Join(lines, "\n")
}

func views(t *testing.T, path string) string {
	t.Helper()
	return rowsOf(t, raw(t, path), "SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name")
}

func TestView(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hashtill.db")
	db := openViews(t, path, orders)
	defer db.Close()
	for i, value := range []string{
		`{"state":"paid","total":{"minor":14999,"currency":"USD"},"lines":["é'\"",2],"n":9007199254740993}`,
		`{"state":null,"total":7,"lines":[{"a":true}]}`,
		`no JSON`, "", "\xff\x00{}", `{"state":`, strings.Repeat("[", 5000), `[1,2]`, "{state:'json5'}",
	} {
		c := store.Change{Shard: i * 7, Put: []store.Put{
			{Key: fmt.Sprint("order:'%_", i), Value: []byte(value)},
			{Key: fmt.Sprint("order:x%_", i), Value: []byte(value)}, {Key: "order:'%", Value: []byte(value)}, {Key: "z", Value: []byte(value)},
		}}
		if err := db.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	reader := raw(t, "file:"+path+"?mode=ro") // as a person does
	got := rowsOf(t, reader, `SELECT shard, key, version, state, total_minor, currency, first FROM "order" ORDER BY shard`)
	want := `0 order:'%_0 1 paid 14999 USD é'"
7 order:'%_1 1 <nil> <nil> <nil> {"a":true}
14 order:'%_2 1 <nil> <nil> <nil> <nil>
21 order:'%_3 1 <nil> <nil> <nil> <nil>
28 order:'%_4 1 <nil> <nil> <nil> <nil>
35 order:'%_5 1 <nil> <nil> <nil> <nil>
42 order:'%_6 1 <nil> <nil> <nil> <nil>
49 order:'%_7 1 <nil> <nil> <nil> <nil>
56 order:'%_8 1 <nil> <nil> <nil> <nil>`
	if got != want {
		t.Errorf("the view shows\n%s\nwant\n%s", got, want)
	}
	if got := rowsOf(t, reader, `SELECT "all" ->> '$.n' FROM "order" WHERE total_minor BETWEEN 1 AND 20000`); got != "9007199254740993" {
		t.Errorf("found by its total: %s", got)
	}
	if plan := rowsOf(t, reader, `EXPLAIN QUERY PLAN SELECT * FROM "order"`); !strings.Contains(plan, "(shard=? AND key>? AND key<?)") {
		t.Errorf("the view reads more than its keys: %s", plan)
	}
	writer := raw(t, path)
	for _, query := range []string{
		`INSERT INTO "order" (shard, key, version) VALUES (0, 'k', 1)`, `UPDATE "order" SET version = 2`, `DELETE FROM "order"`,
	} {
		if _, err := writer.Exec(query); err == nil || !strings.Contains(err.Error(), "because it is a view") {
			t.Errorf("%s: %v", query, err)
		}
	}
}

// The file holds the views that the last Open named, and those of other people.
func TestViewsChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hashtill.db")
	other := sqlite.View{Name: "other"}
	openViews(t, path, orders, other).Close()
	rawExec(t, raw(t, path), `CREATE VIEW "Mine" AS SELECT key FROM record`)
	if got := views(t, path); got != "Mine\norder\nother" {
		t.Errorf("views %s", got)
	}
	changed := orders
	changed.Columns = changed.Columns[:1]
	openViews(t, path, changed).Close()
	if got := views(t, path); got != "Mine\norder" {
		t.Errorf("views %s", got)
	}
	if got := rowsOf(t, raw(t, path), `SELECT group_concat(name) FROM pragma_table_info('order')`); got != "shard,key,version,state" {
		t.Errorf("columns %s", got)
	}
	openViews(t, path).Close()
	if got := views(t, path); got != "Mine" {
		t.Errorf("views %s", got)
	}
	for _, name := range []string{"mine", "record", "effect_due"} {
		_, err := sqlite.Open(t.Context(), path, sqlite.View{Name: name}, other)
		if err == nil || !strings.Contains(err.Error(), "rename it") {
			t.Errorf("a view %q over what is there: %v", name, err)
		}
	}
	if got := views(t, path); got != "Mine" {
		t.Errorf("after what was refused: views %s", got)
	}
}

// Opening with the views that are there already does not write.
func TestViewsUnchanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hashtill.db")
	openViews(t, path, orders).Close()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	db := openViews(t, path, orders)
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		t.Errorf("%d bytes have been written to the log", info.Size())
	}
	db.Close()
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the file has been written to, %v", err)
	}
}

func TestViewInvalid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hashtill.db")
	column := func(name, path string) sqlite.View {
		return sqlite.View{Name: "v", Columns: []sqlite.Column{{Name: "good", Path: "$.a"}, {Name: name, Path: path}}}
	}
	for name, v := range map[string]sqlite.View{
		"no name": {}, "quote": {Name: `v"`}, "capital": {Name: "V"}, "reserved": {Name: "sqlite_v"},
		"prefix": {Name: "v", Prefix: "é"}, "prefix 0": {Name: "v", Prefix: "a\x00"},
		"no column": column("", "$.a"), "key": column("key", "$.a"), "column twice": column("good", "$.a"),
		"column quote": column(`a"b`, "$.a"), "no path": column("c", ""), "path": column("c", "a.b"),
		"path open": column("c", "$.a["), "path quote": column("c", "$.a'"), "path dots": column("c", "$..a"),
	} {
		if _, err := sqlite.Open(t.Context(), path, v); err == nil || !strings.Contains(err.Error(), "view") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := sqlite.Open(t.Context(), path, orders, orders); err == nil {
		t.Error("two views of one name")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a file has been made for views that cannot be")
	}
}
