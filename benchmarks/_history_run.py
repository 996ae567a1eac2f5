"""One schedule from its drawing to its verdict, in a process that may be one of several."""

from __future__ import annotations

import json
import shutil
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from . import _history_checks as checks
from ._history_faults import AGENT, CENTRE, Schedule
from ._history_world import NotInTimeError, World, copy_database

MOST_RSS_MB = {"agent": 150, "centre": 400, "broker": 150}
"""Peak resident memory: what a schedule needs lies far below, an unbounded queue above."""
HASTY_CENTRE = "hasty-centre"
BREAKS = (HASTY_CENTRE, "lost-row", "changed-row", "alien-row")
"""What can be broken on purpose: a centre that acknowledges first; a store tampered with."""


@dataclass
class Outcome:
    """What came of a schedule."""

    seed: int
    schedule: str
    kinds: dict[str, int]
    whole_agent: bool
    violations: list[str] = field(default_factory=list)
    committed: int = 0
    epochs: int = 0
    agent_starts: int = 0
    centre_starts: int = 0
    acknowledgements: int = 0
    sent: int = 0
    """Entries handed to the broker, those that came again included; 0: not known."""
    refused: int = 0
    felt: dict[str, int] = field(default_factory=dict)
    """Signs that the faults were there: failed writes, swallowed bytes, connections."""
    drain_s: float = 0.0
    seconds: float = 0.0
    rss_mb: dict[str, int] = field(default_factory=dict)
    kept: str = ""
    """Directory with everything, when something was violated."""


def run_schedule(
    schedule: Schedule, directory: Path, *, broken: str = "", keep: bool = False
) -> Outcome:
    """Live through ``schedule`` in ``directory``, which is removed unless something is wrong."""
    began = time.monotonic()
    kinds = dict(Counter(fault.kind.value for fault in schedule.faults))
    outcome = Outcome(schedule.seed, str(schedule), kinds, schedule.whole_agent)
    found = outcome.violations

    def after_centre_kill(world: World) -> None:
        store = copy_database(world.store, directory / "store-copy")
        if store is not None:
            found.extend(checks.check_acknowledged(store, world.witness.acknowledged()))
            if schedule.whole_agent:  # what it knows stands in its file
                found.extend(checks.check_file(store, world.journal))

    hasty = broken == HASTY_CENTRE
    try:
        with World(schedule, directory, broken=hasty, after_centre_kill=after_centre_kill) as world:
            try:
                outcome.drain_s = round(world.live(), 2)
                _check(world, broken, found)
            except NotInTimeError as error:
                found.append(str(error))
            finally:
                _note(world, outcome)
                if found or keep:
                    _save(world)
    except Exception:  # the other schedules go on; this one has failed
        found.append(traceback.format_exc())
    outcome.seconds = round(time.monotonic() - began, 2)
    if found or keep:
        outcome.kept = str(directory)
        directory.mkdir(exist_ok=True)
        (directory / "outcome.json").write_text(json.dumps(vars(outcome), indent=1))
    else:
        shutil.rmtree(directory)
    return outcome


def _check(world: World, broken: str, found: list[str]) -> None:
    store = copy_database(world.store, world.directory / "store-copy")
    journal = copy_database(world.journal, world.directory / "journal-copy")
    if store is None or journal is None:
        found.append("there is no store or no journal")
        return
    if broken and broken != HASTY_CENTRE:
        checks.tamper(store, broken)
    found += world.flaws + world.agent.flaws + world.centre.flaws + world.site.flaws
    whole = world.schedule.whole_agent
    truth = checks.Truth(
        world.witness, journal, frozenset(world.jumped_lives), world.late_epoch, not whole
    )
    found += checks.check(store, truth)


def _note(world: World, outcome: Outcome) -> None:
    witness = world.witness
    outcome.committed, outcome.epochs = len(witness.committed), len(witness.epochs)
    outcome.agent_starts, outcome.centre_starts = world.agent.starts, world.centre.starts
    outcome.acknowledgements = witness.acknowledgements
    outcome.sent, outcome.refused = witness.total("sent"), witness.total("refused")
    lines = world.lines.values()
    outcome.felt = {
        "journal_write_errors": witness.total("write_errors"),
        "thinned": witness.total("thinned"),
        "corrected": witness.corrected,
        "void": witness.void or 0,
        "store_write_errors": world.log(CENTRE).read_bytes().count(b"cannot commit"),
        "bytes_swallowed": sum(line.bytes_swallowed for line in lines),
        "connections": sum(line.connections for line in lines),
        "starts_that_failed": world.agent.failed_starts + world.centre.failed_starts,
    }
    peaks = {
        AGENT: world.agent.max_rss_kb, CENTRE: world.centre.max_rss_kb,
        "broker": world.broker_rss_kb,
    }  # fmt: skip
    outcome.rss_mb = {name: round(peak / 1024) for name, peak in peaks.items()}
    for name, peak in outcome.rss_mb.items():
        if peak > MOST_RSS_MB[name]:
            outcome.violations.append(f"{name}: {peak} MB resident, more than {MOST_RSS_MB[name]}")


def _save(world: World) -> None:
    """Keep what lies on disks that are about to be unmounted."""
    for service in (world.agent, world.centre):
        service.kill()
    for name in world.disks:
        shutil.copytree(
            world.data[name], world.directory / f"{name}-data-kept",
            ignore=shutil.ignore_patterns("filler", "lost+found"),
        )  # fmt: skip
