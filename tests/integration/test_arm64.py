"""The bundle that this machine trained, on the CPU it was cross-compiled for.

A Debian 12 for 64-bit ARM with the locked edge packages and our wheel, as on a Raspberry Pi 4 or 5;
qemu translates the instructions, everything above them is what a box runs.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.updating.selftest import SelfTestFailed, run_selftest
from models.bundle.archive import read_manifest, write_manifest
from models.contract.forecast import LEVELS
from models.runtimes.elf import current_cpu
from tests.arm64 import Arm64Debian, arm64_debian, why_not
from tests.environments import REQUIREMENTS, run, uv

HERE, THERE = current_cpu(), "aarch64"
BUNDLE = "/srv/bundle"
LIMITS = ("300", "1536")  # seconds and megabytes of the self-test; emulation is slow

# The first run on a machine fetches Debian packages and wheels.
pytestmark = [pytest.mark.container, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def box(wheel: Path, candidate_bundle: Path) -> Iterator[Arm64Debian]:
    """An arm64 Debian with the edge extra and the wheel installed, and a bundle in ``BUNDLE``."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with arm64_debian() as debian:
        install: tuple[str | Path, ...] = (
            uv(), "pip", "install", "--quiet", "--python", sys.executable,
            "--target", debian.packages, "--python-version", "3.11",
            "--python-platform", "aarch64-manylinux_2_34", "--only-binary", ":all:",
        )  # fmt: skip
        run(*install, "--require-hashes", "-r", REQUIREMENTS / "edge-py311.txt")
        run(*install, "--no-deps", wheel)
        shutil.copytree(candidate_bundle, debian.root / BUNDLE.strip("/"))
        yield debian


def test_box_is_an_arm64_debian(box: Arm64Debian) -> None:
    question = "import platform as p; print(p.machine(), *p.libc_ver(), p.python_version())"
    answer = box.python("-c", question)
    assert answer.returncode == 0, answer.stderr
    machine, *libc, python = answer.stdout.split()
    assert machine == THERE
    assert libc == ["glibc", "2.36"]
    assert python.startswith("3.11.")
    assert "VERSION_CODENAME=bookworm" in (box.root / "etc/os-release").read_text()


def test_bundle_gives_its_golden_outputs_on_arm64(
    box: Arm64Debian, candidate_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = read_manifest(candidate_bundle)
    done = box.python("-m", "edge_agent.updating.selftest", BUNDLE, THERE, *LIMITS)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    answer = json.loads(done.stdout.splitlines()[-1])
    here = run_selftest(candidate_bundle, HERE, 60.0, 1536)
    assert answer["cases"] == here.cases >= 2
    with capsys.disabled():
        print(
            f"\ngolden outputs, largest difference in clear-sky index: {THERE} "
            f"{answer['worst_error']:.1e}, {HERE} {here.worst_error:.1e}, "
            f"allowed {manifest.golden.tolerance:g}"
        )
    assert answer["worst_error"] <= manifest.golden.tolerance


def test_golden_outputs_need_the_lstm(candidate_bundle: Path, tmp_path: Path) -> None:
    """Else the numbers above would say nothing about the interpreter."""
    manifest = read_manifest(candidate_bundle)
    trees_alone = tmp_path / "bundle"
    shutil.copytree(candidate_bundle, trees_alone)
    write_manifest(trees_alone, replace(manifest, shares={}))
    with pytest.raises(SelfTestFailed, match="off by"):
        run_selftest(trees_alone, HERE, 60.0, 1536)


PROGRAM = """
import json, sys
handed_to_loader = []
def watch(event, arguments):
    if event == "ctypes.dlopen" and arguments[0]:
        handed_to_loader.append(arguments[0])
sys.addaudithook(watch)
from edge_agent.updating.selftest import main
for cpu in sys.argv[4:]:
    handed_to_loader.clear()
    main([sys.argv[1], cpu, *sys.argv[2:4]])
    print(json.dumps([name for name in handed_to_loader if name.startswith(sys.argv[1])]))
"""


def test_files_for_another_cpu_are_refused_before_the_loader_sees_them(
    box: Arm64Debian, candidate_bundle: Path
) -> None:
    done = box.python("-c", PROGRAM, BUNDLE, *LIMITS, "x86_64", THERE)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    wrong, loaded_wrong, right, loaded_right = map(json.loads, done.stdout.splitlines())
    assert not wrong["ok"]
    assert "x86_64.so: built for x86_64, this machine is aarch64" in wrong["reason"]
    assert "take the file for this CPU from the bundle" in wrong["reason"]
    assert loaded_wrong == []
    assert right["ok"]
    manifest = read_manifest(candidate_bundle)
    built = [file for model in manifest.models.values() for file in model.files.get(THERE, ())]
    assert len(loaded_right) == len(built) >= len(LEVELS)  # what the watch sees being loaded
    assert all(name.endswith("-aarch64.so") for name in loaded_right)
