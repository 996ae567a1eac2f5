"""Published forecasts against measurements, each score also added up here by other means."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from central.report.live import training_ends
from central.report.pairs import ISSUED_AGAIN, OTHER_START, WITHOUT_BUNDLE
from central.store import open_store
from models.contract.forecast import LEVELS, WeatherMode
from models.contract.record import Quality
from models.contract.timestamps import DAY_MS, HORIZON_STEPS, HOUR_MS, STEP_MS
from models.features.site import FloatArray, SiteSeries
from models.features.sky import Sky
from tests.unit.central.report.published_days import (
    BEGIN,
    END,
    MANIFEST,
    SITE,
    START,
    TRUTH,
    Fleet,
    banded,
    forecast,
    issue_times,
    persistence_at,
    sure,
    truth_at,
)

CAPACITY = SITE.ac_capacity_w


def publish(fleet: Fleet, quantiles: Callable[[int], FloatArray]) -> None:
    fleet.publishes(*(forecast(at, quantiles(at)) for at in issue_times()))


def daylight_targets(at: int, start: int = START, end: int = END) -> list[int]:
    """Steps of the forecast issued at ``at`` that must be scored, one by one."""
    sky = Sky.over(SITE, at, HORIZON_STEPS)
    return [
        step
        for step in range(HORIZON_STEPS)
        if start <= at + step * STEP_MS < end and sky.power[step] > 0.02 * CAPACITY
    ]


def test_forecasts_that_said_the_truth_have_skill_one(fleet: Fleet) -> None:
    publish(fleet, lambda at: sure(truth_at(at)))
    live = fleet.live()
    assert live.overall.mae == 0.0
    assert {score.skill for score in live.scores.values()} == {1.0}
    assert live.overall.skill_low == live.overall.skill_high == 1.0
    assert live.overall.coverage_90 == 1.0
    assert live.overall.width_90 == 0.0


def test_forecasts_that_said_smart_persistence_have_skill_zero(fleet: Fleet) -> None:
    publish(fleet, lambda at: sure(persistence_at(at)))
    live = fleet.live()
    assert live.overall.mae > 0.05
    assert [score.skill for score in live.scores.values()] == pytest.approx([0.0] * 9, abs=1e-12)


def test_scores_are_those_added_up_pair_by_pair(fleet: Fleet) -> None:
    publish(fleet, banded)
    live = fleet.live()
    absolute, squared, reference, pinball, inside = [], [], [], [], []
    for at in issue_times():
        quantiles, smart, truth = banded(at), persistence_at(at), truth_at(at)
        for step in daylight_targets(at):
            error = quantiles[3, step] - truth[step]
            absolute.append(abs(error))
            squared.append(error**2)
            reference.append(abs(smart[step] - truth[step]))
            inside.append(quantiles[0, step] <= truth[step] <= quantiles[6, step])
            for place, level in enumerate(LEVELS):
                over = truth[step] - quantiles[place, step]
                pinball.append(level * over if over > 0 else (level - 1) * over)
    found = live.overall
    assert found.pairs == len(absolute)
    assert found.mae == pytest.approx(np.mean(absolute) / CAPACITY)
    assert found.rmse == pytest.approx(math.sqrt(np.mean(squared)) / CAPACITY)
    assert found.mae_persistence == pytest.approx(np.mean(reference) / CAPACITY)
    assert found.skill == pytest.approx(1 - np.sum(absolute) / np.sum(reference))
    assert found.pinball == pytest.approx(np.mean(pinball) / CAPACITY)
    assert found.coverage_90 == pytest.approx(np.mean(inside))
    assert live.intervals[2].observed == found.coverage_90
    assert live.intervals[2].width == pytest.approx(found.width_90)
    assert found.skill_low < found.skill < found.skill_high


def test_scores_by_lead_hold_only_their_leads(fleet: Fleet) -> None:
    publish(fleet, banded)
    errors: list[float] = []
    for at in issue_times():
        median, truth = banded(at)[3], truth_at(at)
        steps = [step for step in daylight_targets(at) if 24 <= step < 48]
        errors.extend(abs(median[step] - truth[step]) for step in steps)
    score = fleet.live().scores["6-12 h"]
    assert score.pairs == len(errors)
    assert score.mae == pytest.approx(np.mean(errors) / CAPACITY)


def test_a_forecast_one_interval_late_is_not_perfect(fleet: Fleet) -> None:
    publish(fleet, lambda at: sure(truth_at(at - STEP_MS)))
    live = fleet.live()
    errors = [
        abs(truth_at(at - STEP_MS)[step] - truth_at(at)[step])
        for at in issue_times()
        for step in daylight_targets(at)
    ]
    assert live.overall.mae == pytest.approx(np.mean(errors) / CAPACITY)
    assert 0 < live.overall.skill < 1


def test_reliability_is_the_share_at_or_below_each_quantile(fleet: Fleet) -> None:
    publish(fleet, banded)
    below: dict[float, list[bool]] = {level: [] for level in LEVELS}
    for at in issue_times():
        quantiles, truth = banded(at), truth_at(at)
        for step in daylight_targets(at):
            for place, level in enumerate(LEVELS):
                below[level].append(bool(truth[step] <= quantiles[place, step]))
    found = {one.level: one.observed for one in fleet.live().reliability}
    assert found == pytest.approx({level: np.mean(hits) for level, hits in below.items()})


def test_what_is_said_of_the_night_changes_nothing(fleet: Fleet) -> None:
    def foolish(at: int) -> FloatArray:
        night = ~Sky.over(SITE, at, HORIZON_STEPS).daylight
        assert night.any()
        return np.where(night, CAPACITY, banded(at))

    publish(fleet, foolish)
    foolish_scores = fleet.live().scores
    other = [forecast(at, banded(at), offset=HOUR_MS // 60) for at in issue_times()]
    fleet.publishes(*other)  # issued a minute later: replaces the first
    live = fleet.live()
    assert live.left_out == {ISSUED_AGAIN: len(other)}
    assert live.scores == foolish_scores


def test_forecasts_before_the_window_and_targets_beyond_it_take_no_part(fleet: Fleet) -> None:
    early = [forecast(at, banded(at)) for at in issue_times(START - DAY_MS, START)]
    fleet.publishes(*early)
    publish(fleet, banded)
    middle = START + 2 * DAY_MS + 5 * STEP_MS
    live = fleet.live(START, middle)
    issued = [at for at in issue_times() if at < middle]
    assert live.bundles == {"bundle-7": len(issued)}
    pairs = sum(len(daylight_targets(at, START, middle)) for at in issued)
    assert live.overall.pairs == pairs
    assert live.first_target is not None
    assert live.first_target >= START
    assert live.last_target is not None
    assert live.last_target + STEP_MS <= middle


def test_the_interval_under_way_when_the_window_begins_is_no_target(fleet: Fleet) -> None:
    noon = START + 12 * HOUR_MS
    fleet.publishes(forecast(noon, banded(noon), offset=HOUR_MS // 10))
    live = fleet.live(noon + HOUR_MS // 60)
    assert live.first_target == noon + STEP_MS
    assert live.scores["0-1 h"].pairs == 3
    assert live.trace.times[0] == noon + STEP_MS


def test_forecasts_without_a_bundle_are_counted_and_not_scored(fleet: Fleet) -> None:
    times = list(issue_times())
    fleet.publishes(*(forecast(at, sure(truth_at(at))) for at in times[10:]))
    fleet.publishes(*(forecast(at, sure(persistence_at(at)), bundle=None) for at in times[:10]))
    live = fleet.live()
    assert live.overall.skill == 1.0
    assert live.forecasts == {"smart_persistence": 10, "blend": len(times) - 10}
    assert live.left_out == {WITHOUT_BUNDLE: 10}
    assert live.first_target is not None
    assert live.first_target >= times[10]


def test_a_forecast_for_a_past_interval_is_refused(fleet: Fleet) -> None:
    backdated = replace(forecast(START, sure(truth_at(START))), issued_at=START + HOUR_MS)
    fleet.publishes(backdated)
    live = fleet.live()
    assert live.left_out == {OTHER_START: 1}
    assert live.overall.pairs == 0


def test_a_forecast_that_begins_after_the_running_interval_is_held_against_what_was_known(
    fleet: Fleet,
) -> None:
    issued = START + 9 * HOUR_MS + STEP_MS // 3  # in the morning, mid-interval
    begins = START + 9 * HOUR_MS + STEP_MS
    known_then = persistence_at(START + 9 * HOUR_MS)
    power = np.append(known_then[1:], 0.0)  # the same expectations, one interval on
    fleet.publishes(replace(forecast(begins, sure(power)), issued_at=issued))
    live = fleet.live()
    assert live.scores["0-1 h"].pairs == 4
    assert live.scores["0-1 h"].mae > 0
    assert live.scores["0-1 h"].skill == pytest.approx(0.0, abs=1e-12)


def test_intervals_without_a_good_measurement_are_left_out(tmp_path: Path, fleet: Fleet) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'holes.sqlite'}")
    holed = Fleet(store)
    power = TRUTH.window(0, TRUTH.index(END)).ac_power.copy()
    noon = TRUTH.index(START + DAY_MS + 12 * HOUR_MS)
    power[noon : noon + 4] = np.nan
    holed.measures(SiteSeries(BEGIN, power))
    holed.measures(
        SiteSeries(BEGIN + noon * STEP_MS, np.full(2, 99_000.0)), quality=Quality.SUSPECT
    )
    publish(holed, lambda at: sure(truth_at(at)))
    publish(fleet, lambda at: sure(truth_at(at)))
    # Four intervals, once per forecast that reaches them.
    reaching = sum(0 <= (START + DAY_MS + 12 * HOUR_MS - at) < 2 * DAY_MS for at in issue_times())
    assert fleet.live().overall.pairs - holed.live().overall.pairs == 4 * reaching
    assert holed.live().overall.skill == 1.0
    store.close()


def test_history_gives_the_reference_its_past_and_never_its_future(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'late.sqlite'}")
    fleet = Fleet(store)
    fleet.measures(TRUTH.window(TRUTH.index(START), TRUTH.index(END)))
    publish(fleet, lambda at: sure(persistence_at(at)))
    assert fleet.live().overall.skill != pytest.approx(0.0, abs=1e-6)
    assert fleet.live(history=TRUTH).overall.skill == pytest.approx(0.0, abs=1e-12)
    wrong_future = TRUTH.ac_power.copy()
    wrong_future[TRUTH.index(START) :] = 1.0
    history = SiteSeries(BEGIN, wrong_future)
    assert fleet.live(history=history).scores == fleet.live(history=TRUTH).scores
    # A target that only the history knows is no target.
    assert fleet.live(history=TRUTH, end=END + DAY_MS).overall.pairs == fleet.live().overall.pairs
    store.close()


def test_days_count_when_half_of_their_daylight_was_scored(fleet: Fleet) -> None:
    publish(fleet, banded)
    assert fleet.live().days == 4
    # BEGIN is the sun's midnight there: noon lies 12 hours on.
    assert fleet.live(START + 13 * HOUR_MS, END).days == 3
    assert fleet.live(START + 11 * HOUR_MS, END).days == 4
    assert fleet.live(START, END - 13 * HOUR_MS).days == 3


def test_targets_inside_the_training_span_are_counted_and_flagged(fleet: Fleet) -> None:
    publish(fleet, banded)
    assert fleet.live().after_training is None
    assert fleet.live(training_end=START).after_training is True
    cut = START + DAY_MS + 12 * HOUR_MS
    live = fleet.live(training_end={"bundle-7": cut})
    assert live.after_training is False
    assert live.pairs_in_training == sum(
        at + step * STEP_MS < cut for at in issue_times() for step in daylight_targets(at)
    )


def test_each_bundle_is_held_against_its_own_training_span(fleet: Fleet) -> None:
    half = START + 2 * DAY_MS
    fleet.publishes(*(forecast(at, banded(at), "old") for at in issue_times(START, half)))
    fleet.publishes(*(forecast(at, banded(at), "new") for at in issue_times(half, END)))
    assert fleet.live(training_end={"old": START, "new": half}).after_training is True
    assert fleet.live(training_end={"old": START, "new": half + DAY_MS}).after_training is False
    assert fleet.live(training_end={"old": START}).after_training is None
    live = fleet.live(training_end={"old": START, "new": half})
    assert live.bundles == {"new": 24, "old": 24}
    assert live.training_ends == {"new": half, "old": START}


def test_weather_modes_are_those_of_the_scored_forecasts(fleet: Fleet) -> None:
    made = [forecast(at, banded(at)) for at in issue_times()]
    made[3] = replace(made[3], weather_mode=WeatherMode.PERFECT)
    fleet.publishes(*made)
    assert fleet.live().weather_modes == ("none", "perfect")


def test_an_agent_that_published_nothing_gives_json_without_nan(fleet: Fleet) -> None:
    live = fleet.live()
    text = json.dumps(live.to_json(), allow_nan=False)
    assert json.loads(text)["scores"]["all"]["skill"] is None
    assert (live.days, live.first_target, live.after_training) == (0, None, None)
    assert live.pairs_in_training == 0


def test_json_carries_every_score_and_iso_times(fleet: Fleet) -> None:
    publish(fleet, banded)
    live = fleet.live(training_end=START)
    body = json.loads(json.dumps(live.to_json(), allow_nan=False))
    assert body["scores"]["all"]["skill"] == live.overall.skill
    assert body["start"] == "2026-06-05T08:00:00Z"
    assert body["training_ends"] == {"bundle-7": "2026-06-05T08:00:00Z"}
    assert body["after_training"] is True
    assert [one["level"] for one in body["reliability"]] == list(LEVELS)


def test_an_empty_window_is_an_error(fleet: Fleet) -> None:
    with pytest.raises(ValueError, match="must end after it begins"):
        fleet.live(END, START)


def test_the_day_ahead_trace_is_what_stood_24_hours_before(fleet: Fleet) -> None:
    publish(fleet, banded)
    trace = fleet.live().trace
    assert len(trace) == (END - START) // STEP_MS
    assert trace.measured == pytest.approx(TRUTH.ac_power[TRUTH.index(START) : TRUTH.index(END)])
    assert np.isnan(trace.quantiles[:, :96]).all()
    for k in (96, 96 + 51, len(trace) - 1):
        target = int(trace.times[k])
        issue = max(at for at in issue_times() if at <= target - DAY_MS)
        step = (target - issue) // STEP_MS
        assert trace.quantiles[:, k] == pytest.approx(banded(issue)[:, step])


def test_the_day_ahead_trace_breaks_when_no_forecast_was_old_enough(fleet: Fleet) -> None:
    times = [at for at in issue_times() if not START + DAY_MS <= at < START + 2 * DAY_MS]
    fleet.publishes(*(forecast(at, banded(at)) for at in times))
    trace = fleet.live().trace
    known = np.isfinite(trace.quantiles[3])
    # The last issue before the gap stands in for at most six hours.
    last = START + DAY_MS - 2 * HOUR_MS
    gap = (trace.times >= last + DAY_MS + 6 * HOUR_MS) & (trace.times < START + 3 * DAY_MS)
    assert not known[gap].any()
    assert known[(trace.times >= START + DAY_MS) & ~gap].all()


def test_training_ends_come_from_the_manifests() -> None:
    assert training_ends([MANIFEST]) == {"bundle-7": START}
