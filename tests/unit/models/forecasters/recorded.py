"""Recorded plants with a forecaster that knows only the weather forecast: what a fleet's model is
to a plant it has never seen. Trained to the end of February 2019, asked in March and April."""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from models.contract.forecast import LEVELS
from models.contract.timestamps import HOUR_MS, STEP_MS
from models.features.site import FloatArray, IntArray, Site
from models.features.sky import Sky

LEADS = np.array([0, 3, 5, 7, 11, 15, 19, 23, 35, 47, 71, 95, 119, 143, 167, 191])
PLANTS = {
    "00": Site(38.04778, 114.95139, dc_capacity_w=6.63e6, ac_capacity_w=6.6e6, tilt=33),
    "04": Site(39.5155, 114.86767, dc_capacity_w=20.05e6, ac_capacity_w=20e6, tilt=37),
}
_SKIES = np.linspace(0.15, 0.95, 5)


@dataclass(frozen=True)
class Cases:
    """Hourly issues of one plant; arrays are (cases, leads), quantiles (cases, levels, leads)."""

    issues: IntArray
    quantiles: FloatArray
    actual: FloatArray
    clear: FloatArray
    hour_angle: FloatArray
    elevation: FloatArray
    limit: float


def recorded_cases(data_dir: Path, station: str) -> Cases:
    """March and April 2019 of ``station``."""
    site = PLANTS[station]
    start, power, weather = _read(next((data_dir / "pvod").glob(f"station{station}_*")))
    sky = Sky.over(site, start, len(power) + int(LEADS[-1]) + 1)
    split = (_instant("2019-02-28 16:00:00") - start) // STEP_MS
    limit = float(np.nanmax(power[:split]))
    skies = np.searchsorted(_SKIES, weather / np.maximum(sky.ghi[: len(power)], 20.0))
    daylight = sky.daylight[: len(power)] & np.isfinite(power)
    index = np.where(daylight, power / np.maximum(sky.power[: len(power)], 1.0), np.nan)
    learned = np.stack(
        [
            np.nanquantile(index[:split][skies[:split] == one], LEVELS)
            for one in range(len(_SKIES) + 1)
        ]
    )
    at = np.arange(split, len(power) - LEADS[-1], HOUR_MS // STEP_MS)[:, None] + LEADS
    clear = sky.power[at]
    quantiles = np.clip(np.moveaxis(learned[skies[at]] * clear[..., None], -1, 1), 0.0, limit)
    return Cases(
        issues=start + at[:, 0] * STEP_MS,
        quantiles=quantiles,
        actual=power[at],
        clear=clear,
        hour_angle=sky.position.hour_angle[at],
        elevation=sky.position.elevation[at],
        limit=limit,
    )


def _read(path: Path) -> tuple[int, FloatArray, FloatArray]:
    with gzip.open(path, "rt", encoding="utf-8-sig") as file:
        rows = [
            (_instant(row["date_time"]), row["power"], row["nwp_globalirrad"])
            for row in csv.DictReader(file)
        ]
    start = rows[0][0]
    power = np.full((rows[-1][0] - start) // STEP_MS + 1, np.nan)
    weather = power.copy()
    for time, megawatts, irradiance in rows:
        power[(time - start) // STEP_MS] = max(float(megawatts), 0.0) * 1e6
        weather[(time - start) // STEP_MS] = float(irradiance)
    return start, power, weather


def _instant(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000
