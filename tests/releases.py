"""A centre that releases bundles and boxes that are offered them, for tests of the way between."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from central.release.keys import KeyDirectory
from central.release.release import ReleaseReport, release_bundle
from central.release.repository import Repository
from edge_agent.updating.bundle_source import BundleSource, DirectorySource
from edge_agent.updating.selftest import SelfTestReport
from edge_agent.updating.update_settings import UpdateSettings
from edge_agent.updating.updater import Updater
from tests.bundles import CPU, SPEC, VERSION, Bundles


@dataclass
class MemoryState:
    """A state store without a disk. Values go through JSON, as in the real one."""

    values: dict[str, str] = field(default_factory=dict)

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    def put(self, key: str, value: Any) -> None:
        self.values[key] = json.dumps(value, allow_nan=False)


@dataclass
class Centre:
    """A release repository with its keys."""

    repository: Repository
    keys: KeyDirectory
    bundles: Bundles

    @property
    def directory(self) -> Path:
        return self.repository.directory

    def release(
        self,
        ring: str = "fleet",
        change: Callable[[Path], None] | None = None,
        **fields: Any,
    ) -> ReleaseReport:
        """Build and release one more bundle."""
        return release_bundle(self.bundles.make(change, **fields), ring, self.repository)

    def copy(self, directory: Path) -> Path:
        """What an observer could have kept of today's repository."""
        shutil.copytree(self.directory, directory)
        return directory


def passes(_: Path) -> SelfTestReport:
    """In place of the child process, in tests of what comes before and after it."""
    return SelfTestReport(1, 0.0, 0.0)


@dataclass
class Boxes:
    """Makes agents' updaters; the same name is the same box, started again."""

    directory: Path
    root_file: Path
    states: dict[str, MemoryState] = field(default_factory=dict)

    def start(
        self,
        source: BundleSource | Path,
        name: str = "box",
        *,
        selftest: Callable[[Path], SelfTestReport] | None = passes,
        settings: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> Updater:
        """Start the agent on box ``name``. ``selftest=None``: the real one."""
        updater = Updater(
            UpdateSettings(
                directory=str(self.directory / name),
                root_file=str(self.root_file),
                **(settings or {}),
            ),
            DirectorySource(source) if isinstance(source, Path) else source,
            self.states.setdefault(name, MemoryState()),
            **{
                "spec_digest": SPEC,
                "cpu": CPU,
                "agent_version": VERSION,
                "selftest": selftest,
                **arguments,
            },
        )
        updater.recover_at_start()
        return updater


def settle(updater: Updater) -> None:
    """Let the bundle on trial pass its probation."""
    updater.forecast_succeeded()
    updater.forecast_succeeded()


# Imported by the conftest.py of the folders that use them.


@pytest.fixture
def centre(tmp_path: Path, bundles: Bundles) -> Centre:
    keys = KeyDirectory.create(tmp_path / "keys")
    return Centre(Repository.create(tmp_path / "repository", keys), keys, bundles)


@pytest.fixture
def boxes(tmp_path: Path, centre: Centre) -> Boxes:
    return Boxes(tmp_path / "boxes", centre.repository.first_root)
