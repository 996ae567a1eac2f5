"""Agent, broker and centre under every fault we can make: the centre holds exactly what was
committed, once, unchanged and in order.

Each schedule runs a real mosquitto, the real centre and a real journal with its uplink (now and
then the whole agent against simulated devices) as processes, behind TCP lines that can be made bad
and on disks that can be filled; draws from its seed what goes wrong and when; then heals everything
and compares. What was committed and acknowledged is known from outside the disks and processes that
fail. On a violation the directory is kept and the seed printed: `--seed N --schedules 1` tries the
same faults again. Last line: JSON; exit code 1 if anything was violated.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from benchmarks._history_faults import BLOCK, DISK_KINDS, Kind, draw
from benchmarks._history_programs import die_with_parent
from benchmarks._history_run import BREAKS, Outcome, run_schedule
from benchmarks._power_card import CannotCut, own_mounts, why_not


def run(
    seeds: Iterable[int],
    *,
    jobs: int,
    directory: Path,
    broken: str = "",
    tick: Callable[[Outcome], object] = lambda _: None,
) -> dict[str, Any]:
    """Live through the schedules of ``seeds``, ``jobs`` at a time; the figures of all."""
    began = time.monotonic()
    outcomes: list[Outcome] = []
    # A process of its own for each place, started afresh: it gets mounts of its own.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, die_with_parent) as pool:
        no_disks = pool.submit(_why_no_disks).result()
        waiting = [
            pool.submit(_one, seed, _fresh(directory / f"seed-{seed}"), broken) for seed in seeds
        ]
        try:
            for done in as_completed(waiting):
                outcomes.append(done.result())
                tick(outcomes[-1])
        finally:
            for future in waiting:
                future.cancel()
    return _figures(outcomes, no_disks) | {"seconds": round(time.monotonic() - began, 1)}


def _fresh(directory: Path) -> Path:
    """``directory``, or a name beside it when an earlier run has left one."""
    tries = (directory.with_name(f"{directory.name}-{n}") for n in itertools.count(2))
    return next(d for d in itertools.chain([directory], tries) if not d.exists())


@functools.cache
def _why_no_disks() -> str:
    """Gives this process mounts of its own, the first time it is asked."""
    if reason := why_not():
        return reason
    try:
        own_mounts()
    except CannotCut as error:
        return str(error)
    return ""


def _one(seed: int, directory: Path, broken: str) -> Outcome:
    schedule = draw(seed, disks=not _why_no_disks())
    return run_schedule(schedule, directory, broken=broken)


def _figures(outcomes: list[Outcome], no_disks: str) -> dict[str, Any]:
    outcomes.sort(key=lambda outcome: outcome.seed)
    kinds: Counter[str] = Counter()
    for outcome in outcomes:
        kinds.update(outcome.kinds)
    own = [outcome for outcome in outcomes if not outcome.whole_agent]
    drains = [outcome.drain_s for outcome in outcomes] or [0.0]
    sent, committed = (sum(getattr(o, name) for o in own) for name in ("sent", "committed"))
    return {
        "schedules": len(outcomes),
        "violated": sum(bool(outcome.violations) for outcome in outcomes),
        "violations": {o.seed: o.violations for o in outcomes if o.violations},
        "committed": sum(outcome.committed for outcome in outcomes),
        "whole_agent_schedules": len(outcomes) - len(own),
        "faults": sum(kinds.values()),
        "faults_by_kind": {kind.value: kinds[kind.value] for kind in Kind},
        "skipped": {kind.value: no_disks for kind in sorted(DISK_KINDS)} if no_disks else {},
        "agent_lives": sum(outcome.epochs for outcome in outcomes),
        "centre_starts": sum(outcome.centre_starts for outcome in outcomes),
        "felt": dict(sum((Counter(outcome.felt) for outcome in outcomes), Counter())),
        "acknowledgements": sum(outcome.acknowledgements for outcome in outcomes),
        "refused": sum(outcome.refused for outcome in outcomes),
        "sent_per_committed": round(sent / committed, 3) if committed else 0.0,
        "drain_s": {"mean": round(statistics.mean(drains), 2), "max": max(drains)},
        "schedule_s": round(statistics.mean([o.seconds for o in outcomes] or [0.0]), 2),
        "rss_mb": {
            name: max((o.rss_mb.get(name, 0) for o in outcomes), default=0)
            for name in ("agent", "centre", "broker")
        },
        "whole_agent_rss_mb": max(
            (o.rss_mb.get("agent", 0) for o in outcomes if o.whole_agent), default=0
        ),
        "seeds": [outcome.seed for outcome in outcomes],
    }


def main() -> None:
    """Run, print, say by the exit code whether all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=210, help="how many (default 210)")
    parser.add_argument("--seed", type=int, default=0, help="of the first; the others follow it")
    parser.add_argument("--jobs", type=int, default=2, help="schedules at the same time")
    parser.add_argument("--short", action="store_true", help="one block of seeds: every kind once")
    parser.add_argument(
        "--directory", type=Path, help="where schedules live and violated ones stay"
    )
    parser.add_argument(
        "--break", dest="broken", choices=BREAKS, default="", help="be caught at it"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, too")
    arguments = parser.parse_args()
    directory = arguments.directory or Path(tempfile.mkdtemp(prefix="pipeline-history-"))
    count = len(BLOCK) if arguments.short else arguments.schedules
    outcomes: list[Outcome] = []
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("schedules", total=count)

        def tick(outcome: Outcome) -> None:
            outcomes.append(outcome)
            bar.advance(task)
            if outcome.violations:
                bar.console.print(outcome.schedule, markup=False, highlight=False)
                for violation in outcome.violations:
                    bar.console.print(f"  {violation}", markup=False, highlight=False)
                bar.console.print(f"  kept: {outcome.kept}", markup=False, highlight=False)

        result = run(
            range(arguments.seed, arguments.seed + count),
            jobs=arguments.jobs, directory=directory, broken=arguments.broken, tick=tick,
        )  # fmt: skip
    if arguments.json is not None:
        every = [asdict(one) for one in sorted(outcomes, key=lambda one: one.seed)]
        text = json.dumps(result | {"outcomes": every}, indent=1)
        arguments.json.write_text(text, encoding="utf-8")
    if not result["violated"] and not any(directory.iterdir()):
        directory.rmdir()
    print(json.dumps(result))
    sys.exit(1 if result["violated"] else 0)


if __name__ == "__main__":
    main()
