"""A bounded queue with one writer thread that commits in groups: a write per window, not per item.

Decides when to write: after ``window_s`` from the first waiting item, and a moment later when more
are just coming; at once for an urgent one; again, with growing pauses, when a write failed. Items
leave the queue only after they were written, so a full disk or a locked file costs time and not
data until the queue is full; what then comes is refused, and the caller is told. How an item is
written is the caller's function.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")
_log = logging.getLogger(__name__)

GROUP_LIMIT = 5_000
"""Items in one transaction at most."""
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 30.0
LONGEST_PATIENCE_S = 1.0
"""A round of polls that begins when the window ends is waited for: its items go with this group,
and the next window begins with the next round. Of polls every 5 s, 35 s are in a window of 30 s
then: a seventh less writes."""
_PATIENCE_OF_WINDOW = 1 / 20
_LULL_OF_PATIENCE = 1 / 4
_WINDOWS_WITHOUT_ITEMS = 4


class GroupCommitter(Generic[T]):
    """Hands items to ``write`` in groups, in their order, from a thread of its own.

    ``write`` is called with a possibly empty group (see :meth:`nudge`) and either makes all of it
    durable or raises, whatever it raises; then it is called again with the same items first.
    ``reserve`` more items than ``limit`` are taken when they are urgent.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], None],
        *,
        window_s: float,
        limit: int,
        reserve: int,
        monotonic: Callable[[], float],
        name: str,
    ) -> None:
        self._write, self._window_s, self._monotonic = write, window_s, monotonic
        self._patience_s = min(LONGEST_PATIENCE_S, window_s * _PATIENCE_OF_WINDOW)
        self._lull_s = self._patience_s * _LULL_OF_PATIENCE
        self._limit, self._reserve, self._name = limit, reserve, name
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._due_at: float | None = None
        self._due_by = 0.0  # so long may it be put off while more items are coming
        self._not_before = 0.0
        self._asked = 0  # every submit and nudge counts one; flush waits until its own is covered
        self._covered = 0
        self._closing = self._abandoned = False
        self.refused = 0
        """Items that did not fit."""
        self.failures = 0
        """Writes that failed and were tried again."""
        self.last_error = ""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: T, *, urgent: bool = False) -> bool:
        """Queue ``item`` without waiting. False (and counted) when the queue is full or closed."""
        with self._changed:
            room = self._limit + (self._reserve if urgent else 0)
            if self._closing or len(self._items) >= room:
                self.refused += 1
                return False
            self._items.append(item)
            if urgent:
                self._ask(0.0)
            else:
                self._ask(self._window_s + self._lull_s, self._window_s + self._patience_s)
                self._put_off()
            return True

    def nudge(self, *, hopeful: bool = False, patient: bool = False) -> None:
        """There is something to write besides items: call ``write`` within the window.

        ``hopeful``: what failed before may work now, so its pause is over. ``patient``: it goes
        with the next items, and without any it may wait for some windows.
        """
        with self._changed:
            if not self._closing:
                self._ask(self._window_s * (_WINDOWS_WITHOUT_ITEMS if patient else 1))
            if hopeful and self._not_before:
                self._not_before = 0.0
                self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Write now, and wait. False when it was not done in time (the items stay queued)."""
        with self._changed:
            self._ask(0.0)
            target = self._asked
            return self._changed.wait_for(lambda: self._covered >= target, timeout_s)

    def close(self, timeout_s: float) -> int:
        """Write what is queued and end the thread. Returns how many items were left behind."""
        with self._changed:
            self._closing, self._not_before = True, 0.0
            self._ask(0.0)
        self._thread.join(timeout_s)
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()
            return len(self._items)

    @property
    def queued(self) -> int:
        """Items accepted and not yet durable."""
        return len(self._items)

    @property
    def alive(self) -> bool:
        """Whether the writer thread runs."""
        return self._thread.is_alive()

    def _ask(self, within_s: float, at_most_s: float = 0.0) -> None:
        now = self._monotonic()
        self._asked += 1
        if self._due_at is None or now + within_s < self._due_at:
            self._due_at, self._due_by = now + within_s, now + at_most_s
            self._changed.notify_all()

    def _put_off(self) -> None:
        """More is coming: not in the middle of it."""
        assert self._due_at is not None
        self._due_at = max(self._due_at, min(self._monotonic() + self._lull_s, self._due_by))

    def _run(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            with self._changed:
                while (wait := self._seconds_to_wait()) is None or wait > 0:
                    if self._abandoned or (wait is None and self._closing):
                        return
                    self._changed.wait(wait)
                group = tuple(islice(self._items, GROUP_LIMIT))
                asked, whole = self._asked, len(group) == len(self._items)
                self._due_at = None if whole else self._monotonic()
            try:
                self._write(group)
            except Exception as error:  # whatever it was, the items are kept
                with self._changed:
                    self.failures += 1
                    self.last_error = str(error)
                    self._due_at = self._monotonic()
                    self._not_before = self._due_at + pause
                _log.warning(
                    "%s: %d items could not be written (%s: %s); they are kept, next try in %.1f s",
                    self._name, len(group), type(error).__name__, error, pause,
                )  # fmt: skip
                pause = min(2 * pause, LONGEST_PAUSE_S)
                continue
            pause = FIRST_PAUSE_S
            with self._changed:
                for _ in group:
                    self._items.popleft()
                if whole:
                    self._covered = asked
                self._changed.notify_all()

    def _seconds_to_wait(self) -> float | None:
        """None: nothing to do; otherwise how long until the next write (0 or less: now)."""
        if self._due_at is None:
            return None
        return max(self._due_at, self._not_before) - self._monotonic()
