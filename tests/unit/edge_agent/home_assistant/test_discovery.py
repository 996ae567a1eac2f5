"""Descriptions: names for ever, what is gone is taken away, nothing of two sites is mixed up."""

from __future__ import annotations

from typing import Any

import pytest

from edge_agent.devices.tables import DeviceTable
from edge_agent.home_assistant.discovery import Describer, DeviceInfo, Topics, describe_devices
from edge_agent.home_assistant.memory import MAX_TOPICS, Memory, recall
from edge_agent.home_assistant.sensors import name_of, sensor_of
from models.contract.quantities import QUANTITIES, Quantity
from models.features.intervals import Role

TOPICS = Topics("homeassistant", "solar-edge", "farm")
INFO = DeviceInfo("inverter", "modbus-tcp sunspec", 5.0)


def test_counters_only_grow_and_the_rest_is_measured() -> None:
    for one in QUANTITIES.values():
        state_class = sensor_of(one).get("state_class")
        if one.behaviour == "counter":
            assert state_class == "total_increasing", one.name
        elif one.name != "inverter_state":
            assert state_class == "measurement", one.name


def test_every_quantity_has_a_name_of_its_own() -> None:
    names = [name_of(name) for name in QUANTITIES]
    assert len(set(names)) == len(names)
    assert name_of("ac_voltage_l1_l2") == "AC voltage L1 L2"
    assert name_of("temp_air") == "Air temperature"


def test_a_unit_that_is_not_known_here_is_shown_and_nothing_is_promised() -> None:
    later = Quantity("sound_level", "dB", 0, 200, "of a later contract")
    assert sensor_of(later) == {
        "name": "Sound level",
        "unit_of_measurement": "dB",
        "state_class": "measurement",
        "suggested_display_precision": 2,
    }


def test_two_sites_on_one_broker_share_no_name() -> None:
    def names(node: str, device: str) -> set[str]:
        topics = Topics("homeassistant", "solar-edge", node)
        config: Any = Describer(topics, node, "1").device(
            DeviceInfo(device, "x", 5.0), ["ac_power"]
        )
        ids = {one["unique_id"] for one in config["components"].values()}
        return {
            topics.config(device),
            config["state_topic"],
            *config["device"]["identifiers"],
        } | ids

    assert not names("a", "b-c") & names("a-b", "c")
    assert not names("a", "b_c") & names("a_b", "c")


def test_a_quantity_that_is_gone_holds_its_platform_only() -> None:
    config: Any = Describer(TOPICS, "farm-7", "1").device(INFO, ["ac_power"], ["dc_power"])
    assert config["components"]["dc_power"] == {"platform": "sensor"}
    assert config["components"]["ac_power"]["unique_id"] == "solar-edge:farm:inverter:ac_power"
    assert config["device"]["via_device"] == "solar-edge:farm:farm-7"


def test_devices_are_described_by_settings_and_profile() -> None:
    tables = [
        DeviceTable("roof", Role.INVERTER, "modbus-tcp", "huawei-sun2000", 10.0, host="10.0.0.7"),
        DeviceTable("any", Role.INVERTER, "modbus-tcp", "sunspec", host="10.0.0.8"),
    ]
    roof, generic = describe_devices(tables)
    assert (roof.manufacturer, roof.source) == ("Huawei", "modbus-tcp huawei-sun2000")
    assert (roof.poll_s, roof.slow_s) == (10.0, 60.0)
    assert generic.manufacturer == ""


def test_memory_survives_the_store() -> None:
    memory = Memory()
    memory.adopt([INFO])
    assert memory.grow("inverter", ["ac_power", "dc_power"])
    assert not memory.grow("inverter", ["ac_power", "dc_power"])
    memory.topics = {"a/config", "b"}
    assert recall(memory.to_json()) == memory


def test_another_source_begins_anew_and_takes_the_old_quantities_away() -> None:
    memory = Memory()
    memory.adopt([INFO])
    memory.grow("inverter", ["ac_power", "dc_power"])
    memory.adopt([DeviceInfo("inverter", "goodwe-udp goodwe-et", 5.0)])
    known = memory.devices["inverter"]
    assert (known.quantities, known.gone) == ([], ["ac_power", "dc_power"])
    memory.grow("inverter", ["ac_power"])
    assert known.gone == ["dc_power"]


@pytest.mark.parametrize(
    "stored",
    [
        None,
        [],
        "x",
        {"topics": 5, "devices": 5},
        {"topics": [None, "a/+/b", "#", "a\0"], "devices": {"inverter": {"source": 5}}},
        {"devices": {"inverter": {"source": "x", "quantities": ["no_quantity"], "gone": "x"}}},
    ],
)
def test_a_ruined_memory_is_left_out(stored: Any) -> None:
    memory = recall(stored)
    assert memory.topics == set()
    assert not any(known.quantities or known.gone for known in memory.devices.values())


def test_memory_is_bounded() -> None:
    assert len(recall({"topics": [str(n) for n in range(2 * MAX_TOPICS)]}).topics) == MAX_TOPICS
