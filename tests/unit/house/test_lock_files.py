"""The lock files say what pyproject.toml says: a change without `make lock` is found."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.environments import REQUIREMENTS, ROOT

LOCKS = {
    "all-py311.txt": ("3.11", ("edge", "central", "dev")),
    "edge-py311.txt": ("3.11", ("edge",)),
    "edge-py313.txt": ("3.13", ("edge",)),
    "test-py313.txt": ("3.13", ("edge",)),
}


def locked_versions(path: Path) -> dict[str, str]:
    pins = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


def declared(extras: tuple[str, ...]) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("name", LOCKS)
def test_lock_satisfies_every_declared_requirement(name: str) -> None:
    python, extras = LOCKS[name]
    locked = locked_versions(REQUIREMENTS / name)
    wrong = [
        f"{requirement} is locked at {version}"
        for requirement in declared(extras)
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python})
        for version in [locked.get(canonicalize_name(requirement.name), "nothing")]
        if version == "nothing" or not requirement.specifier.contains(version)
    ]
    assert wrong == [], "run `make lock`"


@pytest.mark.parametrize("name", [*LOCKS, "uv.txt"])
def test_every_locked_package_has_hashes(name: str) -> None:
    text = (REQUIREMENTS / name).read_text(encoding="utf-8")
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert entries
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("name", [*LOCKS, "uv.txt"])
def test_locks_name_no_index_and_no_path(name: str) -> None:
    text = (REQUIREMENTS / name).read_text(encoding="utf-8")
    assert (
        re.findall(r"https?://\S+|file:\S+|--(?:extra-)?index-url\S*|--find-links\S*", text) == []
    )


def test_test_lane_uses_the_edges_own_pins() -> None:
    edge = locked_versions(REQUIREMENTS / "edge-py313.txt")
    lane = locked_versions(REQUIREMENTS / "test-py313.txt")
    assert {name: lane.get(name) for name in edge} == edge
