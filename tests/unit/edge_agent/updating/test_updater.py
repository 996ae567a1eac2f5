"""The way of a good bundle from release to the last good one, and what leads back."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from central.release.release import promote, release_bundle
from edge_agent.updating.bundle_slots import BundleSlots
from edge_agent.updating.bundle_source import DirectorySource
from edge_agent.updating.selftest import SelfTestReport
from edge_agent.updating.updater import STATE_KEY, UpdateResult
from models.contract.messages import BundleState
from tests.releases import Boxes, Centre, passes, settle


def test_new_release_is_activated_on_trial_and_committed_after_its_probation(
    centre: Centre, boxes: Boxes
) -> None:
    report = centre.release()
    box = boxes.start(centre.directory, selftest=None)
    assert box.active() is None
    assert box.status().state is BundleState.NONE

    outcome = box.check()

    assert (outcome.result, outcome.bundle) == (UpdateResult.ACTIVATED, "2026-11-23-r1")
    assert box.active() is not None
    assert box.active().name == report.sha256  # type: ignore[union-attr]
    assert box.status().state is BundleState.TRIAL
    box.forecast_succeeded()
    assert box.status().state is BundleState.TRIAL
    box.forecast_succeeded()
    status = box.status()
    assert (status.state, status.active, status.release) == (BundleState.ACTIVE, "2026-11-23-r1", 1)
    assert box.check().result is UpdateResult.UP_TO_DATE


def test_nothing_published_or_an_empty_ring_is_no_error(
    centre: Centre, boxes: Boxes, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    assert boxes.start(tmp_path / "empty").check().result is UpdateResult.NOTHING_OFFERED
    centre.release("canary")
    fleet = boxes.start(centre.directory, "fleet-box")
    assert fleet.check().result is UpdateResult.NOTHING_OFFERED
    canary = boxes.start(centre.directory, "canary-box", settings={"ring": "canary"})
    assert canary.check().result is UpdateResult.ACTIVATED


def test_no_answer_leaves_the_running_bundle_and_says_why(
    centre: Centre, boxes: Boxes, tmp_path: Path
) -> None:
    centre.release()
    box = boxes.start(centre.directory)
    box.check()
    settle(box)
    away = boxes.start(DirectorySource(tmp_path / "unplugged"))
    outcome = away.check()
    assert outcome.result is UpdateResult.UNREACHABLE
    assert "unplugged" in (outcome.reason or "")
    assert away.active() == box.active()
    assert away.status().refused is None


def test_missing_trust_root_names_the_file(centre: Centre, boxes: Boxes, tmp_path: Path) -> None:
    centre.release()
    boxes.root_file = tmp_path / "root.json"
    outcome = boxes.start(centre.directory).check()
    assert outcome.result is UpdateResult.FAILED
    assert str(tmp_path / "root.json") in (outcome.reason or "")


def test_forecast_failing_in_probation_falls_back_and_is_never_retried(
    centre: Centre, boxes: Boxes
) -> None:
    centre.release()
    box = boxes.start(centre.directory)
    box.check()
    settle(box)
    first = box.active()
    bad = centre.release()
    box.check()
    box.forecast_succeeded()

    assert box.forecast_failed(ValueError("no trees"))

    assert box.active() == first
    status = box.status()
    assert (status.state, status.active) == (BundleState.ACTIVE, "2026-11-23-r1")
    assert status.refused == bad.manifest.bundle_id
    assert "ValueError: no trees" in (status.reason or "")
    for again in (box, boxes.start(centre.directory)):
        outcome = again.check()
        assert outcome.result is UpdateResult.REFUSED
        assert "not tried again" in (outcome.reason or "")
        assert again.active() == first
    centre.release()
    assert box.check().result is UpdateResult.ACTIVATED
    assert box.status().refused is None


def test_first_bundle_failing_its_probation_leaves_none(centre: Centre, boxes: Boxes) -> None:
    centre.release()
    box = boxes.start(centre.directory)
    box.check()
    assert box.forecast_failed(RuntimeError("x"))
    assert box.active() is None
    assert box.status().state is BundleState.REFUSED
    assert not (boxes.directory / "box" / "current").is_symlink()


def test_failure_after_the_probation_or_of_another_bundle_ends_no_trial(
    centre: Centre, boxes: Boxes
) -> None:
    centre.release()
    box = boxes.start(centre.directory)
    box.check()
    settle(box)
    old = box.active()
    assert not box.forecast_failed(RuntimeError("bad weather"))
    centre.release()
    box.check()
    new = box.active()
    # A forecast that was under way with the old bundle while the new one came says nothing of it.
    assert not box.forecast_failed(RuntimeError("old one"), old)
    box.forecast_succeeded(old)
    box.forecast_succeeded(old)
    assert box.status().state is BundleState.TRIAL
    settle(box)
    assert (box.status().state, box.active()) == (BundleState.ACTIVE, new)


def test_agent_that_keeps_dying_in_probation_goes_back_to_the_last_good_bundle(
    centre: Centre, boxes: Boxes
) -> None:
    centre.release()
    box = boxes.start(centre.directory)
    box.check()
    settle(box)
    good = box.active()
    centre.release()
    box.check()
    trial = box.active()
    for _ in range(3):
        box = boxes.start(centre.directory)
        assert box.active() == trial
    box = boxes.start(centre.directory)
    assert box.active() == good
    assert "kept ending" in (box.status().reason or "")
    assert box.check().result is UpdateResult.REFUSED


def test_last_good_bundle_is_kept_and_older_ones_are_removed(centre: Centre, boxes: Boxes) -> None:
    box = boxes.start(centre.directory)
    hashes = []
    for _ in range(4):
        hashes.append(centre.release().sha256)
        assert box.check().result is UpdateResult.ACTIVATED
        settle(box)
    kept = {path.name for path in (boxes.directory / "box" / "releases").iterdir()}
    assert kept == set(hashes[-2:])
    assert not (boxes.directory / "box" / "staging").exists()


def test_bundle_spoiled_on_the_disk_falls_back_and_may_be_fetched_again(
    centre: Centre, boxes: Boxes
) -> None:
    box = boxes.start(centre.directory)
    for _ in range(2):
        centre.release()
        box.check()
        settle(box)
    spoiled = box.active()
    assert spoiled is not None
    library = next(spoiled.glob("trees/*.so"))
    data = bytearray(library.read_bytes())
    data[-1] ^= 1
    library.chmod(0o644)
    library.write_bytes(data)

    box = boxes.start(centre.directory)

    assert box.status().release == 1
    assert box.check().result is UpdateResult.ACTIVATED
    assert box.active() == spoiled
    assert box.status().release == 2


def test_lost_state_takes_over_the_bundle_on_the_disk_with_its_release_number(
    centre: Centre, boxes: Boxes, tmp_path: Path
) -> None:
    centre.release()
    old = centre.copy(tmp_path / "old")
    centre.release()
    box = boxes.start(centre.directory)
    box.check()
    settle(box)
    active = box.active()
    boxes.states.clear()
    shutil.rmtree(boxes.directory / "box" / "metadata")
    box = boxes.start(old)
    assert box.active() == active
    outcome = box.check()
    assert outcome.result is UpdateResult.REFUSED
    assert "release 1 is not above release 2" in (outcome.reason or "")


def test_unreadable_memory_is_no_crash(centre: Centre, boxes: Boxes) -> None:
    centre.release()
    box = boxes.start(centre.directory)
    box.check()
    boxes.states["box"].put(STATE_KEY, {"release": "many"})
    box = boxes.start(centre.directory)
    assert box.status().release == 1


def test_full_card_stops_neither_the_check_nor_the_fall_back(
    centre: Centre, boxes: Boxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    centre.release()
    box = boxes.start(centre.directory)
    box.check()
    settle(box)
    good = box.active()
    centre.release()

    def full(key: str, value: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(boxes.states["box"], "put", full)
    outcome = box.check()
    assert outcome.result is UpdateResult.FAILED
    assert "No space left" in (outcome.reason or "")
    assert box.active() == good
    monkeypatch.undo()
    assert box.check().result is UpdateResult.ACTIVATED
    monkeypatch.setattr(boxes.states["box"], "put", full)
    assert box.forecast_failed(RuntimeError("x"))
    assert box.active() == good


def test_two_checks_at_once_are_not_run(centre: Centre, boxes: Boxes) -> None:
    centre.release()
    inner = []

    def check_again(directory: Path) -> SelfTestReport:
        inner.append(box.check())
        return passes(directory)

    box = boxes.start(centre.directory, selftest=check_again)
    assert box.check().result is UpdateResult.ACTIVATED
    assert inner[0].result is UpdateResult.FAILED


def test_forecast_that_ends_during_the_switch_does_not_tidy_the_new_bundle_away(
    centre: Centre, boxes: Boxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    centre.release()
    box = boxes.start(centre.directory)
    box.check()
    new = centre.release()
    install = BundleSlots.install
    threads = []

    def install_and_let_a_forecast_end(slots: BundleSlots, staged: Path, sha256: str) -> None:
        install(slots, staged, sha256)
        threads.append(threading.Thread(target=box.forecast_succeeded))
        threads[0].start()
        threads[0].join(0.3)

    monkeypatch.setattr(BundleSlots, "install", install_and_let_a_forecast_end)
    assert box.check().result is UpdateResult.ACTIVATED
    threads[0].join(10)
    active = box.active()
    assert active is not None
    assert active.name == new.sha256
    assert active.is_dir()


def test_fleet_gets_the_very_archive_that_the_canaries_ran(centre: Centre, boxes: Boxes) -> None:
    released = centre.release("canary")
    box = boxes.start(centre.directory)
    assert box.check().result is UpdateResult.NOTHING_OFFERED
    promote(centre.repository)
    assert box.check().result is UpdateResult.ACTIVATED
    active = box.active()
    assert active is not None
    assert active.name == released.sha256


def test_going_back_is_releasing_the_old_content_again(centre: Centre, boxes: Boxes) -> None:
    first = centre.bundles.make()
    old = release_bundle(first, "fleet", centre.repository)
    centre.release()
    box = boxes.start(centre.directory)
    box.check()
    settle(box)
    again = release_bundle(first, "fleet", centre.repository)
    assert again.manifest.release == 3
    assert again.manifest.models == old.manifest.models
    assert box.check().result is UpdateResult.ACTIVATED
