package redis_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hashtill/store"
	"hashtill/store/redis"
	"hashtill/store/redis/redistest"
)

// A batch of which a crash has left half in the append-only file is not done, by no later
// start either.
func TestTornBatch(t *testing.T) {
	server := redistest.Start(t, nil)
	db := open(t, redis.Config{URL: server.URL()})
	defer db.Close()
	commit := func(key string) {
		t.Helper()
		if err := db.Commit(t.Context(), store.Change{Put: []store.Put{{Key: key, Value: []byte("v")}}}); err != nil {
			t.Fatal(err)
		}
	}
	// anew waits until the server has written its append-only file anew, as it has to once
	// after each start.
	anew := func() {
		t.Helper()
		within(t, 10*time.Second, "the append-only file was not written anew", func() bool {
			info := server.Do("INFO", "persistence")
			return strings.Contains(info, "aof_rewrite_in_progress:0") && !strings.Contains(info, "aof_rewrites:0")
		})
	}
	commit("before")
	anew()
	dir := strings.Fields(server.Do("CONFIG", "GET", "dir"))[1]
	server.Kill()
	files, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) != 1 {
		t.Fatalf("append-only files %q, %v", files, err)
	}
	half := "*1\r\n$5\r\nMULTI\r\n" +
		"*3\r\n$3\r\nSET\r\n$10\r\n{s0}:r:one\r\n$3\r\n1 v\r\n" +
		"*3\r\n$3\r\nSET\r\n$10\r\n{s0}:r"
	file, err := os.OpenFile(files[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(half); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	server.Restart()
	commit("after")
	anew()
	server.Kill()
	server.Restart()
	commit("at last")
	for key, want := range map[string]bool{"before": true, "one": false, "after": true, "at last": true} {
		recs, err := db.Get(t.Context(), 0, key)
		if err != nil {
			t.Fatal(err)
		}
		if got := recs[0].Version > 0; got != want {
			t.Errorf("%q is there: %v, want %v", key, got, want)
		}
	}
}

// logged is a log that is read while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

// A user who may not have the file written anew is told once, and served.
func TestMayNotMend(t *testing.T) {
	server := redistest.Start(t, map[string]string{"user": strings.Replace(leastRights, "+bgrewriteaof ", "", 1)})
	var log logged
	db, err := redis.Open(t.Context(), redis.Config{URL: strings.Replace(server.URL(), "://", "://till@", 1), Password: "open-sesame",
		Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	told := func() bool { return log.count("allow this user +bgrewriteaof") > 0 }
	within(t, 10*time.Second, "nobody is told", told)
	server.Kill()
	server.Restart()
	if err := db.Commit(t.Context(), store.Change{Put: []store.Put{{Key: "k", Value: []byte("v")}}}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if n := log.count("allow this user +bgrewriteaof"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// The operator is told of a Redis that is full.
func TestFullIsTold(t *testing.T) {
	server := redistest.Start(t, nil)
	var log logged
	db, err := redis.Open(t.Context(), redis.Config{URL: server.URL(), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	server.Do("CONFIG", "SET", "maxmemory", "1")
	if err := db.Commit(t.Context(), store.Change{Put: []store.Put{{Key: "k", Value: []byte("v")}}}); err == nil {
		t.Error("it is full, and takes a commit")
	}
	if log.count("redis does not take commits") != 1 {
		t.Error("nobody is told")
	}
}
