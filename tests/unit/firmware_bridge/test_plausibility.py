"""What cannot be true after what came before is suspect, keeps its number, and may prove right."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firmware_bridge.plausibility import CounterRule, Plausibility
from firmware_bridge.values import Decoded
from models.contract.record import Quality, Reading

T0 = 1_717_200_000_000
MINUTE = 60_000


def judge(plausibility: Plausibility, name: str, value: float, minute: float) -> Decoded:
    decoded = Decoded(readings={name: Reading(value)})
    plausibility.judge(decoded, T0 + round(minute * MINUTE))
    assert decoded.readings[name].value == value  # kept, whatever is thought of it
    return decoded


def qualities(
    plausibility: Plausibility, name: str, values: list[float], step: float = 1.0
) -> list[str]:
    return [
        judge(plausibility, name, value, i * step).readings[name].quality.value
        for i, value in enumerate(values)
    ]


def test_a_counter_that_runs_on_is_believed() -> None:
    assert set(qualities(Plausibility(), "ac_energy", [1000.0, 1000.0, 1050.0, 1200.0])) == {"good"}


@pytest.mark.parametrize("garbage", [0.0, 12.0, 429_490_176_000.0, 1.8e14])
def test_one_impossible_counter_reading_is_suspect_and_the_next_is_right(garbage: float) -> None:
    seen = qualities(Plausibility(), "ac_energy", [1e6, 1e6 + 10, garbage, 1e6 + 20, 1e6 + 30])
    assert seen == ["good", "good", "suspect", "good", "good"]


def test_the_reason_tells_what_happened_to_a_counter() -> None:
    one = Plausibility(rated_power_w=5000)
    judge(one, "ac_energy", 1e6, 0)
    assert "ran back" in judge(one, "ac_energy", 5e5, 1).reasons["ac_energy"]
    # twice the rated power for two minutes make 333 Wh
    reason = judge(one, "ac_energy", 1e6 + 5000, 2).reasons["ac_energy"]
    assert "more than 10000 W can make" in reason
    assert "ac_energy" not in judge(one, "ac_energy", 1e6 + 300, 2).reasons


def test_a_counter_that_was_set_anew_is_believed_after_it_has_gone_on_for_a_while() -> None:
    values = [9e6, 9e6 + 10, *(100.0 + 10 * i for i in range(7))]
    seen = qualities(Plausibility(), "ac_energy", values)
    assert seen == ["good", "good", *["suspect"] * 4, "good", "good", "good"]


def test_a_counter_stuck_at_zero_is_never_believed() -> None:
    seen = qualities(Plausibility(), "ac_energy", [9e6, *[0.0] * 20])
    assert seen == ["good", *["suspect"] * 20]


def test_a_rollover_is_no_reset() -> None:
    rule = CounterRule(rolls_over_at=65_536.0, resolution=1.0)
    one = Plausibility(counters={"ac_energy": rule}, rated_power_w=5000)
    assert qualities(one, "ac_energy", [65_500.0, 65_530.0, 20.0, 60.0]) == ["good"] * 4
    # the same step without a known limit is a counter that ran back
    plain = Plausibility(rated_power_w=5000)
    assert qualities(plain, "ac_energy", [65_500.0, 65_530.0, 20.0])[-1] == "suspect"


def test_a_long_gap_may_hold_much_energy() -> None:
    one = Plausibility(rated_power_w=5000)
    judge(one, "ac_energy", 1e6, 0)
    assert not judge(one, "ac_energy", 1e6 + 60_000, 60 * 10).reasons


def test_a_leap_of_temperature_is_suspect_until_it_proves_right() -> None:
    values = [40.0, 41.0, 120.0, 41.5, 90.0, 90.5, 91.0, 91.0]
    seen = qualities(Plausibility(), "temp_inverter", values, step=1 / 60)
    assert seen == [
        "good", "good", "suspect", "good", "suspect", "suspect", "good", "good",
    ]  # fmt: skip


def test_a_profile_may_narrow_a_slope() -> None:
    one = Plausibility(slopes={"dc_voltage": 1.0})
    assert qualities(one, "dc_voltage", [300.0, 301.0, 380.0], step=1 / 60)[-1] == "suspect"
    assert set(qualities(Plausibility(), "dc_voltage", [300.0, 900.0], step=1 / 60)) == {"good"}


def test_more_than_the_device_can_do_is_suspect_where_its_size_is_known() -> None:
    seen = qualities(Plausibility(rated_power_w=5000), "ac_power", [4000.0, 65_535.0, 5500.0])
    assert seen == ["good", "suspect", "good"]
    assert set(qualities(Plausibility(), "ac_power", [4000.0, 65_535.0])) == {"good"}


def test_a_device_that_has_just_woken_up_is_mistrusted_for_a_while() -> None:
    one = Plausibility()
    one.woke_up(T0, 60.0)
    decoded = judge(one, "ac_power", 0.0, 0.5)
    assert decoded.readings["ac_power"].quality is Quality.SUSPECT
    assert "woken up" in decoded.reasons["ac_power"]
    assert not judge(one, "ac_power", 300.0, 1.0).reasons


def test_values_that_are_not_there_stay_so() -> None:
    one = Plausibility()
    one.woke_up(T0, 60.0)
    decoded = Decoded(readings={"ac_power": Reading(None, Quality.ASLEEP)})
    one.judge(decoded, T0)
    assert decoded.readings["ac_power"].quality is Quality.ASLEEP


def test_two_days_of_two_real_inverters_raise_no_suspicion(data_dir: Path) -> None:
    """Growatt MAX logs: counters, temperatures, frequency and powers as recorded."""
    columns = {
        "ac_energy": ("EacTotal(kWh)", 1000.0),
        "dc_energy": ("EpvTotal(kWh)", 1000.0),
        "frequency": ("Fac(Hz)", 1.0),
        "temp_inverter": ("INVTemp(℃)", 1.0),
        "ac_power": ("Pac(W)", 1.0),
        "dc_power": ("Ppv(W)", 1.0),
    }
    files = sorted((data_dir / "devices" / "growatt-100k-logs").glob("*.csv.gz"))
    assert len(files) == 2
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8-sig") as text:
            rows = list(csv.DictReader(text))
        one = Plausibility(rated_power_w=100_000)
        for row in rows:
            readings = {
                name: Reading(float(row[column]) * factor)
                for name, (column, factor) in columns.items()
                if row[column]
            }
            decoded = Decoded(readings=readings)
            one.judge(decoded, instant(row["Time"]))
            assert not decoded.reasons, (file.name, row["Time"], decoded.reasons)
        assert len(rows) > 500


def instant(text: str) -> int:
    """The logs' two ways to write a time."""
    layout = "%m/%d/%Y %H:%M" if "/" in text else "%Y-%m-%d %H:%M:%S"
    moment = datetime.strptime(text[:19], layout).replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
