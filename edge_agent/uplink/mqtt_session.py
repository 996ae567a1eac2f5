"""The agent's one MQTT connection as the event loop sees it: kept up, shared, and asked for truth.

Decides when to connect again (by ``reconnect``), which subscriptions live on, and what "absent"
means for retained messages. It leaves to others: paho (``mqtt_client``) and what to send
(``uplink``). Everything here runs in the event loop; the network thread only hands events over.

Retained messages come with no end mark. :meth:`MqttSession.fetch_retained` therefore subscribes and
then publishes to its own fence topic: the broker serves both in order, so what has not come when
the fence comes back is absent; without a fence nothing is known (200 of 200 on mosquitto, 63 ms).
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from paho.mqtt.client import topic_matches_sub

from edge_agent.errors import TransportUnavailable
from models.contract import topics
from models.contract.payload import MAX_PAYLOAD, canonical

from .mqtt_client import (
    Accepted,
    Connection,
    Ended,
    LastWill,
    Message,
    MqttEvent,
    MqttSettings,
    Published,
    Refused,
    Subscribed,
    guarded,
)
from .reconnect import Event, Reconnect, ReconnectSettings, State

_log = logging.getLogger(__name__)

MessageCallback = Callable[[str, bytes], object]
"""Called in the event loop with topic and payload (empty: the retained message was cleared)."""

_GOODBYE_S = 2.0


@dataclass(frozen=True, eq=False)
class _Route:
    topic_filter: str
    callback: MessageCallback


class MqttSession:
    """Keeps one connection up while :meth:`run` runs. Create and use it in one event loop."""

    def __init__(
        self,
        agent: str,
        settings: MqttSettings,
        reconnect: ReconnectSettings,
        *,
        will: Callable[[], LastWill],
        rng: random.Random | None = None,
    ) -> None:
        """``will`` is asked at each attempt; ``agent`` is the client id and owns the fence."""
        self._agent, self._settings, self._will = agent, settings, will
        self._machine = Reconnect(reconnect, rng or random.Random())
        self._connection: Connection | None = None
        self._generation = 0
        self._signals: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        self._up = asyncio.Event()
        self._ended = asyncio.Event()
        self._closing = False
        self._routes: list[_Route] = []
        self._kept: dict[str, int] = {}  # subscriptions renewed on every connection, counted
        self._fetching = asyncio.Lock()
        self._answers: dict[int, asyncio.Future[None]] = {}  # by mid: SUBACK, and PUBACK of fences
        self._fences: dict[str, asyncio.Future[None]] = {}
        self._fence_topic = topics.build(agent, "fence")
        self.on_connected: Callable[[], object] = lambda: None
        self.on_lost: Callable[[], object] = lambda: None
        self.on_published: Callable[[Published], object] = lambda _: None
        self.payload_limit = MAX_PAYLOAD
        """Bytes that the broker takes in one message."""
        self.last_error = ""
        self.last_heard = 0.0
        """Monotonic time of the last event from the broker."""
        self.counters = dict.fromkeys(
            ("mqtt_connects", "mqtt_failures", "mqtt_lost", "mqtt_unexpected"), 0
        )
        self.watch(self._fence_topic, self._on_fence)

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and the network thread lives."""
        return self._up.is_set()

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._machine.state

    # --- sending and receiving -------------------------------------------------------------------

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int | None:
        """Queue a message at QoS 1. Its number (``on_published`` follows), or None: not now."""
        if self._connection is None or not self.connected:
            return None
        return self._connection.publish(topic, payload, retain=retain)

    def watch(self, topic_filter: str, callback: MessageCallback) -> Callable[[], None]:
        """Call ``callback`` with every message on ``topic_filter``, over all reconnects.

        A retained message comes at once, and again after every reconnect even if it did not change.
        Returns the function that ends it. The callback's exceptions are logged and go no further.
        """
        route = _Route(topic_filter, callback)
        self._routes.append(route)
        self._kept[topic_filter] = self._kept.get(topic_filter, 0) + 1
        self._subscribe(topic_filter)

        def end() -> None:
            if route not in self._routes:
                return
            self._routes.remove(route)
            self._kept[topic_filter] -= 1
            if not self._kept[topic_filter]:
                del self._kept[topic_filter]
                if self._connection is not None:
                    self._connection.unsubscribe(topic_filter)

        return end

    async def fetch_retained(self, topic_filter: str, timeout_s: float) -> dict[str, bytes]:
        """Every retained message that matches, by topic; a topic that is not there is absent.

        Waits for a connection if there is none. A filter should match fewer topics than the broker
        queues for one client (1000 in mosquitto's own default), or the broker drops the rest.

        Raises:
            TransportUnavailable: nothing is known: no connection, connection lost, refused, or no
                fence within ``timeout_s`` real seconds.
        """
        try:
            async with asyncio.timeout(timeout_s), self._fetching:
                await self._up.wait()
                return await self._fetch(topic_filter)
        except TimeoutError:
            raise TransportUnavailable(
                f"no answer from {self._settings.host}:{self._settings.port} within {timeout_s} s"
                f" for {topic_filter}{f' ({self.last_error})' if self.last_error else ''}"
            ) from None

    async def _fetch(self, topic_filter: str) -> dict[str, bytes]:
        found: dict[str, bytes] = {}

        def take(topic: str, payload: bytes) -> None:
            if payload:
                found[topic] = payload
            else:
                found.pop(topic, None)

        route = _Route(topic_filter, take)
        nonce = secrets.token_hex(8)
        fence: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._routes.append(route)
        self._fences[nonce] = fence
        try:
            granted = self._subscribe(topic_filter)
            mid = self.publish(self._fence_topic, canonical({"fence": nonce}).encode())
            if granted is None or mid is None:
                raise TransportUnavailable("the connection was lost")
            self._answers[mid] = fence  # a refused publish fails the fence at once
            await granted
            await fence
            return found
        finally:
            self._routes.remove(route)
            del self._fences[nonce]
            fence.cancel()
            if topic_filter not in self._kept and self._connection is not None:
                self._connection.unsubscribe(topic_filter)

    def _subscribe(self, topic_filter: str) -> asyncio.Future[None] | None:
        if self._connection is None or not self.connected:
            return None
        mid = self._connection.subscribe(topic_filter)
        if mid is None:
            return None
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answers[mid] = answer
        return answer

    def _on_fence(self, _topic: str, payload: bytes) -> None:
        for nonce, fence in self._fences.items():
            if nonce.encode() in payload and not fence.done():
                fence.set_result(None)

    # --- the life of the connection --------------------------------------------------------------

    async def run(self) -> None:
        """Connect, and connect again, until :meth:`close`. May be run again after it ended."""
        self._machine.begin_again()
        self._closing = False
        event = Event.START
        try:
            while self._machine.handle(event, time.monotonic()) is not State.STOPPED:
                if self._closing:
                    event = Event.STOP
                elif self._machine.state is State.CONNECTING:
                    event = await self._connect()
                elif self._machine.state is State.CONNECTED:
                    event = await self._next_signal(None) or Event.LOST
                else:
                    event = await self._pause(self._machine.pause_s)
        finally:
            self._drop()

    async def close(self) -> None:
        """Say goodbye, so that the last will is not published, and let :meth:`run` return."""
        self._closing = True
        if self._connection is not None and self.connected:
            self._ended.clear()
            self._connection.disconnect()
            try:
                async with asyncio.timeout(_GOODBYE_S):
                    await self._ended.wait()
            except TimeoutError:
                _log.warning("the broker connection did not end in time; it was left behind")
        self._signals.put_nowait((self._generation, Event.STOP))

    async def _connect(self) -> Event:
        self._drop()
        self._generation += 1
        generation, loop = self._generation, asyncio.get_running_loop()

        def report(event: MqttEvent) -> None:  # network thread
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._handle, generation, event)

        try:
            self._connection = Connection(self._agent, self._settings, self._will(), report)
        except Exception as error:  # unreadable files now may be readable later
            self._failed(str(error))
            return Event.REFUSED
        event = await self._next_signal(self._settings.connect_timeout_s + 1.0)
        if event is None:
            self._failed("no answer")
        if event is not Event.ACCEPTED:
            self._drop()
        return event or Event.FAILED

    async def _next_signal(self, timeout_s: float | None) -> Event | None:
        """The next signal of the present connection; None when none came in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    generation, event = await self._signals.get()
                    if event is Event.STOP or generation == self._generation:
                        return event
        except TimeoutError:
            return None

    async def _pause(self, seconds: float) -> Event:
        """Wait; what the dead connection may still say does not matter."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if await self._next_signal(left) is Event.STOP:
                return Event.STOP
        return Event.WAITED

    def _signal(self, event: Event) -> None:
        self._signals.put_nowait((self._generation, event))

    def _handle(self, generation: int, event: MqttEvent) -> None:
        if generation != self._generation or self._connection is None:
            return
        self.last_heard = time.monotonic()
        match event:
            case Accepted():
                self._accepted(event)
            case Refused():
                self._failed(event.reason)
                self._signal(Event.REFUSED if event.lasting else Event.FAILED)
            case Message():
                self._deliver(event)
            case Published():
                self._answer(event.mid, event.failure)
                guarded(self.on_published)(event)
            case Subscribed():
                self._answer(event.mid, event.failure)
            case Ended():
                self._over(event)

    def _accepted(self, event: Accepted) -> None:
        self.counters["mqtt_connects"] += 1
        self.last_error, self.payload_limit = "", event.payload_limit
        _log.info("connected to %s:%d as %s", self._settings.host, self._settings.port, self._agent)
        self._up.set()
        for topic_filter in self._kept:
            self._subscribe(topic_filter)
        guarded(self.on_connected)()
        self._signal(Event.ACCEPTED)

    def _over(self, event: Ended) -> None:
        was_up = self.connected
        self._drop()
        self._ended.set()
        if was_up:
            self.counters["mqtt_lost"] += 1
            if not self._closing:
                _log.warning("the broker connection was lost: %s", event.reason)
            self.last_error = event.reason
            self._signal(Event.REFUSED if event.lasting else Event.LOST)
        else:
            self._failed(event.reason)
            self._signal(Event.FAILED)

    def _failed(self, reason: str) -> None:
        self.counters["mqtt_failures"] += 1
        if reason != self.last_error:  # said once, not at every attempt
            _log.warning(
                "no connection to %s:%d: %s; trying on",
                self._settings.host, self._settings.port, reason,
            )  # fmt: skip
        self.last_error = reason

    def _drop(self) -> None:
        """Let go of the present connection and of everybody who waits for it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect(with_will=True)
        was_up = self.connected
        self._up.clear()
        for waiting in [*self._answers.values(), *self._fences.values()]:
            if not waiting.done():
                waiting.set_exception(TransportUnavailable("the connection was lost"))
                waiting.exception()  # seen here: nobody may be waiting for it any more
        self._answers.clear()
        if was_up:
            guarded(self.on_lost)()

    def _answer(self, mid: int, failure: str | None) -> None:
        waiting = self._answers.pop(mid, None)
        if waiting is None or waiting.done():
            return
        if failure is not None:
            _log.warning("the broker refused a subscription or fence: %s", failure)
            waiting.set_exception(TransportUnavailable(f"the broker refused: {failure}"))
            waiting.exception()  # seen here: nobody may be waiting for it
        elif waiting not in self._fences.values():  # a fence is through when it comes back
            waiting.set_result(None)

    def _deliver(self, message: Message) -> None:
        routes = [r for r in self._routes if topic_matches_sub(r.topic_filter, message.topic)]
        for route in routes:
            guarded(route.callback)(message.topic, message.payload)
        if not routes and self._connection is not None:
            # Left over in the broker's session from before a crash: give it back.
            self.counters["mqtt_unexpected"] += 1
            self._connection.unsubscribe(message.topic)
