"""Who may follow the champion."""

from __future__ import annotations

from dataclasses import replace

import pytest

from central.registry.promotion import Judged, judge
from models.contract.forecast import WeatherMode

GOOD = Judged(mae=0.100, skill=0.30, skill_low=0.22, coverage_90=0.88)


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
    ("mae", "promoted"), [(0.090, True), (0.0995, True), (0.1019, True), (0.103, False)]
)
def test_a_candidate_is_held_against_the_champion(mae: float, promoted: bool) -> None:
    assert judge(replace(GOOD, mae=mae), GOOD).promote is promoted
