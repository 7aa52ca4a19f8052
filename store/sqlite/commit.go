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
	for _, a := range c.Add {
		if err := w.add(c.Shard, a); err != nil {
			return err
		}
	}
	return nil
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

// add moves a count. The statement that every Add takes leaves alone what it would
// bring to 0, so that only an Add that has changed nothing takes a second one: it
// removes that count, or finds it out of bounds.
func (w *writer) add(shard int, a store.Add) error {
	if a.By == 0 {
		return nil // always allowed, and a count of 0 needs no row
	}
	low, high := a.Room()
	rows, err := w.change(`INSERT INTO count (shard, key, n) SELECT ?1, ?2, ?3
			WHERE coalesce((SELECT n FROM count WHERE shard = ?1 AND key = ?2), 0) BETWEEN ?4 AND ?5
			ON CONFLICT DO UPDATE SET n = n + excluded.n WHERE n + excluded.n <> 0`,
		shard, a.Key, a.By, low, high)
	if err != nil || rows == 1 {
		return err
	}
	return w.one(store.ErrBound, a.Key,
		`DELETE FROM count WHERE shard = ?1 AND key = ?2 AND n + ?3 = 0 AND n BETWEEN ?4 AND ?5`,
		shard, a.Key, a.By, low, high)
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
