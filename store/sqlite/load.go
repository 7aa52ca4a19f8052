package sqlite

import (
	"context"

	"hashtill/store"
)

// Load implements [store.Store].
func (d *DB) Load(ctx context.Context, shard int, rows store.Rows) error {
	if err := rows.Validate(); err != nil {
		return err
	}
	if err := d.reading(ctx, shard); err != nil {
		return err
	}
	defer d.leave()
	parts := len(rows.Records) + len(rows.Counts) + len(rows.Effects)
	return d.writer.call(ctx, parts, func(w *writer) error { return w.load(shard, rows) })
}

func (w *writer) load(shard int, rows store.Rows) error {
	for _, r := range rows.Records {
		if err := w.exec(`INSERT INTO record (shard, key, version, value) VALUES (?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET version = excluded.version, value = excluded.value`,
			shard, r.Key, r.Version, r.Value); err != nil {
			return err
		}
	}
	for _, c := range rows.Counts {
		if err := w.loadCount(shard, c); err != nil {
			return err
		}
	}
	for _, o := range rows.Effects {
		if err := w.exec(`INSERT INTO effect (shard, id, kind, due, try, leased, note, body) VALUES (?, ?, ?, ?, ?, 0, ?, ?)
			ON CONFLICT DO UPDATE SET kind = excluded.kind, due = excluded.due, try = excluded.try, leased = 0,
				note = excluded.note, body = excluded.body`,
			shard, o.ID, o.Kind, store.Millis(o.Due), o.Try, o.Note, blob(o.Body)); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) loadCount(shard int, c store.Count) error {
	delete(w.counts, countKey{shard, c.Key}) // what the batch had made of it is written over
	if c.N == 0 {
		return w.exec(`DELETE FROM count WHERE shard = ? AND key = ?`, shard, c.Key)
	}
	return w.exec(`INSERT INTO count (shard, key, n) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = excluded.n`,
		shard, c.Key, c.N)
}
