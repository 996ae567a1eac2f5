"""Directories that are costly to build and shared by everyone who needs them.

Whoever comes first builds, the others wait for the lock; a reader never sees half a build, and what
a killed builder left behind is cleared away by the next one.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path


def build_once(directory: Path, build: Callable[[Path], None]) -> Path:
    """``directory``, after ``build`` has filled it if it was not there.

    ``build`` gets the path of a directory beside it to create; it is renamed when complete.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_name(f"{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # given back when the file is closed, also by a kill
        if not directory.exists():
            partial = directory.with_name(f"{directory.name}.partial")
            if partial.exists():
                shutil.rmtree(partial)
            build(partial)
            partial.rename(directory)
    return directory
