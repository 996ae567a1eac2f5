"""The clock's judge: jumps, wrong trust, gaps, restarts, listeners that fail."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from edge_agent.clock.settings import ClockSettings, Trust, Unknown
from edge_agent.clock.watch import (
    ClockPeriod,
    ClockWatch,
    TrustedClockWatch,
    TrustMark,
    allowance_ms,
)
from models.contract.clock import Anchor, ScaledClock, SystemClock
from models.contract.timestamps import DAY_MS, HOUR_MS, Instant

BUILT = 1_780_000_000_000
START = BUILT + 100 * DAY_MS
SETTINGS = ClockSettings()


class SetClock:
    """A clock and its time service, moved by the test."""

    def __init__(self, wall_ms: Instant = START) -> None:
        self.mono_s, self.wall_ms = 1000.0, float(wall_ms)
        self.answer: bool | None = True
        self.asked = 0

    def now(self) -> Instant:
        return int(self.wall_ms // 1)

    def monotonic(self) -> float:
        return self.mono_s

    async def sleep_until(self, instant: Instant) -> None:
        raise AssertionError("the watch never sleeps")

    def synchronised(self) -> bool | None:
        self.asked += 1
        return self.answer

    def run(self, seconds: float, *, ppm: float = 0.0) -> None:
        self.mono_s += seconds
        self.wall_ms += seconds * 1000 * (1 + ppm / 1e6)

    def watch(
        self, settings: ClockSettings = SETTINGS, mark: TrustMark | None = None
    ) -> ClockWatch:
        return ClockWatch(
            self, settings, synchronised=self.synchronised, not_before=BUILT, mark=mark
        )


def looks(clock: SetClock, watch: ClockWatch, seconds: int) -> list[ClockPeriod]:
    seen = []
    for _ in range(seconds):
        clock.run(1)
        seen.append(watch.look())
    return seen


def test_a_synchronised_clock_is_trusted_from_the_first_look_and_stays_in_one_period() -> None:
    clock = SetClock()
    watch = clock.watch()
    seen = looks(clock, watch, 1000)
    assert set(seen) == {ClockPeriod(1, START - 1_000_000, True, seen[0].reason, 0)}


@pytest.mark.parametrize("jump_ms", [-HOUR_MS, DAY_MS, -START, 101, -101, 1001])
def test_a_jump_is_seen_at_the_next_look_with_its_size(jump_ms: int) -> None:
    clock = SetClock()
    watch = clock.watch()
    clock.wall_ms += jump_ms
    after = watch.look()
    assert (after.number, after.jumped_ms) == (2, jump_ms)
    assert after.offset_ms == START - 1_000_000 + jump_ms


@pytest.mark.parametrize("jump_ms", [-HOUR_MS, DAY_MS, 1001])
def test_a_large_step_that_is_called_synchronised_is_believed_only_after_it_settled(
    jump_ms: int,
) -> None:
    clock = SetClock()
    watch = clock.watch()
    clock.wall_ms += jump_ms
    assert not watch.look().trusted
    seen = looks(clock, watch, 21)
    assert [period.trusted for period in seen] == [False] * 19 + [True] * 2
    assert (seen[-1].number, seen[-1].jumped_ms) == (3, 0)


def test_a_break_in_synchronisation_starts_the_proof_anew() -> None:
    clock = SetClock()
    watch = clock.watch()
    clock.wall_ms += HOUR_MS
    looks(clock, watch, 15)
    clock.answer = False
    looks(clock, watch, 1)
    clock.answer = True
    seen = looks(clock, watch, 22)
    assert [period.trusted for period in seen] == [False] * 20 + [True] * 2


def test_each_of_several_jumps_in_a_row_starts_the_proof_anew() -> None:
    clock = SetClock()
    watch = clock.watch()
    for jump_ms in (DAY_MS, -HOUR_MS, 5000, -DAY_MS):
        clock.wall_ms += jump_ms
        seen = looks(clock, watch, 19)
        assert seen[0].jumped_ms == jump_ms
        assert not any(period.trusted for period in seen)
    assert looks(clock, watch, 2)[-1].trusted


def test_a_jump_exactly_undone_is_two_jumps_and_ends_where_it_began() -> None:
    clock = SetClock()
    watch = clock.watch()
    first = watch.look()
    clock.wall_ms += DAY_MS
    watch.look()
    clock.wall_ms -= DAY_MS
    back = watch.look()
    assert (back.number, back.jumped_ms, back.offset_ms) == (3, -DAY_MS, first.offset_ms)
    assert not back.trusted


def test_a_clock_before_the_build_is_not_trusted_whatever_anybody_says() -> None:
    for settings in (SETTINGS, replace(SETTINGS, trust=Trust.ALWAYS)):
        clock = SetClock(BUILT - 1)
        watch = clock.watch(settings)
        assert not watch.look().trusted
        clock.run(0.001)
        assert watch.look().trusted


def test_a_small_step_by_hand_ends_trust_at_once_even_between_two_questions() -> None:
    clock = SetClock()
    watch = clock.watch()
    clock.run(0.01)
    clock.wall_ms += 500
    clock.answer = False  # clock_settime clears the kernel's state
    after = watch.look()
    assert (after.trusted, after.jumped_ms) == (False, 500)
    assert watch.mark is None


def test_a_small_step_of_the_time_service_keeps_trust() -> None:
    clock = SetClock()
    watch = clock.watch()
    clock.run(5)
    clock.wall_ms += 500
    after = watch.look()
    assert (after.trusted, after.jumped_ms) == (True, 500)


def test_a_week_offline_costs_no_trust_until_the_drift_may_be_large() -> None:
    clock = SetClock()
    watch = clock.watch()
    clock.answer = False
    for _ in range(14 * 24 * 6):
        clock.run(600)
        assert watch.look().trusted
    clock.run(600)
    assert not watch.look().trusted


def test_a_clock_never_synchronised_is_not_trusted_by_holdover() -> None:
    clock = SetClock()
    clock.answer = False
    watch = clock.watch()
    assert not any(period.trusted for period in looks(clock, watch, 100))


def test_a_restart_while_offline_keeps_trust_unless_the_clock_was_set_meanwhile() -> None:
    clock = SetClock()
    mark = clock.watch().mark
    assert mark is not None
    clock.answer = False
    clock.run(3600)
    assert clock.watch(mark=mark).look().trusted
    clock.wall_ms += 1100
    assert not clock.watch(mark=mark).look().trusted


def test_a_mark_of_the_future_is_of_another_boot_and_worth_nothing() -> None:
    clock = SetClock()
    mark = clock.watch().mark
    clock.answer = False
    clock.run(-995)  # the same offset by chance
    assert not clock.watch(mark=mark).look().trusted


def test_a_process_that_was_stopped_for_a_day_sees_no_jump() -> None:
    clock = SetClock()
    watch = clock.watch()
    clock.run(86_400)
    assert watch.look().number == 1


def test_a_jump_while_nobody_looked_is_a_jump_however_long_that_was() -> None:
    clock = SetClock()
    watch = clock.watch()
    clock.run(30 * 86_400)
    clock.wall_ms += 1002
    assert watch.look().jumped_ms == 1002


def test_a_process_held_up_between_the_two_readings_sees_no_jump() -> None:
    clock = SetClock()

    class HeldUp(SetClock):
        """Loses 7 s after each reading of the wall clock, for as long as it is told to."""

        stops = 0

        def now(self) -> Instant:
            wall = super().now()
            if self.stops:
                self.stops -= 1
                self.run(7)
            return wall

    clock = HeldUp()
    watch = clock.watch()
    for stops in (1, 4, 50):
        clock.stops = stops
        assert watch.look().number == 1
    clock.stops = 0
    assert watch.look().number == 1
    clock.wall_ms += DAY_MS
    clock.stops = 1
    assert watch.look().jumped_ms == DAY_MS


def test_slow_drift_ends_a_period_after_a_second_without_jump_or_loss_of_trust() -> None:
    clock = SetClock()
    watch = clock.watch()
    seen = []
    for _ in range(2100):
        clock.run(1, ppm=500)
        seen.append(watch.look())
    assert {(period.number, period.jumped_ms, period.trusted) for period in seen} == {
        (1, 0, True),
        (2, 0, True),
    }


def test_the_source_is_asked_once_a_second_and_not_at_every_look() -> None:
    clock = SetClock()
    watch = clock.watch()
    for _ in range(10_000):
        clock.run(0.001)
        watch.look()
    assert 10 <= clock.asked <= 11


def test_trust_always_asks_nobody_and_needs_no_proof_after_a_jump() -> None:
    clock = SetClock()
    clock.answer = None
    watch = clock.watch(replace(SETTINGS, trust=Trust.ALWAYS))
    clock.run(10)
    clock.wall_ms += HOUR_MS
    after = watch.look()
    assert (after.trusted, after.jumped_ms, clock.asked) == (True, HOUR_MS, 0)


@pytest.mark.parametrize(
    ("unknown", "trusted"), [(Unknown.UNTRUSTED, False), (Unknown.TRUSTED, True)]
)
def test_a_kernel_that_cannot_be_asked_counts_as_the_settings_say(
    unknown: Unknown, trusted: bool
) -> None:
    clock = SetClock()
    clock.answer = None
    watch = clock.watch(replace(SETTINGS, unknown=unknown))
    assert watch.look().trusted is trusted


def test_a_source_that_raises_is_unknown_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = SetClock()

    def broken() -> bool:
        raise OSError("no such call")

    with caplog.at_level(logging.ERROR):
        watch = ClockWatch(clock, SETTINGS, synchronised=broken, not_before=BUILT)
        assert not any(period.trusted for period in looks(clock, watch, 10))
    assert len(caplog.records) == 1


def test_a_listener_that_fails_does_not_keep_the_others_from_hearing() -> None:
    clock = SetClock()
    watch = clock.watch()
    heard = []

    def broken(before: ClockPeriod, after: ClockPeriod) -> None:
        raise RuntimeError("boom")

    watch.on_change += [broken, lambda before, after: heard.append((before.number, after.number))]
    clock.wall_ms += DAY_MS
    watch.look()
    assert heard == [(1, 2)]
    looks(clock, watch, 21)
    assert heard == [(1, 2), (2, 3)]


def test_a_scaled_clock_would_look_like_jumps_and_is_trusted_by_definition_instead() -> None:
    scaled = ScaledClock(Anchor(1_700_000_000.0, BUILT, 3600.0))
    watch = TrustedClockWatch(scaled)
    first = watch.look()
    assert first.trusted
    assert all(watch.look() is first for _ in range(1000))


def test_the_real_clock_of_this_machine_does_not_jump_under_the_watch() -> None:
    watch = ClockWatch(SystemClock(), SETTINGS, synchronised=lambda: True, not_before=BUILT)
    first = watch.look()
    assert all(watch.look() is first for _ in range(20_000))


def test_the_allowance_grows_with_time_up_to_its_largest() -> None:
    assert [allowance_ms(s) for s in (-1, 0, 60, 1800, 86_400)] == [100, 100, 130, 1000, 1000]
