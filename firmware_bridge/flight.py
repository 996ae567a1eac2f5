"""The flight recorder: the last minutes of raw frames of one bus, in a bounded ring.

Written to a file when something odd happened. The file is plain text that a person can read, a
simulator can answer from (``simulator.replay``) and a test can decode (``recording``); a trace that
somebody posted as ``send``/``recv`` lines is read just as well::

    # solar-edge flight recording 1
    # bus: /dev/serial/by-id/usb-FTDI-if00
    # framing: rtu
    # reason: device meter: reply damaged
    # start: 2026-06-01T10:00:00Z
    0.000000 send 01 04 00 34 00 02 30 05
    0.041250 recv 01 04 04 43 67 af 55 e2 10
    1.043000 event fault timeout

Knows no protocol: pieces are kept as they went through the link.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from models.contract.timestamps import Instant, format_iso8601

from .errors import PermanentDeviceError

SEND, RECV, EVENT = "send", "recv", "event"
VERSION_LINE = "# solar-edge flight recording 1"
_ENTRY_COST = 64  # bytes of memory for one entry besides its data, roughly
_LINE = re.compile(r"(?:(\d+(?:\.\d+)?)\s+)?(send|recv|event)\s+(.*)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened on a bus."""

    time_s: float | None
    """Seconds since the recording's start; None where the trace has no times."""
    kind: str
    data: bytes = b""
    text: str = ""
    """Of an event."""


@dataclass(frozen=True)
class Recording:
    """What a file holds."""

    entries: tuple[Entry, ...]
    about: dict[str, str] = field(default_factory=dict)
    """What its head says: ``bus``, ``framing``, ``reason``, ``start``."""


class FlightRecorder:
    """A ring of what went through one bus; old entries make room by age and by size."""

    def __init__(
        self, bus: str, *, framing: str = "", keep_s: float = 600.0, keep_bytes: int = 256 * 1024
    ) -> None:
        self.bus, self.framing = bus, framing
        self._keep_s, self._keep_bytes = keep_s, keep_bytes
        self._ring: deque[tuple[float, str, bytes]] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._ring)

    def sent(self, frame: bytes) -> None:
        """A frame went out."""
        self._note(SEND, frame)

    def received(self, data: bytes) -> None:
        """Bytes came in."""
        self._note(RECV, data)

    def event(self, text: str) -> None:
        """Something happened: a fault, an opened link."""
        self._note(EVENT, text.encode())

    def _note(self, kind: str, data: bytes) -> None:
        now = time.monotonic()
        ring = self._ring
        ring.append((now, kind, data))
        self._size += _ENTRY_COST + len(data)
        oldest = now - self._keep_s
        while ring and (self._size > self._keep_bytes or ring[0][0] < oldest):
            self._size -= _ENTRY_COST + len(ring.popleft()[2])

    def to_text(self, reason: str, now: Instant) -> str:
        """The ring as the text of a recording; ``now`` is the wall clock's time."""
        entries = list(self._ring)
        first = entries[0][0] if entries else time.monotonic()
        start = now - round((time.monotonic() - first) * 1000)
        head = (
            VERSION_LINE,
            f"# bus: {self.bus}",
            f"# framing: {self.framing}",
            f"# reason: {' '.join(reason.split())}",
            f"# start: {format_iso8601(start)}",
        )
        lines = [
            f"{at - first:.6f} {kind} {data.decode() if kind == EVENT else data.hex(' ')}"
            for at, kind, data in entries
        ]
        return "\n".join((*head, *lines)) + "\n"


class DumpLimit:
    """Which anomalies are worth a file: one in ``pause_s`` for each bus, so that a broken line
    does not fill the card."""

    def __init__(self, pause_s: float = 600.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause_s, self._clock = pause_s, clock
        self._last: dict[str, float] = {}

    def allows(self, bus: str) -> bool:
        """Whether a file may be written for ``bus`` now; counts it as written if so."""
        now = self._clock()
        last = self._last.get(bus)
        if last is not None and now - last < self._pause_s:
            return False
        self._last[bus] = now
        return True


def looks_like_recording(text: str) -> bool:
    """Whether ``text`` holds ``send``/``recv`` lines."""
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return text.startswith(VERSION_LINE) or _LINE.fullmatch(first) is not None


def parse_recording(text: str, file: str = "recording") -> Recording:
    """A recording from ``text``. Raises ``PermanentDeviceError`` naming file and line."""
    entries: list[Entry] = []
    about: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped:
            continue
        if stripped.startswith("#"):
            name, colon, value = stripped[1:].partition(":")
            if colon:
                about.setdefault(name.strip(), value.strip())
            continue
        entries.append(_parse_line(stripped, f"{file}:{number}"))
    return Recording(tuple(entries), about)


def _parse_line(line: str, place: str) -> Entry:
    match = _LINE.fullmatch(line)
    if match is None:
        raise PermanentDeviceError(
            f"{place}: not a line of a recording: {line[:60]!r}; expected "
            "'[seconds] send|recv HEX' or '[seconds] event TEXT'"
        )
    time_s = float(match[1]) if match[1] else None
    if match[2] == EVENT:
        return Entry(time_s, EVENT, text=match[3])
    try:
        return Entry(time_s, match[2], bytes.fromhex(match[3]))
    except ValueError:
        raise PermanentDeviceError(f"{place}: not hexadecimal: {match[3][:60]!r}") from None
