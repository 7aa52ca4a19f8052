// Package redis keeps a [store.Store] in Redis 7 or a Redis Cluster, by go-redis:
// the engine for more than one machine. Any number of processes share it.
//
// # Keys
//
// Each shard has one hash tag, so that a Change is one script in one slot, and a
// key for each row; no key grows with the shop:
//
//	{s7}:r:KEY     a record: its version, a space, its value
//	{s7}:c:KEY     a count
//	{s7}:e:ID      an effect: kind, try, leased, note, body, and who leased it (hash)
//	{s7}:due       the effects by their due time (sorted set); it is as long as what is owed
//	{s7}:i:PAGE    64 sorted sets that list the rows of the shard, by a hash of the name
//	{s7}:last:P    the last batch of process P and its answer, for a day
//	{s7}:probe     written to see whether replicas are there, for a minute
//	{s0}:format    what all this is
//
// # Commits
//
// What waits for a shard goes out as one batch, one call of commit.lua; each Change
// in it succeeds or fails alone. The batches of all shards of a server, and what is read
// there, share a packet. A batch has a number, and the script remembers the
// last one with its answer: a batch that is sent again, because the answer was lost
// or a master went away, is answered and not done twice. So a Commit rides out a
// restart or a fail-over of up to [patience]; afterwards it returns an error of
// unknown outcome. The queue of each shard is bounded: callers wait.
//
// # What Redis can forget
//
// With appendfsync always a single Redis forgets nothing that it has acknowledged.
// With everysec it can forget a second when its machine dies. A replica that takes
// over may not have all of its master's last writes. Therefore:
//
//   - Config.Wait makes Lease hand out effects only when that many replicas have
//     all writes until then (WAIT), so that nothing is done outside that could
//     still be forgotten.
//   - [DB.OnForgotten] tells when a server was restarted or another one took over, so
//     that the feed can be read again.
//   - [Open] refuses servers that would lose data by their configuration.
package redis

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"hashtill/store"
)

const (
	dialTimeout = time.Second
	readTimeout = 3 * time.Second
	poolSize    = 2*store.Shards + 32 // one connection for each shard's writer and reader when they ask again, and some for the rest
	// reloadEvery is how soon a client sees that another master serves a slot. With
	// the default of a minute it goes on calling the dead one
	// (https://github.com/redis/go-redis/issues/3979).
	reloadEvery = 500 * time.Millisecond
	// format is what stands in the data; a later one may differ.
	format = "hashtill 1: 64 shards, 64 pages"
)

// A Config says where Redis is.
type Config struct {
	// URL is redis://[user@]host:port[/db], rediss:// for TLS, or
	// redis-cluster://[user@]host:port,host:port,… (rediss-cluster:// for TLS) with
	// some nodes of a cluster. A password may stand in it, and options as go-redis
	// reads them (?dial_timeout=2s).
	URL string
	// Password is used where the URL has none.
	Password string
	// RootCAs are trusted for TLS; nil: the system's.
	RootCAs *x509.CertPool
	// Wait is how many replicas must have all writes before an effect is handed out.
	Wait int
	// AllowLoss opens servers that would lose data by their configuration.
	AllowLoss bool
	Log       *slog.Logger // slog.Default
}

// DB is a store in Redis.
type DB struct {
	cfg      Config
	client   redis.UniversalClient
	process  string // this opening of the store, in lastKey and in leases
	writers  [store.Shards]*writer
	readers  [store.Shards]*reader
	couriers sync.Map       // by the address of their server
	errands  sync.WaitGroup // that are under way
	servers  servers
	mender   mender
	outage   outage
	leases   atomic.Int64 // calls of Lease, so that a script that is sent again is known
	short    sync.Map     // addresses of masters whose replicas were missing
	closing  context.CancelFunc
	ends     context.Context // with Close

	mu     sync.RWMutex // held for reading by every call under way
	closed bool
}

var _ store.Store = (*DB)(nil)

// Open connects, and looks at every master's configuration. Its errors say what to
// do, and hold no password.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	d := &DB{cfg: cfg, process: rand.Text()[:16]}
	d.ends, d.closing = context.WithCancel(context.Background())
	d.servers.log, d.outage.log = cfg.Log, cfg.Log
	d.mender = mender{db: d, told: map[string]bool{}}
	d.servers.started = d.mender.wake
	var err error
	if d.client, err = d.connect(); err != nil {
		return nil, err
	}
	if err := d.prepare(ctx); err != nil {
		d.closing()
		d.errands.Wait()
		return nil, errors.Join(fmt.Errorf("redis: %w", err), d.client.Close())
	}
	for shard := range store.Shards {
		d.writers[shard], d.readers[shard] = newWriter(d, shard), newReader(d, shard)
	}
	return d, nil
}

// connect makes the client that the URL asks for.
func (d *DB) connect() (redis.UniversalClient, error) {
	scheme, rest, _ := strings.Cut(d.cfg.URL, "://")
	switch scheme {
	case "redis", "rediss":
		o, err := redis.ParseURL(d.cfg.URL)
		if err != nil {
			return nil, errAddress
		}
		o.Password = cmp.Or(o.Password, d.cfg.Password)
		if o.TLSConfig != nil {
			o.TLSConfig.RootCAs = d.cfg.RootCAs
		}
		o.DialTimeout, o.ReadTimeout = cmp.Or(o.DialTimeout, dialTimeout), cmp.Or(o.ReadTimeout, readTimeout)
		o.DialerRetries, o.PoolSize, o.ContextTimeoutEnabled = 1, cmp.Or(o.PoolSize, poolSize), true
		o.DisableIdentity, o.MaintNotificationsConfig = true, noMaintenance
		o.OnConnect = d.servers.met
		return redis.NewClient(o), nil
	case "redis-cluster", "rediss-cluster":
		// go-redis wants the further nodes as parameters.
		nodes, query, _ := strings.Cut(rest, "?")
		user := nodes[:strings.LastIndex(nodes, "@")+1] // a password may hold a comma
		first, more, _ := strings.Cut(nodes[len(user):], ",")
		if first == "" || strings.Contains(nodes, "/") {
			return nil, errAddress // a cluster has nodes, and no numbered databases
		}
		address := strings.TrimSuffix(scheme, "-cluster") + "://" + user + first + "?" + query
		for _, node := range strings.FieldsFunc(more, func(r rune) bool { return r == ',' }) {
			address += "&addr=" + node
		}
		o, err := redis.ParseClusterURL(address)
		if err != nil {
			return nil, errAddress
		}
		o.Password = cmp.Or(o.Password, d.cfg.Password)
		if o.TLSConfig != nil {
			o.TLSConfig.RootCAs = d.cfg.RootCAs
		}
		o.DialTimeout, o.ReadTimeout = cmp.Or(o.DialTimeout, dialTimeout), cmp.Or(o.ReadTimeout, readTimeout)
		o.DialerRetries, o.PoolSize, o.ContextTimeoutEnabled = 1, cmp.Or(o.PoolSize, poolSize), true
		o.DisableIdentity, o.MaintNotificationsConfig = true, noMaintenance
		o.ClusterStateReloadInterval = reloadEvery
		o.ReadOnly, o.RouteByLatency, o.RouteRandomly = false, false, false // a replica may be behind
		o.OnConnect = d.servers.met
		return redis.NewClusterClient(o), nil
	}
	return nil, errors.New("redis: the address begins with none of redis://, rediss://, redis-cluster://, rediss-cluster://")
}

// errAddress does not show the address, which can hold a password.
var errAddress = errors.New("redis: the address cannot be read: it looks like redis://user@host:6379/0 or redis-cluster://host:6379,host:6379")

// noMaintenance: only a vendor's cloud announces its maintenance.
var noMaintenance = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}

// node is the client of the server that has the shard.
func (d *DB) node(ctx context.Context, shard int) (*redis.Client, error) {
	if cluster, ok := d.client.(*redis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, dueKey(shard))
	}
	return d.client.(*redis.Client), nil
}

// enter begins a call; leave ends it.
func (d *DB) enter(ctx context.Context, shard int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := store.ValidShard(shard); err != nil {
		return err
	}
	d.mu.RLock()
	if d.closed {
		d.mu.RUnlock()
		return store.ErrClosed
	}
	return nil
}

func (d *DB) leave() { d.mu.RUnlock() }

// Close implements [store.Store].
func (d *DB) Close() error {
	d.closing() // what is not answered is not sent again
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return store.ErrClosed
	}
	d.closed = true
	d.errands.Wait() // whoever asked has an answer, or has gone
	return d.client.Close()
}
