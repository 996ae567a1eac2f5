"""A box loses its power a thousand times: what was committed is there, and no key is used again.

The agent's journal and state store work on a loop-mounted ext4 image, in a process of their own.
Its power is cut by copying the image at one instant: at random instants (in the middle of an fsync
too), behind random storage calls (strace stops the process there), and behind every call of a start
on an empty card, a start with a file of the first schema, some commits and a checkpoint. Each copy
is mounted, opened with the real classes and compared with what the process had said by then; every
so often the work goes on from the copy. Needs root, loop devices and strace.

Last line: JSON; exit code 1 if anything was lost that had been promised, 2 if this machine cannot
do it. ``--synchronous off`` or ``normal`` is the counter-check: it must find losses.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from benchmarks import _power_card as card_module
from benchmarks._power_card import CannotCut, Card
from benchmarks._power_cutting import CALL_BY_CALL, Cutter
from benchmarks._power_recovery import Tally
from benchmarks._power_workload import MAX_BYTES, WINDOW_S

_Tick = Callable[[], None]


_TIMES = {"mount": "mount_s", "open": "open_s", "both": "both_s", "first": "first_open_s"}


def run(
    cuts: int, enumerate_every: int, seed: int, synchronous: str, directory: Path | None = None
) -> dict[str, Any]:
    """Cut, recover and count, with a progress bar on standard error.

    ``cuts`` at random, half of them behind a storage call, and behind each
    ``enumerate_every``-th call of what is gone through call by call (0: not at all).
    """
    tally, began = Tally(), time.monotonic()
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory(prefix="power-cuts-", dir=directory) as name,
        Card(Path(name)) as card,
        Progress(*columns, console=Console(stderr=True)) as bar,
    ):

        def task(name: str, total: int | None) -> _Tick:
            number = bar.add_task(name, total=total)
            return lambda: bar.advance(number)

        cutter = Cutter(card, Path(name), tally, random.Random(seed), synchronous)
        if enumerate_every:
            for phase in CALL_BY_CALL:
                cutter.enumerate(phase, enumerate_every, task(phase, None))
        cutter.at_calls(cuts // 2, task("calls", cuts // 2))
        cutter.at_instants(cuts - cuts // 2, task("instants", cuts - cuts // 2))
    return _figures(tally, cutter) | {
        "seed": seed,
        "synchronous": synchronous,
        "commit_window_s": WINDOW_S,
        "journal_max_bytes": MAX_BYTES,
        "seconds": round(time.monotonic() - began, 1),
    }


def _figures(tally: Tally, cutter: Cutter) -> dict[str, Any]:
    body = {
        name: dict(value) if isinstance(value, Counter) else value
        for name, value in vars(tally).items()
        if name not in _TIMES.values()
    }
    return {
        "cuts_in_all": tally.cuts.total(),
        "violations_in_all": tally.violations.total(),
        **{name: round(v, 3) if isinstance(v, float) else v for name, v in body.items()},
        "commits_witnessed": cutter.commits,
        "went_on_from_copy": cutter.adopted,
        "recovery_ms": {name: _spread(getattr(tally, field)) for name, field in _TIMES.items()},
    }


def _spread(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    ordered = sorted(seconds)
    values = statistics.fmean(ordered), ordered[int(0.95 * (len(ordered) - 1))], ordered[-1]
    return {n: round(1000 * v, 1) for n, v in zip(("mean", "p95", "max"), values, strict=True)}


def report(result: dict[str, Any]) -> str:
    """The result for people."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in result["cuts"].items())
    wrong = ", ".join(f"{count} {kind}" for kind, count in result["violations"].items())
    times = result["recovery_ms"]
    lines = [
        f"cuts            {result['cuts_in_all']}: {kinds} ({result['unchanged']} of them behind a"
        " call that had changed nothing on the card yet, and not recovered again)",
        f"violations      {result['violations_in_all']} {wrong}".rstrip(),
        f"checked         {result['entries_checked']} committed entries,"
        f" {result['puts_checked']} values of the state store;"
        f" work went on from a copy {result['went_on_from_copy']} times",
        f"worst loss      {result['worst_loss_s']:.3f} s of entries not yet committed, alerts"
        f" {result['worst_alert_loss_s']:.3f} s (window {result['commit_window_s']} s; a write was"
        f" under way for up to {result['longest_stall_s']:.3f} s); {result['worst_beyond_s']:.3f} s"
        " beyond both",
        f"allowed         {result['lost_in_window']} entries younger than the window lost,"
        f" {result['sent_again']} sent again, {result['deleted']} deleted after acknowledgement,"
        f" {result['thinned']} thinned or void; {result['held_back']} cuts while the file"
        f" was full of what may not be given up ({result['lost_held_back']} entries lost)",
    ]
    for name, what in (
        ("mount", "ext4 replays its log"),
        ("open", "journal and state store: check, write-ahead log, new epoch"),
        ("both", "until the journal takes entries; process start left out"),
        ("first", "open, where the schema had to be made or brought up to date"),
    ):
        if one := times[name]:
            mean, p95, longest = one["mean"], one["p95"], one["max"]
            lines.append(
                f"recovery {name:<6} mean {mean} ms, 95 % {p95} ms, max {longest} ms ({what})"
            )
    return "\n".join([*lines, f"seed            {result['seed']}, {result['seconds']} s"])


def is_clean(result: dict[str, Any]) -> bool:
    """Whether every promise was kept, and something was there to be promised."""
    return not result["violations"] and result["commits_witnessed"] > 0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=1_000, help="at random, half behind a call")
    parser.add_argument(
        "--enumerate-every",
        type=int,
        default=1,
        metavar="K",
        help="also cut behind each K-th call of starts, commits and a checkpoint (0: do not)",
    )
    parser.add_argument("--seed", type=int, default=20_261_127)
    parser.add_argument("--synchronous", choices=("full", "normal", "off"), default="full")
    parser.add_argument("--directory", type=Path, help="for the images (default: the system's)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there too")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is unmounted
    try:
        if reason := card_module.why_not():
            raise CannotCut(reason)
        if shutil.which("strace") is None:
            raise CannotCut("no strace here: apt-get install strace")
        card_module.own_mounts()
        logging.disable()
        result = run(
            arguments.cuts,
            arguments.enumerate_every,
            arguments.seed,
            arguments.synchronous,
            arguments.directory,
        )
    except CannotCut as error:
        print(f"power_cuts: {error}", file=sys.stderr)
        sys.exit(2)
    print(report(result), file=sys.stderr)
    for example in result["examples"]:
        print(example, file=sys.stderr)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))
    sys.exit(0 if is_clean(result) else 1)


if __name__ == "__main__":
    main()
