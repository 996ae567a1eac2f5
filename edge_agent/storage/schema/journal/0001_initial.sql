-- One row per agent start. A restored card image starts a new epoch, so no key is ever used twice.
CREATE TABLE epochs (
    id INTEGER PRIMARY KEY,
    epoch TEXT NOT NULL UNIQUE CHECK (length(epoch) = 16), -- 16 hex digits, random
    first_seq INTEGER NOT NULL,         -- first sequence number this epoch may use
    boot_id TEXT NOT NULL,              -- of the kernel: monotonic times of one boot are comparable
    started_at INTEGER NOT NULL,        -- domain time, ms since 1970
    started_monotonic_ms INTEGER NOT NULL
) STRICT;

-- Buffer and outbox in one. Rows are only ever appended, and deleted when acknowledged and old:
-- what is acknowledged stands in ranges beside it, because flagging rows would write each page twice.
CREATE TABLE journal (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    epoch_id INTEGER NOT NULL REFERENCES epochs (id),
    kind TEXT NOT NULL,                 -- record, forecast, alert, status
    device TEXT NOT NULL,
    measured_at INTEGER NOT NULL,       -- domain time, ms since 1970
    monotonic_ms INTEGER NOT NULL,      -- ms of the boot's own clock when it was appended
    body TEXT NOT NULL                  -- canonical JSON without the key
) STRICT;

-- Sequence numbers that the centre has committed, both ends included.
CREATE TABLE acknowledged (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    changed_at INTEGER NOT NULL         -- domain time, ms since 1970
) STRICT;

-- Sequence numbers that will never be sent, and why. The centre is told, and acknowledges them too.
CREATE TABLE voids (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    reason TEXT NOT NULL,
    declared_at INTEGER NOT NULL        -- domain time, ms since 1970
) STRICT;

-- For people: `sqlite-utils rows journal.sqlite entries --limit 20`.
CREATE VIEW entries AS
SELECT
    epochs.epoch,
    journal.seq,
    journal.kind,
    journal.device,
    strftime('%Y-%m-%dT%H:%M:%fZ', journal.measured_at / 1000.0, 'unixepoch') AS measured_at,
    EXISTS (
        SELECT 1 FROM acknowledged WHERE journal.seq BETWEEN acknowledged.first AND acknowledged.last
    ) AS acknowledged,
    journal.body
FROM journal JOIN epochs ON epochs.id = journal.epoch_id;
