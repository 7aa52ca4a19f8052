package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"

	"hashtill/store"
)

// A View shows the records whose keys begin with Prefix and whose values are JSON
// as a table that can be read and not written: the columns shard, key and version,
// and those that are named. Of a value that is no JSON they are NULL.
type View struct {
	Name    string // of small letters, digits and underscores
	Prefix  string // of printable ASCII
	Columns []Column
}

// A Column is what stands in the value under Path, such as $.total.minor or
// $.lines[0]: a text, a number (true is 1, false is 0), NULL, or the JSON of what is
// itself made of parts (https://www.sqlite.org/json1.html#jex).
type Column struct {
	Name string // as that of a View
	Path string
}

var (
	viewName   = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	viewPrefix = regexp.MustCompile(`^[ -~]*$`)
	viewPath   = regexp.MustCompile(`^\$(\.[A-Za-z_][A-Za-z0-9_]*|\[[0-9]+\])*$`)
)

// viewMark tells our views in the file from those that people have made there.
const viewMark = `AS -- made by Hashtill, and made anew by it`

// validViews says what is wrong with the views; SQLite would say so at their first
// use only.
func validViews(views []View) error {
	names := map[string]bool{}
	for _, v := range views {
		switch {
		case !viewName.MatchString(v.Name), strings.HasPrefix(v.Name, "sqlite_"):
			return fmt.Errorf("view %q: bad name", v.Name)
		case names[v.Name]:
			return fmt.Errorf("view %q: named twice", v.Name)
		case !viewPrefix.MatchString(v.Prefix):
			return fmt.Errorf("view %q: bad prefix %q", v.Name, v.Prefix)
		}
		names[v.Name] = true
		columns := map[string]bool{"shard": true, "key": true, "version": true}
		for _, c := range v.Columns {
			switch {
			case !viewName.MatchString(c.Name):
				return fmt.Errorf("view %q: column %q: bad name", v.Name, c.Name)
			case columns[c.Name]:
				return fmt.Errorf("view %q: column %q: named twice", v.Name, c.Name)
			case !viewPath.MatchString(c.Path):
				return fmt.Errorf("view %q: column %q: bad path %q", v.Name, c.Name, c.Path)
			}
			columns[c.Name] = true
		}
	}
	return nil
}

// statement makes the view, in the words that the file keeps.
func (v View) statement() string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE VIEW %s %s\nSELECT shard, key, version", quote(v.Name, '"'), viewMark)
	for _, c := range v.Columns {
		fmt.Fprintf(&b, ",\n  json_extract(json, %s) AS %s", quote(c.Path, '\''), quote(c.Name, '"'))
	}
	b.WriteString("\nFROM (SELECT shard, key, version,\n" +
		"    CASE WHEN json_valid(CAST(value AS TEXT)) THEN CAST(value AS TEXT) END AS json\n" +
		"  FROM record\n  WHERE shard IN (0")
	// All of them, by name: so the keys of each are found by their prefix.
	for shard := 1; shard < store.Shards; shard++ {
		fmt.Fprintf(&b, ",%d", shard)
	}
	fmt.Fprintf(&b, ") AND key >= %s", quote(v.Prefix, '\''))
	if end := after(v.Prefix); end != "" {
		fmt.Fprintf(&b, " AND key < %s", quote(end, '\''))
	}
	b.WriteString(")")
	return b.String()
}

// quote makes a name or a text of SQL.
func quote(s string, mark rune) string {
	m := string(mark)
	return m + strings.ReplaceAll(s, m, m+m) + m
}

// makeViews has the file hold these views of ours and no other, within a
// transaction. It writes nothing if it does already: a schema that is written makes
// every statement of every process be prepared anew.
func makeViews(ctx context.Context, conn *sql.Conn, views []View) error {
	want := map[string]string{}
	for _, v := range views {
		want[v.Name] = v.statement()
	}
	have, err := readSchema(ctx, conn)
	if err != nil {
		return err
	}
	for name, statement := range have {
		wanted, named := want[name]
		switch {
		case statement == wanted:
			delete(want, name)
			continue
		case !strings.HasPrefix(statement, "CREATE VIEW "+quote(name, '"')+" "+viewMark):
			if named {
				return fmt.Errorf("it holds a %q that Hashtill has not made and needs the name of: rename it", name)
			}
			continue
		}
		if _, err := conn.ExecContext(ctx, "DROP VIEW "+quote(name, '"')); err != nil {
			return fmt.Errorf("view %q: %w", name, err)
		}
	}
	for _, v := range views {
		if statement, missing := want[v.Name]; missing {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("view %q: %w", v.Name, err)
			}
		}
	}
	return nil
}

// readSchema returns the statements that made what is in the file, by name. Names
// in SQLite are the same in small and capital letters.
func readSchema(ctx context.Context, conn *sql.Conn) (map[string]string, error) {
	rows, err := conn.QueryContext(ctx, `SELECT lower(name), coalesce(sql, '') FROM sqlite_schema`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	statements := map[string]string{}
	for rows.Next() {
		var name, statement string
		if err := rows.Scan(&name, &statement); err != nil {
			return nil, err
		}
		statements[name] = statement
	}
	return statements, rows.Err()
}
