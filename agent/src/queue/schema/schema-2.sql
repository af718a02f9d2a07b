CREATE TABLE file (
    file        INTEGER PRIMARY KEY,
    source      TEXT NOT NULL,
    path        TEXT NOT NULL,
    name        TEXT NOT NULL COLLATE NOCASE,
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
CREATE INDEX file_taken ON file (modified_ns, hash);
CREATE INDEX file_staged ON file (file) WHERE state = 0;
CREATE INDEX file_open ON file (source) WHERE state = 1;
CREATE INDEX file_name ON file (name);
CREATE INDEX file_correlation ON file (correlation);
CREATE TABLE entry (
    entry     INTEGER PRIMARY KEY AUTOINCREMENT,
    file      INTEGER NOT NULL REFERENCES file (file),
    report_id BLOB NOT NULL,
    serial    TEXT NOT NULL COLLATE NOCASE,
    part      TEXT NOT NULL COLLATE NOCASE,
    result    TEXT NOT NULL,
    priority  INTEGER NOT NULL,
    queued_at INTEGER NOT NULL,
    older     INTEGER,
    hash      BLOB NOT NULL,
    size      INTEGER NOT NULL,
    stored    INTEGER NOT NULL,
    unbound   INTEGER,
    spool     TEXT,
    payload   BLOB
);
CREATE INDEX entry_file ON entry (file);
CREATE INDEX entry_report ON entry (substr(report_id, 1, 4), substr(report_id, 13, 4));
CREATE INDEX entry_serial ON entry (serial);
CREATE INDEX entry_part ON entry (part);
CREATE INDEX entry_unbound ON entry (entry) WHERE unbound = 1;
CREATE INDEX entry_spool ON entry (spool) WHERE spool IS NOT NULL;
CREATE TABLE destination (
    destination INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE COLLATE NOCASE,
    accepted_by TEXT,
    failures    INTEGER NOT NULL DEFAULT 0,
    cooldown_ms INTEGER,
    open_until  INTEGER,
    held_at     INTEGER,
    most        INTEGER NOT NULL DEFAULT 0,
    most_at     INTEGER
);
CREATE TABLE delivery (
    entry       INTEGER NOT NULL REFERENCES entry (entry),
    destination INTEGER NOT NULL REFERENCES destination (destination),
    state       INTEGER NOT NULL,
    priority    INTEGER NOT NULL,
    rank        INTEGER NOT NULL,
    due         INTEGER NOT NULL DEFAULT 0,
    attempts    INTEGER NOT NULL DEFAULT 0,
    tries       INTEGER NOT NULL DEFAULT 0,
    mark        INTEGER NOT NULL DEFAULT -1,
    finished_at INTEGER,
    code        TEXT,
    note        TEXT,
    PRIMARY KEY (entry, destination)
) WITHOUT ROWID;
CREATE INDEX delivery_ready ON delivery (destination, priority, rank, entry) WHERE state = 1 AND due = 0;
CREATE INDEX delivery_delayed ON delivery (destination, due) WHERE state = 1 AND due > 0;
CREATE INDEX delivery_list ON delivery (destination, state, priority, entry);
CREATE INDEX delivery_sent ON delivery (finished_at) WHERE state = 3;
CREATE INDEX delivery_discarded ON delivery (finished_at) WHERE state = 5;
CREATE TABLE counter (
    destination INTEGER NOT NULL,
    state       INTEGER NOT NULL,
    priority    INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    PRIMARY KEY (destination, state, priority)
) WITHOUT ROWID;
CREATE TABLE lane (
    priority INTEGER PRIMARY KEY,
    held_at  INTEGER NOT NULL
);
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
CREATE TABLE loss (
    loss       INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    what       TEXT NOT NULL,
    reports    INTEGER,
    deliveries INTEGER,
    kept_at    TEXT,
    seen_at    INTEGER
);
