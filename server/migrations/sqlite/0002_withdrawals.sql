-- Requests that were cancelled before anything was accepted for them. They start nothing, for ever.
--
-- Times are microseconds since 1970-01-01T00:00:00Z.

CREATE TABLE withdrawals (
    -- Identifies the request. Its first withdrawal is kept.
    request_id   TEXT    NOT NULL CONSTRAINT withdrawals_id PRIMARY KEY,
    -- When it was withdrawn.
    withdrawn_at INTEGER NOT NULL,
    -- Who withdrew it: JSON of Actor.
    actor        TEXT    NOT NULL CONSTRAINT withdrawals_actor_json CHECK (json_valid(actor)),
    -- Why, as the caller wrote it.
    reason       TEXT    NOT NULL CONSTRAINT withdrawals_reason CHECK (reason <> '')
) STRICT;

-- Who attached to the execution of another request may be withdrawn: nothing of its own runs.
CREATE TRIGGER withdrawals_of_nothing_accepted BEFORE INSERT ON withdrawals
WHEN EXISTS (SELECT 1 FROM requests WHERE request_id = NEW.request_id AND attached = 0)
BEGIN
    SELECT RAISE(ABORT, 'withdrawals_of_nothing_accepted: what was accepted is not withdrawn');
END;

CREATE TRIGGER requests_not_withdrawn BEFORE INSERT ON requests
WHEN EXISTS (SELECT 1 FROM withdrawals WHERE request_id = NEW.request_id)
BEGIN
    SELECT RAISE(ABORT, 'requests_not_withdrawn: what was withdrawn is not accepted');
END;

CREATE TRIGGER withdrawals_immutable BEFORE UPDATE ON withdrawals
BEGIN
    SELECT RAISE(ABORT, 'withdrawals_immutable: a request is withdrawn once');
END;

CREATE TRIGGER withdrawals_kept BEFORE DELETE ON withdrawals
BEGIN
    SELECT RAISE(ABORT, 'withdrawals_kept: a request is withdrawn for ever');
END;
