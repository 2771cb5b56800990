-- What was learned from past links, so that a start need not learn it again. Holds numbers only, no text of a ticket.
CREATE TABLE learned (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    -- JSON
    content TEXT NOT NULL
);
