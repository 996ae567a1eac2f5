"""Fuzz of the framings: a million mutated replies, and which of them are believed.

A reply is right if it is, to the last byte, the one reply to its request. Everything else has to be
refused or waited for. Modbus TCP has no checksum, so its data is left alone there; on RTU two
replies of the same unit, function and length cannot be told apart by their bytes, which is the
bus's matter (``_fuzz_live``).
"""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from pymodbus.framer import FramerRTU

from firmware_bridge.errors import DeviceError
from firmware_bridge.goodwe.framing import Aa55RtuFraming
from firmware_bridge.modbus.framing import Framing, RtuFraming, TcpFraming
from firmware_bridge.modbus.request import ReadRequest

_TCP_HEAD = 9  # bytes whose damage shows: header, function, byte count


@dataclass
class CodecResult:
    """What became of the cases."""

    cases: int = 0
    right_believed: int = 0
    right_refused: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    believed_wrong: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)


def rtu_frame(request: ReadRequest, data: bytes) -> bytes:
    """The right RTU reply, packed without the code under test."""
    body = struct.pack("BBB", request.unit, request.function, len(data)) + data
    return body + FramerRTU.compute_CRC(body).to_bytes(2, "big")


def tcp_frame(request: ReadRequest, data: bytes) -> bytes:
    """The right TCP reply."""
    body = struct.pack("BBB", request.unit, request.function, len(data)) + data
    return struct.pack(">HHH", request.transaction, 0, len(body)) + body


def aa55_frame(request: ReadRequest, data: bytes) -> bytes:
    """The right reply of a GoodWe dongle."""
    return b"\xaa\x55" + rtu_frame(request, data)


LANES: tuple[tuple[str, Framing[ReadRequest], Callable[[ReadRequest, bytes], bytes]], ...] = (
    ("rtu", RtuFraming(9600), rtu_frame),
    ("tcp", TcpFraming(), tcp_frame),
    ("aa55-rtu", Aa55RtuFraming(), aa55_frame),
)


def random_request(chance: random.Random) -> ReadRequest:
    """Any legal read, mostly of usual sizes."""
    count = chance.choice((1, 2, 2, 10, 10, 50, 125, chance.randint(1, 125)))
    return ReadRequest(
        chance.randint(1, 247),
        chance.choice((3, 4)),
        chance.randint(0, 65_536 - count),
        count,
        chance.randint(1, 65_535),
    )


def other_request(request: ReadRequest, chance: random.Random, *, is_tcp: bool) -> ReadRequest:
    """Another request whose reply differs by more than its data."""
    while True:
        other = random_request(chance)
        same = (other.unit, other.function, other.count) == (
            request.unit,
            request.function,
            request.count,
        )
        if not same or (is_tcp and other.transaction != request.transaction):
            return other


def mutate(
    lane: str,
    frame: Callable[[ReadRequest, bytes], bytes],
    request: ReadRequest,
    right: bytes,
    chance: random.Random,
) -> tuple[str, bytes]:
    """A kind of damage, and the bytes that arrive."""
    is_tcp = lane == "tcp"
    kind = chance.choice(KINDS)
    size = len(right)
    if kind == "cut":
        return kind, right[: chance.randrange(size)]
    if kind == "other_reply":
        other = other_request(request, chance, is_tcp=is_tcp)
        return kind, frame(other, chance.randbytes(2 * other.count))
    if kind == "other_before":
        other = other_request(request, chance, is_tcp=is_tcp)
        return kind, frame(other, chance.randbytes(2 * other.count)) + right
    if kind == "twice":
        return kind, right + right
    if kind == "stray_before":
        return kind, chance.randbytes(chance.randint(1, 12)) + right
    if kind == "stray_after":
        return kind, right + chance.randbytes(chance.randint(1, 12))
    if kind == "wrong_count":
        data = chance.randbytes(
            2 * chance.choice([n for n in (1, 2, 9, 124) if n != request.count])
        )
        return kind, frame(request, data)
    if kind == "few_bits":  # up to three: a CRC-16 of this kind misses none at these lengths
        bits = chance.sample(range(8 * (_TCP_HEAD if is_tcp else size)), chance.randint(1, 3))
        return kind, flipped(right, bits)
    if kind == "burst":
        start = chance.randrange(8 * ((_TCP_HEAD if is_tcp else size) - 2))
        bits = [start, *(start + i for i in range(1, 15) if chance.random() < 0.5), start + 15]
        return kind, flipped(right, bits)
    if kind == "exception":
        body = bytes((request.unit, request.function | 0x80, chance.choice((1, 2, 4, 6, 11))))
        if is_tcp:
            return kind, struct.pack(">HHH", request.transaction, 0, 3) + body
        prefix = b"\xaa\x55" if lane.startswith("aa55") else b""
        return kind, prefix + body + FramerRTU.compute_CRC(body).to_bytes(2, "big")
    return kind, chance.randbytes(chance.randint(1, 260))  # garbage


KINDS = (
    "cut", "other_reply", "other_before", "twice", "stray_before", "stray_after", "wrong_count",
    "few_bits", "burst", "exception", "garbage",
)  # fmt: skip


def flipped(frame: bytes, bits: list[int]) -> bytes:
    """``frame`` with these bits inverted."""
    spoilt = bytearray(frame)
    for bit in bits:
        spoilt[bit // 8] ^= 0x80 >> bit % 8
    return bytes(spoilt)


def fuzz_codec(cases: int, seed: int, tick: Callable[[int], None]) -> CodecResult:
    """Run ``cases`` over all framings; every tenth is the right reply, unchanged."""
    chance, result = random.Random(seed), CodecResult()
    for number in range(cases):
        lane, framing, frame = LANES[number % len(LANES)]
        request = random_request(chance)
        right = frame(request, chance.randbytes(2 * request.count))
        kind, received = ("right", right)
        if number % 10:
            kind, received = mutate(lane, frame, request, right, chance)
        _judge(result, framing, request, f"{lane} {kind}", received, is_right=received == right)
        if number % 10_000 == 9_999:
            tick(10_000)
    return result


def _judge(
    result: CodecResult,
    framing: Framing[ReadRequest],
    request: ReadRequest,
    kind: str,
    received: bytes,
    *,
    is_right: bool,
) -> None:
    result.cases += 1
    try:
        data = framing.check(request, received)
    except DeviceError as error:
        result.refused[str(error.fault)] += 1
        result.right_refused += is_right
        return
    except Exception as error:
        result.crashes[f"{kind}: {type(error).__name__}"] += 1
        return
    if data is None:
        result.waiting += 1
        result.right_refused += is_right
    elif is_right:
        result.right_believed += 1
    else:
        result.believed_wrong[kind] += 1


def fuzz_crc(cases: int, seed: int, tick: Callable[[int], None]) -> tuple[int, float]:
    """Heavy damage that leaves unit, function and length alone: believed, and expected by CRC-16.

    Data and checksum are both replaced by random bytes; one in 65,536 fits by chance.
    """
    chance, framing, believed = random.Random(seed), RtuFraming(9600), 0
    for number in range(cases):
        count = chance.choice((2, 10, 50))
        request = ReadRequest(1, 3, 0, count)
        frame = bytes((1, 3, 2 * count)) + chance.randbytes(2 * count + 2)
        with suppress(DeviceError):
            believed += framing.check(request, frame) is not None
        if number % 10_000 == 9_999:
            tick(10_000)
    return believed, cases / 65_536
