"""The metadata files of a TUF repository directory: read, sign, write. Knows no policy.

    metadata/N.root.json, N.snapshot.json, N.targets.json, N.RING.json, timestamp.json

Everything but the timestamp gets a new file name with every version, and the timestamp, which leads
to all others, is replaced last by the caller: an interruption never shows half a state.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from securesystemslib.exceptions import StorageError
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Signed, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from models.bundle.archive import sync_directory

from .errors import ReleaseError
from .keys import KeyDirectory

Signers = tuple[list[str], int]
"""Key ids that may sign a role, and how many of them have to."""


class RoleFiles:
    """Metadata below ``directory``, signed with what ``keys`` holds."""

    def __init__(self, directory: Path, keys: KeyDirectory) -> None:
        self.directory, self.keys = directory, keys
        self.metadata = directory / "metadata"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Only one process at a time changes a repository."""
        with (self.directory / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def root_versions(self) -> list[int]:
        """Versions of root, ascending: boxes walk through all of them."""
        return sorted(
            int(match.group(1))
            for path in self.metadata.iterdir()
            if (match := re.fullmatch(r"(\d+)\.root\.json", path.name))
        )

    def root(self) -> Metadata[Root]:
        """The newest root."""
        return self._read(f"{max(self.root_versions(), default=1)}.root.json", Root)

    def timestamp(self) -> Metadata[Timestamp]:
        """The timestamp: from here every file of the current state can be found."""
        return self._read("timestamp.json", Timestamp)

    def snapshot(self) -> Metadata[Snapshot]:
        """The snapshot that the timestamp names."""
        version = self.timestamp().signed.snapshot_meta.version
        return self._read(f"{version}.snapshot.json", Snapshot)

    def targets(self, role: str) -> Metadata[Targets]:
        """``targets`` or a ring, in the version that the snapshot names."""
        meta = self.snapshot().signed.meta.get(f"{role}.json")
        if meta is None:
            raise ReleaseError(f"{self.directory}: its snapshot does not name a role {role!r}")
        return self._read(f"{meta.version}.{role}.json", Targets)

    def trusted(self, role: str) -> Signers:
        """Who may sign a top-level role, by the newest root."""
        return trusted(self.root().signed, role)

    def delegated(self, ring: str) -> Signers:
        """Who may sign a ring, by the current targets."""
        delegations = self.targets("targets").signed.delegations
        roles = delegations.roles if delegations else None
        if not roles or ring not in roles:
            raise ReleaseError(f"{self.directory}: targets does not delegate to ring {ring!r}")
        return roles[ring].keyids, roles[ring].threshold

    def sign_and_write(
        self, metadata: Metadata[Any], role: str, key_role: str, *quorums: Signers
    ) -> bytes:
        """Sign with every key at hand that counts and write; returns the bytes.

        Raises:
            ReleaseError: too few keys of a quorum are here; nobody would accept the result.
        """
        signers = self.keys.signers(key_role)
        metadata.signatures.clear()
        for keyids, threshold in quorums:
            usable = [keyid for keyid in keyids if keyid in signers]
            if len(usable) < threshold:
                raise ReleaseError(
                    f"{role} needs {threshold} of {len(keyids)} valid {key_role} keys; found"
                    f" {len(usable)} in {self.keys.place(key_role)}. Bring the key files back there"
                )
            for keyid in usable:
                metadata.sign(signers[keyid], append=True)
        data = metadata.to_bytes()
        name = f"{role}.json" if role == "timestamp" else f"{metadata.signed.version}.{role}.json"
        _write(self.metadata / name, data)
        return data

    def _read(self, name: str, kind: type[Signed]) -> Metadata[Any]:
        path = self.metadata / name
        try:
            metadata: Metadata[Any] = Metadata.from_file(str(path))
        except (StorageError, DeserializationError, RepositoryError) as error:
            raise ReleaseError(f"{path}: is not readable TUF metadata: {error}") from None
        if not isinstance(metadata.signed, kind):
            raise ReleaseError(f"{path}: is {metadata.signed.type} metadata")
        return metadata


def trusted(root: Root, role: str) -> Signers:
    """Who may sign ``role``, by this root."""
    return list(root.roles[role].keyids), root.roles[role].threshold


def _write(path: Path, data: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_directory(path.parent)
