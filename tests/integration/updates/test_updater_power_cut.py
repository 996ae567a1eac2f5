"""Power cuts: what a file system really holds at each step of an update, unsynced writes lost.

The box lives on a loop-mounted ext4 image. At every rename and link of an update the image is
copied while it is mounted: the copy has only what was on the "disk" by then. Each copy is mounted
and the box started on it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks._power_card import CannotCut, copy_image, make_image, mounted
from central.release.repository import Repository
from edge_agent.storage.state_store import StateDatabase, StateStore
from edge_agent.updating.updater import Updater, UpdateResult
from models.bundle.archive import read_manifest, verify_directory
from models.contract.clock import SystemClock
from tests.bundles import CPU
from tests.releases import Boxes, Centre, settle

_MOUNT_POINT = "card"
_ONLY_FSYNC = "commit=3600"  # nothing gets to the disk by itself


@contextmanager
def started(boxes: Boxes, centre: Centre | Path, card: Path) -> Iterator[Updater]:
    database = StateDatabase(card / "state.sqlite")
    boxes.directory = card
    boxes.states["box"] = StateStore(database, SystemClock())  # type: ignore[assignment]
    try:
        yield boxes.start(centre if isinstance(centre, Path) else centre.directory)
    finally:
        database.close()


class Camera:
    """Copies the image at every change of a name below ``place`` while it is on."""

    def __init__(self, image: Path, place: Path, album: Path) -> None:
        self._image, self._place, self._album = image, str(place), album
        self.on, self.taken = False, 0
        album.mkdir()
        sys.addaudithook(self._look)  # for the life of this process; does nothing while off

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        names = arguments[:2] if event in ("os.rename", "os.symlink", "os.remove") else ()
        if self.on and any(str(name).startswith(self._place) for name in names):
            self.shoot()

    def shoot(self) -> None:
        self.on, was_on = False, self.on
        self.taken += 1
        copy = self._album / f"{self.taken}.img"
        copy_image(self._image, copy)
        self.on = was_on


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "card.img"
    try:
        make_image(path, 64 << 20)
        with mounted(path, tmp_path / _MOUNT_POINT):
            pass
    except CannotCut as error:
        pytest.skip(str(error))
    return path


def test_power_cut_at_any_rename_leaves_a_whole_bundle_and_no_way_back(
    centre: Centre, boxes: Boxes, image: Path, tmp_path: Path
) -> None:
    old = centre.release()
    withheld = centre.copy(tmp_path / "withheld")
    card = tmp_path / _MOUNT_POINT
    camera = Camera(image, card, tmp_path / "album")
    with mounted(image, card, _ONLY_FSYNC), started(boxes, centre, card) as box:
        box.check()
        settle(box)
        new = centre.release()
        camera.on = True
        assert box.check().result is UpdateResult.ACTIVATED
        camera.shoot()
        settle(box)
        camera.on = False
        camera.shoot()
    print(camera.taken)
    assert camera.taken > 10
    assert Repository(centre.directory, centre.keys).offer("fleet") is not None

    found = []
    for number in range(1, camera.taken + 1):
        copy = tmp_path / "album" / f"{number}.img"
        with mounted(copy, card, _ONLY_FSYNC):
            with started(boxes, withheld, card) as box:
                active = box.active()
                assert active is not None, f"cut {number}"
                verify_directory(active, read_manifest(active), CPU)
                found.append(box.status().release)
                outcome = box.check()
                if found[-1] == 2:  # activated before the cut: nothing may lead back
                    assert outcome.result is UpdateResult.REFUSED, f"cut {number}"
            with started(boxes, centre, card) as box:
                assert box.check().result in (UpdateResult.ACTIVATED, UpdateResult.UP_TO_DATE)
                assert box.active().name == new.sha256  # type: ignore[union-attr]
        copy.unlink()
    print(found)
    assert found == sorted(found)
    assert found[0] == 1
    assert found[-2:] == [2, 2]
    assert old.sha256 != new.sha256
