"""Who may follow the champion."""

from __future__ import annotations

from dataclasses import replace

import pytest

from central.registry.promotion import Judged, judge
from models.contract.forecast import WeatherMode

GOOD = Judged(skill=0.30, skill_low=0.22, coverage_90=0.88)


def test_the_first_candidate_with_sure_skill_goes_out() -> None:
    assert judge(GOOD, None).promote


@pytest.mark.parametrize("low", [0.0, -0.05, float("nan")])
def test_skill_that_may_be_luck_stays(low: float) -> None:
    verdict = judge(replace(GOOD, skill_low=low), None)
    assert not verdict.promote
    assert "lower bound" in verdict.reason


@pytest.mark.parametrize("coverage", [0.5, 1.0])
def test_an_interval_that_misleads_stays(coverage: float) -> None:
    assert not judge(replace(GOOD, coverage_90=coverage), None).promote


def test_perfect_weather_gates_nothing() -> None:
    assert not judge(replace(GOOD, weather_mode=WeatherMode.PERFECT), None).promote


@pytest.mark.parametrize(
    ("relative", "promoted"), [(0.90, True), (0.995, True), (1.019, True), (1.03, False)]
)
def test_a_candidate_is_held_against_the_champion(relative: float, promoted: bool) -> None:
    """Both by their error relative to smart persistence: their test spans are weeks apart."""
    candidate = replace(GOOD, skill=1 - relative * (1 - GOOD.skill))
    assert judge(candidate, GOOD).promote is promoted
