"""Each forecaster of a site is corrected by its own outcomes, over restarts and new bundles."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from edge_agent.forecasting.calibration import MOST_MODELS, VERSION, Calibration
from models.contract.forecast import MEDIAN
from models.contract.timestamps import HORIZON_STEPS, STEP_MS, STEPS_PER_DAY
from models.features.site import FloatArray
from models.forecasters.outcomes import BUCKETS, REMEMBERED_LEADS

START = 1_687_996_800_000
LIMIT = 5000.0
_Z = np.array([-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645])


def sky(first: int) -> tuple[FloatArray, FloatArray]:
    """Clear-sky power and hour angle of a forecast's steps."""
    steps = np.arange(first, first + HORIZON_STEPS) % STEPS_PER_DAY
    angle = (steps + 0.5) * 3.75 - 180.0
    return 4500.0 * np.maximum(np.cos(np.radians(angle)), 0.0), angle


def raw(first: int) -> FloatArray:
    return np.clip((0.6 + 0.05 * _Z)[:, None] * sky(first)[0], 0.0, LIMIT)


def say(calibration: Calibration, model: str, step: int, bundle: str | None = None) -> FloatArray:
    now = START + step * STEP_MS
    return calibration.apply(model, bundle, now, raw(step), *sky(step), LIMIT)


def live(calibration: Calibration, days: int, model: str, bundle: str | None = None) -> None:
    """A plant that gives 0.45 of the clear sky where 0.6 is expected, and less surely."""
    random = np.random.default_rng(2)
    for step in range(days * STEPS_PER_DAY):
        say(calibration, model, step, bundle)
        power = float(np.clip(random.normal(0.45, 0.1), 0, 1) * sky(step)[0][0])
        calibration.happened(START + step * STEP_MS, power)


def test_what_one_forecaster_gets_wrong_is_not_laid_on_another() -> None:
    calibration = Calibration()
    live(calibration, 20, "smart_persistence")
    noon = 20 * STEPS_PER_DAY + 44
    taught = say(calibration, "smart_persistence", noon)
    assert taught[MEDIAN, 4] < 0.85 * raw(noon)[MEDIAN, 4]
    width = taught[-1, 4] - taught[0, 4]
    assert width > 1.4 * (raw(noon)[-1, 4] - raw(noon)[0, 4])
    np.testing.assert_array_equal(say(calibration, "blend", noon, "b1"), raw(noon))


def test_a_bundle_swap_and_a_restart_keep_what_was_learned() -> None:
    calibration = Calibration()
    live(calibration, 20, "blend", "b1")
    noon = 20 * STEPS_PER_DAY + 44
    again = Calibration(json.loads(json.dumps(calibration.save(), allow_nan=False)))
    kept = say(again, "blend", noon, "b1")
    np.testing.assert_allclose(kept, say(calibration, "blend", noon, "b1"), atol=20.0)
    swapped = say(again, "blend", noon + 1, "b2")
    assert swapped[MEDIAN, 4] < 0.9 * raw(noon + 1)[MEDIAN, 4]
    # What the old bundle said is not counted against the new one.
    waiting = again.save()["models"]["blend"]["interval"]["waiting"]
    assert 0 < sum(len(rows) for rows in waiting.values()) <= len(REMEMBERED_LEADS)


@pytest.mark.parametrize(
    "saved",
    [
        None,
        "nonsense",
        [],
        {},
        {"version": VERSION + 1, "models": {}},
        {"version": VERSION, "models": []},
        {"version": VERSION, "models": {"blend": 3}},
        {"version": VERSION, "models": {"blend": {"bundle": 4, "bias": [], "interval": "x"}}},
        {"version": VERSION, "models": {"blend": {"bias": {"limit": "x"}, "interval": {}}}},
    ],
)
def test_a_damaged_state_begins_afresh(saved: Any) -> None:
    np.testing.assert_array_equal(say(Calibration(saved), "blend", 0, "b1"), raw(0))


def test_names_of_forecasters_do_not_pile_up() -> None:
    calibration = Calibration()
    for number in range(3 * MOST_MODELS):
        say(calibration, f"model {number}", number)
    assert list(calibration.save()["models"])[-1] == f"model {3 * MOST_MODELS - 1}"
    assert len(calibration.save()["models"]) == MOST_MODELS


def spread(said: FloatArray) -> float:
    """Width of the outermost interval an hour ahead [W]."""
    return float(said[-1, 4] - said[0, 4])


WIDE = np.outer(np.ones(BUCKETS), (-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3))
NOON = 44


def told(calibration: Calibration, bundle: str, step: int, offsets: FloatArray) -> FloatArray:
    now = START + step * STEP_MS
    return calibration.apply("blend", bundle, now, raw(step), *sky(step), LIMIT, offsets)


def test_a_new_site_begins_with_the_intervals_of_the_bundle() -> None:
    wide = told(Calibration(), "b1", NOON, WIDE)
    assert spread(wide) > 1.5 * spread(raw(NOON))
    np.testing.assert_array_equal(wide[MEDIAN], raw(NOON)[MEDIAN])


def test_a_bundle_that_came_before_the_first_light_does_not_fix_the_intervals() -> None:
    calibration = Calibration()
    told(calibration, "b1", 0, 0.0 * WIDE)
    again = Calibration(json.loads(json.dumps(calibration.save(), allow_nan=False)))
    assert spread(told(again, "b2", NOON, WIDE)) > 1.5 * spread(raw(NOON))


def test_a_site_that_has_taught_keeps_its_own_intervals() -> None:
    calibration = Calibration()
    live(calibration, 3, "blend", "b1")
    own = calibration.save()["models"]["blend"]["interval"]["offsets"]["lasting"]
    told(calibration, "b2", 3 * STEPS_PER_DAY + NOON, WIDE)
    assert calibration.save()["models"]["blend"]["interval"]["offsets"]["lasting"] == own
