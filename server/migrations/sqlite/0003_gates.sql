-- What executions that ended leave behind on their target, and who cleared what of it.
--
-- Times are microseconds since 1970-01-01T00:00:00Z. Columns of JSON hold what the types of wfe-core
-- write. An order of writes lets the triggers compare: executions, events, requests, clearances,
-- targets.

-- The last success of each workflow, as long as its cooldown may matter: JSON of a map from workflow to
-- Success.
ALTER TABLE targets ADD COLUMN successes TEXT NOT NULL DEFAULT '{}'
    CONSTRAINT targets_successes_json CHECK (json_type(successes) = 'object');
-- Failures before execution in a row; 0 when the last one did not fail that way.
ALTER TABLE targets ADD COLUMN failures INTEGER NOT NULL DEFAULT 0
    CONSTRAINT targets_failures CHECK (failures >= 0);
-- The last of these; NULL when there are none.
ALTER TABLE targets ADD COLUMN failed_execution TEXT
    CONSTRAINT targets_failed_execution REFERENCES executions (id)
    CONSTRAINT targets_failures_whole CHECK ((failed_execution IS NULL) = (failures = 0));
-- When it ended; NULL when there are none.
ALTER TABLE targets ADD COLUMN failed_at INTEGER
    CONSTRAINT targets_failed_at CHECK ((failed_at IS NULL) = (failures = 0));
-- The execution failure that nobody cleared yet; NULL when there is none.
ALTER TABLE targets ADD COLUMN blocking_execution TEXT
    CONSTRAINT targets_blocking_execution REFERENCES executions (id);
-- When it ended; NULL when there is none.
ALTER TABLE targets ADD COLUMN blocked_since INTEGER
    CONSTRAINT targets_block_whole CHECK ((blocked_since IS NULL) = (blocking_execution IS NULL));

CREATE TABLE clearances (
    -- Order of the attempts.
    sequence  INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Cluster of the target; empty is the local one.
    cluster   TEXT    NOT NULL,
    -- The target in canonical form.
    target    TEXT    NOT NULL,
    -- When it was tried.
    at        INTEGER NOT NULL,
    -- Who tried: JSON of Actor.
    actor     TEXT    NOT NULL CONSTRAINT clearances_actor_json CHECK (json_valid(actor)),
    -- Why, as the person wrote it.
    reason    TEXT    NOT NULL CONSTRAINT clearances_reason CHECK (length(reason) BETWEEN 10 AND 2000),
    -- Reference of a ticket; NULL when none was given.
    ticket    TEXT,
    -- What came of it.
    outcome   TEXT    NOT NULL CONSTRAINT clearances_outcome CHECK (outcome IN
        ('cleared', 'not_blocked', 'stale')),
    -- The execution that blocked the target then; NULL when nothing was blocked.
    execution TEXT    CONSTRAINT clearances_execution REFERENCES executions (id),

    CONSTRAINT clearances_execution_of_outcome CHECK ((execution IS NULL) = (outcome = 'not_blocked'))
) STRICT;

-- A block is cleared once.
CREATE UNIQUE INDEX clearances_cleared ON clearances (execution) WHERE outcome = 'cleared';
CREATE INDEX clearances_by_target ON clearances (cluster, target, sequence);

CREATE TRIGGER clearances_immutable BEFORE UPDATE ON clearances
BEGIN
    SELECT RAISE(ABORT, 'clearances_immutable: an attempt stays as it was');
END;

CREATE TRIGGER clearances_kept BEFORE DELETE ON clearances
BEGIN
    SELECT RAISE(ABORT, 'clearances_kept: an attempt stays on record');
END;

-- Only what failed on this target blocks it.
CREATE TRIGGER targets_blocked_by_failure BEFORE UPDATE ON targets
WHEN NEW.blocking_execution IS NOT NULL AND NEW.blocking_execution IS NOT OLD.blocking_execution
    AND NOT EXISTS (SELECT 1 FROM executions WHERE id = NEW.blocking_execution
        AND cluster = NEW.cluster AND target = NEW.target AND state = 'failed')
BEGIN
    SELECT RAISE(ABORT, 'targets_blocked_by_failure: only a failure of the target itself blocks it');
END;

-- A block goes when a person cleared it, or when a later execution, which was let pass, ended well or
-- failed in its turn.
CREATE TRIGGER targets_block_cleared BEFORE UPDATE ON targets
WHEN OLD.blocking_execution IS NOT NULL AND NEW.blocking_execution IS NOT OLD.blocking_execution
    AND NOT EXISTS (SELECT 1 FROM clearances WHERE execution = OLD.blocking_execution
        AND outcome = 'cleared')
    AND NOT EXISTS (SELECT 1 FROM executions WHERE target_hash = NEW.hash AND cluster = NEW.cluster
        AND target = NEW.target AND state IN ('succeeded', 'failed')
        AND epoch > (SELECT epoch FROM executions WHERE id = OLD.blocking_execution))
BEGIN
    SELECT RAISE(ABORT, 'targets_block_cleared: a block is not forgotten');
END;
