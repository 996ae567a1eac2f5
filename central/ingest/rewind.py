"""Asking an agent to send again: the centre has lost data, for example by a restored backup."""

from __future__ import annotations

from central.messaging import Messaging
from models.contract import topics
from models.contract.messages import Rewind
from models.contract.payload import encode_rewind
from models.contract.timestamps import Instant


def request_rewind(messaging: Messaging, agent: str, since: Instant, reason: str) -> None:
    """Ask ``agent`` for everything measured since ``since`` that it still keeps.

    Returns once the broker has the request. What comes twice is dropped by key. Raises
    ``TopicError`` for an impossible name, ``MessagingError`` when the broker does not take it.
    """
    messaging.publish(topics.build(agent, "rewind"), encode_rewind(Rewind(since, reason)))
