"""Accept or refuse a bundle: our own rules on top of TUF's signatures. Pure.

A valid signature says who made a bundle; these rules say whether this box may run it. They are
asked twice: with the signed offer before the download, and with the manifest that was inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from models.contract.errors import ContractError

from .manifest import ANY, Manifest
from .offer import Offer


class BundleRefused(ContractError):
    """This box does not take this bundle; ``reason`` is written for the operator."""

    def __init__(self, bundle: str, reason: str) -> None:
        super().__init__(f"{bundle}: {reason}")
        self.bundle, self.reason = bundle, reason


@dataclass(frozen=True, slots=True)
class Box:
    """What a box knows of itself when a bundle is offered."""

    cpu: str
    hardware: str
    agent_version: str
    feature_digest: str
    release: int
    """Highest release ever activated here; 0 before the first."""
    release_sha256: str | None
    """Archive of that release: the same one may be installed again after a broken disk."""
    refused: Mapping[str, str]
    """Archives that failed here (SHA-256 -> reason). They are never tried again."""


def judge_offer(offer: Offer, box: Box) -> None:
    """Raise ``BundleRefused`` unless ``box`` may download and try ``offer``."""
    for reason in _objections(offer, box):
        raise BundleRefused(offer.bundle_id, reason)


def judge_manifest(manifest: Manifest, offer: Offer, box: Box) -> None:
    """Raise ``BundleRefused`` unless the manifest is the offered one, and fit for ``box``."""
    inside = Offer.of(manifest, offer.sha256) if manifest.release else None
    if inside != offer:
        raise BundleRefused(
            offer.bundle_id,
            f"the manifest inside ({manifest.bundle_id}, release {manifest.release}) is not what"
            f" was signed for the ring (release {offer.release})",
        )
    judge_offer(offer, box)


def _objections(offer: Offer, box: Box) -> Iterator[str]:
    if offer.sha256 in box.refused:
        yield (f"was refused before and is not tried again: {box.refused[offer.sha256]}")
    same = offer.release == box.release and offer.sha256 == box.release_sha256
    if offer.release <= box.release and not same:
        yield (
            f"release {offer.release} is not above release {box.release}, which this box has had;"
            " publish the old content as a new release to go back"
        )
    if box.cpu not in offer.cpus:
        yield (f"is built for {', '.join(offer.cpus) or 'no CPU'}; this box is {box.cpu}")
    if ANY not in offer.hardware and box.hardware not in offer.hardware:
        yield (f"is meant for hardware {', '.join(offer.hardware)}; this box is {box.hardware!r}")
    if offer.feature_digest != box.feature_digest:
        yield (
            f"was trained on features {offer.feature_digest[:12]}; this agent computes"
            f" {box.feature_digest[:12]}"
        )
    if _version(offer.min_agent_version) > _version(box.agent_version):
        yield (f"needs agent {offer.min_agent_version} or newer; this is {box.agent_version}")


def _version(text: str) -> tuple[int, ...]:
    """First three numbers; what follows them (``.dev1``, ``+local``) does not count."""
    match = re.match(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in match.groups()) if match else (0, 0, 0)
