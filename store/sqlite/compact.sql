-- Schema version 3: records and effects in the order in which they came, and their
-- keys in an index. In the trees of their keys, as version 1 had them, each row had a
-- page of its own to write, far from the others of its commit, and a record of more
-- than a thousand bytes a second page (https://www.sqlite.org/withoutrowid.html,
-- "When To Use WITHOUT ROWID"). In groups of 1,024 the bare statements of a
-- purchase's first commit so wrote 11.5 kB instead of 36, in groups of 64 36 instead
-- of 62. Counts are small and stay where they are.

CREATE TABLE compact_record (
    shard   INTEGER NOT NULL,
    key     TEXT    NOT NULL,
    version INTEGER NOT NULL,
    value   BLOB    NOT NULL,
    UNIQUE (shard, key)
) STRICT;

INSERT INTO compact_record (shard, key, version, value) SELECT shard, key, version, value FROM record;
DROP TABLE record;
ALTER TABLE compact_record RENAME TO record;

CREATE TABLE compact_effect (
    shard  INTEGER NOT NULL,
    id     TEXT    NOT NULL,
    kind   TEXT    NOT NULL,
    due    INTEGER NOT NULL, -- milliseconds since 1970; the end of the lease while one runs
    try    INTEGER NOT NULL, -- how often it has been handed out
    leased INTEGER NOT NULL, -- 1 until that try has put it off
    note   TEXT    NOT NULL, -- of the last put-off
    body   BLOB    NOT NULL,
    UNIQUE (shard, id)
) STRICT;

INSERT INTO compact_effect (shard, id, kind, due, try, leased, note, body)
    SELECT shard, id, kind, due, try, leased, note, body FROM effect ORDER BY due;
DROP TABLE effect;
ALTER TABLE compact_effect RENAME TO effect;

-- What is due, the longest due first.
CREATE INDEX effect_due ON effect (due, shard, id);
