"""Newest message per topic: nothing old is sent after something new, nothing piles up."""

from __future__ import annotations

from edge_agent.home_assistant.outbox import REFUSED_PAUSE_S, Outbox

LIMIT = 1000


class Wire:
    """What was handed over, numbered; ``open`` False: there is no connection."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.open = True

    def __call__(self, topic: str, payload: bytes) -> int | None:
        if not self.open:
            return None
        self.sent.append((topic, payload))
        return len(self.sent)


def test_while_one_is_under_way_only_the_newest_waits() -> None:
    outbox, wire = Outbox(), Wire()
    outbox.put("a", b"1")
    outbox.send(0.0, LIMIT, wire)
    for number in range(2, 1000):
        outbox.put("a", str(number).encode())
        outbox.send(0.0, LIMIT, wire)
    assert wire.sent == [("a", b"1")]
    outbox.answered(1, 0.0, refused=False)
    outbox.send(0.0, LIMIT, wire)
    assert wire.sent == [("a", b"1"), ("a", b"999")]
    assert outbox.waiting == 1
    outbox.answered(2, 0.0, refused=False)
    assert outbox.waiting == 0


def test_what_has_not_changed_is_not_sent_again() -> None:
    outbox, wire = Outbox(), Wire()
    for _ in range(3):
        outbox.put("a", b"1")
        outbox.send(0.0, LIMIT, wire)
        outbox.answered(len(wire.sent), 0.0, refused=False)
    assert len(wire.sent) == 1
    outbox.tell_again()
    assert outbox.send(0.0, LIMIT, wire) == 1


def test_a_lost_connection_makes_everything_news_and_old_answers_void() -> None:
    outbox, wire = Outbox(), Wire()
    outbox.put("a", b"1")
    outbox.put("b", b"2")
    outbox.send(0.0, LIMIT, wire)
    outbox.answered(1, 0.0, refused=False)
    outbox.connection_lost()
    assert outbox.answered(2, 0.0, refused=False) is None
    assert outbox.waiting == 2
    assert outbox.send(0.0, LIMIT, wire) == 2


def test_a_refused_topic_is_left_alone_for_a_while_and_holds_up_no_other() -> None:
    outbox, wire = Outbox(), Wire()
    outbox.put("a", b"1")
    outbox.send(0.0, LIMIT, wire)
    outbox.answered(1, 0.0, refused=True)
    outbox.put("b", b"2")
    assert outbox.send(REFUSED_PAUSE_S - 1.0, LIMIT, wire) == 1
    assert wire.sent[-1] == ("b", b"2")
    assert outbox.send(REFUSED_PAUSE_S, LIMIT, wire) == 1
    assert wire.sent[-1] == ("a", b"1")


def test_a_message_that_the_broker_would_hang_up_on_is_not_sent() -> None:
    outbox, wire = Outbox(), Wire()
    outbox.put("a", b"x" * (LIMIT + 1))
    outbox.put("b", b"x" * LIMIT)
    outbox.send(0.0, LIMIT, wire)
    assert [topic for topic, _ in wire.sent] == ["b"]
    assert outbox.too_large == {"a"}
    outbox.put("a", b"x")
    outbox.send(0.0, LIMIT, wire)
    assert outbox.too_large == set()
    assert wire.sent[-1] == ("a", b"x")


def test_a_cleared_topic_is_forgotten_once_the_broker_knows() -> None:
    outbox, wire = Outbox(), Wire()
    outbox.clear("a")
    wire.open = False
    assert outbox.send(0.0, LIMIT, wire) == 0
    assert outbox.topics == ["a"]
    wire.open = True
    outbox.send(0.0, LIMIT, wire)
    assert wire.sent == [("a", b"")]
    assert outbox.answered(1, 0.0, refused=False) == "a"
    assert outbox.topics == []


def test_a_topic_that_comes_back_while_it_is_cleared_stays() -> None:
    outbox, wire = Outbox(), Wire()
    outbox.clear("a")
    outbox.send(0.0, LIMIT, wire)
    outbox.put("a", b"1")
    outbox.answered(1, 0.0, refused=False)
    outbox.send(0.0, LIMIT, wire)
    assert wire.sent[-1] == ("a", b"1")
