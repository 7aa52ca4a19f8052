package redis_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hashtill/store"
	"hashtill/store/redis"
	"hashtill/store/redis/redistest"
	"hashtill/store/storetest"
)

func open(t testing.TB, cfg redis.Config) *redis.DB {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	db, err := redis.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestDescribe(t *testing.T) {
	db := open(t, redis.Config{URL: redistest.Start(t, nil).URL()})
	if got, err := db.Describe(t.Context()); err != nil || !regexp.MustCompile(`^Redis [0-9.]+, 0 replicas$`).MatchString(got) {
		t.Errorf("%q, %v", got, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Describe(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestStore(t *testing.T) {
	server := redistest.Start(t, nil)
	storetest.Run(t, func(t *testing.T) store.Store {
		server.Do("FLUSHALL")
		return open(t, redis.Config{URL: server.URL()})
	})
}

func TestReopen(t *testing.T) {
	server := redistest.Start(t, nil)
	storetest.Reopen(t, func(t *testing.T) store.Store {
		server.Kill() // harder than closing
		server.Restart()
		return open(t, redis.Config{URL: server.URL()})
	})
}

func TestLife(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			db := open(t, redis.Config{URL: redistest.Start(t, nil).URL()})
			defer db.Close()
			storetest.Life(t, seed, 400, db, store.NewMemory())
		})
	}
}

// TestCluster holds three masters with a replica each to all that one server keeps.
func TestCluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 1, nil)
	opened := func(t *testing.T) store.Store {
		cluster.Flush()
		return open(t, redis.Config{URL: cluster.URL(), Wait: 1})
	}
	storetest.Run(t, opened)
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("Life ", seed), func(t *testing.T) {
			s := opened(t)
			defer s.Close()
			storetest.Life(t, seed, 300, s, store.NewMemory())
		})
	}
	t.Run("work is spread", func(t *testing.T) {
		s := opened(t)
		defer s.Close()
		for shard := range store.Shards {
			if err := s.Commit(t.Context(), store.Change{Shard: shard, Add: []store.Add{{Key: "n", By: 1, Max: 1}}}); err != nil {
				t.Fatal(err)
			}
		}
		for _, master := range cluster.Masters() {
			shards := map[string]bool{}
			for _, key := range strings.Fields(master.Do("KEYS", "*")) {
				shards[tagged.FindString(key)] = true
			}
			if n := len(shards); n < store.Shards/5 {
				t.Errorf("%s has %d of %d shards", master.Addr(), n, store.Shards)
			}
		}
	})
}

// tagged is how every key begins.
var tagged = regexp.MustCompile(`^\{s[0-9]+\}:`)

// Every key has the tag of its shard, and none grows with what is kept.
func TestKeys(t *testing.T) {
	server := redistest.Start(t, map[string]string{"appendfsync": "everysec"})
	db := open(t, redis.Config{URL: server.URL()})
	defer db.Close()
	const shard, rows = 5, 4000
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := worker; i < rows; i += 8 {
				name := fmt.Sprint("purchase/05-", i)
				err := db.Commit(t.Context(), store.Change{
					Shard: shard,
					Put:   []store.Put{{Key: name, Value: []byte("v")}},
					Add:   []store.Add{{Key: name, By: 1, Max: 1}},
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if err := db.Commit(t.Context(), store.Change{Shard: shard, Add: []store.Add{{Key: "purchase/05-7", By: -1}}}); err != nil {
		t.Fatal(err)
	}
	if n := server.Do("EXISTS", "{s5}:c:purchase/05-7"); n != "0" {
		t.Error("a count that is 0 again has left its key")
	}
	for _, key := range strings.Fields(server.Do("KEYS", "*")) {
		tag := tagged.FindString(key)
		if n, err := strconv.Atoi(strings.Trim(tag, "{s}:")); err != nil || n != shard && key != "{s0}:format" {
			t.Fatalf("key %q has not the tag of shard %d", key, shard)
		}
		if strings.Contains(key, ":i:") {
			if n, err := strconv.Atoi(server.Do("ZCARD", key)); err != nil || n > 3*2*rows/64 {
				t.Errorf("%s lists %d of %d rows", key, n, 2*rows)
			}
		}
	}
}

// While nothing is due, asking is one small command a shard.
func TestIdle(t *testing.T) {
	server := redistest.Start(t, nil)
	db := open(t, redis.Config{URL: server.URL()})
	defer db.Close()
	for shard := range store.Shards {
		c := store.Change{Shard: shard, Owe: []store.Effect{{ID: "later", Due: time.Now().Add(time.Hour)}}}
		if err := db.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	commands := func() int {
		for line := range strings.Lines(server.Do("INFO", "stats")) {
			if n, ok := strings.CutPrefix(line, "total_commands_processed:"); ok {
				count, _ := strconv.Atoi(strings.TrimSpace(n))
				return count
			}
		}
		t.Fatal("INFO does not count commands")
		return 0
	}
	const polls = 50
	now := time.Now()
	if _, err := db.Lease(t.Context(), now, now.Add(time.Minute), 32); err != nil {
		t.Fatal(err) // it may open a connection
	}
	before := commands()
	for range polls {
		if leases, err := db.Lease(t.Context(), now, now.Add(time.Minute), 32); err != nil || len(leases) != 0 {
			t.Fatal(leases, err)
		}
	}
	if n := commands() - before; n > polls*store.Shards+10 { // and those of the look itself
		t.Errorf("%d commands for %d polls, want %d", n, polls, polls*store.Shards)
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, fsync := range []string{"always", "everysec"} {
		server := redistest.Start(b, map[string]string{"appendfsync": fsync})
		for _, committers := range []int{1, 64, 1024} {
			b.Run(fmt.Sprint(fsync, "/", committers), func(b *testing.B) {
				server.Do("FLUSHALL")
				db := open(b, redis.Config{URL: server.URL()})
				defer db.Close()
				storetest.BenchCommit(b, db, committers)
			})
		}
	}
}

func BenchmarkOutbox(b *testing.B) {
	db := open(b, redis.Config{URL: redistest.Start(b, nil).URL()})
	defer db.Close()
	storetest.BenchOutbox(b, db, 64)
}

// BenchmarkIdle is the price of asking when nothing is due.
func BenchmarkIdle(b *testing.B) {
	db := open(b, redis.Config{URL: redistest.Start(b, nil).URL()})
	defer db.Close()
	now := time.Now()
	for b.Loop() {
		if _, err := db.Lease(b.Context(), now, now.Add(time.Minute), 32); err != nil {
			b.Fatal(err)
		}
	}
}
