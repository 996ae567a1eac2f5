"""A release travels over a real broker as retained messages, and so do attacks on it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from central.broker import Broker
from central.messaging import Messaging
from central.release.publish import publish_repository
from central.settings import MqttSettings as CentreMqtt
from edge_agent.storage.state_store import StateDatabase, StateStore
from edge_agent.updating.bundle_source import ANNOUNCEMENT, RetainedSource
from edge_agent.updating.updater import UpdateResult
from edge_agent.uplink.mqtt_client import LastWill, MqttSettings
from edge_agent.uplink.mqtt_session import MqttSession
from edge_agent.uplink.reconnect import ReconnectSettings
from models.bundle.pieces import PIECE_BYTES
from models.contract.clock import SystemClock
from tests.releases import Boxes, Centre, settle


@dataclass
class Session:
    """An agent's connection in a running event loop."""

    session: MqttSession
    loop: asyncio.AbstractEventLoop

    def source(self, timeout_s: float = 20.0) -> RetainedSource:
        return RetainedSource(self.session.fetch_retained, self.loop, timeout_s)


@contextmanager
def agent_session(port: int) -> Iterator[Session]:
    ready: Future[Session] = Future()

    async def live() -> None:
        session = MqttSession(
            "box",
            MqttSettings("127.0.0.1", port),
            ReconnectSettings(first_s=0.1, longest_s=0.3),
            will=lambda: LastWill("solar/box/status", b"{}"),
        )
        ready.set_result(Session(session, asyncio.get_running_loop()))
        await session.run()

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    running = ready.result(20)
    try:
        yield running
    finally:
        asyncio.run_coroutine_threadsafe(running.session.close(), running.loop).result(20)
        thread.join(20)


@pytest.fixture
def session(broker: Broker) -> Iterator[Session]:
    with agent_session(broker.port) as running:
        yield running


@pytest.fixture
def messaging(broker: Broker) -> Iterator[Messaging]:
    connection = Messaging(CentreMqtt(port=broker.port))
    connection.start()
    yield connection
    connection.stop()


@pytest.fixture
def publish(messaging: Messaging, centre: Centre) -> Callable[[], int]:
    return lambda: publish_repository(centre.repository, messaging.publish)


def test_release_reaches_the_box_and_its_state_survives_on_the_disk(
    centre: Centre,
    boxes: Boxes,
    session: Session,
    publish: Callable[[], int],
    tmp_path: Path,
) -> None:
    def padded(directory: Path) -> None:
        with np.load(directory / "golden.npz") as arrays:
            padding = np.zeros(3 * PIECE_BYTES, np.uint8)  # so that it takes several pieces
            np.savez(directory / "golden.npz", padding=padding, **arrays)

    centre.release(change=padded)
    publish()
    database = StateDatabase(tmp_path / "state.sqlite")
    boxes.states["box"] = StateStore(database, SystemClock())  # type: ignore[assignment]
    box = boxes.start(session.source(), selftest=None)
    outcome = box.check()
    assert (outcome.result, outcome.bundle) == (UpdateResult.ACTIVATED, "2026-11-23-r1")
    settle(box)
    assert box.check().result is UpdateResult.UP_TO_DATE
    active = box.active()
    database.close()

    database = StateDatabase(tmp_path / "state.sqlite")
    boxes.states["box"] = StateStore(database, SystemClock())  # type: ignore[assignment]
    again = boxes.start(session.source())
    assert again.active() == active
    assert again.status().active == "2026-11-23-r1"
    database.close()


def test_one_flipped_byte_on_the_broker_is_refused_and_the_genuine_release_is_taken_after(
    centre: Centre,
    boxes: Boxes,
    session: Session,
    messaging: Messaging,
    publish: Callable[[], int],
) -> None:
    centre.release()
    publish()
    box = boxes.start(session.source())
    box.check()
    settle(box)
    running = box.active()
    report = centre.release()
    publish()
    topic = f"solar/bundles/targets/fleet/{report.sha256}.bundle.tar/0"
    piece = bytearray(report.archive.read_bytes()[:PIECE_BYTES])
    piece[3000] ^= 1
    messaging.publish(topic, bytes(piece), retain=True)

    outcome = box.check()

    assert (outcome.result, outcome.bundle) == (UpdateResult.REFUSED, "2026-11-23-r2")
    assert "not what was signed" in (outcome.reason or "")
    assert box.active() == running
    assert (box.status().active, box.status().refused) == ("2026-11-23-r1", "2026-11-23-r2")
    publish()
    assert box.check().result is UpdateResult.ACTIVATED
    assert box.status().refused is None


def test_absent_is_told_from_silent(
    broker: Broker,
    centre: Centre,
    boxes: Boxes,
    session: Session,
    messaging: Messaging,
    publish: Callable[[], int],
) -> None:
    box = boxes.start(session.source(timeout_s=2.0))
    assert box.check().result is UpdateResult.NOTHING_OFFERED
    report = centre.release()
    publish()
    messaging.publish(f"solar/bundles/targets/fleet/{report.sha256}.bundle.tar/0", b"", retain=True)
    outcome = box.check()
    assert outcome.result is UpdateResult.UNREACHABLE
    assert "piece 0 of" in (outcome.reason or "")
    publish()
    broker.stop()
    outcome = box.check()
    assert outcome.result is UpdateResult.UNREACHABLE
    broker.start()
    publish()  # a broker that was killed has forgotten what it had not saved
    assert boxes.start(session.source()).check().result is UpdateResult.ACTIVATED


def test_announcement_wakes_the_agent(
    centre: Centre, session: Session, publish: Callable[[], int]
) -> None:
    came = threading.Event()

    def watch() -> None:
        session.session.watch(ANNOUNCEMENT, lambda topic, payload: came.set())

    session.loop.call_soon_threadsafe(watch)
    centre.release()
    publish()
    assert came.wait(20)
