-- What agents say of their own completeness: every turn of a device's poll grid on a UTC day has one
-- outcome. expected = have + the sum of reasons. The newest report of a day stands.
CREATE TABLE day_ledgers (
    agent       TEXT    NOT NULL,
    day         TEXT    NOT NULL, -- 2024-06-15
    device      TEXT    NOT NULL,
    poll_ms     INTEGER NOT NULL,
    expected    INTEGER NOT NULL,
    have        INTEGER NOT NULL,
    thinned     INTEGER NOT NULL,
    reasons     TEXT    NOT NULL, -- JSON: lost turns by reason
    reported_at INTEGER NOT NULL, -- by the agent's clock
    received_at INTEGER NOT NULL,
    PRIMARY KEY (agent, day, device)
) WITHOUT ROWID;
