"""The history check in short: every kind of fault once; and what it is there to find, it finds.

The long form is ``python -m benchmarks.pipeline_history``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks._history_checks import Truth, check, tamper
from benchmarks._history_faults import BLOCK, DISK_KINDS, Fault, Kind, Schedule, draw
from benchmarks._history_run import HASTY_CENTRE, run_schedule
from benchmarks._history_world import World, copy_database
from benchmarks.pipeline_history import run

FIRST_SEED = 14  # its block holds every kind, and one schedule of the whole agent


@pytest.mark.timeout(300)  # a busy machine
def test_the_centre_holds_exactly_the_committed_set_whatever_fails(tmp_path: Path) -> None:
    result = run(range(FIRST_SEED, FIRST_SEED + len(BLOCK)), jobs=2, directory=tmp_path)
    assert not result["violated"], result["violations"]
    if os.geteuid() == 0:
        assert not result["skipped"]
    left_out = {kind for kind, count in result["faults_by_kind"].items() if not count}
    assert left_out == set(result["skipped"]) <= {kind.value for kind in DISK_KINDS}
    assert result["whole_agent_schedules"] == 1
    assert result["committed"] > 1_000
    assert result["agent_lives"] > result["schedules"] < result["centre_starts"]
    felt = result["felt"]
    assert felt["connections"] > 3 * result["schedules"]
    assert felt["bytes_swallowed"] > 0
    if not result["skipped"]:
        assert felt["journal_write_errors"] > 0


@dataclass(frozen=True)
class Quiet:
    """What a schedule without faults has left."""

    store: Path
    truth: Truth


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Quiet:
    directory = tmp_path_factory.mktemp("quiet") / "world"
    with World(Schedule(1, (), run_s=0.5), directory) as world:
        world.live()
    journal = copy_database(world.journal, directory / "journal-of-quiet")
    assert journal is not None
    return Quiet(world.store, Truth(world.witness, journal))


def test_nothing_is_wrong_where_nothing_went_wrong(quiet: Quiet) -> None:
    assert len(quiet.truth.witness.committed) > 10
    assert check(quiet.store, quiet.truth) == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("lost-row", "committed and not at the centre: 1"),
        ("lost-row", "acknowledged and not at the centre: 1"),
        ("changed-row", "another content at the centre: 1"),
        ("alien-row", "at the centre and never committed: 1"),
    ],
)
def test_one_wrong_row_at_the_centre_is_found(
    quiet: Quiet, tmp_path: Path, damage: str, said: str
) -> None:
    store = copy_database(quiet.store, tmp_path / "store")
    assert store is not None
    tamper(store, damage)
    assert any(said in flaw for flaw in check(store, quiet.truth))


def test_a_row_gone_from_the_journal_before_it_was_acknowledged_is_found(quiet: Quiet) -> None:
    witness = quiet.truth.witness
    epoch, seq = key = (witness.epochs[-1], max(seq for _, seq in witness.committed) + 1)
    witness.committed[key] = witness.committed[epoch, seq - 1]
    try:
        flaws = check(quiet.store, quiet.truth)
    finally:
        del witness.committed[key]
    assert any("gone from the journal" in flaw for flaw in flaws)


def test_a_centre_that_acknowledges_before_its_commit_is_found(tmp_path: Path) -> None:
    kills = tuple(Fault(Kind.KILL_CENTRE, at, 0.1) for at in (1.0, 3.5))
    schedule = Schedule(1, kills, run_s=4.0)
    outcome = run_schedule(schedule, tmp_path / "hasty", broken=HASTY_CENTRE)
    assert any("right after its kill: acknowledged" in flaw for flaw in outcome.violations)
    assert any(flaw.startswith("committed and not") for flaw in outcome.violations)
    assert (tmp_path / "hasty" / "outcome.json").exists()


def test_a_schedule_is_its_seeds_alone_and_every_block_has_every_kind() -> None:
    for first in range(0, 210, len(BLOCK)):
        schedules = [draw(seed) for seed in range(first, first + len(BLOCK))]
        assert schedules == [draw(schedule.seed) for schedule in schedules]
        assert {fault.kind for one in schedules for fault in one.faults} == set(Kind)
        assert all(2 <= len(schedule.faults) <= 8 for schedule in schedules)
    without = [fault.kind for seed in range(70) for fault in draw(seed, disks=False).faults]
    assert not DISK_KINDS & set(without)
