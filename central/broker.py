"""The MQTT broker of the one-host setting: a mosquitto that this process starts, watches and ends.

Decides mosquitto's configuration and life cycle. It listens on the loopback address only, without
passwords; a fleet's broker with certificates and an ACL is a service of its own. It leaves to
others what is said over the broker, and durability: a PUBACK only means "in the broker's memory",
so ingest acknowledges by itself after its commit and agents resend until then.

    with Broker(directory) as broker:
        connect("127.0.0.1", broker.port)

The directory keeps configuration, log and saved sessions. A broker that was killed is started again
with ``start()``: on the same port, with what it had last saved.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
_EXTRA_PLACES = ("/usr/sbin", "/usr/local/sbin")  # Debian's users have no sbin on PATH
_PORT_ATTEMPTS = 5


class BrokerError(RuntimeError):
    """The broker cannot be started or has ended; says why and what to do."""


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Limits of the embedded broker, each with the reason to leave mosquitto's default."""

    max_queued_messages: int = 100_000
    """Per absent client with a session. Above its default of 1000 mosquitto drops silently, PUBACK
    sent; 100 000 records of 300 B are 30 MB."""

    max_queued_bytes: int = 64 * 1024 * 1024
    """The same queue in bytes, so that large messages cannot fill the memory instead."""

    max_inflight_messages: int = 100
    """Unacknowledged messages per client; 20 halves the rate at which a backlog drains."""

    max_packet_bytes: int = 1024 * 1024
    """Refuses anything larger before it is held in memory; bundles are cut into smaller chunks."""

    autosave_s: int = 60
    """Sessions and retained messages are written out this often, so a killed broker forgets at most
    this much (default 1800). Each save rewrites the whole file: not for every message."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise ValueError(f"BrokerSettings.{name} must be at least 1")


def render_config(settings: BrokerSettings, port: int, directory: Path) -> str:
    """mosquitto.conf for a loopback broker that keeps its state in ``directory``."""
    lines = [
        f"listener {port} {HOST}",
        "allow_anonymous true",  # reachable from this machine only
        # Whoever starts it owns the directory; mosquitto's own user could not write there. Without
        # effect unless started by root. Also: changing user would clear the parent-death signal.
        "user root",
        "persistence true",
        f"persistence_location {directory}{os.sep}",
        f"autosave_interval {settings.autosave_s}",
        f"max_queued_messages {settings.max_queued_messages}",
        f"max_queued_bytes {settings.max_queued_bytes}",
        f"max_inflight_messages {settings.max_inflight_messages}",
        f"max_packet_size {settings.max_packet_bytes}",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "log_type notice",
        "log_type information",  # has the word "running" that start() waits for
        "log_timestamp_format %Y-%m-%dT%H:%M:%S",
    ]
    return "\n".join(lines) + "\n"


def find_mosquitto() -> Path:
    """The mosquitto program.

    Raises:
        BrokerError: it is not installed; names the Debian package.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_EXTRA_PLACES])
    found = shutil.which("mosquitto", path=path)
    if found is None:
        raise BrokerError(
            "the MQTT broker mosquitto is not installed; install Debian's package `mosquitto`"
            " (`deploy/setup.sh demo` does)"
        )
    return Path(found)


class Broker:
    """A mosquitto on a loopback port, ended with this object and with the thread that started it.

    ``start`` it from a thread that lives as long as the broker should (the main thread): Linux ends
    the broker with that thread, which is what makes it go away even when this process is killed.
    """

    def __init__(
        self, directory: Path, port: int | None = None, settings: BrokerSettings | None = None
    ) -> None:
        """``port`` None: a free one is chosen at the first start and then kept."""
        self.directory = directory.resolve()
        self.settings = settings or BrokerSettings()
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return HOST

    @property
    def port(self) -> int:
        if self._port is None:
            raise BrokerError("the broker has no port before its first start")
        return self._port

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        if self._process is None or self._process.poll() is not None:
            raise BrokerError("the broker is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log_path(self) -> Path:
        return self.directory / "mosquitto.log"

    def start(self, timeout_s: float = 10.0) -> None:
        """Start and return once the broker accepts connections.

        Raises:
            BrokerError: not installed, port taken, or not up within ``timeout_s``; carries the end
                of mosquitto's log.
        """
        if self.running:
            raise BrokerError("the broker is already running")
        program = find_mosquitto()
        self.directory.mkdir(parents=True, exist_ok=True)
        # A port found free may be taken a moment later; a port that was asked for is not replaced.
        attempts = _PORT_ATTEMPTS if self._port is None else 1
        for attempt in range(1, attempts + 1):
            port = self._port or free_port()
            try:
                self._start_on(program, port, timeout_s)
            except BrokerError as error:
                if attempt == attempts or "Address already in use" not in str(error):
                    raise
            else:
                self._port = port
                return

    def stop(self, timeout_s: float = 10.0) -> None:
        """End the broker; it saves sessions and retained messages first. Nothing if not running."""
        self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> None:
        """End the broker at once (SIGKILL): what it had not saved is lost, as in a power cut."""
        self._end(signal.SIGKILL, timeout_s=10.0)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start_on(self, program: Path, port: int, timeout_s: float) -> None:
        config = self.directory / "mosquitto.conf"
        config.write_text(render_config(self.settings, port, self.directory), encoding="utf-8")
        with self.log_path.open("ab") as log:
            log_start = log.seek(0, os.SEEK_END)
            self._process = subprocess.Popen(
                # setpriv (util-linux, on every Debian): no code of ours between fork and exec.
                ["setpriv", "--pdeathsig", "TERM", str(program), "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches us; we then end the broker last
            )
        deadline = time.monotonic() + timeout_s
        while True:
            ended = self._process.poll() is not None
            said = self.log_path.read_bytes()[log_start:].decode(errors="replace")
            # Its own word first: another program on that port would answer a connection, too.
            if " running" in said and not ended and _accepts_connections(port):
                return
            late = time.monotonic() > deadline
            if ended or late:
                self.kill()
                what = f"did not come up within {timeout_s:g} s" if late else "ended at once"
                tail = " | ".join(said.strip().splitlines()[-5:]) or "it said nothing"
                raise BrokerError(f"mosquitto {what} on port {port}: {tail} ({self.log_path})")
            time.sleep(0.01)

    def _end(self, signal_number: signal.Signals, timeout_s: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal_number)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A free loopback port below those the system gives to outgoing connections.

    A service that was killed must find it free again, however many clients try to connect meanwhile
    (one of them might be given that very port, and even connect to itself).
    """
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise BrokerError(f"no free port among 100 tried between 20000 and 32000 at {HOST}")


def _accepts_connections(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1.0).close()
    except OSError:
        return False
    return True
