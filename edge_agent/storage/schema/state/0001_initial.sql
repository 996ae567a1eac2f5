-- Small things that must survive: calibration, blend weights, release counter, active bundle.
CREATE TABLE state (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL,                -- JSON
    updated_at INTEGER NOT NULL         -- domain time, ms since 1970
) STRICT, WITHOUT ROWID;

-- Device and quantity as one small number: an interval row is 20 bytes instead of 50.
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    device TEXT NOT NULL,               -- or the site, for values of the whole site
    quantity TEXT NOT NULL,
    UNIQUE (device, quantity)
) STRICT;

-- Start first in the key: all series of one quarter-hour share a page, so each quarter-hour writes one
-- or two pages to the card and not one for every series.
CREATE TABLE intervals (
    start INTEGER NOT NULL,             -- ms since 1970, start of the interval
    series_id INTEGER NOT NULL REFERENCES series (id),
    value REAL,                         -- base unit; NULL: no good sample
    count INTEGER NOT NULL,             -- good samples
    unused INTEGER NOT NULL,            -- samples that came and may not be used
    PRIMARY KEY (start, series_id)
) STRICT, WITHOUT ROWID;

-- For people: `sqlite-utils rows state.sqlite interval_values --limit 20`.
CREATE VIEW interval_values AS
SELECT
    strftime('%Y-%m-%dT%H:%M:%SZ', intervals.start / 1000, 'unixepoch') AS start,
    series.device,
    series.quantity,
    intervals.value,
    intervals.count,
    intervals.unused
FROM intervals JOIN series ON series.id = intervals.series_id;
