"""The demo, interrupted or killed in the middle, leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.environments import ROOT
from tests.integration.loop.running import left_behind, wait_for

pytestmark = pytest.mark.timeout(240)


@contextmanager
def demo(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A running demo on the weather that pvlib carries."""
    environment = os.environ | {"DEMO_DIR": str(directory), "SOLAR_DATA_DIR": str(directory)}
    with (directory.parent / "demo.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.demo"],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for line in left_behind(directory):  # only when the test has failed
            with suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)


def reach(process: subprocess.Popen[bytes], directory: Path, what: Callable[[], bool]) -> None:
    def there() -> bool:
        assert process.poll() is None, (directory.parent / "demo.log").read_text()
        return what()

    wait_for(there, "the point of the demo to interrupt", 120)


def agent_runs(directory: Path) -> bool:
    return (directory / "edge" / "status.json").exists()


def training_runs(directory: Path) -> bool:
    return any("retrain" in line for line in left_behind(directory))


def test_ctrl_c_ends_everything_and_says_130(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    with demo(directory) as process:
        reach(process, directory, lambda: agent_runs(directory))
        assert len(left_behind(directory)) > 3
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert left_behind(directory) == []
    assert "everything has been stopped" in (tmp_path / "demo.log").read_text()


def test_kill_9_of_the_demo_during_training_ends_everything_too(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    with demo(directory) as process:
        reach(process, directory, lambda: training_runs(directory))
        process.kill()
        process.wait()
        wait_for(lambda: not left_behind(directory), "everything has ended", 30)
