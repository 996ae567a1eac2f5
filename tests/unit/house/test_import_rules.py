"""Import rules that hold for every library there is, not only for those a contract can name."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from tests.environments import ROOT

LAYERS = {"models/contract": set(), "models/features": {"numpy"}}


def foreign_imports(path: Path) -> set[str]:
    """Top-level names imported anywhere in the file that are neither ours nor the library's."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names - sys.stdlib_module_names - {"models"}


@pytest.mark.parametrize("folder", LAYERS)
def test_layer_imports_nothing_foreign(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    found = {str(path.relative_to(ROOT)): foreign_imports(path) - LAYERS[folder] for path in files}
    assert {path: names for path, names in found.items() if names} == {}
