"""The newest message of each topic, and whether the broker has it. Pure, bounded.

Bounded by the number of topics: a newer message takes the place of an older one, and of one topic
at most one message is under way. All messages are retained, so that a Home Assistant that starts
later, or a broker that lost its memory, ends with the same picture. An empty message clears a
topic, which is then forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

REFUSED_PAUSE_S = 60.0
"""A topic that the broker refuses is left alone for so long."""


@dataclass(slots=True)
class _Slot:
    payload: bytes
    told: bytes | None = None
    """What the broker has acknowledged in this connection."""
    mid: int | None = None
    under_way: bytes = b""
    not_before: float = 0.0


class Outbox:
    """Descriptions are handed out before values, each in the order of their first coming."""

    def __init__(self) -> None:
        self._slots: dict[str, _Slot] = {}
        self._under_way: dict[int, str] = {}
        self.too_large: set[str] = set()
        """Topics whose newest message the broker would not take."""

    def put(self, topic: str, payload: bytes) -> None:
        """``payload`` is the newest of ``topic``."""
        slot = self._slots.get(topic)
        if slot is None:
            self._slots[topic] = _Slot(payload)
        else:
            slot.payload = payload

    def clear(self, topic: str) -> None:
        """``topic`` is to be retained no more."""
        self.put(topic, b"")

    @property
    def topics(self) -> list[str]:
        """All that hold something, or still have to be cleared."""
        return list(self._slots)

    @property
    def waiting(self) -> int:
        """Topics whose newest message the broker does not have."""
        return sum(slot.told != slot.payload for slot in self._slots.values())

    def send(self, now: float, limit: int, publish: Callable[[str, bytes], int | None]) -> int:
        """Hand to ``publish`` what is due and has at most ``limit`` bytes; how many there were.

        ``publish`` returns a number, or None: not now.
        """
        sent = 0
        self.too_large = {one for one, slot in self._slots.items() if len(slot.payload) > limit}
        for topic, slot in list(self._slots.items()):
            if slot.mid is not None or slot.told == slot.payload or now < slot.not_before:
                continue
            if topic in self.too_large:
                continue
            mid = publish(topic, slot.payload)
            if mid is None:
                break
            slot.mid, slot.under_way = mid, slot.payload
            self._under_way[mid] = topic
            sent += 1
        return sent

    def answered(self, mid: int, now: float, *, refused: bool) -> str | None:
        """The broker has answered the message with this number; the topic, if it is ours."""
        topic = self._under_way.pop(mid, None)
        slot = self._slots.get(topic) if topic is not None else None
        if topic is None or slot is None or slot.mid != mid:
            return None
        slot.mid = None
        if refused:
            slot.not_before = now + REFUSED_PAUSE_S
        else:
            slot.told = slot.under_way
            if slot.told == slot.payload == b"":
                del self._slots[topic]
        slot.under_way = b""
        return topic

    def connection_lost(self) -> None:
        """Whatever was told may be forgotten: the next connection hears all of it."""
        self._under_way.clear()
        for slot in self._slots.values():
            slot.mid, slot.under_way, slot.told, slot.not_before = None, b"", None, 0.0

    def tell_again(self) -> None:
        """Somebody new listens."""
        for slot in self._slots.values():
            slot.told = None
