"""A bundle runs first in a child process: what it may do there, and what is told of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_agent.updating.selftest import SelfTestFailed, SelfTestReport, run_selftest
from tests.bundles import CPU, OTHER_CPU, Bundles, build_library

_CONSTRUCTOR = "#include <signal.h>\n__attribute__((constructor)) static void first(void) {{ {} }}"


def run(directory: Path, timeout_s: float = 60.0, memory_mb: int = 1536) -> SelfTestReport:
    return run_selftest(directory, CPU, timeout_s, memory_mb)


def library(tmp_path: Path, **how: str) -> Callable[[Path], None]:
    """A change of a bundle: the median's library is another one."""

    def change(directory: Path) -> None:
        path = build_library(tmp_path, "other", how.pop("answer", "0.0f"), **how)
        (directory / "trees" / "q500.so").write_bytes(path.read_bytes())

    return change


def test_good_bundle_gives_its_golden_numbers(bundles: Bundles) -> None:
    report = run(bundles.make())
    assert report.cases == 3
    assert report.worst_error <= 1e-5
    assert 0 < report.slowest_ms < 1000


def test_library_that_computes_something_else(bundles: Bundles, tmp_path: Path) -> None:
    with pytest.raises(SelfTestFailed, match=r"golden vector 0: off by .*, 1e-05 allowed"):
        run(bundles.make(library(tmp_path, answer="0.5f")))


def test_golden_outputs_just_outside_the_tolerance(bundles: Bundles) -> None:
    def shift(directory: Path) -> None:
        with np.load(directory / "golden.npz") as arrays:
            values = dict(arrays)
        values["expected"] = values["expected"] + 2e-5
        np.savez(directory / "golden.npz", **values)

    with pytest.raises(SelfTestFailed, match="off by"):
        run(bundles.make(shift))
    manifest = bundles.manifest
    run(bundles.make(shift, golden=replace(manifest.golden, tolerance=1e-3)))


@pytest.mark.parametrize("signal", ["SIGSEGV", "SIGILL", "SIGABRT"])
def test_library_that_crashes_while_it_is_loaded(
    bundles: Bundles, tmp_path: Path, signal: str
) -> None:
    with pytest.raises(SelfTestFailed, match=f"crashed: ended by {signal}"):
        run(bundles.make(library(tmp_path, extra=_CONSTRUCTOR.format(f"raise({signal});"))))


def test_a_stop_of_the_service_says_nothing_about_the_bundle(
    bundles: Bundles, tmp_path: Path
) -> None:
    with pytest.raises(InterruptedError, match="ended by SIGTERM"):
        run(bundles.make(library(tmp_path, extra=_CONSTRUCTOR.format("raise(SIGTERM);"))))


def test_library_that_never_answers(bundles: Bundles, tmp_path: Path) -> None:
    begin = time.monotonic()
    endless = library(tmp_path, extra=_CONSTRUCTOR.format("for (volatile int i = 1; i;) {}"))
    with pytest.raises(SelfTestFailed, match="gave no answer within 1 s"):
        run(bundles.make(endless), timeout_s=1.0)
    assert time.monotonic() - begin < 20


def test_library_that_takes_all_memory(bundles: Bundles, tmp_path: Path) -> None:
    hungry = "char *block = malloc(4000000000UL); if (!block) abort(); block[0] = 1;"
    with pytest.raises(SelfTestFailed, match="SIGABRT"):
        run(bundles.make(library(tmp_path, extra=_CONSTRUCTOR.format(hungry))))


def test_library_that_ends_the_process_quietly(bundles: Bundles, tmp_path: Path) -> None:
    with pytest.raises(SelfTestFailed, match="exit code 0 without an answer"):
        run(bundles.make(library(tmp_path, extra=_CONSTRUCTOR.format("exit(0);"))))


def test_library_of_another_cpu_under_this_ones_name(bundles: Bundles, tmp_path: Path) -> None:
    with pytest.raises(SelfTestFailed, match=f"built for {OTHER_CPU}, this machine is {CPU}"):
        run(bundles.make(library(tmp_path, cpu=OTHER_CPU)))


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + bytes(18), b"not an archive"])
def test_golden_file_that_is_none(bundles: Bundles, content: bytes) -> None:
    directory = bundles.make()
    (directory / "golden.npz").write_bytes(content)
    with pytest.raises(SelfTestFailed, match=r"golden\.npz"):
        run(directory)
