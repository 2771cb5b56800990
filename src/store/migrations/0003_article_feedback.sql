-- One row: the key that seals the handles of suggestions. It leaves the database for the memory of the process only.
CREATE TABLE suggestion_key (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    key BLOB NOT NULL
);
INSERT INTO suggestion_key (only_row, key) VALUES (1, randomblob(32));

-- What became of suggested articles. No text of a ticket: that comes with the handle and is kept in `memory_tickets`.
CREATE TABLE article_feedback (
    -- Tells one suggestion from another: the digest of its handle.
    digest BLOB NOT NULL,
    article_id TEXT NOT NULL,
    -- `shown`, `clicked`, `helped` or `refused`; of the last two a suggestion has the later one only.
    event TEXT NOT NULL,
    -- The confirmed ticket whose link to the article this is; null for what is only counted, and where a later event
    -- for the ticket says otherwise or the ticket was deleted.
    ticket_id TEXT,
    -- YYYY-MM-DD
    recorded_on TEXT NOT NULL,
    PRIMARY KEY (digest, article_id, event)
);
CREATE INDEX article_feedback_by_article ON article_feedback (article_id, event);
CREATE INDEX article_feedback_by_ticket ON article_feedback (ticket_id, article_id) WHERE ticket_id IS NOT NULL;
