"""Power of the whole site: no sum that lacks an inverter, no old and no doubtful value."""

from __future__ import annotations

import pytest

from edge_agent.status.local_page import OLD_AFTER_MS, site_now
from models.contract.record import Quality, Reading, Record
from models.features.intervals import Role
from tests.unit.edge_agent.status.site import NOON

ROLES = {"east": Role.INVERTER, "west": Role.INVERTER, "meter": Role.METER, "sun": Role.SENSOR}


def record(
    device: str, watts: float | None, quality: Quality = Quality.GOOD, at: int = NOON
) -> Record:
    name = "grid_power" if device == "meter" else "ac_power"
    return Record(device, at, {name: Reading(watts, quality)})


def test_generation_is_the_sum_of_all_inverters() -> None:
    found = site_now(
        [record("east", 1000.0), record("west", 500.0), record("meter", -7.0)], ROLES, NOON
    )
    assert found == {"ac_power": 1500.0, "grid_power": -7.0, "lacking": ""}


@pytest.mark.parametrize(
    "west",
    [
        None,
        record("west", 500.0, at=NOON - OLD_AFTER_MS - 1),
        record("west", 500.0, Quality.SUSPECT),
        record("west", None, Quality.MISSING),
        Record("west", NOON, {"frequency": Reading(50.0)}),
    ],
)
def test_without_one_inverter_there_is_no_sum_and_it_is_named(west: Record | None) -> None:
    found = site_now([record("east", 1000.0), *([west] if west else [])], ROLES, NOON)
    assert found["ac_power"] is None
    assert found["lacking"] == "west"


def test_at_night_sleeping_inverters_give_nothing_and_are_not_missed() -> None:
    asleep = [record(name, None, Quality.ASLEEP) for name in ("east", "west")]
    assert site_now(asleep, ROLES, NOON)["ac_power"] == 0.0
