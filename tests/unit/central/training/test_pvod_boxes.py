"""The boxes of the PVOD benchmark begin the test where boxes in the field would."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks._pvod_box import Box, boxes_before
from models.contract.forecast import LEVELS
from models.contract.timestamps import STEP_MS, STEPS_PER_DAY
from models.features.site import FloatArray

START = 1_546_300_800_000  # 2019-01-01
LIMIT = 1000.0
LEADS = np.array([0, 3, 15])


def months(seed: int, days: int = 40) -> Any:
    """A plant of which 0.6 of the clear sky is expected, while it varies by 0.2."""
    issues = START + np.arange(days * STEPS_PER_DAY) * STEP_MS
    hour_angle = ((np.arange(len(issues))[:, None] + LEADS) % STEPS_PER_DAY) * 3.75 - 180.0
    clear = LIMIT * np.maximum(np.cos(np.radians(hour_angle)), 0.0)
    index = np.clip(np.random.default_rng(seed).normal(0.6, 0.2, clear.shape), 0.0, 1.0)
    scored = clear > 50.0
    return SimpleNamespace(
        issues=issues, leads=LEADS, hour_angle=hour_angle, clear=clear, scored=scored,
        actual=np.where(scored, index * clear, np.nan), learned=SimpleNamespace(limit_w=LIMIT),
    )  # fmt: skip


def said_of(table: Any) -> FloatArray:
    normal = np.array([-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645])
    return np.asarray((0.6 + 0.05 * normal)[:, None] * table.clear[:, None, :])


def width(box: Box) -> float:
    return float(box.offsets.lasting[0, -1] - box.offsets.lasting[0, 0])


def test_an_old_box_carries_on_and_a_new_one_begins_with_what_the_others_needed() -> None:
    first, second, new = months(1), months(2), months(3)
    new.scored[:], new.actual[:] = False, np.nan
    boxes = boxes_before([first, new, second], [said_of(first), said_of(second)])
    assert all(box.offsets.taught for box in (boxes[0], boxes[2]))
    assert not boxes[1].offsets.taught
    assert width(boxes[1]) > 0.2
    assert width(boxes[0]) > 0.2
    assert not boxes[0].offsets.seen.any()  # the models have changed


def test_without_models_of_before_all_boxes_are_new_and_know_nothing() -> None:
    boxes = boxes_before([months(1), months(2)], [])
    assert len(boxes) == 2
    assert not any(width(box) for box in boxes)
    assert boxes[0].offsets.lasting.shape[1] == len(LEVELS)
