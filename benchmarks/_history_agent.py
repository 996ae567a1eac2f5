"""The agent of a schedule: the real journal and uplink in a process of its own, without devices.

python -m benchmarks._history_agent SETTINGS.json WITNESS: appends records, alerts and forecasts
until it is told to stop, delivers all, and goes on saying so until SIGTERM. Whatever is committed
and whatever acknowledgement comes is told at once on the pipe WITNESS, whose other end does not die
with this process.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks._history_clock import Control, SetClock
from edge_agent.clock.settings import ClockSettings
from edge_agent.clock.watch import ClockWatch
from edge_agent.journal.journal import Journal, JournalSettings
from edge_agent.journal.reader import StoredEntry
from edge_agent.uplink.mqtt_client import MqttSettings
from edge_agent.uplink.reconnect import ReconnectSettings
from edge_agent.uplink.uplink import Uplink, UplinkSettings
from models.contract.fields import Json
from models.contract.forecast import LEVELS, Forecast, ForecastSeries
from models.contract.messages import Alert, Kind, SeqRange, Severity, Status
from models.contract.payload import alert_to_json, forecast_to_json
from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import Instant, floor_to_step, parse_iso8601

AGENT = "history-box"
LIFE_SPAN = 1_000_000
"""Records of one life of the agent at most; ``ac_energy`` of a record is its number over all."""
STEP_S = 0.02
KEEP_FREE_BYTES = 5_000_000
"""More than the journal's own reserve, as by default: giving that up is no room to grow."""
_ALERT_SHARE, _FORECAST_SHARE = 0.01, 0.03
_GOODBYE_S = 3.0
_NOT_BEFORE = parse_iso8601("2024-01-01T00:00:00Z")


@dataclass(frozen=True)
class AgentSettings:
    """What the process is told."""

    directory: str
    control: str
    port: int
    seed: int
    life: int
    devices: int
    commit_window_s: float
    batch_entries: int


class Witness:
    """Lines of JSON to the schedule, from any thread, never mixed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._lock = descriptor, threading.Lock()

    def tell(self, what: str, *values: object) -> None:
        line = json.dumps([what, *values]).encode() + b"\n"
        with self._lock:
            while line:
                line = line[os.write(self._descriptor, line) :]

    def committed(self, entries: Sequence[StoredEntry]) -> None:
        """Called by the journal after its commit."""
        self.tell("committed", [told(one) for one in entries])


def told(stored: StoredEntry) -> tuple[object, ...]:
    """What the witness hears of an entry."""
    entry = stored.entry
    return (
        entry.key.epoch, stored.seq, entry.kind.value, stored.device, stored.measured_at,
        entry.digest.hex(), stored.waits,
    )  # fmt: skip


class WitnessedJournal(Journal):
    """The journal, which tells of every acknowledgement before it acts on it."""

    witness: Witness

    def tell_corrected(self, ranges: Sequence[SeqRange]) -> None:
        """Entries have got their true time, and so another content, before they were ever sent."""
        found = [one for first, last in ranges for one in self.reader.entries(first, last)]
        self.witness.tell("corrected", [told(one) for one in found])

    def acknowledge(self, epoch: str, ranges: Sequence[SeqRange], through: int = 0) -> int:
        self.witness.tell("acknowledged", epoch, list(ranges), through)
        return super().acknowledge(epoch, ranges, through)


class Measuring:
    """Appends what is known beforehand: every entry differs from every other of all lives."""

    def __init__(self, settings: AgentSettings, journal: Journal, clock: SetClock) -> None:
        self._journal, self._clock = journal, clock
        self._devices = [f"device-{number}" for number in range(settings.devices)]
        self._dice = random.Random(f"{settings.seed} {settings.life}")
        self._number = settings.life * LIFE_SPAN
        self._under_way: list[Record] = []
        self.refused = 0

    def step(self) -> None:
        """One record of each device, and now and then something else.

        Like a poll, a record has its time some moments before it is appended.
        """
        for record in self._under_way:
            self.refused += not self._journal.append_record(record)
        self._under_way = []
        for device in self._devices:
            now = self._clock.now()
            self._number += 1
            readings = {
                "ac_power": Reading(round(self._dice.uniform(0, 5000), 1)),
                "ac_energy": Reading(float(self._number)),
                "frequency": Reading(None, Quality.MISSING),
            }
            self._under_way.append(Record(device, now, readings))
            if self._dice.random() < _ALERT_SHARE:
                text = f"alert beside record {self._number}"
                alert = Alert(device, now, "no-answer", Severity.WARNING, text)
                self._append(Kind.ALERT, device, now, alert_to_json(alert))
        if self._dice.random() < _FORECAST_SHARE:
            self._append(Kind.FORECAST, AGENT, (now := self._clock.now()), self._forecast(now))

    def _forecast(self, now: Instant) -> Mapping[str, Json]:
        base = float(self._number)
        rows = tuple(tuple(base + 10 * level + k for k in range(24)) for level in LEVELS)
        series = {"ac_power": ForecastSeries("history", rows)}
        return forecast_to_json(Forecast(AGENT, now, floor_to_step(now), series))

    def _append(self, kind: Kind, device: str, at: Instant, body: Mapping[str, Json]) -> None:
        self.refused += not self._journal.append(kind, device, at, body)


async def run(settings: AgentSettings, witness: Witness) -> None:
    """Live until SIGTERM."""
    control = Control(Path(settings.control))
    clock = SetClock(control)
    watch = ClockWatch(
        clock,
        ClockSettings(settle_s=0.2),
        synchronised=lambda: not control.adrift,
        not_before=_NOT_BEFORE,
    )
    WitnessedJournal.witness = witness
    journal = WitnessedJournal(
        Path(settings.directory) / "journal.sqlite",
        JournalSettings(commit_window_s=settings.commit_window_s, keep_free_bytes=KEEP_FREE_BYTES),
        clock,
        watch.look,
    )
    journal.on_commit(witness.committed)
    journal.on_corrected(journal.tell_corrected)
    witness.tell("begun", journal.epoch, journal.first_seq)
    uplink = _uplink(settings, journal, clock)
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    sending = asyncio.create_task(uplink.run())
    measuring = Measuring(settings, journal, clock)
    try:
        while not ending.is_set():
            if sending.done():
                sending.result()
            if not control.stop:
                measuring.step()
            journal.note_clock()
            _report(witness, journal, uplink, measuring, stopped=control.stop)
            with suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), STEP_S)
        await asyncio.to_thread(journal.flush, _GOODBYE_S)
    finally:
        uplink.close()
        await sending
        await asyncio.to_thread(journal.close, _GOODBYE_S)
        _report(witness, journal, uplink, measuring, stopped=control.stop)


def _report(
    witness: Witness, journal: Journal, uplink: Uplink, measuring: Measuring, *, stopped: bool
) -> None:
    counts = journal.counts()
    # First what waits for its commit, then what was committed: nothing can hide between them.
    waiting, pending = counts["journal_queued"], journal.pending_count()
    sent = uplink.counters["uplink_live"] + uplink.counters["uplink_batch_entries"]
    told = {
        "delivered": stopped and not waiting and not pending,
        "pending": pending,
        "waiting": waiting,
        "held": counts["journal_held"],
        "thinned": counts["journal_thinned"],
        "void": counts["journal_void"],
        "write_errors": counts["journal_write_errors"],
        "sent": sent,
        "refused": measuring.refused,
        "errors": uplink.counters["uplink_errors"],
        "quarantined": uplink.counters["uplink_quarantined"],
    }
    witness.tell("state", told)


def _uplink(settings: AgentSettings, journal: Journal, clock: SetClock) -> Uplink:
    def status(online: bool) -> Status:
        counters = journal.counts()
        return Status(
            AGENT, clock.now(), online, "0", journal.epoch, journal.first_seq, counters=counters
        )

    return Uplink(
        AGENT,
        journal,
        MqttSettings("127.0.0.1", settings.port, keepalive_s=5, connect_timeout_s=1.0),
        UplinkSettings(
            ack_timeout_s=1.0,
            batch_entries=settings.batch_entries,
            retry=ReconnectSettings(0.05, 0.3, 5.0),
        ),
        status=status,
        reconnect=ReconnectSettings(first_s=0.05, longest_s=0.5, stable_s=5.0),
    )


def write_settings(file: Path, settings: AgentSettings) -> None:
    """For :func:`main` to read."""
    file.write_text(json.dumps(asdict(settings)), encoding="utf-8")


def main() -> None:
    """Read the settings and run."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    settings = AgentSettings(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    asyncio.run(run(settings, Witness(int(sys.argv[2]))))


if __name__ == "__main__":
    main()
