"""The 15-minute values of a site and its devices, kept for more than a year in ``state.sqlite``.

Values of the whole site stand under the site's own name, beside its devices.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge_agent.storage.state_store import StateDatabase
from models.contract.timestamps import DAY_MS, STEP_MS, Instant
from models.features.intervals import Interval

KEEP_DAYS = 400
"""The models need the last day, demand needs weeks, a yearly comparison needs more than a year."""

_LARGEST_STEP_MS = 30 * DAY_MS
_KEPT_MS = 50 * DAY_MS
"""Stretches up to this long are kept in memory: a forecast reads the same weeks every quarter of an
hour, and on the disk each of them lies among the rows of all devices."""
_MOST_KEPT = 8
"""Series of which a stretch is kept, some 35 kB each."""


class _Stretch(NamedTuple):
    start: Instant
    values: npt.NDArray[np.float64]


class IntervalStore:
    """Upserts intervals and reads them back as gridded arrays."""

    def __init__(
        self, database: StateDatabase, *, keep_days: int = KEEP_DAYS, step_ms: int = STEP_MS
    ) -> None:
        self._database, self._keep_ms, self._step_ms = database, keep_days * DAY_MS, step_ms
        self._ids: dict[tuple[str, str], int] = {
            (device, quantity): number
            for number, device, quantity in database.query(
                "SELECT id, device, quantity FROM series"
            )
        }
        ((newest,),) = database.query("SELECT max(start) FROM intervals")
        self._newest: Instant | None = newest
        self._kept: dict[tuple[str, str], _Stretch] = {}
        self._pruned_before: Instant = 0

    def upsert(self, intervals: Iterable[Interval]) -> None:
        """Store ``intervals`` durably in one transaction; an interval stored before is replaced.

        Once for each new day, what is older than ``keep_days`` before the newest of them goes. A
        time far ahead of all others may be a wrong clock: it deletes nothing.
        """
        rows = list(intervals)
        if not rows:
            return
        newest = max(row.start for row in rows)
        expiry = self._pruned_before
        if self._newest is None or newest - self._newest <= _LARGEST_STEP_MS:
            self._newest = max(newest, self._newest or newest)
            expiry = (newest - self._keep_ms) // DAY_MS * DAY_MS
        unknown = {(row.device, row.quantity) for row in rows} - self._ids.keys()
        fresh: dict[tuple[str, str], int] = {}
        with self._database.transaction() as run:
            for key in sorted(unknown):
                number = run.execute(
                    "INSERT INTO series (device, quantity) VALUES (?, ?)", key
                ).lastrowid
                assert number is not None
                fresh[key] = number
            ids = self._ids | fresh
            run.executemany(
                "INSERT INTO intervals VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " value = excluded.value, count = excluded.count, unused = excluded.unused",
                [(r.start, ids[r.device, r.quantity], r.value, r.count, r.unused) for r in rows],
            )
            if expiry > self._pruned_before:
                run.execute("DELETE FROM intervals WHERE start < ?", (expiry,))
        self._ids, self._pruned_before = ids, max(expiry, self._pruned_before)
        for row in rows:
            self._correct_kept(row)

    def series(
        self, device: str, quantity: str, start: Instant, end: Instant
    ) -> npt.NDArray[np.float64]:
        """Values of ``quantity`` (base unit) on the grid from ``start`` to before ``end``.

        ``device`` may be the site. Shape ((end - start) / step,); NaN where there is no value.

        Raises:
            ValueError: ``start`` or ``end`` is not on the grid, or they are the wrong way round.
        """
        if start % self._step_ms or end % self._step_ms or end < start:
            raise ValueError(f"{start} to {end} is not a stretch of the {self._step_ms} ms grid")
        key = (device, quantity)
        if key not in self._ids:
            return np.full((end - start) // self._step_ms, np.nan)
        if end - start > _KEPT_MS:
            return self._read(key, start, end)
        kept = self._kept.pop(key, None)
        if kept is None or not kept.start <= start <= kept.start + len(kept.values) * self._step_ms:
            kept = _Stretch(start, self._read(key, start, end))
        known = (end - kept.start) // self._step_ms
        first = (start - kept.start) // self._step_ms
        if known > len(kept.values):
            more = self._read(key, kept.start + len(kept.values) * self._step_ms, end)
            kept = _Stretch(start, np.concatenate([kept.values[first:], more]))
            first, known = 0, len(kept.values)
        self._kept[key] = kept  # the one that was asked for last is forgotten last
        for name in list(self._kept)[:-_MOST_KEPT]:
            del self._kept[name]
        return kept.values[first:known].copy()

    def _read(self, key: tuple[str, str], start: Instant, end: Instant) -> npt.NDArray[np.float64]:
        values = np.full((end - start) // self._step_ms, np.nan)
        # One look-up for each interval: a range of starts would go through the rows of all series.
        rows = self._database.query(
            "WITH RECURSIVE steps (at) AS (SELECT ? UNION ALL SELECT at + ? FROM steps"
            " WHERE at + ? < ?) SELECT start, value FROM steps"
            " JOIN intervals ON start = at AND series_id = ? WHERE value IS NOT NULL",
            (start, self._step_ms, self._step_ms, end, self._ids[key]),
        )
        if rows and len(values):
            starts, found = zip(*rows, strict=True)
            values[(np.array(starts, np.int64) - start) // self._step_ms] = found
        return values

    def _correct_kept(self, row: Interval) -> None:
        """What was kept in memory follows what was stored; what comes after it is read later."""
        kept = self._kept.get((row.device, row.quantity))
        if kept is not None and row.start % self._step_ms == 0:
            place = (row.start - kept.start) // self._step_ms
            if 0 <= place < len(kept.values):
                kept.values[place] = np.nan if row.value is None else row.value

    def span(self, device: str, quantity: str) -> tuple[Instant, Instant] | None:
        """Start of the first and of the last interval with a value; None when there is none."""
        number = self._ids.get((device, quantity))
        if number is None:
            return None
        rows = self._database.query(
            "SELECT min(start), max(start) FROM intervals"
            " WHERE series_id = ? AND value IS NOT NULL",
            (number,),
        )
        return None if rows[0][0] is None else (rows[0][0], rows[0][1])
