"""A thread that ends the process when the event loop is silent for too long.

A blocked loop cannot supervise itself, and an end that waits for a blocked thread never comes.
systemd notices both if it is there; this thread does without it, and says in which line every
thread stands. It belongs to the process: the program starts it once and it lives until the end.
A loop that holds the interpreter's own lock stops this thread, too: then only systemd helps.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import threading
import time
from collections.abc import Callable

from .progress import Monotonic

_log = logging.getLogger(__name__)

EXIT_CODE = 70
"""EX_SOFTWARE of sysexits.h."""
_STANDARD_ERROR = 2


def _nothing() -> None:
    pass


class LoopGuard:
    """Something must be heard within the time that was said last, or the process ends."""

    def __init__(
        self,
        monotonic: Monotonic = time.monotonic,
        *,
        last_words_s: float = 10.0,
        tick_s: float = 1.0,
        gap_s: float = 10.0,
    ) -> None:
        """``last_words_s``: for :attr:`last_words`, and again for telling where threads stand."""
        self._monotonic, self._last_words_s = monotonic, last_words_s
        self._tick_s, self._gap_s = tick_s, gap_s
        self._lock = threading.Lock()
        self._deadline: float | None = None
        self._awaited = ""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="loop-guard", daemon=True)
        self.last_words: Callable[[], object] = _nothing
        """Called before the end, in a thread of its own, for at most ``last_words_s``."""

    def start(self) -> None:
        """Begin to watch; nothing is awaited before the first :meth:`expect`."""
        self._thread.start()

    def expect(self, within_s: float, what: str) -> None:
        """Replace what was awaited: the next call, or the end of the process, ``within_s``."""
        with self._lock:
            self._deadline, self._awaited = self._monotonic() + within_s, what

    def stop(self) -> None:
        """Watch no more. For a process that goes on without its loop; a program never calls it."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        before = self._monotonic()
        while not self._stopped.wait(self._tick_s):
            now = self._monotonic()
            gap_s, before = now - before - self._tick_s, now
            with self._lock:
                if self._deadline is not None and gap_s > self._gap_s:
                    self._deadline += gap_s  # the process was stopped: nobody could be heard
                overdue = self._deadline is not None and now > self._deadline
            if overdue:
                self._end()

    def _end(self) -> None:
        # Each step may hang (a full pipe, a lock held by the blocked thread) and none may matter.
        for step in (self._say_last_words, self._say_where_threads_stand):
            thread = threading.Thread(target=step, name="last-words", daemon=True)
            thread.start()
            thread.join(self._last_words_s)
        os._exit(EXIT_CODE)

    def _say_last_words(self) -> None:
        try:
            self.last_words()
        except Exception:
            _log.exception("the last words failed")

    def _say_where_threads_stand(self) -> None:
        # By way of memory: faulthandler keeps the interpreter to itself while it writes, and a
        # pipe that nobody reads would hold up the very end.
        stacks = os.memfd_create("stacks")
        faulthandler.dump_traceback(stacks, all_threads=True)
        text = os.pread(stacks, 100_000, 0)
        verdict = f"{self._awaited} did not come in time; exit code {EXIT_CODE}\n"
        os.write(_STANDARD_ERROR, verdict.encode() + text)
