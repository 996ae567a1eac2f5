"""Loading and calling compiled trees: what is refused, and that numbers arrive unchanged."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from models.runtimes.base import RuntimeInputError, RuntimeLoadError
from models.runtimes.seal import seal, unseal
from models.runtimes.trees import QuantileTrees, TreeLibrary

from .conftest import BuildLibrary


def patched(path: Path, position: int, value: bytes) -> Path:
    """A sealed copy of a library with some bytes changed."""
    content = bytearray(unseal(path.read_bytes(), path))
    content[position : position + len(value)] = value
    copy = path.with_name(f"patched-{path.name}")
    copy.write_bytes(seal(bytes(content)))
    return copy


def test_rows_and_nan_arrive_in_c(build_library: BuildLibrary) -> None:
    trees = TreeLibrary(build_library("sum", factor="2.0f"), feature_count=3)
    rows = np.array([[1, 2, 3], [4, np.nan, 6], [np.nan] * 3], dtype=np.float32)
    np.testing.assert_array_equal(trees.predict(rows), [12, -980, -3000])


@pytest.mark.parametrize(
    "view",
    [
        lambda rows: rows.astype(np.float64),
        np.asfortranarray,
        lambda rows: np.repeat(rows, 2, axis=0)[::2],
        lambda rows: np.hstack([rows, rows])[:, :3],
        lambda rows: rows[::-1][::-1],
    ],
    ids=["float64", "column-major", "every second row", "columns of a wider array", "reversed"],
)
def test_other_layouts_give_the_same_answer(build_library: BuildLibrary, view) -> None:
    trees = TreeLibrary(build_library("layout", factor="value"))
    rows = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    np.testing.assert_array_equal(trees.predict(view(rows)), trees.predict(rows))


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((4, 2), np.float32),
        np.zeros(3, np.float32),
        np.zeros((1, 2, 3), np.float32),
        np.array([["1", "2", "3"]]),
        np.zeros((2, 3), complex),
        np.float32(1),
    ],
    ids=["two columns", "one axis", "three axes", "text", "complex", "scalar"],
)
def test_wrong_shapes_and_types_are_refused(build_library: BuildLibrary, rows) -> None:
    trees = TreeLibrary(build_library("shape"))
    with pytest.raises(RuntimeInputError, match=r"shape\.so: expected"):
        trees.predict(rows)


def test_no_rows_give_no_answers(build_library: BuildLibrary) -> None:
    trees = TreeLibrary(build_library("empty"))
    assert trees.predict(np.zeros((0, 3), np.float32)).shape == (0,)


def test_a_library_of_another_cpu_is_refused_before_its_code_can_run(
    build_library: BuildLibrary, tmp_path: Path
) -> None:
    marker = tmp_path / "constructor-ran"
    extra = (
        "#include <stdio.h>\n__attribute__((constructor)) static void mark(void)"
        f'{{ FILE *f = fopen("{marker}", "w"); if (f) fclose(f); }}'
    )
    path = build_library("constructor", extra=extra)
    machine = struct.unpack_from("<H", path.read_bytes(), 18)[0]
    other, name = (183, "aarch64") if machine == 62 else (62, "x86_64")
    foreign = patched(path, 18, struct.pack("<H", other))
    with pytest.raises(RuntimeLoadError, match=rf"built for {name}, this machine is \w+"):
        TreeLibrary(foreign)
    assert not marker.exists()
    TreeLibrary(path)
    assert marker.exists()  # else the check above would prove nothing


def test_damaged_cut_and_foreign_files_are_refused(
    build_library: BuildLibrary, tmp_path: Path
) -> None:
    sound = build_library("sound").read_bytes()
    damaged = bytearray(sound)
    damaged[len(sound) // 2] ^= 1
    files = {
        "garbage": b"\x7fELF" + bytes(range(256)) * 20,
        "empty": b"",
        "cut": sound[:-1000],
        "damaged": bytes(damaged),
        "sealed garbage": seal(b"\x7fELF" + bytes(range(256)) * 20),
        "sealed cut": seal(unseal(sound, "x")[:-1000]),
        "sealed text": seal(b"not a library"),
    }
    for name, content in files.items():
        path = tmp_path / f"{name}.so"
        path.write_bytes(content)
        with pytest.raises(RuntimeLoadError, match=rf"{name}\.so: "):
            TreeLibrary(path)
    with pytest.raises(RuntimeLoadError, match="No such file"):
        TreeLibrary(tmp_path / "absent.so")
    with pytest.raises(RuntimeLoadError, match="Is a directory"):
        TreeLibrary(tmp_path)


def test_a_library_without_our_exports_is_refused(build_library: BuildLibrary) -> None:
    path = build_library(
        "stranger", source="int solar_feature_count(void) { return 3; } /* %(name)s */"
    )
    with pytest.raises(RuntimeLoadError, match=r"not a compiled tree model of ours.*solar_"):
        TreeLibrary(path)


def test_a_library_that_wants_foreign_code_is_refused(build_library: BuildLibrary) -> None:
    path = build_library("greedy", flags=("-Wl,--no-as-needed", "-lresolv"))
    with pytest.raises(RuntimeLoadError, match=r"other libraries: libresolv\.so\.2"):
        TreeLibrary(path)


def test_an_executable_stack_is_refused(build_library: BuildLibrary) -> None:
    path = build_library("stack", flags=("-Wl,-z,execstack",))
    with pytest.raises(RuntimeLoadError, match="executable stack"):
        TreeLibrary(path)


def test_another_feature_count_is_refused_with_both_numbers(build_library: BuildLibrary) -> None:
    path = build_library("wide", features=35)
    with pytest.raises(RuntimeLoadError, match="takes 35 features, the caller has 36"):
        TreeLibrary(path, feature_count=36)


def test_two_libraries_in_one_process_stay_two(build_library: BuildLibrary) -> None:
    one = TreeLibrary(build_library("one", factor="1.0f"))
    two = TreeLibrary(build_library("two", factor="2.0f"))
    rows = np.ones((1, 3), np.float32)
    assert (one.predict(rows)[0], two.predict(rows)[0]) == (3.0, 6.0)


def test_another_model_under_a_loaded_path_is_refused(build_library: BuildLibrary) -> None:
    path, successor = build_library("old", factor="1.0f"), build_library("new", factor="2.0f")
    TreeLibrary(path)
    TreeLibrary(path)  # the same model again is fine
    successor.replace(path)
    with pytest.raises(RuntimeLoadError, match="already holds another model"):
        TreeLibrary(path)


def test_a_swapped_link_leads_to_the_new_model(build_library: BuildLibrary, tmp_path: Path) -> None:
    current = tmp_path / "current.so"
    rows = np.ones((1, 3), np.float32)
    answers = []
    for name, factor in (("first", "1.0f"), ("second", "2.0f")):
        current.unlink(missing_ok=True)
        current.symlink_to(build_library(name, factor=factor))
        answers.append(float(TreeLibrary(current).predict(rows)[0]))
    assert answers == [3.0, 6.0]


def test_quantile_columns_come_in_order_of_level(build_library: BuildLibrary) -> None:
    paths = {
        level: build_library(f"level{number}", factor=f"{level}f")
        for number, level in enumerate((0.9, 0.1, 0.5))
    }
    trees = QuantileTrees.load(paths, feature_count=3)
    assert trees.levels == (0.1, 0.5, 0.9)
    answer = trees.predict(np.array([[1, 1, 1], [2, 2, 2]], np.float32))
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, [[0.3, 1.5, 2.7], [0.6, 3.0, 5.4]], rtol=1e-6)


def test_quantile_sets_that_cannot_be_right_are_refused(build_library: BuildLibrary) -> None:
    three, four = build_library("three"), build_library("four", features=4)
    with pytest.raises(RuntimeLoadError, match=r"unequal feature counts.*three\.so.*four\.so"):
        QuantileTrees.load({0.1: three, 0.9: four})
    with pytest.raises(RuntimeLoadError, match=r"outside \(0, 1\): \[50\]"):
        QuantileTrees.load({50: three})
    with pytest.raises(RuntimeLoadError, match="no library"):
        QuantileTrees({})


def test_threads_may_share_a_library(build_library: BuildLibrary) -> None:
    trees = TreeLibrary(build_library("shared", factor="value"))
    batches = [np.full((500, 3), number, np.float32) for number in range(40)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(trees.predict, batches))
    for number, answer in enumerate(answers):
        np.testing.assert_array_equal(answer, np.full(500, 3.0 * number**2, np.float32))
