"""A supervisor on virtual time, the socket that systemd would listen at, and whole programs."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.environments import ROOT
from tests.unit.edge_agent.supervision.stage import PATIENCE_S, Stage


@pytest.fixture
def stage() -> Stage:
    """See :class:`Stage`."""
    return Stage()


@pytest.fixture(params=["path", "abstract"])
def systemd(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """The socket that systemd would listen at, in both kinds of address."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        if request.param == "abstract":
            listener.bind("\0" + address)
            monkeypatch.setenv("NOTIFY_SOCKET", "@" + address)
        else:
            listener.bind(address)
            monkeypatch.setenv("NOTIFY_SOCKET", address)
        listener.settimeout(PATIENCE_S)
        yield listener


@pytest.fixture
def start_program() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a Python program from its text; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(text: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", text, *arguments],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
