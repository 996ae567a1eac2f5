"""MQTT in, commits out: groups messages, commits them, and only then tells anybody.

Decides the order that makes loss impossible: commit; PUBACK to the broker (so a plain device's
message stays the broker's until it is ours); application ack per agent and epoch (so an agent keeps
what we do not have); hooks last. When the store cannot be used the group waits and is tried again:
nothing is acknowledged, and the receive maximum holds the broker back. What messages mean is
``understand``'s.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from central.messaging import Delivery, Messaging
from central.settings import IngestSettings, MqttSettings
from central.store import RefusedRowsError, Store, StoreError
from central.store.values import Committed, Group
from models.contract import topics
from models.contract.clock import Clock
from models.contract.messages import Ack
from models.contract.payload import encode_ack
from models.contract.record import Record

from .inbox import Inbox
from .seldom_log import SeldomLog
from .understand import CHANNELS, Understood, quarantine_row, understand

log = logging.getLogger(__name__)

OnPlainRecords = Callable[[str, Sequence[Record]], None]
"""Called after the commit with a plain device's name and its records, repeats included."""
_FIRST_RETRY_S, _LAST_RETRY_S = 0.1, 5.0


@dataclass
class IngestCounters:
    """What has been done since the start."""

    messages: int = 0
    commits: int = 0
    entries: int = 0
    repeated: int = 0
    conflicts: int = 0
    plain_records: int = 0
    quarantined: int = 0


class Ingest:
    """Owns the subscribing connection and the committing thread."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        mqtt: MqttSettings,
        settings: IngestSettings,
        on_plain_records: OnPlainRecords | None = None,
    ) -> None:
        self._store, self._clock, self._settings = store, clock, settings
        self._on_plain_records = on_plain_records
        self._inbox = Inbox(settings.inbox_bytes)
        self._stopping = threading.Event()
        self._trouble: str | None = None
        self._complaints = SeldomLog(log)
        self.counters = IngestCounters()
        self.messaging = Messaging(
            mqtt,
            subscriptions=[topics.everyone(channel) for channel in CHANNELS],
            on_delivery=self._inbox.put,
        )
        self._thread = threading.Thread(target=self._run, name="ingest")

    @property
    def trouble(self) -> str | None:
        """Why nothing can be committed at the moment, if so."""
        return self._trouble

    def start(self) -> None:
        """Begin to receive and commit, in the background."""
        self._thread.start()
        self.messaging.start()

    def stop(self) -> None:
        """Commit and acknowledge what has arrived, then end."""
        self._inbox.close()
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.messaging.stop()

    def _run(self) -> None:
        linger_s = self._settings.group_wait_ms / 1000
        while deliveries := self._inbox.take(self._settings.group_messages, linger_s):
            try:
                self._take_in(deliveries)
            except Exception:  # the thread must outlive any one message
                log.exception("%d messages could not be taken in; going on", len(deliveries))

    def _take_in(self, deliveries: list[Delivery]) -> None:
        group, plain = self._fold(deliveries)
        try:
            committed = self._commit(group)
        except RefusedRowsError:
            self._one_by_one(deliveries)
            return
        if committed is None:
            return  # stopping: unsettled messages come again
        self.messaging.settle(deliveries)
        self._count(deliveries, group, committed)
        self._acknowledge(group, committed)
        self._tell_plain(plain)

    def _fold(self, deliveries: list[Delivery]) -> tuple[Group, dict[str, list[Record]]]:
        group, plain = Group(), dict[str, list[Record]]()
        for delivery in deliveries:
            understood = self._understand(delivery)
            group.extend(understood.rows)
            if understood.plain is not None:
                plain.setdefault(understood.plain.device, []).append(understood.plain)
        for row in group.quarantine:
            self._complaints.warning(row.topic, "%s: %s; kept in quarantine", row.topic, row.reason)
        return group, plain

    def _understand(self, delivery: Delivery) -> Understood:
        now = self._clock.now()
        try:
            return understand(
                delivery.topic,
                delivery.payload,
                own=delivery.own,
                retained=delivery.retained,
                now=now,
            )
        except Exception as error:  # whatever it is, it is this message's fault
            row = quarantine_row(delivery.topic, delivery.payload, error, now)
            return Understood(Group(quarantine=[row]))

    def _one_by_one(self, deliveries: list[Delivery]) -> None:
        """Find the message that cannot be stored and put it aside; the others go in."""
        if len(deliveries) > 1:
            for delivery in deliveries:
                self._take_in([delivery])
            return
        (delivery,) = deliveries
        error = ValueError("holds a value that the store cannot take")
        row = quarantine_row(delivery.topic, delivery.payload, error, self._clock.now())
        self._complaints.warning(row.topic, "%s: %s; kept in quarantine", row.topic, row.reason)
        group = Group(quarantine=[row])
        committed = self._commit(group)
        if committed is not None:
            self.messaging.settle(deliveries)
            self._count(deliveries, group, committed)

    def _commit(self, group: Group) -> Committed | None:
        """Commit, however long the store needs; None when told to stop meanwhile."""
        pause = _FIRST_RETRY_S
        while True:
            try:
                committed = self._store.commit(group)
            except StoreError as error:
                self._trouble = str(error)
                self._complaints.error("store", "cannot commit, trying again: %s", error)
                if self._stopping.wait(pause):
                    return None
                pause = min(pause * 2, _LAST_RETRY_S)
            else:
                self._trouble = None
                return committed

    def _count(self, deliveries: list[Delivery], group: Group, committed: Committed) -> None:
        counters = self.counters
        counters.messages += len(deliveries)
        counters.commits += 1
        counters.entries += committed.new_entries
        counters.repeated += committed.repeated_entries
        counters.conflicts += len(committed.conflicts)
        counters.plain_records += committed.new_plain
        counters.quarantined += len(group.quarantine)
        for conflict in committed.conflicts:
            log.error(
                "agent %s sent entry %s:%d again with another body; the first one stands."
                " Is a copied card in use?",
                conflict.agent,
                conflict.epoch,
                conflict.seq,
            )

    def _acknowledge(self, group: Group, committed: Committed) -> None:
        for (agent, epoch), ranges in group.ranges().items():
            ack = Ack(epoch, committed.through[(agent, epoch)], ranges)
            # Lost acks are harmless: the agent sends again and is answered again.
            self.messaging.send(topics.build(agent, "ack"), encode_ack(ack))

    def _tell_plain(self, plain: dict[str, list[Record]]) -> None:
        if self._on_plain_records is None:
            return
        for device, records in plain.items():
            try:
                self._on_plain_records(device, records)
            except Exception:
                log.exception("hook for plain device %s failed; going on", device)
