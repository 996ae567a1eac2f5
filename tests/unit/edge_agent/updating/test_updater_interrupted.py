"""The agent is killed at every single step of an update: whatever is active then is whole."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from central.release.repository import Repository
from edge_agent.updating.updater import Updater, UpdateResult
from models.bundle.archive import read_manifest, verify_directory
from tests.bundles import CPU
from tests.releases import Boxes, Centre, settle

_CHANGES = {"os.rename", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.chmod"}
_KILLED = 77


class FileState:
    """A state store that outlives the process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, key: str, default: Any = None) -> Any:
        values = json.loads(self._path.read_text()) if self._path.exists() else {}
        return values.get(key, default)

    def put(self, key: str, value: Any) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({key: value}))
        fresh.rename(self._path)


def _check_and_die_at(step: int, box: Updater, below: Path) -> int:
    """Run ``check`` in a child that is gone before change number ``step``; its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seen = 0

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & 0o3
        if (writes or event in _CHANGES) and str(arguments[0]).startswith(str(below)):
            seen += 1
            if seen == step:
                os._exit(_KILLED)

    sys.addaudithook(audit)
    try:
        code = 0 if box.check().result is UpdateResult.ACTIVATED else 1
    except BaseException:
        code = 2
    os._exit(code)


def test_kill_at_any_step_leaves_a_whole_bundle_and_the_update_possible(
    centre: Centre, boxes: Boxes, tmp_path: Path
) -> None:
    def start(name: str) -> Updater:
        boxes.states[name] = FileState(tmp_path / "boxes" / name / "state.json")  # type: ignore[assignment]
        return boxes.start(centre.directory, name)

    (tmp_path / "boxes" / "before").mkdir(parents=True)
    old = centre.release()
    box = start("before")
    box.check()
    settle(box)
    new = centre.release()
    assert Repository(centre.directory, centre.keys).offer("fleet") is not None

    step, found = 0, set()
    while True:
        step += 1
        name = f"killed-at-{step}"
        shutil.copytree(tmp_path / "boxes" / "before", tmp_path / "boxes" / name, symlinks=True)
        code = _check_and_die_at(step, start(name), tmp_path / "boxes" / name)
        assert code in (0, _KILLED), f"step {step}"
        survivor = start(name)
        active = survivor.active()
        assert active is not None, f"step {step}"
        verify_directory(active, read_manifest(active), CPU)
        current = (tmp_path / "boxes" / name / "current").resolve()
        assert current == active.resolve(), f"step {step}"
        found.add(active.name)
        assert survivor.check().result in (UpdateResult.ACTIVATED, UpdateResult.UP_TO_DATE)
        assert survivor.active().name == new.sha256, f"step {step}"  # type: ignore[union-attr]
        settle(survivor)
        assert survivor.status().release == 2
        shutil.rmtree(tmp_path / "boxes" / name)
        if code == 0:
            break
    assert step > 30
    assert found == {old.sha256, new.sha256}
