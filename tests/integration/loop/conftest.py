"""What the whole-loop tests share."""

from __future__ import annotations

import os

import pytest

from tests.build_once import build_once
from tests.integration.loop.running import Weather


@pytest.fixture(scope="session")
def weather(tmp_path_factory: pytest.TempPathFactory) -> Weather:
    """The series that every simulated site replays, made once for all workers."""
    run_directory = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run_directory = run_directory.parent
    return Weather.read(build_once(run_directory / "loop-weather", Weather.prepare))
