"""deploy/setup.sh says what is wrong before it touches anything."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.environments import ROOT

NEEDED_TOOLS = ("bash", "dirname", "mktemp", "awk", "id", "cat", "rm")


def run_setup(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "deploy" / "setup.sh", *arguments],
        env={**os.environ, **variables}, capture_output=True, text=True,
    )  # fmt: skip


def path_without_python(directory: Path) -> str:
    for name in NEEDED_TOOLS:
        tool = shutil.which(name)
        assert tool is not None
        (directory / name).symlink_to(tool)
    return str(directory)


def test_unknown_group_shows_the_usage() -> None:
    done = run_setup("everything")
    assert done.returncode == 2
    assert "usage: deploy/setup.sh demo|test" in done.stderr


def test_missing_python_is_told_with_the_remedy(tmp_path: Path) -> None:
    done = run_setup("demo", PATH=path_without_python(tmp_path), HOME=str(tmp_path))
    assert done.returncode == 4
    assert "Python 3.11 is needed and was not found (no python3 at all" in done.stderr
    assert "Debian 12 has it as python3" in done.stderr


def test_wrong_python_is_named_with_its_version(tmp_path: Path) -> None:
    path = path_without_python(tmp_path)
    (tmp_path / "python3").write_text("#!/bin/sh\necho 3.9\n", encoding="utf-8")
    (tmp_path / "python3").chmod(0o755)
    (tmp_path / "sh").symlink_to("/bin/sh")
    done = run_setup("demo", PATH=path, HOME=str(tmp_path))
    assert done.returncode == 4
    assert "python3 is 3.9" in done.stderr
