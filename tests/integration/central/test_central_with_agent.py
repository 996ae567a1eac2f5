"""The agent's own journal and uplink against the centre: both sides hold the same, once each."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from central.broker import Broker
from central.compare import compare_journal
from tests.integration.central.conftest import Centre, wait_for
from tests.integration.uplink_agent import AGENT, running


@pytest.mark.parametrize("fault", ["none", "broker killed", "centre away"])
def test_every_journalled_entry_is_in_the_store_once(
    centre: Centre, broker: Broker, tmp_path: Path, fault: str
) -> None:
    async def life_of_an_agent() -> None:
        async with running(tmp_path, broker.port) as agent:
            agent.append(200)
            await agent.delivered()
            if fault == "broker killed":
                broker.kill()
                agent.append(200, first=200)
                broker.start()
            elif fault == "centre away":
                await asyncio.to_thread(centre.stop)
                agent.append(200, first=200)
                await asyncio.to_thread(centre.start)
            else:
                agent.append(200, first=200)
            await agent.delivered()

    asyncio.run(life_of_an_agent())
    store = centre.running.store
    report = compare_journal(store, tmp_path / "journal.sqlite", AGENT)
    assert report.complete
    assert report.sound
    assert report.journal_entries == report.stored_entries == 400
    with store.read() as ask:
        (epoch,) = ask.epochs(AGENT)
        assert epoch.through == epoch.highest == 400
        assert ask.missing(AGENT, epoch.epoch) == []
        (state,) = ask.agents(AGENT)
        assert state.status is not None
        assert ask.counts()["quarantine"] == 0

    def said_goodbye() -> bool:
        with store.read() as ask:
            (state,) = ask.agents(AGENT)
        return state.status is not None and not state.status.online

    wait_for(said_goodbye, "the agent's last status")
