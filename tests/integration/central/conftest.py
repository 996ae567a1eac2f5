"""A serving centre on a real broker, and a client that plays the fleet."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from central.broker import Broker
from central.ingest.understand import understand
from central.service import Running, serve
from central.settings import (
    ApiSettings,
    BrokerStart,
    CentralSettings,
    EmbeddedBrokerSettings,
    IngestSettings,
    MqttSettings,
    PlainDeviceSettings,
)
from central.store import Store
from central.store.values import Group, RegisteredSite
from models.contract.clock import SystemClock
from models.contract.forecast import Coverage, CoverageState, Forecast, ForecastSeries
from models.contract.messages import BundleState, BundleStatus, Entry, EntryKey, Kind
from models.contract.payload import canonical, forecast_to_json
from models.contract.timestamps import DAY_MS, HOUR_MS, STEP_MS, format_iso8601
from tests.fleet_messages import EPOCH, batch, record_entry, status

DEADLINE_S = 20.0
T = TypeVar("T")


def wait_for(ask: Callable[[], T], what: str = "", deadline_s: float = DEADLINE_S) -> T:
    """The first true answer of ``ask``."""
    deadline = time.monotonic() + deadline_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"not within {deadline_s:g} s: {what or ask}"
        time.sleep(0.01)
    return answer


class Fleet:
    """One MQTT 5 client that publishes for everybody and collects what it subscribed to."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._arrived = threading.Condition()
        self.messages: list[mqtt.MQTTMessage] = []
        self.client = self._connect()

    def _connect(self) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.on_message = self._message
        client.max_inflight_messages_set(1000)
        client.connect(self._broker.host, self._broker.port)
        client.loop_start()
        wait_for(client.is_connected, "the fleet's connection")
        return client

    def _message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        with self._arrived:
            self.messages.append(message)
            self._arrived.notify_all()

    def subscribe(self, *filters: str) -> None:
        granted = threading.Event()
        self.client.on_subscribe = lambda *_: granted.set()
        self.client.subscribe([(name, 1) for name in filters])
        assert granted.wait(DEADLINE_S)

    def publish(self, topic: str, *payloads: bytes, retain: bool = False) -> None:
        """Publish at QoS 1 and wait for the broker's PUBACKs."""
        sent = [self.client.publish(topic, payload, 1, retain) for payload in payloads]
        for one in sent:
            one.wait_for_publish(DEADLINE_S)

    def on(self, topic: str) -> list[bytes]:
        """Payloads that have come on ``topic`` so far."""
        with self._arrived:
            return [bytes(m.payload) for m in self.messages if m.topic == topic]

    def wait_on(self, topic: str, count: int = 1) -> list[bytes]:
        """Payloads on ``topic``, once there are ``count``."""
        with self._arrived:
            enough = self._arrived.wait_for(
                lambda: sum(m.topic == topic for m in self.messages) >= count, DEADLINE_S
            )
            assert enough, f"{topic}: fewer than {count} messages within {DEADLINE_S:g} s"
        return self.on(topic)

    def retained(self, topic: str) -> bytes | None:
        """What a newcomer finds on ``topic``."""
        late = Fleet(self._broker)
        late.subscribe(topic, "fence")
        late.publish("fence", b"")
        late.wait_on("fence")
        found = late.on(topic)
        late.close()
        return found[0] if found else None

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def persistent_session_exists(broker: Broker, client_id: str) -> bool:
    """Whether the broker keeps a session under ``client_id`` (takes it over for a moment)."""
    flags: list[bool] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
    client.on_connect = lambda _c, _d, given, _code, _p: flags.append(given.session_present)
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3600
    client.connect(broker.host, broker.port, clean_start=False, properties=properties)
    client.loop_start()
    wait_for(lambda: flags)
    client.disconnect()
    client.loop_stop()
    return flags[0]


@dataclass
class Centre:
    """``serve`` in a thread of its own, with its own event loop."""

    settings: CentralSettings
    running: Running = field(init=False)

    def start(self, *, connected: bool = True) -> Running:
        """Start it; ``connected``: and wait for its connection to the broker."""
        ready = threading.Event()
        failures: list[BaseException] = []

        def on_ready(running: Running) -> None:
            self.running = running
            ready.set()

        async def main() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            await serve(self.settings, self._stop, clock=SystemClock(), on_ready=on_ready)

        def target() -> None:
            try:
                asyncio.run(main())
            except BaseException as error:
                failures.append(error)
                ready.set()

        self._thread = threading.Thread(target=target)
        self._thread.start()
        assert ready.wait(DEADLINE_S)
        if failures:
            raise failures[0]
        if connected:
            wait_for(lambda: self.running.ingest.messaging.connected, "the centre's connection")
        return self.running

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), "the centre did not end"


def central_settings(broker: Broker, directory: Path) -> CentralSettings:
    return CentralSettings(
        data_dir=str(directory),
        mqtt=MqttSettings(host=broker.host, port=broker.port),
        broker=EmbeddedBrokerSettings(BrokerStart.NO),
        ingest=IngestSettings(quarantine_rows=100),
        api=ApiSettings(port=0, iot_port=0),
        plain_devices=PlainDeviceSettings(min_interval_s=0.0),
    )


@pytest.fixture
def centre(broker: Broker, tmp_path: Path) -> Iterator[Centre]:
    """A centre on ``broker``, started."""
    made = Centre(central_settings(broker, tmp_path / "central"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def fleet(broker: Broker) -> Iterator[Fleet]:
    """A client on ``broker``."""
    made = Fleet(broker)
    yield made
    made.close()


@pytest.fixture(scope="module")
def filled(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[Running]:
    """A centre without a broker, whose store holds two agents, a plain device and a new device."""
    settings = CentralSettings(
        data_dir=str(tmp_path_factory.mktemp("filled")),
        mqtt=MqttSettings(port=free_port()),
        broker=EmbeddedBrokerSettings(BrokerStart.NO),
        api=ApiSettings(port=0, iot_port=0, max_request_bytes=5000),
    )
    made = Centre(settings)
    running = made.start(connected=False)
    fill(running.store)
    yield running
    made.stop()


def fill(store: Store) -> None:
    """Two days of a fleet around now, through the same reader as ingest's."""
    now = SystemClock().now()
    group = Group()

    def take(topic: str, payload: bytes) -> None:
        group.extend(understand(topic, payload, own=False, retained=False, now=now).rows)

    for agent, scale, bundle in (
        ("site_01", 4000.0, BundleStatus(BundleState.ACTIVE, "bundle-7", 7)),
        (
            "site_02",
            1500.0,
            BundleStatus(
                BundleState.REFUSED,
                "bundle-7",
                7,
                "bundle-8",
                "LengthOrHashMismatchError: <b>x</b>",
            ),
        ),
    ):
        online = agent == "site_01"
        entries, seq = [], 0
        for at in range(now - 26 * HOUR_MS, now, STEP_MS):
            seq += 1
            entries.append(record_entry(seq, sun(at) * scale, at))
        for issued_at in (now - 25 * HOUR_MS, now - 60_000):
            seq += 1
            entries.append(sunny_forecast_entry(seq, agent, issued_at, scale))
        take(f"solar/{agent}/batch", batch(entries))
        take(f"solar/{agent}/status", status(agent, now, online=online, bundle=bundle))
    take(
        "solar/device_01/data",
        json.dumps({"ghi": 500, "temperature": 25, "timestamp": format_iso8601(now)}).encode(),
    )
    store.commit(group)
    store.register(RegisteredSite("site_01", "solar_inverter", 40.0, 0.0, 5000.0, now))
    store.register(RegisteredSite("new_one", "solar_inverter", 41.0, 0.0, 3000.0, now))


def sun(at: int) -> float:
    """A day's curve, 0 at night and 1 at noon UTC."""
    return max(0.0, math.cos((at % DAY_MS / DAY_MS - 0.5) * 2 * math.pi))


def sunny_forecast_entry(seq: int, site: str, issued_at: int, scale: float) -> Entry:
    """A forecast that follows the day's curve."""
    start = issued_at - issued_at % STEP_MS + STEP_MS
    shape = [sun(start + step * STEP_MS) * scale for step in range(192)]
    rows = tuple(
        tuple(value * share for value in shape) for share in (0.5, 0.6, 0.8, 1.0, 1.1, 1.15, 1.2)
    )
    coverage = Coverage(observed=0.88, count=640, state=CoverageState.CALIBRATED)
    series = {"ac_power": ForecastSeries("solar_generation_xgboost", rows, coverage)}
    body = canonical(forecast_to_json(Forecast(site, issued_at, start, series, "bundle-7")))
    return Entry(EntryKey(EPOCH, seq), Kind.FORECAST, body)
