"""Keeps the owner's Home Assistant told, over a connection of its own.

    home = HomeAssistant(settings, agent, site, describe_devices(tables), version, clock,
                         load=..., save=...)
    home.note_record(record)            # and the other note_...: cheap, never raise
    await home.run(progress)            # one supervised worker; may be run again

The uplink knows nothing of it: own session, own back-off, own client id, and if this broker is away
nothing grows but the age of what is told (``outbox``). Once a second what has changed is told, so a
device costs at most one message of values a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from edge_agent.supervision import Progress
from edge_agent.uplink.mqtt_client import LastWill, Published
from edge_agent.uplink.mqtt_session import MqttSession
from models.contract.clock import Clock
from models.contract.fields import Json
from models.contract.forecast import Forecast
from models.contract.messages import Alert, Status
from models.contract.payload import canonical
from models.contract.record import Record
from models.features.site import Site

from .board import AgentState, Board
from .discovery import OFFLINE, ONLINE, Describer, DeviceInfo, Topics
from .memory import Memory, recall
from .outbox import Outbox
from .settings import HomeAssistantSettings

_log = logging.getLogger(__name__)

TURN_S = 1.0
_STORE_S = 30.0
"""A card may stall; longer than this nobody waits for it."""
_STORE_AGAIN_S = 300.0
_GOODBYE_S = 2.0
_CONFIG = "/config"


class HomeAssistant:
    """Create and use it in one event loop."""

    def __init__(
        self,
        settings: HomeAssistantSettings,
        agent: str,
        site: Site,
        devices: Sequence[DeviceInfo],
        version: str,
        clock: Clock,
        *,
        load: Callable[[], Any],
        save: Callable[[Json], object],
        turn_s: float = TURN_S,
    ) -> None:
        """``load`` and ``save``: what was published, durably; called in a worker thread."""
        self._settings, self._agent, self._clock = settings, agent, clock
        self._devices, self._load, self._save = tuple(devices), load, save
        self._turn_s = turn_s
        self._topics = Topics(
            settings.discovery_prefix, settings.topic_prefix, settings.node_of(agent)
        )
        owners = [agent, *(info.name for info in self._devices)]
        self._own_topics = {self._topics.config(owner) for owner in owners}
        self._own_topics.add(self._topics.availability)
        self._own_prefixes = tuple(self._topics.of(owner, "") for owner in owners)
        self._describer = Describer(self._topics, agent, version)
        self._board = Board(self._topics, agent, self._devices, settings.zone(site.longitude))
        self._outbox = Outbox()
        self._memory: Memory | None = None
        self._store_at = 0.0  # monotonic; infinite when there is nothing to store
        self._session: MqttSession | None = None
        self._refused: set[str] = set()
        self._complaint = ""
        self.counters = dict.fromkeys(
            ("home_assistant_sent", "home_assistant_refused", "home_assistant_errors"), 0
        )

    @property
    def connected(self) -> bool:
        """Whether its broker is there."""
        return self._session is not None and self._session.connected

    @property
    def waiting(self) -> int:
        """Topics whose newest message the broker does not have."""
        return self._outbox.waiting

    # --- what happens ----------------------------------------------------------------------------

    def note_record(self, record: Record) -> None:
        """One poll of one device."""
        self._note(lambda: self._board.note_record(record, self._clock.monotonic()))

    def note_forecast(self, forecast: Forecast) -> None:
        """A new forecast."""
        self._note(lambda: self._board.note_forecast(forecast))

    def note_alert(self, alert: Alert) -> None:
        """Something is wrong, or right again."""
        self._note(lambda: self._board.note_alert(alert))

    def note_status(
        self,
        status: Status,
        *,
        clock_trusted: bool | None = None,
        last_ack_s: float | None = None,
    ) -> None:
        """How the agent is doing; ``last_ack_s``: seconds since the centre's last answer."""
        since_ms = None if last_ack_s is None else round(last_ack_s) * 1000
        last_sync = None if since_ms is None else status.timestamp - since_ms
        self._note(lambda: self._board.note_agent(AgentState(status, clock_trusted, last_sync)))

    def _note(self, take: Callable[[], None]) -> None:
        try:
            take()
        except Exception as error:  # an ornament must not cost a reading
            self._complain("could not be taken in", error)

    # --- the worker ------------------------------------------------------------------------------

    async def run(self, progress: Progress) -> None:
        """Tell until cancelled; the last will then says that the agent has gone."""
        await self._recall()
        session = self._session = MqttSession(
            self._settings.client_id(self._agent),
            self._settings.mqtt(),
            self._settings.reconnect,
            will=lambda: LastWill(self._topics.availability, OFFLINE.encode()),
        )
        session.on_lost = self._outbox.connection_lost
        session.on_published = self._on_published
        session.watch(self._topics.birth, self._on_birth)
        connection = asyncio.create_task(session.run(), name="home-assistant-session")
        try:
            while True:
                progress.mark()
                if connection.done():
                    connection.result()  # raises what ended it
                    raise RuntimeError("the connection to Home Assistant's broker has ended")
                try:
                    await self._turn(session)
                except Exception as error:
                    self._complain("one turn failed", error)
                await asyncio.sleep(self._turn_s)
        finally:
            connection.cancel()
            await asyncio.wait([connection], timeout=_GOODBYE_S)
            self._outbox.connection_lost()

    async def _turn(self, session: MqttSession) -> None:
        for topic, body in self._board.changes(self._clock.now(), self._clock.monotonic()).items():
            self._outbox.put(topic, _encode(body))
        await self._describe()
        if not session.connected:
            return
        self.counters["home_assistant_sent"] += self._outbox.send(
            self._clock.monotonic(),
            session.payload_limit,
            lambda topic, payload: session.publish(topic, payload, retain=True),
        )
        if self._outbox.too_large:
            topics = ", ".join(sorted(self._outbox.too_large))
            raise ValueError(f"larger than the broker's {session.payload_limit} bytes: {topics}")

    async def _describe(self) -> None:
        """Descriptions of what has been found, and an end to what is gone."""
        memory = self._memory
        assert memory is not None
        for info in self._devices:
            if memory.grow(info.name, self._board.quantities(info.name)):
                self._store_at = 0.0
                self._put_description(info, memory)
        self._end_what_is_gone(memory)
        current = {topic for topic in self._outbox.topics if self._is_ours(topic)}
        if not current <= memory.topics:
            memory.topics |= current
            self._store_at = 0.0
        await self._store(memory)

    def _end_what_is_gone(self, memory: Memory) -> None:
        """Sensors first, and when they are gone the values they read: an empty one is no value."""
        ending = {topic for topic in self._outbox.topics if not self._is_ours(topic)}
        gone = {topic for topic in memory.topics if not self._is_ours(topic)} - ending
        sensors = {topic for topic in gone if topic.endswith(_CONFIG)}
        if sensors:
            gone = sensors
        elif any(topic.endswith(_CONFIG) for topic in ending):
            return
        for topic in sorted(gone):
            self._outbox.clear(topic)

    def _is_ours(self, topic: str) -> bool:
        """Whether the present settings have this topic."""
        return topic in self._own_topics or topic.startswith(self._own_prefixes)

    async def _recall(self) -> None:
        if self._memory is not None:
            return  # this worker was started again
        try:
            async with asyncio.timeout(_STORE_S):
                memory = recall(await asyncio.to_thread(self._load))
        except Exception as error:
            self._complain("what was published before could not be read", error)
            memory = Memory()
        memory.adopt(self._devices)
        for name, known in memory.devices.items():
            self._board.expect(name, known.quantities)
        self._memory = memory
        self._outbox.put(self._topics.config(self._agent), _encode(self._describer.site()))
        for info in self._devices:
            memory.grow(info.name, self._board.quantities(info.name))
            self._put_description(info, memory)
        self._outbox.put(self._topics.availability, ONLINE.encode())

    def _put_description(self, info: DeviceInfo, memory: Memory) -> None:
        known = memory.devices[info.name]
        description = self._describer.device(info, known.quantities, known.gone)
        self._outbox.put(self._topics.config(info.name), _encode(description))

    async def _store(self, memory: Memory) -> None:
        """Before anything new is sent: a power cut in between must not make us forget it."""
        now = self._clock.monotonic()
        if now < self._store_at:
            return
        self._store_at = now + _STORE_AGAIN_S  # if it fails
        async with asyncio.timeout(_STORE_S):
            await asyncio.to_thread(self._save, memory.to_json())
        self._store_at = float("inf")

    # --- what the broker says --------------------------------------------------------------------

    def _on_published(self, event: Published) -> None:
        refused = event.failure is not None and not event.nobody  # retained: nobody need listen
        topic = self._outbox.answered(event.mid, self._clock.monotonic(), refused=refused)
        if topic is None:
            return
        if refused:
            self.counters["home_assistant_refused"] += 1
            if topic not in self._refused:
                _log.warning(
                    "Home Assistant's broker refuses %s: %s; allow this user to write there",
                    topic, event.failure,
                )  # fmt: skip
            self._refused.add(topic)
        elif self._memory is not None and topic not in self._outbox.topics:
            self._memory.topics.discard(topic)  # it has been cleared
            self._store_at = 0.0

    def _on_birth(self, _topic: str, payload: bytes) -> None:
        if payload == ONLINE.encode():
            self._outbox.tell_again()

    def _complain(self, what: str, error: Exception) -> None:
        self.counters["home_assistant_errors"] += 1
        text = f"{what}: {type(error).__name__}: {error}"
        if text != self._complaint:  # said once, not every second
            _log.warning("Home Assistant: %s", text, exc_info=error)
        self._complaint = text


def _encode(body: Json) -> bytes:
    return body.encode() if isinstance(body, str) else canonical(body).encode()
