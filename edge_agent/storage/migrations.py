"""Brings a database file to the newest schema: ``schema/<name>/000N_*.sql``, each applied once.

sqlite-utils applies them, and costs 38 MB of memory once imported (measured; 104 MB where pandas is
installed): a third of the agent's budget. So it runs in a process of its own, and only when the
file's ``user_version`` says that there is something to do::

    python -m edge_agent.storage.migrations journal /var/lib/solar-edge/journal.sqlite
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.errors import StorageError

if TYPE_CHECKING:
    from sqlite_utils import Database

_SCHEMA = Path(__file__).parent / "schema"
_TIMEOUT_S = 600.0


def scripts(name: str) -> list[Path]:
    """The SQL files of schema ``name`` in their order; the n-th leads to version n."""
    return sorted((_SCHEMA / name).glob("[0-9][0-9][0-9][0-9]_*.sql"))


def newest_version(name: str) -> int:
    """``user_version`` of a file that needs no migration."""
    return len(scripts(name))


def migrate_in_child(path: Path, name: str) -> None:
    """Apply what is missing to ``path``; raises ``StorageError`` with the child's words."""
    root = str(Path(__file__).parents[2])  # a checkout that is not installed works too
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent.storage.migrations", name, str(path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise StorageError(
            f"{path}: cannot be brought to the newest schema: {last[0]};"
            " check free space and permissions of its directory"
        )


PAGE_BYTES = 1024
"""A commit writes whole pages: 60 records every 30 s cost 116 MB a day with pages of 4096 bytes, 84
with 1024 and 80 with 512, of which few hold a whole row (measured at the block device under ext4
with its usual blocks of 4096 bytes, in real time, without folding the log back)."""


def migrate(path: Path, name: str) -> None:
    """Apply what is missing to ``path``, each script in a transaction of its own."""
    from sqlite_utils import Database, Migrations

    migrations = Migrations(name)
    for version, script in enumerate(scripts(name), 1):
        step = partial(_apply, sql=script.read_text(encoding="utf-8"), version=version)
        migrations(name=script.stem)(step)  # type: ignore[type-var]
    database = Database(path)
    try:
        database.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # no effect once there are tables
        migrations.apply(database)
    finally:
        database.close()


def _apply(database: Database, *, sql: str, version: int) -> None:
    database.executescript(sql)
    database.execute(f"PRAGMA user_version = {version}")


def main(arguments: list[str]) -> int:
    """``migrations NAME FILE``"""
    for heavy in ("pandas", "numpy"):  # sqlite-utils takes them when it finds them; not needed here
        sys.modules[heavy] = None  # type: ignore[assignment]
    name, path = arguments
    migrate(Path(path), name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
