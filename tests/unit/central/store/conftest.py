"""A fresh store in a real file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from central.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'central.sqlite'}", quarantine_rows=5)
    yield opened
    opened.close()
