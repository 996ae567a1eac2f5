"""The gate between a trained LSTM and its int8 form: the box's interpreter must agree with Keras.

Two things must hold: the answers stay close, and the pinball loss on windows that neither training
nor calibration saw does not grow by more than `MOST_LOST`. Leaves to others: the conversion
(`convert_lstm`).
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
from models.contract.forecast import LEVELS
from models.runtimes.base import FloatArray

DEFAULT_TOLERANCE = 0.05
MOST_LOST = 0.01
"""Share of the trained model's pinball loss that the int8 form may lose."""
_TIMEOUT_S = 300.0
_ROOT = Path(__file__).resolve().parents[2]


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
    pinball_float: float | None = None
    """Mean loss of the trained model, weighted by clear-sky power; None when nothing was judged."""
    pinball_int8: float | None = None

    @property
    def pinball_lost(self) -> float | None:
        """Relative growth of the loss from float to int8."""
        if not self.pinball_float or self.pinball_int8 is None:
            return None
        return self.pinball_int8 / self.pinball_float - 1.0

    def to_json(self) -> dict[str, Any]:
        """Every figure."""
        return vars(self) | {"pinball_lost": self.pinball_lost}


def assert_lstm_parity(
    model: Any,
    converted: bytes,
    windows: FloatArray,
    *,
    judged: tuple[FloatArray, FloatArray] | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
) -> LstmParity:
    """Compare a converted model with the model it was made from.

    Args:
        model: the trained `tf_keras.Model`.
        converted: from `convert_lstm`.
        windows: real windows, shape (n, steps, channels), best not those of the calibration.
        judged: targets and weights of the windows, each (n, knots), for the pinball loss.
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
    losses = [weighted_pinball(one, *judged) if judged else None for one in (expected, answers)]
    report = LstmParity(
        windows=len(windows),
        error_over_std=float(difference.mean()) / spread,
        worst_over_std=float(difference.max()) / spread,
        tolerance=tolerance,
        interpreter=interpreter,
        pinball_float=losses[0],
        pinball_int8=losses[1],
    )
    if report.pinball_lost is not None and not report.pinball_lost <= MOST_LOST:
        raise ParityError(
            f"LSTM: the int8 form loses {report.pinball_lost:.1%} of pinball loss against the"
            f" trained model, accepted {MOST_LOST:.0%}; check that the calibration windows span the"
            " data, or leave the LSTM out of this bundle"
        )
    if not report.error_over_std <= tolerance:
        raise ParityError(
            f"LSTM: the int8 form differs from the trained model by {report.error_over_std:.1%} "
            f"of the output's standard deviation (worst {report.worst_over_std:.1%}), accepted "
            f"{tolerance:.1%}; check that the calibration windows span the data, or leave the "
            "LSTM out of this bundle"
        )
    return report


def weighted_pinball(answers: FloatArray, target: FloatArray, weight: FloatArray) -> float:
    """Mean loss over `LEVELS` of answers (n, knots * levels), sorted; weights (n, knots)."""
    quantiles = np.sort(answers.reshape(*target.shape, len(LEVELS)), axis=-1)
    level = np.asarray(LEVELS)
    over = target[..., None] - quantiles
    loss = np.maximum(level * over, (level - 1.0) * over).mean(axis=-1)
    return float((loss * weight).sum() / weight.sum())


def run_on_box_interpreter(
    converted: bytes, windows: FloatArray, python: Path | None = None
) -> tuple[FloatArray, str]:
    """Answers of the int8 model and the name of the interpreter that gave them.

    `python`: of another environment with the `edge` packages, default this one's.

    Raises:
        ParityError: the model does not load or run there.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(converted)
        np.save(folder / "windows.npy", np.asarray(windows, dtype=np.float32))
        command = [str(python or sys.executable), "-m", "central.training.run_tflite"]
        files = [str(folder / file) for file in ("model.tflite", "windows.npy", "answers.npz")]
        own = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        search_path = str(_ROOT) if python else own
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
