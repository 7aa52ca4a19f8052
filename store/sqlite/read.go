package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"hashtill/store"
)

// reading begins a call that reads a shard.
func (d *DB) reading(ctx context.Context, shard int) error {
	if err := store.ValidShard(shard); err != nil {
		return err
	}
	return d.enter(ctx)
}

// Scan implements [store.Store]; the order is that of the keys' bytes. The cursor
// is the last key of the page.
func (d *DB) Scan(ctx context.Context, shard int, prefix, cursor string, limit int) ([]store.Record, string, error) {
	if err := d.reading(ctx, shard); err != nil {
		return nil, "", err
	}
	defer d.leave()
	limit = max(limit, 1)
	query, args := keyRange(`SELECT key, version, value FROM record`, shard, prefix, cursor, limit+1)
	recs, err := page(ctx, d, query, args, func(rows *sql.Rows) (r store.Record, err error) {
		err = rows.Scan(&r.Key, &r.Version, &r.Value)
		r.Value = blob(r.Value)
		return r, err
	})
	if err != nil || len(recs) <= limit {
		return recs, "", err
	}
	return recs[:limit], recs[limit-1].Key, nil
}

// ScanCounts implements [store.Store], in the manner of Scan.
func (d *DB) ScanCounts(ctx context.Context, shard int, prefix, cursor string, limit int) ([]store.Count, string, error) {
	if err := d.reading(ctx, shard); err != nil {
		return nil, "", err
	}
	defer d.leave()
	limit = max(limit, 1)
	query, args := keyRange(`SELECT key, n FROM count`, shard, prefix, cursor, limit+1)
	counts, err := page(ctx, d, query, args, func(rows *sql.Rows) (c store.Count, err error) {
		err = rows.Scan(&c.Key, &c.N)
		return c, err
	})
	if err != nil || len(counts) <= limit {
		return counts, "", err
	}
	return counts[:limit], counts[limit-1].Key, nil
}

// keyRange makes a query go through the keys of a shard that begin with prefix,
// after the cursor, at most limit of them.
func keyRange(query string, shard int, prefix, cursor string, limit int) (string, []any) {
	query += ` WHERE shard = ? AND key > ? AND key >= ?`
	args := []any{shard, cursor, prefix}
	if end := after(prefix); end != "" {
		query += ` AND key < ?`
		args = append(args, end)
	}
	return query + ` ORDER BY key LIMIT ?`, append(args, limit)
}

// after is the least string that is greater than all that begin with the prefix,
// or "" if there is none.
func after(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return prefix[:i] + string([]byte{prefix[i] + 1})
		}
	}
	return ""
}

// Owed implements [store.Store]; the order is that of the ids' bytes.
func (d *DB) Owed(ctx context.Context, shard int, cursor string, limit int) ([]store.Owed, string, error) {
	if err := d.reading(ctx, shard); err != nil {
		return nil, "", err
	}
	defer d.leave()
	limit = max(limit, 1)
	owed, err := page(ctx, d, `SELECT id, kind, due, body, try, note FROM effect WHERE shard = ? AND id > ? ORDER BY id LIMIT ?`,
		[]any{shard, cursor, limit + 1}, func(rows *sql.Rows) (store.Owed, error) {
			o, due := store.Owed{Shard: shard}, int64(0)
			err := rows.Scan(&o.ID, &o.Kind, &due, &o.Body, &o.Try, &o.Note)
			o.Due = time.UnixMilli(due).UTC()
			return o, err
		})
	if err != nil || len(owed) <= limit {
		return owed, "", err
	}
	return owed[:limit], owed[limit-1].ID, nil
}

// page reads the rows of a query.
func page[V any](ctx context.Context, d *DB, query string, args []any, scan func(*sql.Rows) (V, error)) ([]V, error) {
	stmt, err := d.queries.get(query)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	defer rows.Close()
	var page []V
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("sqlite: %w", err)
		}
		page = append(page, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	return page, nil
}

// anyDue says whether an effect is due.
func (d *DB) anyDue(ctx context.Context, now time.Time) (due bool, err error) {
	stmt, err := d.queries.get(`SELECT EXISTS (SELECT 1 FROM effect WHERE due <= ?)`)
	if err == nil {
		err = stmt.QueryRowContext(ctx, now.UnixMilli()).Scan(&due)
	}
	if err != nil {
		return false, fmt.Errorf("sqlite: %w", err)
	}
	return due, nil
}
