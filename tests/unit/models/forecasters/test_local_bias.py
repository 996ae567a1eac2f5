"""A plant that gives more or less than thought is put right; one that does not is left alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contract.forecast import LEVELS, MEDIAN
from models.contract.timestamps import DAY_MS, HORIZON_STEPS, STEP_MS, STEPS_PER_DAY
from models.features.site import FloatArray
from models.forecasters.local_bias import (
    HIGHEST,
    LOWEST,
    SLOTS,
    LocalBias,
    OnlineBias,
    correct_in_order,
)
from models.forecasters.outcomes import BUCKET_OF_STEP, BUCKETS, MOST_REMEMBERED, REMEMBERED_LEADS
from models.metrics import mae, pinball
from tests.unit.models.forecasters.recorded import LEADS, Cases, recorded_cases

START = 1_687_996_800_000  # 2023-06-29T00:00Z
LIMIT = 5000.0
_Z = np.array([-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645])
KEYWORDS = {"step_ms": STEP_MS, "leads": REMEMBERED_LEADS, "limit": LIMIT}


def hour_angle(steps: int, first: int = 0) -> FloatArray:
    """Solar time is UTC: noon at 12:00."""
    return ((np.arange(first, first + steps) % STEPS_PER_DAY) + 0.5) * 3.75 - 180.0


def clear_day(steps: int, first: int = 0) -> FloatArray:
    return 4500.0 * np.maximum(np.cos(np.radians(hour_angle(steps, first))), 0.0)


def raw_of(clear: FloatArray) -> FloatArray:
    return np.clip((0.6 + 0.15 * _Z)[:, None] * clear, 0.0, LIMIT)


def run(days: int, model: OnlineBias, factor: FloatArray | float) -> None:
    """Outcomes that are ``factor`` (of a day's steps) times what the model says."""
    per_step = np.broadcast_to(factor, STEPS_PER_DAY)
    random = np.random.default_rng(1)
    for step in range(days * STEPS_PER_DAY):
        now, raw = START + step * STEP_MS, raw_of(clear_day(HORIZON_STEPS, step))
        model.issued(now, raw, hour_angle(HORIZON_STEPS, step), LIMIT)
        spread = float(np.clip(random.normal(1.0, 0.25), 0, 1.6))
        model.happened(now, float(raw[MEDIAN, 0] * per_step[step % STEPS_PER_DAY] * spread))


def corrected(model: OnlineBias, steps: int = HORIZON_STEPS) -> FloatArray:
    """Corrected over raw median at the steps of daylight from midnight."""
    raw = raw_of(clear_day(steps))
    after = model.apply(raw, hour_angle(steps), LIMIT)
    return np.where(raw[MEDIAN] > 0, after[MEDIAN] / np.maximum(raw[MEDIAN], 1e-9), 1.0)


@pytest.mark.parametrize("days", [3, 15, 60])
def test_a_plant_without_a_bias_is_forecast_no_worse(days: int) -> None:
    model = OnlineBias()
    run(days, model, 1.0)
    factor = corrected(model)[:STEPS_PER_DAY]
    spread = np.clip(np.random.default_rng(9).normal(1.0, 0.25, (200, STEPS_PER_DAY)), 0, 1.6)
    weight = clear_day(STEPS_PER_DAY)
    before = (np.abs(spread - 1.0) * weight).sum()
    assert (np.abs(spread - factor) * weight).sum() < 1.01 * before
    assert np.abs(model.learned.by_bucket - 1.0).max() < 0.02


@pytest.mark.parametrize("factor", [0.7, 0.85, 1.2])
def test_a_wrong_capacity_is_learned_within_weeks(factor: float) -> None:
    model = OnlineBias()
    run(14, model, factor)
    noon = slice(40, 56)
    np.testing.assert_allclose(corrected(model)[noon], factor, atol=0.08)


def test_a_shaded_morning_changes_mornings_only() -> None:
    shade = np.where(hour_angle(STEPS_PER_DAY) < -30.0, 0.5, 1.0)
    model = OnlineBias()
    run(30, model, shade)
    factor = corrected(model)[:STEPS_PER_DAY]
    angle = hour_angle(STEPS_PER_DAY)
    assert np.abs(factor[(angle > -70) & (angle < -45)] - 0.5).max() < 0.1
    assert np.abs(factor[(angle > -10) & (angle < 70)] - 1.0).max() < 0.06


def test_soiling_that_rain_took_away_is_unlearned() -> None:
    model = OnlineBias()
    run(30, model, 0.7)
    assert corrected(model)[48] < 0.8
    run(40, model, 1.0)
    assert corrected(model)[48] == pytest.approx(1.0, abs=0.05)


def test_a_plant_that_stands_still_for_months_does_not_turn_the_forecast_off() -> None:
    model = OnlineBias()
    run(60, model, 0.0)
    assert corrected(model)[48] == pytest.approx(LOWEST)
    run(40, model, 5.0)
    assert corrected(model)[48] <= HIGHEST


@given(st.integers(0, 2**32 - 1))
def test_nothing_learned_makes_quantiles_cross_or_leave_the_possible(seed: int) -> None:
    random, learned = np.random.default_rng(seed), LocalBias()
    learned.by_bucket = random.uniform(LOWEST, HIGHEST, BUCKETS)
    learned.by_slot = random.uniform(LOWEST, HIGHEST, (3, SLOTS))
    clear = clear_day(HORIZON_STEPS)
    raw = np.sort(random.uniform(0, 1.1, (len(LEVELS), HORIZON_STEPS)), axis=0) * clear
    after = learned.apply(np.minimum(raw, LIMIT), hour_angle(len(clear)), LIMIT, BUCKET_OF_STEP)
    assert (np.diff(after, axis=0) >= 0).all()
    assert after.min() >= 0
    assert after.max() <= LIMIT
    wanted = raw[MEDIAN] * learned.factor(BUCKET_OF_STEP, hour_angle(len(clear)))
    np.testing.assert_allclose(after[MEDIAN], np.minimum(wanted, LIMIT))


def test_night_and_curtailed_intervals_teach_nothing() -> None:
    model = OnlineBias()
    for step in range(5 * STEPS_PER_DAY):
        now, clear = START + step * STEP_MS, clear_day(HORIZON_STEPS, step)
        model.issued(now, raw_of(clear), hour_angle(HORIZON_STEPS, step), LIMIT)
        model.happened(now, float("nan") if clear[0] > 0 else 0.0)
    assert (corrected(model) == 1.0).all()


def test_a_gap_of_months_forgets_nothing() -> None:
    model = OnlineBias()
    run(30, model, 0.7)
    before = corrected(model)
    raw = raw_of(clear_day(HORIZON_STEPS, 40))
    later = START + 200 * DAY_MS
    model.issued(later, raw, hour_angle(HORIZON_STEPS, 40), LIMIT)
    model.happened(later, 0.7 * float(raw[MEDIAN, 0]))
    np.testing.assert_allclose(corrected(model), before, atol=0.02)


def test_a_restart_changes_nothing_and_a_damaged_state_begins_afresh() -> None:
    model = OnlineBias()
    run(20, model, 0.8)
    saved = json.loads(json.dumps(model.save(), allow_nan=False))
    assert len(json.dumps(saved)) < 40_000
    again = OnlineBias(saved)
    np.testing.assert_allclose(corrected(again), corrected(model), atol=0.01)
    run(1, model, 0.2)
    run(1, again, 0.2)
    np.testing.assert_allclose(corrected(again), corrected(model), atol=0.01)
    for damage in ({"learned": {}}, {"limit": -1}, {"waiting": [1]}, {"waiting": {"1": [[1]]}}):
        assert (corrected(OnlineBias(saved | damage)) == 1.0).all()
    saved["learned"]["ratios"][0][0] = -3
    assert (corrected(OnlineBias(saved)) == 1.0).all()


def test_a_new_forecaster_begins_with_what_its_predecessor_left() -> None:
    model = OnlineBias()
    run(30, model, 0.7)
    model.forecaster_changed()
    assert corrected(model)[48] == pytest.approx(0.7, abs=0.08)
    run(14, model, 1.0)
    assert corrected(model)[48] == pytest.approx(1.0, abs=0.06)


def test_a_dead_device_does_not_fill_the_memory() -> None:
    model, raw = OnlineBias(), raw_of(np.full(HORIZON_STEPS, 3000.0))
    for step in range(10 * STEPS_PER_DAY):
        model.issued(START + step * STEP_MS, raw, hour_angle(HORIZON_STEPS, step), LIMIT)
    assert len(model._waiting) <= MOST_REMEMBERED
    assert len(json.dumps(model.save())) < 40_000


def test_an_outcome_changes_no_forecast_that_was_issued_before_it_was_known() -> None:
    issues = START + np.arange(8 * STEPS_PER_DAY) * STEP_MS
    at = np.arange(len(issues))[:, None] + REMEMBERED_LEADS
    clear = clear_day(len(issues) + HORIZON_STEPS)
    truth = np.random.default_rng(5).uniform(0.1, 0.6, len(clear)) * clear
    raw = np.moveaxis(raw_of(clear.reshape(1, -1))[:, at], 0, 1)
    angle = hour_angle(len(clear))[at]
    first = correct_in_order(issues, raw, truth[at], angle, **KEYWORDS)
    known_at = issues[:, None] + (REMEMBERED_LEADS + 1) * STEP_MS
    border = int(issues[4 * STEPS_PER_DAY + 50])
    changed = np.where(known_at > border, 3.0 * truth[at], truth[at])
    second = correct_in_order(issues, raw, changed, angle, **KEYWORDS)
    same = issues <= border
    np.testing.assert_array_equal(first[same], second[same])
    assert (first[~same] != second[~same]).any()


def after(one: Cases, actual: FloatArray) -> FloatArray:
    """What is published, once two weeks have taught."""
    return correct_in_order(
        one.issues, one.quantiles, actual, one.hour_angle,
        step_ms=STEP_MS, leads=LEADS, limit=one.limit,
    )[14 * 24 :]  # fmt: skip


@pytest.mark.parametrize("station", ["00", "04"])
def test_soiled_modules_and_shaded_mornings_of_recorded_plants_are_put_right(
    data_dir: Path, station: str
) -> None:
    one = recorded_cases(data_dir, station)
    day = one.elevation[14 * 24 :] > 5.0
    shaded = one.hour_angle < -30.0

    def error(actual: FloatArray, forecast: FloatArray, where: np.ndarray = day) -> float:
        return mae(np.where(where, actual[14 * 24 :], np.nan), forecast)

    raw = one.quantiles[14 * 24 :, MEDIAN]
    sound = error(one.actual, after(one, one.actual)[:, MEDIAN])
    assert sound < error(one.actual, raw)
    # Soiled by 15 %, it is forecast as well as the sound plant, in its own kilowatts.
    soiled = 0.85 * one.actual
    assert error(soiled, after(one, soiled)[:, MEDIAN]) < 1.03 * 0.85 * sound
    # With half of each morning in the shade, mornings are put right and the rest is as it was.
    shade = np.where(shaded, 0.5, 1.0) * one.actual
    forecast = after(one, shade)
    morning = day & shaded[14 * 24 :]
    assert error(shade, forecast[:, MEDIAN], morning) < 0.65 * error(shade, raw, morning)
    assert error(shade, forecast[:, MEDIAN]) < error(shade, raw)
    before = pinball(
        np.where(day, shade[14 * 24 :], np.nan), np.moveaxis(one.quantiles[14 * 24 :], 1, 0)
    )
    assert pinball(np.where(day, shade[14 * 24 :], np.nan), np.moveaxis(forecast, 1, 0)) < before
