-- Work over many tickets. What a job is to do and where it stands are the job's own business and kept as JSON.
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- What the client calls its request, so that asking twice makes one job; null where it gives no name.
    request_id TEXT UNIQUE,
    -- SHA-256 over input, options, versions and output; null for a job that no longer stands for them.
    fingerprint BLOB UNIQUE,
    kind TEXT NOT NULL,
    -- `server` or `command_line`: who works on it.
    origin TEXT NOT NULL,
    specification TEXT NOT NULL,
    -- The versions that decide, from the first ticket to the last.
    model TEXT NOT NULL,
    taxonomy TEXT NOT NULL,
    state TEXT NOT NULL,
    -- Why the job is paused, for programs and for people; null where it is not.
    pause_cause TEXT,
    pause_text TEXT,
    -- Seconds since 1970.
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    -- Milliseconds at work.
    worked_ms BIGINT NOT NULL DEFAULT 0,
    -- What is committed. A chunk is committed whole.
    chunks BIGINT NOT NULL DEFAULT 0,
    row_count BIGINT NOT NULL DEFAULT 0,
    changed BIGINT NOT NULL DEFAULT 0,
    abstained BIGINT NOT NULL DEFAULT 0,
    failed BIGINT NOT NULL DEFAULT 0,
    -- Where the next chunk begins; null before the first.
    checkpoint TEXT
);

-- The results of a chunk, in the order of its tickets: ids and labels, no text.
CREATE TABLE job_chunks (
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    abstained BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    results BLOB NOT NULL,
    -- XXH3 of the ids, eight bytes each, so that an id that comes again is known after a restart.
    id_hashes BLOB NOT NULL,
    PRIMARY KEY (job_id, number)
);

-- Confirmed tickets whose labels a job changed, so that this can be undone.
CREATE TABLE job_changes (
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    ticket_id TEXT NOT NULL,
    -- A JSON object by field: the label before the job, null where there was none.
    previous TEXT NOT NULL,
    -- The change to the memory that the job made; the ticket has another number since somebody touched it.
    sequence BIGINT NOT NULL,
    -- What undoing came to: `restored`, `touched` or `deleted`; null before.
    undo TEXT,
    PRIMARY KEY (job_id, ticket_id)
);
CREATE INDEX job_changes_by_ticket ON job_changes (ticket_id);
