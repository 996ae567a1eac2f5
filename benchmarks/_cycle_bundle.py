"""A bundle with every model in it, each with a say, and the weather that it was trained with.

``python -m benchmarks._cycle_bundle DIRECTORY small|full`` trains it on the typical year that pvlib
carries. Decides that it costs the box as much as a bundle of that preset can: as many trees as the
settings allow (a training usually stops earlier), networks of its size, and a share of the blend
for each expert. It is no good forecaster: it has seen few rows a few times. The training runs in a
process of its own: once tensorflow has been imported anywhere in a process, the box's own
interpreter of the LSTM does not run there.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.bundle.archive import read_manifest, write_manifest
from models.bundle.names import GENERATION_LSTM, GENERATION_NEAR, GENERATION_NET
from models.contract.timestamps import HORIZON_STEPS, HOUR_MS, STEP_MS
from models.features.site import FloatArray, Site
from models.features.sky import Sky
from models.features.weather import WeatherSeries
from models.forecasters.blend import NEAR_STEPS

if TYPE_CHECKING:
    from central.training.trees import TreeSettings

HISTORY = "history.csv"
CANDIDATE = "candidate"
NAME = "bench"
SITE = Site(
    36.1, -79.95, dc_capacity_w=6000.0, ac_capacity_w=5000.0, tilt=30.0, azimuth=180.0,
    elevation=273.0,
)  # fmt: skip
"""The plant that stands in the history: Greensboro, where the typical year was measured."""
UTC_OFFSET_MIN = -300
_HOUR_STEPS = HOUR_MS // STEP_MS
_SEED = 7
_ROWS, _WINDOWS, _CASE_EVERY = 60_000, 2_000, 53


def train_apart(directory: Path, preset: str) -> None:
    """Train in a child process; its progress goes to standard error."""
    command = [sys.executable, "-m", "benchmarks._cycle_bundle", str(directory), preset]
    subprocess.run(command, check=True, stdout=sys.stderr)


def hourly_weather(start: int, ghi: FloatArray) -> WeatherSeries:
    """A weather forecast in hours that is wrong as forecasts are: measured ``ghi``, disturbed."""
    random = np.random.default_rng(_SEED)
    hours = len(ghi) // _HOUR_STEPS
    measured = ghi[: hours * _HOUR_STEPS].reshape(hours, _HOUR_STEPS).mean(axis=1)
    # Errors last for some hours.
    noise = np.convolve(random.normal(size=hours), np.full(6, 0.41), mode="same")
    told = measured * np.clip(1.0 + 0.3 * noise, 0.2, 1.6)
    clear = Sky.over(SITE, start, hours, HOUR_MS).ghi
    cloud = np.clip(1.0 - told / np.maximum(clear, 50.0), 0.0, 1.0)
    hour = np.arange(hours)
    values = {
        "ghi": told,
        "dhi": told * np.clip(0.25 + cloud, 0.0, 1.0),
        "cloud_cover": 100.0 * cloud,
        "temp_air": 15.0 - 10.0 * np.cos(2 * np.pi * hour / 8766) + 3.0 * noise,
        "relative_humidity": np.clip(60.0 + 30.0 * cloud + 5.0 * noise, 5.0, 100.0),
        "wind_speed": np.abs(3.0 + noise),
        "wind_direction": (180.0 + 60.0 * noise) % 360.0,
        "pressure": 98_000.0 + 500.0 * noise,
        "precipitation": np.maximum(cloud - 0.8, 0.0) * 5.0,
        "cloud_liquid_water": 0.2 * cloud,
        "cloud_ice_water": 0.1 * np.maximum(cloud - 0.3, 0.0),
        "longwave_down": 300.0 + 60.0 * cloud,
    }
    return WeatherSeries(start - start % HOUR_MS, values, HOUR_MS)


def _train(directory: Path, name: str) -> None:
    from central.intake.tmy3 import bundled_weather_file
    from central.site_series import run_site_series
    from central.training.dataset import TrainingSite
    from central.training.demand import DemandHome
    from central.training.histories import read_column, read_history
    from central.training.pipeline import train
    from central.training.presets import PRESETS, PresetName
    from central.training.weather_archive import WeatherArchive
    from models.contract.forecast import WeatherMode
    from models.features.demand_history import DemandSeries, local_minutes
    from models.runtimes.elf import current_cpu

    preset = PRESETS[PresetName(name)]
    preset = replace(
        preset,
        trees=_every_tree(preset.trees),
        near=_every_tree(preset.near),
        lstm=replace(preset.lstm, epochs=1),
        net=replace(preset.net, epochs=1),
        demand=replace(preset.demand, trees=_every_tree(preset.demand.trees), rows=_ROWS),
        rows=_ROWS,
        near_rows=_ROWS,
        windows=_WINDOWS,
        case_every=_CASE_EVERY,
        learn_every_days=28,
    )

    history = directory / HISTORY
    summary = run_site_series(
        bundled_weather_file(), directory / "series.csv", history_file=history
    )
    series = read_history(history)
    ghi, load = read_column(history, "ghi"), read_column(history, "load_power")
    assert ghi is not None
    assert load is not None
    archive = WeatherArchive.unknown_issue(hourly_weather(series.start, ghi.ac_power))
    site = TrainingSite(NAME, SITE, series, summary.source_minutes, archive)
    clock = local_minutes(load.start, len(load) + HORIZON_STEPS, 15, lambda at: UTC_OFFSET_MIN)
    candidate = train(
        [site],
        preset,
        directory,
        series.end,
        homes=[DemandHome(NAME, DemandSeries(load.ac_power, clock))],
        weather_mode=WeatherMode.NWP_UNKNOWN_ISSUE,
        cpus=[current_cpu()],
        progress=lambda text: print(text, flush=True),
    )
    third = (1.0 / 3.0,) * HORIZON_STEPS
    manifest = read_manifest(candidate.directory)
    near = tuple(0.25 if step < NEAR_STEPS else 0.0 for step in range(HORIZON_STEPS))
    shares = {GENERATION_LSTM: third, GENERATION_NET: third, GENERATION_NEAR: near}
    write_manifest(candidate.directory, replace(manifest, shares=shares))


def _every_tree(settings: TreeSettings) -> TreeSettings:
    return replace(settings, fewest=settings.trees, patience=settings.trees)


if __name__ == "__main__":
    _train(Path(sys.argv[1]), sys.argv[2])
