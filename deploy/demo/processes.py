"""Children that never outlive us: stopped in order at the end, ended by the kernel if we die."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_STOP_S = 15.0
# setpriv (util-linux, on every Debian): the kernel sends SIGTERM when we die, however we die.
_DIE_WITH_US = ("setpriv", "--pdeathsig", "TERM")


class DemoError(RuntimeError):
    """The demo cannot go on; says what to look at."""


class Processes:
    """The running services of a demo, stopped last in, first out.

    Every child leads a group of its own: Ctrl-C reaches us alone, we end the children in order, and
    what a child has started (a compiler) ends with it.
    """

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs, self._environment = logs, dict(environment)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a service; its output is added to ``logs/NAME.log``."""
        if name in self._running:
            raise DemoError(f"{name} runs already")
        with self._logs.joinpath(f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [*_DIE_WITH_US, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                process_group=0,
            )
        self._running[name] = process
        return process

    def run(self, *command: str, show: bool = False, check: bool = True) -> str:
        """Run a command to its end; its standard output. ``show`` lets its progress be seen."""
        process = subprocess.Popen(
            [*_DIE_WITH_US, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if show else subprocess.PIPE,
            env=self._environment,
            text=True,
            process_group=0,
        )
        try:
            output, errors = process.communicate()
        finally:
            _end_group(process)
        if check and process.returncode:
            raise DemoError(
                f"{' '.join(command)} ended with {process.returncode}:\n"
                f"{(errors or output).strip()[-2000:]}"
            )
        return output

    def wait(self, what: str, holds: Callable[[], object], timeout_s: float) -> None:
        """Return once ``holds()`` is true. Raises ``DemoError`` when it is not in time, or when a
        service has ended."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            self.check()
            if time.monotonic() > deadline:
                raise DemoError(f"{what}: not within {timeout_s:.0f} s; see {self._logs}")
            time.sleep(0.2)

    def check(self) -> None:
        """Raise ``DemoError`` when a service has ended by itself."""
        for name, process in self._running.items():
            if process.poll() is not None:
                log = self._logs / f"{name}.log"
                tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise DemoError(f"{name} ended with {process.returncode}; {log} ends with:\n{tail}")

    def names(self) -> list[str]:
        """What is running, last started first."""
        return list(reversed(self._running))

    def pid(self, name: str) -> int:
        """Process id of a service."""
        return self._running[name].pid

    def stop(self, name: str) -> int:
        """End one service with SIGTERM; its exit code. SIGKILL for what is left of its group."""
        process = self._running.pop(name)
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
        _end_group(process)
        return process.returncode

    def kill(self, name: str) -> None:
        """End one service and its group with SIGKILL, as a power cut would."""
        _end_group(self._running.pop(name))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name in self.names():
            self.stop(name)


def _end_group(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
