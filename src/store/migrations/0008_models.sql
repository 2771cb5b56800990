-- Bundles of the data directory: each lies in `models/<version>`. The one inside the program has no row.
CREATE TABLE models (
    version TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- `imported` or `trained`
    origin TEXT NOT NULL,
    -- The job that trained it; null where the command line did.
    job_id BIGINT,
    -- Whether the server trained it by itself.
    is_automatic BOOLEAN NOT NULL DEFAULT FALSE,
    -- Seconds since 1970.
    created_at BIGINT NOT NULL,
    by_whom TEXT NOT NULL,
    training_rows BIGINT NOT NULL,
    -- Changes to confirmed tickets up to this one came before it.
    memory_change BIGINT NOT NULL,
    -- Of the texts that it learnt from, eight bytes each in their order; null where they are not known.
    learnt_texts BLOB,
    -- How it does, as JSON.
    report TEXT NOT NULL
);

-- Which model began to serve, when, by whom and why. The last one serves; before the first, the one inside the program.
CREATE TABLE activations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version TEXT NOT NULL,
    -- The one inside the program, whatever its version is by now.
    is_embedded BOOLEAN NOT NULL,
    -- What served before.
    previous TEXT NOT NULL,
    previous_is_embedded BOOLEAN NOT NULL,
    -- `activated`, `rolled_back` or `promoted`
    kind TEXT NOT NULL,
    -- Seconds since 1970.
    activated_at BIGINT NOT NULL,
    by_whom TEXT NOT NULL,
    reason TEXT NOT NULL
);

-- At most one row: the model that answers silently beside the active one.
CREATE TABLE shadow (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    version TEXT NOT NULL
);

-- What was confirmed for tickets, held against the guesses of the active model and of its shadow.
CREATE TABLE shadow_scores (
    active TEXT NOT NULL,
    shadow TEXT NOT NULL,
    field TEXT NOT NULL,
    both_right BIGINT NOT NULL,
    only_active_right BIGINT NOT NULL,
    only_shadow_right BIGINT NOT NULL,
    both_wrong BIGINT NOT NULL,
    PRIMARY KEY (active, shadow, field)
);

-- What became of models that the server trained by itself.
CREATE TABLE promotion_verdicts (
    candidate TEXT PRIMARY KEY,
    active TEXT NOT NULL,
    is_promoted BOOLEAN NOT NULL,
    -- Seconds since 1970.
    judged_at BIGINT NOT NULL,
    -- Why, as JSON: a list of sentences.
    reasons TEXT NOT NULL
);
