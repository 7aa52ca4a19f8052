package world_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"hashtill/cmd/dev/world"
	"hashtill/store"
	"hashtill/store/redis"
	"hashtill/store/redis/redistest"
	"hashtill/store/sqlite"
)

// The same worlds on stores that are not of memory: fewer, as each commit is durable.
func TestOnSQLite(t *testing.T) {
	onDurable(t, func() (store.Store, error) {
		return sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "world.db"))
	})
}

func TestOnRedis(t *testing.T) {
	server := redistest.Start(t, nil)
	onDurable(t, func() (store.Store, error) {
		server.Do("FLUSHALL")
		return redis.Open(t.Context(), redis.Config{URL: server.URL(), Log: slog.New(slog.DiscardHandler)})
	})
}

func onDurable(t *testing.T, open func() (store.Store, error)) {
	for seed := range uint64(12) {
		if r := world.Run(world.Options{Seed: seed, Store: open}); len(r.Violations) > 0 {
			t.Errorf("world %d: %q", seed, r.Violations)
		}
	}
}
