-- One row. `last` is the sequence number of the latest change; `identity` tells this database from any other,
-- so that an index derived from another database is noticed.
CREATE TABLE change_counter (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    last BIGINT NOT NULL,
    identity TEXT NOT NULL
);
INSERT INTO change_counter (only_row, last, identity) VALUES (1, 0, lower(hex(randomblob(16))));

CREATE TABLE articles (
    id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    summary TEXT NOT NULL,
    body TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    -- A JSON list of strings.
    products TEXT NOT NULL,
    category TEXT,
    -- YYYY-MM-DD
    valid_until TEXT,
    -- SHA-256 over every column above, so that an unchanged article is recognised without reading its body.
    content_hash BLOB NOT NULL,
    -- The change that wrote this text.
    sequence BIGINT NOT NULL UNIQUE
);

-- Deleted articles, for whoever follows the changes. An id stands here or in `articles`, never in both.
CREATE TABLE deleted_articles (
    id TEXT PRIMARY KEY,
    sequence BIGINT NOT NULL UNIQUE
);
