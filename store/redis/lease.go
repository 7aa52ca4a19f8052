package redis

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"hashtill/store"
)

//go:embed lease.lua
var leaseLua string

var leaseScript = redis.NewScript(leaseLua)

const (
	// waitFor is how long the replicas may take to confirm what they have.
	waitFor = time.Second
	// firstLook is how many effects of each shard are looked at first: where only a
	// few shards have anything due, these are asked again for more.
	firstLook = 4
)

// A candidate is an effect that looked due.
type candidate struct {
	shard int
	id    string
	due   float64
}

// Lease implements [store.Store]. Asking costs one command for each shard, all of
// them in one pipeline to each master; what is due costs one more for each shard
// that it is in. A master that does not answer holds up only its own shards: the
// error is returned where nothing is due in the others.
func (d *DB) Lease(ctx context.Context, now, until time.Time, limit int) ([]store.Lease, error) {
	if err := store.ValidLease(now, until); err != nil {
		return nil, err
	}
	if err := d.enter(ctx, 0); err != nil {
		return nil, err
	}
	defer d.leave()
	if limit < 1 {
		return nil, nil
	}
	d.servers.compare(ctx, d)
	for {
		due, err := d.due(ctx, now, limit)
		if len(due) == 0 {
			return nil, err
		}
		leases, err := d.take(ctx, due, now, until)
		if len(leases) > 0 || err != nil {
			return leases, err
		}
		// Other processes were faster; something else may be due.
	}
}

// due finds effects that are due at now, the longest due first.
func (d *DB) due(ctx context.Context, now time.Time, limit int) ([]candidate, error) {
	var all []int
	for shard := range store.Shards {
		all = append(all, shard)
	}
	found, more, err := d.look(ctx, all, now, min(firstLook, limit))
	if len(found) < limit && len(more) > 0 {
		found = slices.DeleteFunc(found, func(c candidate) bool { return slices.Contains(more, c.shard) })
		again, _, errAgain := d.look(ctx, more, now, limit)
		found, err = append(found, again...), either(err, errAgain)
	}
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.shard, b.shard), cmp.Compare(a.id, b.id))
	})
	return found[:min(limit, len(found))], err
}

// look reads the first due effects of some shards; more are the shards that may
// have more.
func (d *DB) look(ctx context.Context, shards []int, now time.Time, limit int) (found []candidate, more []int, err error) {
	pipe := d.client.Pipeline()
	asked := make([]*redis.ZSliceCmd, len(shards))
	for i, shard := range shards {
		asked[i] = pipe.ZRangeArgsWithScores(ctx, redis.ZRangeArgs{
			Key: dueKey(shard), ByScore: true, Start: "-inf", Stop: decimal(now.UnixMilli()), Count: int64(limit),
		})
	}
	pipe.Exec(ctx) // each command has its own error
	for i, shard := range shards {
		due, errShard := asked[i].Result()
		if errShard != nil {
			err = fmt.Errorf("redis: shard %d: %w", shard, errShard)
			continue
		}
		for _, z := range due {
			found = append(found, candidate{shard, z.Member.(string), z.Score})
		}
		if len(due) == limit {
			more = append(more, shard)
		}
	}
	return found, more, err
}

// take leases candidates that are still due.
func (d *DB) take(ctx context.Context, due []candidate, now, until time.Time) (leases []store.Lease, err error) {
	ids := map[int][]string{} // by shard
	var shards []int
	for _, c := range due {
		if ids[c.shard] == nil {
			shards = append(shards, c.shard)
		}
		ids[c.shard] = append(ids[c.shard], c.id)
	}
	byNode := map[*redis.Client][]int{}
	for _, shard := range shards {
		node, errNode := d.node(ctx, shard)
		if errNode != nil {
			err = fmt.Errorf("redis: %w", errNode)
			continue
		}
		byNode[node] = append(byNode[node], shard)
	}
	call := d.process + "/" + decimal(d.leases.Add(1))
	for node, shards := range byNode {
		got, errNode := d.takeFrom(ctx, node, shards, ids, call, now, until)
		leases = append(leases, got...)
		err = either(err, errNode)
	}
	slices.SortFunc(leases, func(a, b store.Lease) int {
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.ID, b.ID))
	})
	if len(leases) > 0 {
		err = nil // it comes again where nothing else is due
	}
	return leases, err
}

// takeFrom leases from one server. All calls go over one connection, so that WAIT
// at their end covers them and all that was written before
// (https://redis.io/docs/latest/commands/wait/).
func (d *DB) takeFrom(ctx context.Context, node *redis.Client, shards []int, ids map[int][]string, call string, now, until time.Time) ([]store.Lease, error) {
	calls := make([]*redis.Cmd, len(shards))
	var confirmed *redis.Cmd
	ask := func() (err error) {
		pipe := node.Pipeline()
		for i, shard := range shards {
			keys := []string{dueKey(shard)}
			args := []any{decimal(now.UnixMilli()), decimal(store.Millis(until)), call}
			for _, id := range ids[shard] {
				keys, args = append(keys, effectKey(shard, id)), append(args, id)
			}
			calls[i] = leaseScript.EvalSha(ctx, pipe, keys, args...)
		}
		if d.cfg.Wait > 0 {
			confirmed = pipe.Do(ctx, "wait", d.cfg.Wait, waitFor.Milliseconds())
		}
		_, err = pipe.Exec(ctx)
		return err
	}
	err := ask()
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		if err = leaseScript.Load(ctx, node).Err(); err == nil {
			err = ask()
		}
	}
	var leases []store.Lease
	for i, shard := range shards {
		rows, errCall := calls[i].Slice()
		if errCall != nil {
			d.moved(ctx, errCall)
			err = either(err, errCall)
			continue
		}
		for _, row := range rows {
			l, errRow := lease(shard, ids[shard], row)
			if errRow != nil {
				return leases, errRow
			}
			l.Until = time.UnixMilli(store.Millis(until)).UTC()
			leases = append(leases, l)
		}
	}
	if d.cfg.Wait > 0 && len(leases) > 0 {
		if n, errWait := confirmed.Int64(); errWait != nil || n < int64(d.cfg.Wait) {
			d.giveBack(ctx, leases, now)
			return nil, fmt.Errorf("redis: %d of %d replicas have what was written: nothing is done outside until they have (%w)", n, d.cfg.Wait, either(errWait, ErrReplicas))
		}
	}
	if err != nil {
		err = fmt.Errorf("redis: %w", err)
	}
	return leases, err
}

// either is the first of two errors that there is.
func either(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// ErrReplicas: fewer replicas than Config.Wait have all that was written.
var ErrReplicas = errors.New("replicas are missing or behind")

// giveBack makes leases due again that must not be performed yet.
func (d *DB) giveBack(ctx context.Context, leases []store.Lease, now time.Time) {
	for _, l := range leases {
		c := store.Change{Shard: l.Shard, PutOff: []store.PutOff{{ID: l.ID, Try: l.Try, Due: now.Add(waitFor), Note: l.Note}}}
		if err := d.writers[l.Shard].call(ctx, c); err != nil {
			d.cfg.Log.Warn("cannot give an effect back: its lease runs out instead", "effect", l.ID, "err", err)
		}
	}
}

// moved has the client look for the masters anew.
func (d *DB) moved(ctx context.Context, err error) {
	if cluster, ok := d.client.(*redis.ClusterClient); ok && passing(err) {
		cluster.ReloadState(ctx)
	}
}

// lease reads a row of lease.lua's answer.
func lease(shard int, ids []string, row any) (l store.Lease, err error) {
	fields, _ := row.([]any)
	if len(fields) != 6 {
		return l, fmt.Errorf("redis: lease.lua answers %d fields", len(fields))
	}
	text := make([]string, len(fields))
	for i, f := range fields[1:] {
		text[i+1], _ = f.(string)
	}
	n, _ := fields[0].(int64)
	due, errDue := milliseconds(text[1])
	try, errTry := strconv.ParseInt(text[3], 10, 64)
	if n < 1 || n > int64(len(ids)) || errDue != nil || errTry != nil {
		return l, fmt.Errorf("redis: lease.lua answers %q", text)
	}
	return store.Lease{
		Shard:  shard,
		Effect: store.Effect{ID: ids[n-1], Kind: text[2], Due: due, Body: []byte(text[5])},
		Try:    try, Note: text[4],
	}, nil
}

// milliseconds reads a score, which Redis writes as a double.
func milliseconds(score string) (time.Time, error) {
	ms, err := strconv.ParseFloat(score, 64)
	if err != nil || ms != math.Trunc(ms) || math.Abs(ms) > store.MaxCount {
		return time.Time{}, fmt.Errorf("redis: %q is no time", strings.ToValidUTF8(score, "?"))
	}
	return time.UnixMilli(int64(ms)).UTC(), nil
}
