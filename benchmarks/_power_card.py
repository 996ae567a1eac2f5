"""A memory card to cut the power of: an ext4 image, mounted, and copied at one single instant.

Decides what a power cut leaves behind: what had been written to the image by then. What only the
page cache of the mounted file system held is not in it. The image lies on a file system of its own
that is frozen during the copy (FIFREEZE), so that a copy taken in the middle of an fsync is a state
that the card really had: no later write without the earlier ones. Needs root and loop devices.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

CARD_BYTES = 160 << 20
"""With room for what the agent leaves free on a disk; sparse, so that a copy is a few MB."""
_JOURNAL_MB = 4
_SLACK_BYTES = 16 << 20
_FIFREEZE, _FITHAW = 0xC0045877, 0xC0045878
_CLONE_NEWNS = 0x00020000
_SBIN = f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin"
_INODES = "4096"
_PAGE = "4096"  # mkfs takes 1024 for what is as small as this; a real card has 4096
RASPBERRY_PI_OS = "noatime"
"""Mount options of a card there, over the defaults of ext4 (data=ordered, commit=5)."""


class CannotCut(Exception):
    """This machine cannot mount images; the message says why."""


def why_not() -> str | None:
    """Why this machine cannot do it, as far as can be told without trying."""
    if os.geteuid() != 0:
        return "needs root to mount a file system image"
    if not Path("/dev/loop-control").exists():
        return "no loop devices here (/dev/loop-control is missing)"
    if shutil.which("mkfs.ext4", path=_SBIN) is None:
        return "no mkfs.ext4 here: apt-get install e2fsprogs"
    return None


def make_image(path: Path, size: int = CARD_BYTES, *, journal: bool = True) -> None:
    """An empty ext4 in the sparse file ``path``. Raises ``CannotCut``."""
    if reason := why_not():
        raise CannotCut(reason)
    with path.open("wb") as file:
        file.truncate(size)
    log = ["-J", f"size={_JOURNAL_MB}"] if journal else ["-O", "^has_journal"]
    now = "lazy_itable_init=0,lazy_journal_init=0"  # else the kernel goes on formatting behind us
    command = ["mkfs.ext4", "-q", "-F", "-b", _PAGE, "-N", _INODES, *log, "-E", now, str(path)]
    subprocess.run(command, check=True, timeout=60, env=os.environ | {"PATH": _SBIN})


@contextmanager
def mounted(image: Path, place: Path, options: str = RASPBERRY_PI_OS) -> Iterator[Path]:
    """``image`` mounted at ``place``. Raises ``CannotCut`` when that is impossible here."""
    mount(image, place, options)
    try:
        yield place
    finally:
        unmount(place)


def mount(image: Path, place: Path, options: str = RASPBERRY_PI_OS) -> None:
    """Mount ``image`` at ``place``; its loop device goes with the mount."""
    place.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "ext4", "-o", f"loop,{options}", str(image), str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise CannotCut(f"cannot loop-mount an image here: {done.stderr.strip()}")


def unmount(place: Path) -> None:
    """Unmount; a process that was killed may hold it for a moment longer."""
    for left in range(50, -1, -1):
        done = subprocess.run(["umount", str(place)], capture_output=True, text=True, check=False)
        if done.returncode == 0 or not place.is_mount():
            return
        if not left:
            raise OSError(f"{place}: cannot be unmounted: {done.stderr.strip()}")
        time.sleep(0.1)


def copy_image(image: Path, copy: Path) -> None:
    """Copy ``image`` without its holes."""
    source = os.open(image, os.O_RDONLY)
    try:
        target = os.open(copy, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            size = os.fstat(source).st_size
            os.ftruncate(target, size)
            for first, end in _data(source, size):
                position = os.lseek(target, first, os.SEEK_SET)
                while position < end:
                    position += os.sendfile(target, source, position, end - position)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _data(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    end = 0
    while end < size:
        try:
            first = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:  # ENXIO: only holes from here
            return
        end = os.lseek(descriptor, first, os.SEEK_HOLE)
        yield first, end


class Card:
    """A mounted image that can be copied at any instant, and replaced by such a copy."""

    def __init__(self, directory: Path) -> None:
        self._below, self._image = directory / "below", directory / "below" / "card.img"
        self._below_image, self.place = directory / "below.img", directory / "card"
        self._stack = ExitStack()
        self._inserted = self._frozen = False
        self.written_at = 0
        """When the image was last written, at the last cut: the same twice is the same image."""

    def __enter__(self) -> Card:
        make_image(self._below_image, CARD_BYTES + _SLACK_BYTES, journal=False)
        with ExitStack() as stack:
            stack.callback(self._below_image.unlink)
            stack.enter_context(mounted(self._below_image, self._below))
            self._descriptor = os.open(self._below, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, self._descriptor)
            stack.callback(self.remove)
            stack.callback(self._thaw)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def insert(self, image: Path | None = None) -> None:
        """Mount an empty card, or a copy of ``image``."""
        self.remove()
        if image is None:
            make_image(self._image)
        else:
            copy_image(image, self._image)
        mount(self._image, self.place)
        self._inserted = True

    def remove(self) -> None:
        """Unmount the card, if one is in."""
        if self._inserted:
            unmount(self.place)
            self._inserted = False

    def keep(self, image: Path) -> None:
        """Take the card out and copy it to ``image``."""
        self.remove()
        copy_image(self._image, image)

    def cut(self, copy: Path, meanwhile: Callable[[], object] = lambda: None) -> float:
        """Copy the image as it is at this instant, which is returned (monotonic).

        ``meanwhile`` is called when nothing can be written any more: what a process has said by
        then of its writes must be in the copy.
        """
        self._frozen = True
        fcntl.ioctl(self._descriptor, _FIFREEZE, 0)  # waits for the request under way, some 40 ms
        at = time.monotonic()
        try:
            written = self._image.stat().st_mtime_ns
            meanwhile()
            copy_image(self._image, copy)
            if self._image.stat().st_mtime_ns != written:
                raise CannotCut("the loop device wrote to a frozen file system: no copy is whole")
            self.written_at = written
        finally:
            self._thaw()
        return at

    def _thaw(self) -> None:
        if self._frozen:
            fcntl.ioctl(self._descriptor, _FITHAW, 0)
            self._frozen = False


def own_mounts() -> None:
    """Give this process a mount table of its own: however it ends, its mounts end with it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        raise CannotCut(f"no mount table of one's own: {os.strerror(ctypes.get_errno())}")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True, timeout=60)
