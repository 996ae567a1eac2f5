"""The edge and the contract on Python 3.13 with NumPy 2 and ai-edge-litert: their own tests again.

Runs every unit and property test file that asks for nothing of the centre, in an environment locked
in requirements/test-py313.txt (pvlib is in it: the reference for the features).
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.environments import REQUIREMENTS, ROOT, find_python, make_environment, run

TESTS = ROOT / "tests"
FOLDERS = ("unit/models", "unit/firmware_bridge", "unit/edge_agent", "property")
ROOMS = {"models", "firmware_bridge", "edge_agent", "tests"}
INSTALLED = {
    "pytest", "hypothesis", "jsonschema", "numpy", "pymodbus", "serial", "paho", "tuf",
    "securesystemslib", "sqlite_utils", "typer", "rich", "pvlib", "pandas", "scipy",
}  # fmt: skip

pytestmark = pytest.mark.timeout(900)  # may have to download the environment


@pytest.fixture(scope="module")
def python_313(tmp_path_factory: pytest.TempPathFactory) -> Path:
    python = find_python("3.13")
    if python is None:
        pytest.skip("no Python 3.13 on PATH or in pyenv")
    directory = tmp_path_factory.mktemp("py313") / "env"
    return make_environment(directory, python, REQUIREMENTS / "test-py313.txt")


def test_lane_has_the_successor_libraries(python_313: Path) -> None:
    question = "import sys, numpy, ai_edge_litert; print(sys.version_info[:2], numpy.__version__)"
    version, numpy_version = run(python_313, "-c", question).rsplit(" ", 1)
    assert version == "(3, 13)"
    assert numpy_version.startswith("2.")


def test_edge_and_contract_tests_pass_on_python_313(
    python_313: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [
        path.relative_to(ROOT)
        for folder in FOLDERS
        for path in sorted((TESTS / folder).rglob("test_*.py"))
        if _needs(path) <= ROOMS | INSTALLED | sys.stdlib_module_names
    ]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "SOLAR_FORBID_SKIP", "VIRTUAL_ENV", "PYTHONPATH"))
    }
    done = subprocess.run(
        [python_313, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    closing_line = done.stdout.strip().rsplit("\n", 1)[-1]
    with capsys.disabled():
        print(f"\nPython 3.13, {len(files)} files: {closing_line}")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def _needs(path: Path) -> set[str]:
    """Top-level names that must be importable for the test file to be collected.

    Follows its helpers (``tests.*``) and the conftest.py files beside and above it; the topmost one
    is made to need nothing of the centre's libraries.
    """
    above = [folder for folder in path.parents if TESTS in folder.parents]
    waiting = [path, *(folder / "conftest.py" for folder in above)]
    seen: set[Path] = set()
    names: set[str] = set()
    while waiting:
        file = waiting.pop()
        if file in seen or not file.is_file():
            continue
        seen.add(file)
        for module in _imported_modules(file):
            names.add(module.split(".")[0])
            if module.startswith("tests."):
                waiting.append(ROOT / (module.replace(".", "/") + ".py"))
    return names


def _imported_modules(file: Path) -> set[str]:
    modules: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module)
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return modules
