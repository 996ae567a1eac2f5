"""When the power is cut: behind which call, at which instant, and on which card work goes on.

What a copy must hold is judged by ``_power_recovery``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks._power_card import Card
from benchmarks._power_old_card import write_old_card
from benchmarks._power_process import Running, Stop
from benchmarks._power_recovery import Recovery, Tally
from benchmarks._power_witnesses import Witnesses
from benchmarks._power_workload import MAX_BYTES, SPEED
from models.contract.clock import Anchor, ScaledClock

_GO_ON_FROM_COPY = 0.06
"""Share of cuts after which the copy is the card."""
_CALLS_BETWEEN = 60
_LONGEST_WAIT_S = 0.15
_FULL = 0.65
"""A card is used when the journal has this share of its largest size; some is its reserve."""
_FILLING_S = 60.0
_FAST = ("--rate", "1500", "--no-storms")
CALL_BY_CALL = ("start_empty", "start_old_schema", "start_used", "commit", "checkpoint")
"""What is gone through with a cut behind each call."""
_Tick = Callable[[], None]


class Cutter:
    """Runs the workload on a card and cuts."""

    def __init__(
        self, card: Card, directory: Path, tally: Tally, chance: random.Random, synchronous: str
    ) -> None:
        self._card, self._tally, self._chance = card, tally, chance
        self._synchronous = synchronous
        self._copy = directory / "copy.img"
        self._used = directory / "used.img"
        anchor = Anchor(time.time(), int(time.time() * 1000), SPEED)
        anchor.write(directory / "anchor.json")
        self._recovery = Recovery(directory / "copy", ScaledClock(anchor), tally)
        self._keys: dict[tuple[str, int], str] = {}
        self._told = Witnesses(self._keys)
        self._commits = 0
        self._seen: tuple[int, int, Witnesses] | None = None
        self.adopted = 0

    @property
    def commits(self) -> int:
        """Entries whose commit was witnessed."""
        return self._commits + self._told.commits

    # --- call by call ----------------------------------------------------------------------------

    def enumerate(self, phase: str, every: int, tick: _Tick) -> None:
        """Cut behind each ``every``-th call of ``phase``."""
        if phase == "start_used":
            self._use(self._used)
        if phase in ("start_empty", "start_old_schema"):
            self._new_account()
            self._card.insert()
            if phase == "start_old_schema":
                write_old_card(self._card.place, self._told)
        elif phase == "start_used":
            self._card.insert(self._used)
        if phase.startswith("start"):
            with self._life("--only-start", traced=True) as running:
                for number, stop in enumerate(running.stops()):
                    if number % every == 0:
                        self._cut(running, phase, stop)
                        tick()
                    self._resume(running, stop)
                if running.wait() != 0:
                    self._tally.blame("not_opened", f"{phase}: the start failed")
        elif phase == "commit":
            self._commits_call_by_call(every, tick)
        else:
            self._checkpoint_call_by_call(every, tick)

    def _commits_call_by_call(self, every: int, tick: _Tick) -> None:
        """From one commit of the journal to the fourth behind it."""
        with self._life(traced=True) as running:
            heard, changes, number = 0, 0, 0
            for stop in running.stops():
                self._told.drain(running.witness)
                if self._told.commits != heard:
                    heard, changes = self._told.commits, changes + 1
                if changes > 4:
                    return
                if changes:
                    number += 1
                    if number % every == 0:
                        self._cut(running, "commit", stop)
                        tick()
                self._resume(running, stop)

    def _checkpoint_call_by_call(self, every: int, tick: _Tick) -> None:
        """From the first page that is folded back into the file to the next one logged."""
        with self._life(traced=True) as running:
            number = 0
            for stop in running.stops():
                if stop.file == "journal.sqlite":
                    number += 1
                    if number % every == 0:
                        self._cut(running, "checkpoint", stop)
                        tick()
                elif number and stop.file == "journal.sqlite-wal" and stop.call == "pwrite64":
                    return
                self._resume(running, stop)

    # --- at random -------------------------------------------------------------------------------

    def at_calls(self, cuts: int, tick: _Tick) -> None:
        """Cut behind calls that the seed chooses."""
        self._use_if_new()
        done = 0
        while done < cuts:
            with self._life(traced=True) as running:
                left = self._chance.randint(1, _CALLS_BETWEEN)
                for stop in running.stops():
                    left -= 1
                    if left <= 0:
                        done += 1
                        adopt = self._chance.random() < _GO_ON_FROM_COPY
                        adopted = self._cut(running, "call", stop, adopt=adopt)
                        tick()
                        if adopted or done >= cuts:
                            break
                        left = self._chance.randint(1, _CALLS_BETWEEN)
                    self._told.drain(running.witness)
                    self._resume(running, stop)
                self._check_alive(running)

    def at_instants(self, cuts: int, tick: _Tick) -> None:
        """Cut while the workload runs, whatever it and the kernel are doing."""
        self._use_if_new()
        done = 0
        while done < cuts:
            with self._life(traced=False) as running:
                while done < cuts:
                    until = time.monotonic() + self._chance.uniform(0, _LONGEST_WAIT_S)
                    while (left := until - time.monotonic()) > 0:
                        running.wait_for_word()
                        self._told.drain(running.witness)
                        time.sleep(min(left, 0.005))
                    done += 1
                    adopt = self._chance.random() < _GO_ON_FROM_COPY
                    adopted = self._cut(running, "instant", None, adopt=adopt)
                    tick()
                    if adopted:
                        break
                    self._check_alive(running)

    # --- one cut ---------------------------------------------------------------------------------

    def _cut(self, running: Running, kind: str, stop: Stop | None, *, adopt: bool = False) -> bool:
        """Cut and recover; whether the card is now the copy."""
        told, begin = self._told, time.monotonic()
        frozen = self._card.cut(self._copy, lambda: told.drain(running.witness))
        if stop is None:  # else the whole stop is counted when it ends
            told.pauses.add(begin, time.monotonic())
        self._tally.cuts[kind] += 1
        known, self._seen = self._seen, (self._card.written_at, told.heard, told)
        if kind in CALL_BY_CALL and known == self._seen:
            self._tally.unchanged += 1
            return False
        label = f"{kind} {stop.call} {stop.file}" if stop else kind
        if adopt:
            running.kill()
        found = self._recovery.check(self._copy, told, stop.at if stop else frozen, label)
        if adopt and found is not None:
            self._card.insert(self._copy)
            told.adopt(found)
            self.adopted += 1
        return adopt

    def _resume(self, running: Running, stop: Stop) -> None:
        self._told.pauses.add(stop.at, time.monotonic())
        running.resume(stop)

    @contextmanager
    def _life(self, *more: str, traced: bool) -> Iterator[Running]:
        """The workload on the card as it is; ended by kill -9, unless a cut has ended it."""
        arguments = ["--seed", str(self._chance.randrange(2**32))]
        arguments += ["--synchronous", self._synchronous, *more]
        adopted = self.adopted
        with Running(self._card.place, arguments, traced=traced) as running:
            yield running
            running.kill()
            if self.adopted == adopted:  # else what it said after the cut never was
                self._told.drain(running.witness)
                self._told.forget_process()

    def _use_if_new(self) -> None:
        if not self._told.entries:
            self._use(None)

    def _use(self, keep: Path | None) -> None:
        """A card that has been worked on for a while, the workload ended by kill -9."""
        self._new_account()
        self._card.insert()
        with self._life(*_FAST, traced=False) as running:
            journal, begin = self._card.place / "journal.sqlite", time.monotonic()
            while not journal.exists() or journal.stat().st_size < _FULL * MAX_BYTES:
                running.wait_for_word()
                self._told.drain(running.witness)
                self._check_alive(running)
                if time.monotonic() > begin + _FILLING_S:
                    raise RuntimeError(f"the journal is not full after {_FILLING_S:.0f} s")
        if keep is not None:
            self._card.keep(keep)

    def _new_account(self) -> None:
        self._commits += self._told.commits
        self._told = Witnesses(self._keys)

    def _check_alive(self, running: Running) -> None:
        if (code := running.ended()) not in (None, -9):
            raise RuntimeError(f"the workload ended by itself with exit code {code}")
