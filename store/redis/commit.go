package redis

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"hashtill/store"
)

//go:embed commit.lua
var commitLua string

var commitScript = redis.NewScript(commitLua)

const (
	// maxBatch is how many Changes one call of the script does at most, and how many
	// may wait for a shard before further callers wait outside.
	maxBatch = 64
	// maxBatchBytes keeps a batch of large Changes from taking long.
	maxBatchBytes = 1 << 20
	// patience is how long a batch is sent again and again while Redis is away or
	// changes its master.
	patience                = 10 * time.Second
	firstPause, longestWait = 10 * time.Millisecond, 500 * time.Millisecond
	// remembered is how long Redis keeps a process's last batch: longer than any
	// packet of it can be on its way.
	remembered = 24 * time.Hour
)

// Commit implements [store.Store].
func (d *DB) Commit(ctx context.Context, c store.Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if err := d.enter(ctx, c.Shard); err != nil {
		return err
	}
	defer d.leave()
	return d.writers[c.Shard].call(ctx, c)
}

// A job is one Change that waits to be done.
type job struct {
	ctx   context.Context
	ops   []operation
	taken atomic.Bool // by the writer, or withdrawn by the caller: who is first decides
	err   error
	done  chan struct{} // closed when err is final
}

// take makes the job the writer's, if its caller still wants it.
func (j *job) take() bool { return j.ctx.Err() == nil && j.taken.CompareAndSwap(false, true) }

// A writer sends the Changes of one shard, one batch at a time.
type writer struct {
	db    *DB
	shard int
	jobs  chan *job
	ended chan struct{}
	batch int64 // the number of the last one
}

func newWriter(d *DB, shard int) *writer {
	return &writer{db: d, shard: shard, jobs: make(chan *job, maxBatch), ended: make(chan struct{})}
}

// call waits for the answer to a Change. If ctx ends before the writer has taken it
// up, it does not happen; afterwards nobody knows.
func (w *writer) call(ctx context.Context, c store.Change) error {
	j := &job{ctx: ctx, ops: operations(c), done: make(chan struct{})}
	select {
	case w.jobs <- j:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-j.done:
		return j.err
	case <-ctx.Done():
		if j.taken.CompareAndSwap(false, true) {
			return ctx.Err()
		}
	}
	// It is on its way. An answer that is there already is better than none.
	select {
	case <-j.done:
		return j.err
	default:
		return fmt.Errorf("redis: outcome unknown: %w", ctx.Err())
	}
}

// stop ends the writer when all calls have been answered. No call may follow.
func (w *writer) stop() {
	close(w.jobs)
	<-w.ended
}

func (w *writer) run() {
	defer close(w.ended)
	for j := range w.jobs {
		if !j.take() {
			continue
		}
		// Those who were answered a moment ago may want something next. The first of
		// them would be sent alone, and all others would wait for its answer: they are
		// let run as long as that brings more.
		for n := -1; n < len(w.jobs); {
			n = len(w.jobs)
			runtime.Gosched()
		}
		b := newBatch(w.db, w.shard)
		b.add(j)
		for len(b.jobs) < maxBatch && b.bytes < maxBatchBytes {
			next := w.waiting()
			if next == nil {
				break
			}
			b.add(next)
		}
		w.send(b)
		for _, j := range b.jobs {
			close(j.done)
		}
	}
}

// waiting takes the next job, if there is one.
func (w *writer) waiting() *job {
	for {
		select {
		case j, open := <-w.jobs:
			if !open {
				return nil
			}
			if j.take() {
				return j
			}
		default:
			return nil
		}
	}
}

// send has a batch done, and gives each job its answer.
func (w *writer) send(b *batch) {
	w.batch++
	b.args[0] = decimal(w.batch)
	// The batch belongs to many calls: no single one's context may end it.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var answer string
	err := insist(ctx, w.db.ends, func() (err error) {
		answer, err = commitScript.Run(ctx, w.db.client, b.keys, b.args...).Text()
		if err != nil {
			w.db.outage.met(err)
		}
		return err
	})
	if err == nil {
		w.db.outage.over()
		err = b.answer(answer)
	}
	if err == nil {
		return
	}
	for _, j := range b.jobs {
		j.err = fmt.Errorf("redis: %w", err)
	}
	if !passing(err) {
		return
	}
	// Redis is away. Those who wait would each meet the same, after as long a time.
	for range maxBatch {
		next := w.waiting()
		if next == nil {
			return
		}
		next.err = fmt.Errorf("redis: not sent: %w", err)
		close(next.done)
	}
}

// insist calls until the answer is final, or ctx ends, or the store is closed and
// Redis does not answer.
func insist(ctx, ends context.Context, call func() error) error {
	for pause := firstPause; ; pause = min(2*pause, longestWait) {
		err := call()
		if err == nil || !passing(err) {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-ends.Done():
		case <-timer.C:
			continue
		}
		timer.Stop()
		return err
	}
}

// passing says whether an error is of the moment: the network, a restart, a change
// of masters. Any other answer of Redis is final, and nothing has happened
// (https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors).
func passing(err error) bool {
	var answered redis.Error
	if !errors.As(err, &answered) {
		return !errors.Is(err, redis.ErrClosed)
	}
	for _, prefix := range []string{"LOADING ", "READONLY ", "CLUSTERDOWN ", "MASTERDOWN ", "TRYAGAIN ", "MOVED ", "ASK ", "NOREPLICAS ", "BUSY ", "UNBLOCKED ", "NOSCRIPT "} {
		if strings.HasPrefix(answered.Error(), prefix) {
			return true
		}
	}
	return strings.HasPrefix(answered.Error(), "ERR max number of clients")
}

// An operation is one line of commit.lua's ARGV.
type operation struct {
	about  string // the key or id, for the answer
	letter string
	key    string
	listed string // what the index lists, where the operation may change that
	args   []string
}

// operations are those of a Change, in the order of the contract. They hold nothing
// of the caller's.
func operations(c store.Change) []operation {
	ops := make([]operation, 0, c.Parts())
	op := func(about, letter, key, listed string, args ...string) {
		ops = append(ops, operation{about, letter, key, listed, args})
	}
	for _, p := range c.Check {
		op(p.Key, "c", recordKey(c.Shard, p.Key), "", decimal(p.Version))
	}
	for _, p := range c.Put {
		key, listed := recordKey(c.Shard, p.Key), recordKind+p.Key
		if p.Value == nil {
			op(p.Key, "x", key, listed, decimal(p.Version), listed)
		} else {
			op(p.Key, "p", key, listed, decimal(p.Version), value(p.Version+1, p.Value), listed)
		}
	}
	for _, p := range c.Settle {
		op(p.ID, "s", effectKey(c.Shard, p.ID), effectKind+p.ID, decimal(p.Try), p.ID)
	}
	for _, p := range c.PutOff {
		op(p.ID, "o", effectKey(c.Shard, p.ID), "", decimal(p.Try), decimal(store.Millis(p.Due)), p.Note, p.ID)
	}
	for _, id := range c.Drop {
		op(id, "d", effectKey(c.Shard, id), effectKind+id, id)
	}
	for _, e := range c.Owe {
		op(e.ID, "e", effectKey(c.Shard, e.ID), effectKind+e.ID, decimal(store.Millis(e.Due)), e.Kind, string(e.Body), e.ID)
	}
	for _, a := range c.Add {
		low, high := a.Room()
		op(a.Key, "a", countKey(c.Shard, a.Key), countKind+a.Key, decimal(a.By), decimal(low), decimal(high), countKind+a.Key)
	}
	return ops
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// A batch is the call of commit.lua for some Changes of a shard.
type batch struct {
	shard int
	jobs  []*job
	keys  []string
	args  []any
	place map[string]string // of each key in keys, from 1
	bytes int
}

func newBatch(d *DB, shard int) *batch {
	b := &batch{shard: shard, place: map[string]string{}}
	b.key(lastKey(shard, d.process))
	b.key(dueKey(shard))
	b.args = []any{"", decimal(remembered.Milliseconds())}
	return b
}

// key is a key's place among the KEYS.
func (b *batch) key(name string) string {
	n, ok := b.place[name]
	if !ok {
		b.keys = append(b.keys, name)
		n = strconv.Itoa(len(b.keys))
		b.place[name] = n
	}
	return n
}

// add appends a job's operations.
func (b *batch) add(j *job) {
	b.jobs = append(b.jobs, j)
	b.args = append(b.args, strconv.Itoa(len(j.ops)))
	for _, op := range j.ops {
		b.args = append(b.args, op.letter, b.key(op.key))
		if op.listed != "" {
			b.args = append(b.args, b.key(pageKey(b.shard, pageOf(op.listed))))
		}
		for _, a := range op.args {
			b.args = append(b.args, a)
			b.bytes += len(a)
		}
	}
}

var guards = map[byte]error{'c': store.ErrConflict, 's': store.ErrStale, 'b': store.ErrBound}

// answer gives each job its word of the script's answer.
func (b *batch) answer(text string) error {
	words := strings.Fields(text)
	if len(words) != len(b.jobs) {
		return fmt.Errorf("%d answers to %d Changes", len(words), len(b.jobs))
	}
	for i, word := range words {
		if word == "ok" {
			continue
		}
		ops := b.jobs[i].ops
		n, err := strconv.Atoi(word[1:])
		if guards[word[0]] == nil || err != nil || n < 1 || n > len(ops) {
			return fmt.Errorf("answer %q to a Change of %d parts", word, len(ops))
		}
		b.jobs[i].err = &store.GuardError{Err: guards[word[0]], Key: ops[n-1].about}
	}
	return nil
}
