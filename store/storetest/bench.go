package storetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hashtill/store"
)

// BenchCommit commits b.N Changes of the size of a new purchase (two new records,
// two counts, one effect) from that many goroutines.
func BenchCommit(b *testing.B, s store.Store, committers int) {
	value := make([]byte, 300)
	var next atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for range min(committers, b.N) {
		all.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				if err := s.Commit(b.Context(), purchase(n, value)); err != nil {
					b.Errorf("Commit: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}

func purchase(n int64, value []byte) store.Change {
	id := fmt.Sprintf("%016x", uint64(n)*0x9e3779b97f4a7c15)
	return store.Change{
		Shard: int(n % store.Shards),
		Put:   []store.Put{{Key: "seen:" + id, Value: []byte{}}, {Key: "purchase:" + id, Value: value}},
		Owe:   []store.Effect{{ID: "reply:" + id, Kind: "reply", Due: at(time.Duration(n) * time.Millisecond), Body: []byte(id)}},
		Add:   []store.Add{{Key: "stock", By: 1, Max: 1 << 50}, {Key: "buyer:" + id, By: 1, Max: 5}},
	}
}

// BenchOutbox performs b.N effects through an outbox, each settled by its own
// commit together with a record.
func BenchOutbox(b *testing.B, s store.Store, workers int) {
	const each = 100
	for from := 0; from < b.N; from += each {
		c := store.Change{Shard: from / each % store.Shards}
		for i := from; i < min(from+each, b.N); i++ {
			c.Owe = append(c.Owe, store.Effect{ID: fmt.Sprint("e", i), Kind: "mail", Due: at(0), Body: make([]byte, 100)})
		}
		if err := s.Commit(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	var done atomic.Int64
	o := &store.Outbox{
		Store: s, Workers: workers, Share: workers,
		Now: func() time.Time { return at(time.Second) },
		Do: func(ctx context.Context, l store.Lease) error {
			err := s.Commit(ctx, store.Change{
				Shard:  l.Shard,
				Settle: []store.Settle{{ID: l.ID, Try: l.Try}},
				Put:    []store.Put{{Key: "done:" + l.ID, Value: l.Body}},
			})
			if err == nil && done.Add(1) == int64(b.N) {
				stop()
			}
			return err
		},
	}
	b.ResetTimer()
	if err := o.Run(ctx); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(done.Load())/b.Elapsed().Seconds(), "effects/s")
	if done.Load() != int64(b.N) {
		b.Fatalf("%d of %d performed", done.Load(), b.N)
	}
}
