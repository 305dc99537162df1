-- The log: everything that happened or was decided, in one order, each entry hashed together with the
-- one before. Written in the transaction of the change.
--
-- Times are microseconds since 1970-01-01T00:00:00Z.

CREATE TABLE log_base (
    -- There is one row.
    one      INTEGER NOT NULL CONSTRAINT log_base_one PRIMARY KEY CHECK (one = 1),
    -- Identifies the log, and is the hash before the first entry: made once, of chance.
    log      BLOB    NOT NULL CONSTRAINT log_base_log CHECK (length(log) = 32),
    -- The last entry that was deleted for its age; 0 when none was.
    sequence INTEGER NOT NULL CONSTRAINT log_base_sequence CHECK (sequence >= 0),
    -- Its hash.
    hash     BLOB    NOT NULL CONSTRAINT log_base_hash CHECK (length(hash) = 32),

    CONSTRAINT log_base_whole CHECK (sequence > 0 OR hash = log)
) STRICT;

INSERT INTO log_base (one, log, sequence, hash)
SELECT 1, id, 0, id FROM (SELECT randomblob(32) AS id);

CREATE TRIGGER log_base_moves_on BEFORE UPDATE ON log_base
WHEN NEW.log <> OLD.log OR NEW.sequence <= OLD.sequence
    OR NEW.hash IS NOT (SELECT hash FROM log WHERE sequence = NEW.sequence)
BEGIN
    SELECT RAISE(ABORT, 'log_base_moves_on: the log begins after an entry that it has, and later only');
END;

CREATE TRIGGER log_base_kept BEFORE DELETE ON log_base
BEGIN
    SELECT RAISE(ABORT, 'log_base_kept: a log stays the one that it is');
END;

CREATE TABLE log (
    -- Place in the order of all entries, from 1, without gaps.
    sequence       INTEGER NOT NULL CONSTRAINT log_sequence PRIMARY KEY,
    -- What it is about.
    stream         TEXT    NOT NULL,
    -- Its number in the stream, from 1.
    revision       INTEGER NOT NULL CONSTRAINT log_revision CHECK (revision >= 1),
    -- When it happened.
    at             INTEGER NOT NULL,
    -- Hash of the target that it concerns; NULL when it concerns none.
    target_hash    TEXT,
    -- Correlation id of what it concerns; NULL when there is none.
    correlation_id TEXT,
    -- The entry, as it was hashed: JSON of Logged. Never written again in other words.
    entry          TEXT    NOT NULL CONSTRAINT log_entry CHECK (
        entry ->> '$.sequence' IS sequence AND entry ->> '$.stream' IS stream
        AND entry ->> '$.revision' IS revision),
    -- Hash of the entry and of the one before.
    hash           BLOB    NOT NULL CONSTRAINT log_hash CHECK (length(hash) = 32),

    CONSTRAINT log_number UNIQUE (stream, revision)
) STRICT;

CREATE INDEX log_by_target ON log (target_hash, sequence) WHERE target_hash IS NOT NULL;
CREATE INDEX log_by_correlation ON log (correlation_id, sequence) WHERE correlation_id IS NOT NULL;

CREATE TRIGGER log_without_gaps BEFORE INSERT ON log
WHEN NEW.sequence <> 1 + coalesce((SELECT max(sequence) FROM log), (SELECT sequence FROM log_base))
BEGIN
    SELECT RAISE(ABORT, 'log_without_gaps: entries are numbered 1, 2, 3 and so on');
END;

CREATE TRIGGER log_immutable BEFORE UPDATE ON log
BEGIN
    SELECT RAISE(ABORT, 'log_immutable: what is on record is not rewritten');
END;

CREATE TRIGGER log_kept BEFORE DELETE ON log
WHEN OLD.sequence > (SELECT sequence FROM log_base)
BEGIN
    SELECT RAISE(ABORT, 'log_kept: only what the log no longer begins with is deleted');
END;

-- No event without its entry.
CREATE TRIGGER events_on_record BEFORE INSERT ON events
WHEN NOT EXISTS (SELECT 1 FROM log
    WHERE stream = 'executions/' || NEW.execution AND revision = NEW.revision AND at = NEW.at)
BEGIN
    SELECT RAISE(ABORT, 'events_on_record: what happens is put on record first');
END;

-- The last numbers of streams whose newest entries were deleted for their age.
CREATE TABLE log_streams (
    -- The stream.
    stream   TEXT    NOT NULL CONSTRAINT log_streams_name PRIMARY KEY,
    -- The number of its last deleted entry.
    revision INTEGER NOT NULL CONSTRAINT log_streams_revision CHECK (revision >= 1)
) STRICT, WITHOUT ROWID;

-- Who does what only one process may do at a time.
CREATE TABLE leases (
    -- What it is about.
    name   TEXT    NOT NULL CONSTRAINT leases_name PRIMARY KEY,
    -- The process that has it, or had it last.
    holder TEXT    NOT NULL,
    -- Rises when it passes to another process.
    epoch  INTEGER NOT NULL CONSTRAINT leases_epoch CHECK (epoch >= 1),
    -- Until when, unless it is renewed.
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
