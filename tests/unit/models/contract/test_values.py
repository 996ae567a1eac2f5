"""Values of the contract that must not come into being, so that whatever exists can travel."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from models.contract import messages as m
from models.contract.checks import check_text, clip_text
from models.contract.errors import ContractError
from models.contract.forecast import (
    LEVELS,
    MEDIAN,
    Coverage,
    CoverageState,
    Forecast,
    ForecastSeries,
)
from models.contract.payload import canonical, forecast_to_json, record_to_json
from models.contract.quantities import quantity
from models.contract.record import Quality, Reading, Record, good_reading

NOON = 1_705_492_800_000
EPOCH = "0123456789abcdef"
FLAT = tuple((float(level), 1.0 + level) for level in LEVELS)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "must be a finite number, not nan"),
        (float("-inf"), "must be a finite number, not -inf"),
        (10**400, "is too large for a number"),
        (True, "must be a number, not 'True'"),
        ("5", "must be a number, not '5'"),
        (1j, "must be a number"),
    ],
)
def test_a_reading_that_is_no_finite_number(value: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        Reading(value)


@pytest.mark.parametrize("quality", [q for q in Quality if q not in ("missing", "asleep")])
def test_a_reading_without_a_value_that_is_neither_missing_nor_asleep(quality: Quality) -> None:
    with pytest.raises(ContractError, match=f"a {quality} reading needs a value"):
        Reading(None, quality)


def test_a_missing_reading_with_a_value() -> None:
    with pytest.raises(ContractError, match="a missing reading has no value"):
        Reading(0.0, Quality.MISSING)


@pytest.mark.parametrize("value", [5, 5.0, Fraction(5)])
def test_one_value_written_in_two_ways(value: Any) -> None:
    record = Record("meter", NOON, {"ghi": Reading(value)})
    assert '"ghi":5.0,' in canonical(record_to_json(record))


def test_a_negative_zero_beside_a_zero() -> None:
    assert str(Reading(-0.0).value) == "0.0"


def test_only_a_good_value_counts_as_a_value() -> None:
    record = Record(
        "meter",
        NOON,
        {
            "ghi": Reading(1.0),
            "dni": Reading(2.0, Quality.SUSPECT),
            "dhi": Reading(None, Quality.MISSING),
        },
    )
    assert [record.value(name) for name in ("ghi", "dni", "dhi", "temp_air")] == [
        1.0,
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "bundles"}, "is reserved"),
        ({"device": "Meter"}, "is not an identifier"),
        ({"measured_at": 253_402_300_800_000}, "must lie in the years 1 to 9999"),
        ({"measured_at": 1.5}, "a whole number of milliseconds, not 1.5"),
        ({"measured_at": True}, "a whole number of milliseconds, not True"),
        ({"readings": {}}, "record of meter holds no readings"),
        ({"readings": {"sunshine": Reading(1.0)}}, "unknown quantity 'sunshine'; see docs"),
        ({"readings": {"temperature": Reading(1.0)}}, "unknown quantity 'temperature'"),
    ],
)
def test_a_record_outside_the_contract(changes: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {
        "device": "meter",
        "measured_at": NOON,
        "readings": {"ghi": Reading(1.0)},
    }
    assert Record(**good).device == "meter"
    with pytest.raises(ContractError, match=message):
        Record(**good | changes)


def rows(**changes: tuple[float, ...]) -> tuple[tuple[float, ...], ...]:
    return tuple(
        changes.get(f"q{level * 100:g}", row) for level, row in zip(LEVELS, FLAT, strict=True)
    )


@pytest.mark.parametrize(
    ("quantiles", "message"),
    [
        (FLAT[:-1], "7 levels wanted, got 6"),
        ((), "7 levels wanted, got 0"),
        (((),) * 7, "1 to 1000 steps wanted"),
        (((0.0,) * 1001,) * 7, "1 to 1000 steps wanted"),
        (rows(q50=(0.5,)), "the same at every level"),
        (rows(q50=(0.5, 9.0)), "quantiles cross"),
        (rows(q50=(0.2, 1.5)), "quantiles cross"),
        (rows(q95=(0.95, float("inf"))), "must be a finite number, not inf"),
        (rows(q5=(float("nan"), 1.0)), "must be a finite number, not nan"),
        (rows(q95=(10**400, 1.95)), "is too large for a number"),
    ],
)
def test_quantiles_that_cross_or_do_not_fit(quantiles: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        ForecastSeries("persistence", quantiles)


def test_quantiles_that_are_equal_do_not_cross() -> None:
    series = ForecastSeries("persistence", ((0, 0),) * 7)
    assert series.median == (0.0, 0.0)
    assert LEVELS[MEDIAN] == 0.5


@pytest.mark.parametrize("model", ["", "x" * 101, "x\0"])
def test_a_model_without_a_proper_name(model: str) -> None:
    with pytest.raises(ContractError, match=r"^model "):
        ForecastSeries(model, FLAT)


@pytest.mark.parametrize(
    "wrong",
    [
        {"nominal": 1.1},
        {"nominal": float("nan")},
        {"observed": 0.9},
        {"count": 5},
        {"observed": 0.9, "count": -1},
        {"observed": 1.5, "count": 5},
        {"observed": 0.5, "count": 5.0},
    ],
)
def test_coverage_that_cannot_have_been_measured(wrong: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match=r"^coverage"):
        Coverage(**wrong)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"site": "Farm 7"}, "is not an identifier"),
        ({"start": NOON + 60_000}, "must start on the grid of its own steps"),
        ({"step_ms": 0}, "step_minutes must be a whole number from 1 to 1440"),
        ({"step_ms": 90_000}, "a step is a whole number of minutes, not 90000 ms"),
        ({"step_ms": 2 * 86_400_000}, "step_minutes must be a whole number from 1 to 1440"),
        ({"series": {}}, "no series"),
        ({"series": {"sunshine": ForecastSeries("m", FLAT)}}, "unknown quantity"),
        ({"bundle": ""}, "bundle must be a text of 1"),
        ({"issued_at": 10**15}, "must lie in the years"),
        (
            {
                "series": {
                    "ghi": ForecastSeries("m", FLAT),
                    "dni": ForecastSeries("m", ((0.0,),) * 7),
                }
            },
            "all series have the same number of steps",
        ),
    ],
)
def test_a_forecast_outside_the_contract(changes: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {
        "site": "farm_7",
        "issued_at": NOON,
        "start": NOON,
        "series": {"ac_power": ForecastSeries("m", FLAT)},
    }
    assert Forecast(**good).step_ms == 900_000
    with pytest.raises(ContractError, match=message):
        Forecast(**good | changes)


def test_numbers_of_other_types_have_the_text_of_floats() -> None:
    calibrated = Coverage(1, 0, 3, CoverageState.CALIBRATED)
    series = ForecastSeries("m", ((-0.0, Fraction(1, 2)),) * 7, calibrated)  # type: ignore[arg-type]
    text = canonical(forecast_to_json(Forecast("farm_7", NOON, NOON, {"ghi": series})))
    assert '"0.5":[0.0,0.5]' in text
    assert '"nominal":1.0,"observed":0.0' in text


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: m.EntryKey("x", 1), "epoch must be 16 lower-case hex digits, not 'x'"),
        (lambda: m.EntryKey(EPOCH + "\n", 1), "epoch must be 16"),
        (lambda: m.EntryKey(EPOCH, 0), "seq must be a whole number from 1"),
        (lambda: m.EntryKey(EPOCH, 2**63), "seq must be a whole number from 1"),
        (lambda: m.EntryKey(EPOCH, True), "seq must be a whole number from 1"),
        (lambda: m.Void(2, 1, "lost"), "ranges must ascend without overlap"),
        (lambda: m.Void(1, 2**63, "lost"), "ranges must ascend without overlap"),
        (lambda: m.Void(1, 1, ""), "reason must be a text of 1 to 200 characters"),
        (lambda: m.Void(1, 1, "x" * 201), "reason must be a text of 1 to 200 characters"),
        (lambda: m.Batch(EPOCH, 1, ()), "an empty batch"),
        (lambda: m.Ack(EPOCH, -1, ()), "through must be a whole number from 0"),
        (lambda: m.Ack(EPOCH, 1, ((1, 2), (2, 3))), "ranges must ascend without overlap"),
        (lambda: m.Rewind(NOON, "\ud800"), "reason holds"),
        (lambda: m.Rewind(10**18, "lost"), "must lie in the years"),
        (lambda: m.BundleStatus(release=-1), "bundle.release must be a whole number from 0"),
        (lambda: m.BundleStatus(reason="x" * 1001), "bundle.reason must be a text of 0 to 1000"),
        (lambda: m.Status("a", NOON, True, "1", EPOCH, 0), "seq must be a whole number from 1"),
        (
            lambda: m.Status("a", NOON, True, "1", EPOCH, 1, counters={"n": -1}),
            "counters.n must be",
        ),
        (lambda: m.Status("a", NOON, True, "x" * 201, EPOCH, 1), "version must be a text"),
        (lambda: m.Alert("a", NOON, "B", m.Severity.INFO, ""), "'B' is not an identifier"),
        (
            lambda: m.Alert("a", NOON, "b", m.Severity.INFO, "x" * 1001),
            "text must be a text of 0 to",
        ),
        (lambda: m.Risk("a", NOON, NOON, {"b": 1.5}), "probabilities.b must be between 0 and 1"),
        (lambda: m.Risk("a", NOON, NOON, {"b": float("nan")}), "probabilities.b must be between"),
        (lambda: m.Risk("a", NOON, NOON, {}, {"b": "\0"}), "causes.b holds U"),
        (lambda: m.WeatherForecast("a", NOON, NOON, 60_000, "x", {}), "1 to 1000 steps wanted"),
        (
            lambda: m.WeatherForecast("a", NOON, NOON, 1, "x", {"ghi": (1.0,)}),
            "whole number of minutes",
        ),
        (
            lambda: m.EnrolmentRequest("a", "h", "x" * 20_001, "t"),
            "certificate_request must be a text",
        ),
        (lambda: m.Enrolment("A", "", "", "", ""), "'A' is not an identifier"),
        (lambda: quantity("sunshine"), "unknown quantity 'sunshine'; see docs/NOMENCLATURE.md"),
    ],
)
def test_a_message_that_no_decoder_would_take(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        build()


def test_a_value_that_is_changed_after_it_was_checked() -> None:
    reading = Reading(1.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        reading.value = 2.0  # type: ignore[misc]


def test_the_token_of_an_enrolment_in_a_log() -> None:
    assert "s3cret" not in repr(m.EnrolmentRequest("a", "h", "csr", "s3cret"))


@pytest.mark.parametrize("text", ["", "short", "x" * 200, "x" * 201, "\ud800", "a\0b", "é" * 999])
def test_a_text_from_outside_is_clipped_until_it_may_travel(text: str) -> None:
    clipped = clip_text(text)
    check_text(clipped, "text")
    assert clipped == text or (clipped != text and ("…" in clipped or "�" in clipped))


@pytest.mark.parametrize(
    ("seqs", "ranges"),
    [
        ([], ()),
        ([5], ((5, 5),)),
        ([3, 1, 2, 2], ((1, 3),)),
        ([1, 2, 4, 5, 9], ((1, 2), (4, 5), (9, 9))),
    ],
)
def test_the_fewest_ranges(seqs: list[int], ranges: tuple[m.SeqRange, ...]) -> None:
    assert m.to_ranges(seqs) == ranges
    m.check_ranges(ranges)


def test_a_reading_made_without_checks_is_the_same_reading() -> None:
    for value in (0.0, 1.5, -7.25, 1e15):
        assert good_reading(value) == Reading(value)
        assert hash(good_reading(value)) == hash(Reading(value))
    with pytest.raises(dataclasses.FrozenInstanceError):
        good_reading(1.0).value = 2.0  # type: ignore[misc]
