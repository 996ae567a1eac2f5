"""A store that already holds what the site measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from central.store import open_store
from tests.unit.central.report.published_days import END, TRUTH, Fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Measurements of the site up to ``END``, and no forecast."""
    store = open_store(f"sqlite:///{tmp_path / 'central.sqlite'}")
    fleet = Fleet(store)
    fleet.measures(TRUTH.window(0, TRUTH.index(END)))
    yield fleet
    store.close()
