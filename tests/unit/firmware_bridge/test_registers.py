"""Registers become numbers and text; requests are few."""

from __future__ import annotations

import math

import pytest

from firmware_bridge.poll_plan import Block, plan
from firmware_bridge.quality import judge
from firmware_bridge.registers import REGISTER_TYPES, decode_number, decode_text
from models.contract.record import Quality


@pytest.mark.parametrize(
    ("kind", "registers", "number"),
    [
        ("uint16", [0xFFFF], 65_535),
        ("int16", [0xFFFF], -1),
        ("uint32", [0x0001, 0x0000], 65_536),
        ("int32", [0xFFFF, 0xFFFE], -2),
        ("float32", [0x4367, 0xAF55], 231.6848),
    ],
)
def test_numbers_are_read_most_significant_word_first(
    kind: str, registers: list[int], number: float
) -> None:
    assert decode_number([9, *registers], 1, REGISTER_TYPES[kind]) == pytest.approx(number)


def test_a_number_beyond_the_registers_is_an_error() -> None:
    with pytest.raises(IndexError):
        decode_number([1], 0, REGISTER_TYPES["uint32"])


def test_text_ends_at_nul_and_shows_no_control_characters() -> None:
    assert decode_text([0x4142, 0x0743, 0x00FF]) == "AB?C"
    assert decode_text([0xFFFF, 0x2020]) == "??"


def test_judging_a_value() -> None:
    assert judge("frequency", 50.0).quality is Quality.GOOD
    assert judge("frequency", 655.35).quality is Quality.SUSPECT
    assert judge("frequency", 655.35).value == 655.35  # kept
    for absent in (None, math.nan, math.inf):
        assert judge("frequency", absent).quality is Quality.MISSING


def test_plan_joins_neighbours_and_bridges_small_gaps_only() -> None:
    wanted = [Block(74, 2), Block(52, 2), Block(54, 2), Block(70, 2), Block(72, 2)]
    assert plan(wanted, longest=80, bridge=20) == (Block(52, 24),)
    assert plan(wanted, longest=80, bridge=0) == (Block(52, 4), Block(70, 6))


def test_plan_never_asks_for_more_than_the_device_gives() -> None:
    wanted = [Block(address, 2) for address in range(0, 300, 2)]
    blocks = plan(wanted, longest=80, bridge=0)
    assert [block.count for block in blocks] == [80, 80, 80, 60]
    with pytest.raises(ValueError, match="takes 1"):
        plan([Block(0, 2)], longest=1, bridge=0)


def test_plan_reads_overlapping_values_once() -> None:
    assert plan([Block(0, 4), Block(2, 2), Block(0, 4)], longest=10, bridge=0) == (Block(0, 4),)
