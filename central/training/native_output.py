"""Keeps the chatter of native libraries away from the user's terminal, without losing it.

TensorFlow, MLIR and treelite write to file descriptor 2 whatever Python's logging says, and
tl2cgen prints to `sys.stdout`, which would break `--json`. Around a conversion both go to a
temporary file, and from there to this module's logger at DEBUG level.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator

_LOG = logging.getLogger(__name__)
_ONE_AT_A_TIME = threading.RLock()  # descriptor 2 belongs to the whole process


@contextlib.contextmanager
def native_output_to_log(what: str) -> Iterator[None]:
    """Send descriptor 2 and `sys.stdout` to the log while the block runs.

    What other threads write meanwhile is caught too, so keep the block short.

    Args:
        what: prefix of the log lines, such as "treelite".
    """
    with _ONE_AT_A_TIME, tempfile.TemporaryFile(mode="w+", errors="replace") as caught:
        sys.stderr.flush()
        saved = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            with contextlib.redirect_stdout(caught):
                yield
        finally:
            sys.stderr.flush()
            caught.flush()
            os.dup2(saved, 2)
            os.close(saved)
            caught.seek(0)
            for line in caught:
                if line.strip():
                    _LOG.debug("%s: %s", what, line.rstrip())
