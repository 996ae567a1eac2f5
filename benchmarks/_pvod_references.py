"""What ``benchmarks.pvod`` has to beat: persistence, climatology, LightGBM, a pvlib chain.

All see what our forecaster sees and are clamped alike. LightGBM is fitted as one would without
knowing better (one model per lead, mean absolute error of power) and, to be fair, on our target as
well. ``lightgbm`` is a development dependency; without it those rows are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pvlib

from benchmarks._pvod_tables import Table, first_instant
from central.evaluation.references import Climatology
from models.contract.timestamps import STEP_MS, Instant
from models.features.site import FloatArray
from models.features.sky import CSI_MAX, clear_sky_index
from models.features.solar_geometry import solar_position
from models.features.spec import ANCHOR

_LIGHTGBM = {
    "objective": "l1",
    "num_leaves": 31,
    "learning_rate": 0.05,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.5,
    "bagging_freq": 1,
    "verbose": -1,
    "seed": 1,
}
_ROUNDS = 200
_MOST_ROWS = 40_000
"""Per lead; as many as ours sees."""


def smart_persistence(table: Table) -> FloatArray:
    """The last clear-sky index of power, carried on; W, (issues, leads)."""
    power = table.persisted[:, None] * table.clear
    return _clamped(table, power)


def haurwitz_persistence(table: Table) -> FloatArray:
    """The reference of the issue: Haurwitz irradiance as clear sky, scaled to the normaliser."""
    plant, norm = table.plant, table.norm_w
    series = plant.series
    steps = len(series) + int(table.leads.max()) + 1
    times = series.start + np.arange(steps, dtype=np.int64) * STEP_MS
    sun = solar_position(times, plant.declared.latitude, plant.declared.longitude)
    cosine = np.maximum(np.sin(np.radians(sun.elevation)), 1e-3)
    ghi = np.where(sun.elevation > 0.0, 1098.0 * cosine * np.exp(-0.057 / cosine), 0.0)
    clear = np.maximum(ghi / 1000.0 * norm, 1e-9)
    index = np.where(
        sun.elevation[: len(series)] > 0, series.ac_power / clear[: len(series)], np.nan
    )
    index = pd.Series(index).ffill().to_numpy()
    issue = (table.issues - series.start) // STEP_MS
    carried = np.where(issue > 0, index[np.maximum(issue - 1, 0)], np.nan)
    power = carried[:, None] * clear[issue[:, None] + table.leads]
    return np.asarray(np.where(table.scored, np.clip(power, 0.0, norm), np.nan))


def climatology(table: Table, train_until: Instant) -> FloatArray:
    """Mean index of the solar time of day in the training span; of 0.6 for a new plant."""
    plant = table.plant
    known = plant.before(train_until)
    index = clear_sky_index(known.ac_power, table.sky) if len(known) else np.array([])
    if not np.isfinite(index).any():
        return _clamped(table, np.full(table.clear.shape, 0.6) * table.clear)
    times = known.start + np.arange(len(known), dtype=np.int64) * STEP_MS
    found = Climatology.fit(times, index, plant.declared.longitude)
    return _clamped(table, found.index(table.targets) * table.clear)


def pvlib_chain(table: Table, train_until: Instant) -> FloatArray | None:
    """Forecast irradiance through pvlib to power, scaled to the plant's training span.

    Declared tilt, facing the equator; Erbs, isotropic sky, SAPM cell temperature, PVWatts.
    """
    plant = table.plant
    if plant.weather is None:
        return None
    weather = plant.weather.values
    times = plant.weather.start + np.arange(len(plant.weather), dtype=np.int64) * STEP_MS
    stamps = pd.DatetimeIndex(pd.to_datetime(times + STEP_MS // 2, unit="ms", utc=True))
    site = plant.declared
    sun = pvlib.solarposition.get_solarposition(stamps, site.latitude, site.longitude)
    ghi = weather["ghi"]
    # The forecast's own direct share is nearly the same under every sky: not to be believed.
    split = pvlib.irradiance.erbs(ghi, sun["zenith"].to_numpy(), stamps)
    poa = pvlib.irradiance.get_total_irradiance(
        site.tilt,
        site.azimuth,
        sun["apparent_zenith"],
        sun["azimuth"],
        split["dni"],
        ghi,
        split["dhi"],
    )["poa_global"].to_numpy()
    poa = np.nan_to_num(np.maximum(poa, 0.0))
    cell = pvlib.temperature.sapm_cell(
        poa, weather["temp_air"], weather["wind_speed"], a=-3.56, b=-0.075, deltaT=3.0
    )
    power = np.asarray(pvlib.pvsystem.pvwatts_dc(poa, cell, 1.0, -0.004))
    known = plant.before(train_until).ac_power
    seen = power[: len(known)]
    use = np.isfinite(known) & np.isfinite(seen) & (seen > 0.02)
    scale = known[use].sum() / seen[use].sum() if use.sum() > 100 else site.ac_capacity_w
    target = (table.targets - plant.weather.start) // STEP_MS
    inside = (target >= 0) & (target < len(power))
    value = np.where(inside, power[np.clip(target, 0, len(power) - 1)], np.nan)
    return _clamped(table, value * scale)


def lightgbm_alone(
    tables: Sequence[Table],
    tests: Sequence[Table],
    train_until: Instant,
    threads: int,
    *,
    of_index: bool,
) -> list[FloatArray] | None:
    """One LightGBM per lead over all plants with our features; None where it is not installed.

    Fitted on what of ``tables`` lies before ``train_until``; forecasts ``tests``.
    """
    try:
        import lightgbm
    except ImportError:
        return None
    begin = first_instant(tables)
    train = [one.part(begin, train_until) for one in tables]
    results = [np.full(one.actual.shape, np.nan) for one in tests]
    parameters = _LIGHTGBM | {"num_threads": threads}
    random = np.random.default_rng(1)
    for place in range(len(tables[0].leads)):
        cuts = [_of_lead(one, place) for one in train if len(one.features)]
        features, power, clear = (np.concatenate(column) for column in zip(*cuts, strict=True))
        chosen = np.sort(random.choice(len(power), min(len(power), _MOST_ROWS), replace=False))
        features, power, clear = features[chosen], power[chosen], clear[chosen]
        if of_index:
            index = np.clip(power / clear, 0.0, CSI_MAX) - features[:, ANCHOR]
            data = lightgbm.Dataset(features, index, weight=clear)
        else:
            data = lightgbm.Dataset(features, power)
        model = lightgbm.train(parameters, data, _ROUNDS)
        for table, result in zip(tests, results, strict=True):
            rows, _, clear_here = _of_lead(table, place)
            if not len(rows):
                continue
            value = np.asarray(model.predict(rows))
            if of_index:
                value = (value + rows[:, ANCHOR]) * clear_here
            result[table.scored[:, place], place] = value * table.norm_w
    return [_clamped(table, result) for table, result in zip(tests, results, strict=True)]


def _of_lead(table: Table, place: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Features, power and clear-sky power (shares of the normaliser) of one lead."""
    scored = table.scored[:, place]
    of_pair = np.nonzero(table.scored)[1] == place
    norm = table.norm_w
    clear = np.maximum(table.clear[scored, place] / norm, 0.01)
    return table.features[of_pair], table.actual[scored, place] / norm, clear


def _clamped(table: Table, power: FloatArray) -> FloatArray:
    return np.asarray(np.where(table.scored, np.clip(power, 0.0, table.learned.limit_w), np.nan))
