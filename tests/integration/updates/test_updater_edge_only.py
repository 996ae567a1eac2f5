"""The whole way on what a box really has: the edge extra, no ``cryptography``, on both Pythons."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from central.release.repository import Repository
from tests.bundles import CPU, SPEC, VERSION
from tests.environments import REQUIREMENTS, find_python, make_environment, run, uv
from tests.releases import Centre

pytestmark = pytest.mark.timeout(600)  # may have to download the environment

_PROGRAM = """
import json, sys
from pathlib import Path
from edge_agent.updating.bundle_source import DirectorySource
from edge_agent.updating.update_settings import UpdateSettings
from edge_agent.updating.updater import Updater

class State(dict):
    def get(self, key, default=None):
        return super().get(key, default)
    def put(self, key, value):
        self[key] = value

directory, repository, root, cpu, spec, version = sys.argv[1:]
settings = UpdateSettings(directory=directory, root_file=root)
box = Updater(settings, DirectorySource(Path(repository)), State(), spec_digest=spec, cpu=cpu,
              agent_version=version)
box.recover_at_start()
outcomes = [box.check()]
box.forecast_succeeded(); box.forecast_succeeded()
timestamp = Path(repository, "metadata", "timestamp.json")
body = json.loads(timestamp.read_bytes())
body["signed"]["version"] += 1
timestamp.write_text(json.dumps(body))
outcomes.append(box.check())
foreign = sorted({name.split(".")[0] for name in sys.modules} & {"cryptography", "pandas", "scipy"})
print(json.dumps([[[o.result, o.reason] for o in outcomes], box.status().active, foreign]))
"""


def _update(python: Path, centre: Centre, directory: Path) -> None:
    centre.release()
    out = run(
        python, "-I", "-c", _PROGRAM, directory, centre.directory,
        Repository(centre.directory, centre.keys).first_root, CPU, SPEC, VERSION,
    )  # fmt: skip
    outcomes, active, foreign = json.loads(out.splitlines()[-1])
    assert outcomes[0] == ["activated", None]
    assert outcomes[1][0] == "refused"
    assert "timestamp was signed by 0/1 keys" in outcomes[1][1]
    assert active == "2026-11-23-r1"
    assert foreign == []


def test_box_verifies_and_activates_without_cryptography(
    edge_python: Path, centre: Centre, tmp_path: Path
) -> None:
    _update(edge_python, centre, tmp_path / "box")


def test_box_verifies_and_activates_on_python_313(
    wheel: Path, centre: Centre, tmp_path: Path
) -> None:
    python = find_python("3.13")
    if python is None:
        pytest.skip("no Python 3.13 on PATH or in pyenv")
    inside = make_environment(tmp_path / "env", python, REQUIREMENTS / "edge-py313.txt")
    run(uv(), "pip", "install", "--quiet", "--python", inside, "--no-deps", wheel)
    _update(inside, centre, tmp_path / "box")
