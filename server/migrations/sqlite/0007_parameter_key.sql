-- The key with which the values of sensitive parameters are sealed. The key itself is in a file; here
-- stands by what it is recognised, so that a wrong one is noticed before anything is sealed with it.

CREATE TABLE parameter_key (
    -- There is one.
    only        INTEGER NOT NULL DEFAULT 1
                CONSTRAINT parameter_key_only_one PRIMARY KEY CHECK (only = 1),
    -- Fingerprint of the key: hex.
    fingerprint TEXT    NOT NULL CONSTRAINT parameter_key_fingerprint CHECK (fingerprint <> '')
) STRICT;

CREATE TRIGGER parameter_key_immutable BEFORE UPDATE ON parameter_key
BEGIN
    SELECT RAISE(ABORT, 'parameter_key_immutable: what was sealed needs the key that sealed it');
END;
