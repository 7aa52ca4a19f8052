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
	"sync"
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
// that it is in. A master that does not answer, or does not write, holds up only its
// own shards, and a Lease for no longer than [nodeTime]: the error is returned where
// nothing is due in the others.
func (d *DB) Lease(ctx context.Context, now, until time.Time, limit int) ([]store.Lease, error) {
	if err := store.ValidLease(now, until); err != nil {
		return nil, err
	}
	if err := d.enter(ctx, 0); err != nil {
		return nil, err
	}
	defer d.leave()
	if limit = min(limit, maxLeased); limit < 1 {
		return nil, nil
	}
	d.servers.compare(ctx, d)
	shards := map[*redis.Client][]int{}
	var err error
	for shard := range store.Shards {
		node, errNode := d.node(ctx, shard)
		if errNode != nil {
			err = fmt.Errorf("redis: shard %d: %w", shard, errNode)
			continue
		}
		shards[node] = append(shards[node], shard)
	}
	var leases []store.Lease
	for range leaseRounds {
		due := map[*redis.Client][]candidate{}
		var mu sync.Mutex // of due
		failed := d.each(shards, func(node *redis.Client, of []int) ([]store.Lease, error) {
			found, err := d.due(ctx, node, of, now, limit)
			mu.Lock()
			defer mu.Unlock()
			due[node] = found
			return nil, err
		}, nil)
		err = either(err, failed)
		ids := first(due, limit-len(leases))
		if len(ids) == 0 {
			break
		}
		call := d.process + "/" + decimal(d.leases.Add(1))
		before := len(leases)
		failed = d.each(shards, func(node *redis.Client, _ []int) ([]store.Lease, error) {
			if len(ids[node]) == 0 {
				return nil, nil
			}
			return d.takeFrom(ctx, node, ids[node], call, now, until)
		}, &leases)
		err = either(err, failed)
		if failed == nil && len(leases) > before || len(leases) == limit {
			break
		}
		// Other processes were faster, or a master refuses: something else may be due.
	}
	if len(leases) == 0 {
		return nil, err
	}
	slices.SortFunc(leases, func(a, b store.Lease) int {
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.ID, b.ID))
	})
	return leases, nil // an error comes again where nothing else is due
}

const (
	// nodeTime is how long one master may take to say what is due, and again to hand
	// it out.
	nodeTime = 2 * time.Second
	// maxLeased bounds a Lease: lease.lua unpacks them, and Lua does at most 8,000 at once.
	maxLeased = 2000
	// leaseRounds bounds how often a Lease looks again because others were faster.
	leaseRounds = 8
)

// each asks all masters at once. One that fails is asked no more.
func (d *DB) each(shards map[*redis.Client][]int, ask func(*redis.Client, []int) ([]store.Lease, error), leases *[]store.Lease) (err error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed []*redis.Client
	for node, of := range shards {
		all.Go(func() {
			got, errNode := ask(node, of)
			mu.Lock()
			defer mu.Unlock()
			if leases != nil {
				*leases = append(*leases, got...)
			}
			if errNode != nil {
				err = fmt.Errorf("redis: %w", errNode)
				failed = append(failed, node)
			}
		})
	}
	all.Wait()
	for _, node := range failed {
		delete(shards, node)
	}
	return err
}

// first are the longest due of all candidates, at most limit.
func first(due map[*redis.Client][]candidate, limit int) map[*redis.Client][]candidate {
	type at struct {
		node *redis.Client
		candidate
	}
	var all []at
	for node, found := range due {
		for _, c := range found {
			all = append(all, at{node, c})
		}
	}
	slices.SortFunc(all, func(a, b at) int {
		return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.shard, b.shard), cmp.Compare(a.id, b.id))
	})
	chosen := map[*redis.Client][]candidate{}
	for _, c := range all[:min(limit, len(all))] {
		chosen[c.node] = append(chosen[c.node], c.candidate)
	}
	return chosen
}

// due finds effects of some shards of one master that are due at now.
func (d *DB) due(ctx context.Context, node *redis.Client, shards []int, now time.Time, limit int) ([]candidate, error) {
	ctx, cancel := context.WithTimeout(ctx, nodeTime)
	defer cancel()
	found, more, err := d.look(ctx, node, shards, now, min(firstLook, limit))
	if err == nil && len(found) < limit && len(more) > 0 {
		found = slices.DeleteFunc(found, func(c candidate) bool { return slices.Contains(more, c.shard) })
		var again []candidate
		again, _, err = d.look(ctx, node, more, now, limit)
		found = append(found, again...)
	}
	return found, err
}

// look reads the first due effects of some shards; more are the shards that may
// have more.
func (d *DB) look(ctx context.Context, node *redis.Client, shards []int, now time.Time, limit int) (found []candidate, more []int, err error) {
	pipe := node.Pipeline()
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
			d.moved(ctx, errShard)
			err = fmt.Errorf("shard %d: %w", shard, errShard)
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

// takeFrom leases from one server. All calls go over one connection, so that WAIT
// at their end covers them and all that was written before
// (https://redis.io/docs/latest/commands/wait/).
func (d *DB) takeFrom(ctx context.Context, node *redis.Client, due []candidate, call string, now, until time.Time) ([]store.Lease, error) {
	if err := d.hasReplicas(ctx, node, due[0].shard); err != nil {
		return nil, err
	}
	ids := map[int][]string{} // by shard
	var shards []int
	for _, c := range due {
		if ids[c.shard] == nil {
			shards = append(shards, c.shard)
		}
		ids[c.shard] = append(ids[c.shard], c.id)
	}
	calls := make([]*redis.Cmd, len(shards))
	var confirmed *redis.Cmd
	ask := func() (err error) {
		ctx, cancel := context.WithTimeout(ctx, nodeTime)
		defer cancel()
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
				err = either(err, errRow) // its lease runs out
				continue
			}
			l.Until = time.UnixMilli(store.Millis(until)).UTC()
			leases = append(leases, l)
		}
	}
	if d.cfg.Wait > 0 && len(leases) > 0 {
		if n, errWait := confirmed.Int64(); errWait != nil || n < int64(d.cfg.Wait) {
			d.short.Store(node.Options().Addr, true)
			d.giveBack(ctx, leases, now)
			return nil, fmt.Errorf("%d of %d replicas have what was written: nothing is done outside until they have (%w)", n, d.cfg.Wait, either(errWait, ErrReplicas))
		}
	}
	return leases, err
}

// hasReplicas asks a master whose replicas were missing whether they are there again,
// by a write that is nobody's: an effect that is handed out and taken back would
// count as tried.
func (d *DB) hasReplicas(ctx context.Context, node *redis.Client, shard int) error {
	addr := node.Options().Addr
	if _, short := d.short.Load(addr); !short {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, nodeTime)
	defer cancel()
	pipe := node.Pipeline()
	pipe.Set(ctx, shardTag[shard]+"probe", "1", time.Minute)
	confirmed := pipe.Do(ctx, "wait", d.cfg.Wait, waitFor.Milliseconds())
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	if n, err := confirmed.Int64(); err != nil || n < int64(d.cfg.Wait) {
		return fmt.Errorf("%d of %d replicas have what was written: nothing is done outside until they have (%w)", n, d.cfg.Wait, either(err, ErrReplicas))
	}
	d.short.Delete(addr)
	return nil
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
