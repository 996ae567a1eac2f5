"""Fixtures shared by every folder of tests, and the two house rules of this suite.

SOLAR_DATA_DIR names the folder of recorded data (default ../shared/data beside the checkout);
SOLAR_FORBID_SKIP turns skips into failures (tests/forbid_skip.py).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from central import broker as broker_module
from central.broker import Broker
from tests.build_once import build_once
from tests.environments import REQUIREMENTS, ROOT, build_wheel, make_environment, run, uv
from tests.forbid_skip import (  # noqa: F401  # hooks are found by their names
    pytest_make_collect_report,
    pytest_runtest_makereport,
)
from tests.training import train_candidate

# Two workers share two cores with brokers and training: the time of one example says nothing.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of recorded data."""
    named = os.environ.get("SOLAR_DATA_DIR")
    directory = Path(named) if named else ROOT.parent / "shared" / "data"
    if not directory.is_dir():
        pytest.skip(f"no recorded data at {directory} (set SOLAR_DATA_DIR)")
    return directory.resolve()


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """A function that gives a loopback port nobody listens on, nor will by chance."""
    return broker_module.free_port


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A running mosquitto of this test's own."""
    with Broker(tmp_path / "broker") as running:
        yield running


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def edge_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a clean environment that holds the wheel with the edge extra and nothing else.

    `solar-edge` lies beside it. Tests may use it, not install into it.
    """
    directory = tmp_path_factory.mktemp("edge") / "env"
    python = make_environment(directory, sys.executable, REQUIREMENTS / "edge-py311.txt")
    run(uv(), "pip", "install", "--quiet", "--python", python, "--no-deps", wheel)
    return python


@pytest.fixture(scope="session")
def candidate_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained bundle for both CPUs, not yet released; tests copy it before they change it.

    Every worker gets the same one. The first test that asks waits for it (15 s of one core).
    """
    run_directory = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run_directory = run_directory.parent
    return build_once(run_directory / "candidate-bundle", train_candidate)
