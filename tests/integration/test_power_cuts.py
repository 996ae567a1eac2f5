"""The power cut benchmark in short: nothing that was committed is lost, and losses would be found.

The long form is ``python -m benchmarks.power_cuts``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from benchmarks._power_card import CannotCut, Card, mounted, why_not
from tests.environments import ROOT

CANNOT = 2


def cut(directory: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and result; in a process of its own, which has its own table of mounts."""
    figures = directory / "figures.json"
    command = [sys.executable, "-m", "benchmarks.power_cuts", "--directory", str(directory)]
    done = subprocess.run(
        [*command, "--json", str(figures), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    if done.returncode == CANNOT:
        pytest.skip(done.stderr.strip())
    print(done.stderr)
    assert figures.exists(), done.stderr
    return done.returncode, json.loads(figures.read_text())


@pytest.mark.timeout(240)
def test_nothing_promised_is_lost_in_a_power_cut(tmp_path: Path) -> None:
    code, result = cut(tmp_path, "--cuts", "30", "--enumerate-every", "40")
    assert result["violations"] == {}, result["examples"]
    assert code == 0
    cuts = result["cuts"]
    assert cuts["call"] == cuts["instant"] == 15
    assert min(cuts["start_empty"], cuts["start_old_schema"], cuts["commit"]) > 0
    assert result["entries_checked"] > 1_000
    assert result["puts_checked"] > 50
    assert result["lost_in_window"] > 0, "no cut met an entry that waited for its commit"
    assert list(tmp_path.iterdir()) == [tmp_path / "figures.json"]


def test_a_journal_that_does_not_sync_each_commit_is_found_out(tmp_path: Path) -> None:
    arguments = ("--cuts", "8", "--enumerate-every", "0", "--synchronous", "normal")
    code, result = cut(tmp_path, *arguments)
    assert code == 1
    assert result["violations"]["lost"] > 0
    assert result["violations"]["state_lost"] > 0


def test_a_cut_lets_no_later_write_through_and_leaves_out_what_was_not_synced(
    tmp_path: Path,
) -> None:
    if reason := why_not():
        pytest.skip(reason)
    passed, end = 0, threading.Event()

    def write_without_pause() -> None:
        nonlocal passed
        with (card.place / "synced").open("wb", buffering=0) as file:
            while not end.is_set():
                file.write(b"x" * 4096)
                os.fsync(file.fileno())
                passed += 1

    def stays_as_it_is() -> None:
        before = passed
        end.wait(0.2)
        seen.append(passed - before)

    seen: list[int] = []
    copy = tmp_path / "copy.img"
    try:
        with Card(tmp_path) as card:
            card.insert()
            writer = threading.Thread(target=write_without_pause)
            writer.start()
            while not passed and writer.is_alive():
                end.wait(0.001)
            try:
                for _ in range(5):
                    promised = passed
                    (card.place / "unsynced").write_bytes(b"never synced")
                    card.cut(copy, stays_as_it_is)
                    with mounted(copy, tmp_path / "found") as found:
                        assert (found / "synced").stat().st_size >= promised * 4096
                        assert (found / "synced").read_bytes().strip(b"x") == b""
                        left_out = found / "unsynced"
                        assert not left_out.exists() or left_out.stat().st_size == 0
                    (card.place / "unsynced").unlink()
            finally:
                end.set()
                writer.join()
    except CannotCut as error:
        pytest.skip(str(error))
    assert passed > 10
    # What had reached the image before may still be reported, nothing after it.
    assert max(seen) <= 1
