"""What the whole-loop tests share."""

from __future__ import annotations

import pytest

from tests.integration.loop.running import Weather


@pytest.fixture(scope="session")
def weather(tmp_path_factory: pytest.TempPathFactory) -> Weather:
    """The series that every simulated site replays; no test changes it."""
    return Weather.prepare(tmp_path_factory.mktemp("weather"))
