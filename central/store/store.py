"""The store: one commit for a group of messages, one read block for named queries.

Decides what a commit means: an entry is stored once under its key, the first body stands, and
``through`` of every touched epoch moves in the same transaction. What the messages say is decided
by ``central.ingest``; questions are asked through ``queries``. A store is chosen by its URL.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from models.contract.forecast import Forecast
from models.contract.payload import canonical, forecast_to_json
from models.contract.timestamps import DAY_MS, Instant

from .database import Database, StoreError
from .queries import Queries
from .values import (
    Committed,
    EntryRow,
    EpochName,
    Group,
    KeyConflict,
    LedgerRow,
    PlainRow,
    RegisteredSite,
)

_SQLITE = "sqlite:///"


def open_store(url: str, *, quarantine_rows: int = 10_000) -> Store:
    """Open the store that ``url`` names: ``sqlite:///relative`` or ``sqlite:////absolute``.

    Raises ``StoreError`` for an unknown kind of URL or a file that cannot be used.
    """
    if not url.startswith(_SQLITE) or len(url) == len(_SQLITE):
        raise StoreError(f"{url!r}: not a store; write sqlite:///path/to/central.sqlite")
    return Store(Database(Path(url[len(_SQLITE) :])), quarantine_rows)


class Store:
    """What the fleet has sent. Safe to use from several threads."""

    def __init__(self, database: Database, quarantine_rows: int = 10_000) -> None:
        self._database = database
        self._quarantine_rows = quarantine_rows

    def commit(self, group: Group) -> Committed:
        """Store ``group`` in one durable transaction, or nothing.

        Raises ``StoreError`` when the store cannot be used now, ``RefusedRowsError`` when a row of
        the group can never be stored.
        """
        with self._database.write() as db:
            new, conflicts = _insert_entries(db, group.entries)
            db.executemany(
                "INSERT INTO voids VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", group.voids
            )
            through = {
                name: _advance(db, name, group.first_seqs.get(name)) for name in group.epochs()
            }
            new_plain = _insert_plain(db, group.plain)
            _keep_latest(db, group)
            _keep_agents(db, group)
            _keep_ledgers(db, group.ledgers)
            self._keep_quarantine(db, group)
        return Committed(new, len(group.entries) - new, new_plain, conflicts, through)

    def register(self, site: RegisteredSite) -> bool:
        """Declare a site or device, replacing what was declared before; True when it is new."""
        with self._database.write() as db:
            known = db.execute("SELECT 1 FROM sites WHERE id = ?", (site.id,)).fetchone()
            db.execute(
                "INSERT INTO sites (id, device_type, latitude, longitude, elevation, capacity_w,"
                " tilt, azimuth, registered_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET device_type = excluded.device_type,"
                " latitude = excluded.latitude, longitude = excluded.longitude,"
                " elevation = excluded.elevation, capacity_w = excluded.capacity_w,"
                " tilt = excluded.tilt, azimuth = excluded.azimuth",
                (
                    site.id,
                    site.device_type,
                    site.latitude,
                    site.longitude,
                    site.elevation,
                    site.capacity_w,
                    site.tilt,
                    site.azimuth,
                    site.registered_at,
                ),
            )
        return known is None

    def keep_plain_forecast(self, forecast: Forecast) -> None:
        """Keep a forecast that the centre made for the plain device ``forecast.site``."""
        with self._database.write() as db:
            db.execute(
                "INSERT INTO plain_forecasts VALUES (?, ?, ?, ?) ON CONFLICT (device, start)"
                " DO UPDATE SET issued_at = excluded.issued_at, body = excluded.body",
                (
                    forecast.site,
                    forecast.start,
                    forecast.issued_at,
                    canonical(forecast_to_json(forecast)),
                ),
            )

    @contextlib.contextmanager
    def read(self) -> Iterator[Queries]:
        """Ask questions that all see one state of the store."""
        with self._database.read() as connection:
            yield Queries(connection)

    def close(self) -> None:
        """Close the store; later calls raise ``StoreError``."""
        self._database.close()

    def _keep_quarantine(self, db: sqlite3.Connection, group: Group) -> None:
        if not group.quarantine:
            return
        db.executemany(
            "INSERT INTO quarantine (topic, payload, reason, received_at) VALUES (?, ?, ?, ?)",
            group.quarantine,
        )
        db.execute(
            "DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - ?",
            (self._quarantine_rows,),
        )


def _insert_entries(
    db: sqlite3.Connection, rows: list[EntryRow]
) -> tuple[int, tuple[KeyConflict, ...]]:
    """Number of new entries, and the conflicts seen for the first time."""
    before = db.total_changes
    db.executemany(
        "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (agent, epoch, seq) DO NOTHING",
        rows,
    )
    new = db.total_changes - before
    if new == len(rows):
        return new, ()
    # Only when something came twice: is it really the same?
    conflicts = []
    for row in rows:
        (kept,) = db.execute(
            "SELECT digest FROM entries WHERE agent = ? AND epoch = ? AND seq = ?", row[:3]
        ).fetchone()
        if kept != row.digest:
            first_time = db.execute(
                "INSERT INTO key_conflicts VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (*row[:3], row.digest, row.kind, row.body, row.received_at),
            ).rowcount
            if first_time:
                conflicts.append(KeyConflict(*row[:3]))
    return new, tuple(conflicts)


def _advance(db: sqlite3.Connection, name: EpochName, first_seq: int | None) -> int:
    """Move ``through`` of an epoch over what has become complete; every entry is visited once."""
    row = db.execute(
        "SELECT first_seq, through FROM epochs WHERE agent = ? AND epoch = ?", name
    ).fetchone()
    known, through = (row["first_seq"], row["through"]) if row else (None, 0)
    start = min((seq for seq in (known, first_seq) if seq is not None), default=None)
    if start is not None:
        through = start - 1 if start != known else through
        through = _complete_through(db, name, through)
    db.execute(
        "INSERT INTO epochs VALUES (?, ?, ?, ?) ON CONFLICT (agent, epoch)"
        " DO UPDATE SET first_seq = excluded.first_seq, through = excluded.through",
        (*name, start, through),
    )
    return int(through)


def _complete_through(db: sqlite3.Connection, name: EpochName, through: int) -> int:
    while True:
        began = through
        entries = db.execute(
            "SELECT seq FROM entries WHERE agent = ? AND epoch = ? AND seq > ? ORDER BY seq",
            (*name, through),
        )
        for (seq,) in entries:
            if seq != through + 1:
                break
            through = seq
        entries.close()
        (void,) = db.execute(
            "SELECT max(last_seq) FROM voids"
            " WHERE agent = ? AND epoch = ? AND first_seq <= ? AND last_seq > ?",
            (*name, through + 1, through),
        ).fetchone()
        through = through if void is None else void
        if through == began:
            return through


def _insert_plain(db: sqlite3.Connection, rows: list[PlainRow]) -> int:
    before = db.total_changes
    db.executemany("INSERT INTO plain_records VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", rows)
    return db.total_changes - before


def _keep_latest(db: sqlite3.Connection, group: Group) -> None:
    newest: dict[tuple[str, str], tuple[Instant, str, Instant]] = {}
    for entry in group.entries:
        if entry.kind == "record" and entry.device is not None and entry.measured_at is not None:
            name = (entry.agent, entry.device)
            if name not in newest or newest[name][0] <= entry.measured_at:
                newest[name] = (entry.measured_at, entry.body, entry.received_at)
    for plain in group.plain:
        name = (plain.device, plain.device)
        if name not in newest or newest[name][0] <= plain.measured_at:
            newest[name] = (plain.measured_at, plain.body, plain.received_at)
    db.executemany(
        "INSERT INTO latest_records VALUES (?, ?, ?, ?, ?) ON CONFLICT (identifier, device)"
        " DO UPDATE SET measured_at = excluded.measured_at, body = excluded.body,"
        " received_at = excluded.received_at WHERE excluded.measured_at >= measured_at"
        # A record from a clock that ran ahead must not stay the newest for ever.
        f" OR measured_at > excluded.received_at + {DAY_MS}",
        [(*name, *value) for name, value in newest.items()],
    )


def _keep_ledgers(db: sqlite3.Connection, rows: list[LedgerRow]) -> None:
    db.executemany(
        "INSERT INTO day_ledgers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (agent, day, device) DO UPDATE SET poll_ms = excluded.poll_ms,"
        " expected = excluded.expected, have = excluded.have, thinned = excluded.thinned,"
        " reasons = excluded.reasons, reported_at = excluded.reported_at,"
        " received_at = excluded.received_at WHERE excluded.reported_at >= reported_at"
        # A report from a clock that ran ahead must not stay the newest for ever.
        " OR reported_at > excluded.received_at",
        rows,
    )


def _keep_agents(db: sqlite3.Connection, group: Group) -> None:
    db.executemany(
        "INSERT INTO agents (agent, last_seen) VALUES (?, ?)"
        " ON CONFLICT (agent) DO UPDATE SET last_seen = excluded.last_seen",
        group.seen.items(),
    )
    for status in group.statuses:
        db.execute(
            "INSERT INTO agents (agent, status_at, status) VALUES (?, ?, ?) ON CONFLICT (agent)"
            " DO UPDATE SET status_at = excluded.status_at, status = excluded.status"
            " WHERE ? OR status_at IS NULL OR excluded.status_at >= status_at",
            (*status[:3], status.forced),
        )
    db.executemany(
        "INSERT INTO risks VALUES (?, ?, ?, ?) ON CONFLICT (agent, site) DO UPDATE SET"
        " issued_at = excluded.issued_at, body = excluded.body"
        " WHERE excluded.issued_at >= issued_at",
        group.risks,
    )
