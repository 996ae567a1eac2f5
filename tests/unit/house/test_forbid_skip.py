"""A skip is a failure that names its reason where skips are forbidden, and only there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.environments import ROOT

CASES = {
    "in_the_test": "def test_it():\n    pytest.skip('no sun today')\n",
    "by_a_marker": "@pytest.mark.skipif(True, reason='no sun today')\ndef test_it(): pass\n",
    "of_a_fixture": (
        "@pytest.fixture\ndef sun():\n    pytest.skip('no sun today')\ndef test_it(sun): pass\n"
    ),
    "of_a_module": "pytest.skip('no sun today', allow_module_level=True)\n",
}


def run_pytest(directory: Path, source: str, forbid: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_sample.py").write_text(f"import pytest\n{source}", encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    options = ["-p", "tests.forbid_skip", "-p", "no:cacheprovider", "--rootdir", str(directory)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(directory)],
        cwd=ROOT, env={**environment, "SOLAR_FORBID_SKIP": forbid}, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_skip_fails_with_its_reason_where_forbidden(tmp_path: Path, case: str) -> None:
    done = run_pytest(tmp_path, CASES[case], forbid="1")
    assert done.returncode != 0
    assert "no sun today" in done.stdout


def test_skip_stays_a_skip_elsewhere(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, CASES["in_the_test"], forbid="")
    assert "1 skipped" in done.stdout
    assert "failed" not in done.stdout


def test_machine_limit_is_the_only_exception(tmp_path: Path) -> None:
    marked = "@pytest.mark.may_skip('the machine has no sun')\n" + CASES["in_the_test"]
    done = run_pytest(tmp_path, marked, forbid="1")
    assert done.returncode == 0
    assert "1 skipped" in done.stdout


def test_expected_failure_is_not_a_skip(tmp_path: Path) -> None:
    source = "@pytest.mark.xfail(reason='later')\ndef test_it(): assert False\n"
    done = run_pytest(tmp_path, source, forbid="1")
    assert done.returncode == 0
    assert "1 xfailed" in done.stdout
