"""What people read when the clock jumps, and that an alert that opens also closes."""

from __future__ import annotations

import pytest

from edge_agent.clock.alerts import alert_of, spoken
from edge_agent.clock.watch import ClockPeriod
from models.contract.messages import Alert, Severity
from models.contract.timestamps import DAY_MS, HOUR_MS, MINUTE_MS

GOOD = ClockPeriod(1, 0, True, "synchronised by a time service", 0)
BAD = ClockPeriod(2, DAY_MS, False, "the clock has jumped", 0)
JUMPED = ClockPeriod(2, DAY_MS, False, "the clock has jumped", DAY_MS)


def alert(before: ClockPeriod | None, after: ClockPeriod) -> Alert:
    made = alert_of(before, after, agent="farm-7", timestamp=5)
    assert made is not None
    assert (made.device, made.timestamp) == ("farm-7", 5)
    return made


@pytest.mark.parametrize("before", [None, GOOD])
def test_a_clock_that_is_not_trusted_warns_at_the_start_and_later(
    before: ClockPeriod | None,
) -> None:
    made = alert(before, BAD)
    assert (made.code, made.severity, made.active) == ("clock-untrusted", Severity.WARNING, True)


def test_a_jump_that_costs_trust_is_one_alert_that_says_how_far() -> None:
    made = alert(GOOD, JUMPED)
    assert made.code == "clock-untrusted"
    assert "jumped by +1 d. " in made.text


def test_the_warning_is_closed_when_trust_comes_back() -> None:
    made = alert(BAD, GOOD)
    assert (made.code, made.active) == ("clock-untrusted", False)


@pytest.mark.parametrize("trusted", [True, False])
def test_a_jump_that_changes_no_trust_is_told_and_leaves_nothing_open(trusted: bool) -> None:
    before = ClockPeriod(1, 0, trusted, "reason", 0)
    made = alert(before, ClockPeriod(2, -HOUR_MS, trusted, "reason", -HOUR_MS))
    assert (made.code, made.severity, made.active) == ("clock-jumped", Severity.INFO, False)
    assert "-1 h" in made.text


def test_drift_and_a_good_start_are_no_news() -> None:
    assert alert_of(None, GOOD, agent="farm-7", timestamp=5) is None
    drifted = ClockPeriod(2, 1001, True, GOOD.reason, 0)
    assert alert_of(GOOD, drifted, agent="farm-7", timestamp=5) is None


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (250, "+0.25 s"),
        (-59_999, "-59.999 s"),
        (3 * MINUTE_MS + 20_000, "+3 min 20 s"),
        (-HOUR_MS, "-1 h"),
        (DAY_MS + 2 * HOUR_MS + MINUTE_MS, "+1 d 2 h"),
        (DAY_MS + MINUTE_MS, "+1 d"),
        (-20_000 * DAY_MS, "-20000 d"),
    ],
)
def test_amounts_are_said_in_two_units(ms: int, text: str) -> None:
    assert spoken(ms) == text
