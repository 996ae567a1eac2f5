"""Topic names of the MQTT contract, and the identifiers that stand in them.

Agents and plain devices share one namespace; an agent publishes only under ``solar/{agent}/`` so
that an access list can match on its certificate's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import TopicError

ROOT = "solar"
BUNDLES = "bundles"
"""Reserved: no agent or device may have this name."""
CHANNELS = (
    "data",
    "batch",
    "ack",
    "rewind",
    "forecast",
    "alert",
    "risk",
    "status",
    "weather",
    "fence",
    "enrol",
    "enrolled",
)
"""The last word of a topic. ``fence`` is an agent talking to itself: what has not come before the
fence came is absent, not late. ``enrol``/``enrolled`` keep the place of enrolment."""
QOS = 1
RETAINED_CHANNELS = frozenset({"forecast", "status", "weather"})

IDENTIFIER_PATTERN = "[a-z0-9_-]{1,64}"
_IDENTIFIER = re.compile(IDENTIFIER_PATTERN)
_BUNDLE_PATH = re.compile(r"[!-~]{1,1000}")


def check_identifier(name: object) -> str:
    """Return ``name`` if it may name an agent or device. Raises ``TopicError`` otherwise."""
    if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name):
        raise TopicError(
            f"{str(name)[:80]!r} is not an identifier; use 1 to 64 of a-z, 0-9, '_' and '-'"
        )
    if name == BUNDLES:
        raise TopicError(f"{BUNDLES!r} is reserved for model bundles")
    return name


@dataclass(frozen=True, slots=True)
class Topic:
    """A parsed ``solar/{identifier}/{channel}``."""

    identifier: str
    channel: str

    def __str__(self) -> str:
        return f"{ROOT}/{self.identifier}/{self.channel}"


def build(identifier: str, channel: str) -> str:
    """``solar/{identifier}/{channel}``. Raises ``TopicError`` for names outside the contract."""
    if channel not in CHANNELS:
        raise TopicError(f"unknown channel {channel!r}; known: {', '.join(CHANNELS)}")
    return str(Topic(check_identifier(identifier), channel))


def parse(topic: str) -> Topic:
    """The inverse of :func:`build`. Raises ``TopicError`` for any other topic."""
    parts = topic.split("/")
    if len(parts) != 3 or parts[0] != ROOT or parts[2] not in CHANNELS:
        raise TopicError(f"not a topic of this contract: {topic[:120]!r}")
    return Topic(check_identifier(parts[1]), parts[2])


def everyone(channel: str) -> str:
    """Subscription filter for ``channel`` of every agent and device."""
    if channel not in CHANNELS:
        raise TopicError(f"unknown channel {channel!r}")
    return f"{ROOT}/+/{channel}"


def bundle_topic(path: str) -> str:
    """Topic that retains the bundle repository file ``path`` (``metadata/...``, ``targets/...``).

    Raises ``TopicError`` for wildcards, ``..``, empty parts and all but printable ASCII.
    """
    parts = path.split("/")
    if not _BUNDLE_PATH.fullmatch(path) or set("+#") & set(path) or {"", "..", "."} & set(parts):
        raise TopicError(f"not a path in the bundle repository: {path[:120]!r}")
    return f"{ROOT}/{BUNDLES}/{path}"
