ALTER TABLE file ADD COLUMN name TEXT NOT NULL DEFAULT '' COLLATE NOCASE;
UPDATE file SET name = file_name(path);
DROP INDEX file_path;
DROP INDEX file_open;
CREATE INDEX file_staged ON file (file) WHERE state = 0;
CREATE INDEX file_open ON file (source) WHERE state = 1;
CREATE INDEX file_taken ON file (modified_ns, hash);
CREATE INDEX file_name ON file (name);
CREATE INDEX file_correlation ON file (correlation);

CREATE TABLE entry_2 (
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
INSERT INTO entry_2 (entry, file, report_id, serial, part, result, priority, queued_at, hash, size, stored, spool, payload)
    SELECT entry, file, report_id, serial, part, result, priority, queued_at, hash, size, coalesce(length(payload), size), spool, payload
    FROM entry ORDER BY entry;
UPDATE sqlite_sequence SET seq = (SELECT seq FROM sqlite_sequence WHERE name = 'entry') WHERE name = 'entry_2';
DROP TABLE entry;
ALTER TABLE entry_2 RENAME TO entry;
CREATE INDEX entry_file ON entry (file);
CREATE INDEX entry_report ON entry (substr(report_id, 1, 4), substr(report_id, 13, 4));
CREATE INDEX entry_serial ON entry (serial);
CREATE INDEX entry_part ON entry (part);
CREATE INDEX entry_unbound ON entry (entry) WHERE unbound = 1;
CREATE INDEX entry_spool ON entry (spool) WHERE spool IS NOT NULL;
UPDATE entry SET unbound = 1 WHERE EXISTS (SELECT 1 FROM file f WHERE f.file = entry.file AND f.state > 0)
    AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.entry = entry.entry);
UPDATE entry SET older = (SELECT max(o.entry) FROM entry o WHERE substr(o.report_id, 1, 4) = substr(entry.report_id, 1, 4)
    AND substr(o.report_id, 13, 4) = substr(entry.report_id, 13, 4)
    AND o.report_id = entry.report_id AND o.entry < entry.entry);

ALTER TABLE destination ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE destination ADD COLUMN cooldown_ms INTEGER;
ALTER TABLE destination ADD COLUMN open_until INTEGER;
ALTER TABLE destination ADD COLUMN held_at INTEGER;
ALTER TABLE destination ADD COLUMN most INTEGER NOT NULL DEFAULT 0;
ALTER TABLE destination ADD COLUMN most_at INTEGER;

CREATE TABLE delivery_2 (
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
INSERT INTO delivery_2 (entry, destination, state, priority, rank, due, attempts, tries, mark, finished_at, note)
    SELECT entry, destination, state, priority, rank, due, attempts, tries, mark, finished_at, note FROM delivery;
DROP TABLE delivery;
ALTER TABLE delivery_2 RENAME TO delivery;
CREATE INDEX delivery_ready ON delivery (destination, priority, rank, entry) WHERE state = 1 AND due = 0;
CREATE INDEX delivery_delayed ON delivery (destination, due) WHERE state = 1 AND due > 0;
CREATE INDEX delivery_list ON delivery (destination, state, priority, entry);
CREATE INDEX delivery_sent ON delivery (finished_at) WHERE state = 3;
CREATE INDEX delivery_discarded ON delivery (finished_at) WHERE state = 5;

ALTER TABLE counter ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE counter SET bytes = coalesce((
    SELECT sum(e.stored) FROM delivery d JOIN entry e ON e.entry = d.entry
    WHERE d.destination = counter.destination AND d.state = counter.state AND d.priority = counter.priority), 0);

CREATE TABLE lane (
    priority INTEGER PRIMARY KEY,
    held_at  INTEGER NOT NULL
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
