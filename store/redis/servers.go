package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"hashtill/store"
)

// prepare looks at every server that will be written to, and at the data.
func (d *DB) prepare(ctx context.Context) error {
	cluster, inCluster := d.client.(*redis.ClusterClient)
	look := func(ctx context.Context, node *redis.Client) error { return d.inspect(ctx, node, inCluster) }
	var err error
	if inCluster {
		err = cluster.ForEachMaster(ctx, look)
	} else {
		err = look(ctx, d.client.(*redis.Client))
	}
	if err != nil && strings.Contains(err.Error(), "cluster support disabled") {
		err = errors.New("it is not part of a cluster: write redis://")
	}
	if err != nil {
		return err
	}
	key := shardTag[0] + "format"
	if err := d.client.SetNX(ctx, key, format, 0).Err(); err != nil {
		return err
	}
	there, err := d.client.Get(ctx, key).Result()
	if err == nil && there != format {
		err = fmt.Errorf("what is there was written by another Hashtill (%q, this one knows %q): run that one", there, format)
	}
	d.servers.compare(ctx, d)
	d.servers.open()
	return err
}

// inspect refuses a server that is not fit, or that would lose what it has
// acknowledged by its configuration
// (https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/).
func (d *DB) inspect(ctx context.Context, node *redis.Client, inCluster bool) error {
	text, err := node.Info(ctx, "server", "replication", "persistence", "memory", "cluster").Result()
	if err != nil {
		return fmt.Errorf("%s: %w%s", node.Options().Addr, err, advice(err))
	}
	info := parseInfo(text)
	where := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w", node.Options().Addr, fmt.Errorf(format, args...))
	}
	major, _, _ := strings.Cut(info["redis_version"], ".")
	if n, err := strconv.Atoi(major); err != nil || n < 7 {
		return where("it is Redis %s: version 7 or later is needed", info["redis_version"])
	}
	switch {
	case info["cluster_enabled"] == "1" && !inCluster:
		return where("it is part of a cluster: write redis-cluster:// with some of its nodes")
	case info["role"] != "master":
		return where("it is a replica: name its master")
	}
	fsync := "" // unknown where this user may not read the configuration
	if got, err := node.ConfigGet(ctx, "appendfsync").Result(); err == nil {
		fsync = got["appendfsync"]
	}
	if fsync == "" {
		d.cfg.Log.Warn("this user may not read appendfsync, so it is unknown what a crash of the machine loses: allow it +config|get", "server", node.Options().Addr)
	}
	if n, err := strconv.Atoi(info["connected_slaves"]); err == nil && n < d.cfg.Wait {
		d.cfg.Log.Warn("there are fewer replicas than are waited for: nothing is done outside until they are there",
			"server", node.Options().Addr, "replicas", n, "wait", d.cfg.Wait)
	}
	if n, err := strconv.Atoi(info["connected_slaves"]); err == nil && n > 0 && d.cfg.Wait == 0 {
		d.cfg.Log.Warn("there are replicas, and none is waited for: one that takes over may have forgotten what was done (redis.wait)",
			"server", node.Options().Addr, "replicas", n)
	}
	var risks []string
	switch {
	case info["aof_enabled"] != "1":
		risks = append(risks, "it has no append-only file, and a restart loses everything since its last snapshot: CONFIG SET appendonly yes, and write it into redis.conf")
	case fsync == "no":
		risks = append(risks, "appendfsync is no, and a crash of its machine loses up to half a minute: CONFIG SET appendfsync always (or everysec)")
	}
	if policy := info["maxmemory_policy"]; policy != "noeviction" {
		risks = append(risks, fmt.Sprintf("maxmemory-policy is %s, which throws data away when memory is short: CONFIG SET maxmemory-policy noeviction", policy))
	}
	if len(risks) > 0 && !d.cfg.AllowLoss {
		return where("%s", strings.Join(risks, "; "))
	}
	for _, risk := range risks {
		d.cfg.Log.Warn("redis can lose data", "server", node.Options().Addr, "why", risk)
	}
	if info["aof_enabled"] == "1" && fsync == "everysec" && d.cfg.Wait == 0 {
		d.cfg.Log.Info("redis can lose a second when its machine dies: appendfsync always does not", "server", node.Options().Addr, "appendfsync", fsync)
	}
	return nil
}

// advice is what to do about an error of the first call to a server.
func advice(err error) string {
	for words, advice := range map[string]string{
		"NOAUTH":             ": it wants a password (redis.password_file)",
		"WRONGPASS":          ": it does not take this user and password (redis.password_file)",
		"NOPERM":             ": this user may not do what is needed (the README has its rights)",
		"DB index":           ": it has no such database",
		"first record":       ": it does not speak TLS: write redis://",
		"EOF":                ": perhaps it speaks TLS: write rediss://",
		"certificate":        ": its certificate is not trusted (redis.ca_file)",
		"connection refused": ": nothing listens there: is it running?",
		"no such host":       ": there is no such host",
		"i/o timeout":        ": it does not answer: is it running, and may this machine reach it?",
	} {
		if strings.Contains(err.Error(), words) {
			return advice
		}
	}
	return ""
}

// parseInfo reads the answer to INFO.
func parseInfo(text string) map[string]string {
	info := map[string]string{}
	for in := bufio.NewScanner(strings.NewReader(text)); in.Scan(); {
		if name, value, ok := strings.Cut(in.Text(), ":"); ok {
			info[name] = strings.TrimSpace(value)
		}
	}
	return info
}

// OnForgotten has told called when a server has been restarted or another one
// has taken over, which may not have what was acknowledged last. told must not
// block. There is one at a time.
func (d *DB) OnForgotten(told func()) {
	d.servers.mu.Lock()
	defer d.servers.mu.Unlock()
	d.servers.told = told
}

// servers knows which masters it has met.
type servers struct {
	log *slog.Logger

	mu      sync.Mutex
	ready   bool                 // all masters have been met once
	runs    map[string]bool      // of masters: each start of a server has an id of its own
	masters [store.Shards]string // addresses
	started func()               // is called for each new one; it does not block
	told    func()
	toldAt  time.Time
	pending bool // something is to be told
}

// tellEvery is how often OnForgotten tells at most.
const tellEvery = 5 * time.Second

func (s *servers) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = true
}

// met is called with each new connection.
func (s *servers) met(ctx context.Context, conn *redis.Conn) error {
	text, err := conn.Info(ctx, "server", "replication").Result()
	if err != nil {
		return err
	}
	info := parseInfo(text)
	if info["role"] != "master" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs == nil {
		s.runs = map[string]bool{}
	}
	if run := info["run_id"]; !s.runs[run] {
		s.runs[run] = true
		s.started()
		s.changed("a Redis server was started")
	}
	return nil
}

// compare looks whether another master has a shard. The client knows without
// asking.
func (s *servers) compare(ctx context.Context, d *DB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell()
	cluster, ok := d.client.(*redis.ClusterClient)
	if !ok {
		return
	}
	moved, masters := 0, s.masters
	for shard := range s.masters {
		node, err := cluster.MasterForKey(ctx, dueKey(shard))
		if err != nil {
			return // it is looked again at the next call
		}
		if addr := node.Options().Addr; addr != masters[shard] {
			masters[shard] = addr
			moved++
		}
	}
	s.masters = masters
	if moved > 0 {
		s.changed(fmt.Sprintf("%d shards have another Redis master", moved))
	}
}

// changed tells; s.mu is held.
func (s *servers) changed(what string) {
	if !s.ready {
		return
	}
	s.log.Warn("redis may have forgotten its last commits", "why", what)
	s.pending = true
	s.tell()
}

// tell tells what is pending, but not all of a fail-over's small steps on their own;
// s.mu is held.
func (s *servers) tell() {
	if now := time.Now(); s.pending && s.told != nil && now.Sub(s.toldAt) >= tellEvery {
		s.pending, s.toldAt = false, now
		s.told()
	}
}

// An outage is told once when it begins and once when it is over, however many
// calls meet it.
type outage struct {
	log   *slog.Logger
	mu    sync.Mutex
	since time.Time
}

func (o *outage) met(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		o.since = time.Now()
		o.log.Error("redis does not take commits; trying again", "err", err)
	}
}

func (o *outage) over() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.since.IsZero() {
		o.log.Info("redis takes commits again", "away", time.Since(o.since).Round(time.Millisecond))
		o.since = time.Time{}
	}
}

// go-redis would print each failed dial on its own.
func init() { redis.SetLogger(silent{}) }

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}
