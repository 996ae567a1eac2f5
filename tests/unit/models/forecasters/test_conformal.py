"""Calibrated intervals: what must hold whatever happened, and that they cover what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contract.forecast import LEVELS, MEDIAN
from models.contract.timestamps import DAY_MS, HORIZON_STEPS, HOUR_MS, STEP_MS, STEPS_PER_DAY
from models.features.site import FloatArray
from models.forecasters.conformal import (
    MOST_LASTING,
    ConformalOffsets,
    OnlineConformal,
    calibrate_in_order,
)
from models.forecasters.outcomes import BUCKET_OF_STEP, BUCKETS, MOST_REMEMBERED, REMEMBERED_LEADS
from models.metrics import coverage, pinball
from tests.unit.models.forecasters.recorded import LEADS, recorded_cases

START = 1_687_996_800_000  # 2023-06-29T00:00Z
LIMIT = 5000.0
_Z = np.array([-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645])


def clear_day(steps: int, first: int = 0) -> FloatArray:
    """Clear-sky power: day from 06:00 to 18:00."""
    hour = (np.arange(first, first + steps) % STEPS_PER_DAY) / 4.0
    return 4500.0 * np.maximum(np.sin((hour - 6.0) / 12.0 * np.pi), 0.0)


def too_narrow(clear: FloatArray, spread: float = 0.06) -> FloatArray:
    """Raw quantiles around 0.6 of the clear sky."""
    return np.clip((0.6 + spread * _Z)[:, None] * clear, 0.0, LIMIT)


def run(days: int, model: OnlineConformal, seed: int = 1) -> list[tuple[int, FloatArray]]:
    """Feed outcomes that spread by 0.15; the forecasts that were published."""
    random, published = np.random.default_rng(seed), []
    for step in range(days * STEPS_PER_DAY):
        now = START + step * STEP_MS
        clear = clear_day(HORIZON_STEPS, step)
        published.append((now, model.apply(now, too_narrow(clear), clear, LIMIT)))
        model.issued(now, too_narrow(clear), clear, LIMIT)
        model.happened(now, float(np.clip(random.normal(0.6, 0.15), 0, 1) * clear[0]))
    return published


def test_a_new_site_is_told_what_the_model_says() -> None:
    clear = clear_day(HORIZON_STEPS)
    raw = too_narrow(clear)
    np.testing.assert_array_equal(OnlineConformal().apply(START, raw, clear, LIMIT), raw)


def test_an_interval_too_narrow_is_widened_until_it_holds() -> None:
    last = run(30, OnlineConformal())[-STEPS_PER_DAY][1]
    index = last[:, 48] / clear_day(HORIZON_STEPS)[48]
    np.testing.assert_allclose(index, 0.6 + 0.15 * _Z, atol=0.05)
    assert index[MEDIAN] == pytest.approx(0.6)


@given(st.integers(0, 2**32 - 1))
def test_nothing_learned_makes_quantiles_cross_or_leave_the_possible(seed: int) -> None:
    random = np.random.default_rng(seed)
    offsets = ConformalOffsets(random.normal(0, 3, (BUCKETS, len(LEVELS))))
    offsets.today[:] = random.normal(0, 0.3, offsets.today.shape)
    clear = clear_day(HORIZON_STEPS)
    raw = np.sort(random.uniform(0, 1.2, (len(LEVELS), HORIZON_STEPS)), axis=0) * clear
    raw = np.clip(raw, 0.0, LIMIT)
    moved = offsets.apply(raw, clear, LIMIT, BUCKET_OF_STEP)
    assert (np.diff(moved, axis=0) >= 0).all()
    assert moved.min() >= 0
    assert moved.max() <= LIMIT
    np.testing.assert_array_equal(moved[MEDIAN], raw[MEDIAN])
    assert not moved[:, clear == 0].any()


def test_night_and_curtailed_intervals_teach_nothing() -> None:
    model = OnlineConformal()
    for step in range(4 * STEPS_PER_DAY):
        now, clear = START + step * STEP_MS, clear_day(HORIZON_STEPS, step)
        model.issued(now, too_narrow(clear), clear, LIMIT)
        model.happened(now, float("nan") if clear[0] > 0 else 0.0)
    assert not model.offsets.lasting.any()
    assert not model.offsets.seen.any()


@pytest.mark.parametrize("pause_ms", [3 * HOUR_MS, -DAY_MS])
def test_what_today_taught_ends_with_the_day_a_gap_or_a_clock_set_back(pause_ms: int) -> None:
    model = OnlineConformal()
    run(1, model)
    lasting = model.offsets.lasting.copy()
    noon = START + DAY_MS + DAY_MS // 2
    for step in range(8):
        clear = clear_day(HORIZON_STEPS, 48 + step)
        now = noon + step * STEP_MS
        model.apply(now, too_narrow(clear), clear, LIMIT)
        model.issued(now, too_narrow(clear), clear, LIMIT)
        model.happened(now, 0.0)
    assert model.offsets.today[0].min() < 0
    assert (model.offsets.lasting != lasting).any()
    lasting = model.offsets.lasting.copy()
    later = noon + 8 * STEP_MS + pause_ms
    clear = clear_day(HORIZON_STEPS, later // STEP_MS % STEPS_PER_DAY)
    model.apply(later, too_narrow(clear), clear, LIMIT)
    assert not model.offsets.today.any()
    np.testing.assert_array_equal(model.offsets.lasting, lasting)


def test_a_sun_that_never_sets_ends_the_day_too() -> None:
    offsets, one = ConformalOffsets(), np.ones(1)
    clear = np.full(1, 2000.0)
    for step in range(STEPS_PER_DAY + 8):
        now = START + step * STEP_MS
        offsets.begin_issue(now)
        if step == STEPS_PER_DAY + 1:
            assert not offsets.today.any()
        issued = offsets.as_issued(too_narrow(clear), clear, LIMIT, BUCKET_OF_STEP[:1])
        offsets.learn(BUCKET_OF_STEP[:1], one, issued, one * 100.0, now + STEP_MS)
        assert offsets.today.any()


def test_a_restart_in_the_middle_changes_nothing() -> None:
    through, restarted = OnlineConformal(), OnlineConformal()
    run(3, through)
    run(3, restarted)
    restarted = OnlineConformal(json.loads(json.dumps(restarted.save(), allow_nan=False)))
    clear = clear_day(HORIZON_STEPS, 40)
    now = START + 3 * DAY_MS
    for step in range(48):
        for model in (through, restarted):
            model.happened(now + step * STEP_MS, 0.4 * float(clear_day(1, step)[0]))
    np.testing.assert_allclose(
        restarted.apply(now + 48 * STEP_MS, too_narrow(clear), clear, LIMIT),
        through.apply(now + 48 * STEP_MS, too_narrow(clear), clear, LIMIT),
        atol=5.0,
    )
    assert restarted.offsets.today.any()


@pytest.mark.parametrize(
    "damage",
    [
        lambda saved: saved.clear(),
        lambda saved: saved.update(unit=0),
        lambda saved: saved.update(offsets=[]),
        lambda saved: saved.update(waiting={"x": [[1, 2]]}),
        lambda saved: saved.update(waiting={str(START): [[1, 2]]}),
        lambda saved: saved["offsets"].update(lasting=[[1.0]]),
        lambda saved: saved["offsets"].update(seen=[float("nan")] * BUCKETS),
    ],
)
def test_a_damaged_state_begins_afresh(damage: object) -> None:
    model = OnlineConformal()
    run(2, model)
    saved = model.save()
    assert callable(damage)
    damage(saved)
    clear = clear_day(HORIZON_STEPS)
    again = OnlineConformal(saved)
    raw = too_narrow(clear)
    np.testing.assert_array_equal(again.apply(START, raw, clear, LIMIT), raw)


def test_neither_a_dead_device_nor_a_jumping_clock_fills_the_memory() -> None:
    model, random = OnlineConformal(), np.random.default_rng(3)
    clear = np.full(HORIZON_STEPS, 3000.0)
    for step in range(10 * STEPS_PER_DAY):
        model.issued(START + step * STEP_MS, too_narrow(clear), clear, LIMIT)
    assert len(json.dumps(model.save())) < 70_000
    for _ in range(300):
        now = START + int(random.integers(0, 5000)) * STEP_MS
        model.issued(now, too_narrow(clear), clear, LIMIT)
    assert len(model._waiting) <= MOST_REMEMBERED


def test_a_restart_that_goes_through_two_weeks_again_forgets_no_open_forecast() -> None:
    model = OnlineConformal()
    run(15, model)
    again, now = OnlineConformal(model.save()), START + 15 * DAY_MS
    waiting = len(again._waiting)
    assert waiting > 50
    for step in range(14 * STEPS_PER_DAY, 0, -1):
        again.happened(now - step * STEP_MS, 1000.0)
    assert len(again._waiting) == waiting
    np.testing.assert_allclose(again.offsets.lasting, model.offsets.lasting, atol=1e-4)


def test_forecasts_of_a_clock_that_was_ahead_are_dropped() -> None:
    model, clear = OnlineConformal(), np.full(HORIZON_STEPS, 3000.0)
    model.issued(START + 100 * DAY_MS, too_narrow(clear), clear, LIMIT)
    model.issued(START, too_narrow(clear), clear, LIMIT)
    assert len(model._waiting) == len(REMEMBERED_LEADS)


def test_a_new_forecaster_keeps_the_offsets_and_is_not_blamed_for_the_old() -> None:
    model = OnlineConformal()
    run(5, model)
    lasting = model.offsets.lasting.copy()
    model.forecaster_changed()
    for step in range(HORIZON_STEPS):
        model.happened(START + 5 * DAY_MS + step * STEP_MS, 0.0)
    np.testing.assert_array_equal(model.offsets.lasting, lasting)
    assert not model.offsets.seen.any()


def test_offsets_that_a_bundle_brings_hold_from_the_first_day() -> None:
    shipped = np.zeros((BUCKETS, len(LEVELS)))
    shipped[:, -1] = 0.5
    clear = clear_day(HORIZON_STEPS)
    raw = too_narrow(clear)
    model = OnlineConformal()
    model.begin_at(shipped)
    moved = model.apply(START, raw, clear, LIMIT)
    assert (moved[-1] > raw[-1])[clear > 0].all()
    np.testing.assert_array_equal(moved[:-1], raw[:-1])
    with pytest.raises(ValueError, match="shape"):
        ConformalOffsets(np.zeros((2, 3)))


def cases(days: int = 6) -> tuple[np.ndarray, FloatArray, FloatArray, FloatArray]:
    issues = START + np.arange(days * STEPS_PER_DAY) * STEP_MS
    leads = REMEMBERED_LEADS
    clear = clear_day(days * STEPS_PER_DAY + HORIZON_STEPS)
    at = np.arange(len(issues))[:, None] + leads
    truth = np.random.default_rng(5).uniform(0.2, 1.0, len(clear)) * clear
    raw = np.clip((0.6 + 0.06 * _Z)[None, :, None] * clear[at][:, None], 0.0, LIMIT)
    return issues, raw, truth[at], clear[at]


def test_an_outcome_changes_no_forecast_that_was_issued_before_it_was_known() -> None:
    issues, raw, actual, clear = cases()
    keywords = {"step_ms": STEP_MS, "leads": REMEMBERED_LEADS, "limit": LIMIT}
    first = calibrate_in_order(issues, raw, actual, clear, **keywords)
    known_at = issues[:, None] + (REMEMBERED_LEADS + 1) * STEP_MS
    border = int(issues[3 * STEPS_PER_DAY + 50])
    changed = np.where(known_at > border, 0.0, actual)
    second = calibrate_in_order(issues, raw, changed, clear, **keywords)
    same = issues <= border
    np.testing.assert_array_equal(first[same], second[same])
    assert (first[~same] != second[~same]).any()


def test_the_order_in_which_cases_are_given_does_not_matter() -> None:
    issues, raw, actual, clear = cases(3)
    keywords = {"step_ms": STEP_MS, "leads": REMEMBERED_LEADS, "limit": LIMIT}
    straight = calibrate_in_order(issues, raw, actual, clear, **keywords)
    order = np.random.default_rng(1).permutation(len(issues))
    mixed = calibrate_in_order(issues[order], raw[order], actual[order], clear[order], **keywords)
    np.testing.assert_allclose(mixed, straight[order], rtol=1e-12)


def test_batch_and_box_agree() -> None:
    """The box remembers far leads at full hours only, so near leads are compared."""
    issues, raw, actual, clear = cases()
    near = REMEMBERED_LEADS < 24
    batch = calibrate_in_order(
        issues, raw[:, :, near], actual[:, near], clear[:, near],
        step_ms=STEP_MS, leads=REMEMBERED_LEADS[near], limit=LIMIT,
    )  # fmt: skip
    box, steps = OnlineConformal(), np.arange(24)
    for case, now in enumerate(issues.tolist()):
        sky = clear_day(24, case)
        quantiles = too_narrow(sky)
        said = box.apply(now, quantiles, sky, LIMIT)
        np.testing.assert_allclose(said[:, steps[REMEMBERED_LEADS[near]]], batch[case], atol=1e-6)
        box.issued(now, quantiles, sky, LIMIT)
        box.happened(now, float(actual[case, 0]))


@pytest.mark.parametrize(
    ("leads", "every"), [(np.arange(HORIZON_STEPS), 4), (REMEMBERED_LEADS, 1), (LEADS, 8)]
)
def test_more_leads_do_not_learn_faster(leads: np.ndarray, every: int) -> None:
    days = 20
    issues = START + np.arange(0, days * STEPS_PER_DAY, every) * STEP_MS
    clear = clear_day(days * STEPS_PER_DAY + HORIZON_STEPS)
    at = np.arange(0, days * STEPS_PER_DAY, every)[:, None] + leads
    truth = np.random.default_rng(5).normal(0.6, 0.15, len(clear)) * clear
    raw = np.clip((0.6 + 0.06 * _Z)[None, :, None] * clear[at][:, None], 0.0, LIMIT)
    state = ConformalOffsets()
    calibrate_in_order(
        issues, raw, truth[at], clear[at], step_ms=STEP_MS, leads=leads, limit=LIMIT, state=state
    )
    learned = state.lasting[:, -1].mean()
    assert 0.2 < learned < 0.45  # 0.15 * 1.645 - 0.06 * 1.645, in scales of 0.418 clear skies
    assert np.abs(state.lasting).max() < MOST_LASTING


@pytest.mark.parametrize("station", ["00", "04"])
def test_intervals_of_recorded_plants_hold(data_dir: Path, station: str) -> None:
    one = recorded_cases(data_dir, station)
    after = calibrate_in_order(
        one.issues, one.quantiles, one.actual, one.clear,
        step_ms=STEP_MS, leads=LEADS, limit=one.limit,
    )  # fmt: skip
    actual = np.where(one.elevation > 5.0, one.actual, np.nan)
    # Two weeks to settle, then what was promised.
    settled = one.issues >= one.issues[0] + 14 * DAY_MS
    for low, high, nominal in ((1, 5, 0.8), (0, 6, 0.9)):
        before = coverage(
            actual[settled], one.quantiles[settled, low], one.quantiles[settled, high]
        )
        held = coverage(actual[settled], after[settled, low], after[settled, high])
        assert abs(held - nominal) < 0.05
        assert abs(held - nominal) < abs(before - nominal)
    raw_loss = pinball(actual, np.moveaxis(one.quantiles, 1, 0))
    assert pinball(actual, np.moveaxis(after, 1, 0)) < 0.98 * raw_loss
