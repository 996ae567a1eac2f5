"""Driver of our own sensor nodes, and the reading of files with their frames."""

from __future__ import annotations

from ..errors import Fault
from ..modbus.links import ByteLink
from ..recorded import Refused
from ..sensor_node import (
    FrameBuffer,
    NodeCounters,
    NodeFrame,
    RefusedFrame,
    decode_frame,
    identify_frame,
)
from ..settings import DeviceIdentity
from ..values import Decoded
from .listening import USUAL_TIMES, ListeningDriver, ListenTimes, Refusal
from .p1 import received_in

USUAL_TIMEOUT_S = 25.0
"""Nodes send every 10 s at most; one lost frame is no reason to worry."""


class SensorNodeDriver(ListeningDriver[NodeFrame]):
    """See ``Driver``."""

    def __init__(
        self,
        name: str,
        link: ByteLink,
        *,
        timeout_s: float = USUAL_TIMEOUT_S,
        node: int | None = None,
        times: ListenTimes = USUAL_TIMES,
    ) -> None:
        """``node``: the number of the node to hear; None for the first that speaks."""
        super().__init__(name, link, timeout_s=timeout_s, times=times)
        self._buffer = FrameBuffer()
        self._node = node

    @property
    def node_counters(self) -> NodeCounters:
        """What has become of the frames."""
        return self._buffer.counters

    def _feed(self, data: bytes) -> list[NodeFrame | Refusal]:
        return [self._mine(outcome) for outcome in self._buffer.feed(data)]

    def _cut(self) -> list[NodeFrame | Refusal]:
        return [self._mine(outcome) for outcome in self._buffer.reset()]

    def _mine(self, outcome: NodeFrame | RefusedFrame) -> NodeFrame | Refusal:
        if isinstance(outcome, RefusedFrame):
            return Refusal(outcome.data.hex(" "), outcome.reason, outcome.fault)
        if self._node is None:
            self._node = outcome.node
        if outcome.node != self._node:
            return Refusal(
                f"node {outcome.node}",
                f"a frame of node {outcome.node}, not of node {self._node}",
                Fault.WRONG_UNIT,
            )
        return outcome

    def _decode(self, heard: NodeFrame) -> Decoded:
        return decode_frame(heard)

    def _identify(self, heard: NodeFrame) -> DeviceIdentity:
        return identify_frame(heard, self.name)

    def _explain(self, sample: bytes) -> str:
        if not sample:
            return "has the node power, and is its TX wired to this port's RX?"
        if 0 not in sample:
            return "no frame ends in them; is the baud rate right, and is this a sensor node?"
        return "none of them is a new frame; is the baud rate right, and the cable sound?"


def decode_node_frames(content: bytes) -> list[Decoded | Refused]:
    """All frames of a file, as the node sent them or from a flight recording, in order."""
    buffer = FrameBuffer()
    results: list[Decoded | Refused] = []
    for outcome in (*buffer.feed(received_in(content)), *buffer.end()):
        if isinstance(outcome, RefusedFrame):
            results.append(Refused(outcome.data.hex(" "), outcome.reason))
        else:
            results.append(decode_frame(outcome, raw=True))
    return results
