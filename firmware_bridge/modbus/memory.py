"""What a bus remembers of a shared wire: which replies could be taken for another's.

Of each unit: the lengths of the replies that may yet come, its last answer (a copy of it may come),
and how often an answer that repeated itself has proved true. Decides nothing about what to send;
that is ``bus``. Time is monotonic.
"""

from __future__ import annotations

import time
from collections import Counter

from .request import MAX_REGISTERS, ReadRequest

LATEST_REPLY = 100
"""After so many timeouts a reply that has not come is taken to be lost."""
_PROOF = 5
"""Repeated answers that proved true after which a unit is trusted not to answer twice."""
_MISTRUST = 500
"""So many more after bytes that nobody asked for."""
_MOST_REFUSALS = 3

Answer = bytes | int
"""Data, or the code of a refusal."""


class WireMemory:
    """See the module docstring. Not thread-safe."""

    def __init__(self) -> None:
        self._owed: dict[int, dict[int, float]] = {}  # until when, by unit and length in registers
        self._last: dict[int, tuple[object, Answer]] = {}
        self._proved: Counter[int] = Counter()

    # -- replies that may yet come

    def expect(self, unit: int, count: int, timeout_s: float) -> None:
        """A reply of ``count`` registers may yet come from ``unit``."""
        until = time.monotonic() + LATEST_REPLY * timeout_s
        self._owed.setdefault(unit, {})[count] = until

    def owed_by(self, unit: int) -> dict[int, float]:
        """Lengths of the replies that may yet come from ``unit``, besides a copy of its last."""
        owed = self._owed.get(unit)
        if not owed:
            return {}
        now = time.monotonic()
        for length in [length for length, until in owed.items() if until <= now]:
            del owed[length]
        return owed

    def forget_owed(self, unit: int) -> None:
        """Whatever ``unit`` owed is past."""
        self._owed.pop(unit, None)

    def fence_length(self, request: ReadRequest) -> int:
        """A length that no reply of the unit can have but the one to a fence in front of
        ``request``."""
        _, last = self.last_of(request.unit)
        taken = {*self.owed_by(request.unit), request.count}
        if isinstance(last, bytes):
            taken.add(len(last) // 2)  # a copy of the last answer may come
        # Even lengths first: meters with 32-bit values refuse to give half of one.
        lengths = (*range(2, MAX_REGISTERS, 2), *range(1, MAX_REGISTERS, 2))
        return next((length for length in lengths if length not in taken), MAX_REGISTERS)

    def refusals_to_come(self, unit: int) -> int:
        """How many refusals may come from ``unit`` that answer older requests, at most."""
        _, last = self.last_of(unit)
        return min(len(self.owed_by(unit)) + isinstance(last, int), _MOST_REFUSALS)

    # -- the last answer, of which a copy may come

    def last_of(self, unit: int) -> tuple[object, Answer | None]:
        """What ``unit`` was asked last that it answered, and its answer."""
        return self._last.get(unit, (None, None))

    def answered(self, request: ReadRequest, data: bytes) -> None:
        """A reply was believed. Units answer in order: only a copy of it can follow."""
        self._owed.pop(request.unit, None)
        self._last[request.unit] = request, data

    def refused(self, unit: int, request: object, code: int) -> None:
        """A refusal came in due form."""
        self._last[unit] = request, code

    def is_repeated_refusal(self, unit: int, code: int | None) -> bool:
        """Whether a refusal with ``code`` could be a copy of the last answer."""
        _, last = self.last_of(unit)
        return isinstance(last, int) and last == code

    # -- trust

    def is_trusted_with(self, request: ReadRequest, asked: object) -> bool:
        """Whether an answer that is the same as the one to ``asked`` may be believed as it is.

        Trust goes as far as the same question: its copy is at worst a little old.
        """
        is_same = isinstance(asked, ReadRequest) and (asked.function, asked.address) == (
            request.function,
            request.address,
        )
        return is_same and self._proved[request.unit] >= _PROOF

    def proved(self, unit: int) -> None:
        """An answer that repeated itself was true."""
        self._proved[unit] += 1

    def mistrust(self, unit: int) -> None:
        """Bytes came that nobody asked for."""
        self._proved[unit] = -_MISTRUST
