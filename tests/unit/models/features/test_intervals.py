"""Which samples make an interval, and what a site is made of."""

from __future__ import annotations

import pytest

from models.contract.errors import ContractError
from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import MINUTE_MS, STEP_MS
from models.features.intervals import Interval, IntervalBuilder, Role, site_interval

T0 = 1_705_492_800_000
assert T0 % STEP_MS == 0


def record(
    minute: float, device: str = "inverter-1", **values: float | Quality | tuple[float, Quality]
) -> Record:
    readings = {}
    for name, value in values.items():
        if isinstance(value, Quality):
            readings[name] = Reading(None, value)
        elif isinstance(value, tuple):
            readings[name] = Reading(*value)
        else:
            readings[name] = Reading(value)
    return Record(device, T0 + int(minute * MINUTE_MS), readings)


def built(*records: Record, until_steps: int = 1) -> list[Interval]:
    builder = IntervalBuilder()
    for one in records:
        builder.add(one)
    return builder.complete(T0 + until_steps * STEP_MS)


def test_instants_are_averaged_counters_and_states_keep_the_last() -> None:
    rows = built(
        record(0, ac_power=100.0, ac_energy=5.0, inverter_state=4.0),
        record(10, ac_power=300.0, ac_energy=7.0, inverter_state=2.0),
        record(5, ac_power=200.0, ac_energy=6.0, inverter_state=3.0),  # late, but not last
    )
    assert rows == [
        Interval(T0, "inverter-1", "ac_energy", 7.0, 3),
        Interval(T0, "inverter-1", "ac_power", 200.0, 3),
        Interval(T0, "inverter-1", "inverter_state", 2.0, 3),
    ]


def test_an_interval_holds_its_start_and_not_its_end() -> None:
    rows = built(record(0, ac_power=1.0), record(15, ac_power=2.0), until_steps=2)
    assert [(row.start - T0, row.value) for row in rows] == [(0, 1.0), (STEP_MS, 2.0)]


def test_an_unfinished_interval_is_not_given_out() -> None:
    builder = IntervalBuilder()
    builder.add(record(14, ac_power=1.0))
    assert builder.complete(T0 + STEP_MS - 1) == []
    assert len(builder.complete(T0 + STEP_MS)) == 1


def test_a_sleeping_inverter_generates_nothing_and_says_nothing_else() -> None:
    rows = built(record(0, ac_power=Quality.ASLEEP, ac_voltage=Quality.ASLEEP))
    assert rows == [
        Interval(T0, "inverter-1", "ac_power", 0.0, 1),
        Interval(T0, "inverter-1", "ac_voltage", None, 0, 1),
    ]


@pytest.mark.parametrize(
    "flaw", [Quality.SUSPECT, Quality.CURTAILED, Quality.CLIPPED, Quality.MISSING]
)
def test_flawed_samples_are_counted_and_not_used(flaw: Quality) -> None:
    flawed = flaw if flaw is Quality.MISSING else (9e5, flaw)
    rows = built(record(0, ac_power=100.0), record(1, ac_power=flawed))
    assert rows == [Interval(T0, "inverter-1", "ac_power", 100.0, 1, 1)]


def test_a_late_record_corrects_an_interval_that_was_given_out() -> None:
    builder = IntervalBuilder()
    builder.add(record(0, ac_power=100.0))
    assert builder.complete(T0 + STEP_MS)[0].value == 100.0
    assert builder.complete(T0 + 2 * STEP_MS) == []
    builder.add(record(1, ac_power=300.0))
    assert builder.complete(T0 + 3 * STEP_MS) == [Interval(T0, "inverter-1", "ac_power", 200.0, 2)]


def test_a_record_beyond_the_bound_is_counted_and_does_not_make_half_an_interval() -> None:
    builder = IntervalBuilder(late_ms=STEP_MS)
    builder.add(record(0, ac_power=100.0))
    builder.complete(T0 + 3 * STEP_MS)
    builder.add(record(1, ac_power=300.0))
    assert builder.too_late == 1
    assert builder.complete(T0 + 4 * STEP_MS) == []


def test_a_clock_that_was_a_day_ahead_does_not_close_the_true_day() -> None:
    builder = IntervalBuilder()
    builder.complete(T0 + 100 * STEP_MS)
    builder.complete(T0)
    builder.add(record(0, ac_power=1.0))
    assert len(builder.complete(T0 + STEP_MS)) == 1


ROLES = {"inverter-1": Role.INVERTER, "inverter-2": Role.INVERTER, "meter": Role.METER}


def row(device: str, quantity: str, value: float | None) -> Interval:
    return Interval(T0, device, quantity, value, 1)


def test_a_site_uses_what_it_buys_and_what_it_generates() -> None:
    rows = [
        row("inverter-1", "ac_power", 3000.0),
        row("inverter-2", "ac_power", 1000.0),
        row("meter", "grid_power", -1500.0),
        row("meter", "frequency", 50.0),
    ]
    assert site_interval(rows, ROLES) == {
        "ac_power": 4000.0,
        "grid_power": -1500.0,
        "load_power": 2500.0,
    }


def test_one_silent_inverter_makes_generation_and_load_unknown() -> None:
    rows = [row("inverter-1", "ac_power", 3000.0), row("meter", "grid_power", 10.0)]
    assert site_interval(rows, ROLES) == {"grid_power": 10.0}
    rows.append(row("inverter-2", "ac_power", None))
    assert site_interval(rows, ROLES) == {"grid_power": 10.0}


def test_a_site_without_inverters_uses_what_it_buys() -> None:
    rows = [row("meter", "grid_power", 800.0)]
    assert site_interval(rows, {"meter": "meter"}) == {"grid_power": 800.0, "load_power": 800.0}


def test_a_site_without_a_meter_has_no_load() -> None:
    rows = [row("inverter-1", "ac_power", 1.0)]
    assert site_interval(rows, {"inverter-1": Role.INVERTER}) == {"ac_power": 1.0}


def test_two_meters_are_a_mistake() -> None:
    with pytest.raises(ContractError, match="one meter"):
        site_interval([], {"a": Role.METER, "b": Role.METER})
