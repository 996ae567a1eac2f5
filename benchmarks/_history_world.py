"""One schedule lived through: agent, broker and centre as processes, two bad lines, small disks.

Decides what runs where, and in which order things begin, are healed and end. Which faults come when
is ``_history_faults``', what each does is ``_history_deeds``', what then must be true is
``_history_checks``'.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from central.broker import Broker, BrokerError, free_port
from edge_agent.journal.reader import JournalReader
from edge_agent.journal.seq_ranges import SeqRanges
from models.contract.messages import SeqRange
from tests.tcp_proxy import TcpProxy

from ._history_clock import Control
from ._history_deeds import begin, end
from ._history_disk import SmallDisk
from ._history_faults import AGENT, BROKER, CENTRE, Kind, Schedule
from ._history_programs import (
    Service,
    agent_command,
    centre_command,
    peak_rss_kb,
    site_command,
    spawn,
    whole_agent_command,
    write_central_settings,
    write_site_settings,
)
from ._history_witness import Witness

_BEGIN_S = 90.0
DRAIN_S = 120.0
"""After the last fault everything has to be delivered within this."""
_TICK_S = 0.01
_SETTLE_S = 3.0
"""A full disk excuses an end so long after it was freed."""


class NotInTimeError(RuntimeError):
    """Something that had to come did not."""


class World:
    """Everything of one schedule. What is started here ends with the ``with`` block."""

    def __init__(
        self,
        schedule: Schedule,
        directory: Path,
        *,
        broken: bool = False,
        after_centre_kill: Callable[[World], object] = lambda _: None,
    ) -> None:
        """``after_centre_kill`` is called before the centre is started again."""
        self.schedule, self.directory, self._broken = schedule, directory, broken
        self._after_centre_kill = after_centre_kill
        self.witness = Witness()
        self.lives = 0
        self.broker_rss_kb = 0
        self.flaws: list[str] = []
        self.jumped_lives: set[int] = set()
        """Lives of the agent during which a wrong clock was believed."""
        self.late_epoch = ""
        """What the whole agent has committed in its last life need not be delivered."""
        self._broker_held = 0
        self._full_until = dict.fromkeys((AGENT, CENTRE), 0.0)
        self._stack = ExitStack()
        directory.mkdir(parents=True)
        self.data = {name: directory / f"{name}-data" for name in (AGENT, CENTRE)}
        self.control = Control(directory / "control")
        self.disks: dict[str, SmallDisk] = {}

    @property
    def journal(self) -> Path:
        """The agent's journal file."""
        return self.data[AGENT] / "journal.sqlite"

    @property
    def store(self) -> Path:
        """The centre's database file."""
        return self.data[CENTRE] / "central.sqlite"

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _open(self) -> None:
        self._stack.callback(self.control.close)
        wanted = {fault.kind for fault in self.schedule.faults}
        for name, kind in ((AGENT, Kind.DISK_AGENT), (CENTRE, Kind.DISK_CENTRE)):
            self.data[name].mkdir()
            if kind in wanted:
                self.disks[name] = SmallDisk(self.data[name], self.schedule.disk)
                self._stack.callback(self.disks[name].close)
        self.broker = Broker(self.directory / "broker")
        self.broker.start()
        self._stack.callback(self.broker.stop)
        self.lines = {
            name: self._stack.enter_context(TcpProxy(self.broker.port, seed=self.schedule.seed))
            for name in (AGENT, CENTRE)
        }
        self._central_settings = self.directory / "central.toml"
        write_central_settings(self._central_settings, self.data[CENTRE], self.lines[CENTRE].port)
        self._device_ports = (free_port(), free_port())
        self._site_settings = self.directory / "site.toml"
        write_site_settings(
            self._site_settings, self.data[AGENT], self.lines[AGENT].port, self._device_ports
        )
        self.centre = self._service(CENTRE, self._start_centre)
        self.agent = self._service(AGENT, self._start_agent, self._after_agent)
        self.site = self._service("site", self._start_site)
        self.site.held = not self.schedule.whole_agent
        self._services = {AGENT: self.agent, CENTRE: self.centre}

    def _service(
        self,
        name: str,
        start: Callable[[], subprocess.Popen[bytes]],
        after_end: Callable[[], object] = lambda: None,
    ) -> Service:
        def excused() -> bool:
            return time.monotonic() < self._full_until.get(name, 0.0)

        service = Service(name, start, after_end, excused)
        self._stack.callback(service.kill)
        return service

    def log(self, name: str) -> Path:
        """What a program has said."""
        return self.directory / f"{name}.log"

    def _start_centre(self) -> subprocess.Popen[bytes]:
        command = centre_command(self._central_settings, broken=self._broken)
        return spawn(self.log(CENTRE), command)

    def _start_site(self) -> subprocess.Popen[bytes]:
        return spawn(self.log("site"), site_command(self._site_settings, self._device_ports))

    def _start_agent(self) -> subprocess.Popen[bytes]:
        self.lives += 1
        if self.schedule.whole_agent:
            return spawn(self.log(AGENT), whole_agent_command(self._site_settings))
        told, tell = os.pipe()
        try:
            command = agent_command(
                self.schedule, self.directory, self.data[AGENT], self.lines[AGENT].port,
                self.lives, tell,
            )  # fmt: skip
            process = spawn(self.log(AGENT), command, keep=(tell,))
        finally:
            os.close(tell)
        self.witness.listen(told, self.lives)
        return process

    def _after_agent(self) -> None:
        """Learn from its file what it had no time to tell."""
        self.witness.end_of_life()
        copy = copy_database(self.journal, self.directory / "journal-copy")
        if copy is not None:
            self.witness.read_file(copy)

    # --- living ----------------------------------------------------------------------------------

    def live(self) -> float:
        """From the first delivery through all faults until everything is delivered. Returns how
        many seconds that took after the last fault.

        Raises ``NotInTimeError``.
        """
        self.wait(self._flowing, _BEGIN_S, "the first delivery")
        began = time.monotonic()
        events = [(fault.at, begin, fault) for fault in self.schedule.faults]
        events += [(fault.at + fault.for_s, end, fault) for fault in self.schedule.faults]
        for at, act, fault in sorted(events, key=lambda event: event[0]):
            self._until(began + at)
            act(self, fault)
        self._until(began + self.schedule.run_s)
        for line in self.lines.values():
            line.heal(reset_dead=self.schedule.heal_resets)
        healed = time.monotonic()
        self._deliver()
        return time.monotonic() - healed

    def _flowing(self) -> bool:
        if self.schedule.whole_agent:
            return self.journal.exists() and bool(self._acknowledged_in_file())
        return self.witness.acknowledgements > 0

    def _deliver(self) -> None:
        """Everything that was committed reaches the centre; then all end in good order."""
        if self.schedule.whole_agent:
            self.site.end()
            self.agent.end()  # commits what it had read; the next life delivers that
            committed = {seq for _, seq in self.witness.committed}
            self.agent.held = 0
            self.wait(lambda: self._all_acknowledged(committed), DRAIN_S, "all acknowledged")
            self.agent.end()
            self.late_epoch = self.witness.epochs[-1]
        else:
            self.control.set_stop()
            self.wait(lambda: bool(self.witness.state.get("delivered")), DRAIN_S, "all delivered")
            self.agent.end()
        self.centre.end()

    def _all_acknowledged(self, seqs: set[int]) -> bool:
        done = SeqRanges(self._acknowledged_in_file())
        return all(seq in done for seq in seqs)

    def _acknowledged_in_file(self) -> list[SeqRange]:
        try:
            return JournalReader(self.journal).acknowledged()
        except sqlite3.Error:  # just being made
            return []

    def wait(self, holds: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Keep everything running until ``holds``. Raises ``NotInTimeError``."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline:
                raise NotInTimeError(f"{what}: not within {timeout_s:g} s ({self.witness.state})")
            self._until(time.monotonic() + 5 * _TICK_S)

    def _until(self, moment: float) -> None:
        while True:
            self._tick()
            if (left := moment - time.monotonic()) <= 0:
                return
            time.sleep(min(left, _TICK_S))

    def _tick(self) -> None:
        for name, until in self._full_until.items():
            if until == float("inf") and self.schedule.greedy:
                self.disks[name].fill()
        if self.broker.running:
            self.broker_rss_kb = max(self.broker_rss_kb, peak_rss_kb(self.broker.pid))
        elif not self._broker_held:
            try:
                self.broker.start()
            except BrokerError as error:
                self.flaws.append(f"broker: {error}")
                raise NotInTimeError("the broker does not start") from error
        for service in (self.centre, self.agent, self.site):
            service.tick()

    # --- what faults are made of -----------------------------------------------------------------

    def kill(self, name: str) -> None:
        """kill -9, and hold it down."""
        self._hold(name, 1)
        if name == BROKER:
            self.broker.kill()
            return
        self._services[name].kill()
        if name == CENTRE:
            self._after_centre_kill(self)

    def stop(self, name: str) -> None:
        """End it in good order, and hold it down."""
        self._hold(name, 1)
        if name == BROKER:
            self.signal(BROKER, signal.SIGCONT)
            self.broker.stop()
        else:
            self._services[name].terminate()

    def release(self, name: str) -> None:
        """What was held down may start again."""
        self._hold(name, -1)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to it, if it runs."""
        if name != BROKER:
            self._services[name].signal(number)
        elif self.broker.running:
            os.kill(self.broker.pid, number)

    def set_clock(self, shift_ms: int, *, believed: bool) -> None:
        """The agent's wall clock is this much off from now on, and whether somebody vouches."""
        self.control.set_clock(shift_ms, adrift=bool(shift_ms) and not believed)
        if believed:
            self.jumped_lives.add(self.lives)

    def fill_disk(self, name: str) -> None:
        """Nothing more can be written there."""
        self._full_until[name] = float("inf")
        self.disks[name].fill()

    def free_disk(self, name: str) -> None:
        """There is room again."""
        self.disks[name].free()
        self._full_until[name] = time.monotonic() + _SETTLE_S

    def _hold(self, name: str, count: int) -> None:
        if name == BROKER:
            self._broker_held += count
        else:
            self._services[name].held += count


def copy_database(file: Path, directory: Path) -> Path | None:
    """A copy of a database that nobody has open, with what is still in its log; None: none."""
    if not file.exists():
        return None
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    for part in (file, file.with_name(file.name + "-wal")):
        if part.exists():
            shutil.copy(part, directory)
    return directory / file.name
