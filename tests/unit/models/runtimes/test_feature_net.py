"""The network on the box: its arithmetic, and what it refuses."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from models.runtimes.base import RuntimeInputError, RuntimeLoadError
from models.runtimes.feature_net import FeatureNet, encode_net
from models.runtimes.seal import seal

FEATURES, LEVELS, MEMBERS = 5, (0.1, 0.5, 0.9), 2


def layers(random: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Two hidden layers of two members."""
    sizes = [2 * FEATURES, 8, 4, len(LEVELS)]
    return [
        (random.normal(size=(MEMBERS, a, b)), random.normal(size=(MEMBERS, b)))
        for a, b in pairwise(sizes)
    ]


@pytest.fixture
def content() -> bytes:
    """A sound file."""
    random = np.random.default_rng(1)
    return encode_net(np.arange(5.0), np.arange(1.0, 6.0), layers(random), LEVELS)


def by_hand(row: np.ndarray) -> np.ndarray:
    """The same for one row, in plain loops."""
    standard = [
        0.0 if np.isnan(v) else np.clip((v - k) / (k + 1), -5, 5) for k, v in enumerate(row)
    ]
    inputs = np.array([*standard, *np.isnan(row).astype(float)])
    answers = []
    for member in range(MEMBERS):
        signal = inputs
        parts = layers(np.random.default_rng(1))
        for number, (weights, bias) in enumerate(parts):
            signal = weights[member].T @ signal + bias[member]
            if number < 2:
                signal = signal / (1 + np.exp(-signal))
        answers.append(signal)
    return np.mean(answers, axis=0)


def test_answers_are_those_of_the_formula(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.npz").write_bytes(content)
    net = FeatureNet.load(tmp_path / "net.npz", FEATURES, LEVELS)
    rows = np.random.default_rng(2).normal(2, 3, size=(7, FEATURES)).astype(np.float32)
    rows[1, 2] = np.nan
    rows[2] = np.nan
    rows[3, 0] = 1e6
    answers = net.predict(rows)
    assert answers.shape == (7, 3)
    for row, answer in zip(rows, answers, strict=True):
        np.testing.assert_allclose(answer, by_hand(row), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("features", "levels"), [(6, LEVELS), (FEATURES, (0.1, 0.5))])
def test_a_file_for_other_columns_or_levels_is_refused(
    tmp_path: Path, content: bytes, features: int, levels: tuple[float, ...]
) -> None:
    (tmp_path / "net.npz").write_bytes(content)
    with pytest.raises(RuntimeLoadError, match="not"):
        FeatureNet.load(tmp_path / "net.npz", features, levels)


def test_damage_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "net.npz"
    for damaged in (b"", content[:-1], content[:200] + b"x" + content[201:], seal(b"no archive")):
        file.write_bytes(damaged)
        with pytest.raises(RuntimeLoadError):
            FeatureNet.load(file)
    with pytest.raises(RuntimeLoadError):
        FeatureNet.load(tmp_path / "missing.npz")


def test_shapes_and_numbers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    sound = layers(np.random.default_rng(1))
    mean, scale = np.zeros(5), np.ones(5)
    wrong = [
        encode_net(mean, scale, sound[1:], LEVELS),
        encode_net(mean, scale, sound, (0.5,)),
        encode_net(mean, np.zeros(5), sound, LEVELS),
        encode_net(mean * np.nan, scale, sound, LEVELS),
        encode_net(mean, scale, [], LEVELS),
    ]
    for number, damaged in enumerate(wrong):
        file = tmp_path / f"{number}.npz"
        file.write_bytes(damaged)
        with pytest.raises(RuntimeLoadError):
            FeatureNet.load(file)


def test_rows_of_another_shape_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.npz").write_bytes(content)
    net = FeatureNet.load(tmp_path / "net.npz")
    with pytest.raises(RuntimeInputError):
        net.predict(np.zeros((3, FEATURES + 1), dtype=np.float32))
