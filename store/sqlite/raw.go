package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
)

// A raw is a connection that one goroutine owns. It calls the driver itself: what
// database/sql does for those who share connections (a lock and a look at the pool for
// every call, a copy of every value, a goroutine that waits for the context's end) took a
// quarter of the time of a read by its key.
type raw struct {
	conn driver.ConnPrepareContext
	kept map[string]driver.Stmt // prepared when first used, so that each stands in the code beside its call
	args []driver.NamedValue    // of the call under way
	row  []driver.Value         // that is being read
}

// owned lends a connection to do until that returns.
func owned(conn *sql.Conn, do func(r *raw)) error {
	return conn.Raw(func(c any) error {
		r := &raw{conn: c.(driver.ConnPrepareContext), kept: map[string]driver.Stmt{}}
		do(r)
		var errs []error
		for _, stmt := range r.kept {
			errs = append(errs, stmt.Close())
		}
		return errors.Join(errs...)
	})
}

// prepared is a statement, and its arguments as the driver takes them.
func (r *raw) prepared(query string, args []any) (driver.Stmt, []driver.NamedValue, error) {
	stmt, ok := r.kept[query]
	if !ok {
		var err error
		if stmt, err = r.conn.PrepareContext(context.Background(), query); err != nil {
			return nil, nil, err
		}
		r.kept[query] = stmt
	}
	r.args = r.args[:0]
	for i, arg := range args {
		if n, ok := arg.(int); ok {
			arg = int64(n)
		}
		r.args = append(r.args, driver.NamedValue{Ordinal: i + 1, Value: arg})
	}
	return stmt, r.args, nil
}

// exec runs a statement and tells how many rows it has changed.
func (r *raw) exec(query string, args ...any) (rows int64, err error) {
	stmt, named, err := r.prepared(query, args)
	if err != nil {
		return 0, err
	}
	result, err := stmt.(driver.StmtExecContext).ExecContext(context.Background(), named)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// each shows the rows of a query. What is in one belongs to who sees it, the slice does not.
func (r *raw) each(see func(row []driver.Value) error, query string, args ...any) (err error) {
	stmt, named, err := r.prepared(query, args)
	if err != nil {
		return err
	}
	rows, err := stmt.(driver.StmtQueryContext).QueryContext(context.Background(), named)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if n := len(rows.Columns()); len(r.row) != n {
		r.row = make([]driver.Value, n)
	}
	for {
		switch err := rows.Next(r.row); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if err := see(r.row); err != nil {
			return err
		}
	}
}

// scan takes the values of a row, by their types in the schema.
func scan(row []driver.Value, into ...any) error {
	for i, v := range row {
		ok := false
		switch to := into[i].(type) {
		case *int64:
			*to, ok = v.(int64)
		case *string:
			*to, ok = v.(string)
		case *[]byte:
			var b []byte
			if b, ok = v.([]byte); ok {
				*to = blob(b)
			}
		}
		if !ok {
			return fmt.Errorf("column %d is %T", i+1, v)
		}
	}
	return nil
}
