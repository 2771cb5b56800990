-- Taxonomies that were in force, the last thousand of them. Of number 1 nobody is the author: it is what was there before
-- the first change.
CREATE TABLE taxonomy_versions (
    -- From 1, without gaps.
    number BIGINT PRIMARY KEY,
    -- Name and hash of the content; the same content has the same version, whenever it is in force.
    version TEXT NOT NULL,
    -- The whole taxonomy, as a taxonomy file.
    document TEXT NOT NULL,
    -- As the client named itself; may be empty.
    changed_by TEXT NOT NULL,
    -- Seconds since 1970 began, UTC.
    changed_at BIGINT NOT NULL,
    -- What it changed about the one before, a line each.
    changes TEXT NOT NULL
);
