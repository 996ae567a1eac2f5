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

from benchmarks._bundle import small_bundle
from models.contract.timestamps import HORIZON_STEPS
from models.features.build import build_features, build_windows
from models.features.sky import Sky
from models.features.spec import HISTORY_STEPS
from models.forecasters.bundle import BundleForecaster
from models.forecasters.persistence import smart_persistence_quantiles

ROUNDS = 200
LIMIT_MS = 10.0


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        bundle = small_bundle(Path(name))
        site, series = bundle.site, bundle.series
        forecaster = BundleForecaster.load(bundle.directory)
        size = sum(file.stat().st_size for file in bundle.directory.rglob("*") if file.is_file())

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
