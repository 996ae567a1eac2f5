"""Photovoltaic forecasts on the PVOD plants: 15 min to 4 h and 6 to 48 h, with and without weather.

    python -m benchmarks.pvod [--data DIR] [--json FILE]

Reads whatever stations lie in DIR (or DIR/pvod). Everything before --train-until (default
2019-03-01) trains, everything from there to --test-until (default: the end) is forecast; a plant
without history before is a cold start, served by what the others taught. Scored where the sun
stands above 5 degrees at the middle of the interval; errors are shares of the 99.9 % quantile of
the plant's power before the test; figures are means over plants. A plant's box has forecast the
last months before the test with models that had not seen them (their shares and the plain yardstick
had), so its intervals are not new; that of a plant without such months begins where the others'
intervals would have held. Weather modes: ``none`` (local sensors up to the issue) and
``nwp_unknown_issue`` (the recording's forecast, whose issue times are not in the files).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _pvod_references as references
from benchmarks._pvod_box import boxes_before
from benchmarks._pvod_experts import (
    EXPERTS,
    Groups,
    Mixture,
    Sizes,
    fit_mixture,
    weighed_from,
)
from benchmarks._pvod_recordings import Plant, RecordingError, read_plants
from benchmarks._pvod_scores import coverage, paired_gain, point_scores
from benchmarks._pvod_tables import QUANTILE, Table, tabulate
from benchmarks._recorded import data_dir
from models.contract.forecast import MEDIAN
from models.contract.timestamps import STEP_MS, Instant, parse_iso8601
from models.features.site import FloatArray

TEST_FROM = "2019-03-01"
MODES = {"nwp_unknown_issue": True, "none": False}
YARDSTICKS = {"learned weekly": True, "learned once": False}
"""Clear-sky power that the experts work with; the forecast is the mean of both."""
GOALS = {"nwp_unknown_issue": 0.0660, "none": 0.0755}
REFERENCE_PERSISTENCE = (0.0476, 0.0619, 0.0844, 0.1278, 0.1703, 0.2160)
"""Of the issue, for the five plants in March and April 2019."""


class Part:
    """A range of horizons with its leads (steps from the first unknown interval)."""

    def __init__(self, name: str, leads: tuple[int, ...], every: int, groups: Groups) -> None:
        self.name, self.leads, self.every, self.groups = name, leads, every, groups

    @property
    def minutes(self) -> list[int]:
        """From the issue to the end of the target interval."""
        return [(lead + 1) * STEP_MS // 60_000 for lead in self.leads]


NEAR = Part("15min_4h", (0, 1, 3, 7, 11, 15), 1, ((0,), (1,), (3,), (7,), (11, 15)))
FAR = Part("6h_48h", (23, 47, 71, 95, 143, 191), 4, ((23,), (47, 71, 95, 143, 191)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print; the last line is JSON."""
    options = _options(arguments)
    begin = time.perf_counter()
    try:
        plants = read_plants(options.data)
    except RecordingError as error:
        print(f"pvod: {error}", file=sys.stderr)
        return 2
    test_from = parse_iso8601(f"{options.train_until}T00:00:00Z")
    last = max(plant.series.end for plant in plants)
    test_until = (
        min(last, parse_iso8601(f"{options.test_until}T00:00:00Z")) if options.test_until else last
    )
    if not any(np.isfinite(plant.before(test_from).ac_power).any() for plant in plants):
        print(f"pvod: no plant was measured before {options.train_until}", file=sys.stderr)
        return 2
    sizes = Sizes(threads=options.threads, seed=options.seed)
    parts = [part for part in (NEAR, FAR) if options.part in ("all", part.name)]
    result: dict[str, Any] = {
        "benchmark": "pvod",
        "plants": [plant.name for plant in plants],
        "train_until": options.train_until,
        "test_until": options.test_until or "end",
        "seed": options.seed,
        "normaliser": f"{QUANTILE:.1%} quantile of power before the test",
        "clear_sky": "learned weekly from the past only, in the test span too, as a box does;"
        " models are fitted once, before the test; every interval's correctors only look back",
        "runs": {},
    }
    for part in parts:
        for mode in [name for name in MODES if options.mode in ("all", name)]:
            key = f"{part.name} {mode}"
            result["runs"][key] = _run(plants, part, mode, test_from, test_until, sizes, begin)
            _print_table(key, part, result["runs"][key])
    result["wall_s"] = round(time.perf_counter() - begin, 1)
    line = json.dumps(_plain(result), allow_nan=False)
    if options.json:
        options.json.write_text(line + "\n")
    print(line)
    return 0


def _run(
    plants: Sequence[Plant],
    part: Part,
    mode: str,
    test_from: Instant,
    test_until: Instant,
    sizes: Sizes,
    begin: float,
) -> dict[str, Any]:
    def progress(text: str) -> None:
        print(f"[{time.perf_counter() - begin:6.1f} s] {part.name} {mode}: {text}", file=sys.stderr)

    found: dict[str, _View] = {}
    for yardstick, weekly in YARDSTICKS.items():
        progress(f"features, {yardstick}")
        weather = MODES[mode]
        tables = [
            tabulate(plant, test_from, part.leads, part.every, with_weather=weather, weekly=weekly)
            for plant in plants
        ]
        mixture, first = fit_mixture(tables, test_from, part.groups, sizes, progress)
        weigh_from = weighed_from(tables, test_from)
        befores = [table.part(weigh_from, test_from) for table in tables]
        tests = [table.part(test_from, test_until) for table in tables]
        scored = [one.scored.any() for one in tests]
        befores, tests = (list(compress(some, scored)) for some in (befores, tests))
        found[yardstick] = _View(
            tables,
            mixture,
            befores,
            [first.quantiles(one) for one in befores if first and one.scored.any()],
            tests,
            [mixture.quantiles(one) for one in tests],
        )
    progress("forecasting")
    view = found["learned weekly"]
    mixture, tests = view.mixture, view.tests
    raw = _mean([one.said for one in found.values()])
    boxes = boxes_before(view.befores, _mean([one.said_before for one in found.values()]))
    final = [box.publish(table, said) for box, table, said in zip(boxes, tests, raw, strict=True)]
    models: dict[str, list[FloatArray]] = {
        "solar-sharing": [values[:, MEDIAN] for values in final],
        "without local bias": [values[:, MEDIAN] for values in raw],
        "smart persistence": [references.smart_persistence(one) for one in tests],
        "haurwitz persistence": [references.haurwitz_persistence(one) for one in tests],
        "climatology": [references.climatology(one, test_from) for one in tests],
    }
    for name in EXPERTS:
        models[name] = [mixture.medians(one)[name] for one in tests]
    for name, one in found.items():
        models[name] = [values[:, MEDIAN] for values in one.said]
    if MODES[mode]:
        chains = [references.pvlib_chain(one, test_from) for one in tests]
        if all(one is not None for one in chains):
            models["pvlib chain"] = [one for one in chains if one is not None]
    progress("LightGBM alone")
    for name, of_index in (("LightGBM", False), ("LightGBM of the index", True)):
        fitted = references.lightgbm_alone(
            view.tables, tests, test_from, sizes.threads, of_index=of_index
        )
        if fitted is not None:
            models[name] = fitted
    scores = point_scores(tests, models, "smart persistence")
    return {
        "mode": mode,
        "minutes": part.minutes,
        "pairs": int(sum(one.scored.sum() for one in tests)),
        "new_boxes": [one.plant.name for one in view.befores if not one.scored.any()],
        "normaliser_w": {one.plant.name: one.norm_w for one in tests},
        "shares": {
            name: dict(zip(map(str, part.groups), one.mixture.shares, strict=True))
            for name, one in found.items()
        },
        "scores": scores,
        "intervals": coverage(tests, final),
        "intervals_uncalibrated": coverage(tests, raw),
        "gains": {
            name: paired_gain(tests, models["solar-sharing"], models[name])
            for name in ("LightGBM", "LightGBM of the index", "smart persistence")
            if name in models
        },
        "verdict": _verdict(part, mode, scores),
    }


@dataclass(frozen=True, eq=False)
class _View:
    """One yardstick's models and what they said of each plant that is scored."""

    tables: list[Table]
    """Of all plants and times."""
    mixture: Mixture
    befores: list[Table]
    """The last months of the training span."""
    said_before: list[FloatArray]
    """Of those with anything to score, by models that never saw it; only their shares have."""
    tests: list[Table]
    said: list[FloatArray]


def _mean(views: Sequence[list[FloatArray]]) -> list[FloatArray]:
    """Of several views, plant by plant."""
    return [np.mean(plant, axis=0) for plant in zip(*views, strict=True)]


def _verdict(part: Part, mode: str, scores: dict[str, Any]) -> dict[str, Any]:
    ours = scores["solar-sharing"]
    verdict: dict[str, Any] = {
        "never_worse_than_smart_persistence": bool(
            (ours["nmae"] <= scores["smart persistence"]["nmae"]).all()
        ),
    }
    if part is NEAR:
        verdict["goal"] = GOALS[mode]
        verdict["reached"] = bool(ours["mean_nmae"] <= GOALS[mode])
        verdict["own_persistence_at_least_the_reference"] = bool(
            (scores["smart persistence"]["nmae"] <= np.array(REFERENCE_PERSISTENCE)).all()
        )
    return verdict


def _print_table(key: str, part: Part, run: dict[str, Any]) -> None:
    print(f"\n{key}: nMAE by horizon, mean over {len(run['normaliser_w'])} plants")
    heads = [f"{m} min" if m < 360 else f"{m // 60} h" for m in part.minutes]
    print(f"{'':24}" + "".join(f"{head:>9}" for head in heads) + "     mean MAE-skill RMSE-skill")
    for name, score in run["scores"].items():
        row = "".join(f"{value:9.4f}" for value in score["nmae"])
        skills = f"{np.mean(score['mae_skill']):9.3f} {np.mean(score['rmse_skill']):10.3f}"
        print(f"{name:24}{row} {score['mean_nmae']:8.4f}{skills}")
    for label in ("uncalibrated", "calibrated"):
        for level in ("80", "90"):
            one = run["intervals" if label == "calibrated" else "intervals_uncalibrated"][level]
            row = "".join(f"{value:9.3f}" for value in one["coverage"])
            print(f"{label} {level} % inside".ljust(24) + f"{row} {one['mean_coverage']:8.3f}")
    print(f"verdict: {json.dumps(_plain(run['verdict']))}")
    for name, gain in run["gains"].items():
        print(
            f"less error than {name}: {gain['gain']:.1%} ({gain['low']:.1%} to {gain['high']:.1%})"
        )
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    """For JSON: arrays as lists, NaN as null."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(one) for one in value]
    if isinstance(value, float | np.floating):
        return round(float(value), 5) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.pvod", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=data_dir(), help="folder of the recordings")
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--train-until", default=TEST_FROM, help="first day of the test, UTC")
    parser.add_argument("--test-until", help="first day behind the test; default: all there is")
    parser.add_argument("--part", choices=("all", NEAR.name, FAR.name), default="all")
    parser.add_argument("--mode", choices=("all", *MODES), default="all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
