"""Each test is an attack on the way from release to box; none may change what the box runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, MetaFile, TargetFile

from central.release.keys import KeyDirectory
from central.release.repository import Repository, ValidDays
from central.release.roles import trusted
from edge_agent.updating.updater import UpdateOutcome, Updater, UpdateResult
from models.bundle.manifest import FeatureDigest, ModelEntry
from models.bundle.offer import ring_target
from models.contract.timestamps import DAY_MS
from tests.bundles import OTHER_CPU
from tests.releases import Boxes, Centre, settle


@dataclass
class Victim:
    """A box that runs release 1 and must go on with it."""

    box: Updater
    running: Path

    def refuses(self, words: str) -> UpdateOutcome:
        outcome = self.box.check()
        assert outcome.result is UpdateResult.REFUSED, outcome
        assert words in (outcome.reason or ""), outcome
        assert self.box.active() == self.running
        assert self.running.is_dir()
        status = self.box.status()
        assert status.release == 1
        assert status.refused == outcome.bundle
        assert words in (status.reason or "")
        return outcome


@pytest.fixture
def victim(centre: Centre, boxes: Boxes) -> Victim:
    centre.release()
    box = boxes.start(centre.directory)
    box.check()
    settle(box)
    running = box.active()
    assert running is not None
    return Victim(box, running)


def archive_of(centre: Centre) -> Path:
    offer = centre.repository.offer("fleet")
    assert offer is not None
    return centre.repository.archive_path("fleet", offer.sha256)


# ---- the archive ---------------------------------------------------------------------------------


def test_target_with_one_flipped_byte(centre: Centre, victim: Victim) -> None:
    centre.release()
    archive = archive_of(centre)
    good = archive.read_bytes()
    archive.write_bytes(good[:5000] + bytes([good[5000] ^ 1]) + good[5001:])
    outcome = victim.refuses("not what was signed")
    assert outcome.bundle == "2026-11-23-r2"
    # The bytes were bad, not the release: the genuine ones must still be welcome.
    archive.write_bytes(good)
    assert victim.box.check().result is UpdateResult.ACTIVATED


def test_truncated_target(centre: Centre, victim: Victim) -> None:
    centre.release()
    archive = archive_of(centre)
    archive.write_bytes(archive.read_bytes()[:-600])
    victim.refuses("not what was signed")


def test_target_longer_than_signed(centre: Centre, victim: Victim) -> None:
    centre.release()
    with archive_of(centre).open("ab") as file:
        file.write(bytes(1_000_000))
    victim.refuses("not what was signed")


def test_target_that_is_not_there_is_no_refusal(centre: Centre, victim: Victim) -> None:
    centre.release()
    archive_of(centre).unlink()
    assert victim.box.check().result is UpdateResult.UNREACHABLE
    assert victim.box.active() == victim.running
    assert victim.box.status().refused is None


# ---- the metadata --------------------------------------------------------------------------------


def test_edited_timestamp(centre: Centre, victim: Victim) -> None:
    centre.release()
    path = centre.directory / "metadata" / "timestamp.json"
    body = json.loads(path.read_bytes())
    body["signed"]["version"] += 1
    path.write_text(json.dumps(body))
    victim.refuses("timestamp was signed by 0/1 keys")


@pytest.mark.parametrize("garbage", [b"", b"[]", b"\xff\x00", b'{"signed": {}}'])
def test_garbage_timestamp(centre: Centre, victim: Victim, garbage: bytes) -> None:
    (centre.directory / "metadata" / "timestamp.json").write_bytes(garbage)
    victim.refuses("")


def test_endless_timestamp(centre: Centre, victim: Victim) -> None:
    (centre.directory / "metadata" / "timestamp.json").write_bytes(b" " * 100_000)
    victim.refuses("endless")


def test_expired_timestamp_stops_new_bundles_but_never_the_running_one(
    centre: Centre, victim: Victim, boxes: Boxes
) -> None:
    past = datetime.now(UTC) - timedelta(days=30)
    expired = Repository(
        centre.directory, centre.keys, valid=ValidDays(online=14), now=lambda: past
    )
    centre.repository = expired
    centre.release()
    victim.refuses("timestamp.json is expired")
    fresh_box = boxes.start(centre.directory, "fresh").check()
    assert fresh_box.result is UpdateResult.REFUSED
    restarted = boxes.start(centre.directory)
    assert restarted.active() == victim.running
    Repository(centre.directory, centre.keys).renew_online()
    assert restarted.check().result is UpdateResult.ACTIVATED


def test_clock_set_back_does_not_revive_expired_metadata(
    centre: Centre, victim: Victim, boxes: Boxes, tmp_path: Path
) -> None:
    old = centre.copy(tmp_path / "withheld")
    now = datetime.now(UTC).timestamp() * 1000
    # The box has seen a later time than the signatures of the withheld state allow.
    boxes.states["box"].values["updater"] = json.dumps(
        {**boxes.states["box"].get("updater"), "trusted_time": int(now + 20 * DAY_MS)}
    )
    box = boxes.start(old, wall_clock=lambda: 0)
    outcome = box.check()
    assert outcome.result is UpdateResult.REFUSED
    assert "expired" in (outcome.reason or "")
    assert box.active() == victim.running


def test_wrong_clock_while_nothing_is_published_blocks_nothing_later(
    boxes: Boxes, centre: Centre, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    far = int((datetime.now(UTC) + timedelta(days=9999)).timestamp() * 1000)
    assert boxes.start(tmp_path / "empty", wall_clock=lambda: far).check().result is (
        UpdateResult.NOTHING_OFFERED
    )
    centre.release()
    assert boxes.start(centre.directory).check().result is UpdateResult.ACTIVATED


def test_whole_repository_rolled_back(centre: Centre, boxes: Boxes, tmp_path: Path) -> None:
    centre.release()
    old = centre.copy(tmp_path / "old")
    centre.release()
    box = boxes.start(centre.directory)
    box.check()
    settle(box)
    running = box.active()
    box = boxes.start(old)
    outcome = box.check()
    assert outcome.result is UpdateResult.REFUSED
    assert "timestamp version" in (outcome.reason or "")
    assert box.active() == running


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_repository_rolled_back_for_a_box_that_lost_its_metadata(
    centre: Centre, boxes: Boxes, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    """What a power cut can leave of python-tuf's unsynced files: our own counter must hold."""
    centre.release()
    old = centre.copy(tmp_path / "old")
    centre.release()
    box = boxes.start(centre.directory)
    box.check()
    running = box.active()
    for path in (boxes.directory / "box" / "metadata").rglob("*.json"):
        if not path.is_symlink():
            spoil(path)
    outcome = boxes.start(old).check()
    assert outcome.result is UpdateResult.REFUSED
    assert "release 1 is not above release 2" in (outcome.reason or "")
    assert boxes.start(old).active() == running


def test_snapshot_rolled_back_with_a_stolen_online_key(centre: Centre, victim: Victim) -> None:
    centre.release()
    victim.box.check()
    roles = centre.repository.roles
    old = Metadata.from_file(str(roles.metadata / "2.snapshot.json"))
    timestamp = roles.timestamp()
    timestamp.signed.version += 1
    timestamp.signed.snapshot_meta = MetaFile.from_data(2, old.to_bytes(), ["sha256"])
    roles.sign_and_write(timestamp, "timestamp", "online", roles.trusted("timestamp"))
    outcome = victim.box.check()
    assert outcome.result is UpdateResult.REFUSED
    assert "snapshot version" in (outcome.reason or "")
    assert victim.box.status().release == 2


def test_ring_rolled_back_with_a_stolen_online_key(centre: Centre, victim: Victim) -> None:
    centre.release()
    victim.box.check()
    roles = centre.repository.roles
    snapshot, timestamp = roles.snapshot(), roles.timestamp()
    old = (roles.metadata / "2.fleet.json").read_bytes()
    snapshot.signed.meta["fleet.json"] = MetaFile.from_data(2, old, ["sha256"])
    snapshot.signed.version += 1
    data = roles.sign_and_write(snapshot, "snapshot", "online", roles.trusted("snapshot"))
    timestamp.signed.version += 1
    timestamp.signed.snapshot_meta = MetaFile.from_data(snapshot.signed.version, data, ["sha256"])
    roles.sign_and_write(timestamp, "timestamp", "online", roles.trusted("timestamp"))
    outcome = victim.box.check()
    assert outcome.result is UpdateResult.REFUSED
    assert "fleet.json version" in (outcome.reason or "")
    assert victim.box.status().release == 2


def test_old_snapshot_under_a_new_timestamp(centre: Centre, victim: Victim, tmp_path: Path) -> None:
    centre.release()
    metadata = centre.directory / "metadata"
    (metadata / "3.snapshot.json").write_bytes((metadata / "2.snapshot.json").read_bytes())
    victim.refuses("LengthOrHashMismatchError")


# ---- keys ----------------------------------------------------------------------------------------


def test_root_of_somebody_else(centre: Centre, victim: Victim, tmp_path: Path) -> None:
    other = KeyDirectory.create(tmp_path / "other-keys")
    foreign = Repository.create(tmp_path / "other", other)
    foreign.replace_key("root")
    (centre.directory / "metadata" / "2.root.json").write_bytes(
        (foreign.roles.metadata / "2.root.json").read_bytes()
    )
    victim.refuses("root was signed by 0/2 keys")


def test_box_given_a_foreign_root_takes_nothing(
    centre: Centre, boxes: Boxes, tmp_path: Path
) -> None:
    centre.release()
    foreign = Repository.create(tmp_path / "other", KeyDirectory.create(tmp_path / "other-keys"))
    boxes.root_file = foreign.first_root
    assert boxes.start(centre.directory).check().result is UpdateResult.REFUSED


def test_root_with_one_of_two_signatures(centre: Centre, victim: Victim) -> None:
    roles = centre.repository.roles
    root = roles.root()
    keyids, _ = trusted(root.signed, "root")
    root.signed.version += 1
    roles.sign_and_write(root, "root", "root", (keyids[:1], 1))
    victim.refuses("root was signed by 1/2 keys")


def test_root_version_left_out(centre: Centre, victim: Victim) -> None:
    centre.repository.replace_key("online")
    centre.repository.replace_key("online")
    metadata = centre.directory / "metadata"
    (metadata / "3.root.json").rename(metadata / "2.root.json")
    victim.refuses("Expected root version 2 instead got version 3")


def test_timestamp_by_a_key_that_was_replaced(
    centre: Centre, victim: Victim, tmp_path: Path
) -> None:
    before = (centre.directory / "metadata" / "timestamp.json").read_bytes()
    centre.repository.replace_key("online")
    (centre.directory / "metadata" / "timestamp.json").write_bytes(before)
    victim.refuses("timestamp was signed by 0/1 keys")


@pytest.mark.parametrize("role", ["root", "online", "fleet"])
def test_box_follows_replaced_keys(centre: Centre, victim: Victim, role: str) -> None:
    centre.repository.replace_key(role)
    centre.repository.replace_key(role)
    centre.release()
    assert victim.box.check().result is UpdateResult.ACTIVATED


def test_canary_key_signing_for_the_fleet(centre: Centre, boxes: Boxes) -> None:
    centre.release("canary")
    roles = centre.repository.roles
    canary = roles.targets("canary")
    target = next(iter(canary.signed.targets.values()))
    path = ring_target("fleet")
    canary.signed.targets = {
        path: TargetFile(target.length, target.hashes, path, target.unrecognized_fields)
    }
    canary.signed.version += 1
    data = roles.sign_and_write(canary, "canary", "canary", roles.delegated("canary"))
    centre.repository._write_snapshot(
        {"canary": MetaFile.from_data(canary.signed.version, data, ["sha256"])}
    )
    for ring in ("fleet", "canary"):
        box = boxes.start(centre.directory, ring, settings={"ring": ring})
        assert box.check().result is UpdateResult.NOTHING_OFFERED


# ---- properly signed, but not for this box -------------------------------------------------------


def test_bundle_for_another_cpu(centre: Centre, victim: Victim) -> None:
    centre.release(
        models={
            name: _moved(model, OTHER_CPU) for name, model in centre.bundles.manifest.models.items()
        }
    )
    victim.refuses(f"is built for {OTHER_CPU}; this box is")


def test_bundle_for_other_hardware(centre: Centre, victim: Victim) -> None:
    centre.release(hardware=("roof-box-2",))
    victim.refuses("is meant for hardware roof-box-2")


def test_bundle_of_other_features(centre: Centre, victim: Victim) -> None:
    centre.release(features=FeatureDigest("cd" * 32, 15))
    victim.refuses("was trained on features cdcdcdcdcdcd")


def test_bundle_for_a_newer_agent(centre: Centre, victim: Victim, boxes: Boxes) -> None:
    centre.release(min_agent_version="9.0.0")
    victim.refuses("needs agent 9.0.0")
    # Not held against the bundle: after the agent's own update it is taken.
    assert boxes.start(centre.directory, agent_version="9.0.1").check().result is (
        UpdateResult.ACTIVATED
    )


def test_offer_that_lies_about_the_manifest_inside(centre: Centre, victim: Victim) -> None:
    centre.release()
    roles = centre.repository.roles
    fleet = roles.targets("fleet")
    fleet.signed.targets[ring_target("fleet")].unrecognized_fields["custom"]["release"] = 77
    fleet.signed.version += 1
    data = roles.sign_and_write(fleet, "fleet", "fleet", roles.delegated("fleet"))
    centre.repository._write_snapshot(
        {"fleet": MetaFile.from_data(fleet.signed.version, data, ["sha256"])}
    )
    victim.refuses("is not what was signed for the ring (release 77)")
    victim.refuses("not tried again")


def _moved(model: ModelEntry, cpu: str) -> ModelEntry:
    (files,) = model.files.values()
    return replace(model, files={cpu: files})
