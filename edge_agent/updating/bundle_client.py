"""What the ring offers, verified: python-tuf's client over a ``BundleSource``, and its clock rules.

Decides which failures mean "somebody else's bundle" (``BundleRefused``), which mean "not now"
(``RepositoryUnavailable``), and makes python-tuf's metadata survive a power cut (it never calls
fsync itself). Whether this box *wants* a bundle that is properly signed is ``models.bundle.trust``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tuf.api.exceptions import (
    DownloadError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.api.metadata import Metadata, TargetFile
from tuf.ngclient import Updater as TufClient
from tuf.ngclient import UpdaterConfig

from edge_agent.errors import EdgeError
from models.bundle.archive import sync_tree
from models.bundle.manifest import CPUS, MAX_BYTES_PER_CPU, MAX_MANIFEST_BYTES
from models.bundle.offer import Offer, read_offer, ring_target
from models.bundle.trust import BundleRefused
from models.contract.errors import ContractError
from models.contract.timestamps import Instant, format_iso8601

from .bundle_source import BundleSource, NotPublished, SourceFetcher

MAX_ARCHIVE_BYTES = len(CPUS) * MAX_BYTES_PER_CPU + MAX_MANIFEST_BYTES + 1_000_000
_FIRST = "metadata/timestamp.json"
_LIMITS = UpdaterConfig(
    max_root_rotations=64,
    root_max_length=64_000,
    timestamp_max_length=16_384,
    snapshot_max_length=64_000,
    targets_max_length=64_000,
)


class RepositoryUnavailable(EdgeError):
    """The repository could not be read; nothing is known about what it offers."""


class RepositoryEmpty(EdgeError):
    """There is no repository (yet). Nothing was verified either."""


class TrustRootMissing(EdgeError):
    """This box was never told whom to trust."""


@dataclass(frozen=True, slots=True)
class SignedOffer:
    """An offer whose signatures are valid, and how to fetch it."""

    offer: Offer
    size: int
    download: Callable[[Path], None]
    """Write the archive to a path, hash and length checked. Raises ``BundleRefused`` or
    ``RepositoryUnavailable``."""


class BundleClient:
    """One check is one :meth:`newest`; no two at a time on one metadata directory."""

    def __init__(
        self, root_file: Path, metadata: Path, source: BundleSource, download_timeout_s: float
    ) -> None:
        self._root_file, self._metadata = root_file, metadata
        self._fetcher = SourceFetcher(source, download_timeout_s)

    def newest(self, ring: str, not_before: Instant, now: Instant) -> SignedOffer | None:
        """What ``ring`` should run; None when nothing was ever released for it.

        ``not_before``: an instant that has certainly passed. A box without a battery-backed clock
        may wake up in 1970, where no signature has ever expired.

        Raises:
            BundleRefused: signatures, versions, hashes or expiry are wrong.
            RepositoryEmpty: nobody has published a repository here yet.
            RepositoryUnavailable: no answer, or files that belong together are not all there.
            TrustRootMissing: the root file is not there.
            OSError: the metadata directory cannot be written.
        """
        path = ring_target(ring)
        try:
            bootstrap = self._root_file.read_bytes()
        except OSError as error:
            raise TrustRootMissing(
                f"{self._root_file}: cannot be read ({error.strerror}); copy the centre's"
                " metadata/1.root.json there"
            ) from None
        self._metadata.mkdir(parents=True, exist_ok=True)
        try:
            client = TufClient(
                str(self._metadata),
                "metadata/",
                target_base_url="targets/",
                fetcher=self._fetcher,
                config=_LIMITS,
                bootstrap=bootstrap,
            )
            client.refresh()
            target = client.get_targetinfo(path)
            self._check_expiry(ring, max(not_before, now))
        except NotPublished as error:
            if error.path == _FIRST:
                raise RepositoryEmpty("no bundle repository is published yet") from None
            raise RepositoryUnavailable(f"the repository is incomplete: {error}") from error
        except DownloadLengthMismatchError as error:
            raise BundleRefused("repository", f"endless metadata: {error}") from error
        except DownloadError as error:
            raise RepositoryUnavailable(str(error)) from error
        except ExpiredMetadataError as error:
            raise BundleRefused(
                "repository", f"{error} (this box's clock says {format_iso8601(now)})"
            ) from error
        except (RepositoryError, ValueError) as error:
            raise BundleRefused("repository", f"{type(error).__name__}: {error}") from error
        finally:
            sync_tree(self._metadata)
        return None if target is None else self._signed_offer(client, target)

    def _signed_offer(self, client: TufClient, target: TargetFile) -> SignedOffer:
        try:
            offer = read_offer(target.custom, target.hashes.get("sha256", ""))
        except ContractError as error:
            raise BundleRefused(target.path, str(error)) from None
        if target.length > MAX_ARCHIVE_BYTES:
            raise BundleRefused(
                offer.bundle_id, f"{target.length} bytes, at most {MAX_ARCHIVE_BYTES} are taken"
            )

        def download(destination: Path) -> None:
            try:
                client.download_target(target, str(destination))
            except (RepositoryError, DownloadLengthMismatchError) as error:
                raise BundleRefused(
                    offer.bundle_id, f"the download is not what was signed: {error}"
                ) from error
            except DownloadError as error:
                raise RepositoryUnavailable(str(error)) from error

        return SignedOffer(offer, target.length, download)

    def _check_expiry(self, ring: str, instant: Instant) -> None:
        """python-tuf asked the system clock; this asks again with what is known to have passed."""
        reference = datetime.fromtimestamp(instant / 1000, UTC)
        for role in ("root", "timestamp", "snapshot", "targets", ring):
            path = self._metadata / f"{role}.json"
            if Metadata.from_file(str(path)).signed.is_expired(reference):
                raise ExpiredMetadataError(
                    f"{role}.json is expired, as this box knows that {format_iso8601(instant)}"
                    " has passed"
                )
