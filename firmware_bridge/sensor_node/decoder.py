"""A stream of bytes to frames of sensor nodes, each proved, or refused with a reason. Pure.

Frames end with 0x00, which stands nowhere else: whatever happens within one is over with it. What
is between two delimiters counts only if it unstuffs, its CRC is right and its parts fit together.
Sequence and uptime then tell what happened to the frames in between: lost, sent twice, restarted.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import Fault
from .cobs import cobs_decode
from .frame import DELIMITER, LONGEST_CONTENT, NodeFrame, OtherVersion, has_right_crc, parse_frame

_LONGEST_STUFFED = LONGEST_CONTENT + 1
_SEQUENCES = 0x1_0000
_MOST_NODES = 64
"""Nodes that are told apart; more on one line are taken to be noise of a passing CRC."""


@dataclass(frozen=True)
class RefusedFrame:
    """Bytes between two delimiters that are not believed."""

    data: bytes
    reason: str
    fault: Fault


@dataclass
class NodeCounters:
    """What has become of everything between delimiters."""

    frames: int = 0
    """Believed and new."""
    bad_cobs: int = 0
    bad_crc: int = 0
    bad_form: int = 0
    """The CRC is right, the parts do not fit together."""
    too_long: int = 0
    other_version: int = 0
    duplicates: int = 0
    """Right, but heard before."""
    lost: int = 0
    """Frames that the sequence numbers say are missing."""
    restarts: int = 0
    """How often a node's uptime went back, or its sequence while its uptime did not."""


class FrameBuffer:
    """Takes bytes as they come and gives frames; remembers little. Not thread-safe."""

    def __init__(self) -> None:
        self.counters = NodeCounters()
        self._pending = bytearray()
        self._overflowed = False
        self._last: dict[int, NodeFrame] = {}

    @property
    def is_inside(self) -> bool:
        """Whether the beginning of a frame waits for its end."""
        return bool(self._pending) or self._overflowed

    def feed(self, data: bytes) -> list[NodeFrame | RefusedFrame]:
        """Take ``data``; the frames that have become whole, or were refused, in order.

        A frame that was heard before is counted and left out.
        """
        outcomes: list[NodeFrame | RefusedFrame] = []
        *ended, rest = data.split(DELIMITER)
        for piece in ended:
            self._keep(piece)
            outcome = self._take()
            if outcome is not None:
                outcomes.append(outcome)
        self._keep(rest)
        return outcomes

    def end(self) -> list[NodeFrame | RefusedFrame]:
        """Nothing more comes, as at the end of a file: what waits was cut."""
        return self.feed(DELIMITER)

    def reset(self) -> list[NodeFrame | RefusedFrame]:
        """What comes next does not follow what came last."""
        return self.end()

    def _keep(self, piece: bytes) -> None:
        room = _LONGEST_STUFFED - len(self._pending)
        self._overflowed = self._overflowed or len(piece) > room
        self._pending += piece[:room]

    def _take(self) -> NodeFrame | RefusedFrame | None:
        """What lies between the last two delimiters; None for nothing, and for nothing new."""
        stuffed, self._pending = bytes(self._pending), bytearray()
        overflowed, self._overflowed = self._overflowed, False
        counters = self.counters
        if overflowed:
            counters.too_long += 1
            return RefusedFrame(stuffed, f"longer than {_LONGEST_STUFFED} bytes", Fault.MALFORMED)
        if not stuffed:
            return None
        try:
            content = cobs_decode(stuffed)
        except ValueError as error:
            counters.bad_cobs += 1
            return RefusedFrame(stuffed, f"damaged: {error}", Fault.MALFORMED)
        if not has_right_crc(content):
            counters.bad_crc += 1
            return RefusedFrame(stuffed, "damaged: its checksum does not hold", Fault.CRC)
        try:
            frame = parse_frame(content)
        except OtherVersion as error:
            counters.other_version += 1
            return RefusedFrame(stuffed, str(error), Fault.MALFORMED)
        except ValueError as error:
            counters.bad_form += 1
            return RefusedFrame(stuffed, f"not in due form: {error}", Fault.MALFORMED)
        return frame if self._is_new(frame) else None

    def _is_new(self, frame: NodeFrame) -> bool:
        """Hold ``frame`` against the last one of its node."""
        before = self._last.get(frame.node)
        if before is None and len(self._last) >= _MOST_NODES:
            self._last.pop(next(iter(self._last)))
        if before is not None:
            ahead = (frame.sequence - before.sequence) % _SEQUENCES
            follows = 0 < ahead < _SEQUENCES // 2
            if frame.uptime_s == before.uptime_s and not follows:
                self.counters.duplicates += 1
                return False
            if frame.uptime_s < before.uptime_s or not follows:
                self.counters.restarts += 1
            else:
                self.counters.lost += ahead - 1
        self._last[frame.node] = frame
        self.counters.frames += 1
        return True
