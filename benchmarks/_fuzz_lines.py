"""Lines with devices that misbehave, for the live fuzz: what is asked there, and what is right.

Each answer of a device is different from all others (unit, function, address, and a generation that
counts its answers), so a stale one cannot look right. An answer is right if the device made it for
this very question, after it was asked. Devices differ in what they refuse, since a refusal names
neither address nor length, and can be late or doubled like any other reply; and in how often their
values change, since a reader may tell a copy by its being the same.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import NamedTuple

from firmware_bridge.simulator import FaultKind, Faults, ModbusServer, open_pty_pair
from firmware_bridge.simulator.server import Habits, IllegalRead, LineModel

TIMEOUT_S = 0.04
RATES = {
    FaultKind.SILENT: 0.03, FaultKind.LATE: 0.06, FaultKind.TWICE: 0.04, FaultKind.SWAPPED: 0.04,
    FaultKind.CUT: 0.02, FaultKind.WRONG_UNIT: 0.02, FaultKind.WRONG_FUNCTION: 0.02,
    FaultKind.WRONG_COUNT: 0.02, FaultKind.WRONG_TRANSACTION: 0.02, FaultKind.GARBLED: 0.01,
    FaultKind.DAMAGED: 0.02, FaultKind.STRAY: 0.02, FaultKind.EXCEPTION: 0.01,
}  # fmt: skip
HABITS = Habits(line=LineModel(baud_rate=115_200, turnaround_s=0.002))
"""Time for an answer: without it the answers to two requests would arrive as one piece."""
DELAYS_S = (0.0, 4 * TIMEOUT_S)
LANES = ("tcp", "rtu-tcp", "pty")
_REMEMBERED = 40
_EXAMPLES = 5


class Question(NamedTuple):
    """One read."""

    unit: int
    function: int
    address: int
    registers: int


class Refusing(Enum):
    """Which reads a device refuses (illegal data address)."""

    NOTHING = 0
    BEYOND_BLOCKS = 1
    """What is not inside one block of its map."""
    ALL_BUT_BLOCKS = 2
    """What is not one whole block."""


BLOCKS = ((3, 100, 10), (3, 200, 10), (4, 300, 10), (4, 400, 2), (3, 500, 34))
"""Function, address and count of the maps of those that refuse something."""
UNITS = {
    1: Refusing.NOTHING,
    2: Refusing.NOTHING,
    3: Refusing.BEYOND_BLOCKS,
    4: Refusing.ALL_BUT_BLOCKS,
}
STEADY = {2: 100, 4: 4}
"""Units whose values change with so many answers only; those of the others with each."""
CALM = Question(2, 3, 100, 10)
CALM_EXCHANGES = 25
"""So many times :data:`CALM` is asked before the faults begin."""


class GenerationDevice:
    """Registers that tell where and when they were read."""

    def __init__(self, unit: int, refusing: Refusing, steady: int = 1) -> None:
        """``steady``: so many answers in a row tell the same."""
        self.unit, self.refusing, self.steady, self.generation = unit, refusing, steady, 0
        self._answers: deque[tuple[int, int, int, bytes]] = deque(maxlen=_REMEMBERED)

    def read(self, function: int, address: int, count: int, *, nonsense: bool) -> list[int]:
        """See ``SimulatedDevice.read``."""
        if not self._holds(function, address, count):
            raise IllegalRead(2)
        self.generation += 1
        when = self.generation // self.steady
        key = f"{self.unit} {function} {address} {when}".encode()
        data = hashlib.shake_128(key).digest(2 * count)
        self._answers.append((self.generation, function, address, data))
        return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]

    def _holds(self, function: int, address: int, count: int) -> bool:
        if self.refusing is Refusing.ALL_BUT_BLOCKS:
            return (function, address, count) in BLOCKS
        return self.refusing is Refusing.NOTHING or any(
            function == f and begin <= address and address + count <= begin + size
            for f, begin, size in BLOCKS
        )

    def made(self, question: Question, data: bytes, *, since: int) -> bool:
        """Whether ``data`` begins an answer to ``question`` made after generation ``since``."""
        return any(
            generation > since
            and (function, address) == (question.function, question.address)
            and whole.startswith(data)
            for generation, function, address, whole in self._answers
        )


@dataclass
class LiveResult:
    """What became of the exchanges of some lines."""

    lines: int = 0
    exchanges: int = 0
    right: int = 0
    cancelled: int = 0
    """Given up by the asker before there was an answer."""
    stale: int = 0
    """Believed answers of an earlier time to the very same question."""
    false_refusals: int = 0
    """Refusals for good that were passed on, though the device refuses none of the questions: the
    refusal of another read was believed."""
    wrong: int = 0
    """Believed, and no answer to this question of whatever time."""
    wrong_count: int = 0
    """Those of them that had another number of registers than asked for."""
    works_at_the_end: int = 0
    """Lines on which a read succeeds when the faults have stopped."""
    refused: Counter[str] = field(default_factory=Counter)
    unforeseen: Counter[str] = field(default_factory=Counter)
    faults_made: Counter[str] = field(default_factory=Counter)
    faults_counted: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    """The first few that went wrong."""

    def add(self, other: LiveResult) -> None:
        """Sum up."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))
        del self.examples[_EXAMPLES:]

    def judge(
        self, device: GenerationDevice, question: Question, data: bytes, *, since: int
    ) -> str:
        """Count believed ``data``; what is wrong with it, if anything."""
        if len(data) != 2 * question.registers:
            self.wrong_count += 1
        elif device.made(question, data, since=since):
            self.right += 1
            return ""
        elif device.made(question, data, since=-1):
            self.stale += 1
            return "stale"
        self.wrong += 1
        return "wrong"


@dataclass(frozen=True)
class Line:
    """One simulated line: where it is, and who answers on it."""

    lane: str
    where: str
    port: int
    server: ModbusServer
    devices: dict[int, GenerationDevice]

    def begin(self) -> None:
        """Let the faults begin."""
        self.server.faults.at_random(RATES, delay_s=DELAYS_S)

    def end(self, result: LiveResult) -> None:
        """No more faults; note those that were made."""
        made = self.server.faults.made
        result.faults_made.update({str(kind): number for kind, number in made.items()})
        self.server.faults.clear()


@asynccontextmanager
async def open_line(lane: str, seed: int) -> AsyncIterator[Line]:
    """A line of ``lane``, without faults at first."""
    devices = {
        unit: GenerationDevice(unit, refusing, STEADY.get(unit, 1))
        for unit, refusing in UNITS.items()
    }
    server = ModbusServer(devices, Faults(seed), HABITS)
    async with AsyncExitStack() as stack:
        if lane == "pty":
            pair = stack.enter_context(open_pty_pair())
            await stack.enter_async_context(server.serve_serial(pair.descriptor))
            yield Line(lane, pair.device_path, 0, server, devices)
        else:
            serving = server.serve_tcp("127.0.0.1", 0, rtu=lane == "rtu-tcp")
            port = await stack.enter_async_context(serving)
            yield Line(lane, "127.0.0.1", port, server, devices)


def questions(seed: int, count: int) -> list[Question]:
    """At first calm polling of values that do not change: the unit earns trust. Then the same
    again, as a poller asks, the same unit and length elsewhere, or anything."""
    chance = random.Random(seed)
    asked = [CALM] * min(CALM_EXCHANGES, count)
    while len(asked) < count:
        last, drawn = asked[-1], chance.random()
        if drawn < 0.4:
            asked.append(last)
        elif drawn < 0.7:
            places = _places(last.unit, chance)
            asked.append(chance.choice([one for one in places if one.registers == last.registers]))
        else:
            asked.append(chance.choice(_places(chance.choice(tuple(UNITS)), chance)))
    return asked


def _places(unit: int, chance: random.Random) -> list[Question]:
    """What may be asked of ``unit``, of every length."""
    if UNITS[unit] is not Refusing.NOTHING:
        return [Question(unit, *block) for block in BLOCKS]
    return [
        Question(unit, chance.choice((3, 4)), chance.randrange(9000), count)
        for count in (2, 10, 10, 34)
    ]
