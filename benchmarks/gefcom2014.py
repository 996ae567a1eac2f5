"""Day-ahead quantiles for GEFCom2014 solar, Task 1, in the competition's own format.

    python -m benchmarks.gefcom2014 --out FILE [--data DIR] [--json FILE]

Trains on all power up to the end of March 2013 and writes 99 quantiles of each hour of April 2013.
April's power is not in the data. Before that, the same code forecasts November 2012 to March 2013,
each month from what was known before it, and is scored like the competition: mean pinball loss over
levels, zones and all hours. A month is forecast without any power of that month, from the day's
weather forecast alone, as the competition wanted it; the whole month's forecasts lie at hand, so an
hour's neighbours may come from the next day's run. The organisers' benchmark (the value of a year
before) needs a year of history and cannot be had for these months; beside the scores stand
climatologies of the hour and the plain chain from forecast irradiance.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _gefcom_references as references
from benchmarks._gefcom_data import (
    CAPACITY_W,
    HOURS_PER_DAY,
    Zone,
    read_blank,
    read_zones,
    write_quantiles,
)
from benchmarks._recorded import data_dir
from central.training.dataset import Rows
from central.training.feature_net import NetSettings
from central.training.quantile_ensemble import (
    QuantileEnsemble,
    fit_quantile_ensemble,
    forest_expert,
    net_expert,
)
from central.training.quantile_forest import ForestSettings
from models.contract.timestamps import HOUR_MS, format_iso8601, parse_iso8601
from models.features.build import FeatureArray, build_features
from models.features.learned_site import learn_site
from models.features.site import FloatArray, IntArray, SiteSeries
from models.features.sky import Sky
from models.features.weather import SkyWeather
from models.metrics import coverage, pinball

LEVELS = tuple(np.round(np.arange(1, 100) / 100, 2).tolist())
MONTHS = ("2012-11", "2012-12", "2013-01", "2013-02", "2013-03", "2013-04")
GOAL = 0.0118
OUT = Path("var/gefcom2014-april-2013.csv")
PUBLISHED = {"best_entry": 0.01261, "winner": 0.01273, "organisers_benchmark": 0.03493}
BLOCK_DAYS = 6
"""Days of one weather are left out together when experts are weighed."""
TWILIGHT = 0.004
"""Share of the capacity added to clear-sky power: a plant gives a little before the sun is up."""
INDEX_MAX = 1.8


@dataclass(frozen=True, eq=False)
class Prepared:
    """One zone as it is known at the start of a month."""

    features: FeatureArray
    """Of every hour of the series."""
    yardstick: FloatArray
    """Clear-sky power and twilight, as a share of capacity; 0 where nothing was ever produced."""
    chain: FloatArray
    """Share of capacity that the plain chain makes of the forecast irradiance."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Score five months, forecast the sixth."""
    begin = time.perf_counter()
    options = _options(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    zones = read_zones(options.data)
    start = zones[0].power.start
    seconds: dict[str, float] = {}
    scores: dict[str, dict[str, float]] = {}
    parts: dict[str, Any] = {}
    for month, following in zip(MONTHS, [*MONTHS[1:], "2013-05"], strict=True):
        last = month == MONTHS[-1]
        if options.only_april and not last:
            continue
        since = time.perf_counter()
        first, end = (_hour(name, start) for name in (month, following))
        ready = [_prepare(zone, first) for zone in zones]
        ensemble = _fit(zones, ready, first, options)
        parts[month] = {
            name: round(float(share.mean()), 3)
            for name, share in zip(ensemble.names, ensemble.shares, strict=True)
        }
        target = np.arange(first, end)
        quantiles = [_forecast(ensemble, one, target) for one in ready]
        seconds[month] = round(time.perf_counter() - since, 1)
        if last:
            _write(options, zones, quantiles, first, end)
        else:
            scores[month] = _scores(zones, ready, quantiles, first, end)
            _say(f"{month}: {scores[month]} shares {parts[month]} {seconds[month]} s")
    result = {
        "benchmark": "gefcom2014",
        "goal": GOAL,
        "published_april": PUBLISHED,
        "rolling_origin": scores,
        "rolling_origin_mean": {
            name: round(float(np.mean([one[name] for one in scores.values()])), 5)
            for name in next(iter(scores.values()), {})
        },
        "shares": parts,
        "weather_mode": "archived_nwp",
        "organisers_method": "last year's value: not to be had before April 2013",
        "seed": options.seed,
        "net_members": options.members,
        "seconds": seconds,
        "wall_s": round(time.perf_counter() - begin, 1),
        "out": str(options.out),
        "data_from": format_iso8601(start),
    }
    line = json.dumps(result, allow_nan=False)
    if options.json:
        options.json.write_text(line + "\n", encoding="utf-8")
    sys.stdout.write(line + "\n")
    return 0


def _prepare(zone: Zone, first: int) -> Prepared:
    """Learn the site from the hours before ``first``; features know no measurement at all."""
    steps = len(zone.weather)
    known = zone.power.window(0, first)
    learned = learn_site(zone.form, known)
    sky = Sky.over(learned.site, known.start, steps + HOURS_PER_DAY, HOUR_MS, learned)
    weather = SkyWeather.over(learned.site, known.start, sky, zone.weather)
    blind = SiteSeries(known.start, np.full(steps, np.nan), step_ms=HOUR_MS)
    features = build_features(
        learned.site,
        blind,
        np.arange(0, steps, HOURS_PER_DAY),
        np.arange(HOURS_PER_DAY),
        sky,
        weather,
    )
    clear = sky.power[:steps] / CAPACITY_W
    possible = sky.position.elevation[:steps] >= learned.lowest_elevation - 0.5
    return Prepared(
        features.reshape(steps, -1),
        np.where(possible, clear + TWILIGHT, 0.0),
        np.nan_to_num(weather.power_index[:steps]) * clear,
    )


def _fit(
    zones: list[Zone], ready: list[Prepared], first: int, options: argparse.Namespace
) -> QuantileEnsemble:
    features, target, weight, groups = [], [], [], []
    for zone, one in zip(zones, ready, strict=True):
        actual = zone.power.ac_power[:first] / CAPACITY_W
        use = np.flatnonzero((one.yardstick[:first] > 0) & np.isfinite(actual))
        features.append(one.features[use])
        target.append(np.clip(actual[use] / one.yardstick[use], 0.0, INDEX_MAX))
        weight.append(one.yardstick[use])
        groups.append(_solar_day(use) // BLOCK_DAYS)
    rows = Rows(
        np.concatenate(features),
        np.concatenate(target).astype(np.float32),
        np.concatenate(weight).astype(np.float32),
    )
    experts = [
        net_expert(NetSettings(members=options.members, seed=options.seed)),
        forest_expert(ForestSettings(seed=options.seed, threads=options.threads)),
    ]
    return fit_quantile_ensemble(rows, np.concatenate(groups), experts, LEVELS, progress=_say)


def _forecast(ensemble: QuantileEnsemble, one: Prepared, target: IntArray) -> FloatArray:
    """Quantiles (hours, levels) as shares of capacity; exactly 0 where nothing is possible."""
    yardstick = one.yardstick[target, None]
    index = np.clip(ensemble.predict(one.features[target]), 0.0, None)
    return np.asarray(np.where(yardstick > 0, index * yardstick, 0.0))


def _scores(
    zones: list[Zone], ready: list[Prepared], quantiles: list[FloatArray], first: int, end: int
) -> dict[str, float]:
    per_zone: list[dict[str, float]] = []
    for zone, one, ours in zip(zones, ready, quantiles, strict=True):
        power = zone.power.ac_power / CAPACITY_W
        actual, past = power[first:end], power[:first]
        others = {
            "climatology_of_hour": references.hour_climatology(past, first, end, LEVELS),
            "climatology_of_index": references.index_climatology(past, one.yardstick, first, end),
            "chain": references.scaled_chain(past, one.chain, first, end),
        }
        lit = one.yardstick[first:end] > 0.05
        per_zone.append(
            {
                "pinball": pinball(actual, ours.T, LEVELS),
                **{
                    name: pinball(actual, np.broadcast_to(q.T, ours.T.shape), LEVELS)
                    for name, q in others.items()
                },
                "coverage_80": coverage(actual[lit], ours[lit, 9], ours[lit, 89]),
            }
        )
    return {name: round(float(np.mean([one[name] for one in per_zone])), 5) for name in per_zone[0]}


def _write(
    options: argparse.Namespace,
    zones: list[Zone],
    quantiles: list[FloatArray],
    first: int,
    end: int,
) -> None:
    """The file of the competition; every row of its blank must lie in the month."""
    blank = read_blank(options.data, zones[0].power.start)
    if min(blank.hours) < first or max(blank.hours) >= end:
        raise ValueError(f"{options.data}: benchmark01.csv.gz does not speak of {MONTHS[-1]}")
    whole = {}
    for zone, values in zip(zones, quantiles, strict=True):
        whole[zone.name] = np.zeros((end, len(LEVELS)))
        whole[zone.name][first:end] = values
    write_quantiles(options.out, blank, whole)


def _solar_day(hours: IntArray) -> IntArray:
    """Number of the local day: in the east of Australia the sun's midnight is at 14 UTC."""
    return (hours + 10) // HOURS_PER_DAY


def _hour(month: str, start: int) -> int:
    return (parse_iso8601(f"{month}-01T00:00:00Z") - start) // HOUR_MS


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.gefcom2014", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", type=Path, default=data_dir(), help="folder of the recordings")
    parser.add_argument("--out", type=Path, default=OUT, help=f"quantile file (default: {OUT})")
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--members", type=int, default=5, help="networks that are averaged")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only-april", action="store_true", help="no rolling origin")
    options = parser.parse_args(arguments)
    inner = options.data / "gefcom2014-solar"
    options.data = inner if inner.is_dir() else options.data
    return options


if __name__ == "__main__":
    sys.exit(main())
