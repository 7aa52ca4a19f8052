package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
)

// backupStep is how many pages are copied before the context and the caller's
// progress are looked at: 4 MB.
const backupStep = 1024

// Backup copies the store, as it is at one moment after the call has begun, into a
// new file at path, readable by its owner only, while commits go on. The copy is a
// store of its own: to restore it, stop whoever serves the store and put the copy
// in the place of its file, with no -wal and -shm file beside it.
//
// The file has its name only when it is whole, has passed [DB.Check] and is on
// disk; after an error nothing is left of it. A file that exists is not
// overwritten. progress, if it is not nil, is told after each step how many pages
// of the file have been copied, of how many.
//
// It is SQLite's online backup (https://www.sqlite.org/backup.html) and not VACUUM
// INTO, which cannot tell how far it is and builds every tree anew. The online backup begins anew whenever another connection
// has written, unless it reads within a transaction: it does, which also makes the
// moment one. What is committed meanwhile stays in the log until the end.
func (d *DB) Backup(ctx context.Context, path string, progress func(done, total int)) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.leave()
	if progress == nil {
		progress = func(int, int) {}
	}
	if err := d.backup(ctx, path, progress); err != nil {
		return fmt.Errorf("back up %q to %q: %w", d.path, path, err)
	}
	return nil
}

func (d *DB) backup(ctx context.Context, path string, progress func(done, total int)) (err error) {
	if path == "" {
		return errors.New("no path given")
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return err
	}
	if err := absent(path); err != nil {
		return err
	}
	// Under this name it is nobody's backup yet, and keeps a second Backup away.
	part := path + ".part"
	file, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s is there: if no other backup is being made, one was broken off: remove it", part)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no directory %s: make it first", filepath.Dir(path))
	case err != nil:
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeAll(part, part+"-journal", part+"-wal", part+"-shm"))
		}
	}()
	if err := file.Close(); err != nil {
		return err
	}
	if err := d.copyPages(ctx, part, progress); err != nil {
		return err
	}
	copied := connect(part, 1, "query_only(1)")
	if err := errors.Join(check(ctx, d.path, copied), copied.Close()); err != nil {
		return err // what is wrong with the copy is wrong with the store
	}
	if err := syncFile(part); err != nil {
		return err
	}
	// Not by a hard link, which would refuse by itself: not every disk has them.
	if err := absent(path); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	return syncFile(filepath.Dir(path))
}

// copyPages has SQLite copy the pages of one moment.
func (d *DB) copyPages(ctx context.Context, to string, progress func(done, total int)) (err error) {
	conn, err := d.read.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() // it has only read
	var tables int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return err // the first read is the moment
	}
	return conn.Raw(func(driver any) (err error) {
		// Nothing protects the copy while it is made: a half one is thrown away.
		b, err := driver.(interface {
			NewBackup(to string) (*sqlite.Backup, error)
		}).NewBackup(source(to, "journal_mode(OFF)", "synchronous(OFF)"))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.Finish()) }()
		for more := true; more; progress(b.PageCount()-b.Remaining(), b.PageCount()) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if more, err = b.Step(backupStep); err != nil {
				return err
			}
		}
		return nil
	})
}

// absent refuses a name that is taken.
// It must have no log either: SQLite would play a stranger's into it.
func absent(path string) error {
	for _, beside := range []string{"", "-wal", "-shm", "-journal"} {
		switch _, err := os.Lstat(path + beside); {
		case err == nil:
			return fmt.Errorf("a file %s is there: name another, or move it away", filepath.Base(path)+beside)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return nil
}

func removeAll(paths ...string) error {
	var errs []error
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
