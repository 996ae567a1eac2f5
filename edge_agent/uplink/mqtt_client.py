"""The one door to paho-mqtt: one connection, lived once, reported as events.

Decides protocol options (MQTT 5, session kept, last will, TLS). It leaves to others: when to
connect again and what the events mean (``mqtt_session``). paho's network thread calls in here;
nothing is decided in it and nothing may escape from it: an exception in a callback would end the
thread while ``is_connected()`` stays true for ever (measured; paho-mqtt issues 365 and 704). A new
client is made for every connection, because paho keeps unsent messages in memory and would send
them again beside ours.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from models.contract.payload import MAX_PAYLOAD
from models.contract.topics import QOS

_log = logging.getLogger(__name__)
P = ParamSpec("P")

NOBODY_LISTENS = 0x10
"""PUBACK "no matching subscribers": a success to MQTT, a loss to us."""
_MAX_QUEUED = 2_000
_PACKET_OVERHEAD = 1_024


@dataclass(frozen=True)
class MqttSettings:
    """Where the broker is and who we are to it. Names of files, not their content."""

    host: str
    port: int = 1883
    username: str | None = None
    password_file: str | None = None
    """First line is the password, so that the settings file holds no secret."""
    ca_file: str | None = None
    """Certificates that may sign the broker's; turns TLS on. Use port 8883 then."""
    cert_file: str | None = None
    """Our own certificate (and its chain); its name is the agent's name."""
    key_file: str | None = None
    keepalive_s: int = 30
    """A silent broker is noticed after at most twice this."""
    connect_timeout_s: float = 10.0
    session_expiry_s: int = 86_400
    """How long the broker keeps acknowledgements for an absent agent."""

    def __post_init__(self) -> None:
        if not self.host:
            raise ValueError("host: must not be empty")
        if not 1 <= self.port <= 65_535:
            raise ValueError("port: must be between 1 and 65535")
        if not 5 <= self.keepalive_s <= 3_600:
            raise ValueError("keepalive_s: must be between 5 and 3600 seconds")
        if not 0.1 <= self.connect_timeout_s <= 120:
            raise ValueError("connect_timeout_s: must be between 0.1 and 120 seconds")
        if not 0 <= self.session_expiry_s <= 0xFFFFFFFF:
            raise ValueError("session_expiry_s: must be between 0 and 4294967295 seconds")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("key_file: cert_file and key_file belong together")
        if self.cert_file is not None and self.ca_file is None:
            raise ValueError("ca_file: a client certificate needs TLS, and TLS needs ca_file")
        if self.password_file is not None and self.username is None:
            raise ValueError("username: a password needs a name")


@dataclass(frozen=True, slots=True)
class LastWill:
    """What the broker publishes, retained, when we vanish."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Accepted:
    """The broker took the connection. ``payload_limit``: bytes it takes in one message."""

    session_present: bool
    payload_limit: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker said no; ``lasting`` when only a person can change that."""

    reason: str
    lasting: bool


@dataclass(frozen=True, slots=True)
class Message:
    """A message came in."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Published:
    """The broker answered a publish; ``failure`` is None when it was passed on to somebody."""

    mid: int
    failure: str | None
    nobody: bool = False


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The broker answered a subscription; ``failure`` is None when it was granted."""

    mid: int
    failure: str | None


@dataclass(frozen=True, slots=True)
class Ended:
    """The network thread is over, whatever the cause. The last event of a connection."""

    reason: str
    lasting: bool = False


MqttEvent = Accepted | Refused | Message | Published | Subscribed | Ended

_LASTING = frozenset(
    {
        "Unsupported protocol version",
        "Client identifier not valid",
        "Bad user name or password",
        "Not authorized",
        "Banned",
        "Session taken over",
    }
)


def guarded(callback: Callable[P, object]) -> Callable[P, None]:
    """``callback``, whose exceptions are logged and go no further."""

    @functools.wraps(callback)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            callback(*args, **kwargs)
        except Exception:
            _log.exception("a callback of the MQTT connection failed; the connection goes on")

    return run


class Connection:
    """One attempt to connect and, if it comes about, the life of that connection.

    ``report`` is called from the network thread with every event.
    """

    def __init__(
        self,
        client_id: str,
        settings: MqttSettings,
        will: LastWill,
        report: Callable[[MqttEvent], None],
    ) -> None:
        """Start connecting. Raises ``OSError`` or ``ValueError`` naming an unusable file."""
        self._report = guarded(report)
        self._last_reason = Ended("connection lost")
        client = _OneConnection(client_id, self._on_end)
        client.will_set(will.topic, will.payload, qos=QOS, retain=True)
        client.connect_timeout = settings.connect_timeout_s
        client.max_queued_messages_set(_MAX_QUEUED)
        _secure(client, settings)
        client.on_connect = guarded(self._on_connect)
        client.on_disconnect = guarded(self._on_disconnect)
        client.on_message = guarded(self._on_message)
        client.on_publish = guarded(self._on_publish)
        client.on_subscribe = guarded(self._on_subscribe)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = settings.session_expiry_s
        properties.MaximumPacketSize = MAX_PAYLOAD + _PACKET_OVERHEAD
        client.connect_async(
            settings.host,
            settings.port,
            keepalive=settings.keepalive_s,
            # False also the first time: mosquitto saves only sessions that were opened like this.
            clean_start=False,
            properties=properties,
        )
        self._client: _OneConnection | None = client  # before the thread: it may end at once
        client.loop_start()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int | None:
        """Queue a message at QoS 1; its number, or None when it could not be queued."""
        if self._client is None:
            return None
        info = self._client.publish(topic, payload, qos=QOS, retain=retain)
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def subscribe(self, topic_filter: str) -> int | None:
        """Ask for a subscription; its number, or None when it could not be sent."""
        if self._client is None:
            return None
        return self._client.subscribe(topic_filter, qos=QOS)[1]

    def unsubscribe(self, topic_filter: str) -> None:
        """Give a subscription back."""
        if self._client is not None:
            self._client.unsubscribe(topic_filter)

    def disconnect(self, *, with_will: bool = False) -> None:
        """End; ``Ended`` follows. ``with_will``: the broker is to publish the last will."""
        if self._client is not None:
            self._client.give_up(with_will=with_will)

    # --- called by paho's thread -----------------------------------------------------------------

    def _on_connect(
        self,
        _client: paho.Client,
        _userdata: Any,
        flags: paho.ConnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if code.is_failure:
            self._last_reason = Ended(code.getName(), code.getName() in _LASTING)
            self._report(Refused(code.getName(), code.getName() in _LASTING))
            return
        packet = getattr(properties, "MaximumPacketSize", MAX_PAYLOAD + _PACKET_OVERHEAD)
        limit = max(0, min(MAX_PAYLOAD, packet - _PACKET_OVERHEAD))
        self._report(Accepted(flags.session_present, limit))

    def _on_disconnect(
        self,
        _client: paho.Client,
        _userdata: Any,
        _flags: paho.DisconnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._last_reason = Ended(code.getName(), code.getName() in _LASTING)

    def _on_message(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        self._report(Message(message.topic, bytes(message.payload)))

    def _on_publish(
        self,
        _client: paho.Client,
        _userdata: Any,
        mid: int,
        code: ReasonCode,
        _properties: Properties,
    ) -> None:
        nobody = code.value == NOBODY_LISTENS
        self._report(Published(mid, code.getName() if code.is_failure or nobody else None, nobody))

    def _on_subscribe(
        self,
        _client: paho.Client,
        _userdata: Any,
        mid: int,
        codes: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        failed = [code.getName() for code in codes if code.is_failure]
        self._report(Subscribed(mid, failed[0] if failed else None))

    def _on_end(self, failure: str | None) -> None:
        client, self._client = self._client, None
        if client is not None:  # lets go of everything, so that its sockets close now
            client.on_connect = client.on_disconnect = client.on_message = None
            client.on_publish = client.on_subscribe = None
        self._report(Ended(failure) if failure is not None else self._last_reason)


class _OneConnection(paho.Client):
    """A client whose network thread connects once and says so when it ends, for whatever reason."""

    def __init__(self, client_id: str, ended: Callable[[str | None], None]) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
        )
        self._ended: Callable[[str | None], None] | None = ended
        self._given_up = False

    def loop_forever(
        self, timeout: float = 1.0, retry_first_connection: bool = False
    ) -> MQTTErrorCode:
        """Body of the network thread (``loop_start`` calls it)."""
        failure: str | None = None  # not the exception: it would keep a half-open socket alive
        try:
            self.reconnect()
            if self._given_up:
                self.disconnect()
            return super().loop_forever(timeout, retry_first_connection=False)
        except Exception as error:  # whatever ends this thread must be heard of
            failure = str(error) or type(error).__name__
            return MQTTErrorCode.MQTT_ERR_UNKNOWN
        finally:
            open_socket = self.socket()
            if open_socket is not None:
                open_socket.close()
            ended, self._ended = self._ended, None
            if ended is not None:
                ended(failure)

    def give_up(self, *, with_will: bool) -> None:
        """End the connection, or the attempt as soon as the operating system lets go of it."""
        self._given_up = True
        code = "Disconnect with will message" if with_will else "Normal disconnection"
        self.disconnect(ReasonCode(PacketTypes.DISCONNECT, code))


def _secure(client: paho.Client, settings: MqttSettings) -> None:
    if settings.username is not None:
        password = None
        if settings.password_file is not None:
            lines = Path(settings.password_file).read_text(encoding="utf-8").splitlines()
            if not lines:
                raise ValueError(f"{settings.password_file}: is empty; write the password into it")
            password = lines[0]
        client.username_pw_set(settings.username, password)
    if settings.ca_file is not None:
        try:
            client.tls_set(settings.ca_file, settings.cert_file, settings.key_file)
        except (OSError, ValueError) as error:
            files = [settings.ca_file, settings.cert_file, settings.key_file]
            named = ", ".join(file for file in files if file is not None)
            raise ValueError(f"TLS files cannot be used ({named}): {error}") from error
