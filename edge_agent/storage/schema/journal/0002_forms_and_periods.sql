-- What records of one device have in common stands once, and a row holds only numbers: a fifth of the
-- text, so a fifth of what is written to the card (models/contract/payload/forms.py).
CREATE TABLE forms (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE           -- JSON of the form
) STRICT;

-- Stretches in which wall clock and monotonic clock ran together: what a row's time is worth.
CREATE TABLE periods (
    id INTEGER PRIMARY KEY,
    epoch_id INTEGER NOT NULL REFERENCES epochs (id),
    offset_ms INTEGER NOT NULL,         -- wall clock minus monotonic clock
    trusted INTEGER NOT NULL,           -- 0: nobody had set the wall clock
    reason TEXT NOT NULL,
    correction_ms INTEGER,              -- to be added to the times of an untrusted period
    sent_as_is INTEGER NOT NULL DEFAULT 0 -- 1: no correction came, its rows travel marked as untrusted
) STRICT;

INSERT INTO periods (id, epoch_id, offset_ms, trusted, reason)
SELECT id, id, started_at - started_monotonic_ms, 1, 'before clocks were judged' FROM epochs;

-- Without AUTOINCREMENT, which writes a page of its own at every commit: numbers are given by the
-- agent, and what was once used is known from rows, acknowledgements and voids together.
CREATE TABLE journal_new (
    seq INTEGER PRIMARY KEY,
    period_id INTEGER NOT NULL REFERENCES periods (id),
    kind TEXT NOT NULL,                 -- record, forecast, alert, status
    device TEXT,                        -- NULL: as the form says
    measured_at INTEGER NOT NULL,       -- domain time as the box saw it, ms since 1970
    monotonic_ms INTEGER NOT NULL,      -- ms of the boot's own clock when it was appended
    form_id INTEGER REFERENCES forms (id),
    body TEXT NOT NULL                  -- with a form: JSON list of its values; else canonical JSON
) STRICT;

DROP VIEW entries;
INSERT INTO journal_new SELECT seq, epoch_id, kind, device, measured_at, monotonic_ms, NULL, body FROM journal;
DROP TABLE journal;
ALTER TABLE journal_new RENAME TO journal;

-- For people: `sqlite-utils rows journal.sqlite entries --limit 20`.
CREATE VIEW entries AS
SELECT
    epochs.epoch,
    journal.seq,
    journal.kind,
    coalesce(journal.device, forms.text ->> '$.device') AS device,
    strftime(
        '%Y-%m-%dT%H:%M:%fZ',
        (journal.measured_at + coalesce(periods.correction_ms, 0)) / 1000.0, 'unixepoch'
    ) AS measured_at,
    periods.trusted OR periods.correction_ms IS NOT NULL AS clock_trusted,
    EXISTS (
        SELECT 1 FROM acknowledged WHERE journal.seq BETWEEN acknowledged.first AND acknowledged.last
    ) AS acknowledged,
    forms.text ->> '$.samples' AS samples,
    forms.text ->> '$.quality' AS quality,
    CASE WHEN form_id IS NULL THEN journal.body ELSE (
        SELECT json_group_object(name.value, number.value)
        FROM json_each(forms.text, '$.names') AS name
        JOIN json_each(journal.body) AS number ON number.key = name.key
    ) END AS body
FROM journal
JOIN periods ON periods.id = journal.period_id
JOIN epochs ON epochs.id = periods.epoch_id
LEFT JOIN forms ON forms.id = journal.form_id;
