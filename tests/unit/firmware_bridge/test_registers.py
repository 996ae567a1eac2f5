"""Registers become numbers and text; requests are few."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from firmware_bridge.poll_plan import Block, plan
from firmware_bridge.profile.scaling import Scaling
from firmware_bridge.registers import (
    ORDERS,
    REGISTER_TYPES,
    decode_number,
    decode_text,
    encode_number,
    encode_text,
    in_order,
)


@pytest.mark.parametrize(
    ("kind", "raw", "number"),
    [
        ("uint16", "ffff", 65_535),
        ("int16", "ffff", -1),
        ("uint32", "00010000", 65_536),
        ("int32", "fffffffe", -2),
        ("uint64", "0000000100000000", 2**32),
        ("int64", "ffffffffffffffff", -1),
        ("float32", "4367af55", 231.6848),
        ("float64", "400921fb54442d18", 3.141592653589793),
    ],
)
def test_numbers_are_read_most_significant_byte_first(kind: str, raw: str, number: float) -> None:
    assert decode_number(bytes.fromhex(raw), REGISTER_TYPES[kind]) == pytest.approx(number)
    for order in ORDERS:
        kind_ = REGISTER_TYPES[kind]
        assert decode_number(encode_number(number, kind_, order), kind_, order) == pytest.approx(
            number
        )


def test_byte_orders_are_the_four_there_are() -> None:
    raw = bytes.fromhex("0a0b0c0d")
    assert [in_order(raw, order).hex() for order in ORDERS] == [
        "0a0b0c0d", "0c0d0a0b", "0b0a0d0c", "0d0c0b0a",
    ]  # fmt: skip


def test_text_ends_at_nul_and_shows_no_control_characters() -> None:
    assert decode_text(bytes.fromhex("4142074300ff")) == "AB?C"
    assert decode_text(bytes.fromhex("ffff2020")) == "??"
    assert encode_text("AB", 4) == b"AB\0\0"


@pytest.mark.parametrize(
    ("number", "scale", "unit", "value"),
    [
        (2357, 0.1, "V", 235.7),
        (3, 0.001, "A", 0.003),
        (123_456_789, 0.01, "kWh", 1_234_567_890.0),
        (-5, 10, "W", -50.0),
        (2982, 0.1, "K", 25.05),
        (7, -0.1, "kW", -700.0),
    ],
)
def test_scaling_leaves_no_dust(number: float, scale: float, unit: str, value: float) -> None:
    scaling = Scaling.of(scale, 0.0, unit)
    assert scaling.value(number) == pytest.approx(value, rel=1e-15)
    assert scaling.number(value) == pytest.approx(number)


def test_scaled_tenths_are_the_shortest_decimals() -> None:
    tenths = Scaling.of(0.1, 0.0, "V")
    assert all(tenths.value(n) == float(f"{n // 10}.{n % 10}") for n in range(10_000))


def test_plan_joins_neighbours_and_bridges_small_gaps_only() -> None:
    wanted = [Block(4, at, 2) for at in (74, 52, 54, 70, 72)]
    assert plan(wanted, longest=80, bridge=20) == (Block(4, 52, 24),)
    assert plan(wanted, longest=80, bridge=0) == (Block(4, 52, 4), Block(4, 70, 6))


def test_plan_does_not_join_functions_or_reach_across_barriers() -> None:
    wanted = [Block(3, 10, 2), Block(4, 12, 2), Block(3, 12, 2)]
    assert plan(wanted, longest=80, bridge=0) == (Block(3, 10, 4), Block(4, 12, 2))
    assert plan([Block(3, 10, 2), Block(3, 12, 2)], longest=80, bridge=0, barriers=[12]) == (
        Block(3, 10, 2),
        Block(3, 12, 2),
    )


def test_plan_never_asks_for_more_than_the_device_gives() -> None:
    wanted = [Block(3, address, 2) for address in range(0, 300, 2)]
    blocks = plan(wanted, longest=80, bridge=0)
    assert [block.count for block in blocks] == [80, 80, 80, 60]
    with pytest.raises(ValueError, match="takes 1"):
        plan([Block(3, 0, 2)], longest=1, bridge=0)


def test_plan_reads_overlapping_values_once() -> None:
    wanted = [Block(3, 0, 4), Block(3, 2, 2), Block(3, 0, 4)]
    assert plan(wanted, longest=10, bridge=0) == (Block(3, 0, 4),)


def test_no_partition_has_fewer_requests_than_the_plan() -> None:
    chance = random.Random(7)
    for _ in range(300):
        longest, bridge = chance.randint(2, 12), chance.randint(0, 5)
        barriers = [chance.randint(0, 60) for _ in range(chance.randint(0, 2))]
        values, at = [], 0
        for _ in range(chance.randint(1, 12)):
            at += chance.randint(0, 8)
            size = chance.choice((1, 2))
            if not any(at < barrier < at + size for barrier in barriers):
                values.append(Block(3, at, size))
            at += size
        if values:
            found = plan(values, longest=longest, bridge=bridge, barriers=barriers)
            assert len(found) == fewest(values, longest, bridge, barriers)


def fewest(values: list[Block], longest: int, bridge: int, barriers: list[int]) -> int:
    """The least number of runs of ``values`` that are each one legal request: tried out."""
    best = [0] + [len(values) + 1] * len(values)
    for end in range(1, len(values) + 1):
        for start in range(end):
            run = values[start:end]
            whole = run[-1].end - run[0].address
            gaps = [b.address - a.end for a, b in pairwise(run)]
            crossed = any(run[0].address < barrier < run[-1].end for barrier in barriers)
            if whole <= longest and all(gap <= bridge for gap in gaps) and not crossed:
                best[end] = min(best[end], best[start] + 1)
    return best[-1]
