"""Does a bundle compute what its makers computed? Run in a child process, where it can do no harm.

    python -m edge_agent.updating.selftest DIRECTORY CPU TIMEOUT_S MEMORY_MB

A signature proves where native code comes from, not that it works on this processor: loading a
library runs its constructors. So the golden inputs are first run in a child with limits on time,
memory and file size. A crash, a wrong number or no answer is a reason to refuse the bundle.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from models.contract.checks import clip_text

_OUTPUT_BYTES = 1_000_000
_TAIL_BYTES = 4_000
_ROOT = Path(__file__).resolve().parent.parent.parent


_STOPPED = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


class SelfTestFailed(Exception):
    """The bundle does not do what it should; the text says what happened."""


@dataclass(frozen=True, slots=True)
class SelfTestReport:
    """A bundle that computes right."""

    cases: int
    worst_error: float
    """Largest absolute difference from the golden outputs [clear-sky index]."""
    slowest_ms: float
    """Longest single prediction."""


def run_selftest(directory: Path, cpu: str, timeout_s: float, memory_mb: int) -> SelfTestReport:
    """Run the golden vectors of the unpacked bundle in a child process.

    Raises:
        SelfTestFailed: wrong numbers, an error, a crash or no answer in time.
        OSError: the child could not be started; says nothing about the bundle.
    """
    command = [sys.executable, "-m", "edge_agent.updating.selftest", str(directory), cpu]
    command += [str(timeout_s), str(memory_mb)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            cwd=directory,
            env=_environment(),
            start_new_session=True,
        )
        try:
            code = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise SelfTestFailed(f"gave no answer within {timeout_s:g} s") from None
        finally:
            _end_group(child)
        return _read_answer(code, _tail(out), _tail(errors))


def _environment() -> dict[str, str]:
    """As little as an interpreter needs; one BLAS thread, whose stacks count as memory."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    paths = [str(_ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONSAFEPATH": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def _end_group(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _tail(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _TAIL_BYTES, 0))
    return file.read().decode("utf-8", "replace").strip()


def _read_answer(code: int, out: str, errors: str) -> SelfTestReport:
    if -code in _STOPPED:
        # systemd stops the whole group: nothing is said about the bundle, it is tried again.
        raise InterruptedError(f"the self-test was ended by {signal.Signals(-code).name}")
    if code < 0:
        raise SelfTestFailed(f"crashed: ended by {signal.Signals(-code).name}")
    try:
        answer = json.loads(out.splitlines()[-1])
        if answer["ok"] and code == 0:
            return SelfTestReport(answer["cases"], answer["worst_error"], answer["slowest_ms"])
        reason = str(answer["reason"])
    except (IndexError, ValueError, KeyError, TypeError):
        last = (errors or "nothing").splitlines()[-1]
        reason = f"exit code {code} without an answer; its last words: {last}"
    raise SelfTestFailed(clip_text(reason, 600))


# ---- the child -----------------------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """Entry point of the child: one line of JSON on standard output."""
    directory, cpu, timeout_s, memory_mb = arguments
    _limit(float(timeout_s), int(memory_mb))
    try:
        answer = {"ok": True, **_check(Path(directory), cpu)}
    except Exception as error:
        # Whatever went wrong is a reason to refuse, and the parent wants to know it.
        answer = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
        if isinstance(error, SelfTestFailed):
            answer["reason"] = str(error)
    print(json.dumps(answer), flush=True)
    return 0 if answer["ok"] else 1


def _limit(timeout_s: float, memory_mb: int) -> None:
    for what, amount in (
        (resource.RLIMIT_CPU, int(timeout_s) + 1),
        (resource.RLIMIT_AS, memory_mb << 20),
        (resource.RLIMIT_FSIZE, _OUTPUT_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        ceiling = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        resource.setrlimit(what, (ceiling, ceiling))


def _check(directory: Path, cpu: str) -> dict[str, Any]:
    import numpy as np

    from models.bundle.archive import read_manifest
    from models.forecasters.bundle import BundleForecaster

    golden = read_manifest(directory).golden
    try:
        with np.load(directory / golden.file.path, allow_pickle=False) as arrays:
            features, windows = arrays["features"], arrays["windows"]
            expected = arrays["expected"]
            others = _others(arrays)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise SelfTestFailed(f"{golden.file.path}: is no file of golden vectors: {error}") from None
    if not 1 <= len(features) == len(windows) == len(expected):
        raise SelfTestFailed(f"{golden.file.path}: holds no golden vectors, or unequal numbers")
    forecaster = BundleForecaster.load(directory, cpu)
    worst, slowest = 0.0, 0.0
    for number, (feature, window, wanted) in enumerate(
        zip(features, windows, expected, strict=True)
    ):
        begin = time.perf_counter()
        got = forecaster.predict_normalised(feature, window)
        slowest = max(slowest, (time.perf_counter() - begin) * 1000)
        if got.shape != wanted.shape or not np.isfinite(got).all():
            raise SelfTestFailed(f"golden vector {number}: shape {got.shape} or not finite")
        worst = max(worst, float(np.abs(got - wanted).max()))
        if not worst <= golden.tolerance:
            raise SelfTestFailed(
                f"golden vector {number}: off by {worst:.3g}, {golden.tolerance:.3g} allowed"
            )
    for name, (rows, wanted) in others.items():
        if name not in forecaster.others:
            continue  # a later agent will know what to do with it
        off = float(np.abs(forecaster.others[name].predict(rows) - wanted).max(initial=0.0))
        if not off <= golden.tolerance:
            raise SelfTestFailed(f"{name}: off by {off:.3g}, {golden.tolerance:.3g} allowed")
        worst = max(worst, off)
    untested = sorted(set(forecaster.others) - set(others))
    if untested:
        raise SelfTestFailed(f"{golden.file.path}: holds no golden rows for {', '.join(untested)}")
    return {"cases": len(features), "worst_error": worst, "slowest_ms": slowest}


def _others(arrays: Any) -> dict[str, tuple[Any, Any]]:
    """Rows and answers of the tasks beside the generation, by name."""
    names = [name.removesuffix(".rows") for name in arrays.files if name.endswith(".rows")]
    return {name: (arrays[f"{name}.rows"], arrays[f"{name}.answers"]) for name in names}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
