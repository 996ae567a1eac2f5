"""Where the recordings lie."""

from __future__ import annotations

import os
from pathlib import Path


def data_dir() -> Path:
    """``SOLAR_DATA_DIR``, by default the folder ``shared/data`` beside the clone."""
    named = os.environ.get("SOLAR_DATA_DIR")
    return Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
