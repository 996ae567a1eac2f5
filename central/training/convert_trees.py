"""XGBoost booster to sealed shared libraries, one per CPU, and the gate they must pass.

    paths = compile_booster(booster, quantile_label(0.9), cpus=CPUS, cache_dir=cache)
    assert_tree_parity(booster, paths[current_cpu()], real_rows)

A library's name carries the hash of everything that made it (generated code, compiler, flags), so
equal models are compiled once and different models never share a path: `dlopen` would go on
serving the first one (DESIGN section 11, trap 4).

Leaves to others: C text (`tree_source`), compilers (`cross_compile`), training, the bundle.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from central.training.cross_compile import CPUS, build_shared_library, toolchain_id
from central.training.errors import ConversionError, ParityError
from central.training.tree_source import DIGEST_MACRO, TreeSource, generate_tree_source
from models.runtimes.base import FloatArray, RuntimeLoadError
from models.runtimes.elf import ElfError, read_shared_library
from models.runtimes.seal import seal, unseal
from models.runtimes.trees import TreeLibrary

if TYPE_CHECKING:
    import xgboost


@dataclass(frozen=True)
class TreeParity:
    """How far a compiled library is from its booster."""

    rows: int
    max_abs_difference: float
    tolerance: float


def quantile_label(level: float) -> str:
    """File name part of a quantile level, in per mille: 0.05 -> `q050`."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"quantile level must lie in (0, 1), got {level}")
    return f"q{round(level * 1000):03d}"


def compile_booster(
    booster: xgboost.Booster, label: str, *, cpus: Sequence[str] = CPUS, cache_dir: Path
) -> dict[str, Path]:
    """Compile a booster for each CPU, or take the libraries from the cache.

    Args:
        booster: one output, numeric splits (`tree_source` says what is refused).
        label: first part of the file names, such as `quantile_label(0.5)`.
        cpus: targets, of `cross_compile.CPUS`.
        cache_dir: where libraries are kept; made when missing, safe to delete at any time.

    Returns:
        CPU -> path of the sealed library in `cache_dir`, named `{label}-{hash}-{cpu}.so`.

    Raises:
        ConversionError: unsupported booster, missing compiler (names the Debian package), or a
            compiler error.
    """
    source = generate_tree_source(booster)
    cache_dir.mkdir(parents=True, exist_ok=True)
    digests = {cpu: _build_digest(source, cpu) for cpu in cpus}
    paths = {cpu: cache_dir / f"{label}-{digests[cpu][:16]}-{cpu}.so" for cpu in cpus}
    missing = [cpu for cpu in cpus if not _is_sound(paths[cpu], cpu)]
    if not missing:
        return paths
    # One pool runs the compilers, the other only waits for them: no job waits for its own pool.
    with (
        ThreadPoolExecutor(os.cpu_count() or 1) as compilers,
        ThreadPoolExecutor(len(missing)) as targets,
    ):
        libraries = {
            cpu: targets.submit(
                build_shared_library, source.files, cpu, {DIGEST_MACRO: digests[cpu]}, compilers
            )
            for cpu in missing
        }
        for cpu, library in libraries.items():
            _store(paths[cpu], seal(library.result()))
    return paths


def assert_tree_parity(
    booster: xgboost.Booster, library_path: Path, rows: FloatArray, *, tolerance: float = 1e-5
) -> TreeParity:
    """Compare a library for this machine's CPU with the booster it was made from.

    Args:
        booster: the trained model.
        library_path: from `compile_booster`.
        rows: real feature rows, shape (n, features), NaN = missing; 10 000 or more in a release.
        tolerance: largest absolute difference accepted, in units of the target.

    Raises:
        ParityError: a larger difference, a NaN, or no rows; names the worst row.
        RuntimeLoadError: the library cannot be loaded here.
    """
    if len(rows) == 0:
        raise ParityError(f"{library_path.name}: no rows to compare on")
    expected = np.asarray(booster.inplace_predict(rows), dtype=np.float32)
    difference = np.abs(TreeLibrary(library_path).predict(rows) - expected)
    worst = int(np.argmax(difference))  # NaN counts as the largest
    report = TreeParity(len(rows), float(difference[worst]), tolerance)
    if not report.max_abs_difference <= tolerance:
        raise ParityError(
            f"{library_path.name}: row {worst} of {report.rows} differs by "
            f"{report.max_abs_difference:g}, accepted {tolerance:g}; do not release this library"
        )
    return report


def _build_digest(source: TreeSource, cpu: str) -> str:
    """Hash of everything that decides a library's content; also baked into it."""
    recipe = json.dumps([source.files, cpu, toolchain_id(cpu)], sort_keys=True)
    return hashlib.sha256(recipe.encode()).hexdigest()


def _is_sound(path: Path, cpu: str) -> bool:
    """Whether the cache holds this library undamaged."""
    try:
        return read_shared_library(unseal(path.read_bytes(), path)).cpu == cpu
    except (OSError, RuntimeLoadError, ElfError):
        return False


def _store(path: Path, content: bytes) -> None:
    """Write whole or not at all: two trainers may share a cache."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            file.write(content)
        Path(file.name).chmod(0o644)  # temporary files are private, a model is not
        Path(file.name).replace(path)
    except OSError as error:
        raise ConversionError(f"cannot write {path}: {error.strerror}") from error
