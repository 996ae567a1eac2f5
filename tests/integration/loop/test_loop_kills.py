"""kill -9 of agent, broker and centre in mid-run: each committed entry reaches the centre once."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from models.contract.messages import Kind
from tests.integration.loop.running import Loop, Weather, open_loop

SEED = 20
AGENT, BROKER, CENTRE = "agent", "broker", "centre"
ROUNDS = [
    {AGENT}, {AGENT}, {BROKER}, {BROKER}, {AGENT, BROKER}, {AGENT, BROKER}, {CENTRE},
    {AGENT, BROKER, CENTRE},
]  # fmt: skip


def kill(loop: Loop, victims: set[str], chance: random.Random) -> None:
    for name in chance.sample(sorted(victims), len(victims)):
        if name == BROKER:
            loop.broker.kill()
            shutil.rmtree(loop.broker.directory)  # what it had saved is gone, too
        else:
            loop.services.kill(name)
        time.sleep(chance.uniform(0, 0.1))


def start_again(loop: Loop, victims: set[str], chance: random.Random) -> None:
    """In any order; the agent, last, until it has committed again."""
    others = sorted(victims - {AGENT})
    if AGENT in victims and chance.random() < 0.5:
        loop.start_agent()  # journals before there is anybody to talk to
        victims = victims - {AGENT}
    for name in chance.sample(others, len(others)):
        if name == BROKER:
            loop.broker.start()
        else:
            loop.start_centre()
    if AGENT in victims:
        loop.start_agent()


@pytest.mark.timeout(240)
def test_after_many_kills_the_centre_holds_each_committed_entry_exactly_once(
    tmp_path: Path, weather: Weather
) -> None:
    chance = random.Random(SEED)
    rounds = list(ROUNDS)
    chance.shuffle(rounds)
    with open_loop(tmp_path / "loop", weather) as loop:
        loop.start_all()
        for victims in rounds:
            time.sleep(chance.uniform(0, 1.5))  # the moment of the kill is what is being tried
            kill(loop, victims, chance)
            start_again(loop, victims, chance)
            loop.grow(50)
        assert loop.services.stop("agent") == 0
        journal = loop.copy_journal()
        epochs = loop.journal.epochs()
        kinds = Counter(entry.entry.kind for entry in loop.journal.entries())
        loop.start_agent()  # delivers what is still pending

        found = loop.compare(journal)
        print(
            f"{len(rounds)} rounds of kill -9, {len(epochs)} lives of the agent:"
            f" {found['journal_entries']} committed entries, {found['matching']} at the centre"
            " with the same hash"
        )

        assert found["complete"], found
        assert found["matching"] == found["journal_entries"] == kinds.total()
        assert (found["lost"], found["different"], found["pending"]) == ([], [], [])
        assert (found["journal_duplicates"], found["stored_duplicates"]) == (0, 0)
        lives = 1 + sum(AGENT in victims for victims in rounds)
        assert len(epochs) == lives
        newest = loop.journal.epochs()[-1].epoch
        assert {epoch for epoch, _ in found["extra"]} <= {newest}, "sent but never committed"
        assert kinds[Kind.RECORD] > 400
        assert kinds[Kind.FORECAST] > 50
        stored = loop.get("/api/iot/health")["stored"]
        assert stored["key_conflicts"] == stored["quarantine"] == 0
