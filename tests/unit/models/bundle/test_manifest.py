"""A manifest survives the way to bytes and back, and whatever is wrong with one is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bundle.manifest import (
    CPUS,
    MAX_BYTES_PER_CPU,
    BundleFile,
    FeatureDigest,
    Golden,
    Manifest,
    ModelEntry,
    ModelKind,
    TrainingSpan,
    bundle_id,
)
from models.bundle.manifest_json import decode_manifest, encode_manifest
from models.contract.errors import ContractError, PayloadError
from models.contract.forecast import LEVELS, WeatherMode
from models.contract.timestamps import HORIZON_STEPS, parse_iso8601

HASH = "0123456789abcdef" * 4
DAY = parse_iso8601("2026-11-23T20:15:00Z")


def file(path: str, size: int = 1000) -> BundleFile:
    return BundleFile(path, HASH, size)


def trees(*cpus: str, size: int = 1000) -> ModelEntry:
    files = {
        cpu: tuple(file(f"trees/{cpu}/q{round(level * 1000)}.so", size) for level in LEVELS)
        for cpu in cpus
    }
    return ModelEntry("ac_power", ModelKind.QUANTILE_TREES, LEVELS, files)


LSTM = ModelEntry("ac_power", ModelKind.TFLITE_LSTM, LEVELS, {"any": (file("lstm.tflite"),)})
GOOD = Manifest(
    bundle_id="2026-11-23-r7",
    release=7,
    created_at=DAY,
    min_agent_version="0.1.0",
    hardware=("any",),
    features=FeatureDigest(HASH, 60),
    weather_mode=WeatherMode.NONE,
    training=TrainingSpan(DAY - 10, DAY, HASH),
    models={"solar_generation_xgboost": trees(*CPUS), "solar_generation_lstm": LSTM},
    golden=Golden(file("golden.npz"), 1e-5),
    shares={"solar_generation_lstm": (0.25,) * HORIZON_STEPS},
    initial_offsets=((-0.1, -0.05, 0.0, 0.0, 0.0, 0.05, 0.1),) * 9,
    metrics={"skill": 0.2, "pinball_w": 12.5},
    runtime_versions={"xgboost": "3.2.0"},
)

numbers = st.floats(allow_nan=False, allow_infinity=False)
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)
names = st.from_regex(r"[a-z0-9_-]{1,20}", fullmatch=True).filter(lambda name: name != "bundles")
manifests = st.builds(
    replace,
    st.just(GOOD),
    bundle_id=names,
    release=st.integers(0, 2**53 - 1),
    created_at=st.integers(0, DAY),
    hardware=st.lists(names, min_size=1, max_size=3).map(tuple),
    features=st.builds(FeatureDigest, st.just(HASH), st.integers(1, 1440)),
    weather_mode=st.sampled_from(WeatherMode),
    models=names.map(lambda name: {name: trees(*CPUS), "lstm": LSTM}),
    shares=st.one_of(
        st.just({}),
        st.floats(-0.0, 1).map(lambda share: {"lstm": (share,) * HORIZON_STEPS}),
    ),
    metrics=st.dictionaries(words, numbers, max_size=4),
    runtime_versions=st.dictionaries(words, words, max_size=4),
)


@given(manifests)
def test_manifest_survives_the_way_to_bytes_and_back(manifest: Manifest) -> None:
    data = encode_manifest(manifest)
    assert decode_manifest(data) == manifest
    assert encode_manifest(decode_manifest(data)) == data


def test_same_manifest_has_the_same_bytes_whatever_the_order() -> None:
    turned = replace(
        GOOD,
        models=dict(reversed(GOOD.models.items())),
        metrics=dict(reversed(GOOD.metrics.items())),
    )
    assert encode_manifest(turned) == encode_manifest(GOOD)


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(body: dict[str, Any]) -> None:
        *outer, last = path.split(".")
        for name in outer:
            body = body[int(name)] if isinstance(body, list) else body[name]
        body[last] = value

    return change


def _drop(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda body: body.pop(name)


_TREES = "models.solar_generation_xgboost"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_set("v", 2), "v: schema version 2"),
        (_drop("release"), "release: is missing"),
        (_set("release", -1), "release: must be a whole number"),
        (_set("release", True), "release: must be a whole number"),
        (_set("release", 1.5), "release: must be a whole number"),
        (_set("surprise", 1), "surprise: is not part of"),
        (_set("features.surprise", 1), "features.surprise: is not part of"),
        (_set("features.digest", "abc"), "features: digest: must be 64"),
        (_set("bundle_id", "../up"), "bundle_id: "),
        (_set("created_at", "yesterday"), "created_at: "),
        (_set("min_agent_version", "1"), "min_agent_version: must be like 0.1.0"),
        (_set("hardware", "any"), "hardware: must be a list"),
        (_set("hardware", []), "hardware: is empty"),
        (_set("weather_mode", "guessed"), "weather_mode: must be one of"),
        (_set("training.end", "2020-01-01T00:00:00Z"), "training: end: must lie after"),
        (_set("models", {}), "models: is empty"),
        (_set(f"{_TREES}.kind", "exe"), f"{_TREES}.kind: must be one of"),
        (_set(f"{_TREES}.quantity", "joy"), f"{_TREES}: "),
        (_set(f"{_TREES}.levels", [0.5, 0.1]), f"{_TREES}: levels: must ascend"),
        (_set(f"{_TREES}.levels", [0.5]), f"{_TREES}: files.aarch64: 1 libraries"),
        (_set(f"{_TREES}.files.mips", []), f"{_TREES}: files: must be given for"),
        (_set(f"{_TREES}.files.x86_64", {}), f"{_TREES}.files.x86_64: must be a list"),
        (_set(f"{_TREES}.files.x86_64", [1]), f"{_TREES}.files.x86_64[0]: must be an object"),
        (_set("golden.tolerance", 0), "golden: tolerance: must be above 0"),
        (_set("golden.path", "/etc/passwd"), "golden: path: "),
        (_set("golden.path", "a/../b"), "golden: path: "),
        (_set("golden.path", "manifest.json"), "golden: path: "),
        (_set("golden.path", "lstm.tflite"), "models: lstm.tflite is named twice"),
        (_set("golden.path", "trees"), "models: trees is both a file and a directory"),
        (_set("golden.size", 0), "golden: size: "),
        (_set("golden.size", 10**9), "golden: size: "),
        (_set("shares", {"other": [0.5]}), "shares: other is not among the models"),
        (_set("shares.solar_generation_lstm", [0.5]), "shares.solar_generation_lstm: 192 weights"),
        (
            _set("shares.solar_generation_lstm", [2.0] * HORIZON_STEPS),
            "shares.solar_generation_lstm: a weight",
        ),
        (
            _set(
                "shares",
                {
                    name: [0.6] * HORIZON_STEPS
                    for name in ("solar_generation_lstm", "solar_generation_xgboost")
                },
            ),
            "shares: the weights of a step are more than 1 together",
        ),
        (_set("initial_offsets", [[0.1]]), "initial_offsets: must be a list of lists of 7"),
        (_set("initial_offsets", [["wide"] * 7]), "initial_offsets"),
        (_set("metrics.skill", "good"), "metrics.skill: must be a number"),
        (_set("runtime_versions.gcc", 12), "runtime_versions.gcc: must be a text"),
    ],
)
def test_what_is_wrong_is_named(change: Callable[[dict[str, Any]], None], named: str) -> None:
    body = json.loads(encode_manifest(GOOD))
    change(body)
    with pytest.raises(PayloadError) as caught:
        decode_manifest(json.dumps(body).encode())
    assert str(caught.value).startswith(named)


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"v":1,"v":1}', b'{"v":NaN}', b"{" * 99])
def test_no_manifest_at_all(data: bytes) -> None:
    with pytest.raises(PayloadError):
        decode_manifest(data)


def test_budget_per_cpu_is_kept() -> None:
    share = MAX_BYTES_PER_CPU // len(LEVELS)
    with pytest.raises(ContractError, match="bytes for x86_64; the budget is 10000000"):
        replace(GOOD, models={"trees": trees("x86_64", size=share + 1)}, shares={})


def test_bundle_serves_the_cpus_that_all_its_models_were_built_for() -> None:
    half = replace(GOOD, models={"trees": trees("x86_64"), "lstm": LSTM}, shares={})
    assert half.cpus == ("x86_64",)
    assert GOOD.cpus == CPUS
    with pytest.raises(ContractError, match="no CPU has files of every model"):
        replace(GOOD, models={"a": trees("x86_64"), "b": trees("aarch64")}, shares={})


def test_identifier_names_day_and_release() -> None:
    assert bundle_id(DAY, 7) == "2026-11-23-r7"


def test_good_bundle_of_the_tests_is_a_manifest(good_bundle: tuple[Path, Manifest]) -> None:
    directory, manifest = good_bundle
    assert decode_manifest((directory / "manifest.json").read_bytes()) == manifest
