"""Shipped model forms against the libraries they came from, on the rows of one forecast.

`python -m benchmarks.model_runtimes` prints one line of JSON. Trees: seven quantile boosters,
192 rows (48 h in 15-minute steps, neighbouring rows alike as in a forecast), compiled library
against `xgboost.inplace_predict` with one thread, alternating in the same run. LSTM: int8, one
window of a day, on the box's interpreter. Times are medians of many runs on this machine, not on a
Raspberry Pi.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import xgboost

from central.training.convert_trees import assert_tree_parity, compile_booster, quantile_label
from central.training.cross_compile import CPUS
from models.contract.forecast import LEVELS
from models.features.spec import FEATURES, KNOTS, WINDOW_CHANNELS, WINDOW_STEPS
from models.runtimes.base import FloatArray
from models.runtimes.elf import current_cpu
from models.runtimes.tflite import TfliteRuntime
from models.runtimes.trees import QuantileTrees

_TREES, _DEPTH, _ROWS, _TRAINING_ROWS = 200, 4, 192, 20_000
_LSTM_UNITS = 48


def main() -> None:
    """Measure and print."""
    rows, training = _smooth_rows(_ROWS, seed=1), _smooth_rows(_TRAINING_ROWS, seed=2)
    boosters = _boosters(training)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        built = [
            compile_booster(booster, quantile_label(level), cache_dir=Path(folder))
            for level, booster in zip(LEVELS, boosters, strict=True)
        ]
        compile_s = time.perf_counter() - started
        paths = [paths[current_cpu()] for paths in built]
        difference = max(
            assert_tree_parity(booster, path, training).max_abs_difference
            for booster, path in zip(boosters, paths, strict=True)
        )
        size = {cpu: sum(paths[cpu].stat().st_size for paths in built) for cpu in CPUS}
        trees = QuantileTrees.load(dict(zip(LEVELS, paths, strict=True)), len(FEATURES))

    def reference() -> None:
        for booster in boosters:
            booster.inplace_predict(rows)

    compiled_ms, reference_ms = _median_ms([lambda: trees.predict(rows), reference], 300)
    one_ms, reference_one_ms = _median_ms(
        [lambda: trees.predict(rows[:1]), lambda: [b.inplace_predict(rows[:1]) for b in boosters]],
        300,
    )
    # tensorflow stays in a process of its own: beside it the box's interpreter does not load.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
        converted, convert_s = apart.submit(_converted_lstm).result()
    lstm = TfliteRuntime(converted)
    window = np.zeros((1, WINDOW_STEPS, len(WINDOW_CHANNELS)), dtype=np.float32)
    (lstm_ms,) = _median_ms([lambda: lstm.predict(window)], 300)
    result = {
        "benchmark": "model_runtimes",
        "reference": f"xgboost {xgboost.__version__} inplace_predict, 1 thread",
        "cpu": current_cpu(),
        "boosters": len(boosters),
        "trees_each": _TREES,
        "depth": _DEPTH,
        "rows": _ROWS,
        "compiled_ms": round(compiled_ms, 3),
        "reference_ms": round(reference_ms, 3),
        "time_ratio": round(compiled_ms / reference_ms, 3),
        "one_row_compiled_ms": round(one_ms, 3),
        "one_row_time_ratio": round(one_ms / reference_one_ms, 4),
        "max_abs_difference": difference,
        "compile_both_cpus_s": round(compile_s, 1),
        "library_bytes": size,
        "lstm_interpreter": lstm.interpreter_name,
        "lstm_units": _LSTM_UNITS,
        "lstm_window_ms": round(lstm_ms, 3),
        "lstm_convert_s": round(convert_s, 1),
        "lstm_bytes": len(converted),
    }
    print(json.dumps(result, allow_nan=False))


def _smooth_rows(count: int, seed: int) -> FloatArray:
    """Feature rows that drift from one to the next, a tenth of the values missing."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0.0, 0.1, (count, len(FEATURES)))
    rows: FloatArray = np.sin(np.cumsum(steps, axis=0)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    return rows


def _boosters(rows: FloatArray) -> list[xgboost.Booster]:
    filled = np.nan_to_num(rows)
    noise = np.random.default_rng(3).normal(0.0, 0.2, len(rows))
    table = xgboost.QuantileDMatrix(rows, filled[:, 0] * filled[:, 1] + filled[:, 2] + noise)
    boosters = []
    for level in LEVELS:
        parameters = {
            "objective": "reg:quantileerror",
            "quantile_alpha": level,
            "max_depth": _DEPTH,
            "eta": 0.05,
        }
        booster = xgboost.train(parameters, table, _TREES)
        booster.set_param({"nthread": 1})
        boosters.append(booster)
    return boosters


def _converted_lstm() -> tuple[bytes, float]:
    """An untrained LSTM of the shipped size, converted; and the seconds that took."""
    from central.training.convert_lstm import convert_lstm
    from central.training.keras2 import load_keras2

    _, keras = load_keras2()
    shape = (WINDOW_STEPS, len(WINDOW_CHANNELS))
    model = keras.Sequential(
        [
            keras.layers.Input(shape),
            keras.layers.LSTM(_LSTM_UNITS),
            keras.layers.Dense(_LSTM_UNITS, activation="relu"),
            keras.layers.Dense(KNOTS * len(LEVELS)),
        ]
    )
    windows = np.random.default_rng(4).uniform(0.0, 1.0, (300, *shape)).astype(np.float32)
    started = time.perf_counter()
    converted = convert_lstm(model, windows)
    return converted, time.perf_counter() - started


def _median_ms(calls: list[Callable[[], object]], repeat: int) -> list[float]:
    """Median milliseconds of each call; they take turns, so that other load hits all alike."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(repeat):
        for call, times in zip(calls, seconds, strict=True):
            started = time.perf_counter()
            call()
            times.append(time.perf_counter() - started)
    return [statistics.median(times) * 1e3 for times in seconds]


if __name__ == "__main__":
    main()
