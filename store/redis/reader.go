package redis

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

const (
	// looksWaiting is how many reads of a shard may wait before further callers wait
	// outside.
	looksWaiting = 64
	// maxLooked is from how many keys on a command takes no further reads.
	maxLooked = 256
)

// A look reads keys of one shard, all of one moment.
type look struct {
	keys []string
	kept []any // of each key, nil if there is none
	err  error
	done chan struct{} // closed when the answer is final
}

// A reader asks for the records and counts of one shard. What waits goes into one MGET.
// A Redis that syncs before it answers turns to each connection once a turn, so that
// as many reads as there were connections went through between two syncs, and each was a
// packet there and back: 768 who bought at once waited for their reads most of the time
// (hashtill bench buy --store redis).
type reader struct {
	client redis.UniversalClient
	looks  chan *look
	ended  chan struct{}
}

func newReader(client redis.UniversalClient) *reader {
	return &reader{client: client, looks: make(chan *look, looksWaiting), ended: make(chan struct{})}
}

// stop ends the reader when all that was asked has been answered. No call may follow.
func (r *reader) stop() {
	close(r.looks)
	<-r.ended
}

// run reads until stop is called. When ctx ends nobody waits for an answer any more.
func (r *reader) run(ctx context.Context) {
	defer close(r.ended)
	var together []*look
	var keys []string
	for l := range r.looks {
		together, keys = append(together[:0], l), append(keys[:0], l.keys...)
		for more := true; more && len(keys) < maxLooked; {
			select {
			case next, open := <-r.looks:
				if more = open; open {
					together, keys = append(together, next), append(keys, next.keys...)
				}
			default:
				more = false
			}
		}
		kept, err := r.client.MGet(ctx, keys...).Result()
		if err == nil && len(kept) != len(keys) {
			err = fmt.Errorf("%d answers to %d keys", len(kept), len(keys))
		}
		for _, l := range together {
			if err != nil {
				l.err = fmt.Errorf("redis: %w", err)
			} else {
				l.kept, kept = kept[:len(l.keys)], kept[len(l.keys):]
			}
			close(l.done)
		}
	}
}

// mget reads keys of a shard, all of one moment.
func (d *DB) mget(ctx context.Context, shard int, keys []string) ([]any, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	l := &look{keys: keys, done: make(chan struct{})}
	select {
	case d.readers[shard].looks <- l:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-l.done:
		return l.kept, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
