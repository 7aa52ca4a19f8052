package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

const (
	// looksWaiting is how many reads of a shard may wait before further callers wait
	// outside.
	looksWaiting = 64
	// maxLooked is from how many keys on a command takes no further reads.
	maxLooked = 256
	// maxShared is from how many keys on a read is a command of its own: a page of a scan is
	// a megabyte, for which nobody else's commits should wait.
	maxShared = 64
)

// A look reads keys of one shard, all of one moment.
type look struct {
	keys []string
	kept []any // of each key, nil if there is none
	err  error
	done chan struct{} // closed when the answer is final
}

// A reader is the errand of those who want records and counts of one shard. What waits
// goes into one MGET.
type reader struct {
	ofShard
	looks chan *look

	// What is under way.
	together []*look
	keys     []string
	sent     *redis.SliceCmd
}

func newReader(d *DB, shard int) *reader {
	return &reader{ofShard: ofShard{db: d, shard: shard}, looks: make(chan *look, looksWaiting)}
}

// waiting implements errand.
func (r *reader) waiting() int { return len(r.looks) }

// pack implements errand.
func (r *reader) pack(ctx context.Context, packet redis.Pipeliner) (bytes int) {
	r.together, r.keys = r.together[:0], r.keys[:0]
	for more := true; more && len(r.keys) < maxLooked; {
		select {
		case next := <-r.looks:
			r.together, r.keys = append(r.together, next), append(r.keys, next.keys...)
		default:
			more = false
		}
	}
	if len(r.keys) == 0 {
		return 0
	}
	for _, key := range r.keys {
		bytes += len(key)
	}
	r.sent = packet.MGet(ctx, r.keys...)
	return bytes
}

// unpack implements errand.
func (r *reader) unpack() {
	if len(r.together) == 0 {
		r.db.back(r)
		return
	}
	kept, err := r.sent.Result()
	if answered := redis.Error(nil); errors.As(err, &answered) && passing(err) {
		r.db.errands.Go(r.ask)
		return
	}
	r.answer(kept, err)
}

// ask reads again what a server did not want to answer: by itself, since only so the
// client waits for one that is loading, or looks for the one that has the shard now.
func (r *reader) ask() {
	r.answer(r.db.client.MGet(r.db.ends, r.keys...).Result())
}

// answer gives each look its part.
func (r *reader) answer(kept []any, err error) {
	if err == nil && len(kept) != len(r.keys) {
		err = fmt.Errorf("%d answers to %d keys", len(kept), len(r.keys))
	}
	for _, l := range r.together {
		if err != nil {
			l.err = fmt.Errorf("redis: %w", err)
		} else {
			l.kept, kept = kept[:len(l.keys)], kept[len(l.keys):]
		}
		close(l.done)
	}
	clear(r.together)
	clear(r.keys)
	r.sent = nil
	r.db.back(r)
}

// mget reads keys of a shard, all of one moment.
func (d *DB) mget(ctx context.Context, shard int, keys []string) ([]any, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	if len(keys) > maxShared {
		kept, err := d.client.MGet(ctx, keys...).Result()
		if err != nil {
			return nil, fmt.Errorf("redis: %w", err)
		}
		return kept, nil
	}
	l := &look{keys: keys, done: make(chan struct{})}
	select {
	case d.readers[shard].looks <- l:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	d.wake(d.readers[shard])
	select {
	case <-l.done:
		return l.kept, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
