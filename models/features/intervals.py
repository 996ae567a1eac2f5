"""Records become 15-minute values: the one rule for what an interval of a device and of a site is.

Decides which samples count and how they are combined: the mean of ``instant`` quantities, the last
value of ``state`` and ``counter`` quantities, good samples only; an inverter that sleeps generates
nothing, so its power counts as 0. Suspect, curtailed, clipped and missing samples are counted but
not used. The agent feeds :class:`IntervalBuilder` record by record, the centre's batch work calls
:func:`intervals_from_samples`; a test proves that they agree, whatever the order of arrival.

It leaves to others: where intervals are kept (``edge_agent.forecasting.interval_store``, the
centre's store).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from models.contract.errors import ContractError
from models.contract.quantities import quantity
from models.contract.record import Quality, Record
from models.contract.timestamps import HOUR_MS, STEP_MS, Instant, floor_to_step

LATE_MS = HOUR_MS
"""A record may come this long after the end of its interval and still correct it."""

ZERO_ASLEEP = frozenset({"ac_power", "dc_power"})
"""Quantities that are 0 while the device sleeps."""


class Role(StrEnum):
    """What a device is to its site."""

    INVERTER = "inverter"
    METER = "meter"
    """At the connection point; a site has at most one."""
    BATTERY = "battery"
    SENSOR = "sensor"


@dataclass(frozen=True, slots=True)
class Interval:
    """One quantity of one device in ``[start, start + step)``; base unit."""

    start: Instant
    device: str
    quantity: str
    value: float | None
    """Mean or last value of the good samples; None when there was none."""
    count: int
    """Good samples."""
    unused: int = 0
    """Samples that came and may not be used."""


@dataclass(slots=True)
class _Open:
    """Samples of one (interval, device, quantity)."""

    values: array[float] = field(default_factory=lambda: array("d"))
    newest: tuple[Instant, float] | None = None
    unused: int = 0
    changed: bool = True


class IntervalBuilder:
    """Streams records into intervals. Not thread-safe."""

    def __init__(self, step_ms: int = STEP_MS, late_ms: int = LATE_MS) -> None:
        """``late_ms``: how long after its end an interval is still corrected by late records."""
        self._step_ms, self._late_ms = step_ms, late_ms
        self._open: dict[tuple[Instant, str, str], _Open] = {}
        self._closed_before: Instant | None = None
        self.too_late = 0
        """Records that came after their interval could no longer be corrected."""

    def add(self, record: Record) -> None:
        """Take one record, in any order."""
        start = floor_to_step(record.measured_at, self._step_ms)
        if self._closed_before is not None and start < self._closed_before:
            self.too_late += 1
            return
        for name, reading in record.readings.items():
            one = self._open.setdefault((start, record.device, name), _Open())
            one.changed = True
            value = reading.value if reading.quality is Quality.GOOD else None
            if reading.quality is Quality.ASLEEP and name in ZERO_ASLEEP:
                value = 0.0
            if value is None:
                one.unused += 1
                continue
            one.values.append(value)
            sample = (record.measured_at, value)
            one.newest = sample if one.newest is None else max(one.newest, sample)

    def complete(self, until: Instant) -> list[Interval]:
        """Intervals that ended at ``until`` or before and are new or changed since the last call.

        Ordered by start, device and quantity. An interval comes again when a late record corrected
        it: storing is an upsert.
        """
        done = []
        for key in sorted(self._open):
            start, device, name = key
            one = self._open[key]
            if start + self._step_ms <= until and one.changed:
                one.changed = False
                value = _combine(name, one)
                done.append(Interval(start, device, name, value, len(one.values), one.unused))
        # Follows a clock that was set back too: a wrong time must not close the true one for good.
        horizon = floor_to_step(until - self._late_ms - self._step_ms, self._step_ms)
        self._closed_before = horizon
        self._open = {key: one for key, one in self._open.items() if key[0] >= horizon}
        return done


def _combine(name: str, one: _Open) -> float | None:
    if one.newest is None:
        return None
    if quantity(name).behaviour == "instant":
        # fsum is exact before its one rounding: the order of arrival leaves no trace.
        return math.fsum(one.values) / len(one.values)
    return one.newest[1]


def intervals_from_samples(
    times_ms: npt.NDArray[np.int64], values: npt.NDArray[np.float64], step_ms: int = STEP_MS
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Interval means of one ``instant`` quantity of one device.

    Args:
        times_ms: instants of the samples, shape (n,), any order.
        values: base unit, shape (n,); NaN where the sample may not be used.

    Returns:
        Starts (ascending, only intervals with a usable sample), means, and counts; shape (m,) each.
    """
    times_ms, values = np.asarray(times_ms, np.int64), np.asarray(values, np.float64)
    if times_ms.shape != values.shape or times_ms.ndim != 1:
        raise ValueError(f"times {times_ms.shape} and values {values.shape} must be of one length")
    usable = ~np.isnan(values)
    labels = times_ms[usable] - times_ms[usable] % step_ms
    starts, group = np.unique(labels, return_inverse=True)
    counts = np.bincount(group, minlength=len(starts)).astype(np.int64)
    sums = np.bincount(group, weights=values[usable], minlength=len(starts))
    return starts, sums / np.maximum(counts, 1), counts


def site_interval(rows: Iterable[Interval], roles: Mapping[str, Role | str]) -> dict[str, float]:
    """Site values of one interval, in W, from its devices' rows.

    ``ac_power`` is the sum over the inverters and there only when each of them has a value;
    ``grid_power`` is the meter's (import positive); ``load_power = grid_power + ac_power``: what is
    bought and what is generated is what is used. A site without inverters generates nothing. What
    cannot be known is absent.

    Raises:
        ContractError: more than one meter.
    """
    values = {(row.device, row.quantity): row.value for row in rows if row.value is not None}
    inverters = [device for device, role in roles.items() if role == Role.INVERTER]
    meters = [device for device, role in roles.items() if role == Role.METER]
    if len(meters) > 1:
        raise ContractError(f"a site has one meter at its connection point, not {sorted(meters)}")
    site: dict[str, float] = {}
    powers = [values.get((device, "ac_power")) for device in inverters]
    known = [power for power in powers if power is not None]
    generated = math.fsum(known) if len(known) == len(powers) else None
    if generated is not None and inverters:
        site["ac_power"] = generated
    grid = values.get((meters[0], "grid_power")) if meters else None
    if grid is not None:
        site["grid_power"] = grid
        if generated is not None:
            site["load_power"] = grid + generated
    return site
