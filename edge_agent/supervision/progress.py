"""Marks of progress: when something last moved, and whether that is too long ago. Pure.

Only the injected monotonic clock counts. What to do about something stuck is the supervisor's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType

_log = logging.getLogger(__name__)

Monotonic = Callable[[], float]


class Progress:
    """Mark of one loop or thread; :meth:`mark` may be called from any thread."""

    def __init__(
        self,
        name: str,
        deadline_s: float,
        monotonic: Monotonic,
        elsewhere: Callable[[], float] | None = None,
    ) -> None:
        """``elsewhere``: where a last mark is kept by others (same clock); the later one counts."""
        if not deadline_s > 0:
            raise ValueError(f"{name}: its deadline must be above 0 seconds")
        self.name, self.deadline_s = name, deadline_s
        self._monotonic, self._elsewhere = monotonic, elsewhere
        self._complained = False
        self.mark()

    def mark(self) -> None:
        """It has come round."""
        self._marked = self._monotonic()

    @property
    def moved_at(self) -> float:
        """When it last came round."""
        if self._elsewhere is None:
            return self._marked
        try:
            return max(self._marked, self._elsewhere())
        except Exception:
            if not self._complained:
                _log.exception(
                    "%s cannot tell when it last moved: it counts as standing", self.name
                )
            self._complained = True
            return self._marked

    @property
    def stuck(self) -> bool:
        """Whether it has not come round within its deadline."""
        return self._monotonic() - self.moved_at > self.deadline_s

    def forgive(self, seconds: float) -> None:
        """``seconds`` that have just passed were nobody's fault."""
        self._marked = min(self._monotonic(), self.moved_at + seconds)


class Busy:
    """When a thread that mostly waits for work last moved: only work under way grows old.

        with busy:
            write(group)

    One piece of work at a time. Give :attr:`moved_at` to ``Supervisor.watch``.
    """

    def __init__(self, monotonic: Monotonic) -> None:
        self._monotonic = monotonic
        self._since: float | None = None

    def __enter__(self) -> None:
        self._since = self._monotonic()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._since = None

    def moved_at(self) -> float:
        """Now when idle, otherwise when the work under way began."""
        since = self._since
        return self._monotonic() if since is None else since
