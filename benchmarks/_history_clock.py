"""What the schedule sets in the agent's process while it runs: its wall clock, and "stop"."""

from __future__ import annotations

import asyncio
import mmap
import struct
import time
from pathlib import Path

from models.contract.timestamps import Instant

_LAYOUT = struct.Struct("<qqq")
_NAP_S = 0.02


class Control:
    """A few numbers in a file that two processes see at once; only the schedule sets them."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(bytes(_LAYOUT.size))
        with file.open("r+b") as opened:
            self._memory = mmap.mmap(opened.fileno(), _LAYOUT.size)

    @property
    def shift_ms(self) -> int:
        """What is added to the world's time."""
        return self._get(0)

    @property
    def adrift(self) -> bool:
        """Whether the kernel says that no time service disciplines the clock."""
        return bool(self._get(1))

    @property
    def stop(self) -> bool:
        """Whether the agent is to append nothing more."""
        return bool(self._get(2))

    def set_clock(self, shift_ms: int, *, adrift: bool) -> None:
        """What the clock shows, and whether anybody vouches for it."""
        self._memory[:] = _LAYOUT.pack(shift_ms, adrift, self.stop)

    def set_stop(self) -> None:
        """The agent is to append nothing more."""
        self._memory[:] = _LAYOUT.pack(self.shift_ms, self.adrift, True)

    def _get(self, position: int) -> int:
        return int(_LAYOUT.unpack(self._memory[:])[position])

    def close(self) -> None:
        """Let go of the file."""
        self._memory.close()


class SetClock:
    """A wall clock that the schedule sets; real time stays the world's."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def now(self) -> Instant:
        return time.time_ns() // 1_000_000 + self._control.shift_ms

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep_until(self, instant: Instant) -> None:
        while (left_ms := instant - self.now()) > 0:
            await asyncio.sleep(min(left_ms / 1000.0, _NAP_S))
