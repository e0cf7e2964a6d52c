"""The tables of the job store."""

from __future__ import annotations

VERSION = 1
"""`PRAGMA user_version`: a database of another version is refused."""

JOBS = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL,
    options TEXT NOT NULL,
    recording_name TEXT,
    audio_url TEXT,
    state TEXT NOT NULL,
    created REAL NOT NULL,
    started REAL,
    finished REAL,
    not_before REAL NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    step TEXT NOT NULL DEFAULT '',
    progress REAL NOT NULL DEFAULT 0,
    audio_s REAL,
    failure TEXT,
    result TEXT,
    idempotency_key TEXT,
    recording_digest TEXT,
    callback_url TEXT,
    callback_attempts INTEGER NOT NULL DEFAULT 0,
    callback_delivered REAL,
    callback_next REAL,
    callback_problem TEXT
)
"""
"""`not_before`: an attempt waits until then. `result`: media type, headers, extension and timings, as JSON."""

UNIQUE_KEYS = "CREATE UNIQUE INDEX jobs_idempotency ON jobs (owner, idempotency_key) WHERE idempotency_key IS NOT NULL"
BY_STATE = "CREATE INDEX jobs_by_state ON jobs (state, created)"
BY_OWNER = "CREATE INDEX jobs_by_owner ON jobs (owner, created)"
PIECES = """
CREATE TABLE pieces (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    key BLOB NOT NULL,
    outcome TEXT NOT NULL,
    PRIMARY KEY (job, key)
) WITHOUT ROWID
"""
"""See `piece_results`."""

TABLES = (JOBS, UNIQUE_KEYS, BY_STATE, BY_OWNER, PIECES)
