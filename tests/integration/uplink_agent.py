"""Journal and uplink as an agent runs them, without devices; also as a process that can be killed.

python -m tests.integration.uplink_agent DIRECTORY PORT RECORDS: append records, deliver all, end.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_agent.journal.journal import Journal, JournalSettings
from edge_agent.uplink.mqtt_client import MqttSettings
from edge_agent.uplink.reconnect import ReconnectSettings
from edge_agent.uplink.uplink import Uplink, UplinkSettings
from models.contract.clock import SystemClock
from models.contract.messages import Kind, Status
from models.contract.payload import record_to_json
from models.contract.record import Reading, Record

AGENT = "site-1"
T0 = 1_705_492_800_000
RECONNECT = ReconnectSettings(first_s=0.05, longest_s=0.3, stable_s=5.0)
QUICK = UplinkSettings(ack_timeout_s=1.0, retry=ReconnectSettings(0.05, 0.2, 5.0))
KEEP_ALL = JournalSettings(commit_window_s=0.02, keep_days=3650)  # T0 is long ago
DEADLINE_S = 20.0


@dataclass(frozen=True)
class Agent:
    """A running journal and uplink."""

    journal: Journal
    uplink: Uplink
    task: asyncio.Task[None]

    def append(self, count: int, first: int = 0, padding: int = 0) -> None:
        """Append ``count`` records; ``padding`` more bytes of noise in each, as a text would be."""
        for index in range(first, first + count):
            record = Record("inverter-1", T0 + index, {"ac_power": Reading(float(index))})
            body = record_to_json(record)
            if padding:
                body["padding"] = random.Random(index).randbytes(padding // 2).hex()
            assert self.journal.append(Kind.RECORD, "inverter-1", T0 + index, body)

    async def delivered(self) -> None:
        """Wait until the centre has acknowledged everything."""
        assert await asyncio.to_thread(self.journal.flush, DEADLINE_S)
        await until(lambda: self.journal.pending_count() == 0, "everything acknowledged")


async def until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {DEADLINE_S:g} s: {what}") from None


@asynccontextmanager
async def running(
    directory: Path,
    port: int,
    settings: UplinkSettings = QUICK,
    mqtt: MqttSettings | None = None,
) -> AsyncIterator[Agent]:
    """An agent that is closed in good order at the end of the block."""
    journal = Journal(directory / "journal.sqlite", KEEP_ALL, SystemClock())

    def status(online: bool) -> Status:
        return Status(
            AGENT, T0, online, "0.1.0", journal.epoch, journal.first_seq, counters=journal.counts()
        )

    uplink = Uplink(
        AGENT,
        journal,
        mqtt or MqttSettings("127.0.0.1", port, keepalive_s=5),
        settings,
        status=status,
        reconnect=RECONNECT,
        rng=random.Random(1),
    )
    task = asyncio.create_task(uplink.run())
    try:
        yield Agent(journal, uplink, task)
    finally:
        uplink.close()
        await asyncio.gather(task)
        await asyncio.to_thread(journal.close)


async def main(directory: Path, port: int, records: int) -> None:
    """Append in small portions, deliver everything, say so."""
    async with running(directory, port) as agent:
        for first in range(0, records, 10):
            agent.append(10, first)
            await asyncio.sleep(0.005)
        await agent.delivered()
    print("delivered", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
