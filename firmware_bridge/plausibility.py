"""Whether a value can be true after what came before it. One object a device; remembers little.

Decides what needs memory: changes faster than physics allows, energy counters that run backwards,
roll over, are reset or leap, and values of a device that has only just woken up. Each single
value's sentinels and limits were judged before (``profile.decoder``). A value is never changed:
it becomes *suspect* and keeps its number. What proves to be a new level is believed again.

Time is the record's own (domain time), because slopes are a matter of the site.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.contract.quantities import QUANTITIES
from models.contract.record import Quality, Reading
from models.contract.timestamps import HOUR_MS, SECOND_MS, Instant

from .values import Decoded

_CONFIRM = 3
"""So many readings in a row that agree with each other make a leap the truth."""
_CONFIRM_COUNTER = 5
_JUMP_FREE = {"frequency": 1.0, "battery_soc": 5.0}
"""Base units by which a value may change at once, whatever its slope."""
_TEMPERATURE_JUMP = 10.0
_SLOPES = {"frequency": 5.0, "battery_soc": 1.0}
_TEMPERATURE_SLOPE = 2.0  # degC/s: a sensor in the wind is slower
_UNKNOWN_PLANT_W = 10e6
"""No site of this kind is larger: what a counter may gain where the plant's size is not known."""
_RATED_MARGIN = 2.0
"""Plants exceed their nameplate, and a counter's clock is not ours."""
_POWERS = ("ac_power", "dc_power", "apparent_power", "ac_power_l1", "ac_power_l2", "ac_power_l3")
_GENERATED = frozenset({"ac_energy", "dc_energy"})


@dataclass(frozen=True)
class CounterRule:
    """How an energy counter behaves."""

    rolls_over_at: float | None = None
    """Base units; None if it never starts again from 0 by itself."""
    resolution: float = 1.0


@dataclass(slots=True)
class _Memory:
    value: float
    at: Instant
    candidate: float | None = None
    candidate_at: Instant = 0
    agreed: int = 0


class Plausibility:
    """See the module docstring. Not thread-safe."""

    def __init__(
        self,
        *,
        slopes: Mapping[str, float] | None = None,
        counters: Mapping[str, CounterRule] | None = None,
        rated_power_w: float | None = None,
    ) -> None:
        """``slopes``: base units per second by quantity, instead of the usual ones."""
        self._slopes = _usual_slopes() | dict(slopes or {})
        self._counters = dict(counters or {})
        self._rated = rated_power_w
        self._most_w = _UNKNOWN_PLANT_W if rated_power_w is None else _RATED_MARGIN * rated_power_w
        self._memory: dict[str, _Memory] = {}
        self._settled_from: Instant | None = None
        self._watched: dict[frozenset[str], tuple[str, ...]] = {}

    def woke_up(self, now: Instant, settle_s: float) -> None:
        """The device answers again after a pause: mistrust it for ``settle_s``."""
        if settle_s > 0:
            self._settled_from = now + round(settle_s * SECOND_MS)

    def judge(self, decoded: Decoded, now: Instant) -> None:
        """Turn what cannot be true in ``decoded`` into suspects, with reasons."""
        readings = decoded.readings
        if self._settled_from is not None:
            if now < self._settled_from:
                self._mistrust_all(decoded)
                return
            self._settled_from = None
        for name in self._names(readings):
            reading = readings[name]
            if reading.quality is not Quality.GOOD or reading.value is None:
                continue
            reason = self._doubt(name, reading.value, now)
            if reason is not None:
                readings[name] = Reading(reading.value, Quality.SUSPECT)
                decoded.reasons[name] = reason

    def _names(self, readings: Mapping[str, Reading]) -> tuple[str, ...]:
        """Those of ``readings`` that have a rule: the same few at every poll."""
        key = frozenset(readings)
        known = self._watched.get(key)
        if known is None:
            known = self._watched[key] = tuple(name for name in readings if self._has_rule(name))
        return known

    def _has_rule(self, name: str) -> bool:
        return (
            name in self._slopes
            or QUANTITIES[name].behaviour == "counter"
            or (self._rated is not None and name in _POWERS)
        )

    def _doubt(self, name: str, value: float, now: Instant) -> str | None:
        if QUANTITIES[name].behaviour == "counter":
            return self._doubt_counter(name, value, now)
        if self._rated is not None and name in _POWERS and abs(value) > _RATED_MARGIN * self._rated:
            return f"{value:g} W is more than twice the rated power of {self._rated:g} W"
        slope = self._slopes.get(name)
        if slope is None:
            return None
        memory = self._memory.get(name)
        if memory is None:
            self._memory[name] = _Memory(value, now)
            return None
        free = _jump_free(name)
        if abs(value - memory.value) <= free + slope * _seconds(memory.at, now):
            self._believe(memory, value, now)
            return None
        agrees = memory.candidate is not None and abs(
            value - memory.candidate
        ) <= free + slope * _seconds(memory.candidate_at, now)
        if self._confirmed(memory, value, now, agrees=agrees, needed=_CONFIRM):
            return None
        return (
            f"changed by {value - memory.value:+g} in {_seconds(memory.at, now):g} s, more than "
            f"{slope:g} a second"
        )

    def _doubt_counter(self, name: str, value: float, now: Instant) -> str | None:
        memory = self._memory.get(name)
        if memory is None:
            self._memory[name] = _Memory(value, now)
            return None
        rule = self._counters.get(name, CounterRule())
        if self._may_follow(rule, name, memory.value, value, _seconds(memory.at, now)):
            self._believe(memory, value, now)
            return None
        agrees = memory.candidate is not None and self._may_follow(
            rule, name, memory.candidate, value, _seconds(memory.candidate_at, now)
        )
        if value and self._confirmed(memory, value, now, agrees=agrees, needed=_CONFIRM_COUNTER):
            return None  # the counter was set anew, or the device exchanged
        if value < memory.value:
            return f"a counter ran back from {memory.value:g} to {value:g}"
        return (
            f"a counter gained {value - memory.value:g} in {_seconds(memory.at, now):g} s, more "
            f"than {self._most_w:g} W can make"
        )

    def _may_follow(
        self, rule: CounterRule, name: str, before: float, value: float, seconds: float
    ) -> bool:
        most_w = self._most_w if name in _GENERATED else max(self._most_w, _UNKNOWN_PLANT_W)
        gain = most_w * seconds * SECOND_MS / HOUR_MS + 2 * rule.resolution
        if value >= before:
            return value - before <= gain
        over = rule.rolls_over_at
        return over is not None and 0 <= over - before + value <= gain

    @staticmethod
    def _believe(memory: _Memory, value: float, now: Instant) -> None:
        memory.value, memory.at = value, now
        memory.candidate, memory.agreed = None, 0

    @classmethod
    def _confirmed(
        cls, memory: _Memory, value: float, now: Instant, *, agrees: bool, needed: int
    ) -> bool:
        memory.agreed = memory.agreed + 1 if agrees else 1
        memory.candidate, memory.candidate_at = value, now
        if memory.agreed < needed:
            return False
        cls._believe(memory, value, now)
        return True

    @staticmethod
    def _mistrust_all(decoded: Decoded) -> None:
        for name, reading in decoded.readings.items():
            if reading.quality is Quality.GOOD and reading.value is not None:
                decoded.readings[name] = Reading(reading.value, Quality.SUSPECT)
                decoded.reasons[name] = "the device has only just woken up"


def _usual_slopes() -> dict[str, float]:
    temperatures = {name: _TEMPERATURE_SLOPE for name in QUANTITIES if name.startswith("temp_")}
    return _SLOPES | temperatures


def _jump_free(name: str) -> float:
    if name.startswith("temp_"):
        return _TEMPERATURE_JUMP
    return _JUMP_FREE.get(name, 0.0)


def _seconds(before: Instant, now: Instant) -> float:
    return abs(now - before) / SECOND_MS
