-- What was decided, day by day, so that volume, abstention and what was filled in can be told beside feedback. No text
-- and no id of a ticket.
CREATE TABLE decision_counts (
    -- YYYY-MM-DD
    day TEXT NOT NULL,
    field TEXT NOT NULL,
    label TEXT NOT NULL,
    -- Values, those not to be used unseen, and those that might be filled in.
    proposed BIGINT NOT NULL,
    abstained BIGINT NOT NULL,
    filled BIGINT NOT NULL,
    PRIMARY KEY (day, field, label)
);
CREATE TABLE ticket_counts (
    day TEXT PRIMARY KEY,
    tickets BIGINT NOT NULL,
    out_of_scope BIGINT NOT NULL,
    unsupported_language BIGINT NOT NULL,
    too_short BIGINT NOT NULL,
    -- Of all texts, and those that the model had never seen.
    words BIGINT NOT NULL,
    new_words BIGINT NOT NULL
);
CREATE INDEX feedback_fields_promised ON feedback_fields (feedback_id) WHERE promised IS NOT NULL;
