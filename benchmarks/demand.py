"""Demand forecasts on recorded homes: one hour ahead (UCI) and a day ahead, leave-home-out (SGSC).

    python -m benchmarks.demand --data DIR --json FILE

Reads whatever homes and years are in DIR (layout of the recorded data). UCI: the last calendar year
present, at least 2009, is forecast by a model of all that lies before it. SGSC: from --test-from
(default 2013-09-01) to --test-until (default: the end of 2013, or of the data where they reach
2014) each home is forecast by a model that never saw it, trained before that on the others. The
median is scored by MAE, the mean of the quantile curve by RMSE. Weather mode: none.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _demand_hour_ahead as hour_ahead
from benchmarks._demand_day_ahead import REFERENCES, STRICTER, drawn_rows, fit_without, score_home
from benchmarks._demand_recordings import (
    Recording,
    Recordings,
    read_others,
    read_sgsc,
    read_uci,
)
from benchmarks._recorded import data_dir
from central.training.dataset import Rows
from central.training.demand import DemandSettings
from models.metrics import skill

TEST_FROM = "2013-09-01"
_YEAR_END = "2014-01-01"
_OTHERS_TEST_DAYS = 122
_ROWS_PER_HOME = 12_000


def main() -> None:
    """Measure, print a table and one line of JSON."""
    arguments = _arguments()
    began = time.monotonic()
    result: dict[str, Any] = {
        "benchmark": "demand",
        "weather_mode": "none",
        "seed": arguments.seed,
        "left_out": {},
    }
    size = _day_ahead_settings(arguments)
    uci, sgsc = read_uci(arguments.data), read_sgsc(arguments.data)
    others = read_others(arguments.data)
    for found in (uci, sgsc, others):
        result["left_out"] |= found.left_out
    result["uci_hour_ahead"] = _hour_ahead(uci, arguments, result["left_out"])
    homes, rows = _day_ahead_rows(sgsc, uci, others, arguments, size, result["left_out"])
    result["sgsc_day_ahead"] = _day_ahead(homes, rows, arguments, size, result["left_out"])
    if not arguments.no_others:
        result["others_day_ahead"] = _others(others.homes, rows, size, result["left_out"])
    result["seconds"] = round(time.monotonic() - began, 1)
    _say_all(result)
    text = json.dumps(_plain(result), allow_nan=False)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n", encoding="utf-8")
    print(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=data_dir(), metavar="DIR", help="recordings")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there, too")
    parser.add_argument("--test-from", default=TEST_FROM, metavar="DATE", help="SGSC: first day")
    parser.add_argument("--test-until", metavar="DATE", help="SGSC: day after the last one")
    parser.add_argument("--uci-year", type=int, metavar="YEAR", help="UCI: the year that judges")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-others", action="store_true", help="skip the homes of other sources")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        sys.exit(f"--data: {arguments.data} is no directory")
    for name in ("test_from", "test_until"):
        try:
            np.datetime64(getattr(arguments, name) or TEST_FROM)
        except ValueError:
            sys.exit(f"--{name.replace('_', '-')}: not a date like 2013-09-01")
    return arguments


def _day_ahead_settings(arguments: argparse.Namespace) -> DemandSettings:
    """The shipped model's own sizes; the number of trees is fixed, no span of the test stops it."""
    size = DemandSettings(rows=_ROWS_PER_HOME, seed=arguments.seed)
    trees = replace(size.trees, fewest=size.trees.trees, threads=arguments.threads)
    return replace(size, trees=trees)


def _hour_ahead(
    uci: Recordings, arguments: argparse.Namespace, left_out: dict[str, str]
) -> dict[str, Any]:
    for home in uci.homes:
        try:
            year = hour_ahead.judging_year(home, arguments.uci_year)
        except ValueError as error:
            left_out[home.name] = str(error)
            continue
        _say(f"uci: {year}, from everything before")
        alone = hour_ahead.score_year(home.without_circuits(), year, arguments.threads)
        _say_hour(year, "total alone", alone)
        scores = {"year": year, **home.notes, "total_alone": alone}
        if home.series.circuits is not None:
            full = hour_ahead.score_year(home, year, arguments.threads)
            _say_hour(year, "with sub-meters", full)
            scores["with_sub_meters"] = full
        return scores
    return {}


def _day_ahead_rows(
    sgsc: Recordings,
    uci: Recordings,
    others: Recordings,
    arguments: argparse.Namespace,
    size: DemandSettings,
    left_out: dict[str, str],
) -> tuple[list[Recording], dict[str, Rows]]:
    """Homes to score, and rows of every home recorded before the test."""
    teachers = sgsc.homes + [home.without_circuits() for home in uci.homes]
    teachers += [one for one in others.homes if one.times[-1] < np.datetime64(arguments.test_from)]
    _say(f"drawing rows of {len(teachers)} homes")
    rows, cannot_teach = drawn_rows(teachers, arguments.test_from, size)
    left_out |= {f"{name} as a teacher": reason for name, reason in cannot_teach.items()}
    return sgsc.homes, rows


def _day_ahead(
    homes: Sequence[Recording],
    rows: dict[str, Rows],
    arguments: argparse.Namespace,
    size: DemandSettings,
    left_out: dict[str, str],
) -> dict[str, Any]:
    until = arguments.test_until
    if until is None:
        reach_2014 = any(home.times[-1] >= np.datetime64(_YEAR_END) for home in homes)
        until = str(max(home.times[-1] for home in homes)) if reach_2014 else _YEAR_END
    periods = {"all": (arguments.test_from, until)}
    if np.datetime64(arguments.test_from) < np.datetime64(_YEAR_END) < np.datetime64(until):
        periods |= {"2013": (arguments.test_from, _YEAR_END), "2014": (_YEAR_END, until)}
    scored: dict[str, dict[str, Any]] = {period: {} for period in periods}
    for home in homes:
        _say(f"{home.name}: training without it")
        forecaster = fit_without(rows, home.name, size)
        for period, (begin, end) in periods.items():
            scores = score_home(home, forecaster, home.step_of(begin), home.step_of(end))
            if scores["scored"]:
                scored[period][home.name] = scores | home.notes
                _say_home(period, home.name, scores)
            else:
                left_out[f"{home.name} in {period}"] = (
                    f"no step from {begin} to {end} at which it and all references are known"
                )
    return {
        period: {
            "from": periods[period][0],
            "until": periods[period][1],
            "teachers": sorted(rows),
            "homes": by_home,
            **_summary(by_home),
        }
        for period, by_home in scored.items()
    }


def _others(
    homes: Sequence[Recording],
    rows: dict[str, Rows],
    size: DemandSettings,
    left_out: dict[str, str],
) -> dict[str, Any]:
    """Homes of other sources: the last months of each, by a model of the others."""
    by_home: dict[str, Any] = {}
    for home in homes:
        _say(f"{home.name}: training without it")
        last = len(home.series)
        first = max(0, last - _OTHERS_TEST_DAYS * home.series.steps_per_day)
        scores = score_home(home, fit_without(rows, home.name, size), first, last)
        if scores["scored"]:
            by_home[home.name] = scores | home.notes
            _say_home("others", home.name, scores)
        else:
            left_out[home.name] = "too short for the references"
    note = "homes left out, but not times: teachers may be recorded later than the test"
    return {"note": note, "homes": by_home, **_summary(by_home)}


def _summary(by_home: dict[str, Any]) -> dict[str, Any]:
    """Means over the homes; the reference to beat is the best of those means."""
    if not by_home:
        return {}
    every = list(by_home.values())
    means = {
        name: float(np.mean([one["reference_mae_w"][name] for one in every]))
        for name in (*REFERENCES, *STRICTER)
    }
    best = min(REFERENCES, key=lambda name: means[name])
    own = float(np.mean([one["mae_w"] for one in every]))
    shared = ("rmse_w", "pinball_w", "pinball_analog_days_only_w", "mae_analog_days_only_w")
    return {
        "mae_w": own,
        "reference_mae_w": means,
        "best_reference": best,
        "mae_skill": skill(own, means[best]),
        "mae_skill_against_best_per_home": float(np.mean([one["mae_skill"] for one in every])),
        "mae_skill_worst_home": float(min(one["mae_skill"] for one in every)),
        "mae_skill_against_stricter": {name: skill(own, means[name]) for name in STRICTER},
        "coverage_80": float(np.mean([one["coverage_80"] for one in every])),
        "coverage_90": float(np.mean([one["coverage_90"] for one in every])),
        **{name: float(np.mean([one[name] for one in every])) for name in shared},
    }


def _say_hour(year: int, name: str, one: dict[str, Any]) -> None:
    _say(
        f"uci {year} {name}: MAE {one['mae_kw']:.4f} kW ({one['mae_skill']:.1%} below "
        f"persistence), RMSE {one['rmse_kw']:.4f} kW ({one['rmse_skill']:.1%})"
    )


def _say_home(period: str, name: str, one: dict[str, Any]) -> None:
    _say(
        f"{name} ({period}): MAE {one['mae_w']:.1f} W, {one['mae_skill']:.1%} below "
        f"{one['best_reference']}, pinball {one['pinball_w']:.1f} W, "
        f"80/90 % cover {one['coverage_80']:.1%}/{one['coverage_90']:.1%}"
    )


def _say_all(result: dict[str, Any]) -> None:
    groups = dict(result["sgsc_day_ahead"])
    if "others_day_ahead" in result:
        groups["others"] = result["others_day_ahead"]
    for period, one in groups.items():
        if one["homes"]:
            _say(
                f"{period}, mean of {len(one['homes'])} homes: MAE {one['mae_w']:.1f} W, "
                f"{one['mae_skill']:.1%} below {one['best_reference']}; pinball "
                f"{one['pinball_w']:.1f} W; cover {one['coverage_80']:.1%}/{one['coverage_90']:.1%}"
            )
    for name, reason in result["left_out"].items():
        _say(f"left out: {name}: {reason}")


def _plain(value: Any) -> Any:
    """``value`` as JSON can hold it: what is not known is null."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
