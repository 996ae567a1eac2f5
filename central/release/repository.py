"""What our TUF repository promises: roles, thresholds, expiry, and how each may change.

Root 2 of 2; one delegated role and key per ring (``canary`` -> ``canary/*``); one online key for
snapshot and timestamp; consistent snapshots; hashes in every MetaFile, so that a mixture of old and
new files is refused. Files are ``roles``' business, bundles ``release``'s, transport ``publish``'s.

    repository = Repository.create(directory, KeyDirectory.create(key_directory))
    repository.first_root          # give this file to every box at installation
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from securesystemslib.signer import Key
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from models.bundle.archive import hash_file, sync_directory
from models.bundle.offer import ARCHIVE_NAME, RINGS, Offer, read_offer, ring_target
from models.contract.errors import ContractError

from .errors import ReleaseError
from .keys import PLACES, ROOT_THRESHOLD, KeyDirectory
from .roles import RoleFiles, trusted

_KEY_ROLE = {"root": "root", "targets": "targets", "snapshot": "online", "timestamp": "online"}


@dataclass(frozen=True, slots=True)
class ValidDays:
    """Days until a signature expires. Expiry only keeps boxes from taking *new* bundles."""

    root: int = 730
    """Renewing it needs both offline keys."""
    targets: int = 730
    """Renewing it needs the offline targets key."""
    ring: int = 365
    """Renewed by every release."""
    online: int = 14
    """Snapshot and timestamp: how long an attacker may hide a release. Renew daily."""


def wall_clock() -> datetime:
    """Real time: signatures expire in the real world, also when the demo's clock runs fast."""
    return datetime.now(UTC)


class Repository:
    """A TUF repository on disk with the keys that are at hand."""

    def __init__(
        self,
        directory: Path,
        keys: KeyDirectory,
        *,
        valid: ValidDays | None = None,
        now: Callable[[], datetime] = wall_clock,
    ) -> None:
        """Open an existing repository. Raises ``ReleaseError`` when there is none."""
        if not (directory / "metadata" / "timestamp.json").exists():
            raise ReleaseError(f"{directory}: holds no TUF repository; create one first")
        self.directory, self.roles = directory, RoleFiles(directory, keys)
        self._valid, self._now = valid or ValidDays(), now

    @classmethod
    def create(
        cls,
        directory: Path,
        keys: KeyDirectory,
        *,
        valid: ValidDays | None = None,
        now: Callable[[], datetime] = wall_clock,
    ) -> Repository:
        """A new repository with empty rings; needs every key once."""
        roles = RoleFiles(directory, keys)
        if roles.metadata.exists():
            raise ReleaseError(
                f"{roles.metadata} exists: a repository is not made anew over an old one"
            )
        for key_role in PLACES:
            if not keys.signers(key_role):
                raise ReleaseError(f"{keys.place(key_role)}: no key of {key_role!r} is here")
        roles.metadata.mkdir(parents=True)
        days = valid or ValidDays()
        with roles.locked():
            _write_first(roles, lambda left: _after(now(), left), days)
        return cls(directory, keys, valid=days, now=now)

    @property
    def first_root(self) -> Path:
        """The root that a box is given at installation; everything else it fetches."""
        return self.roles.metadata / "1.root.json"

    def offer(self, ring: str) -> Offer | None:
        """What ``ring`` should run now; None before its first release."""
        path = ring_target(ring)
        target = self.roles.targets(ring).signed.targets.get(path)
        if target is None:
            return None
        try:
            return read_offer(target.custom, target.hashes["sha256"])
        except ContractError as error:
            raise ReleaseError(f"{self.directory}: {path}: {error}") from None

    def archive_path(self, ring: str, sha256: str) -> Path:
        """Where the bundle of ``ring`` with this hash lies."""
        return self.directory / "targets" / ring / f"{sha256}.{ARCHIVE_NAME}"

    def staging_path(self) -> Path:
        """A file on the same file system, to pack a bundle into before :meth:`set_target`."""
        staging = self.directory / "targets"
        staging.mkdir(exist_ok=True)
        return staging / f".staging-{os.getpid()}"

    def set_target(self, ring: str, archive: Path, offer: Offer) -> Path:
        """Move ``archive`` into the repository and sign it as what ``ring`` should run."""
        with self.roles.locked():
            if hash_file(archive) != offer.sha256:
                raise ReleaseError(f"{archive}: changed while it was being released")
            target = TargetFile.from_file(ring_target(ring), str(archive), ["sha256"])
            target.unrecognized_fields["custom"] = offer.custom()
            path = self.archive_path(ring, offer.sha256)
            path.parent.mkdir(parents=True, exist_ok=True)
            archive.replace(path)
            sync_directory(path.parent)
            role = self.roles.targets(ring)
            role.signed.targets = {target.path: target}
            self._renew(role.signed, self._valid.ring)
            data = self.roles.sign_and_write(role, ring, ring, self.roles.delegated(ring))
            self._write_snapshot({ring: _meta(role.signed.version, data)})
            return path

    def renew_online(self) -> None:
        """Sign snapshot and timestamp again with a new expiry. Needs the online key only."""
        with self.roles.locked():
            self._write_snapshot({})

    def replace_key(self, key_role: str) -> None:
        """Replace the oldest valid key of ``root``, ``online`` or a ring by a new one.

        Root and online need both root keys at hand, a ring needs the targets key.
        """
        with self.roles.locked():
            if key_role in RINGS:
                self._replace_ring_key(key_role)
            elif key_role in ("root", "online"):
                self._replace_key_in_root(key_role)
            else:
                raise ReleaseError(f"there is no replacing of {key_role!r} keys")

    def _write_snapshot(self, changed: dict[str, MetaFile]) -> None:
        timestamp, snapshot = self.roles.timestamp(), self.roles.snapshot()
        snapshot.signed.meta.update({f"{role}.json": meta for role, meta in changed.items()})
        self._renew(snapshot.signed, self._valid.online)
        data = self.roles.sign_and_write(
            snapshot, "snapshot", "online", self.roles.trusted("snapshot")
        )
        timestamp.signed.snapshot_meta = _meta(snapshot.signed.version, data)
        self._renew(timestamp.signed, self._valid.online)
        self.roles.sign_and_write(timestamp, "timestamp", "online", self.roles.trusted("timestamp"))

    def _replace_key_in_root(self, key_role: str) -> None:
        root = self.roles.root()
        before = trusted(root.signed, "root")
        roles = [role for role, kind in _KEY_ROLE.items() if kind == key_role]
        oldest = root.signed.roles[roles[0]].keyids[0]
        signer = self.roles.keys.generate(key_role)
        for role in roles:
            root.signed.add_key(signer.public_key, role)
            root.signed.revoke_key(oldest, role)
        self._renew(root.signed, self._valid.root)
        # The keys trusted so far vouch for the new root, and the new ones for themselves.
        self.roles.sign_and_write(root, "root", "root", before, trusted(root.signed, "root"))
        self._write_snapshot({})

    def _replace_ring_key(self, ring: str) -> None:
        targets, role = self.roles.targets("targets"), self.roles.targets(ring)
        (oldest, *others), threshold = self.roles.delegated(ring)
        signer = self.roles.keys.generate(ring)
        targets.signed.add_key(signer.public_key, ring)
        targets.signed.revoke_key(oldest, ring)
        self._renew(targets.signed, self._valid.targets)
        self._renew(role.signed, self._valid.ring)
        quorum = ([*others, signer.public_key.keyid], threshold)
        data = self.roles.sign_and_write(
            targets, "targets", "targets", self.roles.trusted("targets")
        )
        ring_data = self.roles.sign_and_write(role, ring, ring, quorum)
        self._write_snapshot(
            {
                "targets": _meta(targets.signed.version, data),
                ring: _meta(role.signed.version, ring_data),
            }
        )

    def _renew(self, signed: Signed, days: int) -> None:
        signed.version += 1
        signed.expires = _after(self._now(), days)


def _write_first(roles: RoleFiles, until: Callable[[int], datetime], valid: ValidDays) -> None:
    root = Root(expires=until(valid.root), consistent_snapshot=True)
    for role, key_role in _KEY_ROLE.items():
        for signer in roles.keys.signers(key_role).values():
            root.add_key(signer.public_key, role)
    root.roles["root"].threshold = ROOT_THRESHOLD
    roles.sign_and_write(Metadata(root), "root", "root", trusted(root, "root"))

    keys: dict[str, Key] = {}
    delegated: dict[str, DelegatedRole] = {}
    metas: dict[str, MetaFile] = {}
    for ring in RINGS:
        public = {keyid: one.public_key for keyid, one in roles.keys.signers(ring).items()}
        keys.update(public)
        delegated[ring] = DelegatedRole(
            ring, list(public), 1, terminating=True, paths=[f"{ring}/*"]
        )
        empty = Metadata(Targets(expires=until(valid.ring)))
        metas[f"{ring}.json"] = _meta(1, roles.sign_and_write(empty, ring, ring, (list(public), 1)))
    targets = Metadata(
        Targets(expires=until(valid.targets), delegations=Delegations(keys, delegated))
    )
    data = roles.sign_and_write(targets, "targets", "targets", trusted(root, "targets"))
    metas["targets.json"] = _meta(1, data)

    snapshot = Metadata(Snapshot(expires=until(valid.online), meta=metas))
    data = roles.sign_and_write(snapshot, "snapshot", "online", trusted(root, "snapshot"))
    timestamp = Metadata(Timestamp(expires=until(valid.online), snapshot_meta=_meta(1, data)))
    roles.sign_and_write(timestamp, "timestamp", "online", trusted(root, "timestamp"))


def _meta(version: int, data: bytes) -> MetaFile:
    return MetaFile.from_data(version, data, ["sha256"])


def _after(now: datetime, days: int) -> datetime:
    return (now + timedelta(days=days)).replace(microsecond=0)
