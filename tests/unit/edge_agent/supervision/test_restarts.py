"""How long a worker waits, and when starting it again helps no more."""

from __future__ import annotations

import random

import pytest

from edge_agent.supervision import SupervisionSettings
from edge_agent.supervision.restarts import Restarts


def restarts(**settings: float) -> Restarts:
    """With the default settings but for some."""
    return Restarts(SupervisionSettings(**settings), random.Random(1))  # type: ignore[arg-type]


def test_the_pause_doubles_up_to_the_longest_and_stays_there() -> None:
    worker = restarts()
    pauses = [worker.failed(float(at), "broken")[0] for at in range(10)]
    for pause, bound in zip(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60], strict=True):
        assert 0.75 * bound <= pause <= bound
    assert worker.failed(1e9, "broken")[0] <= 60


def test_workers_that_failed_together_are_not_started_together() -> None:
    rng = random.Random(2)
    workers = [Restarts(SupervisionSettings(), rng) for _ in range(20)]
    pauses = {worker.failed(0.0, "the card was gone")[0] for worker in workers}
    assert len(pauses) == 20
    assert max(pauses) - min(pauses) > 0.1


def test_a_thousand_failures_in_a_row_do_not_overflow() -> None:
    worker = restarts()
    for at in range(2000):
        pause, _ = worker.failed(float(at), "broken")
    assert pause <= 60


def test_failures_are_forgotten_after_running_well() -> None:
    worker = restarts()
    for at in range(5):
        worker.failed(float(at), "broken")
    assert worker.ran_well()
    assert not worker.ran_well()
    pause, is_news = worker.failed(1000.0, "broken")
    assert pause <= 1
    assert is_news
    assert worker.count == 6


def test_more_restarts_than_allowed_within_the_window_are_hopeless_though_it_ran_well_between() -> (
    None
):
    worker = restarts()
    for at in range(5):
        worker.failed(at * 100.0, "broken")
        worker.ran_well()
        assert not worker.hopeless(at * 100.0)
    worker.failed(500.0, "broken")
    assert worker.hopeless(500.0)


def test_rare_failures_are_never_hopeless() -> None:
    worker = restarts()
    for at in range(50):
        worker.failed(at * 400.0, "broken")
        assert not worker.hopeless(at * 400.0)
        worker.ran_well()


def test_a_worker_that_is_stuck_each_time_until_its_long_deadline_is_hopeless_too() -> None:
    worker = restarts()
    for at in range(6):
        assert not worker.hopeless(at * 1200.0)
        worker.failed(at * 1200.0, "stuck")
    assert worker.hopeless(6000.0)


def test_a_repeat_is_no_news_and_is_counted() -> None:
    worker = restarts()
    assert [worker.failed(0.0, why)[1] for why in ("a", "a", "b", "a")] == [
        True, False, True, False,
    ]  # fmt: skip
    assert worker.repeats("a") == 3


def test_reasons_that_differ_each_time_take_no_memory_and_do_not_flood_the_log() -> None:
    worker = restarts()
    news = [worker.failed(0.0, f"object at {at}" + "x" * 10_000)[1] for at in range(1000)]
    assert sum(news) == 16
    assert len(worker._told) == 16
    assert len(worker.last_reason) == 500


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("first_pause_s", 0.0), ("first_pause_s", 61.0), ("restarts_allowed", 0), ("well_s", 0.0),
        ("cancel_s", 0.0), ("farewell_s", -1.0), ("end_s", 45.0), ("loop_deadline_s", 1.0),
        ("turn_s", 0.0), ("gap_s", float("nan")),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_work_is_refused_by_its_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name}: "):
        SupervisionSettings(**{name: value})  # type: ignore[arg-type]
