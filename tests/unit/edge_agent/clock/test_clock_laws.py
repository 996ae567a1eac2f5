"""Laws of the clock's judge over any sequence of time, jumps, slews and answers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.clock.settings import ClockSettings, Trust, Unknown
from edge_agent.clock.watch import (
    ASK_EVERY_S,
    DRIFT_MS,
    SLEW_PPM,
    ClockPeriod,
    ClockWatch,
    allowance_ms,
)
from models.contract.timestamps import DAY_MS, HOUR_MS, Instant

NOT_BEFORE = 1_780_000_000_000
ROUNDING_MS = 3
"""The wall clock is cut to whole milliseconds and the monotonic clock rounded, at two readings."""


@dataclass
class World:
    """True time, a monotonic clock that follows it, and a wall clock that may be wrong."""

    true_ms: float = NOT_BEFORE + 50.0 * DAY_MS
    error_ms: float = 0.0
    answer: bool | None = False
    settings: ClockSettings = ClockSettings()
    asked: list[tuple[float, bool | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.born_ms = self.true_ms - 60_000

    def now(self) -> Instant:
        return math.floor(self.true_ms + self.error_ms)

    def monotonic(self) -> float:
        return (self.true_ms - self.born_ms) / 1000

    async def sleep_until(self, instant: Instant) -> None:
        raise AssertionError("the watch never sleeps")

    def synchronised(self) -> bool | None:
        self.asked.append((self.monotonic(), self.answer))
        return self.answer

    def watch(self) -> ClockWatch:
        return ClockWatch(
            self, self.settings, synchronised=self.synchronised, not_before=NOT_BEFORE
        )


@dataclass(frozen=True)
class Step:
    """What happens before the next look."""

    seconds: float
    jump_ms: int
    ppm: float
    answer: bool | None


jumps = st.one_of(
    st.just(0),
    st.integers(-2000, 2000),
    st.sampled_from([-HOUR_MS, DAY_MS, -DAY_MS, -NOT_BEFORE]),
    st.integers(-400 * DAY_MS, 400 * DAY_MS),
)
seconds = st.one_of(st.floats(0, 3), st.floats(0, 1800), st.floats(0, 20 * 86_400))
steps = st.lists(
    st.builds(
        Step, seconds, jumps, st.floats(-SLEW_PPM, SLEW_PPM), st.sampled_from([True, False, None])
    ),
    max_size=40,
)
near_steps = st.lists(
    st.builds(
        Step,
        st.floats(0.5, 12),
        st.sampled_from([0, 0, 0, 0, 0, 700, 1500, -HOUR_MS]),
        st.just(0.0),
        st.sampled_from([True, True, True, True, False, None]),
    ),
    max_size=60,
)
"""Where a proof of 20 s just comes about, or just not."""
settings = st.builds(
    ClockSettings,
    trust=st.sampled_from(Trust),
    unknown=st.sampled_from(Unknown),
    holdover_s=st.sampled_from([0.0, 3600.0, 14 * 86_400.0]),
)


def take(world: World, step: Step) -> None:
    world.true_ms += step.seconds * 1000
    world.error_ms += step.seconds * step.ppm / 1000 + step.jump_ms
    world.answer = step.answer


@given(steps, settings)
def test_a_time_before_one_that_has_certainly_passed_is_never_trusted(
    history: list[Step], chosen: ClockSettings
) -> None:
    world = World(settings=chosen)
    watch = world.watch()
    for step in history:
        take(world, step)
        assert not (watch.look().trusted and world.now() < NOT_BEFORE)


@given(steps)
def test_a_clock_nobody_ever_vouched_for_is_never_trusted(history: list[Step]) -> None:
    world = World()
    watch = world.watch()
    for step in history:
        take(world, step)
        world.answer = None if step.answer else step.answer
        assert not watch.look().trusted


@given(st.lists(st.tuples(st.floats(0, 1800), st.floats(-SLEW_PPM, SLEW_PPM)), max_size=60))
def test_a_slew_within_limits_is_never_a_jump_and_costs_no_trust(
    history: list[tuple[float, float]],
) -> None:
    world = World(answer=True)
    watch = world.watch()
    for elapsed_s, ppm in history:
        take(world, Step(elapsed_s, 0, ppm, True))
        period = watch.look()
        assert (period.jumped_ms, period.trusted) == (0, True)
        assert abs(world.now() - world.monotonic() * 1000 - period.offset_ms) <= (
            DRIFT_MS + ROUNDING_MS
        )


@given(steps, settings)
def test_a_jump_beyond_the_limit_is_seen_at_the_next_look_and_anything_less_is_none(
    history: list[Step], chosen: ClockSettings
) -> None:
    world = World(settings=chosen)
    watch = world.watch()
    before = watch.look()
    for step in history:
        error_ms = world.error_ms
        take(world, step)
        moved_ms = world.error_ms - error_ms
        after = watch.look()
        limit_ms = allowance_ms(step.seconds)
        if abs(moved_ms) > limit_ms + ROUNDING_MS:
            assert after.number == before.number + 1
            assert abs(after.jumped_ms - moved_ms) <= ROUNDING_MS
        elif abs(moved_ms) < limit_ms - ROUNDING_MS:
            assert after is before or after.jumped_ms == 0
        before = after


@given(near_steps)
def test_after_a_large_jump_trust_comes_only_after_an_unbroken_proof(history: list[Step]) -> None:
    world = World(answer=True)
    watch = world.watch()
    jumped_s, number = -math.inf, 1
    is_proven = True
    for step in history:
        take(world, step)
        period = watch.look()
        if period.number > number and abs(period.jumped_ms) > 1000:
            jumped_s, is_proven = world.monotonic(), False
        number = period.number
        if period.trusted and not is_proven:
            proof_s = world.monotonic() - world.settings.settle_s
            assert proof_s >= jumped_s
            answers = [answer for at_s, answer in world.asked if at_s >= proof_s]
            assert answers
            assert all(answers)
            is_proven = True


@given(steps, st.integers(-400 * DAY_MS, 400 * DAY_MS))
def test_what_an_untrusted_clock_has_stamped_is_put_right_within_the_drift_of_a_period(
    history: list[Step], wrong_ms: int
) -> None:
    assert put_right(history, wrong_ms) <= DRIFT_MS + 2 * ROUNDING_MS


@given(steps, st.integers(-400 * DAY_MS, 400 * DAY_MS))
def test_on_linux_which_slews_both_clocks_it_is_put_right_to_the_millisecond(
    history: list[Step], wrong_ms: int
) -> None:
    set_or_left = [
        replace(step, ppm=0.0, jump_ms=step.jump_ms if abs(step.jump_ms) > 1010 else 0)
        for step in history
    ]
    wrong_ms += math.copysign(1010, wrong_ms)  # so that the last step is one that can be seen
    assert put_right(set_or_left, round(wrong_ms)) <= 2 * ROUNDING_MS


def put_right(history: list[Step], wrong_ms: int) -> float:
    """Largest error left, in ms, after the time service has set a clock that was wrong."""
    world = World(error_ms=float(wrong_ms))
    watch = world.watch()
    stamped: list[tuple[Instant, float, ClockPeriod]] = []
    for step in history:
        take(world, replace(step, answer=False))
        stamped.append((world.now(), world.true_ms, watch.look()))
    world.error_ms, world.answer = 0.0, True
    for _ in range(30):
        world.true_ms += 1000
        last = watch.look()
    assert last.trusted
    assert not any(period.trusted for _, _, period in stamped)
    return max(
        (
            abs(measured + last.offset_ms - period.offset_ms - true_ms)
            for measured, true_ms, period in stamped
        ),
        default=0.0,
    )


@given(steps)
def test_the_source_is_asked_once_a_second_at_most_and_once_more_at_each_jump(
    history: list[Step],
) -> None:
    world = World()
    watch = world.watch()
    jumped, start_s, number = 0, world.monotonic(), 1
    for step in history:
        take(world, step)
        for _ in range(5):
            period = watch.look()
        jumped += period.number > number
        number = period.number
    assert len(world.asked) <= 1 + (world.monotonic() - start_s) / ASK_EVERY_S + jumped
