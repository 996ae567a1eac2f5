"""Our sun position against pvlib's NREL SPA: how far apart, how much faster.

``python -m benchmarks.solar_geometry`` prints one line of JSON. Separations are great-circle
angles between the two directions over a random grid of instants (1990-2050) and places (whole
Earth); times are the best of several runs on the same points, so other load matters little.
"""

import json
import timeit
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
from pvlib.solarposition import get_solarposition

from models.features.solar_geometry import solar_position

_POINTS = 100_000
_LONG_RUN = 1_000_000
_FORECAST_STEPS = 192
_SEED = 20240117
_YEAR_1990_MS, _YEAR_2051_MS = 631_152_000_000, 2_556_144_000_000


def main() -> None:
    """Measure and print."""
    rng = np.random.default_rng(_SEED)
    time_ms = rng.integers(_YEAR_1990_MS, _YEAR_2051_MS, _POINTS)
    latitude = rng.uniform(-90.0, 90.0, _POINTS)
    longitude = rng.uniform(-180.0, 180.0, _POINTS)
    index = pd.DatetimeIndex(pd.to_datetime(time_ms, unit="ms", utc=True))

    def reference() -> pd.DataFrame:
        frame: pd.DataFrame = get_solarposition(
            index, latitude, longitude, method="nrel_numpy", altitude=0.0, delta_t=None
        )
        return frame

    spa = reference()
    ours = solar_position(time_ms, latitude, longitude)
    difference = _direction(ours.elevation, ours.azimuth) - _direction(
        spa["elevation"].to_numpy(), spa["azimuth"].to_numpy()
    )
    separation = np.degrees(2.0 * np.arcsin(np.linalg.norm(difference, axis=0) / 2.0))

    reference_s = _best_seconds(reference, repeat=3)
    ours_s = _best_seconds(lambda: solar_position(time_ms, latitude, longitude), repeat=5)
    steps = time_ms[:_FORECAST_STEPS]
    steps_s = _best_seconds(lambda: solar_position(steps, 52.0, 5.0), repeat=300)
    long_run = np.resize(time_ms, _LONG_RUN)
    long_run_s = _best_seconds(lambda: solar_position(long_run, 52.0, 5.0), repeat=3)
    result = {
        "benchmark": "solar_geometry",
        "reference": "pvlib nrel_numpy",
        "points": _POINTS,
        "max_separation_deg": round(float(separation.max()), 6),
        "mean_separation_deg": round(float(separation.mean()), 6),
        "time_ratio": round(ours_s / reference_s, 4),
        "ours_s": round(ours_s, 4),
        "reference_s": round(reference_s, 4),
        "forecast_192_steps_ms": round(steps_s * 1e3, 3),
        "million_points_s": round(long_run_s, 3),
    }
    print(json.dumps(result, allow_nan=False))


def _direction(
    elevation: npt.NDArray[np.float64], azimuth: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Unit vectors (east, north, up), shape (3, n)."""
    el, az = np.radians(elevation), np.radians(azimuth)
    return np.stack([np.cos(el) * np.sin(az), np.cos(el) * np.cos(az), np.sin(el)])


def _best_seconds(call: Callable[[], object], repeat: int) -> float:
    return min(timeit.repeat(call, number=1, repeat=repeat))


if __name__ == "__main__":
    main()
