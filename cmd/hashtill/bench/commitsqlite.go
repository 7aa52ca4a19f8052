package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"hashtill/store"
	"hashtill/store/sqlite"
)

// sqlite measures SQLite.
func (c Commit) sqlite(ctx context.Context, dir string, w *wishes, at int) (_ []figure, err error) {
	dir, err = os.MkdirTemp(dir, "sqlite-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ours := filepath.Join(dir, "ours.db")
	db, err := w.newSQLite(ctx, ours)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	bare, err := w.newBareSQLite(ctx, filepath.Join(dir, "bare.db"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, bare.close()) }()

	us := &side{commit: func(ctx context.Context, all []store.Change) (time.Duration, error) {
		start := time.Now()
		err := commitAll(ctx, db, all, at)
		return time.Since(start), err
	}}
	them := &side{commit: func(ctx context.Context, all []store.Change) (time.Duration, error) {
		start := time.Now()
		for ; len(all) > 0; all = all[min(at, len(all)):] {
			if err := bare.commit(ctx, all[:min(at, len(all))]); err != nil {
				return 0, err
			}
		}
		return time.Since(start), nil
	}}
	if err := inTurns(ctx, w, at, c.For, func() int64 { return writtenBy("self") }, them, us); err != nil {
		return nil, err
	}
	return []figure{{
		what: fmt.Sprintf("%d at a time", at), value: us.rate(), unit: "commits/s", against: "bare statements", limit: them.rate(),
		note: fmt.Sprintf("%.1f kB written each, bare %.1f", us.perCommit(), them.perCommit()),
	}}, nil
}

// newSQLite makes a store that has the offers.
func (w *wishes) newSQLite(ctx context.Context, path string) (*sqlite.DB, error) {
	db, err := sqlite.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	if _, err := w.open(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// bareSQLite is the statements that a new purchase takes, and nothing else: one
// goroutine, one connection, the settings of the store.
type bareSQLite struct {
	db                                                          *sql.DB
	conn                                                        *sql.Conn
	begin, check, insertRecord, insertEffect, addCount, finally *sql.Stmt
}

func (w *wishes) newBareSQLite(ctx context.Context, path string) (*bareSQLite, error) {
	made, err := w.newSQLite(ctx, path) // the schema, and the offers
	if err != nil {
		return nil, err
	}
	if err := made.Close(); err != nil {
		return nil, err
	}
	name := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": {"synchronous(FULL)", "secure_delete(FAST)",
		"wal_autocheckpoint(16000)", "journal_size_limit(131072000)", "cache_size(-32768)", "temp_store(MEMORY)"}}.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	b := &bareSQLite{db: db}
	if b.conn, err = db.Conn(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	for query, stmt := range map[string]**sql.Stmt{
		"BEGIN IMMEDIATE": &b.begin,
		"SELECT coalesce((SELECT version FROM record WHERE shard = ? AND key = ?), 0)":                        &b.check,
		"INSERT INTO record (shard, key, version, value) VALUES (?, ?, 1, ?) ON CONFLICT DO NOTHING":          &b.insertRecord,
		"INSERT INTO effect (shard, id, kind, due, try, leased, note, body) VALUES (?, ?, ?, ?, 0, 0, '', ?)": &b.insertEffect,
		"INSERT INTO count (shard, key, n) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n":     &b.addCount,
		"COMMIT": &b.finally,
	} {
		if *stmt, err = b.conn.PrepareContext(ctx, query); err != nil {
			return nil, errors.Join(err, b.close())
		}
	}
	return b, nil
}

func (b *bareSQLite) commit(ctx context.Context, group []store.Change) error {
	var errs []error
	ctx = context.WithoutCancel(ctx) // to have an eye on it would cost something
	exec := func(stmt *sql.Stmt, args ...any) {
		if _, err := stmt.ExecContext(ctx, args...); err != nil {
			errs = append(errs, err)
		}
	}
	exec(b.begin)
	for _, c := range group {
		for _, p := range c.Check {
			var version int64
			if err := b.check.QueryRowContext(ctx, c.Shard, p.Key).Scan(&version); err != nil || version != p.Version {
				errs = append(errs, fmt.Errorf("check %s: version %d, %w", p.Key, version, err))
			}
		}
		for _, p := range c.Put {
			exec(b.insertRecord, c.Shard, p.Key, p.Value)
		}
		for _, e := range c.Owe {
			exec(b.insertEffect, c.Shard, e.ID, e.Kind, e.Due.UnixMilli(), e.Body)
		}
		for _, a := range c.Add {
			exec(b.addCount, c.Shard, a.Key, a.By)
		}
	}
	exec(b.finally)
	return errors.Join(errs...)
}

func (b *bareSQLite) close() error { return errors.Join(b.conn.Close(), b.db.Close()) }
