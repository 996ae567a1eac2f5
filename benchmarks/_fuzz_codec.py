"""Fuzz of the framings: which of a million mutated replies are believed, refused or waited for.

A reply is right if it is, to the last byte, the one reply to its request; then exactly its data has
to come out. The beginning of a right reply has to be waited for. Everything else has to be refused
or waited for. What a CRC cannot see is measured apart (:func:`fuzz_crc`).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from benchmarks._fuzz_mutations import LANES, Case, flipped, make_case, mutate, pack_rtu
from firmware_bridge.errors import DeviceError
from firmware_bridge.modbus.framing import RtuFraming
from firmware_bridge.modbus.request import ReadRequest

_STEP = 10_000


@dataclass
class CodecResult:
    """What became of the cases."""

    cases: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    right_believed: int = 0
    right_refused: int = 0
    """Right replies, and beginnings of right replies, that were refused."""
    waiting: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    believed_wrong: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    """The first few that were believed wrongly or crashed, to be tried again by hand."""
    crashes: Counter[str] = field(default_factory=Counter)


def fuzz_codec(cases: int, seed: int, tick: Callable[[int], None]) -> CodecResult:
    """Run ``cases`` over all framings in turn; about every tenth is the right reply, unchanged."""
    chance, result = random.Random(seed), CodecResult()
    for number in range(cases):
        case = make_case(LANES[number % len(LANES)], chance)
        kind, received = ("right", case.right)
        if chance.random() >= 0.1:
            kind, received = mutate(case, chance)
        _judge(result, case, kind, received)
        if number % _STEP == _STEP - 1:
            tick(_STEP)
    tick(cases % _STEP)
    return result


def _judge(result: CodecResult, case: Case, kind: str, received: bytes) -> None:
    result.cases += 1
    result.kinds[kind] += 1
    is_right = received == case.right
    try:
        data = case.lane.framing.check(case.request, received)
    except DeviceError as error:
        result.refused[str(error.fault)] += 1
        result.right_refused += case.right.startswith(received)
        return
    except Exception as error:
        result.crashes[f"{case.lane.name} {kind}: {type(error).__name__}"] += 1
        _remember(result, case, kind, received)
        return
    if data is None:
        result.waiting += 1
        result.right_refused += is_right
    elif is_right and data == case.data:
        result.right_believed += 1
    else:
        result.believed_wrong[f"{case.lane.name} {kind}"] += 1
        _remember(result, case, kind, received)


def _remember(result: CodecResult, case: Case, kind: str, received: bytes) -> None:
    if len(result.examples) < 10:
        result.examples.append(f"{case.lane.name} {kind}: {case.request!r} <- {received.hex()}")


def fuzz_crc(
    cases: int, seed: int, tick: Callable[[int], None]
) -> dict[str, tuple[int, int, float]]:
    """Heavy damage behind unit, function and length: cases, believed, and expected to be, by sort.

    A CRC of 16 bits fits one in 65,536 damages by chance; these are the wrong data it lets through.
    """
    chance, framing = random.Random(seed), RtuFraming(9600)
    made: Counter[str] = Counter()
    believed: Counter[str] = Counter()
    for number in range(cases):
        request = ReadRequest(1, 3, 0, chance.choice((2, 10, 50)))
        right = pack_rtu(request, chance.randbytes(2 * request.count))
        sort, damage = _HEAVY[number % len(_HEAVY)]
        frame = damage(right, chance)
        if frame != right:
            made[sort] += 1
            with suppress(DeviceError):
                believed[sort] += framing.check(request, frame) is not None
        if number % _STEP == _STEP - 1:
            tick(_STEP)
    tick(cases % _STEP)
    return {sort: (made[sort], believed[sort], made[sort] / 65_536) for sort, _ in _HEAVY}


def _replaced(right: bytes, chance: random.Random) -> bytes:
    return right[:3] + chance.randbytes(len(right) - 3)


def _many_bits(right: bytes, chance: random.Random) -> bytes:
    """4 to 33: odd and even numbers are as frequent (this CRC sees every odd one)."""
    return flipped(right, chance.sample(range(24, 8 * len(right)), chance.randint(4, 33)))


def _shifted(right: bytes, chance: random.Random) -> bytes:
    """A byte lost at one place, another one come in further back."""
    lost, gained = sorted(chance.sample(range(3, len(right)), 2))
    moved = right[lost + 1 : gained + 1]
    return right[:lost] + moved + chance.randbytes(1) + right[gained + 1 :]


_HEAVY: tuple[tuple[str, Callable[[bytes, random.Random], bytes]], ...] = (
    ("replaced", _replaced),
    ("many_bits", _many_bits),
    ("shifted", _shifted),
)
