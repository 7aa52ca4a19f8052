package redis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"hashtill/store"
	"hashtill/store/redis"
	"hashtill/store/redis/redistest"
)

// A lossy is a network before a server that can lose the answer to a script: the
// server has done it, and nobody hears of it.
type lossy struct {
	net.Listener
	server string
	lose   atomic.Int64 // so many answers
	lost   atomic.Int64
}

func newLossy(t *testing.T, server *redistest.Server) *lossy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &lossy{Listener: listener, server: server.Addr()}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { l.pass(client) })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return l
}

func (l *lossy) url() string { return "redis://" + l.Addr().String() }

func (l *lossy) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", l.server)
	if err != nil {
		return
	}
	var armed atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer client.Close()
		buffer := make([]byte, 1<<16)
		for {
			n, err := server.Read(buffer)
			if err != nil {
				return
			}
			if armed.Load() {
				l.lost.Add(1)
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 1<<16)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			break
		}
		if bytes.Contains(buffer[:n], []byte("evalsha")) && l.lose.Add(-1) >= 0 {
			armed.Store(true)
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			break
		}
	}
	server.Close()
	<-done
}

// A Change whose answer is lost is sent again, and done once.
func TestAnswerLost(t *testing.T) {
	server := redistest.Start(t, nil)
	network := newLossy(t, server)
	db := open(t, redis.Config{URL: network.url()})
	defer db.Close()
	const rounds = 12
	for i := range int64(rounds) {
		network.lose.Store(i % 4) // more than the client itself tries again
		err := db.Commit(t.Context(), store.Change{Add: []store.Add{{Key: "n", By: 1, Max: rounds}}})
		if err != nil {
			t.Fatal(err)
		}
		network.lose.Store(1)
		// A refusal is remembered as well.
		full := store.Change{Put: []store.Put{{Key: "k", Version: i, Value: []byte("v")}}, Add: []store.Add{{Key: "n", By: rounds, Max: rounds}}}
		if err := db.Commit(t.Context(), full); !errors.Is(err, store.ErrBound) {
			t.Fatalf("%v, want ErrBound", err)
		}
		network.lose.Store(1)
		if err := db.Commit(t.Context(), store.Change{Put: []store.Put{{Key: "k", Version: i, Value: []byte("v")}}}); err != nil {
			t.Fatal(err)
		}
	}
	if counts, err := db.Counts(t.Context(), 0, "n"); err != nil || counts[0] != rounds {
		t.Errorf("count %v, %v, want %d", counts, err, rounds)
	}
	if n := network.lost.Load(); n < 2*rounds {
		t.Errorf("only %d answers were lost", n)
	}
}

// A Lease whose answer is lost hands out the same when it is asked again.
func TestLeaseAnswerLost(t *testing.T) {
	server := redistest.Start(t, nil)
	network := newLossy(t, server)
	db := open(t, redis.Config{URL: network.url()})
	defer db.Close()
	due := time.UnixMilli(1_700_000_000_123)
	for _, id := range []string{"a", "b"} {
		if err := db.Commit(t.Context(), store.Change{Owe: []store.Effect{{ID: id, Kind: "k", Due: due, Body: []byte("body")}}}); err != nil {
			t.Fatal(err)
		}
	}
	if leases, err := db.Lease(t.Context(), due, due.Add(time.Millisecond), 1); err != nil || len(leases) != 1 {
		t.Fatal(leases, err) // the server knows the script now
	}
	due = due.Add(time.Millisecond)
	network.lose.Store(1)
	leases, err := db.Lease(t.Context(), due, due.Add(time.Minute), 1)
	if err != nil || len(leases) != 1 {
		t.Fatalf("%v, %v, want one lease", leases, err)
	}
	l := leases[0]
	if network.lost.Load() != 1 || l.ID != "b" || l.Try != 1 || !l.Due.Equal(due.Add(-time.Millisecond)) || string(l.Body) != "body" || !l.Until.Equal(due.Add(time.Minute)) {
		t.Errorf("leased %+v after %d lost answers", l, network.lost.Load())
	}
	if err := db.Commit(t.Context(), store.Change{Settle: []store.Settle{{ID: "b", Try: 1}}}); err != nil {
		t.Error(err)
	}
}

// What looked due and has been put off meanwhile is not handed out.
func TestLeaseLooksAgain(t *testing.T) {
	server := redistest.Start(t, nil)
	db := open(t, redis.Config{URL: server.URL()})
	defer db.Close()
	due := time.UnixMilli(1_700_000_000_000)
	if err := db.Commit(t.Context(), store.Change{Owe: []store.Effect{{ID: "e", Due: due}}}); err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	defer client.Close()
	for want, now := range []int64{due.UnixMilli() - 1, due.UnixMilli()} {
		handed, err := client.Eval(t.Context(), redis.LeaseLua, []string{"{s0}:due", "{s0}:e:e"}, now, now+1, "call", "e").Slice()
		if err != nil || len(handed) != want {
			t.Errorf("%d ms after it is due: %v, %v", now-due.UnixMilli(), handed, err)
		}
	}
}

// While Redis is away a Commit waits for it, and gives up in time.
func TestAway(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, nil)
	db := open(t, redis.Config{URL: server.URL()})
	defer db.Close()
	add := store.Change{Add: []store.Add{{Key: "n", By: 1, Max: 10}}}
	if err := db.Commit(t.Context(), add); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	answer := make(chan error)
	go func() { answer <- db.Commit(context.Background(), add) }()
	server.Restart()
	if err := <-answer; err != nil {
		t.Fatalf("after a restart: %v", err)
	}
	server.Kill()
	// One whose caller gives up, and others that are answered when patience ends.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	elsewhere := store.Change{Shard: 1, Add: add.Add}
	if err := db.Commit(ctx, elsewhere); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the caller's own deadline", err)
	}
	began := time.Now()
	if err := db.Commit(t.Context(), add); err == nil {
		t.Error("committed without a server")
	} else if took := time.Since(began); took > 15*time.Second {
		t.Errorf("waited %v", took)
	}
	if _, err := db.Get(t.Context(), 0, "k"); err == nil {
		t.Error("read without a server")
	}
	if _, err := db.Lease(t.Context(), time.Now(), time.Now().Add(time.Minute), 1); err == nil {
		t.Error("leased without a server")
	}
	server.Restart()
	if err := db.Commit(t.Context(), store.Change{Add: []store.Add{{Key: "m", By: 1, Max: 10}}}); err != nil {
		t.Error(err)
	}
	if counts, err := db.Counts(t.Context(), 0, "n", "m"); err != nil || counts[0] < 2 || counts[0] > 3 || counts[1] != 1 {
		t.Errorf("counts %v, %v", counts, err)
	}
}

// With Wait nothing is handed out that no replica has.
func TestWait(t *testing.T) {
	master := redistest.Start(t, nil)
	replica := redistest.Start(t, map[string]string{"replicaof": strings.Replace(master.Addr(), ":", " ", 1)})
	db := open(t, redis.Config{URL: master.URL(), Wait: 1})
	defer db.Close()
	now := time.Now()
	commit := func(id string) {
		t.Helper()
		if err := db.Commit(t.Context(), store.Change{Owe: []store.Effect{{ID: id, Due: now}}}); err != nil {
			t.Fatal(err)
		}
	}
	try := int64(0)
	lease := func(at time.Time) ([]store.Lease, error) {
		leases, err := db.Lease(t.Context(), at, at.Add(time.Second), 10)
		if len(leases) > 0 {
			try = leases[0].Try
		}
		return leases, err
	}
	commit("effect")
	within(t, 20*time.Second, "nothing is handed out though the replica is there", func() bool {
		now = now.Add(time.Minute) // what was given back is due a little later
		leases, err := lease(now)
		return err == nil && len(leases) == 1
	})
	if err := db.Commit(t.Context(), store.Change{Settle: []store.Settle{{ID: "effect", Try: try}}}); err != nil {
		t.Fatal(err)
	}
	replica.Pause()
	commit("second")
	if leases, err := lease(now.Add(time.Second)); err == nil || len(leases) > 0 {
		t.Errorf("handed out without a replica: %v, %v", leases, err)
	}
	replica.Resume()
	// It was given back, and is due again soon.
	within(t, 20*time.Second, "nothing is handed out though the replica is back", func() bool {
		now = now.Add(time.Minute)
		leases, err := lease(now)
		return err == nil && len(leases) == 1
	})
}

// within polls.
func within(t *testing.T, limit time.Duration, complaint string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal(complaint)
		}
	}
}

// load commits from many goroutines until it is stopped: Changes with guards and
// without, and effects that are leased and settled.
type load struct {
	db   *redis.DB
	stop context.CancelFunc
	all  sync.WaitGroup

	mu      sync.Mutex
	last    time.Time       // of the last acknowledged commit
	longest time.Duration   // without one
	acked   map[string]bool // shard and record
	bare    int64           // acknowledged Changes that only count
	unknown int             // answers of unknown outcome
}

const loadShards = 12

func startLoad(t *testing.T, db *redis.DB) *load {
	ctx, stop := context.WithCancel(t.Context())
	l := &load{db: db, stop: stop, acked: map[string]bool{}, last: time.Now()}
	for worker := range 24 {
		l.all.Go(func() {
			shard := worker % loadShards
			for n := 0; ctx.Err() == nil; n++ {
				name := fmt.Sprint(worker, "-", n)
				l.commit(shard, "made:"+name, store.Change{
					Shard: shard,
					Put:   []store.Put{{Key: "made:" + name, Value: make([]byte, 100)}},
					Owe:   []store.Effect{{ID: name, Due: time.UnixMilli(int64(n))}},
					Add:   []store.Add{{Key: "made", By: 1, Max: 1 << 40}},
				})
				l.commit(shard, "", store.Change{Shard: shard, Add: []store.Add{{Key: "bare", By: 1, Max: 1 << 40}}})
			}
		})
	}
	for range 4 {
		l.all.Go(func() {
			for ctx.Err() == nil {
				leases, err := db.Lease(ctx, time.Now(), time.Now().Add(time.Hour), 16)
				if err != nil {
					runtime.Gosched()
					continue
				}
				for _, e := range leases {
					l.commit(e.Shard, "settled:"+e.ID, store.Change{
						Shard:  e.Shard,
						Settle: []store.Settle{{ID: e.ID, Try: e.Try}},
						Put:    []store.Put{{Key: "settled:" + e.ID, Value: []byte("v")}},
						Add:    []store.Add{{Key: "settled", By: 1, Max: 1 << 40}},
					})
				}
			}
		})
	}
	return l
}

func (l *load) commit(shard int, record string, c store.Change) {
	err := l.db.Commit(context.Background(), c)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.unknown++
		return
	}
	l.longest = max(l.longest, time.Since(l.last))
	l.last = time.Now()
	if record == "" {
		l.bare++
	} else {
		l.acked[fmt.Sprint(shard, " ", record)] = true
	}
}

func (l *load) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// grow waits until so many more are acknowledged.
func (l *load) grow(t *testing.T, by int) {
	t.Helper()
	from := l.size()
	within(t, time.Minute, fmt.Sprintf("no %d more commits", by), func() bool { return l.size() >= from+by })
}

func (l *load) end() { l.stop(); l.all.Wait() }

// verify reads everything: it is whole, and says how many acknowledged records are
// missing.
func (l *load) verify(t *testing.T) (missing int) {
	t.Helper()
	there := map[string]bool{}
	bare := int64(0)
	for shard := range loadShards {
		made, settled, owed := 0, 0, 0
		for cursor := ""; ; {
			recs, next, err := l.db.Scan(t.Context(), shard, "", cursor, 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range recs {
				there[fmt.Sprint(shard, " ", r.Key)] = true
				if strings.HasPrefix(r.Key, "made:") {
					made++
				} else {
					settled++
				}
			}
			if cursor = next; next == "" {
				break
			}
		}
		for cursor := ""; ; {
			page, next, err := l.db.Owed(t.Context(), shard, cursor, 1000)
			if err != nil {
				t.Fatal(err)
			}
			owed += len(page)
			if cursor = next; next == "" {
				break
			}
		}
		counts, err := l.db.Counts(t.Context(), shard, "made", "settled", "bare")
		if err != nil {
			t.Fatal(err)
		}
		if counts[0] != int64(made) || counts[1] != int64(settled) || owed != made-settled {
			t.Errorf("shard %d: %d made, %d settled, %d owed, counts %v: not whole, or done twice", shard, made, settled, owed, counts)
		}
		bare += counts[2]
	}
	for record := range l.acked {
		if !there[record] {
			missing++
		}
	}
	if bare > l.bare+int64(l.unknown) {
		t.Errorf("%d times counted, %d acknowledged, %d unknown: something was done twice", bare, l.bare, l.unknown)
	}
	if missing == 0 && bare < l.bare {
		t.Errorf("%d times counted, %d acknowledged: something was lost", bare, l.bare)
	}
	return missing
}

// TestServerKilled kills redis-server (appendfsync always) 20 times under load.
func TestServerKilled(t *testing.T) {
	server := redistest.Start(t, nil)
	db := open(t, redis.Config{URL: server.URL()})
	defer db.Close()
	var told atomic.Int64
	db.OnForgotten(func() { told.Add(1) })
	const kills = 20
	l := startLoad(t, db)
	for range kills {
		l.grow(t, 150)
		server.Kill()
		server.Restart()
	}
	l.grow(t, 150)
	l.end()
	if missing := l.verify(t); missing > 0 {
		t.Errorf("%d of %d acknowledged records are lost", missing, len(l.acked))
	}
	if told.Load() == 0 {
		t.Error("no restart was told")
	}
	t.Logf("%d records and %d counts acknowledged over %d kills, %d outcomes unknown, at most %v without a commit",
		len(l.acked), l.bare, kills, l.unknown, l.longest.Round(time.Millisecond))
}

// TestFailOver kills a master of a cluster under load: its replica takes over, and
// the service goes on within 15 s. What was acknowledged and forgotten is told; what
// is left is whole.
func TestFailOver(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 1, nil)
	db := open(t, redis.Config{URL: cluster.URL()})
	defer db.Close()
	var told atomic.Int64
	db.OnForgotten(func() { told.Add(1) })
	l := startLoad(t, db)
	l.grow(t, 1000)
	if told.Load() > 0 {
		t.Error("something is said to be forgotten while nothing has happened")
	}
	master := cluster.MasterOf("{s0}:due")
	master.Kill()
	// Everywhere, not only at the other masters.
	began := time.Now()
	if err := db.Commit(t.Context(), store.Change{Add: []store.Add{{Key: "x", By: 1, Max: 1}}}); err != nil {
		t.Errorf("the shard of the dead master: %v", err)
	}
	took := time.Since(began)
	if took > 15*time.Second {
		t.Errorf("it took %v until its shard was served again", took)
	}
	l.grow(t, 1000)
	within(t, 10*time.Second, "a fail-over was not told", func() bool { return told.Load() > 0 })
	l.end()
	missing := l.verify(t)
	t.Logf("served again after %v; of %d acknowledged records %d were forgotten; %d outcomes unknown",
		took.Round(time.Millisecond), len(l.acked), missing, l.unknown)
}

// A master that does not write, or does not even answer, holds up nobody else's
// effects.
func TestOtherMastersGoOn(t *testing.T) {
	for name, breaks := range map[string]func(c *redistest.Cluster, m *redistest.Server){
		"without its replica": func(c *redistest.Cluster, m *redistest.Server) { c.Replicas(m)[0].Kill() },
		"hung":                func(_ *redistest.Cluster, m *redistest.Server) { m.Pause() },
	} {
		t.Run(name, func(t *testing.T) {
			cluster := redistest.StartCluster(t, 3, 1, map[string]string{"min-replicas-to-write": "1", "cluster-node-timeout": "15000"})
			db := open(t, redis.Config{URL: cluster.URL(), Wait: 1})
			defer db.Close()
			now := time.Now()
			bad := cluster.MasterOf("{s0}:due")
			healthy := 0
			for cluster.MasterOf(fmt.Sprintf("{s%d}:due", healthy)) == bad {
				healthy++
			}
			owe := func(shard int, id string, due time.Time) {
				within(t, 20*time.Second, "cannot commit", func() bool { // replicas may just be coming
					return db.Commit(t.Context(), store.Change{Shard: shard, Owe: []store.Effect{{ID: id, Due: due}}}) == nil
				})
			}
			for i := range 40 {
				owe(0, fmt.Sprint("old", i), now.Add(-time.Minute))
			}
			owe(healthy, "healthy", now.Add(-time.Second))
			breaks(cluster, bad)
			began := time.Now()
			within(t, 20*time.Second, "what another master has is not handed out", func() bool {
				leases, _ := db.Lease(t.Context(), now, now.Add(time.Hour), 32)
				for _, l := range leases {
					if l.ID == "healthy" {
						return true
					}
				}
				return false
			})
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// An entry without its effect, as only a hand from outside leaves it, is no reason to
// look for ever.
func TestLeaseOfNothing(t *testing.T) {
	server := redistest.Start(t, nil)
	db := open(t, redis.Config{URL: server.URL()})
	defer db.Close()
	if err := db.Commit(t.Context(), store.Change{Owe: []store.Effect{{ID: "e"}}}); err != nil {
		t.Fatal(err)
	}
	server.Do("DEL", "{s0}:e:e")
	if leases, err := db.Lease(t.Context(), time.Now(), time.Now().Add(time.Minute), 5); err != nil || len(leases) > 0 {
		t.Errorf("%v, %v", leases, err)
	}
	if n := server.Do("ZCARD", "{s0}:due"); n != "0" {
		t.Errorf("%s entries are left", n)
	}
}

// Close does not wait for a server that is away.
func TestCloseWhileAway(t *testing.T) {
	server := redistest.Start(t, nil)
	db := open(t, redis.Config{URL: server.URL()})
	server.Kill()
	answers := make(chan error)
	for range 150 { // some batches
		go func() {
			answers <- db.Commit(context.Background(), store.Change{Add: []store.Add{{Key: "n", By: 1, Max: 1000}}})
		}()
	}
	within(t, 10*time.Second, "nothing waits", func() bool { return db.Waiting(0) > 0 })
	began := time.Now()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	for range 150 {
		if err := <-answers; err == nil {
			t.Error("committed without a server")
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}
