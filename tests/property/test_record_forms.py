"""A record that travels as form and numbers is the same record, character by character."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contract.errors import PayloadError
from models.contract.payload import (
    RecordBlock,
    RecordForm,
    canonical,
    form_from_json,
    form_to_json,
    record_from_json,
    record_to_json,
)
from models.contract.payload.blocks import (
    block_from_json,
    block_to_json,
    pack_numbers,
    unpack_numbers,
)
from models.contract.payload.json_text import parse_json
from models.contract.record import Record
from tests.property.strategies import blocks, records


@given(records)
def test_a_body_made_from_its_form_differs(record: Record) -> None:
    form, values = RecordForm.of(record)
    text = canonical(record_to_json(record))
    assert form.body(record.measured_at, values) == text
    assert record_from_json(parse_json(text.encode())) == record
    assert form_from_json(form_to_json(form)) == form


@given(blocks())
def test_a_block_changes_on_its_way(block: RecordBlock) -> None:
    back = block_from_json(parse_json(canonical(block_to_json(block)).encode()), "")
    assert list(back.entries("0" * 16)) == list(block.entries("0" * 16))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_a_packed_number_is_another_float(values: list[float]) -> None:
    values = [value + 0.0 for value in values]
    back = unpack_numbers(pack_numbers(values), "")
    assert [math.copysign(1, one) * one for one in back] == [
        math.copysign(1, one) * one for one in values
    ]
    assert back == values


@pytest.mark.parametrize(
    "packed",
    [
        None, {}, [], ["f"], ["d", 1], ["x", 1, 2], ["d", 6, 1], ["d", -1, 1], ["d", True, 1],
        ["d", 1, 1.5], ["d", 1, True], ["d", 1, "1"], ["f", float("nan")], ["f", None],
        ["m", 0, 1], ["d", 0, 2**53, 1], ["d", 0, 10**40], ["f", 10**400], [[], 1, 2],
    ],
)  # fmt: skip
def test_numbers_that_no_encoder_writes_are_believed(packed: object) -> None:
    with pytest.raises(PayloadError):
        unpack_numbers(packed, "records[0].columns[0]")
