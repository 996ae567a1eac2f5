"""Forecasts that wait for their truth, for whatever learns from a site's own outcomes.

Decides which leads of a forecast are remembered on the box, how much one outcome counts whatever
the cadence, and, for a span of past forecasts, which outcomes were known at which issue. What is
learned from them is decided in ``conformal`` and ``local_bias``. Pure; the same on both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.contract.timestamps import DAY_MS, HORIZON_STEPS, HOUR_MS, STEP_MS, Instant
from models.features.site import FloatArray, IntArray

from .blend import LEAD_BUCKETS, LEAD_EDGES

BUCKETS = len(LEAD_BUCKETS)
BUCKET_OF_STEP: IntArray = np.repeat(
    np.arange(BUCKETS), [last - first for first, last in LEAD_BUCKETS]
)
REMEMBERED_LEADS: IntArray = np.array(
    (0, 1, 3, 5, 7, 10, 14, 18, 22, 30, 42, 60, 84, 108, 132, 156, 180)
)
"""Two per bucket, where it has so many: neighbouring steps err nearly alike."""
HOURLY_FROM_LEAD = LEAD_EDGES[5]
"""Leads from here on are remembered at full hours only: a quarter of the memory, the same news."""
MOST_REMEMBERED = 600
"""Twice what the leads above can leave open; more is a clock that jumps about."""
_USUAL_LEADS = np.bincount(BUCKET_OF_STEP[REMEMBERED_LEADS]).astype(np.float64)
_MOST_WEIGHT = 8.0


class Issued(NamedTuple):
    """One remembered step of a forecast."""

    lead: int
    values: tuple[float, ...]


class Waiting:
    """What was forecast, by the interval it was forecast for."""

    def __init__(self) -> None:
        self._steps: dict[Instant, list[Issued]] = {}

    def __len__(self) -> int:
        return sum(len(steps) for steps in self._steps.values())

    def add(self, start: Instant, values: FloatArray, worth: npt.NDArray[np.bool_]) -> None:
        """Remember ``values[:, lead]`` of a forecast from ``start`` where ``worth[lead]``.

        Both run over the steps of the contract's grid, the horizon or a part of it.
        """
        # What a clock promised that has been set back since is not waited for.
        self._keep(start - DAY_MS, start + DAY_MS + HORIZON_STEPS * STEP_MS)
        for lead in remembered_leads(start, len(worth)):
            if worth[lead]:
                row = tuple(values[:, lead].tolist())
                target = start + int(lead) * STEP_MS
                self._steps.setdefault(target, []).append(Issued(int(lead), row))
        while len(self) > MOST_REMEMBERED:
            del self._steps[min(self._steps)]

    def take(self, start: Instant) -> list[Issued]:
        """What was forecast for the interval at ``start``; it is no longer remembered."""
        # Nothing of the future goes: after a restart two weeks are gone through again.
        self._keep(start - DAY_MS, None)
        return self._steps.pop(start, [])

    def clear(self) -> None:
        """Forget everything."""
        self._steps = {}

    def _keep(self, first: Instant, last: Instant | None) -> None:
        """What has not become known by now never will: a device may be dead for weeks."""
        for target in [one for one in self._steps if one < first or (last and one > last)]:
            del self._steps[target]

    def save(self, units: Sequence[float]) -> dict[str, list[list[int]]]:
        """JSON form; each value is rounded to whole ``units`` of its own."""
        return {
            str(target): [
                [lead, *(round(value / unit) for value, unit in zip(row, units, strict=True))]
                for lead, row in steps
            ]
            for target, steps in self._steps.items()
        }

    def load(self, saved: dict[str, Any], units: Sequence[float]) -> None:
        """Take what :meth:`save` gave. ``ValueError``, ``TypeError`` when it is not that."""
        for target, rows in saved.items():
            steps = [
                Issued(int(lead), tuple(n * unit for n, unit in zip(row, units, strict=True)))
                for lead, *row in rows
            ]
            if any(
                not 0 <= one.lead < HORIZON_STEPS or not np.isfinite(one.values).all()
                for one in steps
            ):
                raise ValueError(f"forecasts for {target} are damaged")
            self._steps[int(target)] = steps
        if len(self) > MOST_REMEMBERED:
            raise ValueError("more forecasts than are ever remembered")


def remembered_leads(start: Instant, steps: int = HORIZON_STEPS) -> IntArray:
    """Leads that are remembered of a forecast of ``steps`` that begins at ``start``."""
    last = HORIZON_STEPS if start % HOUR_MS == 0 else HOURLY_FROM_LEAD
    return REMEMBERED_LEADS[min(last, steps) > REMEMBERED_LEADS]


def online_weight(lead: int) -> float:
    """How much an outcome counts that was remembered as :class:`Waiting` does."""
    return HOUR_MS / STEP_MS if lead >= HOURLY_FROM_LEAD else 1.0


def buckets_and_weights(
    issues: IntArray, leads: IntArray, step_ms: int
) -> tuple[IntArray, FloatArray]:
    """Bucket of each lead, and what one outcome counts so that a day teaches as much as online.

    Without it, all 192 leads every quarter of an hour would learn 24 times as fast as two leads.
    """
    # By the end of the interval, so that a whole hour is not taken for its first quarter.
    steps = (leads + 1) * step_ms // STEP_MS - 1
    bucket = BUCKET_OF_STEP[np.clip(steps, 0, HORIZON_STEPS - 1)]
    apart = np.diff(np.unique(issues))
    apart_steps = float(np.median(apart)) / STEP_MS if len(apart) else 1.0
    leads_in = np.bincount(bucket, minlength=BUCKETS)[bucket]
    return bucket, np.minimum(_USUAL_LEADS[bucket] * apart_steps / leads_in, _MOST_WEIGHT)


def in_order(
    issues: IntArray, leads: IntArray, step_ms: int
) -> Iterator[tuple[int, IntArray, IntArray]]:
    """Cases by the time of their issue, each with the outcomes that became known since the last.

    Yields ``(case, cases, leads)``: row and column numbers of outcomes whose interval had ended at
    the issue of ``case``. One site at a time: sites do not teach one another here.
    """
    order = np.argsort(issues, kind="stable")
    known = (issues[:, None] + (leads[None, :] + 1) * step_ms).reshape(-1)
    by_time = np.argsort(known, kind="stable")
    upto = np.searchsorted(known[by_time], issues[order], side="right")
    first = 0
    for case, last in zip(order.tolist(), upto.tolist(), strict=True):
        yield case, by_time[first:last] // len(leads), by_time[first:last] % len(leads)
        first = last


def check_numbers(values: Iterable[object], shape: tuple[int, ...]) -> FloatArray:
    """``values`` as an array; ``ValueError`` unless finite and of ``shape``."""
    array = np.array(values, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"finite numbers of shape {shape} wanted, not {array.shape}")
    return array
