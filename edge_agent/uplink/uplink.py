"""What is sent to the centre, in which order, and when it counts as delivered.

What was just committed goes first, each entry on the topic of its kind; the backlog follows in
compressed batches, oldest first. An entry is done only when the centre says that it has committed
it (``solar/{agent}/ack``): a broker's PUBACK was lost with the broker in 200 of 200 cases. What is
not acknowledged in time becomes backlog, so live traffic is never sent again because the backlog is
not through, and a retained forecast is never overwritten by an old one.

``status`` is not journalled: only the newest counts. It is published directly at birth, on request
and at the end, and stands with the broker as last will.

The connection itself is ``mqtt_session``'s, the arithmetic of what is under way ``shipments``',
what is still to be sent ``journal``'s.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.journal.journal import Journal
from edge_agent.journal.reader import StoredEntry
from edge_agent.journal.seq_ranges import SeqRanges
from models.contract import topics
from models.contract.errors import ContractError
from models.contract.messages import Kind, Rewind, Status, Void
from models.contract.payload import (
    MAX_PAYLOAD,
    canonical,
    decode_ack,
    decode_rewind,
    encode_entry,
    status_to_json,
)
from models.contract.timestamps import format_iso8601

from .batching import TEXT_PER_BYTE, Packed, pack
from .mqtt_client import LastWill, MqttSettings, Published
from .mqtt_session import MessageCallback, MqttSession
from .reconnect import Backoff, ReconnectSettings
from .shipments import Shipments

_log = logging.getLogger(__name__)

CHANNEL = {
    Kind.RECORD: "data",
    Kind.FORECAST: "forecast",
    Kind.ALERT: "alert",
    Kind.STATUS: "status",
}
"""Topic of a live entry by its kind."""
_TICK_S = 0.5
_LONGEST_PATIENCE_S = 600.0
_GOODBYE_S = 2.0


@dataclass(frozen=True)
class UplinkSettings:
    """Windows and patience of the uplink; real seconds."""

    ack_timeout_s: float = 30.0
    """Without the centre's acknowledgement an entry is backlog again after this long."""
    live_window: int = 200
    """Live entries under way at most; more become backlog."""
    batch_window: int = 3
    """Batches under way at most: what a new live entry may have to wait behind."""
    batch_entries: int = 2_000
    batch_bytes: int = 200_000
    """Compressed size of a batch, at most."""
    retry: ReconnectSettings = ReconnectSettings(first_s=2.0, longest_s=60.0)
    """Pauses of the backlog after the broker did not pass a message on."""

    def __post_init__(self) -> None:
        if not 0.1 <= self.ack_timeout_s <= 3600:
            raise ValueError("ack_timeout_s: must be between 0.1 and 3600 seconds")
        for name in ("live_window", "batch_window", "batch_entries"):
            if not 1 <= getattr(self, name) <= 100_000:
                raise ValueError(f"{name}: must be between 1 and 100000")
        if not 1_000 <= self.batch_bytes <= MAX_PAYLOAD:
            raise ValueError(f"batch_bytes: must be between 1000 and {MAX_PAYLOAD}")


class Uplink:
    """Drains the journal over one MQTT connection. Create and use it in one event loop."""

    def __init__(
        self,
        agent: str,
        journal: Journal,
        mqtt: MqttSettings,
        settings: UplinkSettings,
        *,
        status: Callable[[bool], Status],
        reconnect: ReconnectSettings | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """``status(online)`` gives the agent's status of the moment."""
        self._agent, self._journal, self._settings = agent, journal, settings
        self._status = status
        rng = rng or random.Random()
        self.session = MqttSession(
            agent, mqtt, reconnect or ReconnectSettings(), will=self._last_will, rng=rng
        )
        self.session.on_connected = self._on_connected
        self.session.on_lost = self._on_lost
        self.session.on_published = self._on_published
        self.session.watch(topics.build(agent, "ack"), self._on_ack)
        self.session.watch(topics.build(agent, "rewind"), self._on_rewind)
        self._shipments = Shipments()
        self._live: deque[StoredEntry] = deque(maxlen=settings.live_window)
        self._horizon = journal.last_seq  # newer entries are known to the writer only: not backlog
        self._cursor = 0
        self._too_large: set[int] = set()  # for this broker; tried again after a reconnect
        self._batch_entries = settings.batch_entries
        self._late_batches = 0
        self._pause = Backoff(settings.retry, rng)
        self._resume_at = 0.0
        self._wake = asyncio.Event()
        self._closing = False
        self._goodbye: tuple[int, asyncio.Event] | None = None
        self._forecast: StoredEntry | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._complaint = ""
        loop = asyncio.get_running_loop()

        def committed(entries: tuple[StoredEntry, ...]) -> None:  # the journal's thread
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._on_committed, entries)

        journal.on_commit(committed)
        self.progress_at = time.monotonic()
        """Real time of the last turn of the sending loop, for the watchdog."""
        self.last_ack_at: float | None = None
        """Real time of the centre's last acknowledgement."""
        self.counters = dict.fromkeys(
            (
                "uplink_live",
                "uplink_batches",
                "uplink_batch_entries",
                "uplink_batch_bytes",
                "uplink_acknowledged",
                "uplink_late",
                "uplink_not_passed_on",
                "uplink_quarantined",
                "uplink_rewinds",
                "uplink_bad_messages",
                "uplink_errors",
            ),
            0,
        )

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the broker. Says nothing about the centre."""
        return self.session.connected

    def counts(self) -> dict[str, int]:
        """Counters of the uplink and its connection, for status and metrics."""
        return self.counters | self.session.counters

    async def fetch_retained(self, topic_filter: str, timeout_s: float) -> dict[str, bytes]:
        """See :meth:`MqttSession.fetch_retained`."""
        return await self.session.fetch_retained(topic_filter, timeout_s)

    def watch(self, topic_filter: str, callback: MessageCallback) -> Callable[[], None]:
        """See :meth:`MqttSession.watch`."""
        return self.session.watch(topic_filter, callback)

    def publish_status(self) -> bool:
        """Publish the status of the moment, retained. False when there is no connection."""
        return self._publish_status(online=True) is not None

    # --- running ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send until :meth:`close`; may be run again. No error of one turn ends it."""
        self._closing = False
        self._horizon = self._journal.last_seq
        await self._find_forecast()
        session = asyncio.create_task(self.session.run(), name="mqtt-session")
        try:
            while not self._closing:
                self.progress_at = time.monotonic()
                if session.done():
                    session.result()  # raises what ended it: a mistake in our own code
                try:
                    await self._turn()
                except Exception:
                    self.counters["uplink_errors"] += 1
                    _log.exception("the uplink failed in one turn; it goes on")
                    self._resume_at = time.monotonic() + self._pause.next_s()
                try:
                    async with asyncio.timeout(_TICK_S):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                self._wake.clear()
            await self._say_goodbye()
        finally:
            session.cancel()
            await asyncio.gather(session, return_exceptions=True)

    async def _find_forecast(self) -> None:
        """The newest forecast of earlier runs, to be retained again if the broker forgot it."""
        try:
            found = await asyncio.to_thread(self._journal.reader.latest, Kind.FORECAST)
        except sqlite3.Error as error:
            _log.warning("the last forecast could not be read: %s", error)
            return
        self._forecast = self._forecast or found  # one may have been committed meanwhile

    def close(self) -> None:
        """Let :meth:`run` say goodbye and return."""
        self._closing = True
        self._wake.set()

    async def _say_goodbye(self) -> None:
        mid = self._publish_status(online=False)
        if mid is not None:
            self._goodbye = (mid, asyncio.Event())
            try:
                async with asyncio.timeout(_GOODBYE_S):
                    await self._goodbye[1].wait()
            except TimeoutError:
                _log.warning("the broker did not take the last status in time")
        await self.session.close()

    async def _turn(self) -> None:
        """Take stock, then send what the windows allow: live entries, then batch after batch."""
        for late in self._shipments.expire(time.monotonic()):
            self.counters["uplink_late"] += 1
            if late.batch:
                # The centre may be away, or choke on one entry: wait longer, and send less at once.
                self._late_batches += 1
                self._batch_entries = max(1, self._batch_entries // 2)
        self._send_live()
        self._journal.note_under_way(self._shipments.under_way())
        while (
            self.connected
            and not self._closing
            and not self._live
            and time.monotonic() >= self._resume_at
            and self._shipments.count(batch=True) < self._settings.batch_window
        ):
            if not await self._send_batch():
                return
            self._send_live()

    def _send_live(self) -> None:
        while self.connected and self._live:
            if self._shipments.count(batch=False) >= self._settings.live_window:
                return
            stored = self._live.popleft()
            self._send_entry(stored)

    def _send_entry(self, stored: StoredEntry) -> None:
        entry = stored.entry
        try:
            payload = encode_entry(entry)
        except (ValueError, TypeError):
            return  # the backlog looks closer
        if len(payload) > self.session.payload_limit:
            return  # compressed, in a batch, it may fit
        channel = CHANNEL[entry.kind]
        # A journalled status reports days; the retained one says how the agent is now.
        retain = channel in topics.RETAINED_CHANNELS and entry.kind is not Kind.STATUS
        mid = self.session.publish(topics.build(self._agent, channel), payload, retain=retain)
        if mid is not None:
            self.counters["uplink_live"] += 1
            deadline = time.monotonic() + self._settings.ack_timeout_s
            seq = stored.seq
            self._shipments.add(mid, entry.key.epoch, [(seq, seq)], deadline, batch=False)

    async def _send_batch(self) -> bool:
        """Send the next run of the backlog. False when there is nothing to do now."""
        under_way = self._shipments.under_way()
        under_way.update((seq, seq) for seq in self._too_large)
        if self._journal.pending_count() <= under_way.count():
            return False
        limit = min(self._settings.batch_bytes, self.session.payload_limit)
        packed = await asyncio.to_thread(
            self._pack, self._cursor, self._horizon, under_way, self._batch_entries, limit
        )
        if packed is None:
            wrapped, self._cursor = self._cursor > 0, 0
            return wrapped  # from the oldest again: what was late is sent after all others
        self._cursor = packed.last
        self._too_large.update(packed.oversize)
        for void in packed.unsendable:
            self._quarantine(void)
        if packed.payload is None:
            return True
        mid = self.session.publish(topics.build(self._agent, "batch"), packed.payload)
        if mid is None:
            return False
        self.counters["uplink_batches"] += 1
        self.counters["uplink_batch_entries"] += packed.entries
        self.counters["uplink_batch_bytes"] += len(packed.payload)
        longest = max(_LONGEST_PATIENCE_S, self._settings.ack_timeout_s)
        patience = min(longest, self._settings.ack_timeout_s * 2.0 ** min(self._late_batches, 20))
        deadline = time.monotonic() + patience
        self._shipments.add(mid, packed.epoch, packed.ranges, deadline, batch=True)
        return True

    def _pack(
        self, after: int, upto: int, under_way: SeqRanges, entries: int, limit: int
    ) -> Packed | None:
        """Read and compress the next run; in a worker thread, because both take their time."""
        backlog = self._journal.backlog(after, upto, under_way, entries, limit * TEXT_PER_BYTE)
        return None if backlog is None else pack(backlog, limit)

    def _quarantine(self, void: Void) -> None:
        self.counters["uplink_quarantined"] += 1
        _log.error(
            "entry %d will not be sent, it stays in the journal: %s", void.first, void.reason
        )
        self._journal.declare_void(void)

    # --- what happens, all in the event loop -----------------------------------------------------

    def _on_committed(self, entries: tuple[StoredEntry, ...]) -> None:
        self._horizon = max(self._horizon, entries[-1].seq)
        forecasts = [stored for stored in entries if stored.entry.kind is Kind.FORECAST]
        self._forecast = forecasts[-1] if forecasts else self._forecast
        if self.connected:
            # What falls out at the other end is backlog.
            self._live.extend(stored for stored in entries if not stored.waits)
            self._wake.set()

    def _on_connected(self) -> None:
        self._too_large.clear()
        self._resume_at, self._cursor = 0.0, 0
        self._publish_status(online=True)
        if self._forecast is not None:  # a broker that lost its memory has no retained one
            self._live.append(self._forecast)
        self._wake.set()

    def _on_lost(self) -> None:
        self._shipments.connection_lost()
        self._live.clear()

    def _on_published(self, event: Published) -> None:
        if self._goodbye is not None and self._goodbye[0] == event.mid:
            self._goodbye[1].set()
        if event.failure is None:
            self._shipments.passed_on(event.mid)
            return
        taken = self._shipments.take_back(event.mid)
        if taken is None:
            return
        self.counters["uplink_not_passed_on"] += 1
        self._complain(f"the broker did not pass a message on: {event.failure}")
        if taken.batch:
            self._resume_at = time.monotonic() + self._pause.next_s()

    def _on_ack(self, _topic: str, payload: bytes) -> None:
        try:
            ack = decode_ack(payload)
        except ContractError as error:
            self._bad_message("ack", error)
            return
        first = self._journal.first_seq_of(ack.epoch)
        if first is None:
            return  # of a journal that was set aside
        gained = self._journal.acknowledge(ack.epoch, ack.ranges, ack.through)
        self.counters["uplink_acknowledged"] += gained
        completed = self._shipments.acknowledge(ack.epoch, (*ack.ranges, (first, ack.through)))
        self._batch_entries = min(
            self._settings.batch_entries, self._batch_entries * 2 ** min(completed, 16)
        )
        self._late_batches = 0
        self._pause.reset()
        self._complaint = ""
        self.last_ack_at = time.monotonic()
        self._wake.set()

    def _on_rewind(self, _topic: str, payload: bytes) -> None:
        try:
            rewind = decode_rewind(payload)
        except ContractError as error:
            self._bad_message("rewind", error)
            return
        task = asyncio.create_task(self._rewind(rewind))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _rewind(self, rewind: Rewind) -> None:
        again = await asyncio.to_thread(self._journal.rewind, rewind.since)
        self.counters["uplink_rewinds"] += 1
        self._cursor = 0
        _log.warning(
            "the centre asks for everything since %s again (%s): %d entries",
            format_iso8601(rewind.since), rewind.reason, again,
        )  # fmt: skip
        self._wake.set()

    def _bad_message(self, channel: str, error: ContractError) -> None:
        self.counters["uplink_bad_messages"] += 1
        _log.error("a message on %s cannot be believed: %s", channel, error)

    def _complain(self, reason: str) -> None:
        if reason != self._complaint:  # said once, not for every message
            _log.warning("%s", reason)
        self._complaint = reason

    # --- status ----------------------------------------------------------------------------------

    def _last_will(self) -> LastWill:
        return LastWill(topics.build(self._agent, "status"), self._status_payload(online=False))

    def _publish_status(self, *, online: bool) -> int | None:
        payload = self._status_payload(online=online)
        return self.session.publish(topics.build(self._agent, "status"), payload, retain=True)

    def _status_payload(self, *, online: bool) -> bytes:
        return canonical(status_to_json(self._status(online))).encode()
