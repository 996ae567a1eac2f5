"""Where messages wait for the next commit: bounded in bytes, handed out in groups.

The count is bounded by the session's receive maximum; the bytes are bounded here, by letting the
network thread wait.
"""

from __future__ import annotations

import threading
import time

from central.messaging import Delivery


class Inbox:
    """A queue between the network thread and the committing thread."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._waiting: list[Delivery] = []
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, delivery: Delivery) -> None:
        """Add a message; waits while too much is here already. Dropped once closed: it was never
        settled, so the broker brings it again."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._bytes < self._max_bytes)
            if not self._closed:
                self._waiting.append(delivery)
                self._bytes += len(delivery.payload)
                self._changed.notify_all()

    def take(self, most: int, linger_s: float) -> list[Delivery]:
        """Wait for a message, then up to ``linger_s`` for company; at most ``most`` messages, in
        their order. Empty only once closed and drained."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            deadline = time.monotonic() + linger_s
            while (
                not self._closed
                and len(self._waiting) < most
                and self._bytes < self._max_bytes
                and (left := deadline - time.monotonic()) > 0
            ):
                self._changed.wait(left)
            taken, self._waiting = self._waiting[:most], self._waiting[most:]
            self._bytes -= sum(len(delivery.payload) for delivery in taken)
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Take nothing more; wakes both sides."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
