-- Only types and clauses that SQLite and PostgreSQL share. Addresses and IDs are compared and ordered byte by
-- byte, which is how SQLite compares TEXT unless told otherwise.

-- +goose Up
CREATE TABLE accounts (
    id            TEXT   NOT NULL PRIMARY KEY,
    email         TEXT   NOT NULL UNIQUE,
    password_hash TEXT   NOT NULL,
    name          TEXT   NOT NULL,
    country       TEXT   NOT NULL,
    platform      TEXT   NOT NULL,
    subscription  TEXT   NOT NULL,
    roles         TEXT   NOT NULL, -- JSON, a list of strings
    permissions   TEXT   NOT NULL, -- JSON, a list of strings
    created       BIGINT NOT NULL  -- unix milliseconds
);

-- +goose Down
DROP TABLE accounts;
