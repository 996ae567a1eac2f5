"""The references: each does what its definition promises, on series where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from central.evaluation.references import (
    Climatology,
    Cliper,
    age_of_newest,
    diurnal_persistence,
    lag_autocorrelation,
    reference_powers,
)
from models.contract.timestamps import DAY_MS, HORIZON_STEPS, STEP_MS, STEPS_PER_DAY
from models.features.site import Site, SiteSeries
from models.features.sky import Sky
from models.forecasters.persistence import smart_persistence

START = 17_897 * DAY_MS
MEMORY = 0.95


def skies(steps: int, seed: int) -> np.ndarray:
    """A clear-sky index whose lag-h autocorrelation is MEMORY ** h, around 0.7."""
    random = np.random.default_rng(seed)
    values = np.zeros(steps)
    for k in range(1, steps):
        values[k] = MEMORY * values[k - 1] + random.normal(0, 0.05)
    return 0.7 + values


def times_of(index: np.ndarray) -> np.ndarray:
    return START + np.arange(len(index)) * STEP_MS


def test_autocorrelation_is_that_of_numpy_and_of_the_process() -> None:
    index = skies(60_000, seed=1)
    found = lag_autocorrelation(index, 40)
    assert found[9] == pytest.approx(np.corrcoef(index[:-10], index[10:])[0, 1])
    np.testing.assert_allclose(found, MEMORY ** np.arange(1, 41), atol=0.05)


def test_nights_neither_count_nor_break_the_lags() -> None:
    index = skies(60_000, seed=1)
    dark = np.arange(len(index)) % 96 >= 48
    lit = np.where(dark, np.nan, index)
    found = lag_autocorrelation(lit, 60)
    np.testing.assert_allclose(found[:8], MEMORY ** np.arange(1, 9), atol=0.05)
    assert np.isnan(found[47])  # 48 intervals on there is never light
    assert np.isfinite(found[59])


def test_cliper_beats_climatology_and_persistence_at_every_lag() -> None:
    training, test = skies(40_000, seed=1), skies(40_000, seed=2)
    cliper = Cliper.fit(times_of(training), training, 0.0, lags=96)
    issues = np.arange(100, len(test) - 100, 7)
    targets = START + (issues[:, None] + np.arange(96)) * STEP_MS
    actual = test[issues[:, None] + np.arange(96)]
    persisted = test[issues - 1]

    def squared(forecast: np.ndarray) -> np.ndarray:
        return ((forecast - actual) ** 2).mean(axis=0)

    ours = squared(cliper.index(targets, persisted))
    assert (ours < squared(np.repeat(persisted[:, None], 96, axis=1))).all()
    assert (ours <= squared(cliper.climatology.index(targets)) * 1.01).all()
    assert ours[3] < 0.5 * squared(cliper.climatology.index(targets))[3]
    # Closed form: variance * (1 - rho^2) for the lag-h forecast.
    variance = 0.05**2 / (1 - MEMORY**2)
    expected = variance * (1 - MEMORY ** (2 * np.arange(1, 97)))
    np.testing.assert_allclose(ours[:20], expected[:20], rtol=0.1)


def test_an_index_of_the_evening_before_counts_less_at_dawn() -> None:
    training = skies(40_000, seed=1)
    cliper = Cliper.fit(times_of(training), training, 0.0, lags=96)
    targets = START + np.arange(8)[None, :] * STEP_MS + np.zeros((2, 1), np.int64)
    found = cliper.index(targets, np.array([1.5, 1.5]), np.array([0, 48]))
    expected = cliper.climatology.index(targets)
    assert (found[0] > found[1]).all()
    weight = (found[1] - expected[1]) / (1.5 - expected[1])
    np.testing.assert_allclose(weight, cliper.weights[48:56])
    beyond = cliper.index(targets, np.array([1.5, 1.5]), np.array([96, 500]))
    np.testing.assert_allclose(beyond, expected)


def test_age_is_counted_from_the_newest_known_interval() -> None:
    index = np.array([np.nan, 0.5, 0.6, np.nan, np.nan])
    assert age_of_newest(index, np.array([0, 1, 2, 3, 4, 5])).tolist() == [0, 1, 0, 0, 1, 2]


def test_climatology_is_the_mean_by_solar_time() -> None:
    """Mornings 0.3, afternoons 0.9; at longitude 90 the sun is six hours early."""
    steps = 20 * STEPS_PER_DAY
    local = (np.arange(steps) + 24) % STEPS_PER_DAY
    index = np.where(local < 48, 0.3, 0.9)
    times = times_of(index)
    found = Climatology.fit(times, index, 90.0)
    assert found.by_slot[20] == pytest.approx(0.3)
    assert found.by_slot[70] == pytest.approx(0.9)
    np.testing.assert_allclose(found.index(times[: 96 - 24])[:10], found.by_slot[24:34])
    assert 0.3 < found.by_slot[48] < 0.9


def test_climatology_of_a_slot_never_seen_is_the_mean() -> None:
    index = np.where(np.arange(960) % 96 < 48, 0.4, np.nan)
    assert Climatology.fit(times_of(index), index, 0.0).by_slot[70] == pytest.approx(0.4)
    with pytest.raises(ValueError, match="no clear-sky index"):
        Climatology.fit(times_of(index), np.full(960, np.nan), 0.0)


def test_diurnal_persistence_repeats_the_latest_known_day() -> None:
    clear = np.tile(np.concatenate([np.zeros(48), np.full(48, 4000.0)]), 6)
    power = np.concatenate(
        [clear[: 2 * STEPS_PER_DAY] * 0.2, clear[2 * STEPS_PER_DAY : 3 * STEPS_PER_DAY] * 0.6]
    )
    issue = np.array([3 * STEPS_PER_DAY])
    forecast = diurnal_persistence(power, issue, HORIZON_STEPS, clear, 5000.0)[0]
    expected = 0.6 * clear[3 * STEPS_PER_DAY : 5 * STEPS_PER_DAY]
    np.testing.assert_allclose(forecast, expected)


SITE = Site(40.0, -105.0, dc_capacity_w=6000.0, ac_capacity_w=5000.0, tilt=30.0)
TRAINING = (0, 60 * STEPS_PER_DAY)


def references(power: np.ndarray, issues: np.ndarray) -> dict[str, np.ndarray]:
    sky = Sky.over(SITE, START, len(power) + HORIZON_STEPS)
    return reference_powers(
        power, sky, START, issues, 96, training=TRAINING, longitude=-105.0, limit_w=5000.0
    )


def recorded(days: int) -> np.ndarray:
    steps = days * STEPS_PER_DAY
    return Sky.over(SITE, START, steps).power * np.clip(skies(steps, seed=6), 0, 1)


def test_smart_persistence_is_the_one_that_the_box_uses() -> None:
    power, issues = recorded(70), np.arange(62 * 96, 69 * 96, 5)
    expected = smart_persistence(SITE, SiteSeries(START, power), issues, 96)
    np.testing.assert_allclose(references(power, issues)["smart_persistence"], expected)


def test_no_reference_knows_what_comes_after_its_issue_or_its_training() -> None:
    power, issue = recorded(70), np.array([65 * STEPS_PER_DAY + 70])
    before = references(power, issue)
    changed = power.copy()
    changed[issue[0] :] *= 0.2
    for name, values in references(changed, issue).items():
        np.testing.assert_array_equal(values, before[name])
    changed[TRAINING[1] : issue[0]] *= 0.5  # known at the issue, but not trained on
    after = references(changed, issue)
    np.testing.assert_array_equal(after["climatology"], before["climatology"])
    assert (after["smart_persistence"] < before["smart_persistence"]).any()
    assert (after["cliper"] < before["cliper"]).any()


def test_cliper_lies_between_the_two_that_it_blends() -> None:
    power, issues = recorded(70), np.arange(62 * 96, 69 * 96, 5)
    found = references(power, issues)
    low = np.minimum(found["smart_persistence"], found["climatology"])
    high = np.maximum(found["smart_persistence"], found["climatology"])
    assert (found["cliper"] >= low - 1e-9).all()
    assert (found["cliper"] <= high + 1e-9).all()
    assert all(values.max() <= 5000.0 for values in found.values())
