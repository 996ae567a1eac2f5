"""A whole site and its centre as real processes on a scaled clock, for one test each.

Everything is done through the two commands, as in the demo whose parts it uses; the broker is a
mosquitto of its own, so that it can be killed without the centre.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from central.broker import Broker
from deploy.demo.processes import Processes
from deploy.demo.scenario import SITE, Place, Ports, cut_history, set_clock, write_settings
from edge_agent.journal.reader import JournalReader
from edge_agent.storage.database import back_up, read_only
from models.contract.clock import ScaledClock
from models.contract.timestamps import Instant

BIN = Path(sys.executable).parent
EDGE, CENTRAL = str(BIN / "solar-edge"), str(BIN / "solar-central")
PATIENCE_S = 60.0
"""Both cores may be busy with something else; nothing here waits this long when all is well."""
SPEED = 3600.0
T = TypeVar("T")


def wait_for(ask: Callable[[], T], what: str, timeout_s: float = PATIENCE_S) -> T:
    """The first true answer of ``ask``."""
    deadline = time.monotonic() + timeout_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.05)
    return answer


@dataclass(frozen=True)
class Weather:
    """A power series to replay, and when the replay begins."""

    series: Path
    summary: dict[str, Any]
    begin: Instant

    @classmethod
    def prepare(cls, directory: Path) -> None:
        """From the typical year that pvlib carries, by the centre's command."""
        from central.intake.tmy3 import bundled_weather_file

        directory.mkdir()
        history = directory / "history.csv"
        done = subprocess.run(
            [CENTRAL, "series", bundled_weather_file(), "--out", directory / "series.csv",
             "--history", history, "--json"],
            capture_output=True, check=True, text=True,
        )  # fmt: skip
        begin = cut_history(history, directory / "history-cut.csv")
        prepared = {"summary": json.loads(done.stdout), "begin": begin}
        (directory / "prepared.json").write_text(json.dumps(prepared), encoding="utf-8")

    @classmethod
    def read(cls, directory: Path) -> Weather:
        """What :meth:`prepare` has made."""
        prepared = json.loads((directory / "prepared.json").read_text(encoding="utf-8"))
        return cls(directory / "series.csv", prepared["summary"], prepared["begin"])


@dataclass(frozen=True)
class Listener:
    """The output of a running ``mosquitto_sub``."""

    output: Path

    def messages(self, topic: str) -> list[dict[str, Any]]:
        """Objects heard on ``topic`` so far, in order."""
        lines = self.output.read_text(encoding="utf-8").split("\n")[:-1]
        split = (line.partition(" ") for line in lines)
        return [json.loads(payload) for heard, _, payload in split if heard == topic]


class Loop:
    """One site and its centre. What is started here ends with the ``with`` block."""

    def __init__(self, place: Place, ports: Ports, clock: ScaledClock, services: Processes) -> None:
        self.place, self.ports, self.clock, self.services = place, ports, clock, services
        self.broker = Broker(place.root / "broker", ports.broker)
        self.journal = JournalReader(place.edge_data / "journal.sqlite")
        self.edge_program = EDGE
        self._listeners = 0

    # --- starting --------------------------------------------------------------------------------

    def start_all(self) -> None:
        """Broker, centre, site and agent; returns once the agent has journalled something."""
        self.broker.start()
        self.start_centre()
        self.start_site()
        self.start_agent()

    def start_centre(self) -> None:
        """The centre, until it answers."""
        self.services.start("centre", CENTRAL, "serve", "--config", str(self.place.central_config))
        self.services.wait("the centre answers", lambda: self.health() is not None, PATIENCE_S)

    def start_site(self) -> None:
        """The simulated devices."""
        self.services.start(
            "site", self.edge_program, "simulate", "--series", str(self.place.series),
            "--device", f"sunspec@tcp:{self.ports.inverter}",
            "--device", f"eastron-sdm630@pty:{self.place.meter}",
            "--clock-anchor", str(self.place.anchor),
        )  # fmt: skip
        self.services.wait("the meter's line", self.place.meter.exists, PATIENCE_S)

    def start_agent(self, *, entries: int = 1) -> None:
        """The agent, until it has committed this many entries."""
        goal = self.last_seq() + entries
        self.services.start("agent", EDGE, "run", "--config", str(self.place.edge_config))
        self.services.wait("journal entries", lambda: self.last_seq() >= goal, PATIENCE_S)

    # --- asking ----------------------------------------------------------------------------------

    def edge(self, command: str, *arguments: str, check: bool = True) -> str:
        """Output of ``solar-edge COMMAND`` with the site's settings."""
        return self.services.run(
            EDGE, command, "--config", str(self.place.edge_config), *arguments, check=check
        )

    def central(self, command: str, *arguments: str, check: bool = True) -> str:
        """Output of ``solar-central COMMAND`` with the centre's settings."""
        return self.services.run(
            CENTRAL, command, *arguments, "--config", str(self.place.central_config), check=check
        )

    def status(self) -> dict[str, Any]:
        """What ``solar-edge status --json`` prints."""
        found: dict[str, Any] = json.loads(self.edge("status", "--json"))
        return found

    def wait_status(
        self, holds: Callable[[dict[str, Any]], object], what: str, timeout_s: float = PATIENCE_S
    ) -> dict[str, Any]:
        """The first status of which ``holds`` is true."""
        deadline = time.monotonic() + timeout_s
        while not holds(found := self.status()):
            self.services.check()
            assert time.monotonic() < deadline, f"{what}: {found['status']}"
        return found

    def health(self) -> dict[str, Any] | None:
        """``/health`` of the centre; None while it does not answer."""
        try:
            return dict(self.get("/health"))
        except OSError:
            return None

    def get(self, path: str) -> Any:
        """JSON of a GET request to the centre; also of an answer that says 4xx or 5xx."""
        url = f"http://127.0.0.1:{self.ports.api}{path}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)

    def last_seq(self) -> int:
        """The newest committed journal entry; 0 before the first."""
        if not self.journal.path.exists():
            return 0
        try:
            with read_only(self.journal.path) as reading:
                (last,) = reading.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()
        except sqlite3.OperationalError:  # just being made
            return 0
        return int(last)

    def grow(self, entries: int) -> None:
        """Wait until the journal has grown by this many entries."""
        goal = self.last_seq() + entries
        self.services.wait(f"{entries} more entries", lambda: self.last_seq() >= goal, PATIENCE_S)

    def copy_journal(self) -> Path:
        """A copy of the journal as it is now, as SQLite makes it."""
        copy = self.place.root / "journal-copy.sqlite"
        back_up(self.journal.path, copy)
        return copy

    def compare(self, journal: Path) -> dict[str, Any]:
        """``solar-central compare``, again until the centre holds all of ``journal``."""

        def ask() -> dict[str, Any]:
            text = self.central("compare", str(journal), "--agent", SITE, "--json", check=False)
            found: dict[str, Any] = json.loads(text)
            return found

        deadline = time.monotonic() + PATIENCE_S
        while not (found := ask())["complete"] and time.monotonic() < deadline:
            pass
        return found

    def retained(self, topic: str) -> Any:
        """What a newcomer with ``mosquitto_sub`` finds on ``topic``."""
        done = subprocess.run(
            [
                "mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.ports.broker),
                "-t", topic, "-C", "1", "-W", "20",
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"nothing on {topic}: {done.stderr}"
        return json.loads(done.stdout)

    def trust_centre(self) -> None:
        """Give the box the centre's trust root, as at installation."""
        shutil.copy(self.central("trust-root").strip(), self.place.edge_data / "root.json")

    def listen(self, *topics: str) -> Listener:
        """Collect what is published from now on (and what is retained)."""
        filters = [word for topic in topics for word in ("-t", topic)]
        self._listeners += 1
        name = f"listener-{self._listeners}"
        command = (
            "mosquitto_sub",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.ports.broker),
            "-q",
            "1",
            *filters,
        )
        self.services.start(name, *command, "-F", "%t %p")
        return Listener(self.place.logs / f"{name}.log")

    def release(self, bundle: Path) -> dict[str, Any]:
        """``solar-central release`` of a bundle directory to the whole fleet."""
        report: dict[str, Any] = json.loads(
            self.central("release", "--bundle", str(bundle), "--ring", "fleet", "--json")
        )
        return report

    def log(self, name: str) -> str:
        """What a service has said so far."""
        return (self.place.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace")


@contextmanager
def open_loop(directory: Path, weather: Weather, *, speed: float = SPEED) -> Iterator[Loop]:
    """A loop in ``directory`` with written settings and nothing started yet."""
    place = Place(directory.resolve())
    for made in (place.logs, place.edge_data, place.central_data):
        made.mkdir(parents=True)
    place.series.symlink_to(weather.series)
    ports = Ports.free()
    write_settings(place, ports, weather.summary, embedded_broker=False)
    change(place.edge_config, ("status_every_s = 1.0", "status_every_s = 0.2"))
    clock = ScaledClock(set_clock(place, weather.begin, speed))
    with Processes(
        place.logs, os.environ | {"PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    ) as services:
        loop = Loop(place, ports, clock, services)
        try:
            yield loop
        finally:
            # The broker is ended last: until then the others can say goodbye.
            for name in services.names():
                services.stop(name)
            loop.broker.stop()


def change(file: Path, *replacements: tuple[str, str]) -> None:
    """Edit a settings file; each old text must be there."""
    text = file.read_text(encoding="utf-8")
    for old, new in replacements:
        assert old in text, f"{file} does not contain {old!r}"
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")


def left_behind(directory: Path) -> list[str]:
    """Command lines of processes that have ``directory`` in theirs or in their environment."""
    found = []
    needle = str(directory).encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            if int(process.name) != os.getpid() and needle in command + (
                (process / "environ").read_bytes()
            ):
                found.append(f"{process.name} {command.replace(bytes(1), b' ').decode()}")
        except OSError:  # ended meanwhile, or somebody else's
            continue
    return found
