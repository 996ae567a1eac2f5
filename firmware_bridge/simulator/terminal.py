"""A serial line where there is none: a pseudo terminal whose device path can have a fixed name."""

from __future__ import annotations

import contextlib
import os
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PtyPair:
    """Both ends of a line."""

    descriptor: int
    """The simulator's end."""
    device_path: str
    """What a driver opens as its serial port: the link if one was asked for."""


@contextmanager
def open_pty_pair(link: Path | None = None) -> Iterator[PtyPair]:
    """A raw pseudo terminal while the block runs.

    Args:
        link: Where to put a symbolic link to the device, so that a configuration can name it. A
        link
            that lies there already is replaced; it is removed at the end.

    Raises:
        OSError: No terminal to be had, or ``link`` cannot be made.
    """
    master, slave = os.openpty()
    try:
        tty.setraw(slave)  # no echo, no line ends translated
        device = os.ttyname(slave)
        if link is None:
            yield PtyPair(master, device)
            return
        _point(link, device)
        try:
            yield PtyPair(master, str(link))
        finally:
            with contextlib.suppress(OSError):
                if link.is_symlink() and str(link.readlink()) == device:
                    link.unlink()
    finally:
        # The slave stays open until here: without it the master reads errors between two clients.
        os.close(slave)
        os.close(master)


def _point(link: Path, device: str) -> None:
    if link.exists() and not link.is_symlink():
        raise FileExistsError(f"{link} exists and is no symbolic link; choose another path")
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.symlink_to(device)
    fresh.replace(link)  # at once: a driver never finds no link
