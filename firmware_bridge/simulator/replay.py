"""A simulated device that answers from a recording: what a real one said, to whoever asks the same.

For each request the recorded replies follow one another and then begin anew. A request that was
never recorded gets an exception, as if the address were illegal; a reply that a recording cut short
is not given.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ..errors import PermanentDeviceError
from ..poll_plan import Block
from ..recorded import RecordedBlock
from .server import IllegalRead

_ILLEGAL_ADDRESS = 2


class ReplayDevice:
    """A ``SimulatedDevice`` after recorded blocks of one unit."""

    def __init__(self, blocks: Sequence[RecordedBlock]) -> None:
        self._replies: defaultdict[Block, list[bytes]] = defaultdict(list)
        for one in blocks:
            self._replies[one.block].append(one.data)
        self._next: defaultdict[Block, int] = defaultdict(int)

    def read(self, function: int, address: int, count: int, *, nonsense: bool) -> list[int]:
        """See ``SimulatedDevice.read``."""
        wanted = Block(function, address, count)
        for block, replies in self._replies.items():
            if block.holds(wanted):
                data = replies[self._next[block] % len(replies)]
                self._next[block] += 1
                start = 2 * (address - block.address)
                piece = data[start : start + 2 * count]
                if nonsense:
                    return [0xFFFF] * count
                return [int.from_bytes(piece[i : i + 2], "big") for i in range(0, len(piece), 2)]
        raise IllegalRead(_ILLEGAL_ADDRESS)


def replay_units(blocks: Sequence[RecordedBlock]) -> dict[int, ReplayDevice]:
    """A device for each unit in ``blocks``. Raises ``PermanentDeviceError`` if there is none."""
    units = {one.unit for one in blocks}
    if not units:
        raise PermanentDeviceError("the recording holds no reply that could be replayed")
    return {unit: ReplayDevice([one for one in blocks if one.unit == unit]) for unit in units}
