"""Run the agent in this process until it has forecast with a bundle; say what it has imported.

python -I one_cycle.py SETTINGS NAME...: prints JSON. NAME: a library that may not be on a box.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from pathlib import Path

import edge_agent
from edge_agent.app import Agent
from edge_agent.settings import EdgeSettings, read_settings
from edge_agent.status.status_file import NoStatus, read_snapshot

DEADLINE_S = 90.0


async def _one_cycle(settings: EdgeSettings) -> str:
    stop = asyncio.Event()
    running = asyncio.create_task(Agent(settings).run(stop))
    try:
        async with asyncio.timeout(DEADLINE_S):
            while (bundle := _bundle_in_use(settings)) is None and not running.done():
                await asyncio.sleep(0.1)
    finally:
        stop.set()
        await running
    return str(bundle)


def _bundle_in_use(settings: EdgeSettings) -> str | None:
    try:
        forecast = read_snapshot(settings.run_dir, settings.data_dir).forecast
    except NoStatus:
        return None
    return forecast.bundle if forecast else None


if __name__ == "__main__":
    found = {
        "bundle": asyncio.run(_one_cycle(read_settings(Path(sys.argv[1])))),
        "agent": str(Path(edge_agent.__file__).parent),
        "imported": sorted({name.split(".")[0] for name in sys.modules}),
        "importable": [name for name in sys.argv[2:] if importlib.util.find_spec(name)],
    }
    print(json.dumps(found))
