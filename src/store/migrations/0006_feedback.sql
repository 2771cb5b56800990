-- What a ticket's labels were before anybody said otherwise: as it came by an import, feedback on an article or a job.
-- Null for a ticket that stands here for what was said about its decision alone.
ALTER TABLE memory_tickets ADD COLUMN own_labels TEXT;
UPDATE memory_tickets SET own_labels = labels;
-- A JSON object by field: who said that the label is right, where feedback gave it.
ALTER TABLE memory_tickets ADD COLUMN voices TEXT NOT NULL DEFAULT '{}';

-- What people made of decisions. No text of a ticket: that comes with the handle and is kept in `memory_tickets`.
CREATE TABLE feedback (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Tells what was said from anything else, so that it counts once however often it is sent.
    fingerprint BLOB NOT NULL UNIQUE,
    ticket_id TEXT NOT NULL,
    -- Who says so, as the client names it.
    source TEXT NOT NULL,
    -- Seconds since 1970.
    given_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    -- Null while it counts.
    withdrawn_at BIGINT,
    -- What made the decision.
    model TEXT NOT NULL,
    taxonomy TEXT NOT NULL
);
CREATE INDEX feedback_by_ticket ON feedback (ticket_id);
CREATE INDEX feedback_by_source ON feedback (source, recorded_at);

CREATE TABLE feedback_fields (
    feedback_id INTEGER NOT NULL REFERENCES feedback (id) ON DELETE CASCADE,
    field TEXT NOT NULL,
    -- The right one.
    value TEXT NOT NULL,
    -- What had been proposed, and how; null where nothing was.
    proposed TEXT,
    confidence REAL,
    route TEXT,
    abstention TEXT,
    -- The precision that was promised, of a value that was filled in.
    promised REAL,
    -- 1 while it gives the confirmed ticket its label; 0 where the ticket itself said otherwise later, where it was
    -- deleted, and where the source had said too much within the hour.
    counts INTEGER NOT NULL,
    -- Of the right value: the model's part, that of the confirmed tickets, and what else decides between the two.
    model_share REAL,
    memory_share REAL,
    lean REAL,
    support REAL,
    PRIMARY KEY (feedback_id, field)
);
CREATE INDEX feedback_fields_by_field ON feedback_fields (field, feedback_id);

-- How often what one source said agrees with what others said about tickets that are much alike.
CREATE TABLE feedback_agreement (
    feedback_id INTEGER NOT NULL REFERENCES feedback (id) ON DELETE CASCADE,
    -- Empty: what came with the tickets.
    other_source TEXT NOT NULL,
    agreed BIGINT NOT NULL,
    disagreed BIGINT NOT NULL,
    PRIMARY KEY (feedback_id, other_source)
);

-- One row: how many times feedback was recorded or withdrawn.
CREATE TABLE feedback_counter (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    last BIGINT NOT NULL
);
INSERT INTO feedback_counter (only_row, last) VALUES (1, 0);
