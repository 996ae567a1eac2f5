"""Keras LSTM to a sealed int8 TFLite model that both edge interpreters load.

Decides: how the graph is frozen (batch 1, fused `UNIDIRECTIONAL_SEQUENCE_LSTM`, per-tensor
weights, `float32` in and out), and what a converted graph must look like. Leaves to others: the
architecture and its training (`lstm`), the comparison with the trained model (`lstm_parity`).

In- and outputs stay `float32`: the model quantises them itself. int8 ones gave the same error to
four digits and the same speed (measured: 32 units, 96 x 12 inputs; mean error 1.15 % of the
outputs' standard deviation, 1.7 ms), and would only add a scale to handle.

Two things the converter gets wrong without complaint, both refused here:
- a rolled-out `WHILE` loop instead of the fused kernel (Keras 3 layers);
- a fused LSTM whose output was given another scale than its state, which it is a copy of. A
  `Concatenate` behind the LSTM does that (answers wrong by 9 to 130 % of their standard
  deviation). Two `Dense` layers and an `Add` compute the same and convert well.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from central.training.errors import ConversionError
from central.training.keras2 import load_keras2
from central.training.native_output import native_output_to_log
from models.runtimes.base import FloatArray
from models.runtimes.seal import seal

CALIBRATION_WINDOWS = 300
_FUSED_LSTM = "UNIDIRECTIONAL_SEQUENCE_LSTM"
_OUTPUT_STATE_INPUT = 18  # kOutputStateTensor in tensorflow/lite/kernels/lstm_shared.h


def convert_lstm(model: Any, windows: FloatArray) -> bytes:
    """Convert a trained model.

    Args:
        model: `tf_keras.Model` (Keras 2) with one input (batch, steps, channels), one output and
            at least one LSTM layer.
        windows: real, normalised windows, shape (n, steps, channels), finite; they fix the int8
            ranges, so they must span the seasons and sites. At most `CALIBRATION_WINDOWS`, evenly
            spread, are used.

    Returns:
        sealed content of a `.tflite` file; `models.runtimes.tflite.TfliteRuntime` loads it.

    Raises:
        ConversionError: not a Keras 2 model of that shape, unfit windows, the converter failed, or
            the graph shows one of the faults above.
    """
    tf, tf_keras = load_keras2()
    if not isinstance(model, tf_keras.Model):
        raise ConversionError(
            f"expected a tf_keras.Model (Keras 2), got {type(model).__module__}."
            f"{type(model).__name__}: only Keras 2 LSTMs convert to the fused int8 kernel"
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ConversionError(
            f"the model must have one input and one output, it has {len(model.inputs)} "
            f"and {len(model.outputs)}"
        )
    shape = tuple(model.inputs[0].shape[1:])
    samples = _calibration_samples(windows, shape)
    function = tf.function(
        model, input_signature=[tf.TensorSpec((1, *shape), tf.float32, name="window")]
    )

    def representative() -> Iterator[dict[str, FloatArray]]:
        for sample in samples:
            yield {"window": sample[np.newaxis]}

    with native_output_to_log("tensorflow"):
        try:
            converter = tf.lite.TFLiteConverter.from_concrete_functions(
                [function.get_concrete_function()], model
            )
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = representative
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            # Else tflite-runtime 2.14 refuses FULLY_CONNECTED version 12.
            converter._experimental_disable_per_channel_quantization_for_dense_layers = True
            content: bytes = converter.convert()
        except Exception as error:  # the converter raises whatever its layers raise
            reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise ConversionError(f"TFLite conversion failed: {reason[0]}") from error
        _check_graph(tf, content)
    return seal(content)


def _calibration_samples(windows: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    if windows.ndim != len(shape) + 1 or windows.shape[1:] != shape or len(windows) == 0:
        raise ConversionError(
            f"representative windows must have shape (n, {', '.join(map(str, shape))}) with "
            f"n >= 1, got {windows.shape}"
        )
    count = min(CALIBRATION_WINDOWS, len(windows))
    chosen = np.linspace(0, len(windows) - 1, count).round().astype(int)
    samples = np.asarray(windows[chosen], dtype=np.float32)
    if not np.isfinite(samples).all():
        raise ConversionError("representative windows hold NaN or infinity; fill gaps first")
    return samples


def _check_graph(tf: Any, content: bytes) -> None:
    """Refuse graphs that load and run, but slowly or wrongly."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tensorflow announces that its interpreter moves
        interpreter = tf.lite.Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    scales = {
        int(tensor["index"]): tensor["quantization"] for tensor in interpreter.get_tensor_details()
    }
    operations = interpreter._get_ops_details()
    fused = [entry for entry in operations if entry["op_name"] == _FUSED_LSTM]
    names = sorted({str(entry["op_name"]) for entry in operations})
    if not fused or "WHILE" in names:
        raise ConversionError(
            f"the converted graph has no fused LSTM, only {', '.join(names)}; "
            "build the model from tf_keras.layers.LSTM with default activations"
        )
    for entry in fused:
        state, output = int(entry["inputs"][_OUTPUT_STATE_INPUT]), int(entry["outputs"][0])
        if scales[state] != scales[output]:
            raise ConversionError(
                f"the converter gave an LSTM's output the scale {scales[output]} and its state "
                f"{scales[state]}: its answers would be wrong. A Concatenate behind the LSTM "
                "causes this; join by Dense layers and Add instead"
            )
