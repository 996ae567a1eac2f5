"""Trained models to their shipped form with the real compilers, and what the gates refuse."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from central.training import cross_compile
from central.training.convert_trees import (
    TreeParity,
    assert_tree_parity,
    compile_booster,
    quantile_label,
)
from central.training.cross_compile import compiler_for
from central.training.errors import ConversionError, ParityError
from models.runtimes.base import FloatArray, RuntimeLoadError
from models.runtimes.elf import current_cpu
from models.runtimes.seal import seal, unseal
from models.runtimes.trees import QuantileTrees, TreeLibrary

LEVELS = (0.1, 0.5, 0.9)
FEATURES = 20
OTHER_CPU = "aarch64" if current_cpu() == "x86_64" else "x86_64"


def require_compiler(cpu: str) -> None:
    try:
        compiler_for(cpu)
    except ConversionError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def rows() -> FloatArray:
    """12 000 feature rows with gaps, constant columns and repeated values, as real ones have."""
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(12_000, FEATURES)).astype(np.float32)
    rows[:, 3] = rng.integers(0, 96, len(rows))
    rows[:, 4] = np.maximum(0.0, rows[:, 4])
    rows[rng.random(rows.shape) < 0.1] = np.nan
    rows[:50] = np.nan
    return rows


@pytest.fixture(scope="module")
def target(rows: FloatArray) -> FloatArray:
    filled = np.nan_to_num(rows)
    noise = np.random.default_rng(6).normal(size=len(rows))
    return filled[:, 0] + filled[:, 4] * np.sin(filled[:, 3] / 15) + 0.3 * noise + 5


def train(rows: FloatArray, target: FloatArray, trees: int = 20, **parameters: Any) -> Any:
    settings = {"objective": "reg:quantileerror", "max_depth": 5, "eta": 0.2, "nthread": 2}
    return xgboost.train(settings | parameters, xgboost.DMatrix(rows, target), trees)


@pytest.fixture(scope="module")
def boosters(rows: FloatArray, target: FloatArray) -> dict[float, Any]:
    return {level: train(rows, target, quantile_alpha=level) for level in LEVELS}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def libraries(boosters: dict[float, Any], cache: Path) -> dict[float, dict[str, Path]]:
    for cpu in cross_compile.CPUS:
        require_compiler(cpu)
    return {
        level: compile_booster(booster, quantile_label(level), cache_dir=cache)
        for level, booster in boosters.items()
    }


def test_compiled_trees_equal_xgboost_to_the_last_bit(boosters, libraries, rows) -> None:
    paths = {level: library[current_cpu()] for level, library in libraries.items()}
    answers = QuantileTrees.load(paths, feature_count=FEATURES).predict(rows)
    for column, level in enumerate(LEVELS):
        expected = boosters[level].inplace_predict(rows)
        assert np.ptp(expected) > 1
        np.testing.assert_array_equal(answers[:, column], expected)
    assert not np.array_equal(answers[:, 0], answers[:, 2])


def test_parity_gate_reports_rows_and_difference(boosters, libraries, rows) -> None:
    report = assert_tree_parity(boosters[0.5], libraries[0.5][current_cpu()], rows)
    assert report == TreeParity(rows=12_000, max_abs_difference=0.0, tolerance=1e-5)


def test_parity_gate_stops_the_library_of_another_booster(boosters, libraries, rows) -> None:
    with pytest.raises(ParityError, match=r"q900-.*row \d+ of 12000 differs by"):
        assert_tree_parity(boosters[0.1], libraries[0.9][current_cpu()], rows)
    with pytest.raises(ParityError, match="no rows"):
        assert_tree_parity(boosters[0.1], libraries[0.1][current_cpu()], rows[:0])


def test_a_booster_cut_after_early_stopping_is_compiled_as_cut(rows, target, cache) -> None:
    require_compiler(current_cpu())
    whole = train(rows, target, quantile_alpha=0.25)
    for trees in (1, 7):
        cut = whole[:trees]
        path = compile_booster(cut, "cut", cpus=[current_cpu()], cache_dir=cache)[current_cpu()]
        assert assert_tree_parity(cut, path, rows).max_abs_difference == 0.0
        assert not np.array_equal(TreeLibrary(path).predict(rows), whole.inplace_predict(rows))


@pytest.mark.parametrize(
    "parameters",
    [{"objective": "binary:logistic"}, {"objective": "reg:squarederror", "gamma": 1e9}],
    ids=["probabilities", "trees without a split"],
)
def test_other_single_output_boosters_convert_too(rows, target, cache, parameters) -> None:
    require_compiler(current_cpu())
    booster = train(rows, (target > 5).astype(float), **parameters)
    path = compile_booster(booster, "other", cpus=[current_cpu()], cache_dir=cache)[current_cpu()]
    assert_tree_parity(booster, path, rows, tolerance=1e-6)


HARNESS = r"""
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
  void *library = dlopen(argv[1], RTLD_NOW);
  if (!library) { fprintf(stderr, "%s\n", dlerror()); return 2; }
  int32_t (*count)(void) = (int32_t (*)(void))dlsym(library, "solar_feature_count");
  int32_t (*predict)(const float *, size_t, size_t, float *) =
      (int32_t (*)(const float *, size_t, size_t, float *))dlsym(library, "solar_predict_batch");
  size_t n = strtoul(argv[2], 0, 10), columns = (size_t)count();
  float *rows = malloc(n * columns * sizeof *rows), *out = malloc(n * sizeof *out);
  if (fread(rows, sizeof *rows, n * columns, stdin) != n * columns) return 3;
  if (predict(rows, n, columns, out) != 0) return 4;
  return fwrite(out, sizeof *out, n, stdout) == n ? 0 : 5;
}
"""


@pytest.mark.skipif(
    shutil.which("qemu-aarch64-static") is None or current_cpu() == "aarch64",
    reason="no qemu-aarch64-static: apt-get install qemu-user-static",
)
def test_the_arm_library_gives_the_same_numbers(boosters, libraries, rows, tmp_path) -> None:
    (tmp_path / "harness.c").write_text(HARNESS)
    harness = tmp_path / "harness"
    subprocess.run(
        [compiler_for("aarch64"), str(tmp_path / "harness.c"), "-o", str(harness), "-ldl"],
        check=True, timeout=60,
    )  # fmt: skip
    command = ["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu", str(harness)]
    for level in (0.1, 0.9):
        answer = subprocess.run(
            [*command, str(libraries[level]["aarch64"]), str(len(rows))],
            input=rows.tobytes(), capture_output=True, timeout=60,
        )  # fmt: skip
        assert answer.returncode == 0, answer.stderr
        numbers = np.frombuffer(answer.stdout, dtype=np.float32)
        np.testing.assert_array_equal(numbers, boosters[level].inplace_predict(rows))


def test_a_library_for_the_other_cpu_is_refused_by_name(libraries) -> None:
    with pytest.raises(
        RuntimeLoadError, match=f"built for {OTHER_CPU}, this machine is {current_cpu()}"
    ):
        TreeLibrary(libraries[0.5][OTHER_CPU])


def test_libraries_ask_for_nothing_and_fit_large_pages(libraries) -> None:
    for cpu, path in libraries[0.5].items():
        command = ["readelf", "--wide", "--dynamic", "--segments", str(path)]
        facts = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert set(re.findall(r"\(NEEDED\).*\[(.+)\]", facts)) <= {"libc.so.6", "libm.so.6"}
        assert re.search(r"GNU_STACK.* RW ", facts)
        assert "TEXTREL" not in facts
        # Kernels of the Raspberry Pi 5 have 16 KiB pages.
        smallest = 16384 if cpu == "aarch64" else 4096
        pages = [int(page, 16) for page in re.findall(r"^\s*LOAD .* (0x[0-9a-f]+)$", facts, re.M)]
        assert pages
        assert min(pages) >= smallest


def test_equal_boosters_give_equal_bytes_under_equal_names(boosters, libraries, tmp_path) -> None:
    again = compile_booster(boosters[0.5], "q500", cache_dir=tmp_path / "elsewhere")
    for cpu, path in libraries[0.5].items():
        assert again[cpu].name == path.name
        assert re.fullmatch(rf"q500-[0-9a-f]{{16}}-{cpu}\.so", path.name)
        assert again[cpu].read_bytes() == path.read_bytes()
    names = {path.name for library in libraries.values() for path in library.values()}
    assert len(names) == 2 * len(LEVELS)


def test_the_cache_is_used_and_a_damaged_entry_is_rebuilt(boosters, libraries, tmp_path) -> None:
    cache = tmp_path / "cache"
    cpu = current_cpu()
    path = compile_booster(boosters[0.5], "q500", cpus=[cpu], cache_dir=cache)[cpu]
    sound, written = path.read_bytes(), path.stat().st_mtime_ns
    assert path.stat().st_mode & 0o777 == 0o644  # the agent's user must be able to read it
    compile_booster(boosters[0.5], "q500", cpus=[cpu], cache_dir=cache)
    assert path.stat().st_mtime_ns == written
    path.write_bytes(sound[:-100])
    compile_booster(boosters[0.5], "q500", cpus=[cpu], cache_dir=cache)
    assert path.read_bytes() == sound
    assert [file.name for file in cache.iterdir()] == [path.name]  # no temporary files stay


def test_boosters_that_would_be_compiled_wrongly_are_refused(rows, target, tmp_path) -> None:
    refused = {
        "several outputs": train(rows, target, quantile_alpha=np.array([0.1, 0.9])),
        "only 'gbtree'": train(
            rows, target, booster="gblinear", objective="reg:squarederror", verbosity=0
        ),
    }
    table = xgboost.DMatrix(
        np.random.default_rng(1).integers(0, 4, (2000, 1)).astype(float),
        np.random.default_rng(2).normal(size=2000),
        feature_types=["c"], enable_categorical=True,
    )  # fmt: skip
    refused["categorical splits"] = xgboost.train({"max_cat_to_onehot": 1}, table, 3)
    for reason, booster in refused.items():
        with pytest.raises(ConversionError, match=reason):
            compile_booster(booster, "x", cache_dir=tmp_path)


def test_a_missing_compiler_is_named_with_its_debian_package(
    boosters, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    cross_compile.compiler_for.cache_clear()
    cross_compile.toolchain_id.cache_clear()
    try:
        with pytest.raises(
            ConversionError, match=r"aarch64-linux-gnu-gcc not found.*apt-get install gcc"
        ):
            compile_booster(boosters[0.5], "q500", cpus=["aarch64"], cache_dir=tmp_path / "new")
    finally:
        cross_compile.compiler_for.cache_clear()
        cross_compile.toolchain_id.cache_clear()


def test_compiling_prints_nothing(rows, target, tmp_path, capfd) -> None:
    require_compiler(current_cpu())
    booster = train(rows, target, 4, quantile_alpha=0.75)
    compile_booster(booster, "quiet", cpus=[current_cpu()], cache_dir=tmp_path)
    assert capfd.readouterr() == ("", "")


def test_file_names_of_quantile_levels() -> None:
    assert [quantile_label(level) for level in (0.05, 0.25, 0.9)] == ["q050", "q250", "q900"]
    with pytest.raises(ValueError, match="in \\(0, 1\\)"):
        quantile_label(50)


# The LSTM. One process converts (tensorflow takes seconds to import and does not get on with
# tflite-runtime), the tests look at what it says.

LSTM_SCRIPT = r"""
import json, sys
import numpy as np
from pathlib import Path
from central.training.convert_lstm import convert_lstm
from central.training.errors import ConversionError, ParityError
from central.training.keras2 import load_keras2
from central.training.lstm_parity import assert_lstm_parity
from models.runtimes.seal import seal, unseal
from models.runtimes.tflite import TfliteRuntime

tf, keras = load_keras2()
out = Path(sys.argv[1])
keras.utils.set_random_seed(3)
rng = np.random.default_rng(3)

# Days of a small site: clear-sky bell times a cloud index that drifts, and the clock.
steps, count = 96, 256
phase = (np.arange(steps)[None] + rng.integers(0, 96, (count, 1))) / 96
bell = np.maximum(0.0, -np.cos(2 * np.pi * phase))
drift = np.cumsum(rng.normal(0, 0.05, bell.shape), 1)
cloud = np.clip(drift + rng.uniform(0.2, 1, (count, 1)), 0, 1)
windows = np.stack([bell * cloud, bell, cloud, np.sin(2 * np.pi * phase)], -1).astype(np.float32)
targets = cloud[:, -1:] * np.linspace(1, 0.6, 14) + 0.2 * bell[:, -1:]


def dense(units, **options):
    return keras.layers.Dense(units, **options)


def fitted(model):
    model.compile("adam", "mse")
    model.fit(windows, targets, epochs=4, batch_size=64, verbose=0)
    return model


def message(action):
    try:
        action()
    except (ConversionError, ParityError) as error:
        return f"{type(error).__name__}: {error}"
    return "accepted"


model = fitted(keras.Sequential([
    keras.layers.Input((steps, 4)), keras.layers.LSTM(16), dense(16, activation="relu"), dense(14)
]))
converted = convert_lstm(model, windows[:128])
(out / "lstm.tflite").write_bytes(converted)
np.savez(out / "windows.npz", windows=windows[128:160],
         answers=model.predict(windows[128:160], verbose=0))
report = assert_lstm_parity(model, converted, windows[128:])
in_trainer = TfliteRuntime(converted)

entry = keras.layers.Input((steps, 4))
late = keras.layers.Concatenate()([keras.layers.LSTM(8)(entry), entry[:, -1] * 3.0])
joined = keras.Model(entry, dense(14)(late))
stranger = keras.Sequential([keras.layers.Input((steps, 4)), keras.layers.LSTM(4), dense(14)])
flat = keras.Sequential([keras.layers.Input((steps, 4)), keras.layers.Flatten(), dense(14)])
two = keras.Model([entry, keras.layers.Input((2,))], keras.layers.LSTM(4)(entry))
broken = bytearray(unseal(converted, "x"))[: len(converted) // 2]
gap = windows.copy(); gap[0, 0, 0] = np.nan
import keras as keras3

print("result " + json.dumps({
    "report": vars(report),
    "trainer": in_trainer.interpreter_name,
    "concatenate": message(lambda: convert_lstm(joined, windows)),
    "no lstm": message(lambda: convert_lstm(flat, windows)),
    "two inputs": message(lambda: convert_lstm(two, windows)),
    "keras 3": message(lambda: convert_lstm(
        keras3.Sequential([keras3.layers.Input((steps, 4)), keras3.layers.LSTM(4)]), windows)),
    "shape": message(lambda: convert_lstm(model, windows[:, :, :3])),
    "gap": message(lambda: convert_lstm(model, gap)),
    "stranger": message(lambda: assert_lstm_parity(stranger, converted, windows[:32])),
    "unsealed": message(lambda: assert_lstm_parity(model, converted[:-1], windows[:2])),
    "broken": message(lambda: assert_lstm_parity(model, seal(bytes(broken)), windows[:2])),
}))
"""


@pytest.fixture(scope="module")
def lstm(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("lstm")
    (folder / "script.py").write_text(LSTM_SCRIPT)
    answer = subprocess.run(
        [sys.executable, str(folder / "script.py"), str(folder)],
        env={"PYTHONPATH": ":".join(entry for entry in sys.path if entry), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-3000:]
    lines = answer.stdout.splitlines()
    assert len(lines) == 1, "conversion must not write to standard output"
    assert "oneDNN" not in answer.stderr
    return json.loads(lines[0].removeprefix("result ")), folder


def test_the_int8_lstm_agrees_with_keras_on_the_box_interpreter(lstm) -> None:
    report = lstm[0]["report"]
    assert report["interpreter"] == "tflite_runtime"
    assert report["windows"] == 128
    assert 0 < report["error_over_std"] < 0.04
    assert report["error_over_std"] < report["worst_over_std"] < 0.4


def test_the_int8_lstm_loads_here_and_starts_every_window_afresh(lstm) -> None:
    from models.runtimes.tflite import TfliteRuntime

    path = lstm[1] / "lstm.tflite"
    assert path.stat().st_size < 20_000
    runtime = TfliteRuntime(path)
    with np.load(lstm[1] / "windows.npz") as file:
        windows, expected = file["windows"], file["answers"]
    answers = runtime.predict(windows)
    assert np.abs(answers - expected).mean() < 0.04 * expected.std()
    np.testing.assert_array_equal(runtime.predict(windows[::-1])[::-1], answers)
    np.testing.assert_array_equal(runtime.predict(windows[3:4]), answers[3:4])


def test_beside_tensorflow_the_runtime_uses_tensorflow(lstm) -> None:
    assert lstm[0]["trainer"] == "tensorflow"


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("concatenate", "ConversionError: .*its answers would be wrong. A Concatenate"),
        ("no lstm", "ConversionError: the converted graph has no fused LSTM"),
        ("two inputs", "ConversionError: the model must have one input and one output"),
        ("keras 3", r"ConversionError: expected a tf_keras\.Model"),
        ("shape", r"ConversionError: .*shape \(n, 96, 4\).*got \(256, 96, 3\)"),
        ("gap", "ConversionError: representative windows hold NaN"),
        ("stranger", "ParityError: LSTM: the int8 form differs from the trained model by"),
        ("unsealed", "ParityError: the box's interpreter refused.*no seal"),
        ("broken", "ParityError: the box's interpreter (crashed|refused)"),
    ],
)
def test_lstms_that_must_not_ship_are_stopped(lstm, case: str, expected: str) -> None:
    assert re.match(expected, lstm[0][case]), lstm[0][case]


def test_a_sealed_library_opens_in_other_tools(libraries) -> None:
    path = libraries[0.5][current_cpu()]
    assert seal(unseal(path.read_bytes(), path)) == path.read_bytes()
    subprocess.run(["readelf", "--all", str(path)], check=True, capture_output=True, timeout=30)
