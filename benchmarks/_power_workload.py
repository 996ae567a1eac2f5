"""The process whose power is cut: the agent's journal and state store on a card, used hard.

Appends, alerts, acknowledges, voids, rewinds, puts and upserts at random, on the real classes, and
says what it does and what it was promised over a socket: its witnesses, which no power cut can take
back. What they mean stands in ``_power_witnesses``. Run by ``power_cuts``.
"""

from __future__ import annotations

import argparse
import logging
import random
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks._power_instruments import Witness, digest, weaken
from edge_agent.forecasting.interval_store import IntervalStore
from edge_agent.journal.journal import Journal, JournalSettings
from edge_agent.journal.reader import StoredEntry
from edge_agent.journal.seq_ranges import SeqRanges
from edge_agent.storage.state_store import StateDatabase, StateStore
from models.contract.clock import Anchor, ScaledClock
from models.contract.messages import Alert, Kind, SeqRange, Severity, Void
from models.contract.payload import alert_to_json, canonical, record_to_json
from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import MINUTE_MS, STEP_MS
from models.features.intervals import Interval

DEVICES = 4
TICK_S = 0.02
STATE_KEYS = 6
SITE = "site"
WINDOW_S = 0.2
MAX_BYTES = 1_000_000
SPEED = 600.0
"""Domain seconds in a second: minutes and quarter-hours, to be thinned to, pass in seconds."""


class Workload:
    """What the agent's parts would do in a day, in a minute."""

    def __init__(
        self, directory: Path, witness: Witness, chance: random.Random, rate: float, storms: bool
    ) -> None:
        self.clock = ScaledClock(Anchor.read(directory.parent / "anchor.json"))
        self.witness, self.chance, self.per_tick = witness, chance, rate * TICK_S
        self.journal = open_journal(directory, self.clock)
        self.journal.on_commit(self._learn)
        self.journal.on_commit(witness.committed)
        self._database = StateDatabase(directory / "state.sqlite")
        self.state = StateStore(self._database, self.clock)
        self.intervals = IntervalStore(self._database)
        witness.say(["open", self.journal.epoch, self.journal.first_seq])
        reader, last = self.journal.reader, self.journal.last_seq
        firsts = [(row.first_seq, row.epoch) for row in reader.epochs()]
        ends = [first - 1 for first, _ in firsts[1:]] + [2**62]
        self._epochs = [(first, end, name) for (first, name), end in zip(firsts, ends, strict=True)]
        acknowledged = SeqRanges(reader.acknowledged())
        self._lock = threading.Lock()
        self._open = SeqRanges(acknowledged.gaps(self._epochs[0][0], last))
        self._latest = [0] * DEVICES
        self._counts = dict.fromkeys((f"key-{n}" for n in range(STATE_KEYS)), 0)
        for key in self._counts:
            self._counts[key] = int(self.state.get(key, {"n": 0})["n"])
        self._upserts = 0
        self._linked, self._link_changes, self._storm = True, 0.0, False
        self._storms = storms
        self._debt = 0.0

    def _learn(self, stored: tuple[StoredEntry, ...]) -> None:
        with self._lock:
            self._open.add(stored[0].seq, stored[-1].seq)

    def close(self) -> None:
        """End in order."""
        self.journal.close()
        self._database.close()

    def tick(self) -> None:
        """About 20 ms of work, in a storm as many durable writes as fit into it."""
        end = time.monotonic() + TICK_S
        while self._storm and time.monotonic() < end:
            if self._linked and self.chance.random() < 0.4:
                self._alert()
            else:  # alerts are never given up: too many, and the file stays full
                self._record()
                self._flush()
            self._put()
        self._debt += self.per_tick
        while self._debt >= 1:
            self._debt -= 1
            if self.chance.random() < 0.2:
                self._forecast()
            else:
                self._record()
        roll = self.chance.random
        if roll() < 0.06:
            self._alert()
        if roll() < 0.15:
            self._put()
        if roll() < 0.03:
            self._upsert()
        if self._linked and roll() < 0.3:
            self._acknowledge()
        if roll() < 0.01:
            self._void()
        if roll() < 0.006:
            self._rewind()
        if roll() < 0.02:
            self._flush()
        if self.witness.failing:  # nothing can be given up any more: only acknowledgements help
            self._linked = True
        if time.monotonic() > self._link_changes:
            self._linked = not self._linked
            self._link_changes = time.monotonic() + self.chance.uniform(0.3, 12.0)
        if roll() < 0.03:
            self._storm = self._storms and roll() < 0.3

    def _time(self, number: int) -> int:
        """Now, but later than the device's last time: device and time name an entry."""
        at = max(self.clock.now(), self._latest[number] + 1)
        at += at % MINUTE_MS == 0  # there stands what records were thinned to
        self._latest[number] = at
        return at

    def _record(self) -> None:
        number = self.chance.randrange(DEVICES)
        at, value = self._time(number), self.chance.uniform
        readings = {
            "ac_power": Reading(round(value(0, 9000), 1)),
            "ac_energy": Reading(float(at // 1000)),
            "dc_voltage": Reading(round(value(300, 700), 1)),
            "frequency": Reading(round(value(49.9, 50.1), 2)),
            "temp_cell": Reading(round(value(-10, 70), 1)),
        }
        if self.chance.random() < 0.02:
            readings["temp_cell"] = Reading(None, Quality.MISSING)
        device = f"unit-{number}"
        body = record_to_json(Record(device, at, readings))
        self._append(Kind.RECORD, device, at, body)

    def _forecast(self) -> None:
        """Large beside a record, so that the file is full before it is long to read."""
        number = self.chance.randrange(DEVICES)
        at, device = self._time(number), f"unit-{number}"
        text = self.chance.randbytes(self.chance.randrange(200, 900)).hex()
        self._append(Kind.FORECAST, device, at, {"v": 1, "issued_at": at, "steps": text})

    def _alert(self) -> None:
        number = self.chance.randrange(DEVICES)
        at, device = self._time(number), f"unit-{number}"
        text = f"test alert {self.chance.randrange(10**6)}"
        alert = Alert(device, at, "power-cut-test", Severity.WARNING, text)
        self._append(Kind.ALERT, device, at, alert_to_json(alert))

    def _append(self, kind: Kind, device: str, at: int, body: dict[str, Any]) -> None:
        mark = digest(kind.value, canonical(body))
        self.witness.say(["append", time.monotonic(), kind.value, device, at, mark])
        if not self.journal.append(kind, device, at, body):
            self.witness.say(["refused", device, at])

    def _put(self) -> None:
        key = self.chance.choice(list(self._counts))
        self._counts[key] += 1
        n = self._counts[key]
        self.witness.say(["putting", key, n])
        self.state.put(key, {"n": n, "pad": "x" * self.chance.randrange(400)})
        self.witness.say(["put", key, n])

    def _upsert(self) -> None:
        # From the clock, so that a later start of this process never writes a smaller one.
        self._upserts = max(self._upserts + 1, int(time.monotonic() * 1000))
        start = self.clock.now() // STEP_MS * STEP_MS
        rows = [Interval(start, SITE, f"q{n}", float(self._upserts), n + 1) for n in range(4)]
        self.witness.say(["upserting", start, self._upserts])
        self.intervals.upsert(rows)
        self.witness.say(["upserted", start, self._upserts])

    def _acknowledge(self) -> None:
        """A run from the oldest, as backlog is answered, or one from anywhere, as live traffic."""
        with self._lock:
            runs = list(self._open)
        if not runs:
            return
        first, last = runs[0] if self.chance.random() < 0.7 else self.chance.choice(runs)
        if self.chance.random() < 0.3:
            first = self.chance.randint(first, last)
        last = min(last, first + self.chance.randrange(150))
        for low, high, epoch in self._epochs:
            part = max(first, low), min(last, high)
            if part[0] > part[1]:
                continue
            through = part[1] if self.chance.random() < 0.05 else 0
            part = (low, part[1]) if through else part
            self.witness.say(["acknowledging", *part])
            self.journal.acknowledge(epoch, [part], through)
            with self._lock:
                self._open.remove(*part)

    def _void(self) -> None:
        with self._lock:
            runs = list(self._open)
        if not runs:
            return
        first, last = self.chance.choice(runs)
        last = min(last, first + self.chance.randrange(5))
        self.witness.say(["voiding", first, last])
        self.journal.declare_void(Void(first, last, "declared by the power cut test"))

    def _rewind(self) -> None:
        since = self.clock.now() - int(self.chance.uniform(1, 8) * SPEED * 1000)
        self.witness.say(["rewinding"])
        self.journal.rewind(since)
        if self._flush():
            held: list[SeqRange] = self.journal.reader.seqs_since(since)
            with self._lock:
                self._open.update(held)
            self.witness.say(["rewound", held])

    def _flush(self) -> bool:
        done = self.journal.flush(5.0)
        if done:
            self.witness.say(["flushed"])
        return done


def open_journal(directory: Path, clock: ScaledClock) -> Journal:
    """The journal of a card, with a short commit window and little room."""
    settings = JournalSettings(commit_window_s=WINDOW_S, max_bytes=MAX_BYTES)
    return Journal(directory / "journal.sqlite", settings, clock, alone=True)


def main() -> None:
    """Run until killed, or only start and end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--witness", type=int, required=True, help="descriptor of a socket")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--rate", type=float, default=200.0, help="records in a second")
    parser.add_argument("--no-storms", action="store_true")
    parser.add_argument("--synchronous", choices=("full", "normal", "off"), default="full")
    parser.add_argument("--only-start", action="store_true")
    arguments = parser.parse_args()
    if arguments.synchronous != "full":
        weaken(arguments.synchronous)
    logging.disable()  # of a full file it would tell at every try
    witness, chance = Witness(arguments.witness), random.Random(arguments.seed)
    witness.watch_writes()
    storms = not arguments.no_storms
    work = Workload(arguments.directory, witness, chance, arguments.rate, storms)
    if arguments.only_start:
        work.close()
        return
    due = time.monotonic()
    while True:
        work.tick()
        due = max(due + TICK_S, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
        witness.say(["woke", time.monotonic() - due])


if __name__ == "__main__":
    main()
