"""What stands on the broker after publishing: exactly the valid state, in a safe order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from central.release.errors import ReleaseError
from central.release.publish import publish_repository
from models.bundle.pieces import PIECE_BYTES
from tests.releases import Centre


class Retained:
    """What a broker keeps; may break off after some messages."""

    def __init__(self) -> None:
        self.topics: dict[str, bytes] = {}
        self.order: list[str] = []
        self.breaks_after: int | None = None

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        if self.breaks_after is not None and len(self.order) >= self.breaks_after:
            raise ConnectionError("gone")
        assert retain
        self.order.append(topic)
        if payload:
            self.topics[topic] = payload
        else:
            self.topics.pop(topic, None)  # a broker does not mind an empty topic either


def names(broker: Retained) -> set[str]:
    return {topic.removeprefix("solar/bundles/metadata/") for topic in broker.topics}


def test_empty_repository_is_its_metadata(centre: Centre) -> None:
    broker = Retained()
    publish_repository(centre.repository, broker.publish)
    versioned = {f"1.{role}.json" for role in ("root", "targets", "canary", "fleet", "snapshot")}
    assert names(broker) == versioned | {"timestamp.json"}
    assert broker.order[-1].endswith("timestamp.json")


def test_archive_is_cut_and_published_before_what_names_it(centre: Centre) -> None:
    big = bytes(range(256)) * 2000  # no library compresses or reads it: it only has to travel

    def grow(directory: Path) -> None:
        with (directory / "trees" / "q500.so").open("ab") as file:
            file.write(big)

    report = centre.release(change=grow)
    broker = Retained()
    publish_repository(centre.repository, broker.publish)
    place = f"solar/bundles/targets/fleet/{report.sha256}.bundle.tar"
    index = json.loads(broker.topics[f"{place}/index"])
    assert index == {"length": report.size, "pieces": -(-report.size // PIECE_BYTES)}
    pieces = [broker.topics[f"{place}/{number}"] for number in range(index["pieces"])]
    assert b"".join(pieces) == report.archive.read_bytes()
    assert max(map(len, pieces)) == PIECE_BYTES
    assert broker.order.index(f"{place}/index") < broker.order.index(
        "solar/bundles/metadata/2.fleet.json"
    )
    assert broker.order[-1] == "solar/bundles/metadata/timestamp.json"


def test_superseded_topics_are_cleared_but_every_root_stays(centre: Centre) -> None:
    broker = Retained()
    old = centre.release()
    publish_repository(centre.repository, broker.publish)
    centre.repository.replace_key("online")
    new = centre.release()
    publish_repository(centre.repository, broker.publish)
    assert not [topic for topic in broker.topics if old.sha256 in topic]
    assert [topic for topic in broker.topics if new.sha256 in topic]
    roots = {name for name in names(broker) if name.endswith("root.json")}
    assert roots == {"1.root.json", "2.root.json"}
    assert sum(name.endswith("snapshot.json") for name in names(broker)) == 1


def test_publishing_again_changes_nothing_and_repairs_a_broker_that_forgot(centre: Centre) -> None:
    broker = Retained()
    centre.release()
    count = publish_repository(centre.repository, broker.publish)
    before = dict(broker.topics)
    assert publish_repository(centre.repository, broker.publish) == count == len(before)
    assert broker.topics == before
    broker.topics.clear()
    publish_repository(centre.repository, broker.publish)
    assert broker.topics == before


def test_publishing_that_broke_off_leaves_nothing_behind_in_the_end(centre: Centre) -> None:
    broker = Retained()
    centre.release()
    broker.breaks_after = 3
    with pytest.raises(ConnectionError):
        publish_repository(centre.repository, broker.publish)
    half = set(broker.topics)
    broker.breaks_after = None
    centre.release()
    publish_repository(centre.repository, broker.publish)
    fresh = Retained()
    (centre.directory / "published.json").unlink()
    publish_repository(centre.repository, fresh.publish)
    assert half
    assert broker.topics == fresh.topics


def test_broken_ledger_or_missing_archive_is_named(centre: Centre) -> None:
    report = centre.release()
    (centre.directory / "published.json").write_text("{")
    with pytest.raises(ReleaseError, match=r"published.json: is not readable"):
        publish_repository(centre.repository, Retained().publish)
    (centre.directory / "published.json").unlink()
    report.archive.unlink()
    with pytest.raises(ReleaseError, match=r"bundle.tar: cannot be published"):
        publish_repository(centre.repository, Retained().publish)
