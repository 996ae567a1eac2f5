"""How much of a serial line's time its poll plan takes, before anything is started. Pure.

A line carries one exchange at a time: request, the device's turnaround, reply, and the gap. A plan
that fills it leaves no room for a timeout, so a line beyond :data:`LIMIT` is refused with the sum
shown, device by device. What a line really carries is told by ``BusCounters.busy_s``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import PermanentDeviceError
from .poll_plan import Block
from .profile import Profile
from .settings import Link

LIMIT = 0.7
"""Share of a line's time that may be planned."""
TURNAROUND_S = 0.02
"""From the end of a request to the start of the reply; devices take 5 to 50 ms."""
_REQUEST_SIZE, _REPLY_HEAD = 8, 5
_SUNSPEC_GUESS = (Block(3, 40_069, 52),)
"""What a self-describing inverter will be asked for is known only once it was walked."""


@dataclass(frozen=True)
class Polled:
    """One device of a line, and how often it is asked."""

    name: str
    link: Link
    profile: Profile
    poll_s: float


@dataclass(frozen=True)
class Load:
    """What one device takes of its line."""

    name: str
    requests_per_poll: int
    poll_airtime_s: float
    """Of a poll without slow groups."""
    share: float
    """Of the line's time, slow groups included."""


def exchange_s(link: Link, count: int) -> float:
    """Seconds that one read of ``count`` registers takes on a serial line."""
    characters = _REQUEST_SIZE + _REPLY_HEAD + 2 * count
    return characters * link.bits_per_character / link.baud_rate + TURNAROUND_S + link.frame_gap_s


def device_load(device: Polled) -> Load:
    """What ``device`` takes of its line."""
    profile, link = device.profile, device.link
    if not profile.has_registers:
        blocks: Sequence[Block] = _SUNSPEC_GUESS
        seconds = sum(exchange_s(link, block.count) for block in blocks)
        return Load(device.name, len(blocks), seconds, seconds / device.poll_s)
    fast = _seconds(profile, link, frozenset({""}))
    share = fast / device.poll_s
    for group, every_s in profile.file.groups.items():
        extra = _seconds(profile, link, frozenset({"", group})) - fast
        share += extra / max(every_s, device.poll_s)
    requests = len(profile.poll_plan(frozenset({""})).blocks)
    return Load(device.name, requests, fast, share)


def check_line(line: str, devices: Sequence[Polled], *, limit: float = LIMIT) -> float:
    """Share of its time that ``line`` is planned to carry.

    Raises:
        PermanentDeviceError: More than ``limit``; shows the sum.
    """
    loads = [device_load(device) for device in devices]
    total = sum(load.share for load in loads)
    if total > limit:
        parts = "\n".join(
            f"  {load.name}: {load.requests_per_poll} requests, "
            f"{load.poll_airtime_s * 1000:.0f} ms every {device.poll_s:g} s = {load.share:.1%}"
            for load, device in zip(loads, devices, strict=True)
        )
        raise PermanentDeviceError(
            f"{line}: its poll plan takes {total:.0%} of the line's time, "
            f"{limit:.0%} are allowed:\n{parts}\n  sum {total:.1%}; poll less often (poll_s), use "
            "a faster line (baud_rate), or spread the devices over two lines"
        )
    return total


def _seconds(profile: Profile, link: Link, groups: frozenset[str]) -> float:
    return sum(exchange_s(link, block.count) for block in profile.poll_plan(groups).blocks)
