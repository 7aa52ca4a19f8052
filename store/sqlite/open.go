package sqlite

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// applicationID marks the file as Hashtill's in its header: "Htil"
// (https://www.sqlite.org/pragma.html#pragma_application_id).
const applicationID = 0x4874696c

var (
	//go:embed schema.sql
	schema string
	//go:embed compact.sql
	compact string
)

// migrations bring the schema forward: number i makes version i+1 of version i.
// What has been released is never changed, only added to.
var migrations = []string{
	schema,
	`DELETE FROM count WHERE n = 0`, // a count that comes back to 0 leaves nothing behind
	compact,
}

// source is what the driver calls the file, set up by the pragmas.
func source(path string, pragmas ...string) string {
	name := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": pragmas}.Encode()}
	return name.String()
}

// connect makes a pool of at most n connections, each set up by the pragmas.
func connect(path string, n int, pragmas ...string) *sql.DB {
	db, err := sql.Open("sqlite", source(path, pragmas...))
	if err != nil {
		panic(err) // only for a driver's name that nobody registered
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db
}

// create makes an empty file for its owner only, where there is none, and returns
// its full path. A file that exists is not opened here: closing it again would
// take away the locks that another DB in this process holds on it
// (https://www.sqlite.org/howtocorrupt.html, section 2.2).
func create(path string) (string, error) {
	if path == "" {
		return "", errors.New("no path given")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	switch info, err := os.Stat(abs); {
	case err == nil && info.IsDir():
		return "", errors.New("it is a directory: name a file in it")
	case err == nil:
		return abs, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	file, err := os.OpenFile(abs, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist): // another process was quicker
		return abs, nil
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("there is no directory %s: make it first", filepath.Dir(abs))
	case err != nil:
		return "", err
	}
	if err := file.Close(); err != nil {
		return "", err
	}
	return abs, syncFile(filepath.Dir(abs))
}

// syncFile makes a file's content durable, or a directory's names.
func syncFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// prepare checks that the file is ours, puts it into WAL mode, brings its schema
// forward and makes its views.
func prepare(ctx context.Context, conn *sql.Conn, migrations []string, views []View) error {
	// Look before anything is written: a stranger's file is left as it is.
	if _, err := version(ctx, conn, len(migrations)); err != nil {
		return err
	}
	if err := useWAL(ctx, conn); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := migrate(ctx, conn, migrations)
	if err == nil {
		err = makeViews(ctx, conn, views)
	}
	if err != nil {
		_, undone := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		return errors.Join(err, undone)
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}

// version is that of the schema in the file, 0 for an empty file, or an error if
// the file is not for us.
func version(ctx context.Context, conn *sql.Conn, newest int) (int, error) {
	var id, version, tables int
	err := conn.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id),
		(SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)`).Scan(&id, &version, &tables)
	switch {
	case err != nil:
		return 0, err
	case id != applicationID && (id != 0 || version != 0 || tables != 0):
		return 0, errors.New("it is another program's database: name another file")
	case version > newest:
		return 0, fmt.Errorf("a newer Hashtill has written it (schema %d, this one knows %d): run that one, or restore a backup from before", version, newest)
	}
	return version, nil
}

// useWAL turns the write-ahead log on; the file remembers it. SQLite does not
// wait for another process that is doing the same, so this does.
func useWAL(ctx context.Context, conn *sql.Conn) error {
	for deadline := time.Now().Add(busyTimeout); ; {
		var mode string
		err := conn.QueryRowContext(ctx, "PRAGMA journal_mode=WAL").Scan(&mode)
		if err == nil && mode != "wal" {
			return fmt.Errorf("its file system does not allow a write-ahead log (journal mode %s): put it on a local disk", mode)
		}
		if code(err) != sqlite3.SQLITE_BUSY || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// migrate runs within a transaction. It looks at the version again: another
// process may have been quicker.
func migrate(ctx context.Context, conn *sql.Conn, migrations []string) error {
	from, err := version(ctx, conn, len(migrations))
	if err != nil || from == len(migrations) {
		return err
	}
	if from > 0 { // a step may find a view in its way
		if err := makeViews(ctx, conn, nil); err != nil {
			return err
		}
	}
	for i, step := range migrations[from:] {
		if _, err := conn.ExecContext(ctx, step); err != nil {
			return fmt.Errorf("schema version %d: %w", from+i+1, err)
		}
	}
	_, err = conn.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=%d", applicationID, len(migrations)))
	return err
}

// code is SQLite's primary result code of an error, 0 if it has none.
func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff // the rest is the extended code
	}
	return 0
}

// errDamaged begins what the integrity check complains of.
var errDamaged = errors.New("damaged")

// explain says what could not be done with which file, and what to do.
func explain(what, path string, err error) error {
	const forbidden = "this user may not read and write it and its directory: change the owner or the mode: "
	const damaged = "it is damaged: restore a backup: "
	advice := ""
	if errors.Is(err, fs.ErrPermission) {
		advice = forbidden
	}
	if errors.Is(err, errDamaged) {
		advice = damaged
	}
	switch code(err) {
	case sqlite3.SQLITE_NOTADB:
		advice = "it is not a SQLite database: name another file, or move this one away: "
	case sqlite3.SQLITE_CORRUPT:
		advice = damaged
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY:
		advice = forbidden
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		advice = "another process holds it for long: end that process or try again: "
	case sqlite3.SQLITE_FULL:
		advice = "its disk is full: make room: "
	}
	return fmt.Errorf("%s database %q: %s%w", what, path, advice, err)
}
