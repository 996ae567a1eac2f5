"""Starts the workload on a card, alone or under strace, which stops it after each storage call.

Decides what a storage call is, and when the process stands still. What is then cut is decided by
``power_cuts``.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks._power_card import CannotCut

_ROOT = Path(__file__).resolve().parents[1]
_CALLS = (
    *("pwrite64", "pwritev", "pwritev2", "write", "writev", "ftruncate", "truncate", "fallocate"),
    *("fdatasync", "fsync", "sync_file_range", "unlink", "unlinkat", "rename", "renameat"),
    *("renameat2", "link", "linkat", "symlink", "symlinkat", "mkdir", "mkdirat"),
)
_LINE = re.compile(r"(\d+)\s+(.*)")
_PATH = re.compile(r"[<\"](/[^>\"]*)[>\"]")
_SILENCE_S = 20.0
_BUFFER_BYTES = 8 << 20
_SO_SNDBUFFORCE = 32  # of Linux; the socket module does not name it


@dataclass(frozen=True, slots=True)
class Stop:
    """The process stands still behind this call on a file of the card."""

    thread: int
    call: str
    file: str
    at: float


class Silent(Exception):
    """The workload said nothing and did nothing for long."""


class Running:
    """One life of the workload; killed at the end of the block."""

    def __init__(self, card: Path, arguments: list[str], *, traced: bool) -> None:
        self._card = str(card)
        self.witness, theirs = socket.socketpair()
        self.witness.setblocking(False)
        with suppress(OSError):
            theirs.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER_BYTES)
        command = [sys.executable, "-m", "benchmarks._power_workload", str(card)]
        command += ["--witness", str(theirs.fileno()), *arguments]
        log, theirs_log = os.pipe()
        if traced:
            command = [*_strace(theirs_log), *command]
        with theirs:
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno(), theirs_log],
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # one group: strace and what it follows end together
            )
        os.close(theirs_log)
        os.set_blocking(log, False)
        self._log, self._text = log, b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(log if traced else self.witness, selectors.EVENT_READ)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._selector.close()
        self.witness.close()
        os.close(self._log)

    def kill(self) -> None:
        """SIGKILL to all of it."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=30)

    def wait(self) -> int:
        """Exit code, once it has ended by itself."""
        return self._process.wait(timeout=30)

    def ended(self) -> int | None:
        """Exit code, if it has one."""
        return self._process.poll()

    def wait_for_word(self) -> None:
        """Until there is something to hear."""
        if not self._selector.select(_SILENCE_S):
            raise Silent(f"the workload has said nothing for {_SILENCE_S:.0f} s")

    def resume(self, stop: Stop) -> None:
        """Go on behind ``stop``."""
        with suppress(ProcessLookupError):
            os.kill(stop.thread, signal.SIGCONT)

    def stops(self) -> Iterator[Stop]:
        """Every stop behind a storage call on the card, until the process ends.

        The caller resumes each.
        """
        last: dict[int, str] = {}
        signalled: set[int] = set()
        for thread, text in self._lines():
            if text.startswith("--- SIGSTOP"):
                signalled.add(thread)
            elif text.startswith("--- stopped by SIGSTOP"):
                if thread not in signalled:
                    continue  # stands still because another thread of its process was stopped
                signalled.discard(thread)
                call = last.get(thread, "")
                path = next((p for p in _PATH.findall(call) if p.startswith(self._card)), "")
                stop = Stop(thread, call.split("(")[0], Path(path).name, time.monotonic())
                if path:
                    yield stop
                else:
                    self.resume(stop)
            elif not text.startswith(("<...", "+++", "---")):
                last[thread] = text

    def _lines(self) -> Iterator[tuple[int, str]]:
        while True:
            *lines, self._text = self._text.split(b"\n")
            for line in lines:
                if match := _LINE.match(line.decode(errors="replace")):
                    yield int(match[1]), match[2]
            if not self._selector.select(_SILENCE_S):
                raise Silent(f"strace has said nothing for {_SILENCE_S:.0f} s")
            data = os.read(self._log, 1 << 16)
            if not data:
                return
            self._text += data


def _strace(log: int) -> list[str]:
    """Signals are injected at the entry of a call and taken at its end: a stop is behind it.

    Not with --seccomp-bpf: there strace 6.1 loses the injected signals.
    """
    if shutil.which("strace") is None:
        raise CannotCut("no strace here: apt-get install strace")
    calls = ",".join(f"?{name}" for name in _CALLS)  # "?": not every processor has each
    command = ["strace", "-f", "-y", "-s", "0", "-o", f"/dev/fd/{log}", "-e", f"trace={calls}"]
    return [*command, "-e", f"inject={calls}:signal=SIGSTOP:when=1+", "-e", "signal=SIGSTOP"]
