"""What a ring offers: the part of the manifest that the signed TUF target carries beside the hash.

It lets a box refuse a bundle before it downloads it. The centre writes it (``custom`` of the
target), the box reads it and later checks that the manifest inside says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.contract.errors import ContractError, PayloadError
from models.contract.fields import Fields, checked
from models.contract.topics import check_identifier

from .manifest import Manifest, check_sha256, check_version

RINGS = ("canary", "fleet")
"""Who gets a release first, and everybody. Each ring is a delegated role with its own key."""
ARCHIVE_NAME = "bundle.tar"


def ring_target(ring: str) -> str:
    """TUF path of what ``ring`` should run: one name for ever, a new hash per release."""
    if ring not in RINGS:
        raise ContractError(f"unknown ring {ring!r}; known: {', '.join(RINGS)}")
    return f"{ring}/{ARCHIVE_NAME}"


@dataclass(frozen=True, slots=True)
class Offer:
    """A released bundle, before anyone has downloaded it. ``sha256`` is the archive's."""

    sha256: str
    bundle_id: str
    release: int
    cpus: tuple[str, ...]
    hardware: tuple[str, ...]
    feature_digest: str
    min_agent_version: str

    def __post_init__(self) -> None:
        check_sha256(self.sha256)
        check_sha256(self.feature_digest, "feature_digest")
        check_identifier(self.bundle_id)
        check_version(self.min_agent_version, "min_agent_version")
        if not 1 <= self.release < 2**53:
            raise ContractError(f"release: must be at least 1, not {self.release}")

    @classmethod
    def of(cls, manifest: Manifest, sha256: str) -> Offer:
        """The offer that goes with ``manifest`` in an archive of this hash."""
        return cls(
            sha256,
            manifest.bundle_id,
            manifest.release,
            manifest.cpus,
            manifest.hardware,
            manifest.features.digest,
            manifest.min_agent_version,
        )

    def custom(self) -> dict[str, Any]:
        """The ``custom`` object of the TUF target."""
        return {
            "bundle_id": self.bundle_id,
            "release": self.release,
            "cpus": list(self.cpus),
            "hardware": list(self.hardware),
            "feature_digest": self.feature_digest,
            "min_agent_version": self.min_agent_version,
        }


def read_offer(custom: Mapping[str, Any] | None, sha256: str) -> Offer:
    """Inverse of :meth:`Offer.custom`. Raises ``PayloadError`` naming the field.

    Unknown keys are let pass: a newer centre may say more than this box understands.
    """
    if custom is None:
        raise PayloadError("the signed target does not say which release it is", "custom")
    fields = Fields(custom, "custom")
    return checked(
        lambda: Offer(
            sha256,
            fields.identifier("bundle_id"),
            fields.integer("release", 1),
            _words(custom, "cpus"),
            _words(custom, "hardware"),
            fields.text("feature_digest"),
            fields.text("min_agent_version"),
        ),
        "custom",
    )


def _words(custom: Mapping[str, Any], name: str) -> tuple[str, ...]:
    words = custom.get(name)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise PayloadError("must be a list of texts", f"custom.{name}")
    return tuple(words)
