"""Flight recordings on disk: a few files, written when a bus has something odd to tell.

What a recording holds and how often one is worth it is the bridge's matter; here the number of
files is bounded. A card that cannot take one costs a line in the log.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from models.contract.timestamps import Instant, format_iso8601

_log = logging.getLogger(__name__)

KEEP = 20
"""Files at most; the oldest goes first. A recording is at most about 1 MB of text."""


class FlightFiles:
    """The folder ``flight`` of a data directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "flight"

    def write(self, bus: str, text: str, now: Instant) -> Path | None:
        """Keep ``text``, a recording of ``bus``; None when the disk would not."""
        stamp = format_iso8601(now)[:19].replace(":", "").replace("-", "")
        name = re.sub(r"[^A-Za-z0-9]+", "-", bus).strip("-")[-60:]
        path = self.directory / f"{stamp}-{name}.txt"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            for old in sorted(self.directory.glob("*.txt"))[: -KEEP + 1]:
                old.unlink(missing_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            _log.warning("the flight recording of %s could not be kept: %s", bus, error)
            return None
        _log.info("flight recording of %s kept in %s", bus, path)
        return path
