-- What became of every turn of a device on a UTC day (edge_agent/ledger). A turn that is expected and
-- counted nowhere is one at which the agent did not run. Day first in the key: what changes lies on
-- one page.
CREATE TABLE ledger (
    day INTEGER NOT NULL,               -- start of the UTC day, ms since 1970
    device TEXT NOT NULL,
    poll_ms INTEGER NOT NULL,           -- between two turns; the last one where it was changed
    last_turn INTEGER NOT NULL,         -- newest turn expected, ms since 1970
    expected INTEGER NOT NULL,
    have INTEGER NOT NULL,              -- records committed of the device awake
    thinned INTEGER NOT NULL,           -- of those stored: kept only in means
    lost TEXT NOT NULL,                 -- JSON: turns by reason
    ended INTEGER NOT NULL,             -- 1: the device left the settings
    reported INTEGER NOT NULL,          -- 1: a report to the centre holds the row as it is
    PRIMARY KEY (day, device)
) STRICT, WITHOUT ROWID;

-- For people: `sqlite-utils rows state.sqlite ledger_days --limit 20`.
CREATE VIEW ledger_days AS
SELECT
    strftime('%Y-%m-%d', day / 1000, 'unixepoch') AS day,
    device,
    expected,
    have,
    thinned,
    lost,
    expected - have - (SELECT coalesce(sum(value), 0) FROM json_each(lost)) AS off
FROM ledger;
