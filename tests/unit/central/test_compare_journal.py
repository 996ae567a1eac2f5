"""The comparison of a box's journal with the store, on journals written by the agent's own code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from central.compare import compare_journal
from central.store import Store, StoreError, open_store
from central.store.values import EntryRow, Group
from edge_agent.journal.journal import Journal, JournalSettings
from models.contract.clock import SystemClock
from models.contract.messages import Entry, Kind
from models.contract.payload import record_to_json
from tests.fleet_messages import NOON, record

AGENT = "site_01"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'central.sqlite'}")
    yield opened
    opened.close()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "journal.sqlite", JournalSettings(), SystemClock())
    for number in range(10):
        value = record(100.0 * number, NOON + number * 1000)
        opened.append(Kind.RECORD, value.device, value.measured_at, record_to_json(value))
    assert opened.flush()
    yield opened
    opened.close()


def row(entry: Entry, digest: bytes | None = None) -> EntryRow:
    return EntryRow(
        AGENT,
        entry.key.epoch,
        entry.key.seq,
        entry.kind.value,
        "inverter",
        NOON,
        digest or entry.digest,
        entry.body,
        NOON,
    )


def entries(journal: Journal) -> list[Entry]:
    return [stored.entry for stored in journal.reader.entries()]


def test_a_journal_that_came_through_is_complete(store: Store, journal: Journal) -> None:
    store.commit(Group(entries=[row(entry) for entry in entries(journal)]))
    report = compare_journal(store, journal.path, AGENT)
    assert report.complete
    assert report.sound
    assert (report.journal_entries, report.stored_entries, report.matching) == (10, 10, 10)


def test_what_is_on_its_way_is_pending_and_what_was_acknowledged_and_is_gone_is_lost(
    store: Store, journal: Journal
) -> None:
    stored = entries(journal)
    store.commit(Group(entries=[row(entry) for entry in stored[3:]]))
    journal.acknowledge(journal.epoch, [(1, 2)])
    assert journal.flush()
    report = compare_journal(store, journal.path, AGENT)
    assert report.lost == ((journal.epoch, (1, 2)),)
    assert report.pending == ((journal.epoch, (3, 3)),)
    assert not report.complete
    assert not report.sound


def test_another_body_under_the_same_key_is_seen(store: Store, journal: Journal) -> None:
    rows = [row(entry) for entry in entries(journal)]
    rows[4] = rows[4]._replace(digest=b"another")
    store.commit(Group(entries=rows))
    report = compare_journal(store, journal.path, AGENT)
    assert report.different == ((journal.epoch, (5, 5)),)
    assert not report.sound


def test_what_the_box_has_deleted_is_extra_and_no_fault(store: Store, journal: Journal) -> None:
    gone = row(entries(journal)[0])._replace(epoch="ffeeddccbbaa9988")
    rows = [row(entry) for entry in entries(journal)]
    store.commit(Group(entries=[*rows, gone, gone._replace(seq=2)]))
    report = compare_journal(store, journal.path, AGENT)
    assert report.extra == (("ffeeddccbbaa9988", (1, 2)),)
    assert report.complete
    assert report.sound


@pytest.mark.parametrize("content", [None, b"", b"not a database" * 100])
def test_a_file_that_is_no_journal_is_named(
    store: Store, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "wrong.sqlite"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StoreError, match=r"wrong\.sqlite"):
        compare_journal(store, file, AGENT)
