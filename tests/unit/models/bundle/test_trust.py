"""Which properly signed bundle a box takes, and what it says about the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from models.bundle.manifest import Manifest
from models.bundle.offer import Offer, read_offer, ring_target
from models.bundle.trust import Box, BundleRefused, judge_manifest, judge_offer
from models.contract.errors import ContractError, PayloadError
from tests.bundles import Bundles

SPEC, HASH = "aa" * 32, "bb" * 32
OFFER = Offer(HASH, "2026-11-23-r7", 7, ("x86_64", "aarch64"), ("any",), SPEC, "0.1.0")
BOX = Box("x86_64", "generic", "0.1.0", SPEC, 6, "cc" * 32, {})


def refusal(offer: Offer = OFFER, **box: Any) -> str:
    with pytest.raises(BundleRefused) as caught:
        judge_offer(offer, replace(BOX, **box))
    assert caught.value.bundle == offer.bundle_id
    return caught.value.reason


def test_fitting_bundle_is_taken() -> None:
    judge_offer(OFFER, BOX)
    judge_offer(OFFER, replace(BOX, release=0, release_sha256=None))
    judge_offer(replace(OFFER, hardware=("roof", "barn")), replace(BOX, hardware="barn"))
    judge_offer(OFFER, replace(BOX, agent_version="0.1.0.dev4+local"))
    judge_offer(OFFER, replace(BOX, agent_version="0.10"))


def test_release_counter_must_grow() -> None:
    assert "release 7 is not above release 7" in refusal(release=7)
    assert "release 7 is not above release 8" in refusal(release=8, release_sha256=HASH)
    # The very same archive may be installed again: a card can spoil what it holds.
    judge_offer(OFFER, replace(BOX, release=7, release_sha256=HASH))


def test_other_cpu() -> None:
    assert refusal(cpu="riscv64") == "is built for x86_64, aarch64; this box is riscv64"


def test_other_hardware() -> None:
    assert "meant for hardware roof" in refusal(replace(OFFER, hardware=("roof",)))


def test_other_features() -> None:
    assert "was trained on features aaaa" in refusal(feature_digest="dd" * 32)


@pytest.mark.parametrize(
    ("needed", "have"), [("0.2.0", "0.1.9"), ("0.10.0", "0.9.0"), ("1.0.0", "")]
)
def test_too_old_agent(needed: str, have: str) -> None:
    assert f"needs agent {needed}" in refusal(
        replace(OFFER, min_agent_version=needed), agent_version=have
    )


def test_archive_that_failed_before_is_never_taken_again() -> None:
    reason = refusal(refused={HASH: "crashed: ended by SIGSEGV"})
    assert "not tried again: crashed: ended by SIGSEGV" in reason


def test_manifest_must_say_what_was_offered(bundles: Bundles) -> None:
    manifest: Manifest = replace(bundles.manifest, release=7, bundle_id="2026-11-23-r7")
    offer = Offer.of(manifest, HASH)
    box = replace(BOX, cpu=manifest.cpus[0], feature_digest=manifest.features.digest)
    judge_manifest(manifest, offer, box)
    for changed in (
        replace(manifest, release=8),
        replace(manifest, release=0),
        replace(manifest, bundle_id="other"),
        replace(manifest, hardware=("roof",)),
        replace(manifest, min_agent_version="0.0.9"),
    ):
        with pytest.raises(BundleRefused, match="is not what was signed"):
            judge_manifest(changed, offer, box)


def test_offer_survives_the_way_through_the_signed_target() -> None:
    assert read_offer(OFFER.custom(), HASH) == OFFER
    assert read_offer({**OFFER.custom(), "later": "idea"}, HASH) == OFFER


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"release": 0}, "custom.release"),
        ({"release": "7"}, "custom.release"),
        ({"bundle_id": "A B"}, "custom.bundle_id"),
        ({"cpus": "x86_64"}, "custom.cpus"),
        ({"hardware": [1]}, "custom.hardware"),
        ({"feature_digest": "x"}, "feature_digest"),
        ({"min_agent_version": "new"}, "min_agent_version"),
    ],
)
def test_offer_that_makes_no_sense_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(PayloadError, match=named):
        read_offer({**OFFER.custom(), **change}, HASH)


def test_target_without_an_offer() -> None:
    with pytest.raises(PayloadError, match="does not say which release"):
        read_offer(None, HASH)


def test_unknown_ring_is_named() -> None:
    assert ring_target("canary") == "canary/bundle.tar"
    with pytest.raises(ContractError, match="unknown ring 'beta'; known: canary, fleet"):
        ring_target("beta")
