-- The sentence encoder that the vectors of both indexes come from; no row: there is none.
CREATE TABLE encoder (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    record TEXT NOT NULL
);
