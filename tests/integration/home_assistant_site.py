"""Both ends of the Home Assistant tests: a site that publishes, and who listens to it.

``HomeAssistantCore`` is a real one in a process of its own (tests/home_assistant_core.py).
"""

from __future__ import annotations

import asyncio
import json
import queue
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from central.broker import Broker
from edge_agent.home_assistant import DeviceInfo, HomeAssistant, HomeAssistantSettings
from edge_agent.supervision import Progress
from edge_agent.uplink.reconnect import ReconnectSettings
from models.contract.forecast import LEVELS, Forecast, ForecastSeries
from models.contract.messages import BundleState, BundleStatus, Status
from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import HORIZON_STEPS, Instant
from models.features.site import Site
from tests.environments import ROOT

T0 = 1_705_492_800_000  # 2024-01-17T12:00:00Z
SITE = Site(48.14, 11.58, 6000.0, 5000.0)
INVERTER = DeviceInfo("inverter", "modbus-tcp fronius", 5.0, 0.0, "Fronius", "Symo")
METER = DeviceInfo("meter", "modbus-rtu eastron-sdm630", 5.0)
DEADLINE_S = 40.0
QUICKLY = ReconnectSettings(first_s=0.05, longest_s=0.2, stable_s=5.0)


@dataclass
class HandClock:
    """Both kinds of time, moved by the test."""

    wall: Instant = T0
    seconds: float = 1000.0

    def now(self) -> Instant:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    async def sleep_until(self, instant: Instant) -> None:
        raise AssertionError("nothing here waits for domain time")

    def pass_by(self, seconds: float) -> None:
        self.wall += round(seconds * 1000)
        self.seconds += seconds


@dataclass
class Store:
    """What the agent would keep in ``state.sqlite``."""

    text: str = "null"
    saves: list[str] = field(default_factory=list)

    def load(self) -> Any:
        return json.loads(self.text)

    def save(self, value: Any) -> None:
        self.text = json.dumps(value)
        self.saves.append(self.text)


@asynccontextmanager
async def publishing(
    port: int,
    node: str,
    devices: Sequence[DeviceInfo] = (INVERTER, METER),
    *,
    store: Store | None = None,
    clock: Any = None,
    turn_s: float = 0.02,
) -> AsyncIterator[HomeAssistant]:
    """A running publisher; it ends as a supervisor ends it."""
    store = store or Store()
    settings = HomeAssistantSettings(
        "127.0.0.1", port, node=node, timezone="Europe/Berlin", reconnect=QUICKLY
    )
    home = HomeAssistant(
        settings, "farm-7", SITE, devices, "1.2.3", clock or HandClock(),
        load=store.load, save=store.save, turn_s=turn_s,
    )  # fmt: skip
    task = asyncio.create_task(home.run(Progress("home-assistant", 60.0, time.monotonic)))
    try:
        yield home
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended


async def told(home: HomeAssistant) -> None:
    """Return when the broker has everything that was noted so far."""
    await asyncio.sleep(0.05)
    await until(lambda: home.connected and home.waiting == 0, "everything told")


async def until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait until ``condition`` holds, or fail."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        await asyncio.sleep(0.02)


def record(device: str, at: Instant = T0, **readings: float | Reading) -> Record:
    """A record; a bare number is good."""
    taken = {
        name: one if isinstance(one, Reading) else Reading(one) for name, one in readings.items()
    }
    return Record(device, at, taken)


def asleep(device: str, at: Instant = T0) -> Record:
    return record(device, at, ac_power=Reading(None, Quality.ASLEEP))


def forecast(start: Instant = T0, steps: int = HORIZON_STEPS, watts: float = 1000.0) -> Forecast:
    """The same power all the time: quantile ``q`` is ``2 * q * watts``, the median ``watts``."""
    rows = tuple((2 * level * watts,) * steps for level in LEVELS)
    return Forecast("farm-7", start, start, {"ac_power": ForecastSeries("even", rows)}, "bundle-9")


def status(**counters: int) -> Status:
    bundle = BundleStatus(BundleState.ACTIVE, "bundle-9", 9)
    return Status("farm-7", T0, True, "1.2.3", "0" * 16, 1, bundle, counters)


class Listener:
    """Everything that anybody publishes on a broker: the newest by topic, and how often."""

    def __init__(self, broker: Broker) -> None:
        self.newest: dict[str, bytes] = {}
        self.counts: dict[str, int] = {}
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._ready = threading.Event()
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._take
        self._client.reconnect_delay_set(1, 1)
        self._client.connect(broker.host, broker.port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        assert self._ready.wait(DEADLINE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: str) -> None:
        self._client.publish(topic, payload, qos=1).wait_for_publish(DEADLINE_S)

    def body(self, topic: str) -> Any:
        return json.loads(self.newest[topic])

    def _take(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self.newest[message.topic] = message.payload
        self.counts[message.topic] = self.counts.get(message.topic, 0) + 1


def retained(broker: Broker) -> dict[str, bytes]:
    """What the broker keeps for those who come later."""
    with Listener(broker) as listener:
        listener.publish("fence", "x")
        end = time.monotonic() + DEADLINE_S
        while "fence" not in listener.newest and time.monotonic() < end:
            time.sleep(0.01)
        return {topic: body for topic, body in listener.newest.items() if topic != "fence"}


class HomeAssistantCore:
    """A real Home Assistant on ``broker``."""

    def __init__(self, python: Path, directory: Path, broker: Broker) -> None:
        self._errors = directory / "stderr"
        self._answers: queue.Queue[str] = queue.Queue()
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [python, ROOT / "tests" / "home_assistant_core.py", directory, str(broker.port)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                cwd=directory,
            )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    def look(self) -> dict[str, Any]:
        """States, entities and devices, and what it has warned of since it was started."""
        found = self._ask("look")
        assert isinstance(found, dict)
        return found

    def check(self, topic: str, config: Any) -> list[str]:
        """What it objects to in a description."""
        objections = self._ask("check", topic, json.dumps(config))
        assert isinstance(objections, list)
        return objections

    async def sees(self, condition: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Look until ``condition`` holds of the states by unique id."""
        end = time.monotonic() + DEADLINE_S
        while True:
            found = await asyncio.to_thread(self.look)
            if condition(found["states"]):
                return found
            shown = {name: one["state"] for name, one in found["states"].items()}
            assert time.monotonic() < end, f"{what}: {shown} {found['complaints']}"
            await asyncio.sleep(0.1)

    def _ask(self, *lines: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{line}\n" for line in lines))
        self._process.stdin.flush()
        answer = self._answers.get(timeout=90)
        assert answer, self._errors.read_text(errors="replace")[-4000:]
        return json.loads(answer)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")
        self._process.stdout.close()
