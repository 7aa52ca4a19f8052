package redis

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// maxPacket is from how many bytes on a packet takes no further errands. Redis reads 16 KiB
// of a connection before it turns to the next (PROTO_IOBUF_LEN in its networking.c), and
// syncs after each turn: all that goes out together is to be read in one. With one packet,
// however large, a third to a half as many purchases went through while the disk was slow.
const maxPacket = 14 << 10

// maxOut is how many packets of a server set out on their own: while one waits for the
// server's disk, the next fills. With one, 886 purchases a second took 1,630 µs of CPU each,
// with two 1,060 took 1,390, and four were no better (hashtill bench buy --store redis).
const maxOut = 2

// An errand is what the callers of one shard want of its server: a [writer] or a
// [reader]. It is under way once at a time.
type errand interface {
	// pack adds what waits now to a packet, at least so many bytes; 0: nothing waits.
	pack(ctx context.Context, packet redis.Pipeliner) (bytes int)
	// unpack hands out what was answered to the last pack, and ends with [DB.back],
	// at once or later.
	unpack()
	// waiting is how many calls wait.
	waiting() int
	errandOf() *ofShard
}

// An ofShard is what errands have in common.
type ofShard struct {
	db    *DB
	shard int
	away  atomic.Bool // with a courier, or asking again by itself
}

func (o *ofShard) errandOf() *ofShard { return o }

// A courier takes what the shards of one server want there, all in one packet or a few at
// once, and sets out again when the answers have come: what is asked meanwhile goes with
// the next. It was a packet there and back for each shard's batch and for each shard's
// reads, 15 of them a purchase. Together, batches are larger: a purchase takes two thirds
// of the scripts, which take 505 µs of the server and not 791 (hashtill bench buy --store
// redis).
type courier struct {
	db   *DB
	mu   sync.Mutex
	next []errand
	out  int // so many are on their way
}

// wake has an errand done for which something waits.
func (d *DB) wake(e errand) {
	of := e.errandOf()
	if !of.away.CompareAndSwap(false, true) {
		return // it looks again when it is back
	}
	c := d.courier(of.shard)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = append(c.next, e)
	if c.out < maxOut {
		c.out++
		d.errands.Go(c.run)
	}
}

// back ends what an errand had under way.
func (d *DB) back(e errand) {
	e.errandOf().away.Store(false)
	if e.waiting() > 0 {
		d.wake(e)
	}
}

// courier is the one to the server that has the shard. Each server has its own, so that
// one that does not answer holds up only its own shards.
func (d *DB) courier(shard int) *courier {
	addr := "" // of the only one, or of one that is not known now
	if cluster, ok := d.client.(*redis.ClusterClient); ok {
		if node, err := cluster.MasterForKey(d.ends, dueKey(shard)); err == nil {
			addr = node.Options().Addr
		}
	}
	c, ok := d.couriers.Load(addr)
	if !ok {
		c, _ = d.couriers.LoadOrStore(addr, &courier{db: d})
	}
	return c.(*courier)
}

// run goes there and back until nothing is left to take.
func (c *courier) run() {
	for {
		// Those who were answered a moment ago may want something next. They are let
		// run as long as that brings more.
		for n := -1; n < c.waiting(); {
			n = c.waiting()
			runtime.Gosched()
		}
		c.mu.Lock()
		if len(c.next) == 0 {
			c.out--
			c.mu.Unlock()
			return
		}
		taken := c.next
		c.next = nil
		c.mu.Unlock()
		c.carry(taken)
	}
}

func (c *courier) waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.next)
}

// carry takes errands there and back.
func (c *courier) carry(errands []errand) {
	// A packet belongs to many calls: no single one's context may end it.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var packets sync.WaitGroup
	defer packets.Wait()
	for len(errands) > 0 {
		packet, n := c.db.client.Pipeline(), 0
		for bytes := 0; n < len(errands) && bytes < maxPacket; n++ {
			bytes += errands[n].pack(ctx, packet)
		}
		with := errands[:n]
		deliver := func() {
			packet.Exec(ctx) // each command has its own error
			for _, e := range with {
				e.unpack()
			}
		}
		if errands = errands[n:]; len(errands) > 0 {
			packets.Go(deliver)
		} else {
			deliver()
		}
	}
}
