"""A device without an agent: what is forgiven, what is reported, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from models.contract.errors import PayloadError
from models.contract.payload import PlainRecord, parse_json, plain_record_from_json
from models.contract.record import Quality, Reading, Record

NOON = 1_705_492_800_000
TIME = {"timestamp": "2024-01-17T12:00:00Z"}


def read(body: dict[str, Any]) -> PlainRecord:
    return plain_record_from_json(TIME | body, "device_01")


def readings(body: dict[str, Any]) -> dict[str, Reading]:
    return dict(read(body).record.readings)


def test_the_payload_of_the_runbook_is_served() -> None:
    sent = b'{"ghi":500,"temperature":25,"timestamp":"2024-01-17T12:00:00Z"}'
    expected = Record("device_01", NOON, {"ghi": Reading(500.0), "temp_air": Reading(25.0)})
    assert plain_record_from_json(parse_json(sent), "device_01") == PlainRecord(expected, ())


def test_unknown_fields_are_reported_in_their_order_and_not_fatal() -> None:
    plain = read({"zone": None, "ghi": 500, "epoch": 3, "seq": "x", "nested": {"a": [1]}})
    assert plain.ignored == ("zone", "epoch", "seq", "nested")
    assert dict(plain.record.readings) == {"ghi": Reading(500.0)}


def test_null_is_a_missing_value() -> None:
    assert readings({"ghi": None}) == {"ghi": Reading(None, Quality.MISSING)}


@pytest.mark.parametrize(
    ("name", "value", "quality"),
    [
        ("ghi", 2000, Quality.GOOD),
        ("ghi", 2000.5, Quality.SUSPECT),
        ("ghi", -20, Quality.GOOD),
        ("ghi", -21, Quality.SUSPECT),
        ("temperature", 1e300, Quality.SUSPECT),
    ],
)
def test_a_value_beyond_its_limits_is_kept_as_suspect(
    name: str, value: float, quality: Quality
) -> None:
    (reading,) = readings({name: value}).values()
    assert reading == Reading(value, quality)


def test_a_stated_quality_counts_under_the_alias_and_under_the_name() -> None:
    for key in ("temperature", "temp_air"):
        body = {"temperature": 25, "quality": {key: "suspect"}}
        assert readings(body) == {"temp_air": Reading(25.0, Quality.SUSPECT)}


def test_a_stated_quality_does_not_make_an_impossible_value_good() -> None:
    body = {"ghi": 9000, "quality": {"ghi": "good"}}
    assert readings(body) == {"ghi": Reading(9000.0, Quality.SUSPECT)}


def test_a_quality_without_a_value_is_a_reading() -> None:
    body = {"ghi": 5, "quality": {"ac_power": "asleep", "temperature": "missing", "mood": "good"}}
    assert readings(body) == {
        "ghi": Reading(5.0),
        "ac_power": Reading(None, Quality.ASLEEP),
        "temp_air": Reading(None, Quality.MISSING),
    }
    assert read(body).ignored == ("quality.mood",)


def test_null_with_a_quality_that_explains_it() -> None:
    body = {"ac_power": None, "quality": {"ac_power": "asleep"}}
    assert readings(body) == {"ac_power": Reading(None, Quality.ASLEEP)}


def test_a_device_may_name_itself_and_the_version() -> None:
    assert read({"device": "device_01", "v": 1, "ghi": 1}).record.device == "device_01"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "no known quantity; see docs/NOMENCLATURE.md"),
        ({"firmware": "2.1"}, "no known quantity; see docs/NOMENCLATURE.md"),
        (
            {"temperature": 25, "temp_air": 25},
            "temp_air: given twice, here and under its other name",
        ),
        ({"ghi": "500"}, "ghi: must be a number, not '500'"),
        ({"ghi": True}, "ghi: must be a number, not 'True'"),
        ({"ghi": 10**400}, "ghi: is too large for a number"),
        ({"ghi": 1, "device": "device_02"}, "device: is 'device_02' but came on the topic of"),
        ({"ghi": 1, "v": 2}, "v: schema version 2 is not 1"),
        ({"ghi": 1, "quality": "good"}, "quality: must be an object"),
        ({"ghi": 1, "quality": {"ghi": "fine"}}, "quality.ghi: unknown quality 'fine'"),
        ({"ghi": 1, "quality": {"ghi": "missing"}}, "ghi: a missing reading has no value"),
        ({"ghi": None, "quality": {"ghi": "good"}}, "ghi: a good reading needs a value"),
        ({"quality": {"ghi": "clipped"}}, "ghi: a clipped reading needs a value"),
        ({"ghi": 1, "timestamp": "2024-01-17T12:00:00"}, "timestamp: not an ISO 8601 instant"),
        ({"ghi": 1, "timestamp": 1705492800}, "timestamp: must be a text"),
    ],
)
def test_what_is_refused(body: dict[str, Any], message: str) -> None:
    with pytest.raises(PayloadError) as refusal:
        read(body)
    assert str(refusal.value).startswith(message)


def test_no_time_at_all() -> None:
    with pytest.raises(PayloadError, match=r"^timestamp: is missing"):
        plain_record_from_json({"ghi": 1}, "device_01")


def test_a_device_under_the_reserved_name() -> None:
    with pytest.raises(PayloadError, match="'bundles' is reserved"):
        plain_record_from_json(TIME | {"ghi": 1}, "bundles")
