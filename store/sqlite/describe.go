package sqlite

import "context"

// Describe says which SQLite this is, for people: "SQLite 3.50.4".
func (d *DB) Describe(ctx context.Context) (string, error) {
	if err := d.enter(ctx); err != nil {
		return "", err
	}
	defer d.leave()
	var version string
	err := d.read.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version)
	if err != nil {
		return "", explain("ask for the version", d.path, err)
	}
	return "SQLite " + version, nil
}
