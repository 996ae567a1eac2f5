"""Domain time and real time: the scaled clock, its shared anchor, and broken anchor files."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from models.contract.clock import Anchor, Clock, ScaledClock, SystemClock, open_clock
from models.contract.errors import ContractError
from models.contract.timestamps import DAY_MS, HOUR_MS

NOON = 1_705_492_800_000


def anchored(speed: float, ago: float = 0.0) -> ScaledClock:
    return ScaledClock(Anchor(time.time() - ago, NOON, speed))


def test_domain_time_runs_at_its_own_speed() -> None:
    clock = anchored(3600, ago=10)
    before, real_before = clock.now(), time.time()
    elapsed_ms = before - NOON
    assert 10 * HOUR_MS <= elapsed_ms < 12 * HOUR_MS
    while clock.now() == before:
        pass
    real_ms = (time.time() - real_before) * 1000
    assert 0 < clock.now() - before <= (real_ms + 50) * 3600


def test_real_time_does_not_run_at_the_speed_of_domain_time() -> None:
    clock = anchored(100_000)
    real, domain = clock.monotonic(), clock.now()
    while clock.now() - domain < HOUR_MS:
        pass
    assert 0 < clock.monotonic() - real < 60


def test_domain_time_before_the_anchor_is_before_it() -> None:
    assert anchored(1000, ago=-0.5).now() < NOON


def test_a_day_of_domain_time_is_slept_in_real_milliseconds() -> None:
    clock = anchored(100_000)
    target = clock.now() + DAY_MS // 24
    started = time.monotonic()
    asyncio.run(clock.sleep_until(target))
    assert clock.now() >= target
    assert 0.03 < time.monotonic() - started < 5


@pytest.mark.parametrize("clock", [SystemClock(), ScaledClock(Anchor(time.time(), NOON, 2.0))])
def test_an_instant_that_has_passed_is_not_slept_for(clock: Clock) -> None:
    started = time.monotonic()
    asyncio.run(clock.sleep_until(clock.now() - 60_000))
    assert time.monotonic() - started < 1


def test_the_wall_clock_is_slept_on_until_the_instant() -> None:
    clock = SystemClock()
    target = clock.now() + 20
    asyncio.run(clock.sleep_until(target))
    assert clock.now() >= target
    assert abs(clock.now() - time.time() * 1000) < 1000


def test_processes_that_share_an_anchor_share_the_time(tmp_path: Path) -> None:
    file = tmp_path / "anchor.json"
    Anchor(time.time() - 5, NOON, 60.0).write(file)
    one, other = open_clock(str(file)), open_clock(str(file))
    first, second, third = one.now(), other.now(), one.now()
    assert first <= second <= third
    assert Anchor.read(file).domain_t0 == NOON
    assert [path.name for path in tmp_path.iterdir()] == ["anchor.json"]


def test_an_anchor_survives_its_file(tmp_path: Path) -> None:
    anchor = Anchor(1_700_000_000.125, NOON, 1440.0)
    anchor.write(tmp_path / "anchor.json")
    assert Anchor.read(tmp_path / "anchor.json") == anchor


def test_no_anchor_file_means_the_wall_clock() -> None:
    assert isinstance(open_clock(None), SystemClock)


@pytest.mark.parametrize("speed", [0, -1, 100_001, float("nan"), float("inf")])
def test_a_speed_at_which_nothing_can_run(speed: float) -> None:
    with pytest.raises(ContractError, match="clock speed must be above 0"):
        Anchor(0.0, NOON, speed)


GOOD = {"real_t0": 1.0, "domain_t0": NOON, "speed": 2.0}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        *(
            json.dumps(GOOD | change)
            for change in (
                {"speed": "fast"},
                {"speed": None},
                {"speed": 0},
                {"real_t0": float("nan")},
                {"real_t0": float("inf")},
                {"domain_t0": float("inf")},
                {"domain_t0": 10**18},
                {"domain_t0": "noon"},
            )
        ),
    ],
)
def test_a_file_that_is_no_anchor_is_named(content: str, tmp_path: Path) -> None:
    file = tmp_path / "anchor.json"
    file.write_text(content)
    with pytest.raises(ContractError, match=r"anchor.json: not a clock anchor"):
        open_clock(str(file))


def test_an_anchor_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"gone\.json: not a clock anchor"):
        Anchor.read(tmp_path / "gone.json")


def test_an_anchor_file_that_is_not_text(tmp_path: Path) -> None:
    file: Any = tmp_path / "anchor.json"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ContractError, match="not a clock anchor"):
        Anchor.read(file)
