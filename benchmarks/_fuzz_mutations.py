"""Right replies of every framing, and what can become of them on their way.

Frames are packed here, not by the code under test; of CRCs, pymodbus' own function is taken. Each
mutation gives bytes that are not the one right reply, or do not hold all of it: none may be
believed. On RTU, replies of the same unit, function and length cannot be told apart by their bytes;
that is the bus's matter (``_fuzz_live``). Modbus TCP has no checksum: there the data itself is left
alone.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pymodbus.framer import FramerRTU

from firmware_bridge.goodwe.framing import Aa55Framing, Aa55Request, Aa55RtuFraming
from firmware_bridge.modbus.framing import Framing, RtuFraming, TcpFraming
from firmware_bridge.modbus.request import ReadRequest

_TCP_HEAD = 9  # bytes whose damage shows: header, function, byte count
_PREFIX = b"\xaa\x55"


@dataclass(frozen=True, slots=True)
class Lane:
    """One framing, and how the right reply to a request looks in it."""

    name: str
    framing: Framing[Any]
    ask: Callable[[random.Random], Any]
    """Some request."""
    fill: Callable[[Any, random.Random], bytes]
    """Some data that its reply may hold."""
    pack: Callable[[Any, bytes], bytes]
    """The reply to a request with this data."""
    kinds: tuple[str, ...]
    """What can become of it."""


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and the reply that is right."""

    lane: Lane
    request: Any
    data: bytes
    right: bytes


def make_case(lane: Lane, chance: random.Random) -> Case:
    """Any request, with any data."""
    request = lane.ask(chance)
    data = lane.fill(request, chance)
    return Case(lane, request, data, lane.pack(request, data))


def mutate(case: Case, chance: random.Random) -> tuple[str, bytes]:
    """A kind of mutation, and the bytes that arrive in place of the right reply."""
    kind = chance.choice(case.lane.kinds)
    return kind, _MUTATIONS[kind](case, chance)


# -- right frames


def pack_rtu(request: ReadRequest, data: bytes) -> bytes:
    """Modbus RTU."""
    return _with_crc(bytes((request.unit, request.function, len(data))) + data)


def pack_tcp(request: ReadRequest, data: bytes) -> bytes:
    """Modbus TCP."""
    body = bytes((request.unit, request.function, len(data))) + data
    return struct.pack(">HHH", request.transaction, 0, len(body)) + body


def pack_aa55_rtu(request: ReadRequest, data: bytes) -> bytes:
    """Modbus RTU as a GoodWe dongle replies."""
    return _PREFIX + pack_rtu(request, data)


def pack_aa55(request: Aa55Request, data: bytes) -> bytes:
    """GoodWe's older protocol: command with its reply bit, length, payload, sum."""
    body = _PREFIX + struct.pack(">BBHB", 0x7F, 0xC0, request.command | 0x80, len(data)) + data
    return body + struct.pack(">H", sum(body) & 0xFFFF)


def _with_crc(body: bytes) -> bytes:
    return body + FramerRTU.compute_CRC(body).to_bytes(2, "big")


# -- requests


def _ask_registers(chance: random.Random) -> ReadRequest:
    count = chance.choice((1, 2, 2, 10, 10, 50, 125, chance.randint(1, 125)))
    return ReadRequest(
        chance.randint(1, 247),
        chance.choice((3, 4)),
        chance.randint(0, 65_536 - count),
        count,
        chance.randint(1, 65_535),
    )


def _fill_registers(request: ReadRequest, chance: random.Random) -> bytes:
    return chance.randbytes(2 * request.count)


def _ask_aa55(chance: random.Random) -> Aa55Request:
    return Aa55Request(0x0100 | chance.randint(0, 0x7F))


def _fill_aa55(request: Aa55Request, chance: random.Random) -> bytes:
    return chance.randbytes(chance.randint(1, 200))


# -- what can become of a reply


def _cut(case: Case, chance: random.Random) -> bytes:
    return case.right[: chance.randrange(len(case.right))]


def _reply_to_another(case: Case, chance: random.Random) -> bytes:
    """Of any unit, function, length and transaction, as long as one of them differs."""
    while True:
        other = make_case(case.lane, chance)
        if _told_apart_by(other) != _told_apart_by(case):
            return other.right


def _told_apart_by(case: Case) -> tuple[int, ...]:
    request = case.request
    if isinstance(request, Aa55Request):
        return (request.command,)
    transaction = request.transaction if case.lane.name == "tcp" else 0
    return (request.unit, request.function, request.count, transaction)


def _another_before(case: Case, chance: random.Random) -> bytes:
    return _reply_to_another(case, chance) + case.right


def _another_after(case: Case, chance: random.Random) -> bytes:
    return case.right + _reply_to_another(case, chance)


def _twice(case: Case, chance: random.Random) -> bytes:
    return case.right * chance.choice((2, 2, 3))


def _stray_before(case: Case, chance: random.Random) -> bytes:
    return chance.randbytes(chance.randint(1, 12)) + case.right


def _stray_inside(case: Case, chance: random.Random) -> bytes:
    at = chance.randrange(1, len(case.right))
    return case.right[:at] + chance.randbytes(chance.randint(1, 12)) + case.right[at:]


def _stray_after(case: Case, chance: random.Random) -> bytes:
    return case.right + chance.randbytes(chance.randint(1, 12))


def _bytes_lost(case: Case, chance: random.Random) -> bytes:
    """From within; what is cut off the end alone is ``cut``."""
    at = chance.randrange(len(case.right) - 1)
    lost = chance.randint(1, min(8, len(case.right) - 1 - at))
    return case.right[:at] + case.right[at + lost :]


def _wrong_unit(case: Case, chance: random.Random) -> bytes:
    own = case.request.unit
    unit = chance.choice((own ^ 1, (own + chance.randint(1, 255)) % 256))
    return case.lane.pack(replace(case.request, unit=unit), case.data)


def _wrong_function(case: Case, chance: random.Random) -> bytes:
    functions = [f for f in (1, 2, 3, 4, 5, 6, 15, 16, 22, 23, 43) if f != case.request.function]
    start = 7 if case.lane.name == "tcp" else 3 if case.lane.name == "aa55-rtu" else 1
    frame = bytearray(case.right)
    frame[start] = chance.choice(functions)
    if case.lane.name == "tcp":
        return bytes(frame)
    head = start - 1
    return bytes(frame[:head]) + _with_crc(bytes(frame[head:-2]))


def _wrong_count(case: Case, chance: random.Random) -> bytes:
    if case.lane.name == "aa55":
        return pack_aa55(case.request, b"")
    right = case.request.count
    near = [n for n in (right - 1, right + 1, 2 * right, 1, 124) if n != right and 0 <= n <= 125]
    return case.lane.pack(case.request, chance.randbytes(2 * chance.choice(near)))


def _count_lies(case: Case, chance: random.Random) -> bytes:
    """The count that was asked for, before another number of data bytes; the rest is sound."""
    registers = case.request.count + chance.choice((-1, 1))
    data = bytes((2 * case.request.count,)) + chance.randbytes(2 * registers)
    body = bytes((case.request.unit, case.request.function)) + data
    if case.lane.name == "tcp":
        return struct.pack(">HHH", case.request.transaction, 0, len(body)) + body
    return (_PREFIX if case.lane.name == "aa55-rtu" else b"") + _with_crc(body)


def _wrong_transaction(case: Case, chance: random.Random) -> bytes:
    step = chance.choice((1, -1, 256, chance.randint(1, 65_535)))
    transaction: int = (case.request.transaction + step) % 65_536
    return transaction.to_bytes(2, "big") + case.right[2:]


def _wrong_protocol(case: Case, chance: random.Random) -> bytes:
    return case.right[:2] + chance.randint(1, 65_535).to_bytes(2, "big") + case.right[4:]


def _few_bits(case: Case, chance: random.Random) -> bytes:
    """One to three: a CRC-16 of this kind misses none at these lengths. A sum sees one for sure."""
    size = _TCP_HEAD if case.lane.name == "tcp" else len(case.right)
    most = 1 if case.lane.name == "aa55" else 3
    return flipped(case.right, chance.sample(range(8 * size), chance.randint(1, most)))


def _burst(case: Case, chance: random.Random) -> bytes:
    """Two to sixteen bits long: a CRC-16 misses none."""
    size = _TCP_HEAD if case.lane.name == "tcp" else len(case.right)
    length = chance.randint(2, 16)
    start = chance.randrange(8 * size - length + 1)
    inner = [start + i for i in range(1, length - 1) if chance.random() < 0.5]
    return flipped(case.right, [start, *inner, start + length - 1])


def _exception(case: Case, chance: random.Random) -> bytes:
    code = chance.choice((1, 2, 3, 4, 5, 6, 8, 10, 11, chance.randint(0, 255)))
    body = bytes((case.request.unit, case.request.function | 0x80, code))
    if case.lane.name == "tcp":
        return struct.pack(">HHH", case.request.transaction, 0, 3) + body
    return (_PREFIX if case.lane.name == "aa55-rtu" else b"") + _with_crc(body)


def _garbage(case: Case, chance: random.Random) -> bytes:
    """Noise, or noise behind a sound beginning."""
    kept = chance.choice((0, 0, 1, 2, 3))
    return case.right[:kept] + chance.randbytes(chance.randint(1, 260))


def flipped(frame: bytes, bits: list[int]) -> bytes:
    """``frame`` with these bits inverted, in the order in which a serial line sends them."""
    spoilt = bytearray(frame)
    for bit in bits:
        spoilt[bit // 8] ^= 1 << bit % 8
    return bytes(spoilt)


_MUTATIONS: dict[str, Callable[[Case, random.Random], bytes]] = {
    function.__name__.removeprefix("_"): function
    for function in (
        _cut, _reply_to_another, _another_before, _another_after, _twice, _stray_before,
        _stray_inside, _stray_after, _bytes_lost, _wrong_unit, _wrong_function, _wrong_count,
        _count_lies, _wrong_transaction, _wrong_protocol, _few_bits, _burst, _exception, _garbage,
    )
}  # fmt: skip

_OF_TCP = ("wrong_transaction", "wrong_protocol")
_NOT_OF_AA55 = (*_OF_TCP, "wrong_unit", "wrong_function", "count_lies", "burst", "exception")
_OF_RTU = tuple(kind for kind in _MUTATIONS if kind not in _OF_TCP)
_REGISTERS = (_ask_registers, _fill_registers)

LANES = (
    Lane("rtu", RtuFraming(9600), *_REGISTERS, pack_rtu, _OF_RTU),
    Lane("tcp", TcpFraming(), *_REGISTERS, pack_tcp, tuple(_MUTATIONS)),
    Lane("aa55-rtu", Aa55RtuFraming(), *_REGISTERS, pack_aa55_rtu, _OF_RTU),
    Lane(
        "aa55",
        Aa55Framing(),
        _ask_aa55,
        _fill_aa55,
        pack_aa55,
        tuple(kind for kind in _MUTATIONS if kind not in _NOT_OF_AA55),
    ),
)
