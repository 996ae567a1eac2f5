"""Agents to the store over a real broker: once each, acknowledged after commit, never fatal."""

from __future__ import annotations

import random
import sqlite3

import pytest

from central.broker import Broker
from central.ingest import request_rewind
from central.messaging import Messaging
from central.settings import MqttSettings
from central.store import Store
from models.contract.messages import Void, to_ranges
from models.contract.payload import canonical, decode_ack, decode_rewind, forecast_to_json
from tests.fleet_messages import (
    EPOCH,
    NOON,
    batch,
    forecast,
    forecast_entry,
    live,
    record_entry,
    status,
)
from tests.integration.central.conftest import Centre, Fleet, wait_for

AGENT = "site_01"
DATA, BATCH, ACK = f"solar/{AGENT}/data", f"solar/{AGENT}/batch", f"solar/{AGENT}/ack"


def stored_seqs(store: Store, agent: str = AGENT) -> list[int]:
    with store.read() as ask:
        return [key.seq for key in ask.keys_and_digests(agent)]


def quarantine_reasons(store: Store) -> list[str]:
    with store.read() as ask:
        return [row.reason for row in ask.quarantined()]


def acknowledged(fleet: Fleet) -> set[int]:
    seqs: set[int] = set()
    for payload in fleet.on(ACK):
        for first, last in decode_ack(payload).ranges:
            seqs.update(range(first, last + 1))
    return seqs


def test_live_and_backlog_are_stored_once_and_acknowledged_by_ranges(
    centre: Centre, fleet: Fleet
) -> None:
    fleet.subscribe(ACK)
    entries = [record_entry(seq) for seq in range(1, 301)]
    rng = random.Random(7)
    resent = rng.sample(entries, 60)
    fleet.publish(f"solar/{AGENT}/status", status(AGENT, first_seq=1), retain=True)
    fleet.publish(DATA, *live(*entries[200:]))
    fleet.publish(
        BATCH, batch(entries[:100]), batch(entries[50:180], voids=[Void(181, 200, "thinned")])
    )
    fleet.publish(DATA, *live(*resent))
    wanted = set(range(1, 301))
    wait_for(lambda: acknowledged(fleet) == wanted, "acks for every entry")
    assert decode_ack(fleet.on(ACK)[-1]).through == 300
    store = centre.running.store
    missing_before = [seq for seq in range(181, 201) if seq in {e.key.seq for e in resent}]
    assert stored_seqs(store) == [*range(1, 181), *missing_before, *range(201, 301)]
    with store.read() as ask:
        assert ask.missing(AGENT, EPOCH) == []
        assert ask.counts()["key_conflicts"] == 0


def test_nothing_is_acknowledged_while_the_store_is_locked_and_all_of_it_afterwards(
    centre: Centre, fleet: Fleet
) -> None:
    fleet.subscribe(ACK)
    store = centre.running.store
    with store._database.write() as writer:
        writer.execute("PRAGMA busy_timeout=50")
        writer.execute("SELECT 1")
    blocker = sqlite3.connect(store._database.path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    fleet.publish(DATA, *live(*[record_entry(seq) for seq in range(1, 21)]))
    wait_for(lambda: centre.running.ingest.trouble, "the trouble to be seen")
    assert "locked" in str(centre.running.ingest.trouble)
    assert fleet.on(ACK) == []
    blocker.execute("ROLLBACK")
    blocker.close()
    wait_for(lambda: acknowledged(fleet) == set(range(1, 21)), "acks after the lock is gone")
    assert centre.running.ingest.trouble is None
    assert stored_seqs(store) == list(range(1, 21))


def test_unreadable_messages_are_kept_aside_and_the_next_one_gets_through(
    centre: Centre, fleet: Fleet
) -> None:
    fleet.subscribe(ACK)
    fleet.publish(DATA, b"hello", b'{"ghi":NaN}', b"[1]", b"")
    fleet.publish(DATA, b'{"epoch":"00112233445566aa","seq":1,"note":"\\ud800"}')
    fleet.publish("solar/BAD NAME/data", b"{}")
    fleet.publish("solar/bundles/data", b"{}")
    fleet.publish(BATCH, b"SSB1nonsense")
    fleet.publish(f"solar/{AGENT}/status", status("site_02"))
    fleet.publish(f"solar/{AGENT}/forecast", b'{"v":1}')
    fleet.publish(DATA, *live(record_entry(1)))
    wait_for(lambda: acknowledged(fleet) == {1})
    reasons = "\n".join(quarantine_reasons(centre.running.store))
    for reason in ("not JSON", "NaN is not JSON", "not a JSON object", "identifier", "reserved",
                   "batch", "came from 'site_01'", "epoch"):  # fmt: skip
        assert reason in reasons
    assert centre.running.ingest.counters.quarantined == 10


def test_the_same_key_with_another_body_is_an_alarm_in_store_and_log(
    centre: Centre, fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    fleet.subscribe(ACK)
    fleet.publish(DATA, *live(record_entry(1)))
    fleet.publish(DATA, *live(record_entry(1, power=5.0), record_entry(2)))
    wait_for(lambda: acknowledged(fleet) == {1, 2})
    with centre.running.store.read() as ask:
        (conflict,) = ask.conflicts()
        first, _ = ask.keys_and_digests(AGENT)
    assert conflict.seq == 1
    assert first.digest == record_entry(1).digest
    assert f"{AGENT} sent entry {EPOCH}:1 again with another body" in caplog.text


def test_a_retained_forecast_of_an_agent_is_stored_and_the_centres_own_is_not(
    centre: Centre, fleet: Fleet, broker: Broker
) -> None:
    entry = forecast_entry(1, AGENT)
    fleet.publish(f"solar/{AGENT}/forecast", *live(entry), retain=True)
    own = canonical(forecast_to_json(forecast("device_01"))).encode()
    centre.running.ingest.messaging.publish("solar/device_01/forecast", own, retain=True)
    store = centre.running.store
    wait_for(lambda: stored_seqs(store) == [1])
    centre.stop()
    again = Centre(centre.settings)
    running = again.start()  # both retained forecasts come again
    fleet.publish(DATA, *live(record_entry(2)))
    wait_for(lambda: running.ingest.counters.entries == 1)
    assert stored_seqs(running.store) == [1, 2]
    assert quarantine_reasons(running.store) == []
    with running.store.read() as ask:
        assert ask.latest_forecast(AGENT) == forecast(AGENT)
        assert ask.latest_forecast("device_01") is None
    again.stop()


def test_messages_sent_while_the_centre_was_away_are_there_when_it_comes_back(
    centre: Centre, fleet: Fleet
) -> None:
    centre.stop()
    fleet.publish("solar/device_01/data", b'{"ghi":500,"timestamp":"2024-01-17T12:00:00Z"}')
    again = Centre(centre.settings)
    running = again.start()
    wait_for(lambda: running.ingest.counters.plain_records == 1)
    again.stop()


def test_a_message_received_but_not_committed_is_the_brokers_until_it_is(
    centre: Centre, fleet: Fleet
) -> None:
    """The centre dies with a plain device's message in its hands: it comes again."""
    store = centre.running.store
    with store._database.write() as writer:
        writer.execute("PRAGMA busy_timeout=50")
    blocker = sqlite3.connect(store._database.path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    fleet.publish("solar/device_01/data", b'{"ghi":500,"timestamp":"2024-01-17T12:00:00Z"}')
    wait_for(lambda: centre.running.ingest.trouble)
    centre.stop()
    blocker.execute("ROLLBACK")
    blocker.close()
    again = Centre(centre.settings)
    running = again.start()
    wait_for(lambda: running.ingest.counters.plain_records == 1, "the message to come again")
    again.stop()


def test_ingest_goes_on_after_the_broker_was_killed(
    centre: Centre, fleet: Fleet, broker: Broker
) -> None:
    fleet.subscribe(ACK)
    fleet.publish(DATA, *live(*[record_entry(seq) for seq in range(1, 11)]))
    wait_for(lambda: acknowledged(fleet) == set(range(1, 11)))
    broker.kill()
    wait_for(lambda: not centre.running.ingest.messaging.connected)
    broker.start()
    wait_for(lambda: centre.running.ingest.messaging.connected, "the centre to be back")
    fresh = Fleet(broker)
    fresh.subscribe(ACK)
    fresh.publish(BATCH, batch([record_entry(seq) for seq in range(1, 21)]))
    wait_for(lambda: acknowledged(fresh) == set(range(1, 21)))
    assert stored_seqs(centre.running.store) == list(range(1, 21))
    fresh.close()


def test_more_than_the_receive_maximum_gets_through_in_order(
    broker: Broker, fleet: Fleet, centre: Centre
) -> None:
    fleet.subscribe(ACK)
    count = 1500
    fleet.publish(DATA, *live(*[record_entry(seq) for seq in range(1, count + 1)]))
    wait_for(lambda: len(acknowledged(fleet)) == count)
    acks = [decode_ack(payload) for payload in fleet.on(ACK)]
    assert to_ranges(sorted(acknowledged(fleet))) == ((1, count),)
    assert len(acks) < count / 3, "messages are committed and acknowledged in groups"


def test_a_rewind_reaches_the_agent_in_its_own_form(centre: Centre, fleet: Fleet) -> None:
    fleet.subscribe(f"solar/{AGENT}/rewind")
    request_rewind(centre.running.ingest.messaging, AGENT, NOON, "restored from a backup")
    (payload,) = fleet.wait_on(f"solar/{AGENT}/rewind")
    rewind = decode_rewind(payload)
    assert (rewind.since, rewind.reason) == (NOON, "restored from a backup")


def test_a_publisher_without_a_broker_says_so_and_leaves_no_thread(free_port: object) -> None:
    assert callable(free_port)
    port = free_port()
    messaging = Messaging(MqttSettings(port=port), client_id="publisher")
    messaging.start()
    assert not messaging.send("solar/a/ack", b"{}")
    with pytest.raises(RuntimeError, match=rf"no connection to the broker at 127\.0\.0\.1:{port}"):
        messaging.publish("solar/a/rewind", b"{}", timeout_s=0.2)
    messaging.stop()
