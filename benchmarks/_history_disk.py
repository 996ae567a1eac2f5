"""A small file system that can be filled to the last byte and freed again.

Whoever uses it has a mount table of its own (``_power_card.own_mounts``), so that nothing is left
mounted whatever happens to the process.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_FILLER = "filler"
_BLOCK = bytes(64 * 1024)


class SmallDisk:
    """A directory that is a file system of a few megabytes."""

    def __init__(self, directory: Path, kind: str, megabytes: int = 16) -> None:
        """``kind``: tmpfs or ext4. Raises ``OSError`` when it cannot be mounted."""
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        if kind == "tmpfs":
            failure = _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", directory)
        else:
            image = directory.with_name(directory.name + ".img")
            with image.open("wb") as file:
                file.truncate(megabytes * 1024 * 1024)
            failure = _run("mkfs.ext4", "-q", "-m", "0", image)
            failure = failure or _run("mount", "-o", "loop", image, directory)
        if failure:
            raise OSError(f"{directory}: no small {kind}: {failure}")

    def fill(self) -> None:
        """Take every byte that is left."""
        descriptor = os.open(self.directory / _FILLER, os.O_WRONLY | os.O_CREAT, 0o600)
        block = _BLOCK
        try:
            os.lseek(descriptor, 0, os.SEEK_END)
            while block:
                try:
                    os.write(descriptor, block)
                except OSError:  # full for this size: the rest goes in smaller pieces
                    block = block[: len(block) // 2]
            os.fsync(descriptor)
        except OSError:
            pass  # so full that it cannot even say so
        finally:
            os.close(descriptor)

    def free(self) -> None:
        """Give it back."""
        (self.directory / _FILLER).unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount; what was on it is gone with a tmpfs."""
        _run("umount", "--lazy", self.directory)


def _run(*command: str | Path) -> str:
    """ "" or what went wrong."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"{command[0]}: {done.stderr.strip()}"
