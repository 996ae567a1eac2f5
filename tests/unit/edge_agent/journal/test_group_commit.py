"""The writer thread: when it writes, and what it does when writing fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import pytest

from edge_agent.journal.group_commit import GroupCommitter


class Disk:
    """Takes groups, can be full or slow, and says when it was written to."""

    def __init__(self) -> None:
        self.groups: list[tuple[int, ...]] = []
        self.full = False
        self.may_write = threading.Event()
        self.may_write.set()
        self.tries = 0

    def write(self, items: Sequence[int]) -> None:
        self.tries += 1
        assert self.may_write.wait(10)
        if self.full:
            raise OSError("no space left on device")
        self.groups.append(tuple(items))

    @property
    def items(self) -> list[int]:
        return [item for group in self.groups for item in group]


def committer(disk: Disk, window_s: float = 3600.0, limit: int = 100) -> GroupCommitter[int]:
    return GroupCommitter(
        disk.write, window_s=window_s, limit=limit, reserve=5, monotonic=time.monotonic, name="test"
    )


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "did not happen in 10 s"
        time.sleep(0.002)


def test_items_wait_for_the_window_and_go_in_one_group() -> None:
    disk = Disk()
    writer = committer(disk, window_s=0.05)
    for item in range(10):
        assert writer.submit(item)
    until(lambda: len(disk.items) == 10)
    assert len(disk.groups) == 1
    assert writer.close(5) == 0


def test_an_urgent_item_takes_the_waiting_ones_along_at_once() -> None:
    disk = Disk()
    writer = committer(disk)
    writer.submit(1)
    writer.submit(2, urgent=True)
    until(lambda: disk.items == [1, 2])
    writer.close(5)


def test_a_full_disk_loses_nothing_and_keeps_the_order() -> None:
    disk = Disk()
    disk.full = True
    writer = committer(disk, window_s=0.01)
    for item in range(20):
        writer.submit(item)
    until(lambda: writer.failures >= 2)
    assert writer.last_error == "no space left on device"
    disk.full = False
    writer.submit(20)
    assert writer.flush(10)
    assert disk.items == list(range(21))
    assert writer.close(5) == 0


def test_a_full_queue_refuses_and_counts_but_urgent_items_have_a_reserve() -> None:
    disk = Disk()
    disk.may_write.clear()
    writer = committer(disk, limit=10)
    assert all(writer.submit(item) for item in range(10))
    assert not writer.submit(10)
    assert writer.submit(11, urgent=True)
    assert writer.refused == 1
    disk.may_write.set()
    assert writer.flush(10)
    assert disk.items == [*range(10), 11]
    writer.close(5)


def test_submit_does_not_wait_for_a_stalled_card() -> None:
    disk = Disk()
    disk.may_write.clear()
    writer = committer(disk, window_s=0.01)
    writer.submit(0)
    until(lambda: disk.tries == 1)
    before = time.monotonic()
    for item in range(1, 50):
        writer.submit(item)
    assert time.monotonic() - before < 0.5
    disk.may_write.set()
    assert writer.close(10) == 0
    assert disk.items == list(range(50))


def test_a_nudge_writes_an_empty_group() -> None:
    disk = Disk()
    writer = committer(disk, window_s=0.01)
    writer.nudge()
    until(lambda: disk.groups == [()])
    writer.close(5)


def test_close_says_how_many_items_were_left_behind() -> None:
    disk = Disk()
    disk.full = True
    writer = committer(disk)
    for item in range(3):
        writer.submit(item)
    assert writer.close(0.5) == 3
    assert not writer.submit(9)
    until(lambda: not writer.alive)


@pytest.mark.parametrize("count", [1, 4_999, 12_001])
def test_a_large_queue_goes_in_several_groups_of_bounded_size(count: int) -> None:
    disk = Disk()
    writer = committer(disk, limit=20_000)
    for item in range(count):
        writer.submit(item)
    assert writer.flush(10)
    assert disk.items == list(range(count))
    assert max(len(group) for group in disk.groups) <= 5_000
    writer.close(5)


class Uptime:
    """A clock that the test moves, and a committer that looks at it."""

    def __init__(self, disk: Disk, window_s: float) -> None:
        self.now = 1000.0
        self.writer: GroupCommitter[int] = GroupCommitter(
            disk.write, window_s=window_s, limit=100, reserve=5, monotonic=self, name="test"
        )

    def __call__(self) -> float:
        return self.now

    def run(self, seconds: float) -> None:
        """Time goes on; the thread looks again."""
        self.now += seconds
        with self.writer._changed:
            self.writer._changed.notify_all()


def test_a_round_that_begins_when_the_window_ends_is_not_torn_apart() -> None:
    disk = Disk()
    clock = Uptime(disk, window_s=30.0)
    for item in range(6):  # polls every 5 s
        clock.writer.submit(item)
        clock.run(5.0)
    for item in (6, 7, 8):  # a round of three at the end of the window, 0.2 s apart
        clock.writer.submit(item)
        clock.run(0.2)
    assert disk.groups == []
    clock.run(0.3)
    until(lambda: disk.groups == [tuple(range(9))])
    clock.writer.close(5)


def test_items_that_never_pause_wait_no_longer_than_a_second_more() -> None:
    disk = Disk()
    clock = Uptime(disk, window_s=30.0)
    clock.writer.submit(0)
    clock.run(29.9)
    for item in range(1, 11):
        clock.writer.submit(item)
        clock.run(0.1)
    assert disk.groups == []
    clock.writer.submit(11)
    clock.run(0.11)
    until(lambda: disk.groups == [tuple(range(12))])
    clock.writer.close(5)


def test_a_patient_nudge_goes_with_the_next_items_and_else_waits_some_windows() -> None:
    disk = Disk()
    clock = Uptime(disk, window_s=30.0)
    clock.writer.nudge(patient=True)
    clock.run(40.0)
    clock.writer.submit(1)
    clock.run(29.0)
    assert disk.groups == []
    clock.run(2.0)
    until(lambda: disk.groups == [(1,)])
    clock.writer.nudge(patient=True)
    clock.run(119.0)
    assert disk.groups == [(1,)]
    clock.run(2.0)
    until(lambda: disk.groups == [(1,), ()])
    clock.writer.close(5)


def test_an_urgent_item_is_not_put_off_by_those_that_follow() -> None:
    disk = Disk()
    clock = Uptime(disk, window_s=30.0)
    disk.may_write.clear()
    clock.writer.submit(1, urgent=True)
    clock.writer.submit(2)
    clock.run(0.0)
    disk.may_write.set()
    until(lambda: 1 in disk.items)
    clock.writer.flush(5)
    clock.writer.close(5)
