"""Releasing: numbers, rings, which key is needed, and that a failure leaves all as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from central.release.errors import ReleaseError
from central.release.keys import KeyDirectory
from central.release.release import next_release, open_repository, promote, release_bundle
from central.release.repository import Repository
from models.bundle.archive import read_manifest, unpack
from tests.releases import Boxes, Centre


def test_release_number_grows_over_all_rings(centre: Centre) -> None:
    assert next_release(centre.repository) == 1
    numbers = [centre.release(ring).manifest.release for ring in ("canary", "fleet", "canary")]
    assert numbers == [1, 2, 3]
    assert next_release(centre.repository) == 4


def test_archive_holds_the_stamped_manifest_and_the_directory_stays_as_built(
    centre: Centre, tmp_path: Path
) -> None:
    directory = centre.bundles.make()
    report = release_bundle(directory, "fleet", centre.repository)
    assert report.manifest.bundle_id == "2026-11-23-r1"
    assert unpack(report.archive, tmp_path / "out") == report.manifest
    assert read_manifest(directory).release == 0
    assert report.archive.name == f"{report.sha256}.bundle.tar"
    assert report.archive.stat().st_size == report.size


def test_promotion_gives_the_fleet_what_the_canaries_have(centre: Centre) -> None:
    with pytest.raises(ReleaseError, match="canary has no bundle"):
        promote(centre.repository)
    report = centre.release("canary")
    assert promote(centre.repository).sha256 == report.sha256
    assert centre.repository.offer("fleet") == centre.repository.offer("canary")
    with pytest.raises(ReleaseError, match="fleet has release 1 already"):
        promote(centre.repository)


def test_weekly_release_needs_no_offline_key(centre: Centre, boxes: Boxes) -> None:
    shutil.rmtree(centre.keys.directory / "offline")
    centre.release()
    centre.repository.renew_online()
    assert boxes.start(centre.directory).check().bundle == "2026-11-23-r1"


@pytest.mark.parametrize(
    ("place", "role"), [("rings/fleet-1.pem", "fleet"), ("online/online-1.pem", "snapshot")]
)
def test_missing_key_is_named_and_the_old_release_stays(
    centre: Centre, boxes: Boxes, place: str, role: str
) -> None:
    centre.release()
    offer = centre.repository.offer("fleet")
    (centre.keys.directory / place).unlink()
    with pytest.raises(ReleaseError, match=rf"{role} needs 1 of 1 valid .* keys; found 0 in"):
        centre.release()
    assert centre.repository.offer("fleet") == offer
    assert boxes.start(centre.directory).check().bundle == "2026-11-23-r1"
    assert not list((centre.directory / "targets").glob(".staging*"))


def test_root_key_cannot_be_replaced_with_one_root_key_at_hand(
    centre: Centre, boxes: Boxes
) -> None:
    centre.release()
    (centre.keys.directory / "offline" / "root-2.pem").unlink()
    with pytest.raises(ReleaseError, match="root needs 2 of 2 valid root keys; found 1 in"):
        centre.repository.replace_key("root")
    assert boxes.start(centre.directory).check().bundle == "2026-11-23-r1"


def test_directory_that_is_no_bundle_is_named(centre: Centre, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"nowhere/manifest.json: cannot be read"):
        release_bundle(tmp_path / "nowhere", "fleet", centre.repository)
    directory = centre.bundles.make()
    (directory / "golden.npz").write_bytes(b"x")
    with pytest.raises(ReleaseError, match=r"golden.npz: 1 bytes"):
        release_bundle(directory, "fleet", centre.repository)
    with pytest.raises(ReleaseError, match="unknown ring 'beta'"):
        release_bundle(centre.bundles.make(), "beta", centre.repository)
    assert next_release(centre.repository) == 1


def test_repository_is_made_once_and_opened_after(tmp_path: Path) -> None:
    made = open_repository(tmp_path / "repository", tmp_path / "keys")
    again = open_repository(tmp_path / "repository", tmp_path / "keys")
    assert made.first_root == again.first_root
    with pytest.raises(ReleaseError, match="is not made anew over an old one"):
        Repository.create(tmp_path / "repository", KeyDirectory(tmp_path / "keys"))
    with pytest.raises(ReleaseError, match="holds no TUF repository"):
        open_repository(tmp_path / "elsewhere", tmp_path / "keys")


def test_repository_is_not_begun_without_all_keys(tmp_path: Path) -> None:
    keys = KeyDirectory.create(tmp_path / "keys")
    (tmp_path / "keys" / "online" / "online-1.pem").unlink()
    with pytest.raises(ReleaseError, match="no key of 'online' is here"):
        Repository.create(tmp_path / "repository", keys)
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize("name", ["timestamp.json", "1.root.json", "1.snapshot.json"])
def test_broken_metadata_is_named(centre: Centre, name: str) -> None:
    (centre.directory / "metadata" / name).write_bytes(b"{")
    with pytest.raises(ReleaseError, match=rf"{name}: is not readable TUF metadata"):
        centre.release()


def test_interrupted_key_replacement_leaves_an_unused_key(centre: Centre, boxes: Boxes) -> None:
    centre.keys.generate("online")
    centre.keys.generate("fleet")
    centre.release()
    assert boxes.start(centre.directory).check().bundle == "2026-11-23-r1"
