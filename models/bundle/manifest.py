"""What stands in a bundle: frozen values that check themselves. Standard library only.

A bundle is a directory: ``manifest.json`` and the files that it names, each with its hash. One
bundle serves every CPU it has files for; a box unpacks what its own CPU needs. This file decides
what a manifest may say. ``manifest_json`` turns it into bytes, ``archive`` compares it with the
files, ``trust`` decides whether a box wants it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from models.contract.checks import check_text, finite_number
from models.contract.errors import ContractError
from models.contract.forecast import LEVELS, WeatherMode
from models.contract.quantities import quantity
from models.contract.timestamps import DAY_MS, HORIZON_STEPS, Instant, format_iso8601
from models.contract.topics import check_identifier

MANIFEST_NAME = "manifest.json"
ANY = "any"
"""In ``files``: for every CPU. In ``hardware``: for every box."""
CPUS = ("x86_64", "aarch64")
"""``platform.machine()`` of the boxes that bundles are built for."""
MAX_BYTES_PER_CPU = 10_000_000
MAX_FILES = 200
MAX_MANIFEST_BYTES = 256_000

_PATH_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_VERSION = re.compile(r"\d{1,6}\.\d{1,6}\.\d{1,6}", re.ASCII)


class ModelKind(StrEnum):
    """How the files of a model are run."""

    QUANTILE_TREES = "quantile_trees"
    """Shared libraries of compiled trees, one per level in their order: quantiles."""
    PROBABILITY_TREES = "probability_trees"
    """The same, but one per tolerance: how likely an error above that share of the capacity is."""
    TFLITE_LSTM = "tflite_lstm"
    """One int8 TFLite file."""
    FEATURE_NET = "feature_net"
    """One file of weights: a network over the same rows as the trees, run in NumPy."""

    @property
    def is_trees(self) -> bool:
        """Whether its files are compiled trees, one per level."""
        return self in (ModelKind.QUANTILE_TREES, ModelKind.PROBABILITY_TREES)


@dataclass(frozen=True, slots=True)
class BundleFile:
    """A file of the bundle: path relative to its root, SHA-256 in hex, size in bytes."""

    path: str
    sha256: str
    size: int

    def __post_init__(self) -> None:
        parts = self.path.split("/")
        if len(self.path) > 100 or not all(_PATH_PART.fullmatch(part) for part in parts):
            raise ContractError(f"path: {self.path[:120]!r} is not a plain path inside the bundle")
        if self.path == MANIFEST_NAME:
            raise ContractError(f"path: {MANIFEST_NAME} cannot name itself")
        check_sha256(self.sha256)
        if not 0 < self.size <= MAX_BYTES_PER_CPU:
            raise ContractError(f"size: must be 1 to {MAX_BYTES_PER_CPU} bytes, not {self.size}")


@dataclass(frozen=True)
class ModelEntry:
    """One model: what it predicts, how it is run, and its files per CPU (or ``any``), in order."""

    quantity: str
    kind: ModelKind
    levels: tuple[float, ...]
    files: Mapping[str, tuple[BundleFile, ...]]
    features: str | None = None
    """Digest of the columns this model reads, where they are not those of the bundle."""

    def __post_init__(self) -> None:
        quantity(self.quantity)
        if self.features is not None:
            check_sha256(self.features, "features")
        if not self.levels or list(self.levels) != sorted(set(self.levels)):
            raise ContractError("levels: must ascend and hold at least one")
        if not (self.levels[0] > 0 and self.levels[-1] < 1):
            raise ContractError("levels: must lie between 0 and 1")
        if not self.files or not set(self.files) <= {*CPUS, ANY}:
            raise ContractError(f"files: must be given for some of {', '.join((*CPUS, ANY))}")
        for cpu, files in self.files.items():
            if not files:
                raise ContractError(f"files.{cpu}: is empty; leave the CPU out instead")
            if not self.kind.is_trees and len(files) != 1:
                raise ContractError(f"files.{cpu}: a {self.kind} is one file")
            if self.kind.is_trees and len(files) != len(self.levels):
                raise ContractError(f"files.{cpu}: {len(self.levels)} libraries, one per level")

    def files_for(self, cpu: str) -> tuple[BundleFile, ...]:
        """What ``cpu`` runs; empty when this model was not built for it."""
        return self.files.get(cpu) or self.files.get(ANY, ())


@dataclass(frozen=True, slots=True)
class FeatureDigest:
    """Which features the models were trained on (``models.features.spec``)."""

    digest: str
    source_resolution_minutes: int

    def __post_init__(self) -> None:
        check_sha256(self.digest, "digest")
        if not 1 <= self.source_resolution_minutes <= 1440:
            raise ContractError("source_resolution_minutes: must be 1 to 1440")


@dataclass(frozen=True, slots=True)
class TrainingSpan:
    """What the models have seen: ``[start, end)`` in domain time, and a hash of the data set."""

    start: Instant
    end: Instant
    fingerprint: str

    def __post_init__(self) -> None:
        if not self.start < self.end:
            raise ContractError("end: must lie after start")
        check_sha256(self.fingerprint, "fingerprint")


@dataclass(frozen=True, slots=True)
class Golden:
    """Inputs with the outputs they must give (``.npz``), within an absolute ``tolerance``."""

    file: BundleFile
    tolerance: float

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1:
            raise ContractError(f"tolerance: must be above 0 and below 1, not {self.tolerance}")


@dataclass(frozen=True)
class Manifest:
    """Everything a box must know of a bundle before it runs a byte of it."""

    bundle_id: str
    release: int
    """Grows with every release of the centre; 0 while the bundle is not released."""
    created_at: Instant
    min_agent_version: str
    hardware: tuple[str, ...]
    features: FeatureDigest
    weather_mode: WeatherMode
    training: TrainingSpan
    models: Mapping[str, ModelEntry]
    """By registry name."""
    golden: Golden
    shares: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Weight of each further expert of the generation at each step of the horizon, by its name in
    ``models``; what is left is the trees'."""
    initial_offsets: tuple[tuple[float, ...], ...] = ()
    """Where the calibration of a new site begins: one offset per lead bucket and level of the
    generation, in the calibration's own unit; empty: at nothing."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    runtime_versions: Mapping[str, str] = field(default_factory=dict)
    """What built the files (xgboost, treelite, tensorflow, the compiler)."""

    def __post_init__(self) -> None:
        _check_name(self.bundle_id, "bundle_id")
        if not 0 <= self.release < 2**53:
            raise ContractError(f"release: must be a whole number from 0, not {self.release}")
        check_version(self.min_agent_version, "min_agent_version")
        if not self.hardware:
            raise ContractError(f"hardware: is empty; say [{ANY!r}] for every box")
        for name in self.hardware:
            _check_name(name, "hardware")
        for name in self.metrics:
            check_text(name, "metrics", shortest=1)
        for name, version in self.runtime_versions.items():
            check_text(name, "runtime_versions", shortest=1)
            check_text(version, f"runtime_versions.{name}")
        if not self.models:
            raise ContractError("models: is empty")
        for name in self.models:
            _check_name(name, "models")
        self._check_shares()
        self._check_initial_offsets()
        metrics = {name: finite_number(value) for name, value in self.metrics.items()}
        object.__setattr__(self, "metrics", metrics)
        paths = [file.path for file in self.files()]
        if len(paths) > MAX_FILES:
            raise ContractError(f"models: name more than {MAX_FILES} files")
        for path in paths:
            if paths.count(path) > 1:
                raise ContractError(f"models: {path} is named twice")
            if any(other.startswith(f"{path}/") for other in paths):
                raise ContractError(f"models: {path} is both a file and a directory")
        if not self.cpus:
            raise ContractError("models: no CPU has files of every model")
        for cpu in self.cpus:
            if (size := sum(file.size for file in self.files_for(cpu))) > MAX_BYTES_PER_CPU:
                raise ContractError(
                    f"models: {size} bytes for {cpu}; the budget is {MAX_BYTES_PER_CPU}"
                )

    def _check_shares(self) -> None:
        for name, shares in self.shares.items():
            if name not in self.models:
                raise ContractError(f"shares: {name} is not among the models")
            if len(shares) != HORIZON_STEPS:
                raise ContractError(f"shares.{name}: {HORIZON_STEPS} weights wanted")
        # One number, one text: NumPy's scalars and negative zeros become plain floats.
        plain = {
            name: tuple(finite_number(share) for share in shares)
            for name, shares in self.shares.items()
        }
        for name, shares in plain.items():
            if not all(0 <= share <= 1 for share in shares):
                raise ContractError(f"shares.{name}: a weight lies outside 0 to 1")
        if any(sum(step) > 1 + 1e-9 for step in zip(*plain.values(), strict=True)):
            raise ContractError("shares: the weights of a step are more than 1 together")
        object.__setattr__(self, "shares", plain)

    def _check_initial_offsets(self) -> None:
        if any(len(row) != len(LEVELS) for row in self.initial_offsets):
            raise ContractError(f"initial_offsets: {len(LEVELS)} offsets per lead bucket wanted")
        try:
            plain = tuple(tuple(map(finite_number, row)) for row in self.initial_offsets)
        except ContractError as error:
            raise ContractError(f"initial_offsets: {error}") from None
        object.__setattr__(self, "initial_offsets", plain)

    @property
    def cpus(self) -> tuple[str, ...]:
        """CPUs that every model of the bundle was built for."""
        return tuple(
            cpu for cpu in CPUS if all(model.files_for(cpu) for model in self.models.values())
        )

    def files(self) -> Iterator[BundleFile]:
        """Every file of the bundle beside the manifest."""
        yield self.golden.file
        for model in self.models.values():
            for files in model.files.values():
                yield from files

    def files_for(self, cpu: str) -> tuple[BundleFile, ...]:
        """The files that a box with ``cpu`` needs."""
        models = (file for model in self.models.values() for file in model.files_for(cpu))
        return (self.golden.file, *models)


def bundle_id(created_at: Instant, release: int) -> str:
    """``2026-11-23-r7``: the day it was built and its release."""
    return f"{format_iso8601(created_at - created_at % DAY_MS)[:10]}-r{release}"


def check_sha256(text: str, field_name: str = "sha256") -> str:
    """Return ``text`` if it is a SHA-256 in lower-case hex."""
    if not _SHA256.fullmatch(text):
        raise ContractError(f"{field_name}: must be 64 lower-case hex digits, not {text[:80]!r}")
    return text


def check_version(text: str, field_name: str) -> str:
    """Return ``text`` if it is a version like ``0.1.0``."""
    if not _VERSION.fullmatch(text):
        raise ContractError(f"{field_name}: must be like 0.1.0, not {text[:40]!r}")
    return text


def _check_name(name: str, field_name: str) -> None:
    try:
        check_identifier(name)
    except ContractError as error:
        raise ContractError(f"{field_name}: {error}") from None
