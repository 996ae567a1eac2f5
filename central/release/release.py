"""From a bundle directory to a signed target of a ring.

Decides the release number: one counter over all rings, higher with every release, stamped into the
manifest that is packed (the directory itself stays as it was built). Going back to an old model is
releasing its directory again: old content, new number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from models.bundle.archive import hash_file, pack, read_manifest
from models.bundle.manifest import Manifest, bundle_id
from models.bundle.offer import RINGS, Offer
from models.contract.errors import ContractError

from .errors import ReleaseError
from .keys import KeyDirectory
from .repository import Repository


@dataclass(frozen=True, slots=True)
class ReleaseReport:
    """What was released."""

    manifest: Manifest
    """As packed: with its identifier and release number."""
    ring: str
    sha256: str
    size: int
    """Bytes of the archive, all CPUs together."""
    archive: Path


def open_repository(repo_dir: Path, keys_dir: Path) -> Repository:
    """The repository in ``repo_dir``; made with new keys when neither it nor keys are there."""
    if not repo_dir.exists() and not keys_dir.exists():
        return Repository.create(repo_dir, KeyDirectory.create(keys_dir))
    return Repository(repo_dir, KeyDirectory(keys_dir))


def next_release(repository: Repository) -> int:
    """The number that the next release will have."""
    offers = [repository.offer(ring) for ring in RINGS]
    return 1 + max((offer.release for offer in offers if offer), default=0)


def release_bundle(bundle_dir: Path, ring: str, repository: Repository) -> ReleaseReport:
    """Number, pack and sign the bundle in ``bundle_dir`` for ``ring``.

    Raises:
        ReleaseError: the directory is no sound bundle, or a key is missing; names the file.
    """
    number = next_release(repository)
    staging = repository.staging_path()
    try:
        manifest = read_manifest(bundle_dir)
        manifest = replace(
            manifest, release=number, bundle_id=bundle_id(manifest.created_at, number)
        )
        pack(bundle_dir, manifest, staging)
        return _sign(repository, ring, staging, manifest)
    except ContractError as error:
        raise ReleaseError(f"cannot release {bundle_dir}: {error}") from None
    finally:
        staging.unlink(missing_ok=True)


def promote(repository: Repository, source: str = "canary", target: str = "fleet") -> Offer:
    """Give ``target`` exactly the archive that ``source`` runs. Raises ``ReleaseError``."""
    offer, present = repository.offer(source), repository.offer(target)
    if offer is None:
        raise ReleaseError(f"ring {source} has no bundle to promote")
    if present is not None and present.release >= offer.release:
        raise ReleaseError(
            f"ring {target} has release {present.release} already; {source} has {offer.release}"
        )
    staging = repository.staging_path()
    try:
        staging.write_bytes(repository.archive_path(source, offer.sha256).read_bytes())
        repository.set_target(target, staging, offer)
    except OSError as error:
        raise ReleaseError(f"cannot promote {offer.bundle_id}: {error}") from None
    finally:
        staging.unlink(missing_ok=True)
    return offer


def _sign(repository: Repository, ring: str, archive: Path, manifest: Manifest) -> ReleaseReport:
    offer = Offer.of(manifest, hash_file(archive))
    size = archive.stat().st_size
    path = repository.set_target(ring, archive, offer)
    return ReleaseReport(manifest, ring, offer.sha256, size, path)
