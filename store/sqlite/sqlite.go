// Package sqlite keeps a [store.Store] in one SQLite file, by modernc.org/sqlite,
// which needs no C compiler. It is the default back-end.
//
// # Durability
//
// The file is in WAL mode with synchronous=FULL: when Commit or Lease returns nil
// the write-ahead log has been synced, and the Change survives the death of the
// process and of the machine, as far as its disk keeps what it has synced
// (https://www.sqlite.org/pragma.html#pragma_synchronous).
//
// # One writer, many at once
//
// One goroutine writes. It takes what is waiting, at most [maxBatch] calls, into
// one transaction, and syncs once for all of them; each Change succeeds or fails
// alone: where one fails that has written something, the batch is done anew with a
// savepoint for each. Counts are read once and written at the end of the batch.
// Nobody waits for company: what arrives while a batch is being written makes the
// next. The queue is bounded, and a call whose context ends before the writer has
// taken it up has not happened.
//
// Readers have connections of their own and never wait for the writer. What is read
// by its key at the same time shares a transaction, too.
//
// # Other processes
//
// Another process may open the same file, to read and to write: SQLite's locks
// keep them apart, and a writer waits up to [busyTimeout] for the other. The file
// must be on a local disk, as WAL does not work over a network file system
// (https://www.sqlite.org/wal.html).
//
// # Reading it by hand
//
// Records whose values are JSON can be shown as tables, by a [View] each, which is
// made by [Open]. The views are for people and their tools, while the store is
// served or not:
//
//	sqlite3 -readonly FILE '.schema'
//	sqlite3 -readonly -header -column FILE 'SELECT * FROM NAME LIMIT 10'
//
// The first shows the names. A view cannot be written to, and with -readonly
// nothing can. End what reads for long: until then the write-ahead log grows.
//
// # Keeping it
//
// [DB.Backup] copies the file while it is served, and [DB.Check] finds damage. A
// copy of the file alone, made by other means while it is served, lacks what is in
// the write-ahead log.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"hashtill/store"
)

const (
	// busyTimeout is how long a writer waits for another process to finish.
	busyTimeout = 10 * time.Second
	// checkpointPages is the length of the write-ahead log from which on it is
	// copied back into the file: 64 MB of pages of 4 KB. Long enough that pages
	// written again and again are copied once, short enough to be read quickly at
	// start after a crash.
	checkpointPages = 16_000
	// maxScans is how many read otherwise than by keys at once.
	maxScans = 8
)

// DB is a store in a SQLite file.
type DB struct {
	path    string
	write   *sql.DB // one connection, which the writer holds
	writer  *writer
	readers *readers
	read    *sql.DB
	queries *statements // on read

	mu     sync.RWMutex // held for reading by every call under way
	closed bool
}

var _ store.Store = (*DB)(nil)

// Open opens the store in the file at path, and makes the file, readable by its
// owner only, if there is none. An older schema is brought forward. A file that
// is no database, another program's database, or one that a newer Hashtill has
// written is left as it is and refused; the error says what to do.
//
// The views are made, those of an earlier Open that differ or are not named any
// more are taken away, and those that people have made are left alone. If they are
// there already nothing is written.
func Open(ctx context.Context, path string, views ...View) (*DB, error) {
	d := &DB{path: path}
	if err := d.open(ctx, views); err != nil {
		return nil, errors.Join(explain("open", path, err), d.release())
	}
	return d, nil
}

func (d *DB) open(ctx context.Context, views []View) error {
	if err := validViews(views); err != nil {
		return err
	}
	abs, err := create(d.path)
	if err != nil {
		return err
	}
	d.write = connect(abs, 1,
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
		"synchronous(FULL)",
		"secure_delete(FAST)", // what is removed is overwritten where that costs no further page
		fmt.Sprintf("wal_autocheckpoint(%d)", checkpointPages),
		fmt.Sprintf("journal_size_limit(%d)", 2*checkpointPages*4096),
		"cache_size(-32768)", // 32 MB
		"temp_store(MEMORY)", // savepoints remember pages there
	)
	conn, err := d.write.Conn(ctx)
	if err != nil {
		return err
	}
	d.writer = newWriter(conn)
	if err := prepare(ctx, conn, migrations, views); err != nil {
		return err
	}
	byKey := runtime.GOMAXPROCS(0)
	d.read = connect(abs, byKey+maxScans,
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "query_only(1)")
	d.queries = newStatements(d.read)
	if d.readers, err = newReaders(ctx, d.read, byKey); err != nil {
		return err
	}
	go d.writer.run() // to the end of Close
	return nil
}

// enter begins a call; leave ends it.
func (d *DB) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.RLock()
	if d.closed {
		d.mu.RUnlock()
		return store.ErrClosed
	}
	return nil
}

func (d *DB) leave() { d.mu.RUnlock() }

// Close implements [store.Store]. The write-ahead log is copied back into the
// file, if no other process has it open.
func (d *DB) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return store.ErrClosed
	}
	d.closed = true
	d.writer.stop()
	return d.release()
}

// release closes the connections, the writer's last: it is the one that may copy
// the log back.
func (d *DB) release() error {
	var errs []error
	if d.readers != nil {
		errs = append(errs, d.readers.stop())
	}
	if d.read != nil {
		errs = append(errs, d.queries.close(), d.read.Close())
	}
	if d.writer != nil {
		errs = append(errs, d.writer.release())
	}
	if d.write != nil {
		errs = append(errs, d.write.Close())
	}
	return errors.Join(errs...)
}

// statements are prepared when first used and kept, so that each stands in the
// code beside its call.
type statements struct {
	on   *sql.DB
	mu   sync.Mutex
	kept map[string]*sql.Stmt
}

func newStatements(on *sql.DB) *statements {
	return &statements{on: on, kept: map[string]*sql.Stmt{}}
}

func (s *statements) get(query string) (*sql.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stmt, ok := s.kept[query]; ok {
		return stmt, nil
	}
	stmt, err := s.on.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	s.kept[query] = stmt
	return stmt, nil
}

func (s *statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, stmt := range s.kept {
		errs = append(errs, stmt.Close())
	}
	clear(s.kept)
	return errors.Join(errs...)
}
