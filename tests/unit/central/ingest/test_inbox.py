"""The queue between the network and the commits: order, groups, bounds, end."""

from __future__ import annotations

import logging
import threading

import pytest

from central.ingest.inbox import Inbox
from central.ingest.seldom_log import SeldomLog
from central.messaging import Delivery


def delivery(number: int, size: int = 1) -> Delivery:
    return Delivery("solar/a/data", b"x" * size, False, False, number, 1, 1)


def test_messages_come_out_in_their_order_and_in_groups() -> None:
    inbox = Inbox(1000)
    for number in range(5):
        inbox.put(delivery(number))
    assert [one.mid for one in inbox.take(3, 0.0)] == [0, 1, 2]
    assert [one.mid for one in inbox.take(3, 0.0)] == [3, 4]


def test_a_full_group_does_not_wait_for_company() -> None:
    inbox = Inbox(1000)
    inbox.put(delivery(1))
    inbox.put(delivery(2))
    assert len(inbox.take(2, 3600.0)) == 2


def test_the_sender_waits_when_too_many_bytes_are_here() -> None:
    inbox = Inbox(10)
    inbox.put(delivery(1, size=50))  # one message always fits, however large
    entered = threading.Event()

    def send() -> None:
        inbox.put(delivery(2))
        entered.set()

    sender = threading.Thread(target=send)
    sender.start()
    assert not entered.wait(0.05)
    assert [one.mid for one in inbox.take(10, 0.0)] == [1]
    assert entered.wait(10)
    sender.join(10)


def test_closing_wakes_both_sides_and_lets_what_is_here_be_taken() -> None:
    inbox = Inbox(1)
    inbox.put(delivery(1, size=5))
    sender = threading.Thread(target=inbox.put, args=(delivery(2),))
    sender.start()
    inbox.close()
    sender.join(10)
    assert not sender.is_alive()
    assert [one.mid for one in inbox.take(10, 3600.0)] == [1]
    assert inbox.take(10, 3600.0) == []


def test_a_flood_of_bad_messages_is_one_line_per_sender(caplog: pytest.LogCaptureFixture) -> None:
    seldom = SeldomLog(logging.getLogger("flood"))
    with caplog.at_level(logging.WARNING, "flood"):
        for number in range(1000):
            seldom.warning("device_01", "bad %d", number)
        seldom.warning("device_02", "bad too")
    assert [line.getMessage() for line in caplog.records] == ["bad 0", "bad too"]
