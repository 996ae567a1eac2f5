"""What is learned of a site must be true, must not be learned too early, and must not break.

Simulated plants run through pvlib's chain under recorded weather, another model than the one that
learns; recorded ones have a truth from their owners.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks._learned_recordings import (
    FORT_COLLINS,
    NEW_JERSEY,
    Plant,
    behind_a_chimney,
    recorded,
    simulated,
)
from models.contract.timestamps import DAY_MS, HOUR_MS, STEP_MS, STEPS_PER_DAY
from models.features.learned_site import FORM_DAYS, LearnedSite, learn_site
from models.features.site import FloatArray, Site, SiteSeries
from models.features.solar_geometry import solar_position

Built = Callable[..., tuple[Site, SiteSeries]]
FORM = Site(47.0, 8.0, dc_capacity_w=6000, ac_capacity_w=5000, tilt=30, elevation=400)
START = 1_704_067_200_000  # 2024-01-01
SOUTH, EAST, WEST = (30.0, 180.0), (30.0, 90.0), (20.0, 270.0)


@pytest.fixture(scope="module")
def plant(data_dir: Path) -> Built:
    """A year of a simulated plant: weather, its planes, and its inverter's limit."""

    @cache
    def build(
        weather: str, *faces: tuple[float, float], limit_w: float = 9000.0
    ) -> tuple[Site, SiteSeries]:
        return simulated(data_dir, weather, faces, ac_capacity_w=limit_w)

    return build


@pytest.fixture(scope="module")
def recordings(data_dir: Path) -> dict[str, Plant]:
    return {found.name: found for found in recorded(data_dir)}


def span(series: SiteSeries, days: int, first: int = 0) -> SiteSeries:
    """Some days of a series."""
    per_day = DAY_MS // series.step_ms
    return series.window(first * per_day, (first + days) * per_day)


def middles(series: SiteSeries) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    steps = np.arange(len(series), dtype=np.int64)
    return series.start + series.step_ms // 2 + steps * series.step_ms


def turned(azimuth: float, truth: float) -> float:
    """How far apart two directions are [deg]."""
    return abs((azimuth - truth + 180.0) % 360.0 - 180.0)


def wrong(form: Site) -> Site:
    """A form with the roof's side and the plant's size wrong."""
    return replace(form, azimuth=(form.azimuth + 90.0) % 360.0, dc_capacity_w=9000.0)


@pytest.mark.parametrize("face", [SOUTH, EAST, WEST])
def test_a_week_does_not_overrule_the_form(plant: Built, face: tuple[float, float]) -> None:
    form, series = plant(FORT_COLLINS, face)
    said = wrong(form)
    learned = learn_site(said, span(series, FORM_DAYS))
    assert learned.site == said
    assert learned.planes == LearnedSite.of_form(said).planes
    assert learned.evidence.weight == 0.0


def test_a_wrong_form_is_left_bit_by_bit_not_at_once(plant: Built) -> None:
    form, series = plant(FORT_COLLINS, SOUTH)
    said = wrong(form)
    way = [learn_site(said, span(series, days, 60)) for days in (8, 11, 14, 18, 24)]
    sizes = [learned.site.dc_capacity_w for learned in way]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 8000.0
    assert sizes[-1] < 6000.0
    off = [turned(learned.site.azimuth, 180.0) for learned in way]
    assert off == sorted(off, reverse=True)
    assert off[0] > 80.0
    assert off[-1] < 10.0


@pytest.mark.parametrize("weather", [FORT_COLLINS, NEW_JERSEY])
@pytest.mark.parametrize("face", [SOUTH, EAST, WEST])
@pytest.mark.parametrize(
    ("days", "azimuth_bound", "tilt_bound", "most_w"),
    [(30, 20.0, 13.0, 7500.0), (90, 15.0, 13.0, 6500.0), (300, 7.0, 7.0, 5500.0)],
)
def test_a_wrong_side_and_size_are_found_out(
    plant: Built,
    weather: str,
    face: tuple[float, float],
    days: int,
    azimuth_bound: float,
    tilt_bound: float,
    most_w: float,
) -> None:
    form, series = plant(weather, face)
    learned = learn_site(wrong(form), span(series, days)).site
    assert turned(learned.azimuth, face[1]) <= azimuth_bound
    assert abs(learned.tilt - face[0]) <= tilt_bound
    # The true yield is 0.86 of 6000 W, less in the heat; the form says 9000 W. The first days are
    # in January, when a flatter roof that is larger gives the same.
    assert 4400.0 <= learned.dc_capacity_w <= most_w


@pytest.mark.parametrize("weather", [FORT_COLLINS, NEW_JERSEY])
@pytest.mark.parametrize("face", [SOUTH, EAST, WEST])
@pytest.mark.parametrize("days", [30, 90, 300])
def test_a_right_form_is_not_spoiled(
    plant: Built, weather: str, face: tuple[float, float], days: int
) -> None:
    form, series = plant(weather, face)
    learned = learn_site(form, span(series, days))
    assert turned(learned.site.azimuth, face[1]) <= 10.0
    assert abs(learned.site.tilt - face[0]) <= 13.0
    assert len(learned.planes) == 1
    assert learned.plateau_w is None


@pytest.mark.parametrize("weather", [FORT_COLLINS, NEW_JERSEY])
@pytest.mark.parametrize(
    ("days", "bound", "uneven"), [(30, 30.0, 1.8), (90, 20.0, 1.4), (300, 12.0, 1.2)]
)
def test_a_roof_with_two_sides_is_not_taken_for_one(
    plant: Built, weather: str, days: int, bound: float, uneven: float
) -> None:
    form, series = plant(weather, (25.0, 90.0), (25.0, 270.0))
    learned = learn_site(replace(form, tilt=30.0, azimuth=180.0), span(series, days))
    east, west = sorted(learned.planes, key=lambda plane: plane.azimuth)
    assert turned(east.azimuth, 90.0) <= bound
    assert turned(west.azimuth, 270.0) <= bound
    assert abs(east.tilt - 25.0) <= 10.0
    assert abs(west.tilt - 25.0) <= 10.0
    assert 1.0 / uneven <= east.dc_capacity_w / west.dc_capacity_w <= uneven


@pytest.mark.parametrize("weather", [FORT_COLLINS, NEW_JERSEY])
@pytest.mark.parametrize("days", [30, 90, 300])
def test_a_cut_off_is_found_and_the_roof_under_it(plant: Built, weather: str, days: int) -> None:
    form, series = plant(weather, (35.0, 200.0), limit_w=4200.0)
    part = span(series, days)
    learned = learn_site(replace(form, ac_capacity_w=6000.0), part)
    assert learned.plateau_w == pytest.approx(4200.0, rel=0.01)
    assert learned.site.ac_capacity_w == learned.plateau_w
    assert learned.capacity_w == pytest.approx(4200.0, rel=0.01)
    assert learned.limit_w == 6000.0  # what was declared still bounds a forecast
    assert learned.clear_power(middles(part)).max() <= learned.plateau_w
    assert turned(learned.site.azimuth, 200.0) <= 10.0
    assert abs(learned.site.tilt - 35.0) <= 9.0


@pytest.mark.parametrize("weather", [FORT_COLLINS, NEW_JERSEY])
@pytest.mark.parametrize("days", [30, 90, 300])
def test_a_chimney_takes_power_where_it_stands_and_nowhere_else(
    plant: Built, weather: str, days: int
) -> None:
    form, series = plant(weather, SOUTH)
    part = span(behind_a_chimney(form, series, (120.0, 150.0), below=35.0, left=0.3), days)
    learned = learn_site(form, part)
    sun = solar_position(middles(part), form.latitude, form.longitude)
    factor = learned.shade(sun)
    up = sun.elevation > 5.0
    behind = up & (sun.azimuth > 122.0) & (sun.azimuth < 148.0) & (sun.elevation < 33.0)
    beside = up & ((sun.azimuth < 112.0) | (sun.azimuth > 158.0) | (sun.elevation > 41.0))
    assert factor[behind].mean() <= 0.45
    assert factor[beside].mean() >= 0.94
    assert (factor <= 1.0).all()
    assert turned(learned.site.azimuth, 180.0) <= 8.0


@pytest.mark.parametrize("face", [SOUTH, EAST, WEST])
@pytest.mark.parametrize("days", [30, 90, 300])
def test_cloudless_days_to_come_have_an_index_of_one(
    plant: Built, face: tuple[float, float], days: int
) -> None:
    form, series = plant(FORT_COLLINS, face)
    learned = learn_site(wrong(form), span(series, days))
    after = span(series, 30, days)
    expected, power = learned.clear_power(middles(after)), after.ac_power
    strong = expected > 0.4 * expected.max()
    index = power[strong] / expected[strong]
    counts, edges = np.histogram(index, np.arange(0.0, 1.6, 0.04))
    crowd = edges[int(np.argmax(counts))] + 0.02
    assert 0.88 <= crowd <= 1.12


def test_recorded_plants_face_where_their_owners_say(recordings: dict[str, Plant]) -> None:
    bounds = {
        "GEFCom zone 1": (8.0, 8.0),
        "GEFCom zone 2": (8.0, 12.0),
        "GEFCom zone 3": (8.0, 8.0),
        "PVDAQ 50, clock put right": (10.0, 5.0),
        "SERF East": (12.0, 5.0),
        "PVOD station01": (10.0, 12.0),
        "PVOD station02": (10.0, 8.0),
        "PVOD station04": (10.0, 16.0),
        "PVOD station07": (10.0, 8.0),
    }
    for name, (azimuth_bound, tilt_bound) in bounds.items():
        found = recordings[name]
        assert found.tilt is not None
        assert found.azimuth is not None
        learned = learn_site(found.declared, span(found.series, 300))
        assert turned(learned.site.azimuth, found.azimuth) <= azimuth_bound, name
        assert abs(learned.site.tilt - found.tilt) <= tilt_bound, name
        assert len(learned.planes) == 1, name
        assert learned.plateau_w is None, name


def test_a_plant_above_its_nameplate_is_not_cut_off_there(recordings: dict[str, Plant]) -> None:
    found = recordings["PVOD station04"]
    learned = learn_site(found.declared, span(found.series, 60))
    assert learned.limit_w > 1.1 * found.declared.ac_capacity_w
    assert learned.site.ac_capacity_w >= learned.capacity_w
    first_days = learn_site(found.declared, span(found.series, 7))
    assert first_days.site.ac_capacity_w >= first_days.capacity_w > found.declared.ac_capacity_w


def test_a_single_wild_reading_is_no_capacity() -> None:
    series = cloudless(40)
    power = series.ac_power.copy()
    noon = 20 * STEPS_PER_DAY + 46
    power[noon : noon + 1] = 1e9
    assert learn_site(FORM, replace(series, ac_power=power)).capacity_w < 7000.0
    power[noon : noon + 3] = 1e9
    assert learn_site(FORM, replace(series, ac_power=power)).limit_w < 8000.0


def test_a_clock_an_hour_ahead_is_pointed_out(recordings: dict[str, Plant]) -> None:
    ahead = recordings["PVDAQ 50, clock an hour ahead"]
    right = recordings["PVDAQ 50, clock put right"]
    for days in (30, 90, 180):
        assert learn_site(ahead.declared, span(ahead.series, days)).clock_offset_min == 60
        assert learn_site(right.declared, span(right.series, days)).clock_offset_min == 0


def test_good_clocks_are_not_accused(recordings: dict[str, Plant]) -> None:
    for name, found in recordings.items():
        if "ahead" not in name and "SMA" not in name:  # the place of that one is a guess
            assert learn_site(found.declared, found.series).clock_offset_min == 0, name


def cloudless(days: int, site: Site = FORM, step_ms: int = STEP_MS) -> SiteSeries:
    """Power of a site without a cloud, from its own yardstick; every third day is dull."""
    empty = SiteSeries(START, np.zeros(days * DAY_MS // step_ms), step_ms=step_ms)
    power = LearnedSite.of_form(site).clear_power(middles(empty))
    dull = np.arange(len(power)) * step_ms // DAY_MS % 3 == 1
    return replace(empty, ac_power=np.where(dull, 0.25, 1.0) * power)


def test_dawn_is_where_power_was_seen_not_at_the_horizon() -> None:
    series = cloudless(40)
    sun = solar_position(middles(series), FORM.latitude, FORM.longitude)
    assert -1.0 <= learn_site(FORM, series).lowest_elevation <= 1.0
    early = np.where((sun.elevation > -4.0) & (sun.elevation < 5.0), 60.0, series.ac_power)
    learned = learn_site(FORM, replace(series, ac_power=early)).lowest_elevation
    assert -5.0 <= learned <= -4.0
    late = np.where(sun.elevation < 4.0, 0.0, series.ac_power)
    learned = learn_site(FORM, replace(series, ac_power=late)).lowest_elevation
    assert 3.0 <= learned <= 4.0
    assert learn_site(FORM, span(series, 5)).lowest_elevation == -9.0  # too early to say


def test_a_meter_that_counts_at_night_does_not_move_the_dawn() -> None:
    series = cloudless(40)
    sun = solar_position(middles(series), FORM.latitude, FORM.longitude)
    ghost = np.where(sun.elevation < -6.0, 30.0, series.ac_power)
    assert learn_site(FORM, replace(series, ac_power=ghost)).lowest_elevation >= -1.0


def test_an_hour_that_reaches_into_the_day_keeps_its_power() -> None:
    quarters = cloudless(60)
    hours = quarters.ac_power.reshape(-1, 4).mean(axis=1)
    series = SiteSeries(quarters.start, hours, step_ms=HOUR_MS)
    learned = learn_site(FORM, series)
    sun = solar_position(middles(series), FORM.latitude, FORM.longitude)
    gave = hours > 0.002 * hours.max()
    assert (sun.elevation[gave] >= learned.lowest_elevation).mean() > 0.99
    assert turned(learned.site.azimuth, 180.0) <= 5.0


def test_the_whole_is_small_and_comes_back_the_same(plant: Built) -> None:
    form, series = plant(FORT_COLLINS, (25.0, 90.0), (25.0, 270.0))
    learned = learn_site(form, span(series, 300))
    text = learned.to_json()
    assert LearnedSite.from_json(text) == learned
    assert len(text) < 16_000
    assert "NaN" not in text
    assert "Infinity" not in text
    assert LearnedSite.from_json(LearnedSite.of_form(FORM).to_json()) == LearnedSite.of_form(FORM)


def test_a_damaged_state_is_refused_not_used() -> None:
    good = json.loads(LearnedSite.of_form(FORM).to_json())
    damaged = [
        "",
        "[]",
        "null",
        "{}",
        json.dumps(good)[:-5],
        json.dumps(good | {"version": 2}),
        json.dumps(good | {"planes": []}),
        json.dumps(good | {"planes": [{"tilt": "steep", "azimuth": 1, "dc_capacity_w": 1}]}),
        json.dumps(good | {"shading": [[5000, 0.5]]}),
        json.dumps(good | {"shading": [[5, 7.0]]}),
        json.dumps(good | {"capacity_w": float("nan")}),
        json.dumps(good | {"site": good["site"] | {"tilt": 400}}),
        json.dumps(good | {"unheard": 1}),
    ]
    for text in damaged:
        with pytest.raises(ValueError, match="learn it anew"):
            LearnedSite.from_json(text)


def _strange() -> dict[str, FloatArray]:
    random = np.random.default_rng(3)
    steps = 45 * STEPS_PER_DAY
    clear = cloudless(45).ac_power
    return {
        "nothing known": np.full(steps, np.nan),
        "always zero": np.zeros(steps),
        "stuck day and night": np.full(steps, 3000.0),
        "noise": random.uniform(0.0, 5000.0, steps),
        "negative": -clear,
        "mostly holes": np.where(random.random(steps) < 0.97, np.nan, clear),
        "wild": np.where(random.random(steps) < 0.01, 1e12, clear),
        "one long day": np.where(np.arange(steps) < STEPS_PER_DAY, clear, np.nan),
        "a sliver": clear * 1e-9,
        "infinite": np.where(np.arange(steps) == 1000, np.inf, clear),
        "short": clear[:50],
        "empty": clear[:0],
    }


@pytest.mark.parametrize("latitude", [-78.0, -33.0, 0.0, 47.0, 69.0])
def test_whatever_a_meter_says_there_is_a_usable_site(latitude: float) -> None:
    site = replace(FORM, latitude=latitude)
    times = START + np.arange(4 * STEPS_PER_DAY, dtype=np.int64) * STEP_MS
    for name, power in _strange().items():
        learned = learn_site(site, SiteSeries(START, power))
        clear = learned.clear_power(times)
        assert np.isfinite(clear).all(), name
        assert (clear >= 0.0).all(), name
        assert clear.max(initial=0.0) <= learned.site.ac_capacity_w, name
        assert 0.0 <= learned.evidence.confidence <= 1.0, name
        assert LearnedSite.from_json(learned.to_json()) == learned, name


def test_two_months_are_learned_within_a_third_of_a_second(plant: Built) -> None:
    form, series = plant(FORT_COLLINS, SOUTH)
    taken = []
    for _ in range(3):
        begun = time.process_time()
        learn_site(wrong(form), span(series, 60, 60))
        taken.append(time.process_time() - begun)
    assert min(taken) < 0.3
