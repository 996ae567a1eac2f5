"""A clean end: what was read is kept, everybody is told, and the next start delivers it."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

from deploy.demo.scenario import SITE
from models.contract.messages import Kind
from tests.integration.loop.running import Weather, change, open_loop

DEVICES = ("inverter", "meter")


def _has_polled(status: dict[str, Any]) -> bool:
    now = status["status"]
    return now["online"] and all(now["counters"][f"{name}_polls"] > 50 for name in DEVICES)


def test_sigterm_loses_nothing_and_leaves_a_last_word(tmp_path: Path, weather: Weather) -> None:
    with open_loop(tmp_path / "loop", weather) as loop:
        loop.start_all()
        loop.services.stop("agent")
        # From here on everything of this life is written at its very end.
        quick, slow = "commit_window_s = 0.25", "commit_window_s = 600"
        change(loop.place.edge_config, (quick, slow))
        loop.start_agent(entries=0)
        loop.wait_status(_has_polled, "50 polls of each device")
        assert loop.services.stop("agent") == 0

        goodbye = loop.retained(f"solar/{SITE}/status")
        assert goodbye["online"] is False
        epoch = loop.journal.epochs()[-1].epoch
        assert goodbye["journal_epoch"] == epoch
        entries = [e for e in loop.journal.entries() if e.entry.key.epoch == epoch]
        records = Counter(e.device for e in entries if e.entry.kind is Kind.RECORD)
        for device in DEVICES:
            counters = goodbye["counters"]
            answered = counters[f"{device}_polls"] - counters[f"{device}_failures"]
            assert records[device] in (answered, answered - 1), "one poll may have been under way"
            assert records[device] > 50

        status = loop.status()["status"]
        assert (status["online"], status["journal_epoch"]) == (False, epoch)
        written = loop.place.edge_data / "status.json"
        os.utime(written, (time.time() - 600, time.time() - 600))
        assert re.search(r"stopped 60\d s ago", loop.edge("status"))

        change(loop.place.edge_config, (slow, quick))
        loop.start_agent()
        assert loop.compare(loop.copy_journal())["complete"]
        assert loop.services.stop("centre") == 0
        assert loop.services.stop("site") == 0
