"""Small real bundles for tests: compiled libraries and golden vectors. Needs nothing of the centre.

The libraries come from the C compiler with the exports of a compiled booster; forecasting with them
goes through the same code as in the field.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle.archive import describe_file, write_manifest
from models.bundle.manifest import (
    FeatureDigest,
    Golden,
    Manifest,
    ModelEntry,
    ModelKind,
    TrainingSpan,
)
from models.contract.forecast import LEVELS, WeatherMode
from models.contract.timestamps import DAY_MS, HORIZON_STEPS, parse_iso8601
from models.features.spec import FEATURES, WINDOW_CHANNELS, WINDOW_STEPS, current_spec
from models.forecasters.bundle import BundleForecaster
from models.runtimes.elf import current_cpu
from models.runtimes.seal import seal

CPU = current_cpu()
OTHER_CPU = "aarch64" if CPU == "x86_64" else "x86_64"
BUILT = parse_iso8601("2026-11-23T20:00:00Z")
SPEC = current_spec().digest
VERSION = "0.1.0"

_SOURCE = """
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#define EXPORT __attribute__((visibility("default")))
%(extra)s
EXPORT int32_t solar_feature_count(void) { return %(features)d; }
EXPORT const char *solar_model_digest(void) { return "digest of %(name)s"; }
EXPORT int32_t solar_predict_batch(const float *rows, size_t n, size_t columns, float *out) {
  if (columns != %(features)d) return 1;
  for (size_t r = 0; r < n; ++r) out[r] = %(answer)s;
  return 0;
}
"""


def build_library(
    directory: Path, name: str, answer: str, *, extra: str = "", cpu: str = CPU
) -> Path:
    """A sealed library that answers ``answer`` (C, may use ``rows[r * columns]``) for every row."""
    compiler = shutil.which(f"{cpu}-linux-gnu-gcc") or (shutil.which("gcc") if cpu == CPU else None)
    if compiler is None:
        pytest.skip(
            f"no C compiler for {cpu}: apt-get install gcc-{cpu.replace('_', '-')}-linux-gnu"
        )
    values = {"name": name, "features": len(FEATURES), "answer": answer, "extra": extra}
    source, path = directory / f"{name}.c", directory / f"{name}.so"
    source.write_text(_SOURCE % values)
    command = [compiler, "-shared", "-fPIC", "-s", "-fvisibility=hidden", "-o", path, source]
    subprocess.run(command, check=True, timeout=60)
    path.write_bytes(seal(path.read_bytes()))
    return path


def build_bundle(directory: Path, libraries: Path) -> Manifest:
    """Write an unreleased bundle of one tree model for this CPU; all its numbers are right."""
    (directory / "trees").mkdir(parents=True)
    files = []
    for level in LEVELS:
        name = f"q{round(level * 1000):03d}.so"
        shutil.copy(libraries / name, directory / "trees" / name)
        files.append(describe_file(directory, f"trees/{name}"))
    rng = np.random.default_rng(1)
    arrays = {
        "features": rng.uniform(0, 1, (3, HORIZON_STEPS, len(FEATURES))).astype(np.float32),
        "windows": rng.uniform(0, 1, (3, WINDOW_STEPS, len(WINDOW_CHANNELS))).astype(np.float32),
        "expected": np.zeros((3, len(LEVELS), HORIZON_STEPS)),
    }
    np.savez(directory / "golden.npz", **arrays)
    manifest = Manifest(
        bundle_id="unreleased",
        release=0,
        created_at=BUILT,
        min_agent_version=VERSION,
        hardware=("any",),
        features=FeatureDigest(SPEC, 15),
        weather_mode=WeatherMode.NONE,
        training=TrainingSpan(BUILT - 365 * DAY_MS, BUILT - 30 * DAY_MS, "ab" * 32),
        models={
            "solar_generation_xgboost": ModelEntry(
                "ac_power", ModelKind.QUANTILE_TREES, LEVELS, {CPU: tuple(files)}
            )
        },
        golden=Golden(describe_file(directory, "golden.npz"), 1e-5),
        metrics={"skill": 0.21},
        runtime_versions={"gcc": "12"},
    )
    write_manifest(directory, manifest)
    forecaster = BundleForecaster.load(directory)
    arrays["expected"] = np.stack(
        [
            forecaster.predict_normalised(feature, window)
            for feature, window in zip(arrays["features"], arrays["windows"], strict=True)
        ]
    )
    np.savez(directory / "golden.npz", **arrays)
    return describe_again(directory, manifest)


def describe_again(directory: Path, manifest: Manifest) -> Manifest:
    """Take sizes and hashes from the disk, as a maker of a bad bundle would, and write them."""
    models = {
        name: replace(
            model,
            files={
                cpu: tuple(describe_file(directory, file.path) for file in files)
                for cpu, files in model.files.items()
            },
        )
        for name, model in manifest.models.items()
    }
    golden = replace(manifest.golden, file=describe_file(directory, manifest.golden.file.path))
    manifest = replace(manifest, models=models, golden=golden)
    write_manifest(directory, manifest)
    return manifest


class Bundles:
    """Bundle directories, each with something different about it."""

    def __init__(self, directory: Path, good: Path, manifest: Manifest) -> None:
        self.manifest = manifest
        self._directory, self._good, self._count = directory, good, 0

    def make(self, change: Callable[[Path], None] | None = None, **fields: Any) -> Path:
        """A copy of the good bundle; ``change`` its files, and ``fields`` of its manifest."""
        self._count += 1
        directory = self._directory / f"bundle-{self._count}"
        shutil.copytree(self._good, directory)
        if change:
            change(directory)
        # Every build differs: else two releases could have the same bytes but for the number.
        metrics = {**self.manifest.metrics, "build": float(self._count)}
        describe_again(directory, replace(self.manifest, **{"metrics": metrics, **fields}))
        return directory


# Imported by the conftest.py of the folders that use them.


@pytest.fixture(scope="session")
def good_bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """A bundle that every box of this machine's kind would take; never changed by a test."""
    directory = tmp_path_factory.mktemp("good-bundle")
    libraries = directory / "libraries"
    libraries.mkdir()
    for level in LEVELS:
        name = f"q{round(level * 1000):03d}"
        build_library(libraries, name, f"0.1f * rows[r * columns] + {level - 0.5:.4f}f")
    return directory / "bundle", build_bundle(directory / "bundle", libraries)


@pytest.fixture
def bundles(tmp_path: Path, good_bundle: tuple[Path, Manifest]) -> Bundles:
    return Bundles(tmp_path / "built", *good_bundle)
