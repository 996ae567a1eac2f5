"""Workers that crash, stand still, or do not end; virtual time, the real event loop."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from edge_agent.supervision import (
    Busy,
    Progress,
    RestartNeeded,
    Supervisor,
    WorkerFailed,
)
from tests.unit.edge_agent.supervision.stage import Stage

Work = Callable[[Progress], Awaitable[None]]
NEVER = 1e12
"""Deadline of those who are not to be judged though the test moves time by leaps."""


class Workshop:
    """Workers of every kind, and what they went through."""

    def __init__(self) -> None:
        self.starts: list[str] = []
        self.ended: list[str] = []
        self.release = asyncio.Event()
        """Lets the stubborn end."""

    def well(self, name: str) -> Work:
        """Comes round all the time."""

        async def work(progress: Progress) -> None:
            self.starts.append(name)
            try:
                while True:
                    progress.mark()
                    await asyncio.sleep(0)
            finally:
                self.ended.append(name)

        return work

    def still(self, name: str) -> Work:
        """Never comes round."""

        async def work(progress: Progress) -> None:
            self.starts.append(name)
            try:
                await asyncio.Event().wait()
            finally:
                self.ended.append(name)

        return work

    def crash(self, name: str, *reasons: BaseException | None) -> Work:
        """Fails at once, for the next reason at each start (None: returns), then stands still."""
        left = list(reasons)

        async def work(progress: Progress) -> None:
            self.starts.append(name)
            if not left:
                await asyncio.Event().wait()
            if (reason := left.pop(0)) is not None:
                raise reason

        return work

    def stubborn(self, name: str) -> Work:
        """Stands still and swallows cancellations until it is released."""

        async def work(progress: Progress) -> None:
            self.starts.append(name)
            for _ in range(2):  # the supervisor's own; a test that fails must be able to end
                with suppress(asyncio.CancelledError):
                    await self.release.wait()
            await self.release.wait()

        return work


async def leaves_nothing_behind() -> None:
    """Every task but the test's own has ended."""
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_crashed_worker_is_started_again_and_the_others_go_on(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> None:
        shop, supervisor = Workshop(), stage.supervisor()
        supervisor.add("poll", shop.crash("poll", OSError("no card"), OSError("no card")), 60)
        supervisor.add("uplink", shop.well("uplink"), NEVER)
        async with stage.running(supervisor):
            for starts in (2, 3):
                await stage.looked()
                stage.time.now += 60
                await stage.until(lambda n=starts: shop.starts.count("poll") == n, "a new start")
            assert shop.starts.count("uplink") == 1
            poll = next(one for one in supervisor.workers() if one.name == "poll")
            assert (poll.restarts, poll.last_reason) == (2, "OSError: no card")
            assert supervisor.counts()["worker_restarts"] == 2
            assert supervisor.counts()["poll restarts"] == 2

    with caplog.at_level(logging.WARNING):
        asyncio.run(go())
    assert stage.restarted == [("poll", "OSError: no card")]
    errors = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert [one.exc_info is not None for one in errors] == [True]
    assert "again (2 times): OSError: no card" in caplog.text


@pytest.mark.parametrize(
    ("reason", "told"),
    [(None, "ended by itself"), (asyncio.CancelledError(), "was cancelled")],
)
def test_a_worker_that_merely_ends_is_started_again(
    reason: BaseException | None, told: str, stage: Stage
) -> None:
    async def go() -> None:
        shop, supervisor = Workshop(), stage.supervisor()
        supervisor.add("poll", shop.crash("poll", reason), 60)
        async with stage.running(supervisor):
            await stage.until(lambda: stage.restarted, "its end is noticed")
            stage.time.now += 2
            await stage.until(lambda: len(shop.starts) == 2, "a new start")
        assert stage.restarted == [("poll", told)]

    asyncio.run(go())


def test_a_factory_that_cannot_even_begin_is_a_crash_like_others(stage: Stage) -> None:
    def factory(progress: Progress) -> Awaitable[None]:
        raise FileNotFoundError("profile")

    async def go() -> None:
        supervisor = stage.supervisor()
        supervisor.add("poll", factory, 60)
        async with stage.running(supervisor):
            await stage.until(lambda: stage.restarted, "its end is noticed")
        assert stage.restarted == [("poll", "FileNotFoundError: profile")]

    asyncio.run(go())


def test_a_crash_is_noticed_at_once_and_not_with_the_next_look(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "3000000000")

    async def go() -> None:
        shop, supervisor = Workshop(), stage.supervisor(turn_s=1000.0)
        supervisor.add("poll", shop.crash("poll", OSError("no card")), 60)
        async with stage.running(supervisor):
            await stage.until(lambda: stage.restarted, "it is noticed")

    asyncio.run(go())


def test_no_worker_is_started_again_before_its_pause_is_over(stage: Stage) -> None:
    async def go() -> None:
        shop, supervisor = Workshop(), stage.supervisor()
        supervisor.add("poll", shop.crash("poll", *[OSError()] * 4), 60)
        async with stage.running(supervisor):
            for starts, pause_s in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0)):
                await stage.until(lambda n=starts: supervisor.workers()[0].restarts == n, "ended")
                stage.time.now += 0.74 * pause_s
                await stage.looked()
                assert len(shop.starts) == starts
                stage.time.now += 0.27 * pause_s
                await stage.until(lambda n=starts: len(shop.starts) == n + 1, "a new start")

    asyncio.run(go())


def test_a_worker_that_ran_well_for_a_while_is_told_so_and_begins_anew(stage: Stage) -> None:
    async def go() -> None:
        shop, supervisor = Workshop(), stage.supervisor()
        fail = asyncio.Event()

        async def work(progress: Progress) -> None:
            shop.starts.append("poll")
            while not fail.is_set():
                progress.mark()
                await asyncio.sleep(0)
            fail.clear()
            raise OSError("no card")

        supervisor.add("poll", work, 600)
        async with stage.running(supervisor):
            for starts in (2, 3):
                fail.set()
                await stage.until(lambda: not fail.is_set(), "it failed")
                await stage.looked()
                stage.time.now += 1  # the first pause each time
                await stage.until(lambda n=starts: len(shop.starts) == n, "a new start")
                assert len(stage.well) == starts - 2
                stage.time.now += 301
                await stage.until(lambda n=starts: len(stage.well) == n - 1, "well again")
        assert stage.restarted == [("poll", "OSError: no card")] * 2

    asyncio.run(go())


def test_a_stuck_worker_ends_with_its_cleanup_and_is_started_again(stage: Stage) -> None:
    async def go() -> None:
        shop, supervisor = Workshop(), stage.supervisor()
        supervisor.add("poll", shop.still("poll"), 60)
        supervisor.add("slow", shop.still("slow"), 1000)
        async with stage.running(supervisor):
            stage.time.now += 60
            await stage.looked()
            assert not shop.ended
            stage.time.now += 1
            await stage.until(lambda: shop.ended == ["poll"], "it was cancelled")
            await stage.until(lambda: stage.restarted, "it is told")
            stage.time.now += 1
            await stage.until(lambda: shop.starts.count("poll") == 2, "a new start")
            await stage.looked()
        assert shop.starts.count("slow") == 1
        assert stage.restarted == [("poll", "did not come round within 60 s")]

    asyncio.run(go())


def test_a_worker_that_keeps_its_own_mark_is_judged_by_it(stage: Stage) -> None:
    async def go() -> None:
        shop, supervisor = Workshop(), stage.supervisor()
        mark = stage.time.now
        supervisor.add("uplink", shop.still("uplink"), 60, marked=lambda: mark)
        async with stage.running(supervisor):
            for _ in range(5):
                stage.time.now += 50
                mark = stage.time.now
                await stage.looked()
            assert not stage.restarted
            stage.time.now += 61
            await stage.until(lambda: stage.restarted, "stuck")
            stage.time.now += 1
            await stage.until(lambda: len(shop.starts) == 2, "a new start")
            await stage.looked()  # the old mark must not count against the new start
            assert len(stage.restarted) == 1

    asyncio.run(go())


def test_a_mark_that_cannot_be_read_counts_as_standing_still(stage: Stage) -> None:
    async def go() -> None:
        shop, supervisor = Workshop(), stage.supervisor()
        supervisor.add("uplink", shop.still("uplink"), 60, marked=lambda: 1 // 0)
        async with stage.running(supervisor):
            await stage.looked()
            stage.time.now += 61
            await stage.until(lambda: stage.restarted, "stuck")

    asyncio.run(go())


def test_an_essential_worker_that_will_not_be_cancelled_ends_the_agent(stage: Stage) -> None:
    async def go() -> None:
        shop, supervisor = Workshop(), stage.supervisor()
        supervisor.add("poll", shop.stubborn("poll"), 60)
        supervisor.add("uplink", shop.well("uplink"), NEVER)
        running = asyncio.create_task(supervisor.run())
        await stage.until(lambda: len(shop.starts) == 2, "started")
        stage.time.now += 61
        await stage.looked()
        assert supervisor.stuck() == ("poll",)
        assert not shop.ended  # it has its time to leave
        stage.time.now += 0.3
        with pytest.raises(WorkerFailed, match=r"poll .* does not let itself be cancelled"):
            await running
        assert shop.ended == ["uplink"]
        shop.release.set()
        await asyncio.sleep(0.01)
        await leaves_nothing_behind()

    asyncio.run(go())


def test_one_that_is_not_essential_is_left_behind_and_started_when_it_ends_after_all(
    stage: Stage, systemd: socket.socket
) -> None:
    async def go() -> None:
        shop, supervisor = Workshop(), stage.supervisor()
        supervisor.add("page", shop.stubborn("page"), 60, essential=False)
        supervisor.add("uplink", shop.well("uplink"), NEVER)
        async with stage.running(supervisor) as running:
            await stage.until(lambda: shop.starts, "started")
            stage.time.now += 61
            await stage.until(lambda: supervisor.workers()[0].state == "leaving", "it is to end")
            assert supervisor.stuck() == ("page",)
            stage.time.now += 0.3
            await stage.until(lambda: stage.restarted, "it is given up")
            drain(systemd)
            stage.time.now += 1000
            await stage.until(lambda: b"WATCHDOG=1" in drain(systemd), "the watchdog is fed")
            assert shop.starts.count("page") == 1
            shop.release.set()
            await stage.until(lambda: supervisor.workers()[0].restarts == 1, "it has ended")
            stage.time.now += 60
            await stage.until(lambda: shop.starts.count("page") == 2, "a new start")
            assert not running.done()

    asyncio.run(go())


def test_an_essential_worker_that_fails_too_often_ends_the_agent_in_good_order(
    stage: Stage,
) -> None:
    async def go() -> None:
        said: list[str] = []
        shop = Workshop()

        async def farewell() -> None:
            said.append("farewell")

        supervisor = stage.supervisor(farewell=farewell)
        supervisor.add("poll", shop.crash("poll", *[OSError("no card")] * 6), 60)
        supervisor.add("uplink", shop.well("uplink"), NEVER)
        running = asyncio.create_task(supervisor.run())
        while not running.done():
            stage.time.now += 1
            await asyncio.wait([running], timeout=0.002)
        with pytest.raises(
            WorkerFailed, match=r"poll .* failed 6 times, at last: OSError"
        ) as caught:
            await running
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.name == "poll"
        assert shop.starts.count("poll") == 6
        assert shop.ended == ["uplink"]
        assert said == ["farewell"]
        await leaves_nothing_behind()

    asyncio.run(go())


def test_what_is_not_essential_is_tried_for_ever_and_starves_nobody(
    stage: Stage, systemd: socket.socket
) -> None:
    async def go() -> None:
        shop, supervisor = Workshop(), stage.supervisor()
        supervisor.add("page", shop.crash("page", *[OSError()] * 1000), 60, essential=False)
        supervisor.add("uplink", shop.well("uplink"), NEVER)
        async with stage.running(supervisor) as running:
            for restarts in range(1, 40):
                await stage.until(
                    lambda n=restarts: supervisor.workers()[0].restarts >= n or running.done(),
                    "it failed",
                )
                drain(systemd)
                stage.time.now += 60
                await stage.until(lambda: b"WATCHDOG=1" in drain(systemd), "the watchdog is fed")
            assert not running.done()
        assert shop.ended == ["uplink"]

    asyncio.run(go())


def test_a_worker_that_asks_for_a_new_process_gets_it_even_if_it_is_not_essential(
    stage: Stage,
) -> None:
    async def go() -> None:
        shop, supervisor = Workshop(), stage.supervisor()
        ruined = RestartNeeded("state.sqlite is damaged")
        supervisor.add("intervals", shop.crash("intervals", ruined), 60, essential=False)
        with pytest.raises(WorkerFailed, match=r"state.sqlite is damaged") as caught:
            await supervisor.run()
        assert caught.value.__cause__ is ruined

    asyncio.run(go())


def test_the_end_leaves_no_task_behind_and_every_cleanup_has_run_in_order(stage: Stage) -> None:
    async def go() -> None:
        shop, told_to_end = Workshop(), asyncio.Event()
        order: list[str] = []

        async def uplink(progress: Progress) -> None:
            try:
                await told_to_end.wait()
                order.append("uplink has said goodbye")
            finally:
                shop.ended.append("uplink")

        async def farewell() -> None:
            order.append(f"farewell after {sorted(shop.ended)}")
            told_to_end.set()

        supervisor = stage.supervisor(farewell=farewell)
        supervisor.add("uplink", uplink, 60, leaves_last=True)
        for name in ("poll a", "poll b"):
            supervisor.add(name, shop.well(name), 60)
        supervisor.add("page", shop.crash("page", OSError()), 60, essential=False)
        async with stage.running(supervisor) as running:
            await stage.until(lambda: stage.restarted, "one of them is in its pause")
        assert running.cancelled()
        assert order == ["farewell after ['poll a', 'poll b']", "uplink has said goodbye"]
        assert sorted(shop.ended) == ["poll a", "poll b", "uplink"]
        await leaves_nothing_behind()

    asyncio.run(go())


def test_a_signal_during_the_end_does_not_cut_it_short(stage: Stage) -> None:
    async def go() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()
        stored: list[str] = []
        shop = Workshop()

        async def farewell() -> None:
            begun.set()
            await go_on.wait()
            stored.append("the last intervals")

        supervisor = stage.supervisor(farewell=farewell, farewell_s=4.0)
        supervisor.add("poll", shop.crash("poll", RestartNeeded("memory")), 60)
        running = asyncio.create_task(supervisor.run())
        await begun.wait()
        for _ in range(3):
            running.cancel()
            await asyncio.sleep(0.002)
        go_on.set()
        with pytest.raises(WorkerFailed):
            await running
        assert stored
        await leaves_nothing_behind()

    asyncio.run(go())


async def _fails() -> None:
    raise OSError("disk full")


async def _hangs() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("farewell", [_fails, _hangs])
def test_a_farewell_that_fails_or_hangs_does_not_keep_the_agent(
    farewell: Callable[[], Awaitable[None]], stage: Stage
) -> None:
    async def go() -> None:
        shop, supervisor = Workshop(), stage.supervisor(farewell=farewell, farewell_s=0.02)
        supervisor.add("uplink", shop.well("uplink"), NEVER, leaves_last=True, essential=True)
        async with stage.running(supervisor):
            await stage.until(lambda: shop.starts, "started")
        assert shop.ended == ["uplink"]
        await leaves_nothing_behind()

    asyncio.run(go())


def test_hooks_that_fail_do_no_harm(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        shop = Workshop()
        supervisor = stage.supervisor(on_restart=lambda name, reason: 1 // 0)
        supervisor.add("poll", shop.crash("poll", OSError("no card")), 60)
        async with stage.running(supervisor):
            await stage.until(lambda: "a hook of supervision failed" in caplog.text, "it failed")
            stage.time.now += 1
            await stage.until(lambda: len(shop.starts) == 2, "a new start")

    asyncio.run(go())


def drain(listener: socket.socket) -> list[bytes]:
    """Everything that systemd has been told so far."""
    heard: list[bytes] = []
    listener.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            heard.append(listener.recv(1000))
    return heard


def test_the_watchdog_is_fed_only_while_all_loops_move(
    stage: Stage, systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")

    async def go() -> None:
        shop, supervisor = Workshop(), stage.supervisor(cancel_s=1e6)
        supervisor.add("uplink", shop.well("uplink"), NEVER)
        supervisor.add("poll", shop.stubborn("poll"), 60)
        async with stage.running(supervisor):
            heard: list[bytes] = []

            def feedings() -> int:
                heard.extend(drain(systemd))
                return heard.count(b"WATCHDOG=1")

            await stage.until(feedings, "fed at the start")
            await stage.looked()
            assert feedings() == 1
            stage.time.now += 20
            await stage.until(lambda: feedings() == 2, "fed after a third of its time")
            stage.time.now += 41
            await stage.until(lambda: b"STATUS=stuck: poll" in (*heard, feedings()), "it is named")
            for _ in range(3):
                stage.time.now += 20
                await stage.looked()
            assert feedings() == 2
            shop.release.set()
            await stage.until(lambda: feedings() == 3, "fed as soon as everybody moves or waits")
        assert drain(systemd) == [b"STOPPING=1"]

    asyncio.run(go())


def test_a_stuck_thread_ends_the_agent_and_an_idle_one_does_not(stage: Stage) -> None:
    begin, stop = threading.Event(), threading.Event()
    busy = Busy(stage.time)

    def write() -> None:
        begin.wait()
        with busy:
            stop.wait()

    thread = threading.Thread(target=write)
    thread.start()

    async def go() -> None:
        shop, supervisor = Workshop(), stage.supervisor()
        supervisor.add("uplink", shop.well("uplink"), NEVER)
        supervisor.watch("journal-writer", 300, busy.moved_at)
        running = asyncio.create_task(supervisor.run())
        await stage.looked()
        stage.time.now += 10_000  # nothing to write
        await stage.looked()
        assert not running.done()
        begin.set()
        await stage.until(lambda: busy._since is not None, "it writes")
        stage.time.now += 300
        await stage.looked()
        assert not running.done()
        stage.time.now += 1
        with pytest.raises(WorkerFailed, match=r"journal-writer .* 300 s"):
            await running
        assert shop.ended == ["uplink"]

    try:
        asyncio.run(go())
    finally:
        begin.set()
        stop.set()
        thread.join()


def test_an_hour_in_which_the_process_was_stopped_counts_for_nobody(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> None:
        shop, supervisor = Workshop(), stage.supervisor(gap_s=10.0)
        supervisor.add("poll", shop.still("poll"), 60)
        supervisor.watch("journal-writer", 60, lambda: 0.0)
        running = asyncio.create_task(supervisor.run())
        await stage.looked()
        stage.time.now += 3600
        await stage.until(lambda: supervisor.gaps == 1, "the gap is seen")
        await stage.looked()
        assert not stage.restarted
        assert not running.done()
        while not running.done():
            assert stage.time.now < 1000 + 3600 + 70
            stage.time.now += 9
            await asyncio.sleep(0.01)
        with pytest.raises(WorkerFailed, match="journal-writer"):
            await running  # the time after the gap does count
        assert supervisor.counts()["supervisor_gaps"] == 1

    asyncio.run(go())
    assert "nothing moved for 3600 s" in caplog.text


def test_an_hour_in_which_the_process_was_stopped_makes_nobody_well(stage: Stage) -> None:
    async def go() -> None:
        shop, supervisor = Workshop(), stage.supervisor(gap_s=10.0)
        supervisor.add("poll", shop.crash("poll", OSError("no card")), 60)
        async with stage.running(supervisor):
            await stage.until(lambda: stage.restarted, "it failed")
            stage.time.now += 1
            await stage.until(lambda: len(shop.starts) == 2, "a new start")
            stage.time.now += 3600
            await stage.until(lambda: supervisor.gaps == 1, "the gap is seen")
            await stage.looked()
        assert not stage.well

    asyncio.run(go())


def test_a_loop_that_is_blocked_again_and_again_does_not_hide_who_is_stuck(stage: Stage) -> None:
    async def go() -> None:
        shop, supervisor = Workshop(), stage.supervisor(gap_s=10.0)
        supervisor.add("poll", shop.still("poll"), 60)
        async with stage.running(supervisor):
            for _ in range(10):
                stage.time.now += 30
                await stage.looked()
                stage.time.now += 9
                await stage.looked()
        assert supervisor.gaps == 10
        assert stage.restarted == [("poll", "did not come round within 60 s")]

    asyncio.run(go())


def test_while_time_stands_still_nobody_is_judged(stage: Stage) -> None:
    async def go() -> None:
        shop, supervisor = Workshop(), stage.supervisor()
        supervisor.add("poll", shop.still("poll"), 1e-9)
        async with stage.running(supervisor) as running:
            await stage.looked(200)
            assert not running.done()
        assert not stage.restarted

    asyncio.run(go())


def test_two_under_one_name_are_refused(stage: Stage) -> None:
    async def go() -> None:
        shop = Workshop()
        supervisor: Supervisor = stage.supervisor()
        supervisor.add("poll", shop.well("poll"), 60)
        with pytest.raises(ValueError, match="poll: something is supervised under this name"):
            supervisor.watch("poll", 60)
        with pytest.raises(ValueError, match="deadline must be above 0"):
            supervisor.add("page", shop.well("page"), 0)

    asyncio.run(go())
