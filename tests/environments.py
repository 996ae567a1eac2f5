"""Virtual environments that tests build from the lock files, with the installer the project pins.

uv links packages out of its cache, so building one again costs about a second; nothing is kept.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements"
PACKAGES = ("models", "firmware_bridge", "edge_agent", "central")


def run(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    """Standard output of a command that must succeed; the error holds its whole output."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        words = " ".join(str(word) for word in command)
        raise AssertionError(f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def uv() -> Path:
    """The installer beside the interpreter that runs the tests (deploy/setup.sh puts it there)."""
    return Path(sys.executable).parent / "uv"


def make_environment(directory: Path, python: Path | str, lock: Path) -> Path:
    """A new environment with exactly the packages of ``lock``, hashes checked; its python."""
    run(uv(), "venv", "--quiet", "--python", python, directory)
    inside = directory / "bin" / "python"
    run(uv(), "pip", "sync", "--quiet", "--python", inside, "--require-hashes", lock)
    return inside


def build_wheel(directory: Path) -> Path:
    """The wheel of this checkout, built on a copy so that no build leftovers get in or stay."""
    source = directory / "source"
    leave = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "var")
    shutil.copytree(ROOT, source, ignore=leave)
    options = ("--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable)
    run(uv(), "build", *options, "--out-dir", directory / "wheel", source)
    (wheel,) = (directory / "wheel").glob("*.whl")
    return wheel


def find_python(version: str) -> Path | None:
    """An interpreter of this version ("3.13") from PATH or pyenv, if the machine has one."""
    candidates = [shutil.which(f"python{version}")]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates += sorted(str(path) for path in pyenv.glob(f"{version}*/bin/python"))
    question = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"
    for candidate in filter(None, candidates):
        # Asked, not believed: a pyenv shim exists for versions that are not active.
        answer = subprocess.run(
            [candidate, "-c", question], capture_output=True, text=True, check=False
        )
        if answer.returncode == 0 and answer.stdout.startswith(f"{version} "):
            return Path(answer.stdout.split(" ", 1)[1].strip())
    return None
