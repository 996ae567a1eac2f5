"""One forecast on the box: features, models, blend, 192 steps, against the limit of 10 ms.

Trains a small bundle from the typical year that pvlib carries (about half a minute), then measures
each part on one thread. Prints one JSON line; times are medians of ``ROUNDS`` in milliseconds.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from central.intake.tmy3 import bundled_weather_file
from central.site_series import run_site_series
from central.training.dataset import TrainingSite
from central.training.histories import read_history
from central.training.pipeline import train
from central.training.presets import PRESETS, PresetName
from models.contract.timestamps import HORIZON_STEPS
from models.features.build import build_features, build_windows
from models.features.site import Site
from models.features.sky import Sky
from models.features.spec import HISTORY_STEPS
from models.forecasters.bundle import BundleForecaster
from models.forecasters.persistence import smart_persistence_quantiles

ROUNDS = 200
LIMIT_MS = 10.0


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        history = work / "history.csv"
        summary = run_site_series(bundled_weather_file(), work / "series.csv", history_file=history)
        plant = summary.plant
        site = Site(
            latitude=plant.latitude,
            longitude=plant.longitude,
            dc_capacity_w=plant.dc_capacity_w,
            ac_capacity_w=plant.ac_capacity_w,
            tilt=plant.tilt,
            azimuth=plant.azimuth,
            elevation=plant.elevation_m,
        )
        series = read_history(history)
        trained = TrainingSite("bench", site, series, summary.source_minutes)
        candidate = train([trained], PRESETS[PresetName.SMALL], work, series.end)
        forecaster = BundleForecaster.load(candidate.directory)
        size = sum(file.stat().st_size for file in candidate.directory.rglob("*") if file.is_file())

    recent = series.window(len(series) - HISTORY_STEPS, len(series))
    sky = Sky.over(site, recent.start, HISTORY_STEPS + HORIZON_STEPS + 1)
    features = build_features(site, recent, [HISTORY_STEPS], sky=sky)[0]
    window = build_windows(site, recent, [HISTORY_STEPS], sky)[0]
    parts = {
        "sky": lambda: Sky.over(site, recent.start, HISTORY_STEPS + HORIZON_STEPS + 1),
        "features": lambda: build_features(site, recent, [HISTORY_STEPS], sky=sky),
        "window": lambda: build_windows(site, recent, [HISTORY_STEPS], sky),
        "models_and_blend": lambda: forecaster.predict_normalised(features, window),
        "cycle": lambda: forecaster.predict(site, recent),
        "smart_persistence": lambda: smart_persistence_quantiles(site, series),
    }
    result: dict[str, float] = {f"{part}_ms": _median_ms(run) for part, run in parts.items()}
    result["limit_ms"] = LIMIT_MS
    result["cycle_over_limit"] = result["cycle_ms"] / LIMIT_MS
    result["bundle_bytes_both_cpus"] = size
    print(json.dumps(result))


def _median_ms(run: Callable[[], object]) -> float:
    run()
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1000


if __name__ == "__main__":
    main()
