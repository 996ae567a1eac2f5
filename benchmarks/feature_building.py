"""Rows per second of ``build_features``, against a pandas and pvlib pipeline of the same columns.

``python -m benchmarks.feature_building [--json FILE]``: a year in quarters of an hour (the typical
year that pvlib carries, with seeded gaps), every issue of it times the leads 0, 1, 3, 15, 95 and
191. Both sides begin from the measured series and end with a float32 matrix; sun and clear sky are
in the time. Ours goes in chunks of 400 issues as the trainer does and fills all columns, those of a
weather forecast with NaN; the peer (``_feature_peer``) makes the columns that need no forecast, all
issues at once. In turns, one thread. Columns are compared first: a share of values may fall on the
other side of a threshold (daylight begins at 2 % of the capacity, and the two suns differ by
0.002 degrees), the rest must agree. Ours with a weather forecast stands beside it, without a peer.
Last line: JSON; exit code 1 when the columns disagree.
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

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks._cycle_bundle import SITE, hourly_weather
from benchmarks._feature_peer import COLUMNS, STEP, peer_features
from central.intake.tmy3 import bundled_weather_file
from central.site_series import run_site_series
from models.contract.timestamps import HORIZON_STEPS, STEPS_PER_DAY
from models.features.build import FeatureArray, build_features
from models.features.site import SiteSeries
from models.features.sky import Sky
from models.features.spec import FEATURES, HISTORY_STEPS
from models.features.weather import SkyWeather, WeatherSeries

LEADS = (0, 1, 3, 15, 95, 191)
CHUNK = 400
ROUNDS = 5
TOLERANCE = 0.005
"""Of a value, or of 1 where that is more (the air mass, 38 at the horizon, goes up by 9 a
degree)."""
MOST_DIFFERENT = 0.002
"""Share of a column's values that may differ by more, or be known to one side only."""
_GAPS, _SEED = 60, 3


def main(arguments: list[str]) -> int:
    """Compare, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, help="also write the result here")
    options = parser.parse_args(arguments)
    begun = time.perf_counter()
    measured = _typical_year()
    start = int(measured.index[0].timestamp() * 1000)
    columns = (measured[name].to_numpy(np.float64) for name in ("ac_power", "temp_air", "ghi"))
    power, temp_air, ghi = columns
    series = SiteSeries(start, power, temp_air, ghi, measured["dhi"].to_numpy(np.float64))
    weather = hourly_weather(start, np.nan_to_num(ghi))
    first, last = HISTORY_STEPS, len(series) - HORIZON_STEPS
    rows = (last - first) * len(LEADS)

    def theirs() -> npt.NDArray[Any]:
        return peer_features(SITE, measured, first, last, LEADS)

    differences = _differences(_ours(series, first, last), theirs())
    sides: dict[str, Callable[[], object]] = {
        "ours": lambda: _ours(series, first, last),
        "peer": theirs,
        "ours_with_weather": lambda: _ours(series, first, last, weather),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, run in sides.items():
            begin = time.process_time()
            run()
            seconds[name].append(time.process_time() - begin)
    speed = {name: rows / statistics.median(taken) for name, taken in seconds.items()}
    ratios = [theirs / ours for ours, theirs in zip(seconds["ours"], seconds["peer"], strict=True)]
    worst = max(differences, key=lambda name: differences[name])
    agree = differences[worst] <= MOST_DIFFERENT
    result: dict[str, Any] = {
        "benchmark": "feature_building",
        "rows": rows,
        "columns_ours": len(FEATURES),
        "columns_compared": len(COLUMNS),
        "rounds": options.rounds,
        "rows_per_cpu_s": {name: round(value) for name, value in speed.items()},
        "ratio": round(statistics.median(ratios), 2),
        "ratio_lowest": round(min(ratios), 2),
        "ratio_highest": round(max(ratios), 2),
        "agree": agree,
        "tolerance": TOLERANCE,
        "most_different": {"column": worst, "share": round(differences[worst], 6)},
        "columns_all_within": sum(share == 0.0 for share in differences.values()),
        "load_average": round(os.getloadavg()[0], 2),
        "wall_s": round(time.perf_counter() - begun, 1),
    }
    for name, share in sorted(differences.items(), key=lambda item: -item[1]):
        if share > 0.0:
            print(f"{name:26} {share:9.5%} of the values differ")
    print(json.dumps(result))
    if options.json:
        options.json.write_text(json.dumps(result | {"seconds": seconds}, indent=1))
    return 0 if agree else 1


def _ours(
    series: SiteSeries, first: int, last: int, forecast: WeatherSeries | None = None
) -> FeatureArray:
    sky = Sky.over(SITE, series.start, len(series) + HORIZON_STEPS + STEPS_PER_DAY)
    weather = None if forecast is None else SkyWeather.over(SITE, series.start, sky, forecast)
    return np.concatenate(
        [
            build_features(
                SITE, series, np.arange(low, min(low + CHUNK, last)), LEADS, sky, weather
            )
            for low in range(first, last, CHUNK)
        ]
    )


def _differences(ours: FeatureArray, theirs: npt.NDArray[Any]) -> dict[str, float]:
    """Share of the values that differ, by column."""
    shares = {}
    for place, name in enumerate(COLUMNS):
        mine, other = ours[:, :, FEATURES.index(name)], theirs[:, :, place]
        both_unknown = np.isnan(mine) & np.isnan(other)
        close = np.abs(mine - other) <= TOLERANCE * np.maximum(np.abs(mine), 1.0)
        shares[name] = 1.0 - float((both_unknown | close).mean())
    return shares


def _typical_year() -> pd.DataFrame:
    """Measured power, air temperature and irradiance, with gaps of some hours."""
    with tempfile.TemporaryDirectory(prefix="features-") as name:
        history = Path(name) / "history.csv"
        run_site_series(bundled_weather_file(), Path(name) / "series.csv", history_file=history)
        frame = pd.read_csv(history, parse_dates=["timestamp"], index_col="timestamp")
    frame = frame.asfreq(pd.tseries.frequencies.to_offset(STEP))
    random = np.random.default_rng(_SEED)
    noise = np.convolve(random.normal(size=len(frame)), np.full(24, 0.2), mode="same")
    frame["dhi"] = frame["ghi"] * np.clip(0.4 + 0.2 * noise, 0.1, 1.0)
    for begin in random.integers(0, len(frame), _GAPS):
        frame.iloc[begin : begin + int(random.integers(1, 40))] = np.nan
    return frame


if __name__ == "__main__":
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    if any(os.environ.get(name) != "1" for name in single):
        command = [sys.executable, "-m", "benchmarks.feature_building", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | single)
    sys.exit(main(sys.argv[1:]))
