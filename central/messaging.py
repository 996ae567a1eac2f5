"""The centre's one door to MQTT. Decides the session, when a message counts as taken, what a
publish means, and that no callback can die.

Three measured traps shape it: an exception in a callback ends paho's thread while
``is_connected()`` stays True, so every callback is guarded; a session with ``clean_start`` is not
kept by mosquitto, so subscribers connect without; a PUBACK that paho sends by itself comes before
our commit, so messages are acknowledged by hand (``settle``) and the broker's *receive maximum*
bounds what can wait here. What messages mean is left to ``central.ingest``.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import (
    Client,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
    MQTTMessageInfo,
    MQTTv5,
)
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from models.contract.topics import QOS

from .settings import MqttSettings

log = logging.getLogger(__name__)

ORIGIN = "solar-central"
"""User property ``origin`` of everything the centre publishes, so that it knows its own echo."""
_MAX_QUEUED = 10_000
_MAX_PACKET = 2 * 1024 * 1024
_REPEAT_S = 60.0


class MessagingError(RuntimeError):
    """A message was not taken by the broker; says why."""


@dataclass(frozen=True)
class Delivery:
    """One message as it came. It stays the broker's until it is settled."""

    topic: str
    payload: bytes
    retained: bool
    """Stood on the broker already when we subscribed."""
    own: bool
    """Published by the centre itself."""
    mid: int
    qos: int
    connection: int
    """Which connection brought it: message ids mean nothing to another one."""


def _guarded(callback: Callable[..., None]) -> Callable[..., None]:
    """An exception here would silently end the network thread."""

    @functools.wraps(callback)
    def safe(*arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception:
            log.exception("MQTT callback %s failed; going on", callback.__name__)

    return safe


class Messaging:
    """One MQTT 5 connection that comes back by itself.

    With subscriptions the session is kept by the broker while we are away; without, it is only for
    publishing. ``on_delivery`` runs in the network thread and should only hand over.
    """

    def __init__(
        self,
        settings: MqttSettings,
        *,
        client_id: str | None = None,
        subscriptions: Sequence[str] = (),
        on_delivery: Callable[[Delivery], None] | None = None,
    ) -> None:
        self._settings = settings
        self._client_id = client_id or settings.client_id
        self._subscriptions = tuple(subscriptions)
        self._on_delivery = on_delivery
        self._connection = 0
        self._connected = threading.Event()
        self._refused: tuple[str, ...] = ()
        self._last_complaint = 0.0
        self._pending: dict[int, Future[str]] = {}
        self._pending_lock = threading.Lock()
        self._client = self._make_client()

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection and it has not ended since."""
        return self._connected.is_set()

    @property
    def refused_subscriptions(self) -> tuple[str, ...]:
        """Filters that the broker did not grant."""
        return self._refused

    def start(self) -> None:
        """Begin to connect, in the background and again and again; returns at once."""
        settings = self._settings
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = settings.receive_maximum
        properties.MaximumPacketSize = _MAX_PACKET
        if self._subscriptions:
            properties.SessionExpiryInterval = settings.session_expiry_s
        self._client.connect_async(
            settings.host,
            settings.port,
            keepalive=settings.keepalive_s,
            clean_start=not self._subscriptions,
            properties=properties,
        )
        self._client.loop_start()

    def wait_connected(self, timeout_s: float) -> bool:
        """Whether there is a connection within ``timeout_s`` seconds."""
        return self._connected.wait(timeout_s)

    def stop(self) -> None:
        """Say good-bye and end the network thread; the broker keeps the session."""
        self._client.disconnect()
        self._client.loop_stop()
        self._connected.clear()
        self._fail_pending("the connection was closed")

    def settle(self, deliveries: Iterable[Delivery]) -> None:
        """Tell the broker that these messages are ours now. Those of an earlier connection come
        again by themselves and are settled then."""
        for delivery in deliveries:
            if delivery.qos and delivery.connection == self._connection:
                self._client.ack(delivery.mid, delivery.qos)

    def send(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Hand a message to the connection without waiting; False when there is none to take it."""
        if not self.connected:
            return False
        return self._publish(topic, payload, retain).rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, timeout_s: float = 10.0
    ) -> None:
        """Publish and wait until the broker has taken it. Raises ``MessagingError`` when it
        refuses, or has not answered within ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        if not self.wait_connected(timeout_s):
            raise MessagingError(
                f"no connection to the broker at {self._settings.host}:{self._settings.port}"
            )
        with self._pending_lock:
            info = self._publish(topic, payload, retain)
            if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise MessagingError(f"{topic}: not sent ({info.rc.name})")
            answer = self._pending[info.mid] = Future()
        try:
            refusal = answer.result(max(deadline - time.monotonic(), 0.0))
        except TimeoutError:
            raise MessagingError(f"{topic}: the broker did not answer in {timeout_s:g} s") from None
        finally:
            with self._pending_lock:
                self._pending.pop(info.mid, None)
        if refusal:
            raise MessagingError(f"{topic}: {refusal}")

    def _publish(self, topic: str, payload: bytes, retain: bool) -> MQTTMessageInfo:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.UserProperty = ("origin", ORIGIN)
        return self._client.publish(topic, payload, qos=QOS, retain=retain, properties=properties)

    def _make_client(self) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=MQTTv5,
            manual_ack=True,
        )
        client.reconnect_delay_set(min_delay=1, max_delay=30)
        client.max_queued_messages_set(_MAX_QUEUED)
        client.max_inflight_messages_set(100)
        client.on_connect = _guarded(self._connect_answered)
        client.on_connect_fail = _guarded(self._connect_failed)
        client.on_disconnect = _guarded(self._disconnected)
        client.on_subscribe = _guarded(self._subscribed)
        client.on_publish = _guarded(self._published)
        client.on_message = _guarded(self._message)
        return client

    def _place(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"

    def _connect_answered(
        self, _client: Client, _data: Any, flags: ConnectFlags, code: ReasonCode, _properties: Any
    ) -> None:
        if code.is_failure:
            log.error("MQTT broker %s refuses %s: %s", self._place(), self._client_id, code)
            return
        self._connection += 1
        self._connected.set()
        log.info(
            "connected to MQTT broker %s as %s (session %s)",
            self._place(),
            self._client_id,
            "kept" if flags.session_present else "new",
        )
        if self._subscriptions:
            options = SubscribeOptions(qos=QOS, noLocal=True)
            self._client.subscribe([(name, options) for name in self._subscriptions])

    def _connect_failed(self, _client: Client, _data: Any) -> None:
        now = time.monotonic()
        if now - self._last_complaint >= _REPEAT_S or not self._last_complaint:
            self._last_complaint = now
            log.warning("no MQTT broker at %s; trying on", self._place())

    def _disconnected(
        self, _client: Client, _data: Any, _flags: DisconnectFlags, code: ReasonCode, _p: Any
    ) -> None:
        self._connected.clear()
        if code.is_failure:
            log.warning("connection to MQTT broker %s ended: %s", self._place(), code)

    def _subscribed(
        self, _client: Client, _data: Any, _mid: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        self._refused = tuple(
            name for name, code in zip(self._subscriptions, codes, strict=False) if code.is_failure
        )
        if self._refused:
            log.error("MQTT broker %s refuses to deliver %s", self._place(), self._refused)

    def _published(
        self, _client: Client, _data: Any, mid: int, code: ReasonCode, _properties: Any
    ) -> None:
        with self._pending_lock:
            answer = self._pending.pop(mid, None)
        refusal = str(code) if code.is_failure else ""
        if answer is not None:
            answer.set_result(refusal)
        elif refusal:
            log.error("MQTT broker %s refused a message: %s", self._place(), refusal)

    def _message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            origins = getattr(message.properties, "UserProperty", ())
            delivery = Delivery(
                topic=message.topic,
                payload=bytes(message.payload),
                retained=message.retain,
                own=("origin", ORIGIN) in origins,
                mid=message.mid,
                qos=message.qos,
                connection=self._connection,
            )
        except UnicodeDecodeError:
            log.error("a message on a topic that is not UTF-8 was dropped")
            self._client.ack(message.mid, message.qos)
            return
        if self._on_delivery is not None:
            self._on_delivery(delivery)

    def _fail_pending(self, reason: str) -> None:
        with self._pending_lock:
            answers, self._pending = self._pending, {}
        for answer in answers.values():
            answer.set_result(reason)
