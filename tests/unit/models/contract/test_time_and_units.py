"""Times without a zone, impossible times, unknown units."""

from __future__ import annotations

import pytest

from models.contract.errors import ContractError
from models.contract.timestamps import (
    DAY_MS,
    HORIZON_STEPS,
    STEP_MS,
    STEPS_PER_DAY,
    floor_to_step,
    format_iso8601,
    next_step,
    parse_iso8601,
)
from models.contract.units import base_unit, from_base, to_base

NOON = 1_705_492_800_000


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-17T12:00:00",
        "2024-01-17",
        "12:00:00Z",
        "",
        "now",
        "1705492800",
        "2024-01-17T12Z",
        "2024-1-17T12:00:00Z",
        "20240117T120000Z",
        "2024-W03-3T12:00:00Z",
        " 2024-01-17T12:00:00Z",
        "2024-01-17T12:00:00Z\n",
        "2024-01-17t12:00:00z",
        "２０２４-01-17T12:00:00Z",
        "-2024-01-17T12:00Z",
        "2024-01-17T12:00:00 Z",
        "2024-01-17T12:00:00+1",
        "2024-01-17T12:00:00.Z",
        "x" * 100000,
    ],
)
def test_a_time_without_a_zone_or_in_another_form(text: str) -> None:
    with pytest.raises(ContractError, match="write 2024-01-17T12:00:00Z") as refusal:
        parse_iso8601(text)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    "text",
    [
        "2023-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-01-17T25:00:00Z",
        "2024-01-17T12:60:00Z",
        "2024-01-17T12:00:60Z",
        "2024-01-17T12:00:00+24:00",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
    ],
)
def test_a_time_that_does_not_exist(text: str) -> None:
    with pytest.raises(ContractError, match=r"^not a possible instant"):
        parse_iso8601(text)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-01-17T12:00:00Z", NOON),
        ("2024-01-17T12:00Z", NOON),
        ("2024-01-17 12:00:00Z", NOON),
        ("2024-01-17T13:30:00+01:30", NOON),
        ("2024-01-17T13:30:00+0130", NOON),
        ("2024-01-17T04:00:00-08:00", NOON),
        ("2024-01-17T12:00:00.5Z", NOON + 500),
        ("2024-01-17T12:00:00,25Z", NOON + 250),
        ("2024-01-17T12:00:00.123999999Z", NOON + 123),
        ("1969-12-31T23:59:59.999Z", -1),
        ("1969-12-31T23:59:59.9999Z", -1),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999),
    ],
)
def test_times_that_are_read(text: str, instant: int) -> None:
    assert parse_iso8601(text) == instant


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (NOON, "2024-01-17T12:00:00Z"),
        (NOON + 5, "2024-01-17T12:00:00.005Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (-62_135_596_800_000, "0001-01-01T00:00:00Z"),
    ],
)
def test_times_that_are_written(instant: int, text: str) -> None:
    assert format_iso8601(instant) == text


@pytest.mark.parametrize("instant", [-62_135_596_800_001, 253_402_300_800_000, 10**30])
def test_an_instant_that_has_no_text(instant: int) -> None:
    with pytest.raises(ContractError, match="must lie in the years 1 to 9999"):
        format_iso8601(instant)


@pytest.mark.parametrize("instant", [1.0, True, "0", None])
def test_an_instant_that_is_no_whole_number(instant: int) -> None:
    with pytest.raises(ContractError, match="a whole number of milliseconds"):
        format_iso8601(instant)


def test_an_interval_is_labelled_by_its_start() -> None:
    assert floor_to_step(NOON) == NOON
    assert floor_to_step(NOON + STEP_MS - 1) == NOON
    assert floor_to_step(NOON - 1) == NOON - STEP_MS
    assert next_step(NOON) == NOON + STEP_MS
    assert next_step(NOON - 1) == NOON
    assert floor_to_step(-1) == -STEP_MS
    assert (STEPS_PER_DAY * STEP_MS, HORIZON_STEPS) == (DAY_MS, 192)


@pytest.mark.parametrize(
    ("value", "unit", "base", "in_base"),
    [
        (5.0, "kW", "W", 5000.0),
        (1.5, "MWh", "Wh", 1.5e6),
        (300.0, "K", "degC", 26.85),
        (1013.25, "mbar", "Pa", 101_325.0),
        (1013.25, "hPa", "Pa", 101_325.0),
        (230_000.0, "mV", "V", 230.0),
        (2.0, "cm", "mm", 20.0),
        (0.8, "kW/m2", "W/m2", 800.0),
        (0.8, "W/m2", "W/m2", 0.8),
    ],
)
def test_units_at_the_rim(value: float, unit: str, base: str, in_base: float) -> None:
    assert base_unit(unit) == base
    assert to_base(value, unit) == pytest.approx(in_base, rel=1e-12)
    assert from_base(in_base, unit) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("unit", ["kw", "KW", "", "furlong", "degF"])
def test_a_unit_that_nobody_knows(unit: str) -> None:
    for call in (lambda: base_unit(unit), lambda: to_base(1.0, unit), lambda: from_base(1.0, unit)):
        with pytest.raises(ContractError, match=r"^unknown unit .* known: .*kW"):
            call()
