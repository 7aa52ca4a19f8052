-- The ground of Hashtill in SQLite, schema version 1: the records, counts and
-- effects of package store. Nothing here knows what they are about.
--
-- Keys are TEXT for people's sake and are compared byte by byte (BINARY), so that
-- a range of keys is a prefix. The rows live in the trees of their keys; those of
-- records and effects only until compact.sql.

CREATE TABLE record (
    shard   INTEGER NOT NULL,
    key     TEXT    NOT NULL,
    version INTEGER NOT NULL,
    value   BLOB    NOT NULL,
    PRIMARY KEY (shard, key)
) STRICT, WITHOUT ROWID;

-- A count that is not here is 0.
CREATE TABLE count (
    shard INTEGER NOT NULL,
    key   TEXT    NOT NULL,
    n     INTEGER NOT NULL,
    PRIMARY KEY (shard, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE effect (
    shard  INTEGER NOT NULL,
    id     TEXT    NOT NULL,
    kind   TEXT    NOT NULL,
    due    INTEGER NOT NULL, -- milliseconds since 1970; the end of the lease while one runs
    try    INTEGER NOT NULL, -- how often it has been handed out
    leased INTEGER NOT NULL, -- 1 until that try has put it off
    note   TEXT    NOT NULL, -- of the last put-off
    body   BLOB    NOT NULL,
    PRIMARY KEY (shard, id)
) STRICT, WITHOUT ROWID;

-- What is due, the longest due first.
CREATE INDEX effect_due ON effect (due, shard, id);
