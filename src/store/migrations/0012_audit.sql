-- Who did what, when, and what came of it. No text of tickets or articles. Entries are chained by keyed hashes, whose key
-- lies outside this database, so that what is changed or removed here shows.
CREATE TABLE audit (
    -- From 1, without gaps.
    sequence BIGINT PRIMARY KEY,
    -- Milliseconds since 1970.
    at_ms BIGINT NOT NULL,
    -- The name of a credential, or of the operating system's user.
    caller TEXT NOT NULL,
    -- A method of the API or a command.
    action TEXT NOT NULL,
    -- The name of a gRPC code, or `FAILED` or `INTERRUPTED` of a command.
    outcome TEXT NOT NULL,
    -- Versions, ids and counts, as JSON.
    details TEXT NOT NULL,
    -- HMAC-SHA-256 over the hash of the entry before and all of this one.
    hash BLOB NOT NULL
);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'entries of the audit log are not changed');
END;
CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'entries of the audit log are not removed');
END;

-- At most one row: the last entry, so that a tail that was removed shows.
CREATE TABLE audit_head (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    sequence BIGINT NOT NULL,
    hash BLOB NOT NULL,
    -- HMAC-SHA-256 over both.
    mac BLOB NOT NULL
);
