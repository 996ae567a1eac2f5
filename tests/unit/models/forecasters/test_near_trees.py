"""What the trees of the first hour say in a bundle, and what would let them speak elsewhere."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle.archive import describe_file, read_manifest
from models.bundle.manifest import ModelEntry, ModelKind
from models.bundle.names import GENERATION_NEAR
from models.contract.forecast import LEVELS
from models.contract.timestamps import HORIZON_STEPS
from models.features.build import FeatureArray
from models.features.spec import ANCHOR
from models.forecasters.blend import LEAD_EDGES, NEAR_STEPS, combine, with_near
from models.forecasters.bundle import BundleForecaster
from models.runtimes.base import RuntimeLoadError
from tests.bundles import CPU, Bundles, build_library

FIRST_HOUR = tuple(0.25 if step < NEAR_STEPS else 0.0 for step in range(HORIZON_STEPS))
NOTHING = (0.0,) * HORIZON_STEPS


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trees that say something else than those of the good bundle: 0.2 to 0.38 above the anchor."""
    directory = tmp_path_factory.mktemp("near-libraries")
    for level in LEVELS:
        build_library(directory, f"n{round(level * 1000):03d}", f"{0.2 * (level + 0.95):.4f}f")
    return directory


@pytest.fixture
def golden(good_bundle: tuple[Path, object]) -> tuple[FeatureArray, FeatureArray]:
    with np.load(good_bundle[0] / "golden.npz") as arrays:
        return arrays["features"][0], arrays["windows"][0]


def with_entry(
    bundles: Bundles,
    libraries: Path,
    shares: tuple[float, ...],
    **changes: object,
) -> Path:
    def add(directory: Path) -> None:
        shutil.copytree(libraries, directory / "near", ignore=shutil.ignore_patterns("*.c"))

    files = tuple(
        replace(describe_file(libraries, path.name), path=f"near/{path.name}")
        for path in sorted(libraries.glob("*.so"))
    )
    entry = ModelEntry("ac_power", ModelKind.QUANTILE_TREES, LEVELS, {CPU: files})
    models = {**bundles.manifest.models, GENERATION_NEAR: replace(entry, **changes)}  # type: ignore[arg-type]
    return bundles.make(add, models=models, shares={GENERATION_NEAR: shares})


def test_the_first_hour_ends_where_shares_may_change() -> None:
    assert NEAR_STEPS in LEAD_EDGES


def test_they_speak_in_the_first_hour_and_nowhere_else(
    bundles: Bundles, libraries: Path, golden: tuple[FeatureArray, FeatureArray]
) -> None:
    features, window = golden
    plain = BundleForecaster.load(bundles.make()).predict_normalised(features, window)
    both = BundleForecaster.load(with_entry(bundles, libraries, FIRST_HOUR))
    found = both.predict_normalised(features, window)
    np.testing.assert_array_equal(found[:, NEAR_STEPS:], plain[:, NEAR_STEPS:])
    soon = features[:NEAR_STEPS]
    change = 0.2 * (np.array(LEVELS) + 0.95)
    trees = 0.1 * soon[:, :1] + np.array(LEVELS) - 0.5
    expected = soon[:, ANCHOR, None] + 0.25 * change + 0.75 * trees
    np.testing.assert_allclose(found[:, :NEAR_STEPS].T, np.clip(expected, 0, None), atol=1e-4)


def test_without_a_share_they_are_not_even_read(
    bundles: Bundles, libraries: Path, golden: tuple[FeatureArray, FeatureArray]
) -> None:
    directory = with_entry(bundles, libraries, NOTHING)
    for file in (directory / "near").iterdir():
        file.write_bytes(b"no library")
    found = BundleForecaster.load(directory).predict_normalised(*golden)
    plain = BundleForecaster.load(bundles.make()).predict_normalised(*golden)
    np.testing.assert_array_equal(found, plain)


@pytest.mark.parametrize("step", [NEAR_STEPS, HORIZON_STEPS - 1])
def test_a_share_after_the_first_hour_is_refused(
    bundles: Bundles, libraries: Path, step: int
) -> None:
    shares = (*FIRST_HOUR[:step], 0.1, *FIRST_HOUR[step + 1 :])
    with pytest.raises(RuntimeLoadError, match=f"{GENERATION_NEAR} has a share beyond its first 4"):
        BundleForecaster.load(with_entry(bundles, libraries, shares))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"levels": tuple(level + 0.01 for level in LEVELS)}, "has not the levels"),
        ({"kind": ModelKind.PROBABILITY_TREES}, "is no tree model of quantiles"),
    ],
)
def test_other_levels_and_kinds_are_refused(
    bundles: Bundles, libraries: Path, changes: dict[str, object], complaint: str
) -> None:
    directory = with_entry(bundles, libraries, FIRST_HOUR, **changes)
    with pytest.raises(RuntimeLoadError, match=f"{GENERATION_NEAR} {complaint}"):
        BundleForecaster.load(directory)


def test_a_bundle_with_them_alone_has_no_trees(bundles: Bundles, libraries: Path) -> None:
    directory = with_entry(bundles, libraries, FIRST_HOUR)
    alone = Bundles(directory.parent / "alone", directory, bundles.manifest)
    models = {GENERATION_NEAR: read_manifest(directory).models[GENERATION_NEAR]}
    made = alone.make(models=models, shares={GENERATION_NEAR: FIRST_HOUR})
    with pytest.raises(RuntimeLoadError, match="holds no trees for ac_power"):
        BundleForecaster.load(made)


def test_as_an_expert_they_say_after_the_first_hour_what_the_trees_say() -> None:
    trees = np.random.default_rng(1).uniform(0.2, 1.0, (3, HORIZON_STEPS, len(LEVELS)))
    near = np.full((3, NEAR_STEPS, len(LEVELS)), 0.5)
    index = with_near(trees, near)
    np.testing.assert_array_equal(index[:, NEAR_STEPS:], trees[:, NEAR_STEPS:])
    assert (index[:, :NEAR_STEPS] == 0.5).all()
    assert not (trees[:, :NEAR_STEPS] == 0.5).any()  # a copy
    half = combine(trees, [index], [np.full(HORIZON_STEPS, 0.5)])
    np.testing.assert_allclose(half[:, NEAR_STEPS:], np.sort(trees[:, NEAR_STEPS:], axis=-1))
