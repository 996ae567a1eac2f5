"""No reply is believed that is not the answer to its request: a million at the codec, 20,000 live.

The codec gets cut, swapped, doubled, wrong and damaged replies; the bus reads devices over Modbus
TCP, RTU over TCP and pseudo terminals that answer late, twice, for each other, in pieces and with
damage. Bare pymodbus reads the same devices with the same faults and seeds. RTU damage that fits
its CRC by chance is counted beside the number expected. Last line: JSON; exit code 1 if anything
wrong was believed by ours, something right was refused by the codec, or a line ended up dead.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from benchmarks._fuzz_codec import fuzz_codec, fuzz_crc
from benchmarks._fuzz_lines import LANES, LiveResult
from benchmarks._fuzz_live import fuzz_bus, fuzz_pymodbus

LINES = {"tcp": 8, "rtu-tcp": 4, "pty": 8}
CRC_SHARE = 0.6
"""Cases of heavy damage for each codec case."""
_OURS_ONLY = {"faults_counted", "works_at_the_end", "cancelled", "examples", "false_refusals"}
"""Figures that are not taken of pymodbus."""
_Tick = Callable[[int], None]


def run_codec(cases: int, seed: int, tick: _Tick) -> dict[str, Any]:
    """The codec part."""
    began = time.monotonic()
    found = fuzz_codec(cases, seed, tick)
    crc = fuzz_crc(round(cases * CRC_SHARE), seed + 1, tick)
    return {
        "cases": found.cases,
        "right_believed": found.right_believed,
        "right_refused": found.right_refused,
        "waiting": found.waiting,
        "refused": dict(found.refused),
        "believed_wrong": dict(found.believed_wrong),
        "crashes": dict(found.crashes),
        "examples": found.examples,
        "mutations": dict(found.kinds),
        "crc_damaged": sum(made for made, _, _ in crc.values()),
        "crc_believed": sum(believed for _, believed, _ in crc.values()),
        "crc_expected": round(sum(expected for _, _, expected in crc.values()), 1),
        "crc_by_damage": {
            sort: {"damaged": made, "believed": believed, "expected": round(expected, 1)}
            for sort, (made, believed, expected) in crc.items()
        },
        "seconds": round(time.monotonic() - began, 1),
    }


async def run_bus(exchanges: int, seed: int, tick: _Tick) -> dict[str, Any]:
    """Our bus on all lines at once."""
    each = _each(exchanges)
    return await _run_lines([(lane, fuzz_bus(lane, one, each, tick)) for lane, one in _lines(seed)])


async def run_pymodbus(exchanges: int, seed: int, tick: _Tick) -> dict[str, Any]:
    """pymodbus' client on the same lines, with the same seeds."""
    each = _each(exchanges)
    body = await _run_lines(
        [(lane, fuzz_pymodbus(lane, one, each, tick)) for lane, one in _lines(seed)]
    )
    for figures in (body, *body["by_lane"].values()):
        for name in _OURS_ONLY & figures.keys():
            del figures[name]
    return body


def _lines(seed: int) -> list[tuple[str, int]]:
    """Lane and seed of every line."""
    return [
        (lane, seed + 1000 * i + number)
        for i, lane in enumerate(LANES)
        for number in range(LINES[lane])
    ]


def _each(exchanges: int) -> int:
    """Exchanges of one line, of so many in all."""
    return -(-exchanges // sum(LINES.values()))


async def _run_lines(jobs: list[tuple[str, Coroutine[Any, Any, LiveResult]]]) -> dict[str, Any]:
    """All jobs at once, their results summed up by name and in all."""
    began = time.monotonic()
    results = await asyncio.gather(*(job for _, job in jobs))
    total, by_lane = LiveResult(), {name: LiveResult() for name, _ in jobs}
    for (name, _), result in zip(jobs, results, strict=True):
        total.add(result)
        by_lane[name].add(result)
    return {
        **_figures(total),
        "refused_as": dict(total.refused),
        "faults_made": dict(total.faults_made),
        "faults_counted": dict(total.faults_counted),
        "examples": total.examples,
        "seconds": round(time.monotonic() - began, 1),
        "by_lane": {name: _figures(one) for name, one in by_lane.items()},
    }


def _figures(one: LiveResult) -> dict[str, Any]:
    believed = one.right + one.wrong + one.stale
    return {
        "lines": one.lines,
        "exchanges": one.exchanges,
        "right": one.right,
        "refused": one.refused.total(),
        "cancelled": one.cancelled,
        "believed_wrong": one.wrong,
        "of_them_wrong_count": one.wrong_count,
        "believed_stale": one.stale,
        "false_refusals": one.false_refusals,
        "wrong_or_stale_share": round((one.wrong + one.stale) / believed, 5) if believed else 0.0,
        "unforeseen": dict(one.unforeseen),
        "works_at_the_end": one.works_at_the_end,
    }


def run(codec: int, live: int, pymodbus: int, seed: int) -> dict[str, Any]:
    """All parts, with a progress bar on standard error."""
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    lines = sum(LINES.values())
    result: dict[str, Any] = {"seed": seed}
    with _pymodbus_quiet(), Progress(*columns, console=Console(stderr=True)) as bar:

        def task(name: str, total: int) -> _Tick:
            number = bar.add_task(name, total=total)
            return lambda steps: bar.advance(number, steps)

        codec_tick = task("codec", codec + round(codec * CRC_SHARE))
        result["codec"] = run_codec(codec, seed, codec_tick)
        bus_tick = task("bus", _each(live) * lines)
        result["bus"] = asyncio.run(run_bus(live, seed, bus_tick))
        if pymodbus:
            peer_tick = task("pymodbus", _each(pymodbus) * lines)
            result["pymodbus"] = asyncio.run(run_pymodbus(pymodbus, seed, peer_tick))
    return result


@contextmanager
def _pymodbus_quiet() -> Iterator[None]:
    """It logs a line for every frame that it does not like."""
    logger = logging.getLogger("pymodbus.logging")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def is_clean(result: dict[str, Any]) -> bool:
    """Whether ours believed nothing wrong, refused nothing right, and did not crash.

    Of heavy RTU damage no more may pass than six standard deviations above the expected number.
    """
    codec, bus = result["codec"], result["bus"]
    most = codec["crc_expected"] + 6 * max(1.0, codec["crc_expected"]) ** 0.5
    return not (
        codec["believed_wrong"]
        or codec["crashes"]
        or codec["right_refused"]
        or codec["crc_believed"] > most
        or bus["believed_wrong"]
        or bus["believed_stale"]
        or bus["false_refusals"]
        or bus["unforeseen"]
        or bus["works_at_the_end"] < bus["lines"]
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codec", type=int, default=1_000_000, help="cases")
    parser.add_argument("--live", type=int, default=20_000, help="exchanges of our bus")
    parser.add_argument("--pymodbus", type=int, default=5_000, help="exchanges of bare pymodbus")
    parser.add_argument("--seed", type=int, default=20_261_127)
    parser.add_argument("--short", action="store_true", help="20,000 cases, 2000 exchanges each")
    arguments = parser.parse_args()
    sizes = (arguments.codec, arguments.live, arguments.pymodbus)
    codec, live, pymodbus = (20_000, 2_000, 2_000) if arguments.short else sizes
    result = run(codec, live, pymodbus, arguments.seed)
    for example in (*result["codec"]["examples"], *result["bus"]["examples"]):
        print(example, file=sys.stderr)
    print(json.dumps(result))
    sys.exit(0 if is_clean(result) else 1)


if __name__ == "__main__":
    main()
