"""Faults on request: how the simulated devices shall misbehave with their next replies.

Planned one by one (tests), or drawn at given rates from a seed (``--fault late=0.05``).
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """One way to answer wrongly."""

    SILENT = "silent"
    """No reply."""
    LATE = "late"
    """The right reply after a delay."""
    TWICE = "twice"
    """The right reply, and once more after a delay."""
    SWAPPED = "swapped"
    """The reply to the request before this one instead, and the right one after a delay."""
    CUT = "cut"
    """The first part of the right reply."""
    WRONG_UNIT = "wrong_unit"
    WRONG_FUNCTION = "wrong_function"
    WRONG_COUNT = "wrong_count"
    """One register too many, in a sound frame."""
    WRONG_TRANSACTION = "wrong_transaction"
    """On TCP the reply to another request; on RTU no fault."""
    GARBLED = "garbled"
    """Every bit of the reply inverted."""
    DAMAGED = "damaged"
    """One to three bits of the reply inverted: noise on a serial line. On TCP no fault: its own
    checksum keeps such a reply from arriving."""
    STRAY = "stray"
    """Some bytes of noise before the right reply."""
    EXCEPTION = "exception"
    NONSENSE = "sentinel"
    """A sound reply in which no value is there: sentinels, NaN."""


@dataclass(frozen=True)
class PlannedFault:
    """``delay_s`` real seconds for late and doubled replies, ``code`` for exceptions."""

    kind: FaultKind
    delay_s: float = 0.0
    code: int = 6
    unit: int | None = None
    """Only this unit misbehaves; None means whichever is asked next."""


class Faults:
    """A queue of planned faults, each used up by one reply; behind it faults at random."""

    def __init__(self, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.made: Counter[FaultKind] = Counter()
        """Faults made so far."""
        self._planned: deque[PlannedFault] = deque()
        self._rates: dict[FaultKind, float] = {}
        self._delay_s = (0.0, 0.0)

    def plan(
        self,
        kind: FaultKind,
        *,
        times: int = 1,
        delay_s: float = 0.0,
        code: int = 6,
        unit: int | None = None,
    ) -> None:
        """Let the next ``times`` replies (of ``unit``) fail in the way of ``kind``."""
        self._planned.extend([PlannedFault(kind, delay_s, code, unit)] * times)

    def at_random(
        self, rates: Mapping[FaultKind, float], *, delay_s: tuple[float, float] = (0.0, 1.0)
    ) -> None:
        """From now on let each reply fail with these probabilities, delays drawn from a range.

        Raises:
            ValueError: The rates add up to more than 1, or one is negative.
        """
        if any(rate < 0 for rate in rates.values()) or sum(rates.values()) > 1:
            raise ValueError("fault rates must not be negative, and at most 1 together")
        self._rates, self._delay_s = dict(rates), delay_s

    def clear(self) -> None:
        """Behave well from now on."""
        self._planned.clear()
        self._rates.clear()

    def take(self, unit: int) -> PlannedFault | None:
        """The fault for the next reply of ``unit``, if there is to be one."""
        fault = self._next(unit)
        if fault is not None:
            self.made[fault.kind] += 1
        return fault

    def _next(self, unit: int) -> PlannedFault | None:
        for fault in self._planned:
            if fault.unit in (None, unit):
                self._planned.remove(fault)
                return fault
        if not self._rates:
            return None
        drawn = self.random.random()
        for kind, rate in self._rates.items():
            drawn -= rate
            if drawn < 0:
                return PlannedFault(kind, self.random.uniform(*self._delay_s))
        return None


def parse_rates(texts: list[str]) -> dict[FaultKind, float]:
    """``["late=0.05", "cut=0.01"]`` as rates. Raises ``ValueError`` naming the text."""
    rates: dict[FaultKind, float] = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            kind, rate = FaultKind(name.strip()), float(number or "1")
        except ValueError:
            known = ", ".join(kind.value for kind in FaultKind)
            raise ValueError(f"fault {text!r}: write KIND=RATE; kinds: {known}") from None
        if not 0 <= rate <= 1:
            raise ValueError(f"fault {text!r}: a rate is a number from 0 to 1")
        rates[kind] = rate
    return rates
