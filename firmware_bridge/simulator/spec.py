"""``PROFILE@PLACE[/UNITS]``: what to simulate, and where it answers.

Examples: ``sunspec@tcp:1502``, ``eastron-sdm630@pty:/run/meter/5``,
``growatt-tl-x@rtu-tcp:8899/1-3``, ``goodwe-es@udp:8899``, ``dsmr-p1@pty:/run/p1``,
``replay:FILE@tcp:1502``. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import PermanentDeviceError

KINDS = ("tcp", "rtu-tcp", "udp", "pty", "serial")
_REPLAY = "replay:"
_PLACE = re.compile(r"(tcp|rtu-tcp|udp):(?:(.+):)?(\d+)|(pty|serial):(.+)")
_UNITS = re.compile(r"(.*)/(\d+)(?:-(\d+))?")


@dataclass(frozen=True)
class Place:
    """Where simulated devices answer."""

    kind: str
    host: str = "127.0.0.1"
    port: int = 0
    path: str = ""
    """``pty``: where to put a link to the terminal; ``serial``: the port to answer on."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.path or f'{self.host}:{self.port}'}"


@dataclass(frozen=True)
class SimulatedSpec:
    """One device, or several of a kind behind one place."""

    profile: str
    """Empty for a replay."""
    place: Place
    units: tuple[int, ...] = (1,)
    recording: str = ""


def parse_spec(text: str) -> SimulatedSpec:
    """The device that ``text`` names. Raises ``PermanentDeviceError`` telling the form."""
    what, at, where = text.rpartition("@")
    units: tuple[int, ...] = (1,)
    if at and (match := _UNITS.fullmatch(where)) and _PLACE.fullmatch(match[1]):
        where = match[1]
        first, last = int(match[2]), int(match[3] or match[2])
        units = tuple(range(first, last + 1))
    place = _PLACE.fullmatch(where)
    if not at or not what or place is None or not units or not 0 <= units[0] <= units[-1] <= 247:
        raise PermanentDeviceError(
            f"{text!r}: write PROFILE@KIND:WHERE[/UNIT[-UNIT]] with KIND one of "
            f"{', '.join(KINDS)}, for example sunspec@tcp:1502 or eastron-sdm630@pty:/run/meter/5"
        )
    if place[1]:
        found = Place(place[1], place[2] or "127.0.0.1", int(place[3]))
    else:
        found = Place(place[4], path=place[5])
    if what.startswith(_REPLAY):
        return SimulatedSpec("", found, units, what.removeprefix(_REPLAY))
    return SimulatedSpec(what, found, units)
