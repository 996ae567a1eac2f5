"""Bundles on the disk, changed so that a power cut at any moment leaves a valid one active.

    releases/<sha256>/   unpacked and verified, never changed afterwards
    current              link to one of them, replaced by rename
    staging/             being downloaded or tried; worthless after a restart
    metadata/            python-tuf's

Decides the order of renames and fsyncs. Which slot should be active, ``update_record`` decides.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from models.bundle.archive import sync_directory


class BundleSlots:
    """The updater's directory. Every method raises ``OSError`` when the disk does."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.metadata = self.directory / "metadata"
        self._releases = self.directory / "releases"
        self._staging = self.directory / "staging"
        self._current = self.directory / "current"

    def path(self, sha256: str) -> Path:
        """Where this bundle lies. Always this path, never ``current``: the dynamic loader answers
        from its list of loaded paths."""
        return self._releases / sha256

    def current(self) -> str | None:
        """Hash of the bundle that the link names, whether it is there or not."""
        try:
            return self._current.readlink().name
        except FileNotFoundError:
            return None

    def fresh_staging(self) -> Path:
        """An empty directory on the same file system as the releases."""
        self.clear_staging()
        self._staging.mkdir(parents=True)
        return self._staging

    def clear_staging(self) -> None:
        """Remove what a download or self-test left."""
        shutil.rmtree(self._staging, ignore_errors=True)

    def free_bytes(self) -> int:
        """Free space for this user."""
        self.directory.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.directory).free

    def install(self, staged: Path, sha256: str) -> None:
        """Make the verified, synced directory ``staged`` a release."""
        self._releases.mkdir(parents=True, exist_ok=True)
        if self.path(sha256).exists():  # left by an interruption: not verified, so not trusted
            self.path(sha256).rename(staged.with_name("replaced"))
        staged.rename(self.path(sha256))
        sync_directory(self._releases)
        sync_directory(self.directory)

    def point_to(self, sha256: str | None) -> None:
        """Replace ``current``; None removes it."""
        if sha256 == self.current():
            return
        if sha256 is None:
            self._current.unlink(missing_ok=True)
        else:
            fresh = self._current.with_name("current.new")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(Path("releases", sha256))
            fresh.replace(self._current)
        sync_directory(self.directory)

    def keep_only(self, hashes: Collection[str]) -> None:
        """Remove every other release."""
        if not self._releases.is_dir():
            return
        for path in self._releases.iterdir():
            if path.name not in hashes:
                shutil.rmtree(path, ignore_errors=True)
