package redis_test

import (
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hashtill/store"
	"hashtill/store/redis"
	"hashtill/store/redis/redistest"
)

// TestOpenRefuses names every server that must be refused, and the words that say
// why and what to do.
func TestOpenRefuses(t *testing.T) {
	plain := redistest.Start(t, nil)
	locked := redistest.Start(t, map[string]string{"requirepass": "open-sesame"})
	replica := redistest.Start(t, map[string]string{"replicaof": strings.Replace(plain.Addr(), ":", " ", 1)})
	part := redistest.Start(t, map[string]string{"cluster-enabled": "yes"})
	noFile := redistest.Start(t, map[string]string{"appendonly": "no"})
	noSync := redistest.Start(t, map[string]string{"appendfsync": "no"})
	evicting := redistest.Start(t, map[string]string{"maxmemory-policy": "allkeys-lru"})
	volatile := redistest.Start(t, map[string]string{"maxmemory-policy": "volatile-ttl"})
	other := redistest.Start(t, nil)
	other.Do("SET", "{s0}:format", "hashtill 2: something else")
	for name, c := range map[string]struct{ url, says string }{
		"nothing":              {"", "redis://"},
		"other scheme":         {"http://localhost", "redis-cluster://"},
		"no address":           {"redis://:open-sesame@host:port:port", "looks like"},
		"unknown option":       {"redis://:open-sesame@localhost?fsync=1", "looks like"},
		"nobody there":         {"redis://127.0.0.1:1", "is it running"},
		"cluster without node": {"redis-cluster://", "looks like"},
		"numbered cluster":     {"redis-cluster://127.0.0.1:1/3", "looks like"},
		"no password":          {locked.URL(), "redis.password_file"},
		"wrong password":       {strings.Replace(locked.URL(), "://", "://:open-sesam@", 1), "WRONGPASS"},
		"a replica":            {replica.URL(), "name its master"},
		"part of a cluster":    {part.URL(), "redis-cluster://"},
		"no cluster":           {strings.Replace(plain.URL(), "redis://", "redis-cluster://", 1), "redis://"},
		"no append-only file":  {noFile.URL(), "appendonly yes"},
		"no fsync":             {noSync.URL(), "appendfsync"},
		"evicting":             {evicting.URL(), "noeviction"},
		"evicting with an age": {volatile.URL(), "noeviction"},
		"another format":       {other.URL(), "another Hashtill"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := redis.Open(t.Context(), redis.Config{URL: c.url, Log: slog.New(slog.DiscardHandler)})
			if err == nil {
				db.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "open-sesam") {
				t.Errorf("%v: want %q in it, and no password", err, c.says)
			}
		})
	}
	t.Run("told otherwise", func(t *testing.T) {
		for _, server := range []*redistest.Server{noFile, noSync, evicting} {
			open(t, redis.Config{URL: server.URL(), AllowLoss: true}).Close()
		}
	})
}

// A user of least rights, over TLS, with the password beside the URL.
func TestTLSAndUser(t *testing.T) {
	server, roots := redistest.StartTLS(t, map[string]string{
		"user": leastRights,
	})
	address, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.User("till")
	db := open(t, redis.Config{URL: address.String(), Password: "open-sesame", RootCAs: roots})
	defer db.Close()
	change := store.Change{Put: []store.Put{{Key: "k", Value: []byte("v")}}, Owe: []store.Effect{{ID: "e", Due: time.Now()}}}
	if err := db.Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	if leases, err := db.Lease(t.Context(), time.Now().Add(time.Second), time.Now().Add(time.Minute), 1); err != nil || len(leases) != 1 {
		t.Fatalf("%v, %v", leases, err)
	}
	if recs, _, err := db.Scan(t.Context(), 0, "", "", 10); err != nil || len(recs) != 1 {
		t.Fatalf("%v, %v", recs, err)
	}
	// Without trust there is no connection.
	if db, err := redis.Open(t.Context(), redis.Config{URL: address.String(), Password: "open-sesame"}); err == nil {
		db.Close()
		t.Error("a certificate of nobody's is trusted")
	}
}

// Scripts that a server has lost, by a restart or by hand, are sent again.
func TestScriptsFlushed(t *testing.T) {
	server := redistest.Start(t, nil)
	db := open(t, redis.Config{URL: server.URL()})
	defer db.Close()
	for i := range int64(3) {
		server.Do("SCRIPT", "FLUSH")
		c := store.Change{Put: []store.Put{{Key: "k", Version: i, Value: []byte("v")}}, Owe: []store.Effect{{ID: string(rune('a' + i))}}}
		if err := db.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		server.Do("SCRIPT", "FLUSH")
		if leases, err := db.Lease(t.Context(), time.Now().Add(time.Second), time.Now().Add(time.Minute), 5); err != nil || len(leases) != 1 {
			t.Fatalf("%v, %v", leases, err)
		}
		server.Do("SCRIPT", "FLUSH")
		if recs, _, err := db.Scan(t.Context(), 0, "", "", 10); err != nil || len(recs) != 1 {
			t.Fatalf("%v, %v", recs, err)
		}
	}
}

// The scripts say on top what they are given and what they return.
func TestScriptHeaders(t *testing.T) {
	files, err := filepath.Glob("*.lua")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(text), "\n\nlocal ")
		for _, word := range []string{"KEYS", "ARGV", "Returns"} {
			if !strings.Contains(head, "-- "+word) {
				t.Errorf("%s: the header does not tell %s", file, word)
			}
		}
	}
}

// leastRights is what the README gives a user.
const leastRights = "till on >open-sesame ~{s* -@all +@read +@write +@scripting +@transaction +@connection +info +wait +bgrewriteaof +config|get +cluster|slots +cluster|shards"

func TestClusterUser(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0, map[string]string{"user": leastRights})
	db := open(t, redis.Config{URL: strings.Replace(cluster.URL(), "://", "://till@", 1), Password: "open-sesame"})
	defer db.Close()
	for shard := range store.Shards {
		change := store.Change{Shard: shard, Put: []store.Put{{Key: "k", Value: []byte("v")}}, Owe: []store.Effect{{ID: "e"}}}
		if err := db.Commit(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	leases, err := db.Lease(t.Context(), time.Now(), time.Now().Add(time.Minute), 2*store.Shards)
	if err != nil || len(leases) != store.Shards {
		t.Errorf("%d leases, %v", len(leases), err)
	}
	if err := db.Load(t.Context(), 3, store.Rows{Counts: []store.Count{{Key: "n", N: 3}}}); err != nil {
		t.Error(err)
	}
	if owed, _, err := db.Owed(t.Context(), 3, "", 10); err != nil || len(owed) != 1 {
		t.Errorf("%v, %v", owed, err)
	}
}
