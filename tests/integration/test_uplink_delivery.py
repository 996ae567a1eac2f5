"""Every committed entry reaches the centre exactly once, whatever dies on the way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from central.broker import Broker, BrokerSettings
from edge_agent.journal.journal import Journal
from edge_agent.journal.reader import JournalReader
from edge_agent.uplink.uplink import UplinkSettings
from models.contract.clock import SystemClock
from models.contract.messages import Kind
from tests.environments import ROOT
from tests.integration.uplink_agent import AGENT, KEEP_ALL, T0, running, until
from tests.integration.uplink_centre import Centre, wait_for

PATIENT = UplinkSettings(ack_timeout_s=60.0, batch_entries=100)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A running mosquitto that comes back on its port after it was killed."""
    with Broker(tmp_path / "broker") as running_broker:
        yield running_broker


def play(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def kill_and_forget(broker: Broker) -> None:
    """A power cut at the broker, with everything it remembered."""
    broker.kill()
    (broker.directory / "mosquitto.db").unlink(missing_ok=True)
    broker.start()


def test_a_broker_killed_with_its_memory_lost_costs_nothing(broker: Broker, tmp_path: Path) -> None:
    async def story(centre: Centre) -> None:
        async with running(tmp_path, broker.port) as agent:
            for turn in range(4):
                for part in range(20):
                    agent.append(20, 1000 * turn + 20 * part)
                    await asyncio.sleep(0.005)
                if turn < 3:
                    kill_and_forget(broker)
            await agent.delivered()
            assert agent.uplink.counts()["mqtt_lost"] == 3

    with Centre(broker) as centre:
        play(story(centre))
        centre.holds_exactly(tmp_path / "journal.sqlite")
        assert len(centre.stored) == 1600


def test_an_agent_killed_again_and_again_costs_nothing(broker: Broker, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    dice = random.Random(seed)
    command = [sys.executable, "-m", "tests.integration.uplink_agent"]
    command += [str(tmp_path), str(broker.port)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with Centre(broker) as centre:
        for _ in range(4):
            before, enough = {key.epoch for key in centre.stored}, dice.randrange(1, 300)

            def is_at_it(before: set[str] = before, enough: int = enough) -> bool:
                return sum(key.epoch not in before for key in list(centre.stored)) >= enough

            with subprocess.Popen([*command, "100000"], cwd=ROOT, env=environment) as child:
                try:
                    wait_for(is_at_it, "records of this start")
                finally:
                    child.kill()
        done = subprocess.run([*command, "200"], cwd=ROOT, env=environment, capture_output=True)
        assert done.stdout == b"delivered\n", (seed, done.stderr.decode())
        centre.holds_exactly(tmp_path / "journal.sqlite")
        assert len({key.epoch for key in centre.stored}) == 5


def test_lost_acknowledgements_cost_a_resend_and_no_duplicate(
    broker: Broker, tmp_path: Path
) -> None:
    async def story() -> None:
        async with running(tmp_path, broker.port) as agent:
            await until(lambda: agent.uplink.connected, "connected")
            agent.append(50)
            await agent.delivered()
            assert agent.uplink.counts()["uplink_late"] > 0

    with Centre(broker, lose_acks=30) as centre:
        play(story())
        centre.holds_exactly(tmp_path / "journal.sqlite")
        assert centre.arrivals.total() > 50


def test_live_entries_pass_the_backlog_and_nothing_is_sent_twice(
    broker: Broker, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "journal.sqlite", KEEP_ALL, SystemClock())
    for index in range(5000):
        journal.append(Kind.RECORD, "meter", T0 + index, {"v": 1, "index": index})
    journal.close()

    async def story(centre: Centre) -> None:
        async with running(tmp_path, broker.port, PATIENT) as agent:
            await until(lambda: centre.batches >= 5, "backlog under way")
            agent.append(100)
            await until(lambda: len(centre.live) == 100, "live entries through")
            assert agent.journal.pending_count() > 0  # they did not wait for the backlog
            await agent.delivered()

    with Centre(broker) as centre:
        play(story(centre))
        centre.holds_exactly(tmp_path / "journal.sqlite")
        assert centre.arrivals.total() == 5100
        assert len({key.epoch for key in centre.live}) == 1


def test_nobody_listening_is_not_delivered(broker: Broker, tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, broker.port) as agent:
            await until(lambda: agent.uplink.connected, "connected")
            agent.append(20)
            # The broker says yes to every message, with "no matching subscribers".
            await until(lambda: agent.uplink.counts()["uplink_not_passed_on"] > 20, "refusals")
            assert agent.journal.pending_count() == 20
            with Centre(broker) as centre:
                await agent.delivered()
                centre.holds_exactly(tmp_path / "journal.sqlite")

    play(story())


def test_a_rewind_brings_everything_again(broker: Broker, tmp_path: Path) -> None:
    async def story(centre: Centre) -> None:
        async with running(tmp_path, broker.port) as agent:
            agent.append(300)
            await agent.delivered()
            centre.rewind(AGENT, T0 + 100)
            await until(lambda: agent.uplink.counts()["uplink_rewinds"] == 1, "rewind")
            await agent.delivered()
            await until(lambda: sum(centre.arrivals.values()) >= 500, "200 arrive again")

    with Centre(broker) as centre:
        play(story(centre))
        centre.holds_exactly(tmp_path / "journal.sqlite")
        again = [key.seq for key, times in centre.arrivals.items() if times == 2]
        assert sorted(again) == list(range(101, 301))


def test_a_damaged_entry_is_quarantined_and_the_others_pass(broker: Broker, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(path, KEEP_ALL, SystemClock())
    for index in range(10):
        journal.append(Kind.RECORD, "meter", T0 + index, {"v": 1, "index": index})
    journal.close()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE journal SET body = '{\"cut of' WHERE seq = 4")

    async def story() -> None:
        async with running(tmp_path, broker.port) as agent:
            await agent.delivered()
            assert agent.uplink.counts()["uplink_quarantined"] == 1
            assert agent.journal.counts()["journal_void"] == 1

    with Centre(broker) as centre:
        play(story())
        assert [(void.first, void.last) for void in centre.voids] == [(4, 4)]
        assert "cannot be sent" in centre.voids[0].reason
        centre.holds_exactly(path)
        assert len(centre.stored) == 9


def test_an_entry_too_large_for_this_broker_waits_and_the_others_pass(tmp_path: Path) -> None:
    async def story(port: int, *, all_pass: bool) -> None:
        async with running(tmp_path, port) as agent:
            if all_pass:
                await agent.delivered()
                return
            agent.append(5)
            agent.append(1, first=5, padding=60_000)
            agent.append(200, first=6, padding=300)
            agent.journal.flush()
            await until(lambda: agent.journal.pending_count() == 1, "all but one")
            assert agent.uplink.counts()["mqtt_lost"] == 0

    path = tmp_path / "journal.sqlite"
    narrow = BrokerSettings(max_packet_bytes=20_000)
    with Broker(tmp_path / "small", settings=narrow) as small, Centre(small) as centre:
        play(story(small.port, all_pass=False))
        assert len(centre.stored) == 205
        assert centre.largest <= 20_000
    with Broker(tmp_path / "large") as large, Centre(large) as other:
        play(story(large.port, all_pass=True))
        assert {key.seq for key in other.stored} == {6}
        assert other.stored.keys() | centre.stored.keys() == {
            one.entry.key for one in JournalReader(path).entries()
        }
