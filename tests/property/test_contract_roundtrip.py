"""Laws of the contract: what is encoded decodes to the same value, and satisfies its schema."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from models.contract import topics
from models.contract.errors import TopicError
from models.contract.messages import Batch, Entry, EntryKey, Kind, to_ranges
from models.contract.payload import (
    canonical,
    decode_batch,
    decode_entry,
    encode_batch,
    encode_entry,
    inflate_batch,
    parse_json,
    plain_record_from_json,
    record_to_json,
)
from models.contract.record import Reading
from models.contract.timestamps import (
    STEP_MS,
    floor_to_step,
    format_iso8601,
    next_step,
    parse_iso8601,
)
from models.contract.units import BASE_UNITS, CONVERSIONS, base_unit, from_base, to_base
from tests.property.strategies import (
    BODY_WIRES,
    ENTRY_WIRES,
    OTHER_WIRES,
    WIRES,
    Wire,
    batches,
    bodies,
    entries,
    epochs,
    identifiers,
    instants,
    polls,
    seqs,
)

PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol"
law = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def every(wires: tuple[Wire, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("wire", wires, ids=str)


@cache
def validator(name: str) -> Draft202012Validator:
    schema = json.loads((PROTOCOL / f"{name}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@every(WIRES)
@law
@given(data=st.data())
def test_what_is_encoded_decodes_to_the_same_value_and_the_same_bytes(
    wire: Wire, data: st.DataObject
) -> None:
    value = data.draw(wire.values)
    sent = wire.encode(value)
    read = wire.decode(sent)
    assert read == value
    assert wire.encode(read) == sent


@every(ENTRY_WIRES + BODY_WIRES[1:] + OTHER_WIRES)
@law
@given(data=st.data())
def test_what_is_encoded_satisfies_the_published_schema(wire: Wire, data: st.DataObject) -> None:
    sent = wire.encode(data.draw(wire.values))
    validator(wire.name).validate(json.loads(inflate_batch(sent) if wire.name == "batch" else sent))


@law
@given(polls)
def test_a_plain_record_satisfies_its_schema_and_reads_as_the_record_it_is(record: Any) -> None:
    body: Any = json.loads(canonical(record_to_json(record)))
    validator("data-plain").validate(body)
    plain = plain_record_from_json(body, record.device)
    assert plain.ignored == ()
    assert plain.record.measured_at == record.measured_at
    assert {n: r.value for n, r in plain.record.readings.items()} == {
        n: r.value for n, r in record.readings.items()
    }


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=6,
)


@law
@given(st.dictionaries(st.text("abcdef"), json_values, max_size=5), st.randoms())
def test_canonical_text_does_not_depend_on_the_order_of_keys_and_is_a_fixed_point(
    body: dict[str, Any], random: Any
) -> None:
    shuffled = list(body.items())
    random.shuffle(shuffled)
    text = canonical(body)
    assert canonical(dict(shuffled)) == text
    assert canonical(parse_json(text.encode())) == text


@pytest.mark.parametrize("kind", Kind)
@law
@given(data=st.data())
def test_the_digest_of_an_entry_is_the_same_on_both_sides(kind: Kind, data: st.DataObject) -> None:
    entry = data.draw(entries(kind))
    assert decode_entry(encode_entry(entry), kind).digest == entry.digest
    batch = Batch(entry.key.epoch, entry.key.seq, (entry,))
    assert decode_batch(encode_batch(batch)).entries[0].digest == entry.digest


@law
@given(epochs, seqs, bodies(Kind.ALERT), bodies(Kind.ALERT))
def test_digests_differ_when_bodies_or_kinds_differ(
    epoch: str, seq: int, one: str, other: str
) -> None:
    key = EntryKey(epoch, seq)
    entry = Entry(key, Kind.ALERT, one)
    assert (entry.digest == Entry(key, Kind.ALERT, other).digest) == (one == other)
    assert entry.digest != Entry(key, Kind.STATUS, one).digest


@law
@given(batches())
def test_live_and_batched_form_of_an_entry_are_the_same_entry(batch: Batch) -> None:
    for entry in decode_batch(encode_batch(batch)).entries:
        assert decode_entry(encode_entry(entry), entry.kind) == entry


@law
@given(st.floats(-1e12, 1e12), st.sampled_from(sorted(BASE_UNITS | set(CONVERSIONS))))
def test_conversion_to_base_units_and_back_gives_the_value(value: float, unit: str) -> None:
    assert from_base(to_base(value, unit), unit) == pytest.approx(value, rel=1e-12, abs=1e-9)
    assert base_unit(base_unit(unit)) == base_unit(unit)


@law
@given(instants)
def test_an_instant_survives_its_text(instant: int) -> None:
    text = format_iso8601(instant)
    assert parse_iso8601(text) == instant
    assert format_iso8601(parse_iso8601(text)) == text


@law
@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001 - zone added below
    st.integers(-23 * 60, 23 * 60),
    st.sampled_from(["T", " "]),
)
def test_an_offset_names_the_same_instant(local: datetime, minutes: int, between: str) -> None:
    local = local.replace(microsecond=local.microsecond // 1000 * 1000)
    aware = local.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    expected = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert parse_iso8601(aware.isoformat(sep=between)) == expected


@law
@given(instants, st.sampled_from([STEP_MS, 60_000, 3_600_000]))
def test_an_instant_lies_in_the_interval_that_is_named_by_its_start(
    instant: int, step_ms: int
) -> None:
    start = floor_to_step(instant, step_ms)
    assert start <= instant < start + step_ms == next_step(instant, step_ms)
    assert start % step_ms == 0


@law
@given(identifiers, st.sampled_from(topics.CHANNELS))
def test_a_topic_that_is_built_parses_to_its_parts(identifier: str, channel: str) -> None:
    topic = topics.build(identifier, channel)
    assert topics.parse(topic) == topics.Topic(identifier, channel)
    assert str(topics.parse(topic)) == topic
    assert topics.everyone(channel).replace("+", identifier) == topic


@law
@given(st.text("solar/dtb+#_-A ", max_size=30) | st.text(max_size=20))
def test_a_topic_that_parses_is_the_one_that_its_parts_build(text: str) -> None:
    try:
        parsed = topics.parse(text)
    except TopicError:
        return
    assert topics.build(parsed.identifier, parsed.channel) == text


@law
@given(st.lists(st.integers(1, 40)))
def test_ranges_hold_exactly_the_numbers_they_were_made_of_and_never_touch(seq: list[int]) -> None:
    ranges = to_ranges(seq)
    assert [n for first, last in ranges for n in range(first, last + 1)] == sorted(set(seq))
    assert all(a[1] + 1 < b[0] for a, b in itertools.pairwise(ranges))


@law
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_one_number_has_one_text(value: float) -> None:
    held = Reading(value).value
    assert held == value
    assert canonical(held) == canonical(0.0 if value == 0 else value)
