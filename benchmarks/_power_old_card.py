"""A card of the first release: both files in their first schema, with entries of two starts.

The rows are written as that release wrote them; later schemas must bring them along unharmed.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlite_utils import Database, Migrations

from benchmarks._power_instruments import digest
from benchmarks._power_witnesses import Content, Witnesses
from edge_agent.storage.migrations import scripts
from models.contract.messages import Kind
from models.contract.payload import canonical, record_to_json
from models.contract.record import Reading, Record

_EPOCHS = ("00000000000000a1", "00000000000000a2")
_ENTRIES_EACH = 400
_START = 1_790_000_000_000


def write_old_card(directory: Path, told: Witnesses) -> None:
    """Write both files into ``directory`` and put their content to the account."""
    _write_journal(directory / "journal.sqlite", told)
    with closing(_first_schema(directory / "state.sqlite", "state")) as connection:
        for number in range(6):
            key = f"key-{number}"
            value = canonical({"n": number + 1})
            connection.execute("INSERT INTO state VALUES (?, ?, ?)", (key, value, _START))
            told.put[key] = told.put_begun[key] = number + 1


def _write_journal(path: Path, told: Witnesses) -> None:
    with closing(_first_schema(path, "journal")) as connection:
        connection.execute("BEGIN")
        for number, epoch in enumerate(_EPOCHS):
            first = 1 + number * _ENTRIES_EACH
            connection.execute(
                "INSERT INTO epochs (epoch, first_seq, boot_id, started_at, started_monotonic_ms)"
                " VALUES (?, ?, 'b0', ?, 0)",
                (epoch, first, _START),
            )
            for seq in range(first, first + _ENTRIES_EACH):
                device, at = f"unit-{seq % 4}", _START + seq * 1250
                readings = {"ac_power": Reading(seq / 10), "ac_energy": Reading(float(seq))}
                body = canonical(record_to_json(Record(device, at, readings)))
                connection.execute(
                    "INSERT INTO journal VALUES (?, ?, 'record', ?, ?, ?, ?)",
                    (seq, number + 1, device, at, seq, body),
                )
                mark = digest(Kind.RECORD.value, body)
                told.entries[seq] = Content(epoch, mark)
                told.newest_seq = seq
                told.know(epoch, seq, mark)
            told.epochs.add(epoch)
        connection.execute("INSERT INTO acknowledged VALUES (1, 100, ?)", (_START,))
        connection.execute("INSERT INTO voids VALUES (150, 151, 'an old reason', ?)", (_START,))
        connection.execute("COMMIT")
    for marks in (told.perhaps_acknowledged, told.surely_acknowledged):
        marks.add(1, 100)
    told.surely_void.add(150, 151)


def _first_schema(path: Path, name: str) -> sqlite3.Connection:
    """The file as sqlite-utils made it when there was only the first script."""
    script = scripts(name)[0]
    migrations = Migrations(name)
    sql = script.read_text(encoding="utf-8")
    migrations(name=script.stem)(lambda database: database.executescript(sql))
    database = Database(path)
    migrations.apply(database)
    database.close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA user_version = 1")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection
