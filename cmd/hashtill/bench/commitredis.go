package bench

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"hashtill/store"
	"hashtill/store/redis"
)

// redis measures Redis. Ours and the bare script have a server each, so that neither
// reads or syncs what the other has written.
func (c Commit) redis(ctx context.Context, dir string, w *wishes, at int) (_ []figure, err error) {
	dir, err = os.MkdirTemp(dir, "redis-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var servers []*redisServer
	// Files are not rewritten meanwhile: that would be measured with one side only.
	start := func() (address string, err error) {
		own := filepath.Join(dir, strconv.Itoa(len(servers)))
		if err := os.Mkdir(own, 0o700); err != nil {
			return "", err
		}
		server, err := startRedis(ctx, own, "--auto-aof-rewrite-percentage", "0")
		if err != nil {
			return "", err
		}
		servers = append(servers, server)
		return server.address, nil
	}
	defer func() {
		for _, server := range servers {
			err = errors.Join(err, server.kill())
		}
	}()

	address, err := start()
	if err != nil {
		return nil, err
	}
	db, err := redis.Open(ctx, redis.Config{URL: "redis://" + address})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := w.open(ctx, db); err != nil {
		return nil, err
	}
	us := &side{commit: func(ctx context.Context, all []store.Change) (time.Duration, error) {
		start := time.Now()
		err := commitAll(ctx, db, all, at)
		return time.Since(start), err
	}}
	// As many connections as ours has: one for each shard that the offers are in.
	shards := map[int]bool{}
	for _, o := range w.offers {
		shards[o.Shard()] = true
	}
	conns := min(at, len(shards))
	sides := []*side{us}
	for _, b := range []bareRedis{
		{conns: conns, calls: at, changes: 1},
		{conns: (at + maxChanges - 1) / maxChanges, calls: (at + maxChanges - 1) / maxChanges, changes: min(at, maxChanges)},
	} {
		if address, err = start(); err != nil {
			return nil, err
		}
		b.client = goredis.NewClient(&goredis.Options{Addr: address, PoolSize: b.conns, DisableIdentity: true, Protocol: 2})
		defer b.client.Close()
		if b.script, err = b.client.ScriptLoad(ctx, bareLua).Result(); err != nil {
			return nil, err
		}
		for _, o := range w.offers { // what the Changes check
			if err := b.client.Set(ctx, fmt.Sprintf("{s%d}:r:offer/%s", o.Shard(), o.ID), "1 {}", 0).Err(); err != nil {
				return nil, err
			}
		}
		sides = append(sides, &side{commit: b.commit})
	}
	written := func() (n int64) {
		for _, server := range servers {
			n += writtenBy(strconv.Itoa(server.Process.Pid))
		}
		return n
	}
	if err := inTurns(ctx, w, at, c.For, written, sides...); err != nil {
		return nil, err
	}
	figures := []figure{{
		what: fmt.Sprintf("%d at a time", at), value: us.rate(), unit: "commits/s",
		against: fmt.Sprintf("bare script, %d connections", conns), limit: sides[1].rate(),
		note: fmt.Sprintf("%.1f kB written each, bare %.1f", us.perCommit(), sides[1].perCommit()),
	}}
	if at > 1 {
		figures = append(figures, figure{what: fmt.Sprintf("    %d Changes in a bare script", min(at, maxChanges)), value: sides[2].rate(), unit: "commits/s",
			note: fmt.Sprintf("%.1f kB written each", sides[2].perCommit())})
	}
	return figures, nil
}

// maxChanges is how many Changes a bare script does at most.
const maxChanges = 64

// bareRedis is a script that knows nothing but the first commit of a purchase, and a
// hand that calls it.
type bareRedis struct {
	client  *goredis.Client
	script  string
	conns   int
	calls   int // under way, over all connections
	changes int // in a call
}

// bareLua does the commands that a new purchase takes, with all its guards.
//
// KEYS, for each Change: the offer, the erased mark, purchase and code, three effects,
// four counts, the pages of the nine new keys, what is due.
// ARGV, for each: the offer's version, purchase and code with what lists them, for each
// effect due, kind, body and id, for each count what is added, its most and what lists it.
const bareLua = `
local call, k, a = redis.call, 0, 0
while k < #KEYS do
  if string.match(call('GETRANGE', KEYS[k+1], 0, 20), '^%d+') ~= ARGV[a+1] then return 'c1' end
  if call('EXISTS', KEYS[k+2], KEYS[k+3], KEYS[k+4], KEYS[k+5], KEYS[k+6], KEYS[k+7]) > 0 then return 'c2' end
  local n = call('MGET', KEYS[k+8], KEYS[k+9], KEYS[k+10], KEYS[k+11])
  for c = 0, 3 do
    local b = a + 18 + 3 * c
    if tonumber(n[c+1] or '0') + tonumber(ARGV[b]) > tonumber(ARGV[b+1]) then return 'b' end
  end
  call('SET', KEYS[k+3], ARGV[a+2])
  call('ZADD', KEYS[k+12], 0, ARGV[a+3])
  call('SET', KEYS[k+4], ARGV[a+4])
  call('ZADD', KEYS[k+13], 0, ARGV[a+5])
  for e = 0, 2 do
    local b = a + 6 + 4 * e
    call('HSET', KEYS[k+5+e], 'kind', ARGV[b+1], 'try', '0', 'leased', '0', 'note', '', 'by', '', 'body', ARGV[b+2])
    call('ZADD', KEYS[k+21], ARGV[b], ARGV[b+3])
    call('ZADD', KEYS[k+14+e], 0, 'e' .. ARGV[b+3])
  end
  for c = 0, 3 do
    local b = a + 18 + 3 * c
    call('INCRBY', KEYS[k+8+c], ARGV[b])
    if not n[c+1] then call('ZADD', KEYS[k+17+c], 0, ARGV[b+2]) end
  end
  k = k + 21
  a = a + 29
end
return 'ok'`

// purchaseOf is the keys and arguments that bareLua wants of a Change.
func purchaseOf(c store.Change) (keys []string, args []any, err error) {
	if len(c.Check) != 2 || len(c.Put) != 2 || len(c.Owe) != 3 || len(c.Add) != 4 || c.Parts() != 11 {
		return nil, nil, fmt.Errorf("the first commit of a purchase is not what it was: %d parts", c.Parts())
	}
	shard := fmt.Sprintf("{s%d}:", c.Shard)
	var pages []string
	page := func(name string) string {
		h := fnv.New32a()
		h.Write([]byte(name))
		pages = append(pages, shard+"i:"+strconv.Itoa(int(h.Sum32()%64)))
		return name
	}
	for _, p := range c.Check {
		keys = append(keys, shard+"r:"+p.Key)
	}
	args = append(args, strconv.FormatInt(c.Check[0].Version, 10))
	for _, p := range c.Put {
		keys = append(keys, shard+"r:"+p.Key)
		args = append(args, "1 "+string(p.Value), page("r"+p.Key))
	}
	for _, e := range c.Owe {
		keys = append(keys, shard+"e:"+e.ID)
		page("e" + e.ID)
		args = append(args, strconv.FormatInt(e.Due.UnixMilli(), 10), e.Kind, string(e.Body), e.ID)
	}
	for _, a := range c.Add {
		keys = append(keys, shard+"c:"+a.Key)
		args = append(args, strconv.FormatInt(a.By, 10), strconv.FormatInt(a.Max, 10), page("c"+a.Key))
	}
	return append(append(keys, pages...), shard+"due"), args, nil
}

// commit calls the script for all of them. Its arguments are made before.
func (b bareRedis) commit(ctx context.Context, all []store.Change) (time.Duration, error) {
	type call struct {
		keys []string
		args []any
	}
	var calls []call
	for i, c := range all {
		keys, args, err := purchaseOf(c)
		if err != nil {
			return 0, err
		}
		if i%b.changes == 0 {
			calls = append(calls, call{})
		}
		last := &calls[len(calls)-1]
		last.keys, last.args = append(last.keys, keys...), append(last.args, args...)
	}
	errs := make([]error, b.conns)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range b.conns {
		// This connection's share of the calls that are under way, and of all.
		from, to := i*b.calls/b.conns, (i+1)*b.calls/b.conns
		pipeline, mine := to-from, calls[from*len(calls)/b.calls:to*len(calls)/b.calls]
		wg.Go(func() {
			for ; len(mine) > 0 && errs[i] == nil; mine = mine[min(pipeline, len(mine)):] {
				answers, err := b.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
					for _, c := range mine[:min(pipeline, len(mine))] {
						p.EvalSha(ctx, b.script, c.keys, c.args...)
					}
					return nil
				})
				errs[i] = err
				for _, a := range answers {
					if text, err := a.(*goredis.Cmd).Text(); err == nil && text != "ok" {
						errs[i] = fmt.Errorf("the bare script answers %q", text)
					}
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start), errors.Join(errs...)
}
