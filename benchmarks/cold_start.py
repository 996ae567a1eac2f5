"""A new site on its first days: forecast by models that never saw it, after 0, 7, 30 and 90 days.

    python -m benchmarks.cold_start --data DIR --json FILE

Reads whatever PVOD stations lie in DIR (or DIR/pvod). For each date and plant the shipped models
(preset ``small``, fewer rows) are trained on the *other* plants, on what lies before the date. The
plant's box was installed 0, 7, 30 or 90 days before it: it has its form, learns its roof, its bias
and its intervals from its own measurements since, and forecasts the 14 days from the date on,
learning as it goes. ``day one`` is what a box installed at the date issues on its first day.

Beside it stand smart persistence with the same knowledge, and ``known``: a box of 120 days that at
the date is given models trained with this plant's past too (until then it spoke by the others', so
that its intervals are not learned from forecasts of days that trained the models).

Power alone is used, as by the centre; weather modes ``none`` and ``nwp_unknown_issue`` (the
recording's forecast, without issue times). Errors are shares of the 99.9 % quantile of the plant's
power before the date. The others' models have seen the weather, not the plant, of the days on which
a box learned before the date; of the days that are scored nobody has seen anything.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from benchmarks._cold_box import Box
from benchmarks._cold_fleet import Voice, sizes, train_voice, training_sites
from benchmarks._cold_scores import BUCKET_NAMES, CaseScore, score_case, table_row
from benchmarks._pvod_recordings import Plant, RecordingError, read_plants
from benchmarks._pvod_tables import QUANTILE
from benchmarks._recorded import data_dir
from central.training.errors import TrainingDataError
from models.contract.timestamps import DAY_MS, HOUR_MS, STEPS_PER_DAY, Instant, format_iso8601
from models.features.learned_sky import BACK_DAYS

OWN_DAYS = (0, 7, 30, 90)
SCORED_DAYS = 14
DAY_ONE, KNOWN = "day one", "known"
MODES = {"none": False, "nwp_unknown_issue": True}
_LEAST_KNOWN = 0.5
"""Share of the scored days that must have been measured."""

Say = Callable[[str], None]
Scores = dict[str, list[CaseScore]]


@dataclass(frozen=True)
class _Study:
    """What stays the same for all dates."""

    plants: Sequence[Plant]
    left_out: Sequence[Plant]
    with_weather: bool
    seed: int
    threads: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print; the last line is JSON."""
    options = _options(arguments)
    # Before the libraries are loaded, which happens when the first model is trained.
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
    began, began_cpu = time.perf_counter(), time.process_time()
    try:
        plants = read_plants(options.data)
        chosen = plants[: options.plants or len(plants)]
        dates = start_dates(plants, options.dates)
    except RecordingError as error:
        print(f"cold_start: {error}", file=sys.stderr)
        return 2
    result: dict[str, Any] = {
        "benchmark": "cold_start",
        "plants": [one.name for one in chosen],
        "fleet": [one.name for one in plants],
        "dates": [format_iso8601(one) for one in dates],
        "scored_days": SCORED_DAYS,
        "seed": options.seed,
        "normaliser": f"{QUANTILE:.1%} quantile of power before the date",
        "runs": {},
    }
    for mode in [name for name in MODES if options.mode in ("all", name)]:
        study = _Study(plants, chosen, MODES[mode], options.seed, options.threads)
        result["runs"][mode] = run = _run(study, dates, mode)
        _print_table(mode, run)
    result["wall_s"] = round(time.perf_counter() - began, 1)
    result["cpu_s"] = round(time.process_time() - began_cpu, 1)
    line = json.dumps(_plain(result), allow_nan=False)
    if options.json:
        options.json.write_text(line + "\n", encoding="utf-8")
    print(line)
    return 0 if all(run["rows"] for run in result["runs"].values()) else 1


def start_dates(plants: Sequence[Plant], count: int) -> list[Instant]:
    """Midnights of the sun, spread evenly over what is left when all plants have been measured
    for 90 days. Raises ``RecordingError`` when nothing is left."""
    first = max(one.series.start for one in plants) + max(OWN_DAYS) * DAY_MS
    last = min(one.series.end for one in plants) - SCORED_DAYS * DAY_MS
    if first > last:
        raise RecordingError(
            f"the plants have no {max(OWN_DAYS) + SCORED_DAYS} days in common; a start date needs"
            f" {max(OWN_DAYS)} before and {SCORED_DAYS} behind it"
        )
    east = float(np.mean([one.declared.longitude for one in plants]))
    midnight = -round(east / 15.0) * HOUR_MS % DAY_MS
    found = np.linspace(first, last, count) if count > 1 else np.array([(first + last) / 2])
    return [int((date - midnight) // DAY_MS * DAY_MS + midnight) for date in found]


def _run(study: _Study, dates: Sequence[Instant], mode: str) -> dict[str, Any]:
    scores: Scores = {name: [] for name in (DAY_ONE, *map(str, OWN_DAYS), KNOWN)}
    day_one_known: list[CaseScore] = []
    cases, refused = [], {}
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(mode, total=len(dates) * len(study.left_out))
        for date in dates:
            day = format_iso8601(date)[:10]
            say = _teller(bar, task, f"{mode} {day}")
            known = _trained(study, date, None, say)
            for plant in study.left_out:
                try:
                    unseen = _trained(study, date, plant, say)
                    found, known_day_one = _case(study, plant, date, unseen, known, say)
                except TrainingDataError as error:
                    refused[f"{plant.name} {day}"] = str(error)
                else:
                    for name, score in found.items():
                        scores[name].append(score)
                    day_one_known.append(known_day_one)
                    cases.append(f"{plant.name} {day}")
                bar.advance(task)
    if not cases:
        return {"cases": [], "left_out": refused, "rows": {}}
    references = dict.fromkeys(scores, scores[KNOWN]) | {DAY_ONE: day_one_known}
    rows = {name: table_row(found, references[name], study.seed) for name, found in scores.items()}
    return {"cases": cases, "left_out": refused, "rows": rows}


def _trained(study: _Study, date: Instant, without: Plant | None, say: Say) -> Voice:
    preset = sizes(study.seed, study.threads)
    teachers = [one for one in study.plants if one is not without]
    whom = f"without {without.name}" if without else "all plants"
    say(f"{whom}: learn sites")
    sites = training_sites(teachers, date, preset, with_weather=study.with_weather)
    return train_voice(sites, preset, lambda stage: say(f"{whom}: {stage}"))


def _case(
    study: _Study, plant: Plant, date: Instant, unseen: Voice, known: Voice, say: Say
) -> tuple[dict[str, CaseScore], CaseScore]:
    """The rows of one plant at one date, and the known plant's on the first day's pairs."""
    first, last = plant.series.index(date), plant.series.index(date) + SCORED_DAYS * STEPS_PER_DAY
    measured = np.isfinite(plant.series.ac_power[first:last]).sum() / (last - first)
    before = plant.before(date).ac_power
    if measured < _LEAST_KNOWN or not np.isfinite(before).any():
        raise TrainingDataError(f"{plant.name}: hardly measured around {format_iso8601(date)}")
    norm_w = float(np.nanquantile(before, QUANTILE))
    end = date + SCORED_DAYS * DAY_MS

    def live(days: int, speaker: Voice, what: str) -> Callable[[int], CaseScore]:
        say(f"{plant.name}: {what}")
        installed = max(0, first - days * STEPS_PER_DAY)
        box = Box(plant, installed, last, study.with_weather)
        forecasts = box.live(speaker, first, before=unseen)
        return lambda scored_days: score_case(forecasts, date, end, scored_days, norm_w)

    found = {}
    for days in OWN_DAYS:
        scored = live(days, unseen, f"{days} days of its own")
        found[str(days)] = scored(SCORED_DAYS)
        if days == 0:
            found[DAY_ONE] = scored(1)
    of_known = live(BACK_DAYS, known, "known")
    return found | {KNOWN: of_known(SCORED_DAYS)}, of_known(1)


def _teller(bar: Progress, task: Any, prefix: str) -> Say:
    def say(text: str) -> None:
        bar.update(task, description=f"{prefix} {text}")

    return say


def _print_table(mode: str, run: dict[str, Any]) -> None:
    print(f"\nweather mode {mode}: {len(run['cases'])} cases (plant and date)")
    for name, reason in run["left_out"].items():
        print(f"left out: {name}: {reason}")
    print(
        f"{'own days':>9} {'nMAE':>7} {'persist.':>8} {'skill':>6} {'of known (95 %)':>20}"
        f" {'bias':>7} {'pinball':>8} {'in 80':>6} {'in 90':>6} {'raw':>7}"
    )
    for name, row in run["rows"].items():
        low, high = row["of_known_95"]
        print(
            f"{name:>9} {row['nmae']:7.4f} {row['persistence_nmae']:8.4f} {row['skill']:6.3f}"
            f" {row['of_known']:6.3f} ({low:.3f}-{high:.3f}) {row['bias']:7.4f}"
            f" {row['pinball']:8.5f} {row['coverage_80']:6.3f} {row['coverage_90']:6.3f}"
            f" {row['uncorrected_nmae']:7.4f}"
        )
    for title, key in (("nMAE", "nmae_by_lead"), ("skill", "skill_by_lead")):
        print(f"{title:>9} " + " ".join(f"{name:>8}" for name in BUCKET_NAMES))
        for name, row in run["rows"].items():
            print(f"{name:>9} " + " ".join(f"{value:8.4f}" for value in row[key].values()))
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    """For JSON: five decimals, NaN as null."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float | np.floating):
        return round(float(value), 5) if np.isfinite(value) else None
    return value


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.cold_start", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument("--data", type=Path, default=data_dir(), help="folder of the recordings")
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--plants", type=int, default=0, help="leave out the first N; default: all")
    parser.add_argument("--dates", type=int, default=3, help="start dates (default 3)")
    parser.add_argument("--mode", choices=("all", *MODES), default="none")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
