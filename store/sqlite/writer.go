package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"

	"hashtill/store"
)

const (
	// maxBatch is how many calls share a transaction at most, and how many may
	// wait for the writer before further callers wait outside.
	maxBatch = 1024
	// maxBatchParts keeps a batch of large Changes from taking long.
	maxBatchParts = 16 * maxBatch
	// wary is for how many batches savepoints are set after a guard has failed:
	// where one has failed others follow, as when something is sold out.
	wary = 16
)

// A job is one call that writes. It either happens whole, within the writer's
// transaction, or it is answered by an error.
type job struct {
	ctx   context.Context
	do    func(w *writer) error // a *store.GuardError undoes this job alone, another error the batch; it may be done anew
	parts int                   // its size
	taken atomic.Bool           // by the writer, or withdrawn by the caller: who is first decides
	err   error
	done  chan struct{} // closed when err is final
}

// A writer owns the one connection that writes.
type writer struct {
	conn    *sql.Conn
	raw     *raw // the same, while the writer runs
	jobs    chan *job
	ended   chan struct{}
	err     error                 // of its end
	careful int                   // for so many batches each job gets a savepoint
	changed int64                 // rows, by the job that is being done
	counts  map[countKey]*counted // of the batch
}

func newWriter(conn *sql.Conn) *writer {
	return &writer{
		conn:  conn,
		jobs:  make(chan *job, maxBatch),
		ended: make(chan struct{}),

		counts: map[countKey]*counted{},
	}
}

// call has the writer do something and waits for the answer. If ctx ends before
// the writer has taken it up, it does not happen; afterwards the answer is near
// and worth waiting for.
func (w *writer) call(ctx context.Context, parts int, do func(*writer) error) error {
	j := &job{ctx: ctx, do: do, parts: parts, done: make(chan struct{})}
	select {
	case w.jobs <- j:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-j.done:
	case <-ctx.Done():
		if j.taken.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		<-j.done
	}
	return j.err
}

// stop ends the writer when all calls have been answered. No call may follow.
func (w *writer) stop() {
	close(w.jobs)
	<-w.ended
}

// release lets go of the connection.
func (w *writer) release() error { return errors.Join(w.err, w.conn.Close()) }

func (w *writer) run() {
	defer close(w.ended)
	w.err = owned(w.conn, func(r *raw) {
		w.raw = r
		for j := range w.jobs {
			if j.take() {
				w.batch(j)
			}
		}
	})
}

// take makes the job the writer's, if its caller still wants it.
func (j *job) take() bool { return j.ctx.Err() == nil && j.taken.CompareAndSwap(false, true) }

// batch does the job, and all others that are waiting, in one transaction, and
// answers them when it is durable.
func (w *writer) batch(j *job) {
	batch := []*job{j}
	w.careful = max(w.careful-1, 0)
	clear(w.counts)
	err := w.exec("BEGIN IMMEDIATE")
	for parts := 0; err == nil; j = batch[len(batch)-1] {
		if err = w.do(j); errors.Is(err, errUndo) {
			err = w.anew(batch)
		}
		if err != nil {
			break
		}
		if parts += j.parts; parts >= maxBatchParts || len(batch) == maxBatch {
			break
		}
		next := w.waiting()
		if next == nil {
			break
		}
		batch = append(batch, next)
	}
	if err == nil {
		err = w.writeCounts()
	}
	if err == nil {
		err = w.exec("COMMIT")
	}
	if err != nil {
		// The database refuses. Those who wait would each meet the same, perhaps
		// after a busy time-out each: answer them too.
		for next := w.waiting(); next != nil && len(batch) < 2*maxBatch; next = w.waiting() {
			batch = append(batch, next)
		}
		// If SQLite has rolled back by itself there is nothing left to do it to.
		_ = w.exec("ROLLBACK")
	}
	for _, j := range batch {
		if err != nil {
			j.err = fmt.Errorf("sqlite: %w", err)
		}
		close(j.done)
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

// errUndo: a guard has failed after something was written, and there is no savepoint
// to go back to.
var errUndo = errors.New("to be undone")

// do does one job. It returns an error only if the whole batch has to be given up, or
// errUndo if it has to be done anew. Guards seldom fail, and SQLite keeps a copy of
// each page that is written after a savepoint.
func (w *writer) do(j *job) error {
	careful := w.careful > 0
	if careful {
		if err := w.exec("SAVEPOINT job"); err != nil {
			return err
		}
	}
	w.changed = 0
	j.err = j.do(w)
	var guard *store.GuardError
	failed := errors.As(j.err, &guard)
	switch {
	case j.err != nil && !failed:
		return j.err
	case failed && w.changed > 0 && !careful:
		return errUndo
	case failed && w.changed > 0:
		if err := w.exec("ROLLBACK TO job"); err != nil {
			return err
		}
	}
	if !careful {
		return nil
	}
	return w.exec("RELEASE job")
}

// anew does the jobs of a batch again from its beginning, each in its savepoint. None
// has been answered yet, so that it matters to nobody what another process has
// written in between.
func (w *writer) anew(batch []*job) error {
	w.careful = wary
	clear(w.counts)
	for _, query := range []string{"ROLLBACK", "BEGIN IMMEDIATE"} {
		if err := w.exec(query); err != nil {
			return err
		}
	}
	for _, j := range batch {
		if err := w.do(j); err != nil {
			return err
		}
	}
	return nil
}

// exec runs a statement. The transaction belongs to many calls: no single call's
// context may end it.
func (w *writer) exec(query string, args ...any) error {
	_, err := w.change(query, args...)
	return err
}

// change runs a statement and tells how many rows it has changed.
func (w *writer) change(query string, args ...any) (rows int64, err error) {
	rows, err = w.raw.exec(query, args...)
	w.changed += rows
	return rows, err
}

// one runs a statement that carries a guard in its condition. It must change
// exactly one row; otherwise the guard has failed.
func (w *writer) one(failed error, key string, query string, args ...any) error {
	switch rows, err := w.change(query, args...); {
	case err != nil:
		return err
	case rows == 0:
		return &store.GuardError{Err: failed, Key: key}
	case rows > 1:
		return fmt.Errorf("%d rows of key %q", rows, key)
	}
	return nil
}
