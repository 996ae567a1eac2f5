"""Children that never outlive us: stopped in order at the end, killed by the kernel if we die."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_PR_SET_PDEATHSIG = 1
_STOP_S = 15.0


class DemoError(RuntimeError):
    """The demo cannot go on; says what to look at."""


def die_with_parent() -> None:
    """Run in the child before exec: SIGTERM when the demo dies, however it dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Processes:
    """The running services of a demo, stopped last in, first out."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs, self._environment = logs, dict(environment)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a service; its output goes to ``logs/NAME.log``."""
        with (self._logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                # Its own group: Ctrl-C reaches us alone, and we end the services in order.
                process_group=0,
                preexec_fn=die_with_parent,
            )
        self._running[name] = process
        return process

    def run(self, *command: str, show: bool = False, check: bool = True) -> str:
        """Run a command to its end; its standard output. ``show`` lets its progress be seen."""
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if show else subprocess.PIPE,
            env=self._environment,
            text=True,
            check=False,
            preexec_fn=die_with_parent,
        )
        if check and done.returncode:
            raise DemoError(
                f"{' '.join(command)} ended with {done.returncode}:\n"
                f"{(done.stderr or done.stdout).strip()[-2000:]}"
            )
        return done.stdout

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

    def stop(self, name: str) -> None:
        """End one service: SIGTERM, then SIGKILL for its whole group."""
        process = self._running.pop(name)
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name in reversed(list(self._running)):
            self.stop(name)
