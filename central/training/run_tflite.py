"""Runs a TFLite model with the box's interpreter, in a process without tensorflow.

Started by `lstm_parity`; by hand: `python -m central.training.run_tflite MODEL WINDOWS OUT` (sealed
model, .npy, .npz).
Writes the answers and the interpreter's name. tflite-runtime breaks inside a process that holds
tensorflow, and a faulty model crashes its process, so the trainer never runs one in its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from models.runtimes.base import ModelRuntimeError
from models.runtimes.tflite import TfliteRuntime


def main(arguments: list[str]) -> int:
    """Exit status 0, or 1 with the reason on standard error."""
    model_path, windows_path, out_path = map(Path, arguments)
    try:
        runtime = TfliteRuntime(model_path)
        answers = runtime.predict(np.load(windows_path))
    except ModelRuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    np.savez(out_path, answers=answers, interpreter=runtime.interpreter_name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
