"""What goes to the log of a program, and in which form."""

from __future__ import annotations

import logging
import sys


def set_up_log(verbose: bool) -> None:
    """Log to standard error; details too if ``verbose``."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
