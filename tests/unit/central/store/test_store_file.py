"""Which files are taken as a store, and what survives."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from central.store import StoreError, open_store
from central.store.database import schema_scripts
from central.store.values import Group, QuarantineRow
from tests.environments import ROOT


def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.mark.parametrize("wrong", ["postgresql://db/solar", "sqlite:///", "central.sqlite", ""])
def test_a_url_of_an_unknown_kind_is_refused(wrong: str) -> None:
    with pytest.raises(StoreError, match="write sqlite:///"):
        open_store(wrong)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("dear diary, " * 200)
    with pytest.raises(StoreError, match=r"notes\.txt"):
        open_store(url(file))
    assert file.read_text().startswith("dear diary")


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.sqlite"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE entries (x)")
    other.close()
    with pytest.raises(StoreError, match="another program"):
        open_store(url(file))


def test_a_store_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "central.sqlite"
    open_store(url(file)).close()
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA user_version = {len(schema_scripts()) + 1}")
    connection.close()
    with pytest.raises(StoreError, match="newer program"):
        open_store(url(file))


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/central\.sqlite"):
        open_store(url(tmp_path / "file" / "central.sqlite"))


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = open_store(url(tmp_path / "central.sqlite"))
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.commit(Group())


def test_what_was_committed_survives_a_killed_process(tmp_path: Path) -> None:
    file = tmp_path / "central.sqlite"
    script = f"""
import os, signal
from central.store import open_store
from central.store.values import Group, QuarantineRow
store = open_store({url(file)!r})
for number in range(50):
    store.commit(Group(quarantine=[QuarantineRow("t", b"", str(number), 0)]))
    print(number, flush=True)
    if number == 30:
        os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == -9
    said = [int(line) for line in ended.stdout.split()]
    store = open_store(url(file))
    with store.read() as ask:
        kept = sorted(int(row.reason) for row in ask.quarantined())
    store.close()
    assert kept == said == list(range(31))


def test_durability_settings_are_what_the_design_asks_for(tmp_path: Path) -> None:
    store = open_store(url(tmp_path / "central.sqlite"))
    with store._database.write() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
        connection.execute("INSERT INTO quarantine VALUES (1, 't', x'', 'r', 0)")
    with store.read() as ask:
        assert ask.quarantined() == [QuarantineRow("t", b"", "r", 0)]
    store.close()
