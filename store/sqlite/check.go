package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"hashtill/store"
)

// maxComplaints bounds what Check finds of each sort: who reads that many knows
// enough.
const maxComplaints = 100

// Check reads the whole file and says what is wrong with it: pages and indexes
// that do not fit together (https://www.sqlite.org/pragma.html#pragma_integrity_check),
// a header that is not that of this schema, rows that no store has written. The
// complaints are joined in the error. Commits go on meanwhile, but what they write
// stays in the log until Check has ended.
func (d *DB) Check(ctx context.Context) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.leave()
	return check(ctx, d.path, d.read)
}

func check(ctx context.Context, path string, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return explain("check", path, err)
	}
	defer conn.Close()
	var found []error
	for _, look := range []func(context.Context, *sql.Conn) ([]error, error){checkHeader, checkPages, checkRows} {
		complaints, err := look(ctx, conn)
		found = append(found, complaints...)
		if err != nil { // the damage is such that it cannot even be read, or ctx has ended
			found = append(found, err)
			break
		}
	}
	if len(found) == 0 {
		return nil
	}
	return explain("check", path, errors.Join(found...))
}

func checkHeader(ctx context.Context, conn *sql.Conn) ([]error, error) {
	var id, version int
	var journal string
	err := conn.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id),
		(SELECT user_version FROM pragma_user_version), (SELECT journal_mode FROM pragma_journal_mode)`).Scan(&id, &version, &journal)
	if err != nil {
		return nil, err
	}
	var found []error
	if id != applicationID {
		found = append(found, fmt.Errorf("its application id is %#x, not %#x: another program has written it", id, applicationID))
	}
	if version != len(migrations) {
		found = append(found, fmt.Errorf("its schema is version %d, this Hashtill's is %d", version, len(migrations)))
	}
	if journal != "wal" {
		found = append(found, fmt.Errorf("its journal mode is %s, not wal: another program has changed it", journal))
	}
	return found, nil
}

func checkPages(ctx context.Context, conn *sql.Conn) ([]error, error) {
	found, err := complaints(ctx, conn, fmt.Sprintf("PRAGMA integrity_check(%d)", maxComplaints))
	if len(found) == 1 && found[0].Error() == "ok" {
		found = nil
	}
	for i := range found {
		found[i] = fmt.Errorf("%w: %w", errDamaged, found[i])
	}
	return found, err
}

// checkRows finds what the contract does not allow and the schema cannot forbid.
func checkRows(ctx context.Context, conn *sql.Conn) ([]error, error) {
	return complaints(ctx, conn, `
		SELECT format('record %Q of shard %d is at version %d', key, shard, version)
			FROM record WHERE shard NOT BETWEEN 0 AND ?1 OR version < 1
		UNION ALL SELECT format('count %Q of shard %d is %d', key, shard, n)
			FROM count WHERE shard NOT BETWEEN 0 AND ?1 OR n = 0 OR n NOT BETWEEN -?2 AND ?2
		UNION ALL SELECT format('effect %Q of shard %d has try %d, leased %d', id, shard, try, leased)
			FROM effect WHERE shard NOT BETWEEN 0 AND ?1 OR try < leased OR leased NOT IN (0, 1)
		LIMIT ?3`, store.Shards-1, store.MaxCount, maxComplaints)
}

// complaints makes an error of every row of a query, and returns those that it has
// made beside its own.
func complaints(ctx context.Context, conn *sql.Conn, query string, args ...any) (found []error, err error) {
	rows, err := conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var complaint string
		if err := rows.Scan(&complaint); err != nil {
			return found, err
		}
		found = append(found, errors.New(complaint))
	}
	return found, rows.Err()
}
