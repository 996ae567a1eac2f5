"""Writes the recorded LSTM of this folder: python make_golden.py (Python 3.11 with tensorflow).

A tiny LSTM (24 steps x 3 channels -> 6 values) after a few training steps, in two forms: as
shipped (`lstm.tflite`, float32 in and out) and with int8 in- and outputs (`lstm_int8_io.tflite`),
with windows and the answers that tflite-runtime 2.14 gave. Runs once: the point of the files is
that later code and other interpreters must still answer the same.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from central.training.convert_lstm import convert_lstm
from central.training.keras2 import load_keras2
from central.training.lstm_parity import run_on_box_interpreter
from models.runtimes.seal import seal

HERE = Path(__file__).parent


def main() -> None:
    tf, keras = load_keras2()
    keras.utils.set_random_seed(7)
    rng = np.random.default_rng(7)
    steps = np.arange(24) / 24 + rng.uniform(0, 1, (400, 1))
    day = np.maximum(0.0, np.sin(2 * np.pi * steps))
    windows = np.stack(
        [day * rng.uniform(0.3, 1.0, (400, 1)), day, rng.normal(0.0, 0.2, day.shape)], axis=-1
    ).astype(np.float32)
    targets = windows[:, -1:, 0] * np.linspace(1.0, 0.5, 6) + windows[:, :, 0].mean(1)[:, None]
    model = keras.Sequential(
        [keras.layers.Input((24, 3)), keras.layers.LSTM(8), keras.layers.Dense(6)]
    )
    model.compile("adam", "mse")
    model.fit(windows, targets, epochs=15, verbose=0)

    shipped = convert_lstm(model, windows)
    integer = seal(_integer_form(tf, model, windows))
    (HERE / "lstm.tflite").write_bytes(shipped)
    (HERE / "lstm_int8_io.tflite").write_bytes(integer)
    chosen = windows[:20]
    answers, interpreter = run_on_box_interpreter(shipped, chosen)
    assert interpreter == "tflite_runtime", interpreter
    np.savez_compressed(HERE / "recorded.npz", windows=chosen, answers=answers)


def _integer_form(tf, model, windows) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        function = tf.function(model, input_signature=[tf.TensorSpec((1, 24, 3), tf.float32)])
        tf.saved_model.save(model, folder, signatures=function.get_concrete_function())
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([w[None]] for w in windows)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
        return converter.convert()


if __name__ == "__main__":
    main()
