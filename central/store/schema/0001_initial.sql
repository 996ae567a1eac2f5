-- Everything the fleet has sent. Instants are UTC epoch milliseconds; bodies are canonical JSON.

-- Journal entries of agents. device and measured_at are NULL for an entry whose body does not follow
-- the contract: it is kept and acknowledged, but no query by device or time sees it.
CREATE TABLE entries (
    agent       TEXT    NOT NULL,
    epoch       TEXT    NOT NULL,
    seq         INTEGER NOT NULL,
    kind        TEXT    NOT NULL,
    device      TEXT,
    measured_at INTEGER,
    digest      BLOB    NOT NULL,
    body        TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (agent, epoch, seq)
);
CREATE INDEX entries_by_time ON entries (agent, kind, measured_at) WHERE measured_at IS NOT NULL;

-- first_seq NULL: not known yet. Everything from first_seq to through is committed or void.
CREATE TABLE epochs (
    agent     TEXT    NOT NULL,
    epoch     TEXT    NOT NULL,
    first_seq INTEGER,
    through   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (agent, epoch)
) WITHOUT ROWID;

-- Sequence numbers that will never come.
CREATE TABLE voids (
    agent     TEXT    NOT NULL,
    epoch     TEXT    NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    reason    TEXT    NOT NULL,
    PRIMARY KEY (agent, epoch, first_seq, last_seq)
) WITHOUT ROWID;

-- A key that came again with another body: the first one stands, the other is kept here.
CREATE TABLE key_conflicts (
    agent       TEXT    NOT NULL,
    epoch       TEXT    NOT NULL,
    seq         INTEGER NOT NULL,
    digest      BLOB    NOT NULL,
    kind        TEXT    NOT NULL,
    body        TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (agent, epoch, seq, digest)
);

CREATE TABLE agents (
    agent     TEXT PRIMARY KEY,
    last_seen INTEGER,
    status_at INTEGER,
    status    TEXT
) WITHOUT ROWID;

CREATE TABLE risks (
    agent     TEXT    NOT NULL,
    site      TEXT    NOT NULL,
    issued_at INTEGER NOT NULL,
    body      TEXT    NOT NULL,
    PRIMARY KEY (agent, site)
) WITHOUT ROWID;

-- Records of devices without an agent. The digest covers the body and so tells a repeat.
CREATE TABLE plain_records (
    device      TEXT    NOT NULL,
    measured_at INTEGER NOT NULL,
    digest      BLOB    NOT NULL,
    body        TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (device, measured_at, digest)
) WITHOUT ROWID;

-- Forecasts that the centre made for plain devices; the newest per first step.
CREATE TABLE plain_forecasts (
    device    TEXT    NOT NULL,
    start     INTEGER NOT NULL,
    issued_at INTEGER NOT NULL,
    body      TEXT    NOT NULL,
    PRIMARY KEY (device, start)
);

-- Newest record of every device, so that a page over the whole fleet reads one row per device.
-- identifier is the agent or plain device that the topic named.
CREATE TABLE latest_records (
    identifier  TEXT    NOT NULL,
    device      TEXT    NOT NULL,
    measured_at INTEGER NOT NULL,
    body        TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (identifier, device)
);

-- What was declared of agents and plain devices.
CREATE TABLE sites (
    id            TEXT PRIMARY KEY,
    device_type   TEXT    NOT NULL,
    latitude      REAL    NOT NULL,
    longitude     REAL    NOT NULL,
    elevation     REAL    NOT NULL,
    capacity_w    REAL    NOT NULL,
    tilt          REAL    NOT NULL,
    azimuth       REAL    NOT NULL,
    registered_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE quarantine (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    topic       TEXT    NOT NULL,
    payload     BLOB    NOT NULL,
    reason      TEXT    NOT NULL,
    received_at INTEGER NOT NULL
);
