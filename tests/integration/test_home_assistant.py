"""The site in a Home Assistant: what a real one makes of it, and what happens when it is away.

The first part runs a real Home Assistant core (requirements/test-homeassistant.txt, Python 3.13)
with its MQTT integration on a real mosquitto: its own schemas judge every description that was
really published, and its own template engine reads the values.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from central.broker import Broker
from models.contract.clock import SystemClock
from models.contract.messages import Alert, Kind, Severity
from models.contract.payload import record_to_json
from models.contract.quantities import QUANTITIES
from models.contract.record import Quality, Reading
from tests.environments import REQUIREMENTS, find_python, make_environment
from tests.integration.home_assistant_site import (
    INVERTER,
    METER,
    T0,
    HandClock,
    HomeAssistantCore,
    Listener,
    Store,
    asleep,
    forecast,
    publishing,
    record,
    retained,
    status,
    told,
    until,
)
from tests.integration.uplink_agent import running
from tests.integration.uplink_centre import Centre

TOPICS = 15
"""Of a site with two devices: descriptions, availabilities, states, conditions, problems."""
NOWHERE = {"state": "unavailable"}
NO_VALUE = ("unavailable", "unknown")

pytestmark = pytest.mark.timeout(600)  # may have to download Home Assistant


@pytest.fixture(scope="module")
def ha_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("ha-broker")) as running_broker:
        yield running_broker


@pytest.fixture(scope="module")
def core(
    ha_broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HomeAssistantCore]:
    """One Home Assistant for all; each test has a site of its own name."""
    python = find_python("3.13")
    if python is None:
        pytest.skip("no Python 3.13 on PATH or in pyenv")
    environment = tmp_path_factory.mktemp("home-assistant") / "env"
    inside = make_environment(environment, python, REQUIREMENTS / "test-homeassistant.txt")
    one = HomeAssistantCore(inside, tmp_path_factory.mktemp("ha-config"), ha_broker)
    try:
        yield one
    finally:
        one.close()


def play(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def uid(node: str, device: str, key: str) -> str:
    return f"solar-edge:{node}:{device}:{key}"


def converted(state: dict[str, Any]) -> float:
    """By what Home Assistant has multiplied a value to show it in the household's usual unit."""
    return {"km/h": 3.6, "hPa": 0.01}.get(state["attributes"].get("unit_of_measurement"), 1.0)


# --- a real Home Assistant -----------------------------------------------------------------------


def test_every_quantity_of_the_contract_appears_with_its_value(
    ha_broker: Broker, core: HomeAssistantCore
) -> None:
    values = {
        name: max(one.lowest, min(one.highest, 50_000.0 + number))
        for number, (name, one) in enumerate(QUANTITIES.items())
    }

    async def story() -> None:
        async with publishing(ha_broker.port, "all", [INVERTER]) as home:
            home.note_record(record("inverter", **values))
            home.note_forecast(forecast())
            home.note_status(status(journal_pending=42), clock_trusted=True, last_ack_s=60.0)
            home.note_alert(Alert("farm-7", T0, "clock-jumped", Severity.INFO, "It jumped."))
            await told(home)
            found = await core.sees(
                lambda states: (
                    not any(
                        states.get(uid("all", "inverter", name), NOWHERE)["state"] in NO_VALUE
                        for name in values
                    )
                ),
                "a value for every quantity",
            )
            shown = {name: found["states"][uid("all", "inverter", name)] for name in values}
            wrong = {
                name: shown[name]
                for name, value in values.items()
                if float(shown[name]["state"]) / converted(shown[name]) != pytest.approx(value)
            }
            assert not wrong
            assert found["complaints"] == []

    with Listener(ha_broker) as listener:
        play(story())
        configs = {
            topic: json.loads(body)
            for topic, body in listener.newest.items()
            if topic.startswith("homeassistant/device/all/")
        }
    assert set(configs) == {f"homeassistant/device/all/{n}/config" for n in ("farm-7", "inverter")}
    objections = {topic: core.check(topic, config) for topic, config in configs.items()}
    assert not any(objections.values()), objections
    assert set(QUANTITIES) < set(configs["homeassistant/device/all/inverter/config"]["components"])


def test_devices_units_and_statistics_are_what_home_assistant_expects(
    ha_broker: Broker, core: HomeAssistantCore
) -> None:
    async def story() -> None:
        async with publishing(ha_broker.port, "units") as home:
            home.note_record(record("inverter", ac_power=1234.56, ac_energy=9_000_000.0))
            home.note_record(record("meter", grid_power=-500.0))
            found = await core.sees(
                lambda states: (
                    states.get(uid("units", "meter", "grid_power"), {}).get("state") == "-500.0"
                    and states.get(uid("units", "inverter", "ac_power"), {}).get("state")
                    == "1234.56"
                ),
                "both devices",
            )
            devices, states = found["devices"], found["states"]
            assert devices["solar-edge:units:inverter"] == {
                "name": "inverter",
                "manufacturer": "Fronius",
                "model": "Symo",
                "serial_number": None,
                "sw_version": None,
                "via": "solar-edge:units:farm-7",
            }
            assert devices["solar-edge:units:farm-7"]["sw_version"] == "1.2.3"
            energy = states[uid("units", "inverter", "ac_energy")]["attributes"]
            assert energy["state_class"] == "total_increasing"
            assert (energy["device_class"], energy["unit_of_measurement"]) == ("energy", "Wh")
            power = found["entities"][uid("units", "inverter", "ac_power")]
            assert power["options"]["suggested_display_precision"] == 0
            assert found["entities"][uid("units", "farm-7", "pending")]["category"] == "diagnostic"
            assert found["complaints"] == []

    play(story())


def test_a_wrong_value_is_never_shown_and_a_device_asleep_or_dead_is_unavailable(
    ha_broker: Broker, core: HomeAssistantCore
) -> None:
    clock = HandClock()

    def shows(**wanted: str) -> Any:
        return lambda states: all(
            states.get(uid("well", *name.split("__")), {}).get("state") == state
            for name, state in wanted.items()
        )

    async def story() -> None:
        async with publishing(ha_broker.port, "well", clock=clock) as home:
            home.note_record(record("inverter", ac_power=900.0, ac_energy=5000.0))
            home.note_record(record("meter", grid_power=10.0))
            await core.sees(
                shows(inverter__ac_power="900.0", meter__grid_power="10.0"), "all is well"
            )
            doubt = Reading(4_000_000.0, Quality.SUSPECT)
            home.note_record(record("inverter", ac_power=920.0, ac_energy=doubt))
            seen = await core.sees(
                shows(inverter__ac_power="920.0", inverter__ac_energy="unknown"), "a suspect value"
            )
            condition = seen["states"][uid("well", "inverter", "condition")]
            assert condition["state"] == "suspect"
            assert condition["attributes"]["in_doubt"] == ["ac_energy: suspect"]

            clipped = Reading(5000.0, Quality.CLIPPED)  # true, and at the limit
            home.note_record(record("inverter", ac_power=clipped, ac_energy=5001.0))
            await core.sees(
                shows(inverter__ac_power="5000.0", inverter__ac_energy="5001.0"), "well again"
            )
            home.note_record(asleep("inverter"))
            await core.sees(
                shows(
                    inverter__ac_power="unavailable",
                    inverter__condition="asleep",
                    meter__grid_power="10.0",
                ),
                "night",
            )
            home.note_record(record("inverter", ac_power=30.0, ac_energy=5002.0))
            await core.sees(shows(inverter__ac_power="30.0"), "morning")
            clock.pass_by(31.0)  # no poll was answered: of the inverter, dead
            home.note_record(record("meter", clock.now(), grid_power=11.0))
            seen = await core.sees(
                shows(
                    inverter__ac_energy="unavailable",
                    inverter__condition="silent",
                    meter__grid_power="11.0",
                ),
                "a dead inverter",
            )
            assert seen["complaints"] == []
        await core.sees(
            shows(inverter__condition="unavailable", meter__grid_power="unavailable"),
            "an agent that has ended",
        )

    play(story())


def test_forecast_and_alerts_appear(ha_broker: Broker, core: HomeAssistantCore) -> None:
    async def story() -> None:
        async with publishing(ha_broker.port, "sky") as home:
            home.note_forecast(forecast())
            home.note_record(record("inverter", ac_power=900.0))
            silent = Alert("inverter", T0, "device-silent", Severity.ALARM, "gives nothing")
            home.note_alert(silent)

            def all_there(states: Any) -> bool:
                problem = states.get(uid("sky", "inverter", "problem"), {}).get("state")
                return problem == "on" and uid("sky", "farm-7", "forecast_series") in states

            found = await core.sees(all_there, "forecast and alert")
            states = found["states"]
            # 13:00 in Berlin: 11 hours of 1 kW are left today, tomorrow has 24.
            now = states[uid("sky", "farm-7", "forecast_power_now")]
            today = states[uid("sky", "farm-7", "forecast_energy_today")]
            tomorrow = states[uid("sky", "farm-7", "forecast_energy_tomorrow")]
            assert (now["state"], today["state"], tomorrow["state"]) == ("1000", "11.0", "24.0")
            assert today["attributes"]["low"] == 1.1
            assert today["attributes"]["high"] == 20.9
            assert "state_class" not in today["attributes"]
            series = states[uid("sky", "farm-7", "forecast_series")]
            assert series["state"] == "2024-01-17T12:00:00+00:00"
            assert len(json.dumps(series["attributes"])) < 16_384
            assert series["attributes"]["quantiles"]["0.95"] == [1900] * 192
            problem = states[uid("sky", "inverter", "problem")]
            assert problem["attributes"]["code"] == "device-silent"
            assert problem["attributes"]["text"] == "gives nothing"
            last = states[uid("sky", "farm-7", "last_alert")]
            assert (last["state"], last["attributes"]["device"]) == ("gives nothing", "inverter")

            home.note_alert(
                replace(silent, active=False, severity=Severity.INFO, text="answers again")
            )
            found = await core.sees(
                lambda states: states[uid("sky", "inverter", "problem")]["state"] == "off",
                "the end of the alert",
            )
            assert found["states"][uid("sky", "farm-7", "last_alert")]["state"] == "answers again"
            assert found["complaints"] == []

    play(story())


def test_what_left_the_settings_leaves_home_assistant_and_the_broker(
    ha_broker: Broker, core: HomeAssistantCore
) -> None:
    store = Store()
    other = replace(INVERTER, source="goodwe-udp goodwe-et")

    async def story() -> None:
        async with publishing(ha_broker.port, "gone", store=store) as home:
            home.note_record(record("inverter", ac_power=900.0, dc_power=950.0))
            home.note_record(record("meter", grid_power=10.0))
            await core.sees(
                lambda states: (
                    states.get(uid("gone", "meter", "grid_power"), {}).get("state") == "10.0"
                    and uid("gone", "inverter", "dc_power") in states
                ),
                "both devices",
            )
        async with publishing(ha_broker.port, "gone", [other], store=store) as home:
            home.note_record(record("inverter", ac_power=910.0))
            found = await core.sees(
                lambda states: (
                    uid("gone", "meter", "grid_power") not in states
                    and uid("gone", "inverter", "dc_power") not in states
                    and states.get(uid("gone", "inverter", "ac_power"), {}).get("state") == "910.0"
                ),
                "the meter and a quantity are gone",
            )
            assert "solar-edge:gone:meter" not in found["devices"]
            assert uid("gone", "inverter", "dc_power") not in found["entities"]
            assert found["complaints"] == []
            await told(home)
        left = [topic for topic in retained(ha_broker) if "/gone/meter" in topic]
        assert left == []
        assert not any("/gone/meter" in topic for topic in store.load()["topics"])

    play(story())


@pytest.mark.parametrize(
    ("component", "reason"),
    [
        ({"device_class": "power", "unit_of_measurement": "V"}, "unit 'V' is not allowed"),
        ({"device_class": "energy", "unit_of_measurement": "Wh", "state_class": "measurement"},
         "state class measurement is not allowed"),
        ({"device_class": "brightness"}, "expected SensorDeviceClass"),
        ({"unit_of_mesurement": "W"}, "unknown keys"),
        ({"value_template": "{{ value_json."}, "invalid template"),
        ({"unique_id": None}, "unique_id"),
    ],
)  # fmt: skip
def test_the_check_refuses_a_wrong_description(
    core: HomeAssistantCore, component: dict[str, Any], reason: str
) -> None:
    right = {
        "platform": "sensor",
        "unique_id": "a",
        "state_topic": "a/b",
        "value_template": "{{ value }}",
    }
    topic = "homeassistant/device/farm/inverter/config"
    config: dict[str, Any] = {"device": {"identifiers": ["x"]}, "origin": {"name": "test"}}
    assert core.check(topic, {**config, "components": {"one": right}}) == []
    wrong = {key: value for key, value in {**right, **component}.items() if value is not None}
    objections = core.check(topic, {**config, "components": {"one": wrong}})
    assert reason in " ".join(objections)


# --- a broker that forgets, or is away -----------------------------------------------------------


def test_a_broker_that_lost_its_memory_is_told_everything_again(tmp_path: Path) -> None:
    async def story(broker: Broker) -> None:
        async with publishing(broker.port, "farm") as home:
            home.note_record(record("inverter", ac_power=900.0))
            home.note_forecast(forecast())
            await told(home)
            before = retained(broker)
            broker.kill()
            for file in broker.directory.glob("*.db*"):
                file.unlink()
            home.note_record(record("inverter", ac_power=950.0))
            await until(lambda: not home.connected, "the loss is noticed")
            broker.start()
            await told(home)
            after = retained(broker)
            assert set(after) == set(before)
            assert json.loads(after["solar-edge/farm/inverter/state"])["ac_power"] == 950.0

    with Broker(tmp_path / "broker") as broker:
        play(story(broker))


def test_home_assistant_that_starts_later_is_told_everything_again(broker: Broker) -> None:
    config = "homeassistant/device/farm/inverter/config"
    state = "solar-edge/farm/inverter/state"

    async def story(listener: Listener) -> None:
        async with publishing(broker.port, "farm") as home:
            home.note_record(record("inverter", ac_power=900.0))
            await told(home)
            await until(lambda: state in listener.counts, "values")
            before = dict(listener.counts)
            listener.publish("homeassistant/status", "offline")
            listener.publish("homeassistant/status", "online")
            await until(
                lambda: (
                    listener.counts[config] == before[config] + 1
                    and listener.counts[state] == before[state] + 1
                ),
                "description and values once more",
            )

    with Listener(broker) as listener:
        play(story(listener))


def test_an_agent_that_vanishes_or_ends_is_offline_and_may_come_back(broker: Broker) -> None:
    availability = "solar-edge/farm/availability"

    async def story(listener: Listener) -> None:
        for _ in range(2):
            async with publishing(broker.port, "farm") as home:
                await told(home)
                assert retained(broker)[availability] == b"online"
            await until(lambda: listener.newest[availability] == b"offline", "last will")

    with Listener(broker) as listener:
        play(story(listener))


def test_what_is_published_is_remembered_before(broker: Broker) -> None:
    """Else a power cut in between leaves a device in Home Assistant that nobody takes away."""

    class SlowStore(Store):
        def save(self, value: Any) -> None:
            seen.append(set(listener.newest))
            super().save(value)

    seen: list[set[str]] = []

    async def story() -> None:
        store = SlowStore()
        async with publishing(broker.port, "farm", store=store) as home:
            home.note_record(record("inverter", ac_power=900.0))
            await told(home)
        remembered: set[str] = set()
        for before, text in zip(seen, store.saves, strict=True):
            assert before - {"fence"} <= remembered
            remembered |= set(json.loads(text)["topics"])
        assert set(retained(broker)) <= remembered

    with Listener(broker) as listener:
        play(story())


def test_values_come_at_most_once_a_second(broker: Broker) -> None:
    async def story(listener: Listener) -> None:
        async with publishing(broker.port, "farm", clock=SystemClock(), turn_s=1.0) as home:
            home.note_record(record("inverter", ac_power=0.0))
            await until(lambda: "solar-edge/farm/inverter/state" in listener.counts, "values")
            loop = asyncio.get_running_loop()
            begin, number = loop.time(), 0
            while loop.time() < begin + 2.5:
                number += 1
                home.note_record(record("inverter", ac_power=float(number)))
                await asyncio.sleep(0.01)
            assert number > 50
            await until(
                lambda: listener.body("solar-edge/farm/inverter/state")["ac_power"] == number,
                "the newest value",
            )
            assert listener.counts["solar-edge/farm/inverter/state"] <= 5

    with Listener(broker) as listener:
        play(story(listener))


@pytest.mark.parametrize("trouble", ["absent", "stopped"])
def test_the_uplink_does_not_notice_that_home_assistants_broker_is_away(
    tmp_path: Path, broker: Broker, trouble: str
) -> None:
    """And nothing grows: of each topic at most the newest message waits, and one is under way."""

    async def story(other: Broker) -> None:
        async with (
            publishing(other.port, "farm", turn_s=0.0) as home,
            running(tmp_path / "agent", broker.port) as agent,
        ):
            await told(home)
            before = home.waiting
            if trouble == "absent":
                other.kill()
            else:
                os.kill(other.pid, signal.SIGSTOP)
            for number in range(3000):
                one = record("inverter", T0 + number, ac_power=float(number))
                home.note_record(one)
                agent.journal.append(Kind.RECORD, one.device, one.measured_at, record_to_json(one))
                if number % 10 == 0:
                    await asyncio.sleep(0.001)
            await until(
                lambda: agent.journal.counts()["journal_acknowledged"] == 3000, "all delivered"
            )
            sent = home.counters["home_assistant_sent"]
            assert before == 0
            assert 1 <= home.waiting <= TOPICS
            assert sent <= 3 * TOPICS, "messages piled up in front of a broker that does not answer"
            if trouble == "absent":
                other.start()
            else:
                os.kill(other.pid, signal.SIGCONT)
            await told(home)
            state = json.loads(retained(other)["solar-edge/farm/inverter/state"])
            assert state["ac_power"] == 2999.0
            assert agent.uplink.counts()["mqtt_lost"] == 0

    (tmp_path / "agent").mkdir()
    with Centre(broker), Broker(tmp_path / "other") as other:
        play(story(other))


def test_one_broker_may_serve_the_centre_and_home_assistant(tmp_path: Path, broker: Broker) -> None:
    async def story() -> None:
        async with (
            running(tmp_path, broker.port) as agent,
            publishing(broker.port, "site-1") as home,  # the agent's own name
        ):
            await until(lambda: agent.uplink.connected, "uplink")
            await told(home)
            assert agent.uplink.counts()["mqtt_lost"] == 0
            assert agent.uplink.connected

    with Centre(broker):
        play(story())


def test_a_store_that_fails_does_not_keep_the_values_from_home_assistant(broker: Broker) -> None:
    class Ruined(Store):
        def load(self) -> Any:
            raise OSError("disk I/O error")

        def save(self, value: Any) -> None:
            raise OSError("disk I/O error")

    async def story() -> None:
        async with publishing(broker.port, "farm", store=Ruined()) as home:
            home.note_record(record("inverter", ac_power=900.0))
            await told(home)
            assert json.loads(retained(broker)["solar-edge/farm/inverter/state"])["ac_power"] == 900
            assert home.counters["home_assistant_errors"] == 2

    play(story())


def test_records_of_unknown_devices_are_left_out(broker: Broker) -> None:
    async def story() -> None:
        async with publishing(broker.port, "farm", [METER]) as home:
            home.note_record(record("ghost", ac_power=900.0))
            await told(home)
            assert not any("ghost" in topic for topic in retained(broker))

    play(story())
