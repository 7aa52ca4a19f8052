package world_test

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"hashtill/cmd/dev/world"
)

// A few worlds, so that the race detector sees them too; go run ./cmd/dev world plays
// thousands, and go run ./cmd/dev faults as many as are needed, by the environment.
func TestWorlds(t *testing.T) {
	seeds := uint64(40)
	if n, err := strconv.ParseUint(os.Getenv("WORLDS"), 10, 64); err == nil {
		seeds = n
	}
	var next atomic.Uint64
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for seed := next.Add(1); seed <= seeds && !t.Failed(); seed = next.Add(1) {
				if r := world.Run(world.Options{Seed: seed}); len(r.Violations) > 0 {
					t.Errorf("world %d: %q", seed, r.Violations)
				}
			}
		})
	}
	all.Wait()
}

// The same seed is the same world, to the byte.
func TestReplay(t *testing.T) {
	for seed := range uint64(10) {
		first, second := world.Run(world.Options{Seed: seed, Trace: true}), world.Run(world.Options{Seed: seed, Trace: true})
		for i := range min(len(first.Trace), len(second.Trace)) {
			if first.Trace[i] != second.Trace[i] {
				t.Fatalf("world %d, line %d: %q, and then %q", seed, i, first.Trace[i], second.Trace[i])
			}
		}
		if !slices.Equal(first.Trace, second.Trace) {
			t.Fatalf("world %d has %d lines, and then %d", seed, len(first.Trace), len(second.Trace))
		}
		if len(first.Trace) < 100 {
			t.Errorf("in world %d next to nothing happens", seed)
		}
	}
}
