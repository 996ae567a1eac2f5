"""Faults on request: how the simulated devices shall misbehave with their next replies."""

from __future__ import annotations

from collections import deque
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
    CUT = "cut"
    """The first half of the right reply."""
    WRONG_UNIT = "wrong_unit"
    WRONG_FUNCTION = "wrong_function"
    WRONG_COUNT = "wrong_count"
    """One register too many, in a sound frame."""
    WRONG_TRANSACTION = "wrong_transaction"
    """On TCP the reply to another request; on RTU no fault."""
    GARBLED = "garbled"
    """Every bit of the reply inverted."""
    EXCEPTION = "exception"
    NONSENSE = "nonsense"
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
    """A queue of planned faults; each is used up by one reply."""

    def __init__(self) -> None:
        self._planned: deque[PlannedFault] = deque()

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

    def clear(self) -> None:
        """Behave well from now on."""
        self._planned.clear()

    def take(self, unit: int) -> PlannedFault | None:
        """The fault for the next reply of ``unit``, if one is planned."""
        for fault in self._planned:
            if fault.unit in (None, unit):
                self._planned.remove(fault)
                return fault
        return None
