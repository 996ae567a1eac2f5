"""The gate between a trained LSTM and its int8 form: the box's interpreter must agree with Keras.

Leaves to others: the conversion (`convert_lstm`), what a quantisation error costs in forecast
skill (the promotion rule judges the shipped form on held-out data).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from central.training.errors import ParityError
from models.runtimes.base import FloatArray

DEFAULT_TOLERANCE = 0.05
_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class LstmParity:
    """How far the int8 model is from the trained one.

    Attributes:
        windows: number compared.
        error_over_std: mean absolute difference / standard deviation of the trained outputs.
        worst_over_std: largest absolute difference / the same.
        tolerance: accepted `error_over_std`.
        interpreter: package that ran the int8 model.
    """

    windows: int
    error_over_std: float
    worst_over_std: float
    tolerance: float
    interpreter: str


def assert_lstm_parity(
    model: Any, converted: bytes, windows: FloatArray, *, tolerance: float = DEFAULT_TOLERANCE
) -> LstmParity:
    """Compare a converted model with the model it was made from.

    Args:
        model: the trained `tf_keras.Model`.
        converted: from `convert_lstm`.
        windows: real windows, shape (n, steps, channels), best not those of the calibration.
        tolerance: accepted mean absolute difference, as a share of the outputs' standard
            deviation. 0.01 to 0.02 is usual for int8.

    Raises:
        ParityError: too far apart, constant output, no windows, or the box's interpreter failed or
            crashed; the message says which.
    """
    if len(windows) == 0:
        raise ParityError("LSTM: no windows to compare on")
    expected = np.asarray(model.predict(windows, verbose=0), dtype=np.float32)
    spread = float(expected.std())
    if not spread > 0.0:
        raise ParityError("LSTM: the trained model answers the same to every window")
    answers, interpreter = run_on_box_interpreter(converted, windows)
    difference = np.abs(answers - expected)
    report = LstmParity(
        windows=len(windows),
        error_over_std=float(difference.mean()) / spread,
        worst_over_std=float(difference.max()) / spread,
        tolerance=tolerance,
        interpreter=interpreter,
    )
    if not report.error_over_std <= tolerance:
        raise ParityError(
            f"LSTM: the int8 form differs from the trained model by {report.error_over_std:.1%} "
            f"of the output's standard deviation (worst {report.worst_over_std:.1%}), accepted "
            f"{tolerance:.1%}; check that the calibration windows span the data, or leave the "
            "LSTM out of this bundle"
        )
    return report


def run_on_box_interpreter(converted: bytes, windows: FloatArray) -> tuple[FloatArray, str]:
    """Answers of the int8 model and the name of the interpreter that gave them.

    Raises:
        ParityError: the model does not load or run there.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(converted)
        np.save(folder / "windows.npy", np.asarray(windows, dtype=np.float32))
        command = [sys.executable, "-m", "central.training.run_tflite"]
        files = [str(folder / file) for file in ("model.tflite", "windows.npy", "answers.npz")]
        search_path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        try:
            answer = subprocess.run(
                command + files,
                env={**os.environ, "PYTHONPATH": search_path},
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise ParityError(
                f"the int8 LSTM took more than {_TIMEOUT_S:.0f} s for {len(windows)} windows"
            ) from error
        if answer.returncode < 0:
            raise ParityError(
                "the box's interpreter crashed on the int8 LSTM "
                f"({signal.Signals(-answer.returncode).name}); it must not be released"
            )
        if answer.returncode != 0:
            tail = " ".join(answer.stderr.strip().splitlines()[-1:])
            raise ParityError(f"the box's interpreter refused the int8 LSTM: {tail}")
        with np.load(folder / "answers.npz") as result:
            return result["answers"], str(result["interpreter"])
