"""A small network over the same rows as the trees, run in NumPy: no interpreter, no conversion.

Decides the form of the file and the arithmetic. A file holds one or more members of equal shape,
whose answers are averaged. Each member: standardise (missing values become the mean, and a second
set of inputs says which were missing), dense layers with SiLU between them, one output per level.
Leaves to others: training (`central.training.feature_net`), what the columns mean, sorting.

    net = FeatureNet.load(path, feature_count=122, levels=LEVELS)
    quantiles = net.predict(rows)           # (192, 122) -> (192, 7)
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.runtimes.base import FloatArray, RuntimeInputError, RuntimeLoadError, as_float32
from models.runtimes.seal import seal, unseal

FORMAT = 1
LIMIT = 5.0
"""Standardised inputs are cut to this many deviations: nothing is extrapolated far."""


def encode_net(
    mean: npt.ArrayLike,
    scale: npt.ArrayLike,
    layers: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]],
    levels: Sequence[float],
) -> bytes:
    """Sealed content of a file.

    Args:
        mean, scale: of each column, shape (features,); scale above 0
        layers: weights (members, inputs, outputs) and biases (members, outputs), first to last;
            the first layer has 2 * features inputs, values before flags of what is missing
        levels: one per output of the last layer
    """
    arrays: dict[str, npt.NDArray[Any]] = {
        "format": np.array([FORMAT], dtype=np.float32),
        "mean": np.asarray(mean, dtype=np.float32),
        "scale": np.asarray(scale, dtype=np.float32),
        "levels": np.asarray(levels, dtype=np.float64),
    }
    for number, (weights, bias) in enumerate(layers):
        arrays[f"weights_{number}"] = np.asarray(weights, dtype=np.float32)
        arrays[f"bias_{number}"] = np.asarray(bias, dtype=np.float32)
    file = io.BytesIO()
    np.savez(file, **arrays)
    return seal(file.getvalue())


class FeatureNet:
    """A loaded network. Safe to share between threads."""

    def __init__(
        self, arrays: Mapping[str, npt.NDArray[Any]], path: Path | str = "feature net"
    ) -> None:
        """Check shapes. Raises ``RuntimeLoadError`` naming what does not fit."""
        self.path = Path(path)
        try:
            if int(arrays["format"][0]) != FORMAT:
                raise RuntimeLoadError(self.path, f"form {arrays['format'][0]:g} is not known here")
            self._mean, self._scale = arrays["mean"], arrays["scale"]
            self.levels = tuple(float(level) for level in arrays["levels"])
            count = sum(name.startswith("weights_") for name in arrays)
            self._layers = [(arrays[f"weights_{k}"], arrays[f"bias_{k}"]) for k in range(count)]
        except KeyError as error:
            raise RuntimeLoadError(self.path, f"lacks the array {error}") from None
        self.feature_count = len(self._mean)
        self._check()

    @classmethod
    def load(
        cls,
        path: Path,
        feature_count: int | None = None,
        levels: Sequence[float] | None = None,
    ) -> FeatureNet:
        """Load a sealed file.

        Raises:
            RuntimeLoadError: unreadable, damaged, or made for other columns or levels.
        """
        try:
            content = unseal(path.read_bytes(), path)
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                net = cls({name: file[name] for name in file.files}, path)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise RuntimeLoadError(path, str(error)) from error
        if feature_count is not None and net.feature_count != feature_count:
            raise RuntimeLoadError(path, f"reads {net.feature_count} columns, not {feature_count}")
        if levels is not None and net.levels != tuple(levels):
            raise RuntimeLoadError(path, f"has the levels {net.levels}, not {tuple(levels)}")
        return net

    def predict(self, inputs: FloatArray) -> FloatArray:
        """Rows (n, feature_count), NaN = missing, to (n, levels), unsorted.

        Raises:
            RuntimeInputError: wrong shape or type.
        """
        rows = as_float32(inputs, "feature net")
        if rows.ndim != 2 or rows.shape[1] != self.feature_count:
            raise RuntimeInputError(
                f"feature net: rows of {self.feature_count} columns wanted, got {rows.shape}"
            )
        values = (rows - self._mean) / self._scale
        missing = np.isnan(values)
        values = np.clip(np.where(missing, np.float32(0.0), values), -LIMIT, LIMIT)
        signal = np.concatenate([values, missing.astype(np.float32)], axis=1)
        signal = np.broadcast_to(signal, (len(self._layers[0][0]), *signal.shape))
        for number, (weights, bias) in enumerate(self._layers):
            signal = signal @ weights + bias[:, None, :]
            if number < len(self._layers) - 1:
                signal = signal / (1.0 + np.exp(-signal))
        return np.asarray(signal.mean(axis=0), dtype=np.float32)

    def _check(self) -> None:
        if not self._layers:
            raise RuntimeLoadError(self.path, "holds no layer")
        inputs, members = 2 * self.feature_count, len(self._layers[0][0])
        for number, (weights, bias) in enumerate(self._layers):
            outputs = bias.shape[-1]
            if weights.shape != (members, inputs, outputs) or bias.shape != (members, outputs):
                raise RuntimeLoadError(
                    self.path, f"layer {number} has the shapes {weights.shape} and {bias.shape}"
                )
            inputs = outputs
        if inputs != len(self.levels) or self._scale.shape != self._mean.shape:
            raise RuntimeLoadError(self.path, f"{inputs} outputs for {len(self.levels)} levels")
        arrays = [self._mean, self._scale, *(a for layer in self._layers for a in layer)]
        if not all(np.isfinite(array).all() for array in arrays) or not (self._scale > 0).all():
            raise RuntimeLoadError(self.path, "holds numbers that are not finite, or a scale of 0")
