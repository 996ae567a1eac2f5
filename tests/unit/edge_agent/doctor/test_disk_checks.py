"""The card and its databases, on real files; and the doctor leaves nothing behind."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from edge_agent.doctor import disk_checks
from edge_agent.doctor.disk_checks import check_databases, check_disk, mount_of, write_error
from edge_agent.doctor.finding import Finding, State
from edge_agent.journal.journal import Journal, JournalSettings
from models.contract.clock import SystemClock

MOUNTS = r"""22 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw
30 22 0:25 / /run rw,nosuid - tmpfs tmpfs rw,size=100k
31 22 8:1 / /mnt/usb\040stick ro,relatime - vfat /dev/sda1 rw
32 22 0:40 / /srv rw - nfs4 nas:/srv rw
33 22 0:41 / /srv rw - ext4 /dev/sdb1 ro,errors=remount-ro
"""


@pytest.mark.parametrize(
    ("path", "place", "kind", "is_read_only"),
    [
        ("/var/lib/solar-edge", "/", "ext4", False),
        ("/runner", "/", "ext4", False),
        ("/run/solar-edge", "/run", "tmpfs", False),
        ("/mnt/usb stick/data", "/mnt/usb stick", "vfat", True),
        ("/srv", "/srv", "ext4", True),
    ],
)
def test_the_mount_that_lies_on_top_is_found(
    path: str, place: str, kind: str, is_read_only: bool
) -> None:
    found = mount_of(Path(path), MOUNTS)
    assert found == disk_checks.Mount(place, kind, is_read_only)


@pytest.mark.parametrize(
    ("place", "state", "says"),
    [
        ("/", State.OK, "ext4"),
        ("/run", State.WARNING, "power cut"),
        ("/mnt/usb stick", State.FAILED, "read-only"),
    ],
)
def test_a_file_system_that_forgets_or_refuses_is_told(place: str, state: State, says: str) -> None:
    mount = mount_of(Path(place), MOUNTS)
    assert mount is not None
    finding = disk_checks._kind(mount)
    assert (finding.state, says in finding.found) == (state, True)


def test_the_real_file_systems_of_this_machine_are_understood(tmp_path: Path) -> None:
    proc, sys = mount_of(Path("/proc/self")), mount_of(Path("/sys"))
    assert proc is not None
    assert sys is not None
    assert (proc.kind, sys.kind) == ("proc", "sysfs")
    assert write_error(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    assert write_error(tmp_path / "gone") == errno.ENOENT


def by_subject(findings: list[Finding]) -> dict[str, Finding]:
    return {one.subject: one for one in findings}


def test_too_little_room_is_told_before_it_hurts(tmp_path: Path) -> None:
    def disk(settings: JournalSettings) -> Finding:
        return by_subject(list(check_disk(tmp_path / "not" / "yet", settings)))["disk"]

    assert disk(JournalSettings(max_bytes=10_000_000)).state is State.OK
    wide = disk(JournalSettings(max_bytes=10**18))
    assert (wide.state, "max_bytes" in wide.todo) == (State.WARNING, True)
    assert disk(JournalSettings(keep_free_bytes=10**18)).state is State.FAILED
    assert list(tmp_path.iterdir()) == [], "looking makes no directory"


def test_a_journal_in_use_is_checked_and_not_disturbed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite", JournalSettings(), SystemClock())
    try:
        before = sorted(path.name for path in tmp_path.iterdir())
        found = by_subject(list(check_databases(tmp_path)))
        assert sorted(path.name for path in tmp_path.iterdir()) == before
    finally:
        journal.close()
    assert found["journal.sqlite"].state is State.OK
    assert found["state.sqlite"].found == "not there yet"


def test_a_journal_at_rest_gets_no_log_beside_it(tmp_path: Path) -> None:
    Journal(tmp_path / "journal.sqlite", JournalSettings(), SystemClock()).close()
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert "journal.sqlite-wal" not in before
    assert by_subject(list(check_databases(tmp_path)))["journal.sqlite"].state is State.OK
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_damage_and_files_set_aside_are_found(tmp_path: Path) -> None:
    Journal(tmp_path / "journal.sqlite", JournalSettings(), SystemClock()).close()
    path = tmp_path / "journal.sqlite"
    damaged = bytearray(path.read_bytes())
    damaged[4096:] = b"\xaa" * (len(damaged) - 4096)
    path.write_bytes(damaged)
    (tmp_path / "state.sqlite").write_bytes(b"nonsense" * 1000)
    for name in (
        "journal.sqlite.corrupt-1",
        "journal.sqlite.corrupt-1-wal",
        "state.sqlite.newer-2",
    ):
        (tmp_path / name).touch()
    found = by_subject(list(check_databases(tmp_path)))
    assert found["journal.sqlite"].state is State.FAILED
    assert found["state.sqlite"].state is State.FAILED
    assert "damaged" in found["state.sqlite"].found
    assert found["files set aside"].found == "journal.sqlite.corrupt-1, state.sqlite.newer-2"


def test_a_large_file_is_not_looked_at_for_ever(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "state.sqlite")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
    connection.executemany("INSERT INTO t (b) VALUES (?)", [("x" * 100,)] * 50_000)
    connection.commit()
    connection.close()
    found = by_subject(list(check_databases(tmp_path, limit_s=0.0)))["state.sqlite"]
    assert (found.state, "not looked at to the end" in found.found) == (State.WARNING, True)
