"""Who says what time it is. Injected everywhere, so that tests and the demo own their time.

Two kinds of time never mix. *Domain time* (``now``) labels measurements and schedules polls and
forecasts; the demo runs it faster. *Real time* (``monotonic``) measures timeouts, keepalive,
watchdog and back-off, and always runs at the speed of the world. Expiry of signatures is wall-clock
real time.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from .errors import ContractError
from .timestamps import Instant, check_instant


class Clock(Protocol):
    """Domain time, and the real seconds until a domain instant."""

    def now(self) -> Instant:
        """Domain time now."""
        ...

    def monotonic(self) -> float:
        """Real seconds on a clock that never jumps."""
        ...

    async def sleep_until(self, instant: Instant) -> None:
        """Return once domain time has reached ``instant``."""
        ...


class SystemClock:
    """Domain time is the wall clock."""

    def now(self) -> Instant:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep_until(self, instant: Instant) -> None:
        # Short naps, because the wall clock may be set while we sleep.
        while (left_ms := instant - self.now()) > 0:
            await asyncio.sleep(min(left_ms / 1000.0, 5.0))


@dataclass(frozen=True)
class Anchor:
    """Where domain time is tied to real time; one file shared by every process of a demo."""

    real_t0: float
    """Wall-clock seconds since 1970 at the anchor."""
    domain_t0: Instant
    """Domain time at the anchor."""
    speed: float
    """Domain seconds per real second."""

    def __post_init__(self) -> None:
        if not 0 < self.speed <= 100_000:
            raise ContractError(f"clock speed must be above 0 and at most 100000, not {self.speed}")
        if not math.isfinite(self.real_t0):
            raise ContractError(f"clock anchor real_t0 must be finite, not {self.real_t0}")
        check_instant(self.domain_t0)

    def write(self, path: Path) -> None:
        """Write the anchor to ``path`` as JSON; a reader never sees half of it."""
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")
        draft.replace(path)

    @classmethod
    def read(cls, path: Path) -> Anchor:
        """Read an anchor file. Raises ``ContractError`` naming the file."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            return cls(float(raw["real_t0"]), int(raw["domain_t0"]), float(raw["speed"]))
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise ContractError(f"{path}: not a clock anchor: {error!r}") from error


class ScaledClock:
    """Domain time runs ``speed`` times as fast as the world, from a shared anchor."""

    def __init__(self, anchor: Anchor) -> None:
        self.anchor = anchor

    def now(self) -> Instant:
        elapsed = time.time() - self.anchor.real_t0
        return self.anchor.domain_t0 + math.floor(elapsed * self.anchor.speed * 1000)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep_until(self, instant: Instant) -> None:
        while (left_ms := instant - self.now()) > 0:
            await asyncio.sleep(left_ms / 1000.0 / self.anchor.speed)


def open_clock(anchor_file: str | None) -> Clock:
    """The wall clock, or the scaled clock of ``anchor_file`` when one is given."""
    return ScaledClock(Anchor.read(Path(anchor_file))) if anchor_file else SystemClock()
