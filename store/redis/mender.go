package redis

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"hashtill/store"
)

// A mender has each server that was started write its append-only file anew.
//
// What a crash has torn off within a batch, Redis takes away to the end of the last whole
// command, and leaves the MULTI before it open. The next batch is appended to that, and at
// the next start both are done: half a batch that nobody was answered (Redis 7.0.15,
// loadSingleAppendOnlyFile in its aof.c, where valid_up_to moves within a MULTI, too).
// A file that is written anew has nothing of it. Two crashes within the seconds that this
// takes are not mended; then half a batch may be done, which is whole again where its
// process has lived to send it once more.
type mender struct {
	db *DB

	mu    sync.Mutex
	again bool // a server was started since it last looked
	runs  bool
	told  map[string]bool // servers that refuse
}

// How long it waits before it looks again, at first and at most.
const (
	mendSoon  = 100 * time.Millisecond
	mendLater = 30 * time.Second
)

// wake has it look at all servers. It does not block.
func (m *mender) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.again = true
	if !m.runs {
		m.runs = true
		m.db.errands.Go(m.run)
	}
}

// errNotWhole: a server is to be looked at again.
var errNotWhole = errors.New("its append-only file is not written anew yet")

// run goes on until all servers are whole, or the store is closed.
func (m *mender) run() {
	for pause := mendSoon; ; pause = min(2*pause, mendLater) {
		m.mu.Lock()
		m.again = false
		m.mu.Unlock()
		whole := m.all()
		m.mu.Lock()
		if m.db.ends.Err() != nil || whole && !m.again {
			m.runs = false
			m.mu.Unlock()
			return
		}
		if m.again {
			pause = mendSoon
		}
		m.mu.Unlock()
		select {
		case <-m.db.ends.Done():
		case <-time.After(pause):
		}
	}
}

// all looks at each server that has a shard, and says whether all are whole.
func (m *mender) all() (whole bool) {
	whole = true
	seen := map[*redis.Client]bool{}
	for shard := range store.Shards {
		ctx, cancel := context.WithTimeout(m.db.ends, nodeTime)
		node, err := m.db.node(ctx, shard)
		if err == nil && !seen[node] {
			seen[node] = true
			err = m.one(ctx, node, shard)
		}
		cancel()
		whole = whole && err == nil
	}
	return whole
}

// one has a server mended that has the shard. An error says that it is not whole yet.
func (m *mender) one(ctx context.Context, node *redis.Client, shard int) error {
	text, err := node.Info(ctx, "persistence").Result()
	if err != nil {
		return err
	}
	switch info := parseInfo(text); {
	case info["aof_enabled"] != "1":
		return nil
	case info["aof_rewrite_in_progress"] != "0" || info["aof_rewrite_scheduled"] != "0" || info["loading"] != "0":
		return errNotWhole
	case info["aof_rewrites"] != "0" && info["aof_last_bgrewrite_status"] == "ok":
		return nil
	}
	// Redis begins another file before it writes anew, and one that ends in an open MULTI
	// keeps it from starting if it is not the last. Of two commands it makes a MULTI, and
	// that ends here.
	key := shardTag[shard] + "aof"
	_, err = node.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Set(ctx, key, "", 0)
		p.Del(ctx, key)
		return nil
	})
	if err == nil {
		err = node.BgRewriteAOF(ctx).Err()
	}
	if err == nil || !redis.HasErrorPrefix(err, "NOPERM") && !strings.Contains(err.Error(), "unknown command") {
		return errNotWhole // yet, or any more: it is looked again
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if server := node.Options().Addr; !m.told[server] {
		m.told[server] = true
		m.db.cfg.Log.Warn("redis does not let its append-only file be written anew: after a crash within a commit, the half of it that was written may be done at a later start (allow this user +bgrewriteaof)",
			"server", server, "err", err)
	}
	return nil
}
