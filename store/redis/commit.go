package redis

import (
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
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
	sheet sheet
	taken atomic.Bool // by the writer, or withdrawn by the caller: who is first decides
	err   error
	done  chan struct{} // closed when err is final
}

// take makes the job the writer's, if its caller still wants it.
func (j *job) take() bool { return j.ctx.Err() == nil && j.taken.CompareAndSwap(false, true) }

// A writer is the errand of those who change one shard, one batch at a time.
type writer struct {
	ofShard
	jobs    chan *job
	batches int64 // so many were sent

	// What is under way.
	batch *batch // nil if nothing
	sent  *redis.Cmd
	until time.Time // patience
}

func newWriter(d *DB, shard int) *writer {
	return &writer{ofShard: ofShard{db: d, shard: shard}, jobs: make(chan *job, maxBatch)}
}

// waiting implements errand.
func (w *writer) waiting() int { return len(w.jobs) }

// call waits for the answer to a Change. If ctx ends before the writer has taken it
// up, it does not happen; afterwards nobody knows.
func (w *writer) call(ctx context.Context, c store.Change) error {
	j := &job{ctx: ctx, sheet: newSheet(c), done: make(chan struct{})}
	select {
	case w.jobs <- j:
	case <-ctx.Done():
		return ctx.Err()
	}
	w.db.wake(w)
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

// pack implements errand.
func (w *writer) pack(ctx context.Context, packet redis.Pipeliner) (bytes int) {
	b := newBatch(w.db, w.shard)
	for len(b.jobs) < maxBatch && b.size() < maxBatchBytes {
		next := w.next()
		if next == nil {
			break
		}
		b.add(next)
	}
	if len(b.jobs) == 0 {
		return 0
	}
	w.batches++
	b.number = w.batches
	w.until, _ = ctx.Deadline()
	w.batch, w.sent = b, commitScript.EvalSha(ctx, packet, b.keys, b.argv()...)
	return b.size()
}

// unpack implements errand.
func (w *writer) unpack() {
	if w.batch == nil {
		w.db.back(w)
		return
	}
	answer, err := w.sent.Text()
	if err != nil && passing(err) {
		w.db.errands.Go(w.insist)
		return
	}
	if err != nil {
		w.db.outage.met(err)
	}
	w.answer(answer, err)
}

// insist has the batch done that was not answered: it is sent again and again.
func (w *writer) insist() {
	ctx, cancel := context.WithDeadline(context.Background(), w.until)
	defer cancel()
	var answer string
	err := insist(ctx, w.db.ends, func() (err error) {
		answer, err = commitScript.Run(ctx, w.db.client, w.batch.keys, w.batch.argv()...).Text()
		if err != nil {
			w.db.outage.met(err)
		}
		return err
	})
	w.answer(answer, err)
}

// next takes the next job, if there is one.
func (w *writer) next() *job {
	for {
		select {
		case j := <-w.jobs:
			if j.take() {
				return j
			}
		default:
			return nil
		}
	}
}

// answer gives each job of the batch its answer.
func (w *writer) answer(answer string, err error) {
	b := w.batch
	if err == nil {
		w.db.outage.over()
		err = b.answer(answer)
	}
	if err != nil {
		for _, j := range b.jobs {
			j.err = fmt.Errorf("redis: %w", err)
		}
	}
	for _, j := range b.jobs {
		close(j.done)
	}
	if err != nil && passing(err) {
		// Redis is away. Those who wait would each meet the same, after as long a time.
		for range maxBatch {
			next := w.next()
			if next == nil {
				break
			}
			next.err = fmt.Errorf("redis: not sent: %w", err)
			close(next.done)
		}
	}
	w.batch, w.sent = nil, nil // it can be large, and nobody may want something for long
	w.db.back(w)
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

// The groups of a Change's parts, in the order in which commit.lua has them.
const (
	groupOwed = iota
	groupPut
	groupAbsent
	groupUpdate
	groupRemove
	groupCheck
	groupSettle
	groupPutOff
	groupCount
	groupDrop
	groups
)

// A part is one of a Change, as commit.lua has it. It holds nothing of the caller's.
type part struct {
	place  byte   // of its guard in the Change, from 1
	key    string // of what it is about
	listed string // what the index lists, where the part may change that
	args   [4]string
	n      int // of them
}

// A sheet is a Change as commit.lua takes it.
type sheet struct {
	about  []string // the key or id of each guard, in the order of the contract, for the answer
	groups [groups][]part
}

// newSheet sorts the parts of a Change. What is always allowed and changes nothing is left
// out.
func newSheet(c store.Change) (s sheet) {
	s.about = make([]string, 0, c.Parts())
	add := func(group int, about, key, listed string, args ...string) {
		s.about = append(s.about, about)
		p := part{place: byte(len(s.about)), key: key, listed: listed}
		p.n = copy(p.args[:], args)
		s.groups[group] = append(s.groups[group], p)
	}
	for _, p := range c.Check {
		if key := recordKey(c.Shard, p.Key); p.Version == 0 {
			add(groupAbsent, p.Key, key, "")
		} else {
			add(groupCheck, p.Key, key, "", decimal(p.Version))
		}
	}
	for _, p := range c.Put {
		switch key, listed := recordKey(c.Shard, p.Key), recordKind+p.Key; {
		case p.Value == nil:
			add(groupRemove, p.Key, key, listed, decimal(p.Version), listed)
		case p.Version == 0:
			add(groupPut, p.Key, key, listed, value(1, p.Value), listed)
		default:
			add(groupUpdate, p.Key, key, "", decimal(p.Version), value(p.Version+1, p.Value))
		}
	}
	for _, p := range c.Settle {
		add(groupSettle, p.ID, effectKey(c.Shard, p.ID), effectKind+p.ID, decimal(p.Try), p.ID)
	}
	for _, p := range c.PutOff {
		try := decimal(p.Try)
		if p.Waits {
			try = "w" + try
		}
		add(groupPutOff, p.ID, effectKey(c.Shard, p.ID), "", try, decimal(store.Millis(p.Due)), p.Note, p.ID)
	}
	for _, id := range c.Drop {
		add(groupDrop, id, effectKey(c.Shard, id), effectKind+id, id)
	}
	for _, e := range c.Owe {
		add(groupOwed, e.ID, effectKey(c.Shard, e.ID), effectKind+e.ID, decimal(store.Millis(e.Due)), e.ID, e.Kind, string(e.Body))
	}
	for _, a := range c.Add {
		if a.By != 0 {
			low, high := a.Room()
			add(groupCount, a.Key, countKey(c.Shard, a.Key), countKind+a.Key, decimal(low), decimal(high), decimal(a.By), countKind+a.Key)
		}
	}
	return s
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// A batch is the call of commit.lua for some Changes of a shard.
type batch struct {
	shard  int
	number int64
	jobs   []*job
	keys   []string
	bytes  int // of keys
	args   int
	packed []byte // args, after arrayHead
}

// arrayHead is how long the head of an array in MessagePack is at most.
const arrayHead = 5

func newBatch(d *DB, shard int) *batch {
	return &batch{shard: shard, keys: []string{lastKey(shard, d.process), dueKey(shard)}, packed: make([]byte, arrayHead, 1024)}
}

// add appends a job's Change.
func (b *batch) add(j *job) {
	b.jobs = append(b.jobs, j)
	var sizes [groups]byte
	var places []byte
	from := len(b.keys)
	for n, group := range j.sheet.groups {
		sizes[n] = byte(len(group))
		for _, p := range group {
			b.keys, places = append(b.keys, p.key), append(places, p.place)
		}
	}
	b.arg(string(sizes[:]), string(places))
	for _, group := range j.sheet.groups {
		for _, p := range group {
			if p.listed != "" {
				b.keys = append(b.keys, pageKey(b.shard, pageOf(p.listed)))
			}
			b.arg(p.args[:p.n]...)
		}
	}
	for _, key := range b.keys[from:] {
		b.bytes += len(key)
	}
}

// arg appends arguments, as MessagePack has strings
// (https://github.com/msgpack/msgpack/blob/master/spec.md#str-format-family).
func (b *batch) arg(args ...string) {
	for _, a := range args {
		switch n := len(a); {
		case n < 32:
			b.packed = append(b.packed, 0xa0|byte(n))
		case n < 1<<8:
			b.packed = append(b.packed, 0xd9, byte(n))
		default:
			b.packed = binary.BigEndian.AppendUint32(append(b.packed, 0xdb), uint32(n))
		}
		b.packed = append(b.packed, a...)
	}
	b.args += len(args)
}

// size is about how many bytes are sent.
func (b *batch) size() int { return b.bytes + len(b.packed) }

// argv are the arguments of commit.lua.
func (b *batch) argv() []any {
	b.packed[0] = 0xdd
	binary.BigEndian.PutUint32(b.packed[1:], uint32(b.args))
	return []any{b.number, remembered.Milliseconds(), b.packed}
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
		about := b.jobs[i].sheet.about
		n, err := strconv.Atoi(word[1:])
		if guards[word[0]] == nil || err != nil || n < 1 || n > len(about) {
			return fmt.Errorf("answer %q to a Change of %d parts", word, len(about))
		}
		b.jobs[i].err = &store.GuardError{Err: guards[word[0]], Key: about[n-1]}
	}
	return nil
}
