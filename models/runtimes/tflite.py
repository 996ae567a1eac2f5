"""int8 (or float) TFLite models with one input and one output, evaluated window by window.

Decides: which interpreter is used, quantised in- and outputs, state reset, input checks.
Leaves to others: how a model is made (`central.training.convert_lstm`), normalisation of inputs.

Four traps are closed here:
- A fused LSTM keeps its state between calls: variables are reset before every window.
- tflite-runtime 2.14 imports under NumPy 2 and dies at the first call: it is not even tried there,
  and loading runs one inference on zeros.
- A damaged model crashes the process: only sealed models are accepted (`seal`).
- tflite-runtime breaks (`vector::reserve`, sometimes SIGSEGV) when tensorflow was imported first
  in the same process, as a trainer does: then tensorflow's own interpreter is used.

    model = TfliteRuntime(path)
    quantiles = model.predict(windows)      # (n, 96 steps, 12 channels) -> (n, 168)
"""

from __future__ import annotations

import importlib
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.runtimes.base import FloatArray, RuntimeInputError, RuntimeLoadError, as_float32
from models.runtimes.seal import unseal


@dataclass(frozen=True)
class _Tensor:
    """The in- or output: shape without the batch axis; `real = (stored - zero_point) * scale`."""

    index: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float
    zero_point: int

    def stored(self, values: FloatArray) -> Any:
        """Real numbers in the form the model stores; out-of-range values saturate."""
        if self.dtype.kind == "f":
            return values.astype(self.dtype, copy=False)
        limits = np.iinfo(self.dtype)
        steps = np.rint(values / np.float32(self.scale)) + self.zero_point
        return np.clip(steps, limits.min, limits.max).astype(self.dtype)

    def real(self, values: Any) -> FloatArray:
        """Stored numbers as real ones."""
        if self.dtype.kind == "f":
            return np.asarray(values, dtype=np.float32)
        shifted = values.astype(np.float32) - np.float32(self.zero_point)
        return np.asarray(shifted * np.float32(self.scale), dtype=np.float32)


class TfliteRuntime:
    """One TFLite model, single-threaded. Calls from several threads are serialised."""

    def __init__(self, model: Path | bytes) -> None:
        """Load and try the model.

        Args:
            model: path of a sealed model file, or its bytes.

        Raises:
            RuntimeLoadError: unreadable or damaged, no interpreter for this Python and NumPy,
                an operation the interpreter does not know, batch size other than 1, more than one
                input or output, or a failing trial run.
        """
        if isinstance(model, bytes):
            self.source = f"<{len(model)} bytes>"
            data = model
        else:
            self.source = str(model)
            try:
                data = model.read_bytes()
            except OSError as error:
                raise RuntimeLoadError(model, error.strerror or str(error)) from error
        content = unseal(data, self.source)
        self._lock = threading.Lock()
        self.interpreter_name, make_interpreter = _interpreter_factory(self.source)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # tensorflow announces that its interpreter moves
                self._interpreter = make_interpreter(model_content=content)
            self._interpreter.allocate_tensors()
        except Exception as error:  # each interpreter has its own idea of exceptions
            raise RuntimeLoadError(
                self.source, f"{self.interpreter_name} refused it: {error}"
            ) from error
        self._input = self._only_tensor("input", self._interpreter.get_input_details())
        self._output = self._only_tensor("output", self._interpreter.get_output_details())
        self._try_out()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one window, such as (96 steps, 12 channels)."""
        return self._input.shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the answer to one window."""
        return self._output.shape

    def predict(self, inputs: FloatArray) -> FloatArray:
        """Evaluate windows one by one, each from a fresh state.

        Args:
            inputs: shape (n, *input_shape), finite numbers only. What lies outside the range seen
                in calibration saturates.

        Returns:
            shape (n, *output_shape).

        Raises:
            RuntimeInputError: wrong shape or type, NaN or infinity.
        """
        windows = as_float32(inputs, self.source)
        if windows.shape[1:] != self._input.shape:
            expected = ", ".join(str(size) for size in self._input.shape)
            raise RuntimeInputError(
                f"{self.source}: expected shape (n, {expected}), got {windows.shape}"
            )
        bad = windows.size - int(np.count_nonzero(np.isfinite(windows)))
        if bad:
            raise RuntimeInputError(
                f"{self.source}: {bad} of {windows.size} input values are NaN or infinite; "
                "fill gaps before the LSTM, it has no notion of a missing value"
            )
        out = np.empty((windows.shape[0], *self._output.shape), dtype=np.float32)
        with self._lock:
            for number, window in enumerate(windows):
                out[number] = self._answer(window)
        return out

    def _answer(self, window: FloatArray) -> FloatArray:
        self._interpreter.reset_all_variables()  # else the last window leaks into this one
        self._interpreter.set_tensor(self._input.index, self._input.stored(window[np.newaxis]))
        self._interpreter.invoke()
        return self._output.real(self._interpreter.get_tensor(self._output.index)[0])

    def _only_tensor(self, role: str, found: list[dict[str, Any]]) -> _Tensor:
        if len(found) != 1:
            raise RuntimeLoadError(self.source, f"expected one {role}, it has {len(found)}")
        details = found[0]
        shape = tuple(int(size) for size in details["shape"])
        if not shape or shape[0] != 1:
            raise RuntimeLoadError(
                self.source, f"its {role} has shape {shape}; it must take one window at a time"
            )
        scale, zero_point = details["quantization"]
        dtype = np.dtype(details["dtype"])
        if dtype.kind not in "fi" or (dtype.kind == "i" and not scale > 0):
            raise RuntimeLoadError(self.source, f"its {role} has type {dtype} with scale {scale}")
        return _Tensor(int(details["index"]), shape[1:], dtype, float(scale), int(zero_point))

    def _try_out(self) -> None:
        try:
            answer = self._answer(np.zeros(self._input.shape, dtype=np.float32))
        except Exception as error:
            raise RuntimeLoadError(
                self.source, f"trial run with {self.interpreter_name} failed: {error}"
            ) from error
        if not np.isfinite(answer).all():
            raise RuntimeLoadError(self.source, "trial run on zeros gave NaN or infinity")


def _interpreter_factory(source: str) -> tuple[str, Callable[..., Any]]:
    """Name and constructor of the interpreter for this process.

    One thread, and no XNNPACK delegate: with it the two packages round differently (by one step of
    the int8 output), without it their answers agree, and an LSTM is no slower (measured).
    """
    loaded = sys.modules.get("tflite_runtime.interpreter")
    if loaded is None and "tensorflow" in sys.modules:
        lite = sys.modules["tensorflow"].lite
        return "tensorflow", _plain(lite.Interpreter, lite.experimental.OpResolverType)
    numpy_major = int(np.__version__.split(".")[0])
    candidates = ["ai_edge_litert"] if numpy_major >= 2 else ["tflite_runtime", "ai_edge_litert"]
    reasons = []
    for package in candidates:
        try:
            module = importlib.import_module(f"{package}.interpreter")
        except ImportError as error:
            reasons.append(f"{package}: {error}")
        else:
            return package, _plain(module.Interpreter, module.OpResolverType)
    remedy = (
        "install ai-edge-litert (tflite-runtime 2.14 cannot run with NumPy 2)"
        if numpy_major >= 2
        else "install tflite-runtime (Python 3.11) or ai-edge-litert (3.12 and newer)"
    )
    raise RuntimeLoadError(
        source,
        f"no TFLite interpreter for Python {sys.version_info.major}.{sys.version_info.minor} "
        f"with NumPy {np.__version__} ({'; '.join(reasons)}); {remedy}",
    )


def _plain(interpreter_class: Any, resolver_types: Any) -> Callable[..., Any]:
    return partial(
        interpreter_class,
        num_threads=1,
        experimental_op_resolver_type=resolver_types.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
