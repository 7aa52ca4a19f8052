package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"time"

	"hashtill/store"
)

// Commit implements [store.Store]. An error that is neither a guard's nor
// ErrInvalid nor the context's is the database's: the batch has been rolled back
// as far as this process can tell, but after an error of the disk only reading
// again tells.
func (d *DB) Commit(ctx context.Context, c store.Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.leave()
	return d.writer.call(ctx, c.Parts(), func(w *writer) error { return w.apply(c) })
}

// apply looks at the guards and writes in the order of the contract. Every
// statement carries its guard, and the writer takes back what was written before a
// guard that fails, so that to everybody else all guards come before the first write.
func (w *writer) apply(c store.Change) error {
	for _, p := range c.Check {
		if err := w.check(c.Shard, p); err != nil {
			return err
		}
	}
	for _, p := range c.Put {
		if err := w.put(c.Shard, p); err != nil {
			return err
		}
	}
	for _, p := range c.Settle {
		if err := w.one(store.ErrStale, p.ID,
			`DELETE FROM effect WHERE shard = ? AND id = ? AND try = ? AND leased = 1`,
			c.Shard, p.ID, p.Try); err != nil {
			return err
		}
	}
	for _, p := range c.PutOff {
		if err := w.one(store.ErrStale, p.ID,
			`UPDATE effect SET due = ?, leased = 0, note = ? WHERE shard = ? AND id = ? AND try = ? AND leased = ?`,
			store.Millis(p.Due), p.Note, c.Shard, p.ID, p.Try, !p.Waits); err != nil {
			return err
		}
	}
	for _, id := range c.Drop {
		if _, err := w.change(`DELETE FROM effect WHERE shard = ? AND id = ?`, c.Shard, id); err != nil {
			return err
		}
	}
	for _, e := range c.Owe {
		if err := w.one(store.ErrConflict, e.ID,
			`INSERT INTO effect (shard, id, kind, due, try, leased, note, body) VALUES (?, ?, ?, ?, 0, 0, '', ?) ON CONFLICT DO NOTHING`,
			c.Shard, e.ID, e.Kind, store.Millis(e.Due), blob(e.Body)); err != nil {
			return err
		}
	}
	return w.adds(c.Shard, c.Add)
}

func (w *writer) check(shard int, p store.Check) error {
	var version int64
	err := w.raw.each(func(row []driver.Value) error { return scan(row, &version) },
		`SELECT version FROM record WHERE shard = ? AND key = ?`, shard, p.Key)
	if err != nil {
		return err
	}
	if version != p.Version {
		return &store.GuardError{Err: store.ErrConflict, Key: p.Key}
	}
	return nil
}

func (w *writer) put(shard int, p store.Put) error {
	switch {
	case p.Value == nil:
		return w.one(store.ErrConflict, p.Key,
			`DELETE FROM record WHERE shard = ? AND key = ? AND version = ?`,
			shard, p.Key, p.Version)
	case p.Version == 0:
		return w.one(store.ErrConflict, p.Key,
			`INSERT INTO record (shard, key, version, value) VALUES (?, ?, 1, ?) ON CONFLICT DO NOTHING`,
			shard, p.Key, p.Value)
	}
	return w.one(store.ErrConflict, p.Key,
		`UPDATE record SET version = version + 1, value = ? WHERE shard = ? AND key = ? AND version = ?`,
		p.Value, shard, p.Key, p.Version)
}

// A counted is a count as the batch under way found it, and as it leaves it.
type counted struct{ was, n int64 }

// A countKey is where a count is.
type countKey struct {
	shard int
	key   string
}

// adds moves counts, all or none. They are read once in a batch and written at its end,
// as the units of an offer that everybody wants are counted by every job of it. With a
// statement for each Add they took an eighth of the writer's time (hashtill bench buy).
func (w *writer) adds(shard int, all []store.Add) error {
	for i, a := range all {
		c, err := w.count(countKey{shard, a.Key})
		if err != nil {
			return err
		}
		if low, high := a.Room(); a.By != 0 && (c.n < low || c.n > high) { // to add 0 is always allowed
			for _, done := range all[:i] {
				w.counts[countKey{shard, done.Key}].n -= done.By
			}
			return &store.GuardError{Err: store.ErrBound, Key: a.Key}
		}
		c.n += a.By
	}
	return nil
}

// count is a count as the batch has it.
func (w *writer) count(at countKey) (*counted, error) {
	if c, ok := w.counts[at]; ok {
		return c, nil
	}
	c := &counted{}
	err := w.raw.each(func(row []driver.Value) error { return scan(row, &c.n) }, getCount, at.shard, at.key)
	if err != nil {
		return nil, err
	}
	c.was = c.n
	w.counts[at] = c
	return c, nil
}

// writeCounts writes what the batch has counted. A count of 0 needs no row.
func (w *writer) writeCounts() error {
	for at, c := range w.counts {
		query := `INSERT INTO count (shard, key, n) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET n = excluded.n`
		switch c.n {
		case c.was:
			continue
		case 0:
			query = `DELETE FROM count WHERE shard = ?1 AND key = ?2 AND ?3 = 0`
		}
		rows, err := w.raw.exec(query, at.shard, at.key, c.n)
		if err == nil && rows != 1 {
			err = fmt.Errorf("%d rows of count %q", rows, at.key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// blob is never NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Lease implements [store.Store]; the longest due come first over all shards. It
// asks a reader first: while nothing is due the writer is not bothered.
func (d *DB) Lease(ctx context.Context, now, until time.Time, limit int) ([]store.Lease, error) {
	if err := store.ValidLease(now, until); err != nil {
		return nil, err
	}
	if err := d.enter(ctx); err != nil {
		return nil, err
	}
	defer d.leave()
	if limit < 1 {
		return nil, nil
	}
	due, err := d.anyDue(ctx, now)
	if err != nil || !due {
		return nil, err
	}
	var leases []store.Lease
	err = d.writer.call(ctx, limit, func(w *writer) (err error) {
		leases, err = w.lease(now.UnixMilli(), store.Millis(until), limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return leases, nil
}

func (w *writer) lease(now, until int64, limit int) ([]store.Lease, error) {
	var leases []store.Lease
	err := w.raw.each(func(row []driver.Value) error {
		var shard, due int64
		l := store.Lease{Until: time.UnixMilli(until).UTC()}
		err := scan(row, &shard, &l.ID, &l.Kind, &due, &l.Try, &l.Note, &l.Body)
		l.Shard, l.Due = int(shard), time.UnixMilli(due).UTC()
		leases = append(leases, l)
		return err
	}, `SELECT shard, id, kind, due, try + 1, note, body FROM effect
		WHERE due <= ? ORDER BY due, shard, id LIMIT ?`, now, limit)
	if err != nil {
		return nil, err
	}
	// The same order and the same transaction: these are the same rows.
	changed, err := w.change(`UPDATE effect SET due = ?, try = try + 1, leased = 1 WHERE (shard, id) IN
		(SELECT shard, id FROM effect WHERE due <= ? ORDER BY due, shard, id LIMIT ?)`, until, now, limit)
	if err == nil && changed != int64(len(leases)) {
		err = fmt.Errorf("leased %d effects, read %d", changed, len(leases))
	}
	return leases, err
}
