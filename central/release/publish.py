"""Repository directory -> retained MQTT messages. The transport needs no trust: all is signed.

    solar/bundles/metadata/NAME.json              one metadata file
    solar/bundles/targets/RING/HASH.bundle.tar/0  piece 0 of an archive, then 1, 2, ...
    solar/bundles/targets/RING/HASH.bundle.tar/index   {"length": bytes, "pieces": count}

Order matters: archives, then metadata, the timestamp last, so that what a box can find is complete.
Then topics of the state before are cleared (an empty retained message), which the ledger beside the
repository remembers. Publishing again changes nothing and repairs a broker that lost its memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from models.bundle.pieces import INDEX, PIECE_BYTES, encode_index
from models.contract.topics import bundle_topic

from .errors import ReleaseError
from .repository import Repository

_LEDGER = "published.json"


class Publish(Protocol):
    """Publish at QoS 1 and return once the broker has taken it (``Messaging.publish``)."""

    def __call__(self, topic: str, payload: bytes, *, retain: bool) -> object: ...


def publish_repository(repository: Repository, publish: Publish) -> int:
    """Put the current state of ``repository`` on the broker; returns how many topics it has.

    Raises:
        ReleaseError: the repository or its ledger cannot be read.
    """
    ledger = repository.directory / _LEDGER
    before = _read_ledger(ledger)
    current: set[str] = set()
    for topic, payload in _messages(repository):
        if topic not in before:
            # Remembered first: an interruption must not leave a topic that nobody will clear.
            before.add(topic)
            _write_ledger(ledger, before)
        publish(topic, payload, retain=True)
        current.add(topic)
    for topic in sorted(before - current):
        publish(topic, b"", retain=True)
    _write_ledger(ledger, current)
    return len(current)


def _messages(repository: Repository) -> Iterator[tuple[str, bytes]]:
    """Topic and payload of everything that is valid now, in the order to publish."""
    roles = repository.roles
    snapshot = roles.snapshot()
    names = [f"{version}.root.json" for version in roles.root_versions()]
    for file_name, meta in sorted(snapshot.signed.meta.items()):
        names.append(f"{meta.version}.{file_name}")
        for target in roles.targets(file_name.removesuffix(".json")).signed.targets.values():
            ring = target.path.rpartition("/")[0]
            yield from _pieces(repository.archive_path(ring, target.hashes["sha256"]), ring)
    names += [f"{snapshot.signed.version}.snapshot.json", "timestamp.json"]
    for name in names:
        yield bundle_topic(f"metadata/{name}"), _read(roles.metadata / name)


def _pieces(archive: Path, ring: str) -> Iterator[tuple[str, bytes]]:
    data, place = _read(archive), f"targets/{ring}/{archive.name}"
    for number, start in enumerate(range(0, len(data), PIECE_BYTES)):
        yield bundle_topic(f"{place}/{number}"), data[start : start + PIECE_BYTES]
    yield bundle_topic(f"{place}/{INDEX}"), encode_index(len(data))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ReleaseError(f"{path}: cannot be published: {error.strerror}") from None


def _read_ledger(path: Path) -> set[str]:
    try:
        topics = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return set()
    except (OSError, ValueError) as error:
        raise ReleaseError(f"{path}: is not readable: {error}; remove it to go on") from None
    return {topic for topic in topics if isinstance(topic, str)}


def _write_ledger(path: Path, topics: set[str]) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(json.dumps(sorted(topics), indent=1) + "\n", encoding="utf-8")
    fresh.replace(path)
