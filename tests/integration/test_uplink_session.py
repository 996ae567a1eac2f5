"""The one connection: birth and death, absent against slow, callbacks that raise, TLS."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from central.broker import Broker, find_mosquitto
from edge_agent.errors import TransportUnavailable
from edge_agent.uplink.mqtt_client import MqttSettings
from models.contract.messages import Kind
from tests.integration.uplink_agent import AGENT, T0, running, until
from tests.integration.uplink_centre import Centre, wait_for

METADATA = "solar/bundles/metadata"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A running mosquitto that comes back on its port after it was killed."""
    with Broker(tmp_path / "broker") as running_broker:
        yield running_broker


def play(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def test_birth_and_death_stand_on_the_status_topic(broker: Broker, tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, broker.port) as agent:
            await until(lambda: [one.online for one in centre.statuses] == [True], "birth")
            agent.uplink.publish_status()
            await until(lambda: len(centre.statuses) == 2, "status on request")
        assert agent.uplink.connected is False

    with Centre(broker) as centre:
        play(story())
        wait_for(lambda: len(centre.statuses) == 3, "death")
        assert [one.online for one in centre.statuses] == [True, True, False]


def test_an_agent_that_vanishes_is_declared_dead_by_the_broker(
    broker: Broker, tmp_path: Path
) -> None:
    async def story() -> None:
        async with running(tmp_path, broker.port) as agent:
            await until(lambda: len(centre.statuses) == 1, "birth")
            agent.task.cancel()  # no goodbye
            await until(lambda: len(centre.statuses) == 2, "death")

    with Centre(broker) as centre:
        with pytest.raises(asyncio.CancelledError):
            play(story())
        assert [one.online for one in centre.statuses] == [True, False]


def test_absent_is_told_from_present(broker: Broker, tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, broker.port) as agent:
            found = await agent.uplink.fetch_retained(f"{METADATA}/timestamp.json", 10)
            assert found == {f"{METADATA}/timestamp.json": b"t" * 1000}
            assert await agent.uplink.fetch_retained(f"{METADATA}/9.root.json", 10) == {}
            many = await agent.uplink.fetch_retained("solar/bundles/targets/#", 10)
            assert many == {f"solar/bundles/targets/{i}": bytes([i]) * 50_000 for i in range(60)}

    with Centre(broker) as centre:
        centre.publish(f"{METADATA}/timestamp.json", b"t" * 1000, retain=True)
        for index in range(60):
            centre.publish(f"solar/bundles/targets/{index}", bytes([index]) * 50_000, retain=True)
        play(story())


def test_slow_is_never_taken_for_absent(broker: Broker, tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, broker.port) as agent:
            await until(lambda: agent.uplink.connected, "connected")
            os.kill(broker.pid, signal.SIGSTOP)
            with pytest.raises(TransportUnavailable):
                await agent.uplink.fetch_retained(f"{METADATA}/timestamp.json", 0.3)
            os.kill(broker.pid, signal.SIGCONT)
            found = await agent.uplink.fetch_retained(f"{METADATA}/timestamp.json", 10)
            assert found == {f"{METADATA}/timestamp.json": b"here"}

    with Centre(broker) as centre:
        centre.publish(f"{METADATA}/timestamp.json", b"here", retain=True)
        play(story())


def test_a_broker_that_is_away_is_not_absent_either(broker: Broker, tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, broker.port) as agent:
            with pytest.raises(TransportUnavailable, match="refused"):
                await agent.uplink.fetch_retained(f"{METADATA}/root.json", 0.5)

    broker.stop()
    play(story())


def test_a_connection_lost_in_the_middle_is_not_absent(broker: Broker, tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, broker.port) as agent:
            await until(lambda: agent.uplink.connected, "connected")
            os.kill(broker.pid, signal.SIGSTOP)
            fetch = asyncio.create_task(agent.uplink.fetch_retained(f"{METADATA}/x", 10))
            await asyncio.sleep(0)  # the question is asked
            broker.kill()
            with pytest.raises(TransportUnavailable, match="lost"):
                await fetch

    play(story())


def test_a_watch_sees_changes_and_survives_a_reconnect_and_a_fetch_of_the_same_topic(
    broker: Broker, tmp_path: Path
) -> None:
    topic = f"{METADATA}/timestamp.json"

    async def story(centre: Centre) -> None:
        seen: list[bytes] = []
        async with running(tmp_path, broker.port) as agent:
            end = agent.uplink.watch(topic, lambda _topic, payload: seen.append(payload))
            await until(lambda: seen == [b"1"], "the retained one")
            await agent.uplink.fetch_retained(topic, 10)
            await asyncio.to_thread(centre.publish, topic, b"2", retain=True)
            await until(lambda: seen[-1] == b"2", "the change")
            broker.kill()
            broker.start()
            await asyncio.to_thread(centre.publish, topic, b"3", retain=True)
            await until(lambda: seen[-1] == b"3", "the change after a reconnect")
            end()
            await asyncio.to_thread(centre.publish, topic, b"4", retain=True)
            assert await agent.uplink.fetch_retained(topic, 10) == {topic: b"4"}
            assert seen[-1] == b"3"

    with Centre(broker) as centre:
        centre.publish(topic, b"1", retain=True)
        play(story(centre))


def test_callbacks_that_raise_do_not_end_the_connection(
    broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(centre: Centre) -> None:
        calls = []

        def raises(topic: str, payload: bytes) -> None:
            calls.append(payload)
            raise RuntimeError("a mistake in the updater")

        async with running(tmp_path, broker.port) as agent:
            agent.uplink.watch("solar/bundles/#", raises)
            for count, payload in enumerate((b"1", b"2"), 1):
                await asyncio.to_thread(centre.publish, f"{METADATA}/x", payload, retain=True)
                await until(lambda count=count: len(calls) >= count, "a message")  # type: ignore[misc]
            # Nonsense on the agent's own topics is counted and ignored.
            for channel in ("ack", "rewind", "fence"):
                await asyncio.to_thread(centre.publish, f"solar/{AGENT}/{channel}", b"\xff{")
            agent.append(10)
            await agent.delivered()
            assert agent.uplink.counts()["uplink_bad_messages"] == 2
            assert agent.uplink.counts()["mqtt_lost"] == 0

    with Centre(broker) as centre:
        play(story(centre))
    assert "a mistake in the updater" in caplog.text


def test_a_network_thread_that_dies_is_noticed_and_replaced(broker: Broker, tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, broker.port) as agent:
            await until(lambda: agent.uplink.connected, "connected")
            connection = agent.uplink.session._connection
            assert connection is not None
            assert connection._client is not None
            open_socket = connection._client.socket()
            assert isinstance(open_socket, socket.socket)
            open_socket.close()  # paho's select() fails on it: the thread ends with an exception
            await until(lambda: agent.uplink.counts()["mqtt_connects"] == 2, "a new connection")
            agent.append(10)
            await agent.delivered()

    with Centre(broker):
        play(story())


def test_a_retained_forecast_is_there_again_after_the_broker_forgot_it(
    broker: Broker, tmp_path: Path
) -> None:
    async def story(centre: Centre) -> None:
        async with running(tmp_path, broker.port) as agent:
            agent.journal.append(Kind.FORECAST, AGENT, T0, {"v": 1, "issued": "first"})
            agent.journal.append(Kind.FORECAST, AGENT, T0 + 1, {"v": 1, "issued": "second"})
            await agent.delivered()
            broker.kill()
            (broker.directory / "mosquitto.db").unlink(missing_ok=True)
            broker.start()
            seen: list[bytes] = []
            agent.uplink.watch(f"solar/{AGENT}/forecast", lambda _topic, body: seen.append(body))
            await until(lambda: agent.uplink.counts()["mqtt_connects"] >= 2, "reconnected")
            await until(lambda: any(b"second" in body for body in seen), "published again")
            found = await agent.uplink.fetch_retained(f"solar/{AGENT}/forecast", 10)
            assert [b"second" in body for body in found.values()] == [True]

    with Centre(broker) as centre:
        play(story(centre))
        centre.holds_exactly(tmp_path / "journal.sqlite")


def certificates(directory: Path) -> None:
    """An authority, a server's and an agent's certificate, and one of an unknown authority."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    for name in ("ca", "stranger"):
        openssl(*new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt")
    for name in ("broker", AGENT):
        openssl(
            *new, "-CA", "ca.crt", "-CAkey", "ca.key", "-subj", f"/CN={name}",
            "-addext", "subjectAltName=IP:127.0.0.1",
            "-addext", "basicConstraints=critical,CA:FALSE",
            "-keyout", f"{name}.key", "-out", f"{name}.crt",
        )  # fmt: skip


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_tls_with_client_certificates_lets_us_in_and_keeps_strangers_out(
    tmp_path: Path, free_port: Any
) -> None:
    certificates(tmp_path)
    port = free_port()
    config = tmp_path / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nuser root\nrequire_certificate true\n"
        f"use_identity_as_username true\ncafile {tmp_path}/ca.crt\n"
        f"certfile {tmp_path}/broker.crt\nkeyfile {tmp_path}/broker.key\n"
    )

    def settings(ca: str) -> MqttSettings:
        paths = (str(tmp_path / name) for name in (ca, f"{AGENT}.crt", f"{AGENT}.key"))
        ca_file, cert_file, key_file = paths
        return MqttSettings(
            "127.0.0.1", port, ca_file=ca_file, cert_file=cert_file, key_file=key_file
        )

    async def story() -> None:
        async with running(tmp_path / "good", port, mqtt=settings("ca.crt")) as agent:
            await until(lambda: agent.uplink.connected, "connected")
            assert await agent.uplink.fetch_retained("solar/bundles/x", 10) == {}
        async with running(tmp_path / "bad", port, mqtt=settings("stranger.crt")) as agent:
            failed = "CERTIFICATE_VERIFY_FAILED"
            await until(lambda: failed in agent.uplink.session.last_error, "refused")
        async with running(tmp_path / "gone", port, mqtt=settings("missing.crt")) as agent:
            await until(lambda: "missing.crt" in agent.uplink.session.last_error, "named")

    with subprocess.Popen([find_mosquitto(), "-c", config], stderr=subprocess.PIPE) as broker:
        try:
            play(story())
        finally:
            broker.terminate()
