"""A recorded LSTM answers as it did when it was recorded, on every interpreter."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from models.runtimes.base import FloatArray, RuntimeInputError, RuntimeLoadError
from models.runtimes.seal import seal, unseal
from models.runtimes.tflite import TfliteRuntime

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def lstm() -> TfliteRuntime:
    return TfliteRuntime(GOLDEN / "lstm.tflite")


@pytest.fixture(scope="module")
def recorded() -> dict[str, FloatArray]:
    with np.load(GOLDEN / "recorded.npz") as file:
        return {"windows": file["windows"], "answers": file["answers"]}


def test_recorded_windows_get_the_recorded_answers(lstm: TfliteRuntime, recorded) -> None:
    assert lstm.input_shape == (24, 3)
    assert lstm.output_shape == (6,)
    answers = lstm.predict(recorded["windows"])
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers, recorded["answers"], atol=1e-6)
    assert np.ptp(answers, axis=0).min() > 0.1  # the windows do differ


def test_bytes_load_like_the_file(lstm: TfliteRuntime, recorded) -> None:
    other = TfliteRuntime((GOLDEN / "lstm.tflite").read_bytes())
    windows = recorded["windows"][:2]
    np.testing.assert_array_equal(other.predict(windows), lstm.predict(windows))


def test_the_same_window_twice_gives_the_same_answer(lstm: TfliteRuntime, recorded) -> None:
    window = recorded["windows"][:1]
    first = lstm.predict(window)
    lstm.predict(recorded["windows"][5:])
    np.testing.assert_array_equal(lstm.predict(window), first)
    np.testing.assert_array_equal(lstm.predict(np.repeat(window, 3, 0)), np.repeat(first, 3, 0))


def test_without_a_reset_the_fused_lstm_would_remember(lstm: TfliteRuntime, recorded) -> None:
    interpreter = lstm._interpreter  # the reason why `predict` resets; also proves the test above
    details, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.reset_all_variables()
    runs = []
    for _ in range(2):
        interpreter.set_tensor(details["index"], recorded["windows"][:1])
        interpreter.invoke()
        runs.append(interpreter.get_tensor(answer["index"]).copy())
    assert np.abs(runs[0] - runs[1]).max() > 1e-4


def test_int8_in_and_outputs_are_scaled(lstm: TfliteRuntime, recorded) -> None:
    integer = TfliteRuntime(GOLDEN / "lstm_int8_io.tflite")
    step = integer._output.scale
    assert integer._input.dtype == np.int8
    assert 0 < step < 0.1
    windows = recorded["windows"]
    difference = np.abs(integer.predict(windows) - lstm.predict(windows))
    assert difference.max() < 4 * step  # two calibrations of the same weights
    assert difference.mean() < step


def test_int8_inputs_saturate_instead_of_wrapping_round() -> None:
    integer = TfliteRuntime(GOLDEN / "lstm_int8_io.tflite")
    far, further = np.full((1, 24, 3), 50.0, np.float32), np.full((1, 24, 3), 1e30, np.float32)
    np.testing.assert_array_equal(integer.predict(far), integer.predict(further))
    assert not np.array_equal(integer.predict(far), integer.predict(-far))


def test_float64_and_strided_windows_are_taken(lstm: TfliteRuntime, recorded) -> None:
    windows = recorded["windows"]
    np.testing.assert_array_equal(
        lstm.predict(windows.astype(np.float64)[::2]), lstm.predict(windows)[::2]
    )


def test_no_windows_give_no_answers(lstm: TfliteRuntime) -> None:
    assert lstm.predict(np.zeros((0, 24, 3), np.float32)).shape == (0, 6)


@pytest.mark.parametrize("shape", [(24, 3), (1, 3, 24), (1, 24, 4), (1, 72), (3,)])
def test_other_window_shapes_are_refused(lstm: TfliteRuntime, shape: tuple[int, ...]) -> None:
    with pytest.raises(RuntimeInputError, match=r"expected shape \(n, 24, 3\), got"):
        lstm.predict(np.zeros(shape, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_gaps_in_a_window_are_refused_not_turned_into_noise(
    lstm: TfliteRuntime, value: float
) -> None:
    windows = np.zeros((2, 24, 3), np.float32)
    windows[1, 5, 2] = value
    with pytest.raises(RuntimeInputError, match="1 of 144 input values are NaN or infinite"):
        lstm.predict(windows)


def test_damaged_models_are_refused_instead_of_crashing_the_process(tmp_path: Path) -> None:
    sound = (GOLDEN / "lstm.tflite").read_bytes()
    rng = np.random.default_rng(3)
    for number in range(50):
        content = bytearray(sound)
        if number % 2:
            content = content[: rng.integers(len(sound))]
        else:
            content[rng.integers(len(sound))] ^= 1 << int(rng.integers(8))
        path = tmp_path / f"{number}.tflite"
        path.write_bytes(bytes(content))
        with pytest.raises(RuntimeLoadError, match=rf"{number}\.tflite: "):
            TfliteRuntime(path)
    with pytest.raises(RuntimeLoadError, match="No such file"):
        TfliteRuntime(tmp_path / "absent.tflite")


def test_what_is_no_tflite_model_is_refused_by_the_interpreter() -> None:
    with pytest.raises(RuntimeLoadError, match=r"<\d+ bytes>: \w+ refused it"):
        TfliteRuntime(seal(b"a text that somebody sealed" * 10))


def test_a_newer_version_of_an_operation_is_refused() -> None:
    content = bytearray(unseal((GOLDEN / "lstm.tflite").read_bytes(), "golden"))
    for position in operator_version_positions(content):
        struct.pack_into("<i", content, position, 99)
    with pytest.raises(RuntimeLoadError, match="refused it"):
        TfliteRuntime(seal(bytes(content)))


def test_the_interpreter_fits_this_process(lstm: TfliteRuntime) -> None:
    numpy_major = int(np.__version__.split(".")[0])
    wanted = "ai_edge_litert" if numpy_major >= 2 else "tflite_runtime"
    assert lstm.interpreter_name == wanted or "tensorflow" in sys.modules


def operator_version_positions(content: bytearray) -> list[int]:
    """Where the TFLite schema's OperatorCode.version is stored (FlatBuffers tables)."""

    def u32(position: int) -> int:
        return int(struct.unpack_from("<I", content, position)[0])

    def field(table: int, slot: int) -> int | None:
        vtable = table - struct.unpack_from("<i", content, table)[0]
        if 4 + 2 * slot >= struct.unpack_from("<H", content, vtable)[0]:
            return None
        offset = struct.unpack_from("<H", content, vtable + 4 + 2 * slot)[0]
        return table + offset if offset else None

    operator_codes = field(u32(0), 1)
    assert operator_codes is not None
    vector = operator_codes + u32(operator_codes)
    entries = [vector + 4 + 4 * number for number in range(u32(vector))]
    found = [field(entry + u32(entry), 2) for entry in entries]
    positions = [position for position in found if position is not None]
    assert positions
    return positions
