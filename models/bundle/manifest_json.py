"""Manifest <-> canonical JSON bytes. ``decode(encode(m)) == m``; the bytes are what gets hashed.

Reading is strict: an unknown, missing or ill-typed field is a ``PayloadError`` that names its path.
"""

from __future__ import annotations

from typing import Any

from models.contract import SCHEMA_VERSION
from models.contract.errors import ContractError, PayloadError
from models.contract.fields import Fields, checked
from models.contract.forecast import LEVELS, WeatherMode
from models.contract.payload import canonical, parse_json
from models.contract.timestamps import format_iso8601

from .manifest import (
    MAX_MANIFEST_BYTES,
    BundleFile,
    FeatureDigest,
    Golden,
    Manifest,
    ModelEntry,
    ModelKind,
    TrainingSpan,
)


def encode_manifest(manifest: Manifest) -> bytes:
    """The one byte form of ``manifest``."""
    body: dict[str, Any] = {
        "v": SCHEMA_VERSION,
        "bundle_id": manifest.bundle_id,
        "release": manifest.release,
        "created_at": format_iso8601(manifest.created_at),
        "min_agent_version": manifest.min_agent_version,
        "hardware": list(manifest.hardware),
        "features": {
            "digest": manifest.features.digest,
            "source_resolution_minutes": manifest.features.source_resolution_minutes,
        },
        "weather_mode": manifest.weather_mode.value,
        "training": {
            "start": format_iso8601(manifest.training.start),
            "end": format_iso8601(manifest.training.end),
            "fingerprint": manifest.training.fingerprint,
        },
        "models": {name: _model_body(model) for name, model in manifest.models.items()},
        "golden": {**_file_body(manifest.golden.file), "tolerance": manifest.golden.tolerance},
        "shares": {name: list(shares) for name, shares in manifest.shares.items()},
        "initial_offsets": [list(row) for row in manifest.initial_offsets],
        "metrics": dict(manifest.metrics),
        "runtime_versions": dict(manifest.runtime_versions),
    }
    data = canonical(body).encode() + b"\n"
    if len(data) > MAX_MANIFEST_BYTES:
        raise ContractError(f"manifest: {len(data)} bytes, at most {MAX_MANIFEST_BYTES}")
    return data


def decode_manifest(data: bytes) -> Manifest:
    """Inverse of :func:`encode_manifest`. Raises ``PayloadError`` naming the field at fault."""
    body = parse_json(data, MAX_MANIFEST_BYTES)
    fields = Fields(body, ignore=("hardware",))
    fields.version()
    features = fields.object("features")
    training = fields.object("training")
    golden = fields.object("golden")
    values: dict[str, Any] = {
        "bundle_id": fields.text("bundle_id"),
        "release": fields.integer("release"),
        "created_at": fields.instant("created_at"),
        "min_agent_version": fields.text("min_agent_version"),
        "hardware": _texts(body.get("hardware"), "hardware"),
        "weather_mode": fields.enum("weather_mode", WeatherMode),
        "features": checked(
            lambda: FeatureDigest(
                features.text("digest"), features.integer("source_resolution_minutes")
            ),
            "features",
        ),
        "training": checked(
            lambda: TrainingSpan(
                training.instant("start"), training.instant("end"), training.text("fingerprint")
            ),
            "training",
        ),
        "models": {
            name: _model(entry, f"models.{name}")
            for name, entry in fields.objects("models").items()
        },
        "golden": checked(lambda: Golden(_file(golden), golden.number("tolerance")), "golden"),
        "shares": _shares(fields.object("shares")),
        "initial_offsets": _offsets(fields),
        "metrics": _numbers(fields.object("metrics")),
        "runtime_versions": _versions(fields.object("runtime_versions")),
    }
    for part in (fields, features, training, golden):
        part.finish()
    return checked(lambda: Manifest(**values))


def _model_body(model: ModelEntry) -> dict[str, Any]:
    body: dict[str, Any] = {
        "quantity": model.quantity,
        "kind": model.kind.value,
        "levels": list(model.levels),
        "files": {cpu: [_file_body(file) for file in files] for cpu, files in model.files.items()},
    }
    if model.features is not None:
        body["features"] = model.features
    return body


def _file_body(file: BundleFile) -> dict[str, Any]:
    return {"path": file.path, "sha256": file.sha256, "size": file.size}


def _model(entry: Fields, path: str) -> ModelEntry:
    quantity, kind = entry.text("quantity"), entry.enum("kind", ModelKind)
    levels, per_cpu = entry.numbers("levels"), entry.mapping("files")
    files = {cpu: _files(items, f"{path}.files.{cpu}") for cpu, items in per_cpu.items()}
    features = entry.text("features") if entry.has("features") else None
    entry.finish()
    return checked(lambda: ModelEntry(quantity, kind, levels, files, features), path)


def _files(items: Any, where: str) -> tuple[BundleFile, ...]:
    if not isinstance(items, list):
        raise PayloadError("must be a list of files", where)
    return tuple(_listed_file(item, f"{where}[{index}]") for index, item in enumerate(items))


def _listed_file(item: Any, where: str) -> BundleFile:
    if not isinstance(item, dict):
        raise PayloadError("must be an object", where)
    fields = Fields(item, where)
    file = checked(lambda: _file(fields), where)
    fields.finish()
    return file


def _file(fields: Fields) -> BundleFile:
    return BundleFile(fields.text("path"), fields.text("sha256"), fields.integer("size"))


def _texts(items: Any, where: str) -> tuple[str, ...]:
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise PayloadError("must be a list of texts", where)
    return tuple(items)


def _numbers(fields: Fields) -> dict[str, float]:
    return {name: fields.number(name) for name in fields.rest()}


def _shares(fields: Fields) -> dict[str, tuple[float, ...]]:
    return {name: fields.numbers(name) for name in fields.rest()}


def _offsets(fields: Fields) -> tuple[tuple[float, ...], ...]:
    if not fields.has("initial_offsets"):  # bundles of before have none
        return ()
    return tuple(map(tuple, fields.rows("initial_offsets", len(LEVELS))))


def _versions(fields: Fields) -> dict[str, str]:
    return {name: fields.text(name) for name in fields.rest()}
