package main

import (
	"context"
	"os"
	"runtime/debug"
	gometrics "runtime/metrics"
	"time"
)

// A shop at rest is to be small, and one with much to do should not spend its time looking
// for garbage: of the CPU of a purchase a fifth went into that (hashtill bench buy). So
// while much is allocated, more of it may lie about before the collector runs.
const (
	muchAllocated = 32 << 20 // bytes a second
	mayLieAbout   = 64 << 20 // bytes

	lookAtRest = time.Second
	lookAtWork = 50 * time.Millisecond // what is in use may double in less than a second
)

// collectPercent is what the collector is to be told (https://pkg.go.dev/runtime/debug#SetGCPercent)
// where so many bytes are in use and so many are allocated in a second.
func collectPercent(live, allocated uint64) int {
	if allocated < muchAllocated || live == 0 {
		return 100
	}
	return int(min(max(100, mayLieAbout*100/live), 10_000))
}

// collectByLoad sets the collector by the load, until ctx is done. Whoever has set GOGC
// knows better.
func collectByLoad(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	now := []gometrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	gometrics.Read(now)
	at, set := time.Now(), 100
	defer func() { debug.SetGCPercent(100) }()
	tick := time.NewTicker(lookAtRest)
	defer tick.Stop()
	for {
		before, since := now[1].Value.Uint64(), at
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		gometrics.Read(now)
		at = time.Now()
		rate := float64(now[1].Value.Uint64()-before) / at.Sub(since).Seconds()
		percent := collectPercent(now[0].Value.Uint64(), uint64(rate))
		if percent == set || percent > 100 && percent >= set*4/5 && percent <= set*5/4 {
			continue // to set it stops everything for a moment
		}
		debug.SetGCPercent(percent)
		set = percent
		tick.Reset(lookAtRest)
		if percent > 100 {
			tick.Reset(lookAtWork)
		}
	}
}
