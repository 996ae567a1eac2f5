"""A file that one process has alone, and a log of full length: what others see, what is kept."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.errors import StorageError
from edge_agent.journal.reader import JournalReader
from edge_agent.storage import database
from edge_agent.storage.database import WAL_BYTES, copy_of_open_file, open_database, read_only
from edge_agent.storage.state_store import StateDatabase
from tests.unit.edge_agent.journal.opened import NOON, opened, record

_HOLDS_IT_OPEN = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone(), flush=True)
sys.stdin.readline()
"""
_READS = """
import sqlite3, sys
try:
    with sqlite3.connect(sys.argv[1], timeout=0.1) as connection:
        print(connection.execute("SELECT count(*) FROM journal").fetchone()[0])
except sqlite3.OperationalError as error:
    print(error)
"""
_READS_A_COPY = """
import sys
from pathlib import Path
from edge_agent.journal.reader import JournalReader
print(JournalReader(Path(sys.argv[1])).counts()["committed"])
"""


def said(program: str, path: Path) -> str:
    """What a process of its own says about the file."""
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


@contextlib.contextmanager
def held_open(path: Path) -> Iterator[None]:
    """Another process has the file open."""
    command = [sys.executable, "-c", _HOLDS_IT_OPEN, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline()
        yield
        process.stdin.write("\n")


def test_another_process_is_kept_out_and_leaves_the_log_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with opened(path, alone=True) as journal:
        journal.append_record(record(NOON, ac_power=1.0))
        assert journal.flush()
        assert said(_READS, path) == "database is locked"
        assert not path.with_name("journal.sqlite-shm").exists()
        journal.append_record(record(NOON + 1, ac_power=2.0))
        assert journal.flush()
        assert journal.reader.counts()["committed"] == 2  # this process may read
    assert said(_READS, path) == "2"


def test_a_reader_elsewhere_reads_what_is_committed_from_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with opened(path, alone=True) as journal:
        for number in range(3):
            journal.append_record(record(NOON + number, ac_power=1.0))
            assert journal.flush()
            assert said(_READS_A_COPY, path) == str(number + 1)
        before = sorted(tmp_path.iterdir())
        said(_READS_A_COPY, path)
        assert sorted(tmp_path.iterdir()) == before, "nothing is left beside the journal"


def test_a_file_that_another_process_reads_is_opened_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.sqlite"
    with opened(path) as journal:
        journal.append_record(record(NOON, ac_power=1.0))
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    with held_open(path), opened(path, alone=True) as journal:
        assert "is not opened alone" in caplog.text
        journal.append_record(record(NOON + 1, ac_power=2.0))
        assert journal.flush()
        assert said(_READS, path) == "2"


def test_a_copy_during_which_the_log_is_folded_back_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.sqlite"
    copy_file, copies = database.shutil.copyfile, []
    with opened(path, alone=True) as journal:
        journal.append_record(record(NOON, ac_power=1.0))
        assert journal.flush()

        def folded_meanwhile(source: Path, target: Path) -> None:
            copy_file(source, target)
            copies.append(source)
            if len(copies) == 1:
                journal._writer.file.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
                journal.append_record(record(NOON + 1, ac_power=2.0))
                assert journal.flush()

        monkeypatch.setattr(database.shutil, "copyfile", folded_meanwhile)
        (tmp_path / "copy").mkdir()
        copy = copy_of_open_file(path, tmp_path / "copy")
    assert len(copies) == 4, "file and log, twice"
    assert JournalReader(copy).counts()["committed"] == 2


def test_a_file_that_never_holds_still_is_not_copied_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.sqlite"
    with opened(path, alone=True):
        numbers = iter(range(1000))
        monkeypatch.setattr(database, "_generation", lambda *_: next(numbers))
        (tmp_path / "copy").mkdir()
        with pytest.raises(StorageError, match="changes faster than it can be copied"):
            copy_of_open_file(path, tmp_path / "copy")


def test_a_commit_does_not_make_the_log_longer(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    connection, _ = open_database(path, "state")
    log = path.with_name("state.sqlite-wal")
    length = log.stat().st_size
    assert WAL_BYTES < length < 2 * WAL_BYTES
    for number in range(2500):  # twice round the log
        connection.execute(
            "INSERT OR REPLACE INTO state VALUES (?, ?, 0)", (f"key-{number % 7}", f"{number}")
        )
    assert log.stat().st_size == length
    connection.close()


def test_a_log_lengthened_after_a_crash_keeps_what_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    StateDatabase(path).close()
    program = (
        "import os, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute(\"INSERT INTO state VALUES ('a', '1', 0)\")\n"
        "print('there', flush=True)\n"
        "os._exit(0)\n"
    )
    assert said(program, path) == "there"
    log = path.with_name("state.sqlite-wal")
    short = log.stat().st_size
    assert 0 < short < WAL_BYTES
    database = StateDatabase(path)
    assert log.stat().st_size > WAL_BYTES
    assert database.query("SELECT key FROM state") == [("a",)]
    with read_only(path) as reading:
        assert reading.execute("SELECT value FROM state").fetchall() == [("1",)]
    database.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]


def test_on_a_nearly_full_disk_the_log_takes_no_room_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_LEAST_FREE_BYTES", 1 << 60)
    path = tmp_path / "state.sqlite"
    connection, _ = open_database(path, "state")
    assert path.with_name("state.sqlite-wal").stat().st_size < WAL_BYTES
    connection.close()
