"""Training of the small network that reads the trees' rows: quantiles of all levels at once.

Decides how it learns: pinball loss over all levels weighted like the trees' rows, dropout on the
inputs so that no single column is leant on, a step size that fades along a cosine, several members
from different seeds. In NumPy like its arithmetic on the box: on such layers it is faster than a
framework is to start, and gives the same numbers with the same seed. It leaves to others what the
columns mean and how the file is read (``models.runtimes.feature_net``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from models.contract.forecast import LEVELS
from models.runtimes.feature_net import LIMIT, encode_net

from .dataset import Rows

Array = npt.NDArray[np.float32]
_SMOOTH = 0.05
"""The corner of the loss is rounded over this share of the target's spread."""


@dataclass(frozen=True)
class NetSettings:
    """Size of the network and pace of its learning."""

    hidden: tuple[int, ...] = (64, 32)
    epochs: int = 20
    batch: int = 256
    learning_rate: float = 3e-3
    decay: float = 0.03
    """Of weights per step, times the learning rate (AdamW)."""
    dropout: float = 0.2
    """Share of the inputs set to their mean in each example."""
    members: int = 3
    seed: int = 1


@dataclass(frozen=True, eq=False)
class TrainedNet:
    """Members of equal shape; ``predict`` gives their mean, as the box computes it."""

    mean: Array
    scale: Array
    layers: list[tuple[Array, Array]]
    levels: tuple[float, ...]

    def predict(self, features: npt.NDArray[np.floating[Any]]) -> Array:
        """Change from the anchor at each level for rows (n, F): (n, levels), unsorted."""
        inputs = _inputs(np.asarray(features, np.float32), self.mean, self.scale)
        members = len(self.layers[0][0])
        answers = [
            _forward(inputs, [(w[k], b[k]) for w, b in self.layers])[-1] for k in range(members)
        ]
        return np.asarray(np.mean(answers, axis=0), dtype=np.float32)

    def to_bytes(self) -> bytes:
        """The sealed file that ``FeatureNet.load`` reads."""
        return encode_net(self.mean, self.scale, self.layers, self.levels)


def fit_feature_net(
    train: Rows,
    stop: Rows | None,
    settings: NetSettings,
    progress: Callable[[str], None] = lambda text: None,
    *,
    levels: Sequence[float] = LEVELS,
) -> TrainedNet:
    """Learn the quantiles of ``train.target``.

    Args:
        train: rows; NaN in features is missing, rows without weight teach nothing
        stop: each member keeps its state at the epoch that did best on these rows; without them
            it keeps the last, which the fading step size makes a good one
        settings, levels: what to learn
        progress: told the loss of each member
    """
    mean, scale = _standard(train.features)
    inputs = _inputs(train.features, mean, scale)
    live = np.flatnonzero(np.ptp(inputs, axis=0) > 0)  # the rest carries nothing, and costs time
    data = _Examples.of(train, np.ascontiguousarray(inputs[:, live]))
    judge = None
    if stop is not None and len(stop):
        judge = _Examples.of(stop, _inputs(stop.features, mean, scale)[:, live])
    wanted = np.asarray(levels, dtype=np.float32)
    members = []
    for number in range(settings.members):
        layers, loss = _fit_member(data, judge, settings, wanted, settings.seed * 1000 + number)
        progress(f"net member {number}: loss {loss:.5f}")
        first = np.zeros((inputs.shape[1], layers[0][0].shape[1]), dtype=np.float32)
        first[live] = layers[0][0]
        members.append([(first, layers[0][1]), *layers[1:]])
    stacked = [
        (np.stack([m[k][0] for m in members]), np.stack([m[k][1] for m in members]))
        for k in range(len(members[0]))
    ]
    return TrainedNet(mean, scale, stacked, tuple(float(level) for level in levels))


@dataclass(frozen=True, eq=False)
class _Examples:
    inputs: Array
    target: Array
    weight: Array

    @classmethod
    def of(cls, rows: Rows, inputs: Array) -> _Examples:
        weight = rows.weight / max(float(np.mean(rows.weight)), 1e-12)
        return cls(inputs, rows.target.astype(np.float32), weight.astype(np.float32))


def _standard(features: npt.NDArray[np.float32]) -> tuple[Array, Array]:
    """Mean and deviation of each column over what is known; 0 and 1 where nothing is."""
    known = np.isfinite(features)
    count = np.maximum(known.sum(axis=0), 1)
    values = np.where(known, features, 0.0).astype(np.float64)
    mean = values.sum(axis=0) / count
    spread = np.sqrt(np.where(known, (values - mean) ** 2, 0.0).sum(axis=0) / count)
    scale = np.where(spread > 1e-6 * (1.0 + np.abs(mean)), spread, 1.0)
    return mean.astype(np.float32), scale.astype(np.float32)


def _inputs(features: npt.NDArray[np.float32], mean: Array, scale: Array) -> Array:
    """Standardised values, then flags of what was missing, as the box makes them."""
    values = (features - mean) / scale
    missing = np.isnan(values)
    values = np.clip(np.where(missing, np.float32(0.0), values), -LIMIT, LIMIT)
    return np.concatenate([values, missing.astype(np.float32)], axis=1)


def _fit_member(
    data: _Examples, judge: _Examples | None, settings: NetSettings, levels: Array, seed: int
) -> tuple[list[tuple[Array, Array]], float]:
    random = np.random.default_rng(seed)
    layers = _beginning(data, settings, levels, random)
    smooth = _SMOOTH * max(float(np.std(data.target)), 1e-6)
    batch = max(1, min(settings.batch, len(data.target)))
    count = len(data.target) // batch
    adam = _Adam([part for layer in layers for part in layer], settings, settings.epochs * count)
    best, best_loss = layers, np.inf
    for _ in range(settings.epochs):
        order = random.permutation(len(data.target))
        for first in range(0, count * batch, batch):
            chosen = order[first : first + batch]
            signal = data.inputs[chosen]
            keep = random.random(signal.shape, dtype=np.float32) >= settings.dropout
            signal = signal * keep / np.float32(1.0 - settings.dropout)
            adam.step(
                _gradients(signal, data.target[chosen], data.weight[chosen], layers, levels, smooth)
            )
        if judge is not None and (loss := _loss(judge, layers, levels)) < best_loss:
            best, best_loss = [(w.copy(), b.copy()) for w, b in layers], loss
    return (layers, _loss(data, layers, levels)) if judge is None else (best, best_loss)


def _beginning(
    data: _Examples, settings: NetSettings, levels: Array, random: np.random.Generator
) -> list[tuple[Array, Array]]:
    """Random layers whose answer is, for every row, nearly the quantiles of all targets."""
    sizes = [data.inputs.shape[1], *settings.hidden, len(levels)]
    layers = []
    for number, (inputs, outputs) in enumerate(pairwise(sizes)):
        last = number == len(sizes) - 2
        spread = np.sqrt((0.1 if last else 2.0) / inputs)
        weights = (random.normal(size=(inputs, outputs)) * spread).astype(np.float32)
        layers.append((weights, np.zeros(outputs, dtype=np.float32)))
    layers[-1][1][:] = np.quantile(data.target, levels)
    return layers


def _forward(inputs: Array, layers: list[tuple[Array, Array]]) -> list[Array]:
    """Sums of every layer; SiLU stands between them."""
    sums, signal = [], inputs
    for number, (weights, bias) in enumerate(layers):
        signal = signal @ weights + bias
        sums.append(signal)
        if number < len(layers) - 1:
            signal = signal * _sigmoid(signal)
    return sums


def _gradients(
    inputs: Array,
    target: Array,
    weight: Array,
    layers: list[tuple[Array, Array]],
    levels: Array,
    smooth: float,
) -> list[Array]:
    """Of the mean loss: weights and bias of the first layer, then of the next ..."""
    sums = _forward(inputs, layers)
    above = (target[:, None] - sums[-1]) / np.float32(smooth)
    slope = np.clip(np.float32(0.5) - above, 0.0, 1.0) - levels
    slope *= (weight / (len(target) * len(levels)))[:, None]
    result: list[Array] = []
    for number in range(len(layers) - 1, -1, -1):
        signal = inputs if number == 0 else sums[number - 1] * _sigmoid(sums[number - 1])
        result = [signal.T @ slope, slope.sum(axis=0), *result]
        if number:
            before = sums[number - 1]
            gate = _sigmoid(before)
            slope = (slope @ layers[number][0].T) * (gate * (1.0 + before * (1.0 - gate)))
    return result


def _sigmoid(values: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -60.0, 60.0))), dtype=np.float32)


def _loss(data: _Examples, layers: list[tuple[Array, Array]], levels: Array) -> float:
    above = data.target[:, None] - _forward(data.inputs, layers)[-1]
    pinball = np.maximum(levels * above, (levels - 1.0) * above).mean(axis=1)
    return float(np.average(pinball, weights=data.weight))


class _Adam:
    """AdamW: short warming up, then a cosine down to nothing."""

    def __init__(self, parts: list[Array], settings: NetSettings, steps: int) -> None:
        self._parts, self._settings, self._steps, self._done = parts, settings, max(steps, 1), 0
        self._mean = [np.zeros_like(part) for part in parts]
        self._square = [np.zeros_like(part) for part in parts]

    def step(self, gradients: list[Array]) -> None:
        """Move the parts, in place."""
        self._done += 1
        share = self._done / self._steps
        pace = min(share / 0.05, 0.5 * (1.0 + np.cos(np.pi * share)))
        rate = np.float32(self._settings.learning_rate * pace)
        first, second = 1.0 - 0.9**self._done, 1.0 - 0.999**self._done
        for part, mean, square, gradient in zip(
            self._parts, self._mean, self._square, gradients, strict=True
        ):
            mean[...] += np.float32(0.1) * (gradient - mean)
            square[...] += np.float32(0.001) * (gradient * gradient - square)
            change = (mean / np.float32(first)) / (np.sqrt(square / np.float32(second)) + 1e-8)
            if part.ndim == 2:
                change = change + np.float32(self._settings.decay) * part
            part[...] -= rate * change
