CREATE TABLE file (
    file        INTEGER PRIMARY KEY,
    source      TEXT NOT NULL,
    path        TEXT NOT NULL,
    file_id     BLOB NOT NULL,
    size        INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    hash        BLOB NOT NULL,
    correlation BLOB NOT NULL,
    taken_at    INTEGER NOT NULL,
    reports     INTEGER NOT NULL,
    state       INTEGER NOT NULL,
    place       TEXT
);
CREATE INDEX file_path ON file (path, source);
CREATE INDEX file_open ON file (state) WHERE state < 2;
CREATE TABLE entry (
    entry     INTEGER PRIMARY KEY AUTOINCREMENT,
    file      INTEGER NOT NULL REFERENCES file (file),
    report_id BLOB NOT NULL,
    serial    TEXT NOT NULL,
    part      TEXT NOT NULL,
    result    TEXT NOT NULL,
    priority  INTEGER NOT NULL,
    queued_at INTEGER NOT NULL,
    hash      BLOB NOT NULL,
    size      INTEGER NOT NULL,
    spool     TEXT,
    payload   BLOB
);
CREATE INDEX entry_file ON entry (file);
CREATE INDEX entry_serial ON entry (serial);
CREATE TABLE destination (
    destination INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE COLLATE NOCASE,
    accepted_by TEXT
);
CREATE TABLE delivery (
    entry       INTEGER NOT NULL REFERENCES entry (entry),
    destination INTEGER NOT NULL REFERENCES destination (destination),
    state       INTEGER NOT NULL,
    report_id   BLOB NOT NULL,
    priority    INTEGER NOT NULL,
    rank        INTEGER NOT NULL,
    due         INTEGER NOT NULL DEFAULT 0,
    attempts    INTEGER NOT NULL DEFAULT 0,
    tries       INTEGER NOT NULL DEFAULT 0,
    mark        INTEGER NOT NULL DEFAULT -1,
    finished_at INTEGER,
    note        TEXT,
    PRIMARY KEY (entry, destination)
) WITHOUT ROWID;
CREATE INDEX delivery_ready ON delivery (destination, rank, entry) WHERE state = 1 AND due = 0;
CREATE INDEX delivery_delayed ON delivery (destination, due) WHERE state = 1 AND due > 0;
CREATE INDEX delivery_revision ON delivery (report_id, destination, entry) WHERE state = 1;
CREATE INDEX delivery_kept ON delivery (state, finished_at) WHERE state > 1;
CREATE TABLE counter (
    destination INTEGER NOT NULL,
    state       INTEGER NOT NULL,
    priority    INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    PRIMARY KEY (destination, state, priority)
) WITHOUT ROWID;
CREATE TABLE source (
    name    TEXT PRIMARY KEY COLLATE NOCASE,
    queued  INTEGER NOT NULL DEFAULT 0,
    errors  INTEGER NOT NULL DEFAULT 0,
    reports INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE conversion_error (
    error       INTEGER PRIMARY KEY AUTOINCREMENT,
    source      TEXT NOT NULL,
    path        TEXT NOT NULL,
    moved_to    TEXT,
    at          INTEGER NOT NULL,
    correlation BLOB NOT NULL,
    report      TEXT NOT NULL
);
