-- As change_counter, for the changes to confirmed tickets; the identity is that of the database.
CREATE TABLE memory_counter (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    last BIGINT NOT NULL
);
INSERT INTO memory_counter (only_row, last) VALUES (1, 0);

-- Confirmed tickets. Their text is prepared and redacted before it comes here.
CREATE TABLE memory_tickets (
    id TEXT PRIMARY KEY,
    summary TEXT NOT NULL,
    description TEXT NOT NULL,
    service TEXT NOT NULL,
    configuration_item TEXT NOT NULL,
    -- A JSON object of strings, by field.
    labels TEXT NOT NULL,
    resolution TEXT NOT NULL,
    -- YYYY-MM-DD
    resolved_on TEXT,
    -- SHA-256 over every column above and the links, so that an unchanged ticket is recognised without reading it.
    content_hash BLOB NOT NULL,
    -- The change that wrote this ticket.
    sequence BIGINT NOT NULL UNIQUE
);

-- Which articles solved a ticket and which were of no use. An article need not be in the knowledge base.
CREATE TABLE memory_links (
    ticket_id TEXT NOT NULL REFERENCES memory_tickets (id) ON DELETE CASCADE,
    article_id TEXT NOT NULL,
    -- `solved` or `refused`
    outcome TEXT NOT NULL,
    PRIMARY KEY (ticket_id, article_id)
);
CREATE INDEX memory_links_by_article ON memory_links (article_id, outcome);

-- Deleted tickets, for whoever follows the changes. An id stands here or in `memory_tickets`, never in both.
CREATE TABLE deleted_memory_tickets (
    id TEXT PRIMARY KEY,
    sequence BIGINT NOT NULL UNIQUE
);
