-- Checkpoints: heads of the log that were signed. Kept outside of the database too.
--
-- Times are microseconds since 1970-01-01T00:00:00Z.

CREATE TABLE checkpoints (
    -- Place of the entry that it signs; 0 is the empty log.
    sequence  INTEGER NOT NULL CONSTRAINT checkpoints_sequence PRIMARY KEY CHECK (sequence >= 0),
    -- Hash of the entry.
    hash      BLOB    NOT NULL CONSTRAINT checkpoints_hash CHECK (length(hash) = 32),
    -- When it was signed.
    at        INTEGER NOT NULL,
    -- Id of the key that signed.
    key       TEXT    NOT NULL CONSTRAINT checkpoints_key CHECK (key <> ''),
    -- The signature: base64.
    signature TEXT    NOT NULL CONSTRAINT checkpoints_signature CHECK (signature <> '')
) STRICT;

CREATE TRIGGER checkpoints_of_the_log BEFORE INSERT ON checkpoints
WHEN NOT EXISTS (SELECT 1 FROM log WHERE sequence = NEW.sequence AND hash = NEW.hash)
    AND NOT EXISTS (SELECT 1 FROM log_base WHERE sequence = NEW.sequence AND hash = NEW.hash)
BEGIN
    SELECT RAISE(ABORT, 'checkpoints_of_the_log: what is signed is an entry of the log');
END;

CREATE TRIGGER checkpoints_rise BEFORE INSERT ON checkpoints
WHEN NEW.sequence < (SELECT max(sequence) FROM checkpoints)
BEGIN
    SELECT RAISE(ABORT, 'checkpoints_rise: a checkpoint signs no less than the one before');
END;

CREATE TRIGGER checkpoints_immutable BEFORE UPDATE ON checkpoints
BEGIN
    SELECT RAISE(ABORT, 'checkpoints_immutable: what was signed is not rewritten');
END;

CREATE TRIGGER checkpoints_kept BEFORE DELETE ON checkpoints
WHEN OLD.sequence >= (SELECT sequence FROM log_base)
BEGIN
    SELECT RAISE(ABORT, 'checkpoints_kept: only what the log no longer begins with is deleted');
END;

-- Where the log begins, it is signed: what is left can be verified from there on.
CREATE TRIGGER log_base_signed BEFORE UPDATE ON log_base
WHEN NOT EXISTS (SELECT 1 FROM checkpoints WHERE sequence = NEW.sequence AND hash = NEW.hash)
BEGIN
    SELECT RAISE(ABORT, 'log_base_signed: a log begins at a checkpoint');
END;
