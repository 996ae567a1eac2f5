"""A candidate: the bundle directory, its manifest and the files behind both.

Decides names inside a bundle. The release counter stays 0 until ``central.release`` gives one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from models.bundle.manifest import (
    ANY,
    MANIFEST_NAME,
    BundleFile,
    FeatureDigest,
    Golden,
    Manifest,
    ModelEntry,
    ModelKind,
    TrainingSpan,
    bundle_id,
)
from models.bundle.manifest_json import encode_manifest
from models.bundle.names import (
    GENERATION_LSTM,
    GENERATION_NEAR,
    GENERATION_NET,
    GENERATION_TREES,
)
from models.contract.forecast import LEVELS, WeatherMode
from models.contract.timestamps import Instant
from models.features.build import FeatureArray
from models.features.site import FloatArray
from models.features.spec import current_spec
from models.forecasters.blend import share_per_step
from models.forecasters.bundle import QUANTITY, BundleForecaster
from models.runtimes.elf import current_cpu

from .trained import ShippedTrees

GOLDEN_FILE = "golden.npz"
GOLDEN_TOLERANCE = 0.02
"""In clear-sky index: compiled trees agree to 1e-5, int8 kernels of two CPUs to a step or two."""
MIN_AGENT = "0.1.0"
_BUILDERS = ("xgboost-cpu", "treelite", "tl2cgen", "tensorflow", "tf-keras", "numpy")


@dataclass(frozen=True, eq=False)
class Shipped:
    """Models in the form that travels."""

    trees: Mapping[str, list[Path]]
    """CPU -> one library per level, in the order of ``LEVELS``."""
    near: Mapping[str, list[Path]]
    """The same for the first hour."""
    lstm: bytes
    net: bytes
    shares: Mapping[str, Sequence[float]]
    """Weight per lead bucket of each expert beside the trees, by registry name."""
    initial_offsets: FloatArray
    """Offsets with which a new site's calibration begins, (lead buckets, levels)."""
    others: Sequence[ShippedTrees] = ()
    """Trees of the other tasks."""


def write_candidate(
    directory: Path,
    shipped: Shipped,
    *,
    created_at: Instant,
    training: TrainingSpan,
    source_resolution_minutes: int,
    weather_mode: WeatherMode,
    metrics: Mapping[str, float],
    golden_features: FeatureArray,
    golden_windows: FeatureArray,
) -> Manifest:
    """Fill an empty ``directory`` with models, golden vectors and manifest; returns the manifest.

    The golden outputs come from the shipped form on this machine, after the parity gates held it
    against the trained models.
    """
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    trees = {
        name: ModelEntry(
            QUANTITY, ModelKind.QUANTILE_TREES, LEVELS, _copied(libraries, directory, folder)
        )
        for name, libraries, folder in (
            (GENERATION_TREES, shipped.trees, "trees"),
            (GENERATION_NEAR, shipped.near, "near"),
        )
    }
    others = {
        one.trained.name: ModelEntry(
            one.trained.quantity,
            one.trained.kind,
            tuple(one.trained.levels),
            _copied(one.libraries, directory, one.trained.name),
            one.trained.features,
        )
        for one in shipped.others
    }
    single = {
        name: _written(directory, kind, content)
        for name, kind, content in (
            (GENERATION_LSTM, ModelKind.TFLITE_LSTM, shipped.lstm),
            (GENERATION_NET, ModelKind.FEATURE_NET, shipped.net),
        )
    }
    rows = {one.trained.name: one.trained.golden for one in shipped.others}
    write_golden(directory / GOLDEN_FILE, golden_features, golden_windows, None)
    manifest = Manifest(
        bundle_id=bundle_id(created_at, 0),
        release=0,
        created_at=created_at,
        min_agent_version=MIN_AGENT,
        hardware=(ANY,),
        features=FeatureDigest(current_spec().digest, source_resolution_minutes),
        weather_mode=weather_mode,
        training=training,
        models={**trees, **single, **others},
        golden=Golden(_listed(directory, GOLDEN_FILE), GOLDEN_TOLERANCE),
        shares={
            name: tuple(float(share) for share in share_per_step(buckets))
            for name, buckets in shipped.shares.items()
        },
        initial_offsets=tuple(
            tuple(round(float(offset), 4) for offset in row) for row in shipped.initial_offsets
        ),
        metrics=dict(metrics),
        runtime_versions=_versions(),
    )
    (directory / MANIFEST_NAME).write_bytes(encode_manifest(manifest))
    forecaster = BundleForecaster.load(directory, current_cpu())
    expected = np.stack(
        [
            forecaster.predict_normalised(features, window)
            for features, window in zip(golden_features, golden_windows, strict=True)
        ]
    )
    answers = {name: (part, forecaster.others[name].predict(part)) for name, part in rows.items()}
    write_golden(directory / GOLDEN_FILE, golden_features, golden_windows, expected, answers)
    manifest = replace(manifest, golden=Golden(_listed(directory, GOLDEN_FILE), GOLDEN_TOLERANCE))
    (directory / MANIFEST_NAME).write_bytes(encode_manifest(manifest))
    return manifest


def write_golden(
    file: Path,
    features: FeatureArray,
    windows: FeatureArray,
    expected: FloatArray | None,
    others: Mapping[str, tuple[FeatureArray, FeatureArray]] = MappingProxyType({}),
) -> None:
    """Write golden inputs and, once they are known, the outputs they must give.

    ``others``: rows and answers of the other tasks' trees, by registry name.
    """
    arrays: dict[str, Any] = {"features": features, "windows": windows}
    if expected is not None:
        arrays["expected"] = expected
    for name, (rows, answers) in others.items():
        arrays |= {f"{name}.rows": rows, f"{name}.answers": answers}
    np.savez_compressed(file, **arrays)


def write_report_json(file: Path, report: Mapping[str, Any]) -> None:
    """Scores and gates of a candidate, machine-readable."""
    file.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")


_SUFFIXES = {ModelKind.TFLITE_LSTM: ("lstm", "tflite"), ModelKind.FEATURE_NET: ("net", "npz")}


def _written(directory: Path, kind: ModelKind, content: bytes) -> ModelEntry:
    """One file of the generation for every CPU, under a name that tells its content."""
    stem, suffix = _SUFFIXES[kind]
    path = f"{stem}-{hashlib.sha256(content).hexdigest()[:16]}.{suffix}"
    (directory / path).write_bytes(content)
    return ModelEntry(QUANTITY, kind, LEVELS, {ANY: (_listed(directory, path),)})


def _copied(
    libraries: Mapping[str, Sequence[Path]], root: Path, folder: str
) -> dict[str, tuple[BundleFile, ...]]:
    """Copy libraries into ``root/folder``; the manifest's lines for them, by CPU."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    files = {}
    for cpu, paths in libraries.items():
        for path in paths:
            shutil.copyfile(path, root / folder / path.name)
        files[cpu] = tuple(_listed(root, f"{folder}/{path.name}") for path in paths)
    return files


def _listed(root: Path, path: str) -> BundleFile:
    content = (root / path).read_bytes()
    return BundleFile(path, hashlib.sha256(content).hexdigest(), len(content))


def _versions() -> dict[str, str]:
    found = {}
    for name in _BUILDERS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
