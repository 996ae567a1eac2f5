"""What every model runtime promises, and how it fails.

Decides: shapes and types at the border (`float32`, first axis = batch), the error tree.
Leaves to others: what the columns mean (`models.features`), where the files come from
(`models.bundle`), sorting and clamping of quantiles (the forecaster).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


class ModelRuntimeError(Exception):
    """Base of all errors of this package."""


class RuntimeLoadError(ModelRuntimeError):
    """A model file cannot be used here. The message names the file, the reason and the remedy."""

    def __init__(self, source: object, reason: str) -> None:
        super().__init__(f"cannot load model {source}: {reason}")
        self.source = str(source)
        self.reason = reason


class RuntimeInputError(ModelRuntimeError, ValueError):
    """The array handed to `predict` does not fit the model; the model itself is sound."""


class Runtime(Protocol):
    """A loaded model."""

    def predict(self, inputs: FloatArray) -> FloatArray:
        """Evaluate a batch.

        Args:
            inputs: shape (n, ...), one sample per entry of the first axis.

        Returns:
            `float32`, shape (n, ...), in the order of `inputs`.

        Raises:
            RuntimeInputError: shape or type do not fit the model.
        """
        ...


def as_float32(inputs: npt.ArrayLike, model: object) -> FloatArray:
    """`inputs` as a contiguous `float32` array; converts only when it has to.

    Args:
        inputs: any real numeric array; strided views and `float64` are copied.
        model: named in the error.

    Raises:
        RuntimeInputError: not a real numeric array with at least one axis.
    """
    array = np.asarray(inputs)
    if array.ndim == 0 or array.dtype.kind not in "fiub":
        raise RuntimeInputError(
            f"{model}: expected an array of real numbers with one sample per row, "
            f"got dtype {array.dtype} and shape {array.shape}"
        )
    with np.errstate(over="ignore"):  # float64 beyond the float32 range becomes infinity
        return np.ascontiguousarray(array, dtype=np.float32)
