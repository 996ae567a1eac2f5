"""A log line per subject once in a while, however often the thing happens."""

from __future__ import annotations

import logging
import time

_EVERY_S = 10.0
_MAX_SUBJECTS = 1000


class SeldomLog:
    """Says a thing at once, then at most every ten seconds per subject with the number left out."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._said: dict[str, tuple[float, int]] = {}

    def warning(self, subject: str, text: str, *values: object) -> None:
        """Warn about ``subject``."""
        self._say(logging.WARNING, subject, text, *values)

    def error(self, subject: str, text: str, *values: object) -> None:
        """Report an error of ``subject``."""
        self._say(logging.ERROR, subject, text, *values)

    def _say(self, level: int, subject: str, text: str, *values: object) -> None:
        now = time.monotonic()
        said, left_out = self._said.get(subject, (-_EVERY_S, 0))
        if now - said < _EVERY_S:
            self._said[subject] = (said, left_out + 1)
            return
        if len(self._said) >= _MAX_SUBJECTS:  # a flood of names must not fill the memory
            self._said.clear()
        self._said[subject] = (now, 0)
        if left_out:
            text, values = f"{text} (and %d more like it)", (*values, left_out)
        self._log.log(level, text, *values)
