"""What one forecast costs the box, part by part, against the limit of 10 ms for the whole cycle.

``python -m benchmarks.edge_cycle [--preset small|full] [--json FILE]`` trains a bundle in which
every expert has a say (``_cycle_bundle``, some minutes; ``--made`` takes one that is there), then
measures in this process on one thread:

- parts: called in turn, round by round, so that all of them meet the same load;
- ``cycle``: everything from the history to the published quantiles of the generation, 192 steps:
  sky, features with forecast weather, both networks, both sets of trees, blend, local bias and
  calibration;
- ``issue``: ``ForecastEngine.issue`` a quarter of an hour at a time over a real ``state.sqlite``
  with 400 days of a box of ``--devices``; reads, writes and the rest apart.

Wall and processor time in milliseconds, median and 95th percentile; on a machine that others use
the processor's is the fairer one. Last line: JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks._cycle_bundle import CANDIDATE, train_apart
from benchmarks._cycle_turns import Turns
from benchmarks._cycle_world import WARM_TURNS, World

ROUNDS, WARM_UP, LEARN_ROUNDS = 300, 5, 7
LIMIT_MS = 10.0
SINGLE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
IN_CYCLE = (
    "sky", "features_with_weather", "window", "trees", "near_trees", "lstm", "net", "blend",
    "outcomes", "correction",
)  # fmt: skip
"""Parts that make up ``cycle``; the others stand beside it."""


class Timed:
    """Wall and processor seconds of calls, by name."""

    def __init__(self) -> None:
        self.wall: dict[str, list[float]] = {}
        self.cpu: dict[str, list[float]] = {}

    def call(self, name: str, run: Callable[[], object]) -> None:
        """Run it once and keep what it took."""
        wall, cpu = time.perf_counter(), time.thread_time()
        run()
        self.keep(name, time.perf_counter() - wall, time.thread_time() - cpu)

    def keep(self, name: str, wall: float, cpu: float | None = None) -> None:
        """Keep seconds that were measured elsewhere."""
        self.wall.setdefault(name, []).append(wall)
        if cpu is not None:
            self.cpu.setdefault(name, []).append(cpu)

    def figures(self, name: str) -> dict[str, float]:
        """Milliseconds."""
        wall = sorted(self.wall[name])
        result = {
            "median_ms": round(statistics.median(wall) * 1e3, 3),
            "p95_ms": round(wall[int(0.95 * (len(wall) - 1))] * 1e3, 3),
        }
        if name in self.cpu:
            result["cpu_median_ms"] = round(statistics.median(self.cpu[name]) * 1e3, 3)
        return result


def main(arguments: list[str]) -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=("small", "full"), default="small")
    parser.add_argument("--made", type=Path, help="what _cycle_bundle left; trains nothing")
    parser.add_argument("--devices", type=int, default=10, help="of eight quantities each")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, help="also write the result here")
    options = parser.parse_args(arguments)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="edge-cycle-") as name:
        made = options.made or Path(name)
        if options.made is None:
            train_apart(made, options.preset)
        world = World(made, WARM_UP + options.rounds)
        parts, timed, warming = world.parts(), Timed(), Timed()
        for number in range(WARM_UP + options.rounds):
            for part, run in parts.items():
                (warming if number < WARM_UP else timed).call(part, run)
        for _ in range(LEARN_ROUNDS):
            timed.call("learn_site_daily", world.learn)
        issue = _issues(Turns(world, Path(name), options.devices), options.rounds)
        size = sum(file.stat().st_size for file in (made / CANDIDATE).rglob("*") if file.is_file())
    figures = {name: timed.figures(name) for name in timed.wall}
    cycle = figures["cycle"]["median_ms"]
    result: dict[str, Any] = {
        "benchmark": "edge_cycle",
        "preset": options.preset if options.made is None else f"made: {options.made.name}",
        "rounds": options.rounds,
        "limit_ms": LIMIT_MS,
        "cycle_ms": cycle,
        "cycle_cpu_ms": figures["cycle"]["cpu_median_ms"],
        "cycle_and_demand_ms": round(cycle + figures["demand"]["median_ms"], 3),
        "cycle_over_limit": round(cycle / LIMIT_MS, 3),
        "sum_of_parts_ms": round(sum(figures[name]["median_ms"] for name in IN_CYCLE), 3),
        "parts": figures,
        "issue": issue,
        "bundle_bytes_one_cpu": size,
        "load_average": round(os.getloadavg()[0], 2),
        "wall_s": round(time.perf_counter() - begun, 1),
    }
    for title, row in (figures | issue["split"]).items():
        print(f"{title:26}" + "".join(f"{key:>16} {value:8.3f}" for key, value in row.items()))
    print(json.dumps(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


def _issues(turns: Turns, rounds: int) -> dict[str, Any]:
    """The engine's own turns, after as many as fill what waits for its outcome."""
    warming, timed = Timed(), Timed()
    for _ in range(WARM_TURNS):
        _turn(turns, warming)
    reads, writes = turns.database.waited[2:]
    for _ in range(rounds):
        _turn(turns, timed)
    return {
        "first_of_process_ms": round(warming.wall["issue"][0] * 1e3, 1),
        "split": {name: timed.figures(name) for name in timed.wall},
        "rows_in_state": turns.rows,
        "reads_per_issue": round((turns.database.waited[2] - reads) / rounds, 1),
        "writes_per_issue": round((turns.database.waited[3] - writes) / rounds, 2),
    }


def _turn(turns: Turns, timed: Timed) -> None:
    turns.measure()
    before = turns.database.waited
    timed.call("issue", turns.issue)
    reads, writes = (turns.database.waited[k] - before[k] for k in (0, 1))
    timed.keep("issue_reads", reads)
    timed.keep("issue_writes", writes)
    timed.keep("issue_rest", timed.wall["issue"][-1] - reads - writes)


if __name__ == "__main__":
    if any(os.environ.get(name) != "1" for name in SINGLE):
        # NumPy's threads are counted when it is loaded.
        command = [sys.executable, "-m", "benchmarks.edge_cycle", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | SINGLE)
    main(sys.argv[1:])
