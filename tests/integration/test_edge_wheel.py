"""What is put on a box: the wheel with the edge extra, in an environment of its own."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.environments import PACKAGES, ROOT, run

NOT_ON_THE_BOX = (
    "pandas", "scipy", "pvlib", "tensorflow", "tf_keras", "xgboost", "treelite", "tl2cgen",
    "mlflow", "cryptography", "sklearn", "pyarrow", "matplotlib", "fastapi",
)  # fmt: skip
LARGEST_INSTALLATION_BYTES = 140_000_000

# The first of these tests builds the environment, which may have to download it.
pytestmark = pytest.mark.timeout(600)


def test_wheel_installs_the_four_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_wheel_holds_every_source_file_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    sources = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sources - packed == set()


def test_edge_environment_has_none_of_the_centres_libraries(edge_python: Path) -> None:
    question = (
        "import importlib.util as u, sys; print(*[n for n in sys.argv[1:] if u.find_spec(n)])"
    )
    assert run(edge_python, "-I", "-c", question, *NOT_ON_THE_BOX).split() == []


def test_every_edge_module_imports_with_the_edge_extra_only(edge_python: Path) -> None:
    program = """
import importlib, pkgutil, sys
count = 0
for name in ("models", "firmware_bridge", "edge_agent"):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            count += 1
print(count)
"""
    assert int(run(edge_python, "-I", "-c", program)) > 20


def test_edge_installation_is_small(edge_python: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site_packages,) = edge_python.parents[1].glob("lib/python3*/site-packages")
    sizes: dict[str, int] = {}
    for path in site_packages.rglob("*"):
        # pip comes with sqlite-utils' requirements and is part of any environment.
        top = path.relative_to(site_packages).parts[0]
        if path.is_file() and "__pycache__" not in path.parts and not top.startswith("pip"):
            sizes[top] = sizes.get(top, 0) + path.stat().st_size
    total = sum(sizes.values())
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:5]
    with capsys.disabled():
        parts = ", ".join(f"{name} {size / 1e6:.0f}" for name, size in largest)
        print(f"\nedge installation: {total / 1e6:.0f} MB ({parts})")
    assert total <= LARGEST_INSTALLATION_BYTES
