"""No reply is believed that is not the answer to its request: a million at the codec, 20,000 live.

The codec gets cut, swapped, doubled, wrong and damaged replies; the bus reads devices over Modbus
TCP, RTU over TCP and pseudo terminals that answer late, twice, for each other, in pieces and with
damage. Bare pymodbus reads the same devices with the same faults and seeds. RTU damage that fits
its CRC by chance is counted beside the number expected. Last line: JSON; exit code 1 if anything
wrong was believed by ours.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from benchmarks._fuzz_codec import fuzz_codec, fuzz_crc
from benchmarks._fuzz_live import LANES, LiveResult, fuzz_bus, fuzz_pymodbus

LINES = {"tcp": 8, "rtu-tcp": 4, "pty": 8}
CRC_SHARE = 0.4
"""Cases of heavy damage for each codec case."""


def run_codec(cases: int, seed: int, tick: Callable[[int], None]) -> dict[str, Any]:
    """The codec part."""
    began = time.monotonic()
    found = fuzz_codec(cases, seed, tick)
    damaged = round(cases * CRC_SHARE)
    believed, expected = fuzz_crc(damaged, seed + 1, tick)
    return {
        "cases": found.cases,
        "right_believed": found.right_believed,
        "right_refused": found.right_refused,
        "waiting": found.waiting,
        "refused": dict(found.refused),
        "believed_wrong": dict(found.believed_wrong),
        "crashes": dict(found.crashes),
        "crc_damaged": damaged,
        "crc_believed": believed,
        "crc_expected": round(expected, 1),
        "seconds": round(time.monotonic() - began, 1),
    }


Fuzz = Callable[[str, int, int, Callable[[int], None]], Coroutine[None, None, LiveResult]]


async def run_live(
    fuzz: Fuzz, exchanges: int, seed: int, tick: Callable[[int], None]
) -> dict[str, Any]:
    """``fuzz`` on all lines at once; the same seeds give the same questions and faults."""
    each = -(-exchanges // sum(LINES.values()))
    jobs = [
        (lane, fuzz(lane, seed + 1000 * i + n, each, tick))
        for i, lane in enumerate(LANES)
        for n in range(LINES[lane])
    ]
    began = time.monotonic()
    results = await asyncio.gather(*(job for _, job in jobs))
    sums: dict[str, LiveResult] = {}
    for (lane, _), result in zip(jobs, results, strict=True):
        sums.setdefault(lane, LiveResult()).add(result)
    return _summed(sums, began, lines=len(jobs))


def _summed(sums: dict[str, LiveResult], began: float, *, lines: int) -> dict[str, Any]:
    total = LiveResult()
    for one in sums.values():
        total.add(one)
    body: dict[str, Any] = {
        "lines": lines,
        "exchanges": total.exchanges,
        "right": total.right,
        "refused": total.refused,
        "believed_wrong": total.wrong,
        "believed_stale": total.stale,
        "unforeseen": dict(total.unforeseen),
        "works_at_the_end": total.works_at_the_end,
        "faults_made": dict(total.faults_made),
        "faults_counted": dict(total.faults_counted),
        "seconds": round(time.monotonic() - began, 1),
    }
    body["by_lane"] = {
        name: {"exchanges": r.exchanges, "right": r.right, "wrong": r.wrong, "stale": r.stale}
        for name, r in sums.items()
    }
    return body


def run(codec: int, live: int, pymodbus: int, seed: int) -> dict[str, Any]:
    """All parts, with a progress bar on standard error."""
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:

        def task(name: str, total: int) -> Callable[[int], None]:
            number = bar.add_task(name, total=total)
            return lambda steps: bar.advance(number, steps)

        lines = sum(LINES.values())
        result: dict[str, Any] = {"seed": seed}
        result["codec"] = run_codec(codec, seed, task("codec", round(codec * (1 + CRC_SHARE))))
        live_tick = task("bus", -(-live // lines) * lines)
        result["bus"] = asyncio.run(run_live(fuzz_bus, live, seed, live_tick))
        if pymodbus:
            peer_tick = task("pymodbus", -(-pymodbus // lines) * lines)
            result["pymodbus"] = asyncio.run(run_live(fuzz_pymodbus, pymodbus, seed, peer_tick))
    return result


def is_clean(result: dict[str, Any]) -> bool:
    """Whether ours believed nothing wrong, refused nothing right, and did not crash."""
    codec, bus = result["codec"], result["bus"]
    return not (
        codec["believed_wrong"]
        or codec["crashes"]
        or codec["right_refused"]
        or bus["believed_wrong"]
        or bus["believed_stale"]
        or bus["unforeseen"]
        or bus["works_at_the_end"] < bus["lines"]
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codec", type=int, default=1_000_000)
    parser.add_argument("--live", type=int, default=20_000)
    parser.add_argument("--pymodbus", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=20_261_127)
    arguments = parser.parse_args()
    result = run(arguments.codec, arguments.live, arguments.pymodbus, arguments.seed)
    print(json.dumps(result))
    sys.exit(0 if is_clean(result) else 1)


if __name__ == "__main__":
    main()
