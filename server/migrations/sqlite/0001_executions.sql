-- Executions, their targets, the requests that got them, and their events.
--
-- Times are microseconds since 1970-01-01T00:00:00Z. Columns of JSON hold what the types of wfe-core
-- write. An order of writes lets the triggers compare: executions, events, requests, targets.
-- What is checked at COMMIT only is DEFERRABLE INITIALLY DEFERRED.

CREATE TABLE executions (
    -- Order of acceptance.
    sequence       INTEGER PRIMARY KEY AUTOINCREMENT,

    -- Immutable columns.

    -- Identifies the execution; a UUID in its canonical spelling.
    id             TEXT    NOT NULL CONSTRAINT executions_id UNIQUE,
    -- The request that it was accepted for.
    request_id     TEXT    NOT NULL CONSTRAINT executions_request_id UNIQUE
                           CONSTRAINT executions_request REFERENCES requests (request_id)
                           DEFERRABLE INITIALLY DEFERRED,
    -- Cluster of the target; empty is the local one.
    cluster        TEXT    NOT NULL,
    -- The target in canonical form.
    target         TEXT    NOT NULL,
    -- Hash of cluster and target, as it stands in names and labels of runs.
    target_hash    TEXT    NOT NULL,
    -- Ties executions of one incident together; NULL when the caller gave none.
    correlation_id TEXT,
    -- Who asked: JSON of Actor.
    actor          TEXT    NOT NULL CONSTRAINT executions_actor_json CHECK (json_valid(actor)),
    -- When it was accepted.
    created_at     INTEGER NOT NULL,

    -- Mutable columns.

    -- Name of the state.
    state          TEXT    NOT NULL CONSTRAINT executions_state CHECK (state IN
        ('waiting', 'starting', 'running', 'cancelling', 'succeeded', 'failed', 'cancelled')),
    -- Number of its newest event.
    revision       INTEGER NOT NULL CONSTRAINT executions_revision CHECK (revision >= 1),
    -- The hold of the target under which it runs or ran; NULL when it never held it.
    epoch          INTEGER CONSTRAINT executions_epoch CHECK (epoch >= 1),
    -- Name of its PipelineRun; NULL when it never held its target.
    run_name       TEXT,
    -- When its newest event happened.
    updated_at     INTEGER NOT NULL,
    -- When it ended; NULL until then.
    ended_at       INTEGER,
    -- The state with its data: JSON of State.
    detail         TEXT    NOT NULL,

    CONSTRAINT executions_detail_of_state CHECK (detail ->> '$.state' IS state),
    CONSTRAINT executions_ended_at_of_state CHECK (
        (ended_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled'))),
    CONSTRAINT executions_run_whole CHECK ((epoch IS NULL) = (run_name IS NULL)),
    -- Who waits has no run yet; who failed or was cancelled while waiting never had one.
    CONSTRAINT executions_run_of_state CHECK (CASE state
        WHEN 'waiting' THEN epoch IS NULL
        WHEN 'failed' THEN TRUE
        WHEN 'cancelled' THEN TRUE
        ELSE epoch IS NOT NULL END),
    CONSTRAINT executions_target FOREIGN KEY (cluster, target)
        REFERENCES targets (cluster, target) DEFERRABLE INITIALLY DEFERRED,
    -- No change without its event.
    CONSTRAINT executions_newest_event FOREIGN KEY (id, revision)
        REFERENCES events (execution, revision) DEFERRABLE INITIALLY DEFERRED
) STRICT;

-- At most one execution holds a target.
CREATE UNIQUE INDEX executions_holding ON executions (cluster, target)
    WHERE state IN ('starting', 'running', 'cancelling');
-- Who waits for a target, in order of acceptance.
CREATE INDEX executions_waiting ON executions (target_hash, sequence, cluster, target)
    WHERE state = 'waiting';
-- Lists.
CREATE INDEX executions_by_target ON executions (target_hash, sequence);
CREATE INDEX executions_by_state ON executions (state, sequence);
CREATE INDEX executions_by_correlation ON executions (correlation_id, sequence)
    WHERE correlation_id IS NOT NULL;

CREATE TRIGGER executions_immutable BEFORE UPDATE ON executions
WHEN NEW.sequence <> OLD.sequence OR NEW.id <> OLD.id OR NEW.request_id <> OLD.request_id
    OR NEW.cluster <> OLD.cluster OR NEW.target <> OLD.target OR NEW.target_hash <> OLD.target_hash
    OR NEW.correlation_id IS NOT OLD.correlation_id OR NEW.actor <> OLD.actor
    OR NEW.created_at <> OLD.created_at
BEGIN
    SELECT RAISE(ABORT, 'executions_immutable: what was accepted does not change');
END;

-- What becomes known of an execution after its end is kept beside it, never in it.
CREATE TRIGGER executions_terminal BEFORE UPDATE ON executions
WHEN OLD.state IN ('succeeded', 'failed', 'cancelled')
BEGIN
    SELECT RAISE(ABORT, 'executions_terminal: an execution that ended does not change');
END;

CREATE TRIGGER executions_revision_rises BEFORE UPDATE ON executions
WHEN NEW.revision <= OLD.revision
BEGIN
    SELECT RAISE(ABORT, 'executions_revision_rises: every change has a greater revision');
END;

CREATE TRIGGER executions_epoch_rises BEFORE UPDATE ON executions
WHEN OLD.epoch IS NOT NULL AND (NEW.epoch IS NULL OR NEW.epoch < OLD.epoch)
BEGIN
    SELECT RAISE(ABORT, 'executions_epoch_rises: a run is never replaced by an older one');
END;

CREATE TRIGGER executions_kept BEFORE DELETE ON executions
BEGIN
    SELECT RAISE(ABORT, 'executions_kept: an execution stays on record');
END;

CREATE TABLE events (
    -- The execution.
    execution    TEXT    NOT NULL CONSTRAINT events_execution REFERENCES executions (id),
    -- Its number in the execution, from 1, without gaps.
    revision     INTEGER NOT NULL,
    -- When it happened.
    at           INTEGER NOT NULL,
    -- Name of what happened.
    kind         TEXT    NOT NULL,
    -- Name of the state before; NULL for the first.
    state_before TEXT    CONSTRAINT events_state_before CHECK (state_before IN
        ('waiting', 'starting', 'running', 'cancelling')),
    -- Name of the state after.
    state_after  TEXT    NOT NULL CONSTRAINT events_state_after CHECK (state_after IN
        ('waiting', 'starting', 'running', 'cancelling', 'succeeded', 'failed', 'cancelled')),
    -- Who caused it: JSON of Actor.
    actor        TEXT    NOT NULL CONSTRAINT events_actor_json CHECK (json_valid(actor)),
    -- What happened, with what it changed: JSON of EventKind.
    detail       TEXT    NOT NULL,

    CONSTRAINT events_number PRIMARY KEY (execution, revision),
    CONSTRAINT events_detail_of_kind CHECK (detail ->> '$.type' IS kind),
    CONSTRAINT events_begin_with_acceptance CHECK (
        (revision = 1) = (kind = 'accepted') AND (revision = 1) = (state_before IS NULL))
) STRICT;

CREATE TRIGGER events_without_gaps BEFORE INSERT ON events
WHEN NEW.revision <>
    (SELECT coalesce(max(revision), 0) + 1 FROM events WHERE execution = NEW.execution)
BEGIN
    SELECT RAISE(ABORT, 'events_without_gaps: revisions are 1, 2, 3 and so on');
END;

CREATE TRIGGER events_continue BEFORE INSERT ON events
WHEN NEW.state_before <>
    (SELECT state_after FROM events WHERE execution = NEW.execution AND revision = NEW.revision - 1)
BEGIN
    SELECT RAISE(ABORT, 'events_continue: an event begins where the one before ended');
END;

-- No event without its change: the execution stands there, or beyond.
CREATE TRIGGER events_of_change BEFORE INSERT ON events
WHEN NOT EXISTS (SELECT 1 FROM executions WHERE id = NEW.execution
    AND (revision > NEW.revision OR (revision = NEW.revision AND state = NEW.state_after)))
BEGIN
    SELECT RAISE(ABORT, 'events_of_change: the execution does not stand where its event says');
END;

CREATE TRIGGER events_immutable BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events_immutable: history is not rewritten');
END;

CREATE TRIGGER events_kept BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'events_kept: history is not deleted');
END;

CREATE TABLE requests (
    -- Identifies the request, for ever.
    request_id  TEXT    NOT NULL CONSTRAINT requests_id PRIMARY KEY,
    -- The execution that it got.
    execution   TEXT    NOT NULL CONSTRAINT requests_execution REFERENCES executions (id),
    -- 1 when it follows an execution that was accepted for another request.
    attached    INTEGER NOT NULL CONSTRAINT requests_attached CHECK (attached IN (0, 1)),
    -- When it was accepted or attached. For people: nothing is decided by it.
    accepted_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    -- What was asked for: JSON of StartRequest. Not in executions, so that a change of an execution
    -- does not write it again.
    request     TEXT    NOT NULL,

    CONSTRAINT requests_request_of_id CHECK (request ->> '$.request_id' IS request_id)
) STRICT;

-- An execution is accepted for one request.
CREATE UNIQUE INDEX requests_own ON requests (execution) WHERE attached = 0;

CREATE TRIGGER requests_attached_to_another BEFORE INSERT ON requests
WHEN NEW.attached IS NOT
    (SELECT request_id <> NEW.request_id FROM executions WHERE id = NEW.execution)
BEGIN
    SELECT RAISE(ABORT, 'requests_attached_to_another: own requests are not attached, others are');
END;

CREATE TRIGGER requests_immutable BEFORE UPDATE ON requests
BEGIN
    SELECT RAISE(ABORT, 'requests_immutable: a request is recognised for ever');
END;

CREATE TRIGGER requests_kept BEFORE DELETE ON requests
BEGIN
    SELECT RAISE(ABORT, 'requests_kept: a request is recognised for ever');
END;

CREATE TABLE targets (
    -- Cluster of the target; empty is the local one.
    cluster    TEXT    NOT NULL,
    -- The target in canonical form.
    target     TEXT    NOT NULL,
    -- Hash of cluster and target, as it stands in names and labels of runs.
    hash       TEXT    NOT NULL,
    -- Number of the last hold; 0 when it was never held.
    epoch      INTEGER NOT NULL CONSTRAINT targets_epoch CHECK (epoch >= 0),
    -- The execution that holds it; NULL when it is free.
    holder     TEXT    CONSTRAINT targets_holder REFERENCES executions (id),
    -- Since when it is held; NULL when it is free.
    held_since INTEGER,

    CONSTRAINT targets_key PRIMARY KEY (cluster, target),
    CONSTRAINT targets_hold_whole CHECK ((holder IS NULL) = (held_since IS NULL)),
    CONSTRAINT targets_hold_has_epoch CHECK (holder IS NULL OR epoch >= 1)
) STRICT, WITHOUT ROWID;

-- The holder is the execution whose state holds the target, under the same epoch; nobody when there
-- is none.
CREATE TRIGGER targets_holder_holds_first BEFORE INSERT ON targets
WHEN NEW.holder IS NOT (SELECT id FROM executions WHERE cluster = NEW.cluster
        AND target = NEW.target AND state IN ('starting', 'running', 'cancelling'))
    OR (NEW.holder IS NOT NULL
        AND NEW.epoch IS NOT (SELECT epoch FROM executions WHERE id = NEW.holder))
BEGIN
    SELECT RAISE(ABORT, 'targets_holder_holds: the holder is who holds the target, under its epoch');
END;

CREATE TRIGGER targets_holder_holds BEFORE UPDATE ON targets
WHEN NEW.holder IS NOT (SELECT id FROM executions WHERE cluster = NEW.cluster
        AND target = NEW.target AND state IN ('starting', 'running', 'cancelling'))
    OR (NEW.holder IS NOT NULL
        AND NEW.epoch IS NOT (SELECT epoch FROM executions WHERE id = NEW.holder))
BEGIN
    SELECT RAISE(ABORT, 'targets_holder_holds: the holder is who holds the target, under its epoch');
END;

CREATE TRIGGER targets_epoch_rises BEFORE UPDATE ON targets
WHEN NEW.epoch < OLD.epoch
    OR (NEW.holder IS NOT NULL AND NEW.holder IS NOT OLD.holder AND NEW.epoch = OLD.epoch)
BEGIN
    SELECT RAISE(ABORT, 'targets_epoch_rises: an epoch does not fall, and a new holder has a new one');
END;

CREATE TRIGGER targets_immutable BEFORE UPDATE ON targets
WHEN NEW.cluster <> OLD.cluster OR NEW.target <> OLD.target OR NEW.hash <> OLD.hash
BEGIN
    SELECT RAISE(ABORT, 'targets_immutable: a target stays what it is');
END;

CREATE TRIGGER targets_kept BEFORE DELETE ON targets
BEGIN
    SELECT RAISE(ABORT, 'targets_kept: its epoch would be forgotten');
END;
