-- What an article says beside its body, and which of its texts it is.
ALTER TABLE articles ADD COLUMN link TEXT;
ALTER TABLE articles ADD COLUMN problem TEXT;
-- Of a known error; empty for other kinds.
ALTER TABLE articles ADD COLUMN symptoms TEXT NOT NULL DEFAULT '';
ALTER TABLE articles ADD COLUMN cause TEXT NOT NULL DEFAULT '';
ALTER TABLE articles ADD COLUMN workaround TEXT NOT NULL DEFAULT '';
ALTER TABLE articles ADD COLUMN fix TEXT NOT NULL DEFAULT '';
-- A JSON list of strings.
ALTER TABLE articles ADD COLUMN affected TEXT NOT NULL DEFAULT '[]';
-- Articles that were there before versions were kept are the first ones of theirs.
ALTER TABLE articles ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
-- Seconds since 1970; null for a text that stood here before versions were kept.
ALTER TABLE articles ADD COLUMN made_at BIGINT;

-- An article that is created again goes on counting behind its last version; 0 where none was counted.
ALTER TABLE deleted_articles ADD COLUMN last_version BIGINT NOT NULL DEFAULT 0;

-- Earlier texts, as they stood in `articles`, so that an answer can be traced to the text that it came from. The text in
-- force stands in `articles` only; of a deleted article the last one stands here too.
CREATE TABLE article_versions (
    id TEXT NOT NULL,
    version BIGINT NOT NULL,
    title TEXT NOT NULL,
    summary TEXT NOT NULL,
    body TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    products TEXT NOT NULL,
    category TEXT,
    valid_until TEXT,
    link TEXT,
    problem TEXT,
    symptoms TEXT NOT NULL,
    cause TEXT NOT NULL,
    workaround TEXT NOT NULL,
    fix TEXT NOT NULL,
    affected TEXT NOT NULL,
    made_at BIGINT,
    PRIMARY KEY (id, version)
);
