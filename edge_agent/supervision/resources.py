"""Memory and descriptors of this process, and ending in good order before they run out.

A leak must not end in the kernel's killer, which asks nobody to write anything down. Above a soft
limit: one warning and a collection of garbage. Above the hard limit: :class:`RestartNeeded`.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import resource
from collections.abc import Callable
from dataclasses import dataclass

from .errors import RestartNeeded
from .progress import Progress

_log = logging.getLogger(__name__)

_MB = 1_000_000
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")
_SOFT_SHARE = 0.7
_TRIM_EVERY = 60
"""Checks: a quarter of an hour at the default."""
_AGAIN_SHARE = 0.9
"""Below this share of the soft limit a next crossing is worth a next warning."""


@dataclass(frozen=True)
class ResourceLimits:
    """``[resources]``: what the agent may take before it is started again."""

    memory_limit_mb: float = 300.0
    """Resident memory; a healthy agent stays below 110 MB. A warning comes at 70 %."""
    descriptor_limit: int = 512
    """Open files, sockets and ports. A warning comes at 70 %."""
    check_every_s: float = 15.0

    def __post_init__(self) -> None:
        if not 50 <= self.memory_limit_mb <= 1_000_000:
            raise ValueError("memory_limit_mb: must be between 50 and 1000000 megabytes")
        if not 50 <= self.descriptor_limit <= 1_000_000:
            raise ValueError("descriptor_limit: must be between 50 and 1000000")
        if not 0 < self.check_every_s <= 3600:
            raise ValueError("check_every_s: must be above 0 and at most 3600 seconds")


@dataclass(frozen=True)
class Usage:
    """What the process takes at one moment."""

    resident_bytes: int = 0
    descriptors: int = 0


def give_memory_back() -> bool:
    """Return to the system what the C library keeps of memory that is free; True if it gave any.

    After each backlog it keeps some tenths of a megabyte more, in pieces between what lives on.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own
    return bool(trim is not None and trim(0))


class UsageReader:
    """Reads :class:`Usage` from ``/proc/self``: 20 µs, more with many descriptors."""

    def __init__(self) -> None:
        # Kept open: opening is what fails when descriptors have run out.
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Give the one descriptor back."""
        os.close(self._statm)

    def __call__(self) -> Usage:
        resident = int(os.pread(self._statm, 200, 0).split()[1]) * _PAGE_BYTES
        try:
            with os.scandir("/proc/self/fd") as entries:
                descriptors = sum(1 for _ in entries) - 1  # without the one of the listing
        except OSError:
            descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return Usage(resident, descriptors)


class ResourceCheck:
    """A worker: ``supervisor.add("resources", check.run, ...)``."""

    def __init__(self, limits: ResourceLimits, read: Callable[[], Usage]) -> None:
        self._limits, self._read = limits, read
        self._warned: set[str] = set()
        self.usage = Usage()
        """As of the last check."""
        self.peak = Usage()

    async def run(self, progress: Progress) -> None:
        """Check until cancelled.

        Raises:
            RestartNeeded: a hard limit is passed, and collecting garbage did not help.
        """
        checks = 0
        while True:
            self.check()
            checks += 1
            if checks % _TRIM_EVERY == 0:
                give_memory_back()
            progress.mark()
            await asyncio.sleep(self._limits.check_every_s)

    def check(self) -> Usage:
        """Look once. Raises as :meth:`run`."""
        self._look()
        if self._warn() or self._excess():
            gc.collect()
            give_memory_back()
            self._look()
        if excess := self._excess():
            raise RestartNeeded(f"{excess}; the agent is started again before the system is short")
        return self.usage

    def counts(self) -> dict[str, int]:
        """Gauges for status and metrics."""
        return {
            "memory_resident_bytes": self.usage.resident_bytes,
            "memory_resident_peak_bytes": self.peak.resident_bytes,
            "open_descriptors": self.usage.descriptors,
            "open_descriptors_peak": self.peak.descriptors,
        }

    def _look(self) -> None:
        self.usage = now = self._read()
        self.peak = Usage(
            max(now.resident_bytes, self.peak.resident_bytes),
            max(now.descriptors, self.peak.descriptors),
        )

    def _measured(self) -> list[tuple[str, float, float]]:
        return [
            ("MB of memory", self.usage.resident_bytes / _MB, self._limits.memory_limit_mb),
            ("open descriptors", self.usage.descriptors, self._limits.descriptor_limit),
        ]

    def _excess(self) -> str:
        return ", ".join(
            f"{value:.0f} {what}, limit {limit:g}"
            for what, value, limit in self._measured()
            if value > limit
        )

    def _warn(self) -> bool:
        """Say what has crossed its soft limit; whether anything has."""
        crossed = False
        for what, value, limit in self._measured():
            if value <= _AGAIN_SHARE * _SOFT_SHARE * limit:
                self._warned.discard(what)
            elif value > _SOFT_SHARE * limit and what not in self._warned:
                self._warned.add(what)
                crossed = True
                _log.warning(
                    "the agent takes %.0f %s; at %g it ends and is started again",
                    value, what, limit,
                )  # fmt: skip
        return crossed
