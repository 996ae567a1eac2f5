"""The 15-minute values of a site and its devices, kept for more than a year in ``state.sqlite``.

Values of the whole site stand under the site's own name, beside its devices.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from edge_agent.storage.state_store import StateDatabase
from models.contract.timestamps import DAY_MS, STEP_MS, Instant
from models.features.intervals import Interval

KEEP_DAYS = 400
"""The models need the last day, demand needs weeks, a yearly comparison needs more than a year."""

_LARGEST_STEP_MS = 30 * DAY_MS


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
        values = np.full((end - start) // self._step_ms, np.nan)
        number = self._ids.get((device, quantity))
        if number is not None:
            rows = self._database.query(
                "SELECT start, value FROM intervals"
                " WHERE start >= ? AND start < ? AND series_id = ? AND value IS NOT NULL",
                (start, end, number),
            )
            if rows:
                starts, found = zip(*rows, strict=True)
                values[(np.array(starts, np.int64) - start) // self._step_ms] = found
        return values

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
