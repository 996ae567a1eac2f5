"""Headless Chromium for tests: what a person would see of a page."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest


def browse(url: str, profile: Path, *options: str) -> str:
    """The page's document after its first answers; fails when the console complains."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium (Debian package chromium) is not installed")
    done = subprocess.run(
        [
            program,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            f"--user-data-dir={profile}",
            "--enable-logging=stderr",
            "--virtual-time-budget=3000",
            "--dump-dom",
            *options,
            url,
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not complaints, complaints
    assert done.returncode == 0
    return done.stdout


def text_of(dom: str) -> str:
    bare = re.sub(r"<(script|style)\b.*?</\1>", "", dom, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", " ", bare))
