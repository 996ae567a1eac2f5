"""Skill told from chance: the bootstrap and the test, against brute force and known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, ttest_1samp

from central.evaluation.significance import BlockDraws, diebold_mariano, skill_interval


def weather(days: int, memory: float, seed: int) -> np.ndarray:
    """A daily series that remembers the day before."""
    random = np.random.default_rng(seed)
    values = np.zeros(days)
    for day in range(1, days):
        values[day] = memory * values[day - 1] + random.normal()
    return values


def test_every_draw_has_as_many_days_and_every_day_is_drawn_as_often() -> None:
    draws = BlockDraws.draw(30, seed=1, block=7)
    assert draws.counts.shape == (2000, 30)
    assert (draws.counts.sum(axis=1) == 30).all()
    # Circular: the first and the last day are no rarer than the others.
    assert draws.counts.mean(axis=0) == pytest.approx(np.ones(30), abs=0.1)


def test_days_are_drawn_in_blocks_that_go_on_at_the_beginning() -> None:
    """21 days in blocks of 7: a day and the next one (circular) come together 6 times of 7."""
    counts = BlockDraws.draw(21, seed=2, block=7).counts.astype(float)
    for shift, expected in ((1, 6 / 7), (3, 4 / 7), (7, 0.0)):
        together = np.mean(
            [np.cov(counts[:, day], counts[:, (day + shift) % 21])[0, 1] for day in range(21)]
        )
        alone = np.mean(counts.var(axis=0))
        # 1/7 of the variance of a whole block is lost to the fixed number of blocks
        base = -3 * (7 / 21) ** 2
        assert (together - base) / (alone - base) == pytest.approx(expected, abs=0.06)


def test_the_interval_is_that_of_draws_made_one_by_one() -> None:
    random = np.random.default_rng(5)
    error, reference = random.exponential(1, 40), random.exponential(2, 40)
    days = np.arange(40)
    found = skill_interval(error[:, None], reference[:, None], days, seed=9, block=7)
    starts = np.random.default_rng(9).integers(0, 40, size=(2000, 6))
    skills = []
    for row in starts:
        chosen = [(start + k) % 40 for start in row for k in range(7)][:40]
        skills.append(1 - sum(error[chosen]) / sum(reference[chosen]))
    assert found == pytest.approx(np.quantile(skills, [0.05, 0.95]))


def test_weather_that_lasts_widens_the_interval() -> None:
    """Independent days give the same width in blocks and alone; days with a memory do not."""

    def widths(memory: float) -> tuple[float, float]:
        reference = np.full((300, 1), 10.0)
        error = 8.0 + weather(300, memory, seed=4)[:, None]
        one, seven = (
            np.diff(skill_interval(error, reference, np.arange(300), 0, block))[0]
            for block in (1, 7)
        )
        return float(one), float(seven)

    one, seven = widths(0.8)
    assert seven > 1.5 * one
    one, seven = widths(0.0)
    assert seven == pytest.approx(one, rel=0.2)


def test_a_reference_that_is_as_good_is_not_beaten_in_nine_of_ten_cases() -> None:
    beaten = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        day = random.exponential(1, (60, 1))  # shared weather
        error, reference = (day * random.uniform(0.5, 1.5, (60, 1)) for _ in range(2))
        low, high = skill_interval(error, reference, np.arange(60), seed, block=7)
        beaten += not low <= 0 <= high
    assert 8 <= beaten <= 40  # 10 % nominal; 20 % at most with 60 days in blocks


def test_few_days_give_no_interval() -> None:
    error, reference = np.ones((20, 1)), np.full((20, 1), 2.0)
    assert all(math.isnan(end) for end in skill_interval(error, reference, np.arange(20), 0))
    assert skill_interval(error, reference, np.arange(20), 0, block=1) == pytest.approx((0.5, 0.5))


def test_without_lags_diebold_mariano_is_the_t_test_on_means() -> None:
    difference = np.random.default_rng(0).normal(0.2, 1.0, 400)
    found = diebold_mariano(difference, lags=0)
    theirs = ttest_1samp(difference, 0.0)
    # The t test divides by n - 1.
    assert found.statistic == pytest.approx(theirs.statistic * math.sqrt(400 / 399))
    assert found.p_value == pytest.approx(2 * norm.sf(abs(found.statistic)))
    assert (found.lags, found.days) == (0, 400)


def test_the_variance_is_newey_and_wests() -> None:
    """Against the sum over all pairs of days, weighted by 1 - |i - j| / (lags + 1)."""
    d = weather(120, 0.6, seed=3)
    i, j = np.indices((120, 120))
    weight = np.clip(1 - np.abs(i - j) / 7, 0, None)
    e = d - d.mean()
    variance_of_mean = (weight * np.outer(e, e)).sum() / 120**2
    found = diebold_mariano(d)
    assert found.lags == 6
    assert found.statistic == pytest.approx(d.mean() / math.sqrt(variance_of_mean))


def test_diebold_mariano_forgives_memory_that_a_plain_test_takes_for_skill() -> None:
    plain = hac = 0
    for seed in range(200):
        d = weather(365, 0.7, seed)
        plain += diebold_mariano(d, lags=0).p_value < 0.05
        hac += diebold_mariano(d, lags=14).p_value < 0.05
    assert plain > 60
    assert hac < 35


def test_too_few_days_or_no_difference_give_no_test() -> None:
    assert math.isnan(diebold_mariano([0.1] * 12).p_value)
    assert math.isnan(diebold_mariano(np.zeros(100)).p_value)
    assert diebold_mariano([math.nan, *([0.1] * 12)]).days == 12
