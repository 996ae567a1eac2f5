"""What is learned of sites whose truth is known, after 7, 30, 90 and 300 days, and what it costs.

``python -m benchmarks.learned_site --data DIR [--json FILE]`` prints a table. For each plant and
span: what was learned beside the truth, and how far clear-sky power is off on the cloudless-looking
intervals of the following 30 days (share of their energy), by the form and as learned. Nothing of
those 30 days is seen while learning. Times are CPU milliseconds of this process, best of three.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._learned_recordings import FORT_COLLINS, Plant, invented, recorded, simulated
from benchmarks._recorded import data_dir
from models.contract.timestamps import DAY_MS
from models.features._learned_days import SolarDays
from models.features.clearsky import clearsky_ac_power, clearsky_poa, simplified_solis
from models.features.learned_site import LearnedSite, learn_site
from models.features.site import FloatArray, IntArray, Site, SiteSeries
from models.features.solar_geometry import apparent_elevation, solar_position

SPANS = (7, 30, 90, 300)
_AFTER_DAYS = 30
_FEWEST = 30
_TIMED_DAYS = 60


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=data_dir())
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    begun = time.perf_counter()
    rows = [
        row for plant in [*recorded(options.data), *invented(options.data)] for row in judged(plant)
    ]
    for row in rows:
        print(_line(row))
    result: dict[str, Any] = {
        "benchmark": "learned_site",
        "learning_cpu_ms": learning_ms(options.data),
        "clear_error_after": _means(rows),
        "wall_s": round(time.perf_counter() - begun, 1),
    }
    print(json.dumps(result, allow_nan=False))
    if options.json:
        options.json.write_text(json.dumps(result | {"rows": rows}, indent=1, allow_nan=False))


def judged(plant: Plant) -> Iterator[dict[str, Any]]:
    """One row for each span that the plant's series is long enough for."""
    per_day = DAY_MS // plant.series.step_ms
    days = SolarDays.of(
        plant.series.start, plant.series.ac_power, plant.series.step_ms, plant.declared.longitude
    )
    position = solar_position(days.times, plant.declared.latitude, plant.declared.longitude)
    cloudless = days.near_best(days.peak_w) & days.smooth(days.peak_w) & (position.elevation > 7.0)
    have = len(plant.series) // per_day
    for span in sorted({min(span, have) for span in SPANS}):
        learned = learn_site(plant.declared, plant.series.window(0, span * per_day))
        until = plant.series.start + span * DAY_MS
        after = cloudless & (days.times >= until) & (days.times < until + _AFTER_DAYS * DAY_MS)
        times, power = days.times[after], days.power[after]
        enough = len(times) >= _FEWEST
        yield {
            "plant": plant.name,
            "days": span,
            "declared": [plant.declared.tilt, plant.declared.azimuth],
            "true": None if plant.azimuth is None else [plant.tilt, plant.azimuth],
            "two_planes": plant.two_planes,
            "planes": [[round(p.tilt, 1), round(p.azimuth, 1)] for p in learned.planes],
            "dc_share": round(learned.site.dc_capacity_w / plant.declared.dc_capacity_w, 3),
            "capacity_share": round(learned.capacity_w / plant.declared.ac_capacity_w, 3),
            "plateau_share": learned.plateau_w
            and round(learned.plateau_w / plant.declared.ac_capacity_w, 3),
            "lowest_elevation": learned.lowest_elevation,
            "clock_offset_min": learned.clock_offset_min,
            "shaded_bins": len(learned.shading),
            "evidence": asdict(learned.evidence),
            "json_bytes": len(learned.to_json()),
            "form_error": _off(_plain(plant.declared, times), power) if enough else None,
            "learned_error": _off(learned.clear_power(times), power) if enough else None,
        }


def learning_ms(data: Path) -> dict[str, float]:
    """Milliseconds to learn from two months of quarter hours, and from ten."""
    form, series = simulated(data, FORT_COLLINS, ((30.0, 180.0),))
    plants = {"right": form, "wrong": replace(form, azimuth=270.0, dc_capacity_w=9000.0)}
    first = 90 * 96
    return {
        f"{days}_days_form_{name}": round(
            min(_timed_ms(site, series.window(first, first + days * 96)) for _ in range(3)), 1
        )
        for name, site in plants.items()
        for days in (_TIMED_DAYS, 270)
    }


def _timed_ms(site: Site, series: SiteSeries) -> float:
    begun = time.process_time()
    assert isinstance(learn_site(site, series), LearnedSite)
    return (time.process_time() - begun) * 1e3


def _plain(site: Site, times: IntArray) -> FloatArray:
    """Clear-sky power by the form and the plain yardstick."""
    position = solar_position(times, site.latitude, site.longitude)
    seen = apparent_elevation(position.elevation, pressure=site.pressure)
    clear = simplified_solis(seen, pressure=site.pressure, dni_extra=position.dni_extra)
    poa = clearsky_poa(position, clear, site.tilt, site.azimuth)
    return clearsky_ac_power(poa, site.dc_capacity_w, site.ac_capacity_w)


def _off(expected: FloatArray, power: FloatArray) -> float:
    return round(float(np.abs(expected - power).sum() / power.sum()), 4)


def _means(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """By span: mean error of the form and as learned, and plants counted."""
    result = {}
    for span in SPANS:
        pairs = [
            (row["form_error"], row["learned_error"])
            for row in rows
            if row["days"] == span and row["form_error"] is not None
        ]
        if pairs:
            form, learned = np.mean(pairs, axis=0)
            result[str(span)] = [round(float(form), 4), round(float(learned), 4), len(pairs)]
    return result


def _line(row: dict[str, Any]) -> str:
    truth = "two planes" if row["two_planes"] else row["true"]
    planes = " + ".join(f"{tilt:.0f}/{azimuth:.0f}" for tilt, azimuth in row["planes"])
    return (
        f"{row['plant']:36s} {row['days']:4d} d  true {truth!s:14s} form {row['declared']!s:14s} "
        f"-> {planes:15s} dc x{row['dc_share']:.2f} cap x{row['capacity_share']:.2f} "
        f"plateau {row['plateau_share']} low {row['lowest_elevation']:g} "
        f"clock {row['clock_offset_min']} shade {row['shaded_bins']} "
        f"conf {row['evidence']['confidence']:.2f} "
        f"error {row['form_error']} -> {row['learned_error']}"
    )


if __name__ == "__main__":
    main()
