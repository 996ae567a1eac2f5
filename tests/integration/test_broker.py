"""The embedded broker against a real mosquitto: what survives, what is refused, who ends whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

import central.broker
from central.broker import Broker, BrokerError, BrokerSettings

DEADLINE_S = 20.0


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S:g} s: {what}"
        time.sleep(0.01)


class Session:
    """One MQTT 5 client with a session that outlives its connection."""

    def __init__(self, name: str) -> None:
        self.received: list[bytes] = []
        self.ready = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
        self.client.on_connect = lambda *_: self.ready.set()
        self.client.on_message = lambda _client, _data, message: self.received.append(
            bytes(message.payload)
        )

    def connect(self, broker: Broker) -> None:
        self.ready.clear()
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3600
        self.client.connect(broker.host, broker.port, clean_start=False, properties=properties)
        self.client.loop_start()
        assert self.ready.wait(DEADLINE_S)

    def subscribe(self, topic: str) -> None:
        granted = threading.Event()
        self.client.on_subscribe = lambda *_: granted.set()
        self.client.subscribe(topic, qos=1)
        assert granted.wait(DEADLINE_S)

    def publish(self, topic: str, *payloads: bytes, retain: bool = False) -> None:
        sent = [self.client.publish(topic, payload, qos=1, retain=retain) for payload in payloads]
        for message in sent:
            message.wait_for_publish(DEADLINE_S)
            assert message.is_published()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def sender(broker: Broker) -> Session:
    session = Session("sender")
    session.connect(broker)
    return session


def test_a_message_crosses_the_broker(broker: Broker, sender: Session) -> None:
    receiver = Session("receiver")
    receiver.connect(broker)
    receiver.subscribe("solar/+/data")
    sender.publish("solar/device_01/data", b"{}")
    wait_for(lambda: receiver.received == [b"{}"], "the message")
    receiver.close()
    sender.close()


def test_absent_client_gets_more_than_mosquittos_default_of_1000(
    broker: Broker, sender: Session
) -> None:
    receiver = Session("receiver")
    receiver.connect(broker)
    receiver.subscribe("solar/+/data")
    receiver.close()
    messages = [b"%d" % number for number in range(3000)]
    sender.publish("solar/device_01/data", *messages)
    receiver.connect(broker)
    wait_for(lambda: len(receiver.received) >= len(messages), "every queued message")
    assert receiver.received == messages
    receiver.close()
    sender.close()


def test_retained_message_and_session_survive_a_restart(broker: Broker, sender: Session) -> None:
    receiver = Session("receiver")
    receiver.connect(broker)
    receiver.subscribe("solar/+/data")
    receiver.close()
    sender.publish("solar/device_01/data", b"queued")
    sender.publish("solar/device_01/status", b"retained", retain=True)
    sender.close()
    port = broker.port
    broker.stop()
    broker.start()
    assert broker.port == port
    receiver.connect(broker)
    wait_for(lambda: receiver.received == [b"queued"], "the queued message")
    receiver.subscribe("solar/+/status")
    wait_for(lambda: receiver.received == [b"queued", b"retained"], "the retained message")
    receiver.close()


def test_saved_message_survives_kill_9(tmp_path: Path) -> None:
    with Broker(tmp_path, settings=BrokerSettings(autosave_s=1)) as broker:
        session = Session("one")
        session.connect(broker)
        session.publish("solar/device_01/status", b"retained", retain=True)
        session.close()
        saved = tmp_path / "mosquitto.db"
        wait_for(lambda: saved.exists() and b"retained" in saved.read_bytes(), "the autosave")
        broker.kill()
        assert not broker.running
        broker.start()
        session.connect(broker)
        session.subscribe("solar/+/status")
        wait_for(lambda: session.received == [b"retained"], "the retained message")
        session.close()


def test_broker_killed_from_outside_is_noticed_and_started_again(broker: Broker) -> None:
    os.kill(broker.pid, signal.SIGKILL)
    wait_for(lambda: not broker.running, "the broker's end")
    broker.start()
    assert broker.running


def test_too_large_a_packet_is_refused(tmp_path: Path) -> None:
    with Broker(tmp_path, settings=BrokerSettings(max_packet_bytes=1000)) as broker:
        receiver, session = Session("receiver"), Session("sender")
        receiver.connect(broker)
        receiver.subscribe("#")
        gone = threading.Event()
        session.client.on_disconnect = lambda *_: gone.set()
        session.connect(broker)
        session.client.publish("solar/device_01/data", bytes(2000), qos=0)
        assert gone.wait(DEADLINE_S)
        session.client.loop_stop()
        session.connect(broker)
        session.publish("solar/device_01/data", b"small")
        wait_for(lambda: receiver.received == [b"small"], "the small message alone")
        session.close()
        receiver.close()


def test_taken_port_is_named_and_its_owner_left_alone(broker: Broker, tmp_path: Path) -> None:
    second = Broker(tmp_path / "second", port=broker.port)
    with pytest.raises(BrokerError, match=rf"port {broker.port}: .*Address already in use"):
        second.start()
    assert not second.running
    assert broker.running


def test_missing_mosquitto_names_the_debian_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(central.broker, "_EXTRA_PLACES", ())
    with pytest.raises(BrokerError, match="Debian's package `mosquitto`"):
        Broker(tmp_path).start()


def test_mosquitto_is_found_outside_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert central.broker.find_mosquitto().name == "mosquitto"


@pytest.mark.parametrize("name", ["max_queued_messages", "autosave_s", "max_packet_bytes"])
def test_settings_without_effect_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        BrokerSettings(**{name: 0})


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_broker_ends_with_the_process_that_started_it(
    tmp_path: Path, signal_number: signal.Signals
) -> None:
    program = (
        "import sys, time; from pathlib import Path; from central.broker import Broker\n"
        "broker = Broker(Path(sys.argv[1])); broker.start(); print(broker.pid, flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        broker_pid = int(parent.stdout.readline())
        parent.send_signal(signal_number)
        parent.wait(DEADLINE_S)
    try:
        wait_for(lambda: _is_gone(broker_pid), f"the end of broker {broker_pid}")
    except AssertionError:
        os.kill(broker_pid, signal.SIGKILL)  # a failure leaves nothing behind either
        raise


def _is_gone(pid: int) -> bool:
    """Whether the process has ended; an orphan that nobody reaped yet counts as ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"
