-- What is on its way to Data Storage.
--
-- Times are microseconds since 1970-01-01T00:00:00Z.

CREATE TABLE outbox_cursor (
    -- There is one row, from the first delivery on.
    one      INTEGER NOT NULL CONSTRAINT outbox_cursor_one PRIMARY KEY CHECK (one = 1),
    -- The last entry of the log that was taken up.
    sequence INTEGER NOT NULL CONSTRAINT outbox_cursor_sequence CHECK (sequence >= 0)
) STRICT;

CREATE TRIGGER outbox_cursor_moves_on BEFORE UPDATE ON outbox_cursor
WHEN NEW.sequence <= OLD.sequence
BEGIN
    SELECT RAISE(ABORT, 'outbox_cursor_moves_on: an entry is taken up once');
END;

-- The newest time that was given to an event of a correlation id; later ones get later times.
CREATE TABLE outbox_clocks (
    -- The correlation id.
    correlation_id TEXT    NOT NULL CONSTRAINT outbox_clocks_id PRIMARY KEY,
    -- The time.
    newest         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER outbox_clocks_rise BEFORE UPDATE ON outbox_clocks
WHEN NEW.newest <= OLD.newest
BEGIN
    SELECT RAISE(ABORT, 'outbox_clocks_rise: times of a correlation id rise');
END;

CREATE TABLE outbox (
    -- Place of its entry in the log.
    sequence       INTEGER NOT NULL CONSTRAINT outbox_sequence PRIMARY KEY,
    -- Correlation id of the event.
    correlation_id TEXT    NOT NULL,
    -- Time of the event.
    at             INTEGER NOT NULL,
    -- The event as it is sent: JSON.
    event          TEXT    NOT NULL CONSTRAINT outbox_event CHECK (
        event ->> '$.correlation_id' IS correlation_id),
    -- Where it stands: queued behind another of its correlation id, pending, sending (a request is under
    -- way, or was when the process ended), accepted (it is queued there), doubtful (it may be there),
    -- parked (a person must look). What is stored there is gone from here.
    state          TEXT    NOT NULL CONSTRAINT outbox_state CHECK (state IN
        ('queued', 'pending', 'sending', 'accepted', 'doubtful', 'parked')),
    -- When it is looked at again.
    due            INTEGER NOT NULL,
    -- When it was sent or parked; NULL when it was not.
    since          INTEGER CONSTRAINT outbox_since CHECK ((since IS NULL) = (state IN ('queued', 'pending'))),
    -- Since when the receiver answers again after it was sent; NULL while it does not.
    well_since     INTEGER CONSTRAINT outbox_well_since CHECK (
        well_since IS NULL OR state IN ('accepted', 'doubtful')),
    -- Why it is parked; NULL when it is not.
    reason         TEXT    CONSTRAINT outbox_reason CHECK ((reason IS NULL) = (state <> 'parked')
        AND (reason IS NULL OR reason IN ('invalid', 'too_large', 'too_old', 'never_stored'))),
    -- The same in a sentence; NULL when it is not parked.
    problem        TEXT    CONSTRAINT outbox_problem CHECK ((problem IS NULL) = (state <> 'parked'))
) STRICT;

-- Of the events of a correlation id one is in flight.
CREATE UNIQUE INDEX outbox_one_in_flight ON outbox (correlation_id)
    WHERE state IN ('pending', 'sending', 'accepted', 'doubtful');
CREATE INDEX outbox_due ON outbox (state, due, sequence);
CREATE INDEX outbox_by_correlation ON outbox (correlation_id, sequence);

CREATE TRIGGER outbox_immutable BEFORE UPDATE OF sequence, correlation_id, at, event ON outbox
BEGIN
    SELECT RAISE(ABORT, 'outbox_immutable: what may have been sent stays as it is');
END;
