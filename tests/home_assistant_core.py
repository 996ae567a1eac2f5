"""A real Home Assistant core with its MQTT integration alone, without frontend and recorder.

    python home_assistant_core.py DIRECTORY BROKER_PORT

Run by the interpreter of an environment that holds the package ``homeassistant`` (requirements/
test-homeassistant.txt). Answers each line on standard input with one line of JSON: ``look`` gives
states, devices and whatever Home Assistant has warned of; ``check`` is followed by a line with a
discovery topic and one with a payload, and gives what Home Assistant objects to. Ends with its
standard input.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any

import voluptuous as vol
from homeassistant import auth, bootstrap, loader
from homeassistant.components.mqtt import binary_sensor, sensor
from homeassistant.components.mqtt.discovery import TOPIC_MATCHER
from homeassistant.components.mqtt.schemas import DEVICE_DISCOVERY_SCHEMA, SHARED_OPTIONS
from homeassistant.components.sensor.const import DEVICE_CLASS_STATE_CLASSES, DEVICE_CLASS_UNITS
from homeassistant.config_entries import ConfigEntries, ConfigEntry
from homeassistant.const import EVENT_HOMEASSISTANT_STOP
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry, entity_registry
from homeassistant.setup import async_setup_component

SCHEMAS = {"sensor": sensor.DISCOVERY_SCHEMA, "binary_sensor": binary_sensor.DISCOVERY_SCHEMA}


class Complaints(logging.Handler):
    """Every warning and error of Home Assistant."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # "helpers.frame" is where it complains of its own code: its MQTT integration, when it finds
        # retained messages while it starts.
        if record.name.startswith("homeassistant") and not record.name.endswith("helpers.frame"):
            self.texts.append(f"{record.name}: {self.format(record)}"[:2000])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def start(directory: Path, broker_port: int) -> HomeAssistant:
    (directory / "configuration.yaml").touch()
    hass = HomeAssistant(str(directory))
    hass.config.skip_pip = True  # the lock file has installed what is needed
    loader.async_setup(hass)
    hass.config_entries = ConfigEntries(hass, {})
    await bootstrap.async_load_base_functionality(hass)
    hass.auth = await auth.auth_manager_from_config(hass, [], [])
    http = {"server_host": ["127.0.0.1"], "server_port": free_port()}
    assert await async_setup_component(hass, "http", {"http": http})
    assert await async_setup_component(hass, "homeassistant", {})
    await hass.async_start()
    entry = ConfigEntry(
        data={"broker": "127.0.0.1", "port": broker_port, "protocol": "5"},
        discovery_keys=MappingProxyType({}),
        domain="mqtt",
        minor_version=2,
        options={},
        source="user",
        subentries_data=(),
        title="MQTT",
        unique_id=None,
        version=1,
    )
    await hass.config_entries.async_add(entry)
    return hass


def look(hass: HomeAssistant, complaints: Complaints) -> dict[str, Any]:
    entities = entity_registry.async_get(hass)
    devices = device_registry.async_get(hass)
    names = {entry.entity_id: entry.unique_id for entry in entities.entities.values()}
    return {
        "states": {
            names[state.entity_id]: {"state": state.state, "attributes": dict(state.attributes)}
            for state in hass.states.async_all()
            if state.entity_id in names
        },
        "entities": {
            entry.unique_id: {
                "entity_id": entry.entity_id,
                "category": entry.entity_category,
                "options": dict(entry.options.get("sensor", {})),
            }
            for entry in entities.entities.values()
        },
        "devices": {
            next(iter(device.identifiers))[1]: {
                "name": device.name,
                "manufacturer": device.manufacturer,
                "model": device.model,
                "serial_number": device.serial_number,
                "sw_version": device.sw_version,
                "via": _identifier(devices, device.via_device_id),
            }
            for device in devices.devices.values()
        },
        "complaints": complaints.texts,
    }


def _identifier(devices: Any, device_id: str | None) -> str | None:
    device = devices.async_get(device_id) if device_id else None
    return next(iter(device.identifiers))[1] if device else None


def check(topic: str, payload: str, complaints: Complaints) -> list[str]:
    """What Home Assistant objects to, by the schemas and tables of its own code."""
    before = len(complaints.texts)
    objections: list[str] = []
    match = TOPIC_MATCHER.match(topic.split("/", 1)[1])
    if match is None or match.group("component") != "device":
        return [f"{topic}: no topic of a device's discovery"]
    try:
        config = json.loads(payload)
        DEVICE_DISCOVERY_SCHEMA(config)
        for name, component in config["components"].items():
            if set(component) == {"platform"}:  # what is to be removed
                continue
            shared = {key: config[key] for key in SHARED_OPTIONS if key in config}
            whole = {**shared, **component, "device": config["device"], "origin": config["origin"]}
            schema = SCHEMAS[whole.pop("platform")]
            unknown = set(whole) - set(schema(whole))
            objections += [f"{name}: unknown keys {sorted(unknown)}"] if unknown else []
            objections += [f"{name}: {text}" for text in _check_units(schema(whole))]
    except (vol.Invalid, ValueError) as error:
        objections.append(f"{type(error).__name__}: {error}")
    return objections + complaints.texts[before:]


def _check_units(config: dict[str, Any]) -> list[str]:
    device_class, state_class = config.get("device_class"), config.get("state_class")
    unit = config.get("unit_of_measurement")
    found = []
    if device_class in DEVICE_CLASS_UNITS and unit not in DEVICE_CLASS_UNITS[device_class]:
        found.append(f"unit {unit!r} is not allowed with device class {device_class}")
    if (
        device_class in DEVICE_CLASS_STATE_CLASSES
        and state_class is not None
        and state_class not in DEVICE_CLASS_STATE_CLASSES[device_class]
    ):
        found.append(f"state class {state_class} is not allowed with device class {device_class}")
    return found


async def converse(directory: Path, broker_port: int) -> None:
    complaints = Complaints()
    logging.getLogger().addHandler(complaints)
    hass = await start(directory, broker_port)
    while command := (await asyncio.to_thread(sys.stdin.readline)).strip():
        if command == "look":
            answer: Any = look(hass, complaints)
        else:
            topic = (await asyncio.to_thread(sys.stdin.readline)).strip()
            answer = check(topic, await asyncio.to_thread(sys.stdin.readline), complaints)
        print(json.dumps(answer, default=str), flush=True)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STOP)
    await hass.async_stop(force=True)


if __name__ == "__main__":
    asyncio.run(converse(Path(sys.argv[1]), int(sys.argv[2])))
