"""Agent, devices and quantities as Home Assistant's discovery messages. Pure.

One message describes a whole device (``<prefix>/device/<node>/<device>/config``, which Home
Assistant has understood since 2024.11; we declare 2024.12). The alternative is one message per
sensor, which older releases know, too: ten devices with thirty quantities are 300 retained topics
instead of 11, each with the device's description again, and a device would appear bit by bit.

What is no longer there has to be said: in a message of a device by a component that holds its
platform only, of a whole device by an empty message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_agent.devices.tables import DeviceTable
from firmware_bridge import profile_of
from models.contract.fields import Json
from models.contract.quantities import QUANTITIES

from .alerts import LONGEST_STATE
from .sensors import sensor_of

ONLINE, OFFLINE = "online", "offline"
CONDITIONS = ("well", "suspect", "asleep", "silent")
"""How a device is doing; see ``board``."""
_MANY = frozenset({"any", "several"})
"""What profiles say that fit devices of many makers."""
_DIAGNOSTIC: dict[str, Json] = {"entity_category": "diagnostic"}


@dataclass(frozen=True)
class DeviceInfo:
    """What the settings know of a device. ``source``: what decides which quantities it has; when
    that changes, the quantities that it has given before are forgotten."""

    name: str
    source: str
    poll_s: float
    slow_s: float = 0.0
    """Some of its quantities come only so often."""
    manufacturer: str = ""
    model: str = ""


def describe_devices(tables: Iterable[DeviceTable]) -> tuple[DeviceInfo, ...]:
    """The devices of a site, as its settings and their profiles describe them."""
    infos = []
    for table in tables:
        file = profile_of(table.link()).file
        manufacturer = "" if file.manufacturer in _MANY else file.manufacturer
        infos.append(
            DeviceInfo(
                name=table.name,
                source=f"{table.protocol} {table.profile}",
                poll_s=table.poll_s,
                slow_s=max(file.groups.values(), default=0.0),
                manufacturer=manufacturer,
                model=file.model,
            )
        )
    return tuple(infos)


@dataclass(frozen=True)
class Topics:
    """Every topic of one site. A device here is also the site itself, under the agent's id."""

    discovery_prefix: str
    topic_prefix: str
    node: str

    @property
    def availability(self) -> str:
        """Whether the agent is there: its last will."""
        return f"{self.topic_prefix}/{self.node}/availability"

    @property
    def birth(self) -> str:
        """Where Home Assistant says that it has started."""
        return f"{self.discovery_prefix}/status"

    def config(self, device: str) -> str:
        """Description of ``device``."""
        return f"{self.discovery_prefix}/device/{self.node}/{device}/config"

    def of(self, device: str, what: str) -> str:
        """Topic of one kind of values of ``device``."""
        return f"{self.topic_prefix}/{self.node}/{device}/{what}"

    def unique_id(self, device: str, key: str = "") -> str:
        """Name for ever of a device, or of one of its entities."""
        return f"solar-edge:{self.node}:{device}" + (f":{key}" if key else "")


class Describer:
    """Makes the descriptions of one site."""

    def __init__(self, topics: Topics, agent: str, version: str) -> None:
        self._topics, self._agent, self._version = topics, agent, version

    def device(
        self, info: DeviceInfo, quantities: Sequence[str], gone: Sequence[str] = ()
    ) -> dict[str, Json]:
        """A device with a sensor for each of ``quantities``; those ``gone`` are taken away."""
        topics, name = self._topics, info.name
        components: dict[str, Json] = {one: {"platform": "sensor"} for one in gone}
        for one in quantities:
            components[one] = self._entity(
                name, one, sensor_of(QUANTITIES[one]), value=f"value_json.get('{one}')"
            )
        always: dict[str, Json] = {"availability": [{"topic": topics.availability}]}
        components["condition"] = self._entity(
            name,
            "condition",
            {"name": "Condition", "device_class": "enum", "options": list(CONDITIONS)},
            topic=topics.of(name, "condition"),
            value="value_json.condition",
            attributes="value_json.attributes",
            extra={**_DIAGNOSTIC, **always},
        )
        components["problem"] = self._problem(name, always)
        described: dict[str, Json] = {
            "identifiers": [topics.unique_id(name)],
            "name": name,
            "via_device": topics.unique_id(self._agent),
        }
        if info.manufacturer:
            described["manufacturer"] = info.manufacturer
        if info.model:
            described["model"] = info.model
        return {
            **self._frame(described, components),
            "state_topic": topics.of(name, "state"),
            "availability": [
                {"topic": topics.availability},
                {"topic": topics.of(name, "availability")},
            ],
            "availability_mode": "all",
        }

    def site(self) -> dict[str, Json]:
        """The site itself: forecast, alerts, and how the agent is doing."""
        agent = self._agent
        components: dict[str, Json] = {
            "problem": self._problem(agent, {}),
            "last_alert": self._entity(
                agent,
                "last_alert",
                {"name": "Last alert", "force_update": True, "icon": "mdi:bell-outline"},
                topic=self._topics.of(agent, "last_alert"),
                value=f"value_json.text[:{LONGEST_STATE}]",
                attributes="value_json",
            ),
            **self._forecast(),
            **self._diagnostics(),
        }
        described: dict[str, Json] = {
            "identifiers": [self._topics.unique_id(agent)],
            "name": agent,
            "manufacturer": "solar-sharing",
            "model": "solar-edge",
            "sw_version": self._version,
        }
        return {
            **self._frame(described, components),
            "state_topic": self._topics.of(agent, "state"),
            "availability": [{"topic": self._topics.availability}],
        }

    def _forecast(self) -> dict[str, Json]:
        agent, topics = self._agent, self._topics
        power: dict[str, Json] = {**sensor_of(QUANTITIES["ac_power"])}
        # No state class: a forecast is no meter, and would fill the statistics with what never was.
        energy: dict[str, Json] = {
            "device_class": "energy",
            "unit_of_measurement": "kWh",
            "suggested_display_precision": 1,
        }
        wanted = (
            ("power_now", "Forecast power now", power),
            ("power_in_1h", "Forecast power in 1 hour", power),
            ("energy_today", "Forecast energy left today", energy),
            ("energy_tomorrow", "Forecast energy tomorrow", energy),
        )
        entities: dict[str, Json] = {
            f"forecast_{key}": self._entity(
                agent,
                f"forecast_{key}",
                {**shared, "name": name},
                topic=topics.of(agent, "forecast"),
                value=f"value_json.{key}.value",
                attributes=f"value_json.{key}.attributes",
            )
            for key, name, shared in wanted
        }
        entities["forecast_series"] = self._entity(
            agent,
            "forecast_series",
            {"name": "Forecast issued", "device_class": "timestamp"},
            topic=topics.of(agent, "forecast_series"),
            value="value_json.issued_at",
            attributes="value_json.attributes",
        )
        return entities

    def _diagnostics(self) -> dict[str, Json]:
        agent = self._agent
        pending: dict[str, Json] = {
            "name": "Entries to be sent",
            "state_class": "measurement",
            "suggested_display_precision": 0,
            "icon": "mdi:tray-full",
        }
        return {
            "pending": self._entity(
                agent, "pending", pending, value="value_json.pending", extra=_DIAGNOSTIC
            ),
            "bundle": self._entity(
                agent,
                "bundle",
                {"name": "Model bundle", "icon": "mdi:package-variant-closed"},
                value=f"(value_json.bundle | string)[:{LONGEST_STATE}]",
                attributes="value_json.bundle_attributes",
                extra=_DIAGNOSTIC,
            ),
            "last_sync": self._entity(
                agent,
                "last_sync",
                {"name": "Last sync", "device_class": "timestamp"},
                value="value_json.last_sync",
                extra=_DIAGNOSTIC,
            ),
            "clock_trusted": self._entity(
                agent,
                "clock_trusted",
                {"name": "Clock trusted", "icon": "mdi:clock-check-outline"},
                value="value_json.clock_trusted",
                extra=_DIAGNOSTIC,
                platform="binary_sensor",
            ),
        }

    def _problem(self, device: str, extra: dict[str, Json]) -> dict[str, Json]:
        return self._entity(
            device,
            "problem",
            {"name": "Problem", "device_class": "problem"},
            topic=self._topics.of(device, "problem"),
            value="value_json.state",
            attributes="value_json.attributes",
            extra=extra,
            platform="binary_sensor",
        )

    def _entity(
        self,
        device: str,
        key: str,
        shared: dict[str, Json],
        *,
        value: str,
        topic: str | None = None,
        attributes: str | None = None,
        extra: dict[str, Json] | None = None,
        platform: str = "sensor",
    ) -> dict[str, Json]:
        """``value`` and ``attributes`` are expressions; without ``topic`` it is the device's."""
        entity: dict[str, Json] = {
            "platform": platform,
            "unique_id": self._topics.unique_id(device, key),
            "value_template": f"{{{{ {value} }}}}",
            **shared,
            **(extra or {}),
        }
        if topic is not None:
            entity["state_topic"] = topic
        if attributes is not None:
            entity["json_attributes_topic"] = topic or self._topics.of(device, "state")
            entity["json_attributes_template"] = f"{{{{ {attributes} | tojson }}}}"
        return entity

    def _frame(self, device: dict[str, Json], components: dict[str, Json]) -> dict[str, Json]:
        origin: dict[str, Json] = {"name": "solar-edge", "sw_version": self._version}
        return {"device": device, "origin": origin, "components": components}
