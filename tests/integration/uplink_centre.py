"""A small real centre for the uplink's tests: stores what comes, acknowledges what it has stored.

It remembers every arrival, so that a test can tell what was sent twice, and can lose its
acknowledgements on request.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from central.broker import Broker
from edge_agent.journal.reader import JournalReader
from models.contract import topics
from models.contract.messages import Ack, EntryKey, Kind, Rewind, Status, Void, to_ranges
from models.contract.payload import (
    decode_batch,
    decode_entry,
    encode_ack,
    encode_rewind,
    parse_json,
    status_from_json,
)

DEADLINE_S = 20.0
_KINDS = {"data": Kind.RECORD, "forecast": Kind.FORECAST, "alert": Kind.ALERT}


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S:g} s: {what}"
        time.sleep(0.01)


class Centre:
    """Subscribes to everything of every agent over a session that outlives the connection."""

    def __init__(self, broker: Broker, *, lose_acks: int = 0) -> None:
        self._lose_acks = lose_acks
        self.stored: dict[EntryKey, bytes] = {}
        self.arrivals: Counter[EntryKey] = Counter()
        self.live: list[EntryKey] = []
        self.voids: list[Void] = []
        self.statuses: list[Status] = []
        self.batches = 0
        self.largest = 0
        self.faults: list[str] = []
        self._ready = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="centre", protocol=paho.MQTTv5
        )
        self._client.reconnect_delay_set(0, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message
        self._broker = broker

    def __enter__(self) -> Self:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3600
        self._client.connect(
            self._broker.host, self._broker.port, clean_start=False, properties=properties
        )
        self._client.loop_start()
        assert self._ready.wait(DEADLINE_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish and wait until the broker has it."""
        wait_for(self._client.is_connected, "connection of the centre")
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(DEADLINE_S)

    def rewind(self, agent: str, since: int) -> None:
        """Ask an agent to send again."""
        self.publish(topics.build(agent, "rewind"), encode_rewind(Rewind(since, "a test asks")))

    def holds_exactly(self, journal: Path) -> None:
        """Assert that this centre has each committed entry of ``journal`` once, with its body."""
        assert not self.faults, self.faults
        committed = {
            one.entry.key: one.entry.digest
            for one in JournalReader(journal).entries()
            if not any(void.first <= one.seq <= void.last for void in self.voids)
        }
        assert len(committed) == len(self.stored)
        assert self.stored == committed

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        client.subscribe("solar/+/+", qos=1)

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        try:
            self._take(topics.parse(message.topic), bytes(message.payload))
        except Exception as error:
            self.faults.append(f"{message.topic}: {error!r}")

    def _take(self, topic: topics.Topic, payload: bytes) -> None:
        if topic.channel == "status":
            self.statuses.append(status_from_json(parse_json(payload)))
        elif topic.channel == "batch":
            self.batches += 1
            self.largest = max(self.largest, len(payload))
            batch = decode_batch(payload)
            self.voids += batch.voids
            for entry in batch.all_entries():
                self._store(entry.key, entry.digest)
            seqs = [entry.key.seq for entry in batch.all_entries()]
            seqs += [seq for void in batch.voids for seq in range(void.first, void.last + 1)]
            self._acknowledge(topic.identifier, batch.epoch, seqs)
        elif topic.channel in _KINDS:
            entry = decode_entry(payload, _KINDS[topic.channel])
            self._store(entry.key, entry.digest)
            self.live.append(entry.key)
            self._acknowledge(topic.identifier, entry.key.epoch, [entry.key.seq])

    def _store(self, key: EntryKey, digest: bytes) -> None:
        self.arrivals[key] += 1
        if self.stored.setdefault(key, digest) != digest:
            self.faults.append(f"{key} came with two bodies")

    def _acknowledge(self, agent: str, epoch: str, seqs: list[int]) -> None:
        if self._lose_acks > 0:
            self._lose_acks -= 1
            return
        ack = Ack(epoch, 0, to_ranges(seqs))
        self._client.publish(topics.build(agent, "ack"), encode_ack(ack), qos=1)
