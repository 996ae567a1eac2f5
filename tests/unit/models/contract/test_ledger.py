"""A ledger whose sum is wrong, a turn that two days claim or none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contract.errors import ContractError
from models.contract.ledger import (
    MAX_LEDGERS,
    DayLedger,
    Reason,
    day_of,
    day_start,
    turn_after,
    turn_at,
    turns_between,
    turns_in_a_day,
)
from models.contract.messages import Status
from models.contract.timestamps import DAY_MS

DAY = "2024-06-15"
poll_ms = st.integers(100, 900_000) | st.sampled_from([1_000, 5_000, 7_000, 60_000])


def test_a_day_whose_turns_are_not_all_accounted_for() -> None:
    with pytest.raises(ContractError, match="100 turns expected, but 90 had and 9 lost"):
        DayLedger(DAY, "roof", 5_000, 100, 90, lost={Reason.DEAD: 9})


def test_more_thinned_than_was_ever_stored() -> None:
    lost = {Reason.ASLEEP: 5, Reason.DEAD: 5}
    assert DayLedger(DAY, "roof", 5_000, 20, 10, 15, lost).stored == 15
    with pytest.raises(ContractError, match="16 thinned of 15"):
        DayLedger(DAY, "roof", 5_000, 20, 10, 16, lost)


def test_two_ledgers_that_say_the_same_are_equal() -> None:
    one = DayLedger(DAY, "roof", 5_000, 3, 1, lost={Reason.OFF: 1, Reason.DEAD: 1, Reason.BAD: 0})
    other = DayLedger(DAY, "roof", 5_000, 3, 1, lost={Reason.DEAD: 1, Reason.OFF: 1})
    assert one == other
    assert list(one.lost) == [Reason.DEAD, Reason.OFF]


@pytest.mark.parametrize("day", ["2024-6-1", "2024-02-30", "20240615", "today", ""])
def test_what_is_no_day(day: str) -> None:
    with pytest.raises(ContractError, match="not a day"):
        day_start(day)


def test_a_status_of_too_many_rows() -> None:
    rows = tuple(DayLedger(DAY, f"d{n}", 5_000, 0, 0) for n in range(MAX_LEDGERS + 1))
    Status("farm", 0, True, "1", "0" * 16, 1, ledger=rows[1:])
    with pytest.raises(ContractError, match="at most 1000 rows"):
        Status("farm", 0, True, "1", "0" * 16, 1, ledger=rows)


@given(st.integers(0, 4 * 10**12), poll_ms)
def test_every_turn_lies_in_the_day_of_the_time_that_it_is_the_turn_of(at: int, poll: int) -> None:
    turn, following = turn_at(at, poll), turn_after(turn_at(at, poll), poll)
    assert turn <= at < following
    assert day_of(turn) == day_of(at)
    assert turn_at(turn, poll) == turn
    assert turn_at(following, poll) == following
    assert turns_between(turn, following, poll) == 1
    assert turns_between(turn, following - 1, poll) == 0


@given(st.integers(0, 4 * 10**12), st.integers(0, 3 * DAY_MS), st.integers(0, DAY_MS), poll_ms)
def test_turns_of_two_spans_add_up(first: int, one: int, two: int, poll: int) -> None:
    middle, last = first + one, first + one + two
    both = turns_between(first, middle, poll) + turns_between(middle, last, poll)
    assert turns_between(first, last, poll) == both
    assert turns_between(last, first, poll) == 0


@given(st.integers(0, 4 * 10**12), st.integers(1, 200_000), poll_ms)
def test_a_turn_far_ahead_is_so_many_turns_away(at: int, turns: int, poll: int) -> None:
    turn = turn_at(at, poll)
    ahead = turn_after(turn, poll, turns)
    assert turn_at(ahead, poll) == ahead
    assert turns_between(turn, ahead, poll) == turns


@given(st.integers(0, 40_000), poll_ms)
def test_a_whole_day_has_all_its_turns(day: int, poll: int) -> None:
    start = day * DAY_MS
    assert turns_between(start - 1, start + DAY_MS - 1, poll) == turns_in_a_day(poll)
    assert day_start(day_of(start)) == start
