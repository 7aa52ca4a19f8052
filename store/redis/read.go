package redis

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"hashtill/store"
)

//go:embed scan.lua
var scanLua string

var scanScript = redis.NewScript(scanLua)

// maxPage bounds a page of a scan, whatever is asked for.
const maxPage = 10_000

// Get implements [store.Store].
func (d *DB) Get(ctx context.Context, shard int, keys ...string) ([]store.Record, error) {
	if err := d.enter(ctx, shard); err != nil {
		return nil, err
	}
	defer d.leave()
	return d.records(ctx, shard, keys)
}

func (d *DB) records(ctx context.Context, shard int, keys []string) ([]store.Record, error) {
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = recordKey(shard, key)
	}
	kept, err := d.mget(ctx, shard, names)
	if err != nil {
		return nil, err
	}
	recs := make([]store.Record, len(keys))
	for i, key := range keys {
		recs[i].Key = key
		if text, there := kept[i].(string); there {
			var ok bool
			if recs[i], ok = record(key, text); !ok {
				return nil, fmt.Errorf("redis: %s is no record", names[i])
			}
		}
	}
	return recs, nil
}

// Counts implements [store.Store].
func (d *DB) Counts(ctx context.Context, shard int, keys ...string) ([]int64, error) {
	if err := d.enter(ctx, shard); err != nil {
		return nil, err
	}
	defer d.leave()
	return d.counts(ctx, shard, keys)
}

func (d *DB) counts(ctx context.Context, shard int, keys []string) ([]int64, error) {
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = countKey(shard, key)
	}
	kept, err := d.mget(ctx, shard, names)
	if err != nil {
		return nil, err
	}
	counts := make([]int64, len(keys))
	for i := range keys {
		if text, there := kept[i].(string); there {
			if counts[i], err = strconv.ParseInt(text, 10, 64); err != nil {
				return nil, fmt.Errorf("redis: %s is no count", names[i])
			}
		}
	}
	return counts, nil
}

// scan reads a page of the names of one kind that the index lists, without the
// kind. A cursor is a page of the index and the last name.
func (d *DB) scan(ctx context.Context, shard int, kind, prefix, cursor string, limit int) (names []string, next string, err error) {
	page, from := 0, "["+kind+prefix
	begin := from
	if cursor != "" {
		n, last, ok := strings.Cut(cursor, ":")
		if page, err = strconv.Atoi(n); !ok || err != nil || page < 0 || page >= indexPages {
			return nil, "", fmt.Errorf("%w: cursor %q", store.ErrInvalid, cursor)
		}
		begin = "(" + kind + last
	}
	var keys []string
	for i := page; i < indexPages; i++ {
		keys = append(keys, pageKey(shard, i))
	}
	answer, err := scanScript.Run(ctx, d.client, keys, begin, from, after(kind+prefix), decimal(int64(min(max(limit, 1), maxPage)))).Slice()
	if err != nil {
		return nil, "", fmt.Errorf("redis: %w", err)
	}
	place, _ := answer[0].(int64)
	for _, listed := range answer[1:] {
		name, _ := listed.(string)
		names = append(names, strings.TrimPrefix(name, kind))
	}
	if place > 0 {
		next = fmt.Sprint(page+int(place)-1, ":", names[len(names)-1])
	}
	return names, next, nil
}

// Scan implements [store.Store]; the order is that of the index.
func (d *DB) Scan(ctx context.Context, shard int, prefix, cursor string, limit int) ([]store.Record, string, error) {
	if err := d.enter(ctx, shard); err != nil {
		return nil, "", err
	}
	defer d.leave()
	keys, next, err := d.scan(ctx, shard, recordKind, prefix, cursor, limit)
	if err != nil {
		return nil, "", err
	}
	recs, err := d.records(ctx, shard, keys)
	if err != nil {
		return nil, "", err
	}
	there := recs[:0]
	for _, r := range recs {
		if r.Version > 0 { // else removed since it was listed
			there = append(there, r)
		}
	}
	return there, next, nil
}

// ScanCounts implements [store.Store]; the order is that of the index.
func (d *DB) ScanCounts(ctx context.Context, shard int, prefix, cursor string, limit int) ([]store.Count, string, error) {
	if err := d.enter(ctx, shard); err != nil {
		return nil, "", err
	}
	defer d.leave()
	keys, next, err := d.scan(ctx, shard, countKind, prefix, cursor, limit)
	if err != nil {
		return nil, "", err
	}
	ns, err := d.counts(ctx, shard, keys)
	if err != nil {
		return nil, "", err
	}
	var counts []store.Count
	for i, n := range ns {
		if n != 0 {
			counts = append(counts, store.Count{Key: keys[i], N: n})
		}
	}
	return counts, next, nil
}

// Owed implements [store.Store]; the order is that of the index.
func (d *DB) Owed(ctx context.Context, shard int, cursor string, limit int) ([]store.Owed, string, error) {
	if err := d.enter(ctx, shard); err != nil {
		return nil, "", err
	}
	defer d.leave()
	ids, next, err := d.scan(ctx, shard, effectKind, "", cursor, limit)
	if err != nil || len(ids) == 0 {
		return nil, next, err
	}
	// One transaction: an effect that is moved meanwhile is seen before or after.
	pipe := d.client.TxPipeline()
	fields := make([]*redis.SliceCmd, len(ids))
	dues := make([]*redis.FloatCmd, len(ids))
	for i, id := range ids {
		fields[i] = pipe.HMGet(ctx, effectKey(shard, id), "kind", "try", "note", "body")
		dues[i] = pipe.ZScore(ctx, dueKey(shard), id)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, "", fmt.Errorf("redis: %w", err)
	}
	var owed []store.Owed
	for i, id := range ids {
		due, err := dues[i].Result()
		if errors.Is(err, redis.Nil) {
			continue // settled since it was listed
		}
		if err != nil {
			return nil, "", fmt.Errorf("redis: %w", err)
		}
		o := store.Owed{Shard: shard, Effect: store.Effect{ID: id}}
		text := make([]string, 4)
		for n, f := range fields[i].Val() {
			text[n], _ = f.(string)
		}
		if o.Due, err = milliseconds(strconv.FormatFloat(due, 'f', -1, 64)); err != nil {
			return nil, "", err
		}
		if o.Try, err = strconv.ParseInt(text[1], 10, 64); err != nil {
			return nil, "", fmt.Errorf("redis: %s is no effect", effectKey(shard, id))
		}
		o.Kind, o.Note, o.Body = text[0], text[2], []byte(text[3])
		owed = append(owed, o)
	}
	return owed, next, nil
}

// Load implements [store.Store].
func (d *DB) Load(ctx context.Context, shard int, rows store.Rows) error {
	if err := rows.Validate(); err != nil {
		return err
	}
	if err := d.enter(ctx, shard); err != nil {
		return err
	}
	defer d.leave()
	// MULTI and EXEC: all or nothing, and sent again it does the same again.
	pipe := d.client.TxPipeline()
	list := func(name string) { pipe.ZAdd(ctx, pageKey(shard, pageOf(name)), redis.Z{Member: name}) }
	for _, r := range rows.Records {
		pipe.Set(ctx, recordKey(shard, r.Key), value(r.Version, r.Value), 0)
		list(recordKind + r.Key)
	}
	for _, c := range rows.Counts {
		if c.N == 0 {
			pipe.Del(ctx, countKey(shard, c.Key))
			pipe.ZRem(ctx, pageKey(shard, pageOf(countKind+c.Key)), countKind+c.Key)
			continue
		}
		pipe.Set(ctx, countKey(shard, c.Key), decimal(c.N), 0)
		list(countKind + c.Key)
	}
	for _, e := range rows.Effects {
		pipe.HSet(ctx, effectKey(shard, e.ID), "kind", e.Kind, "try", decimal(e.Try), "leased", "0", "note", e.Note, "by", "", "body", string(e.Body))
		pipe.ZAdd(ctx, dueKey(shard), redis.Z{Score: float64(store.Millis(e.Due)), Member: e.ID})
		list(effectKind + e.ID)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}
