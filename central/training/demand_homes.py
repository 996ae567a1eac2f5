"""What is known of each home's past demand: its history file, continued by what its agent has sent.

The counterpart of ``histories`` for ``load_power``. Local clocks are made here, at the rim: models
see minutes of the wall clock and no time zones. Homes without a meter have no demand and are left
out without a word; what is too short is left out by the training, with one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from central.store import Queries
from models.contract.timestamps import HORIZON_STEPS, MINUTE_MS, STEP_MS, Instant, floor_to_step
from models.features.demand_history import DemandSeries, local_minutes

from .demand import DemandHome
from .histories import continued, read_column
from .settings import SiteTable

STEP_MINUTES = STEP_MS // MINUTE_MS


def demand_homes(
    tables: tuple[SiteTable, ...], queries: Queries | None, until: Instant, base: Path
) -> list[DemandHome]:
    """Every home whose demand before ``until`` is known; paths are relative to ``base``."""
    homes = []
    for table in tables:
        known = None
        if table.history:
            known = read_column(base / table.history, "load_power")
        if queries is not None:
            known = continued(known, queries.load_means(table.id, 0, floor_to_step(until)))
        if known is None:
            continue
        last = known.index(floor_to_step(until))
        demand = known.ac_power[: max(0, last)]
        if not np.isfinite(demand).any():
            continue
        clock = local_minutes(
            known.start, len(demand) + HORIZON_STEPS, STEP_MINUTES, utc_offset(table.timezone)
        )
        homes.append(DemandHome(table.id, DemandSeries(np.maximum(demand, 0.0), clock)))
    return homes


def utc_offset(zone: str) -> Callable[[Instant], int]:
    """Minutes that the wall clock of ``zone`` is ahead of UTC at an instant."""
    place = ZoneInfo(zone)

    def offset(at: Instant) -> int:
        ahead = datetime.fromtimestamp(at / 1000, UTC).astimezone(place).utcoffset()
        return 0 if ahead is None else int(ahead.total_seconds() // 60)

    return offset
