"""C source to a shared library for a box's CPU, with Debian's compilers.

Decides: compiler and flags per CPU, the link rules of a library that may enter the agent.
Leaves to others: what is compiled (`tree_source`), caching (`convert_trees`).

-O1: the trees are comparisons and jumps; -O2 doubles the compile time for code that is no faster
(measured, see `tree_source`). Constants are `float`, as in the trained model. Equal input gives
equal bytes: no paths, dates or debug information enter the library.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from concurrent.futures import Executor
from functools import cache
from pathlib import Path

from central.training.errors import ConversionError
from models.runtimes.elf import current_cpu

CPUS = ("x86_64", "aarch64")
_DEBIAN_PACKAGES = {
    "x86_64": "gcc-x86-64-linux-gnu libc6-dev-amd64-cross",
    "aarch64": "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
}
_COMPILE_FLAGS = (
    "-std=c99",
    "-O1",
    "-fPIC",
    "-fvisibility=hidden",
    "-fsingle-precision-constant",
    "-ffp-contract=off",
    "-Wall",
    "-Werror",
)
_LINK_FLAGS = (
    "-shared",
    "-s",
    "-Wl,--as-needed",
    "-Wl,--build-id=none",
    "-Wl,-z,defs",
    "-Wl,-z,text",
    "-Wl,-z,now",
    "-Wl,-z,relro",
    "-Wl,-z,noexecstack",
)
# arm64 kernels use 4, 16 (Raspberry Pi 5) or 64 KiB pages; x86 always 4.
_PAGE_FLAGS: dict[str, tuple[str, ...]] = {"x86_64": (), "aarch64": ("-Wl,-z,max-page-size=65536",)}
_TIMEOUT_S = 900.0


@cache
def compiler_for(cpu: str) -> str:
    """Command that compiles for `cpu`.

    Raises:
        ConversionError: unknown CPU, or no such compiler; names the Debian package.
    """
    if cpu not in CPUS:
        raise ConversionError(f"no compiler is known for CPU '{cpu}'; known: {', '.join(CPUS)}")
    native = cpu == current_cpu()
    names = (f"{cpu}-linux-gnu-gcc", "gcc") if native else (f"{cpu}-linux-gnu-gcc",)
    for name in names:
        if shutil.which(name):
            return name
    package = "gcc libc6-dev" if native else _DEBIAN_PACKAGES[cpu]
    raise ConversionError(
        f"{names[0]} not found: tree models for {cpu} cannot be built here. "
        f"Install it: apt-get install {package}"
    )


@cache
def toolchain_id(cpu: str) -> str:
    """Compiler, version and flags: whatever changes the bytes of a library."""
    answer = subprocess.run(
        [compiler_for(cpu), "--version"], capture_output=True, text=True, check=True, timeout=30
    )
    return " ".join((answer.stdout.splitlines()[0], *_COMPILE_FLAGS, *_link_flags(cpu)))


def build_shared_library(
    files: Mapping[str, str], cpu: str, macros: Mapping[str, str], pool: Executor
) -> bytes:
    """Compile and link.

    Args:
        files: name -> C text, at least one.
        cpu: one of `CPUS`.
        macros: string macros, name -> value (a C string literal is made of the value).
        pool: runs the compilers, one job per file.

    Returns:
        content of the library.

    Raises:
        ConversionError: no compiler, or it failed; its last lines are in the message.
    """
    compiler = compiler_for(cpu)
    defines = [f'-D{name}="{value}"' for name, value in macros.items()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file_name, text in files.items():
            (folder / file_name).write_text(text, encoding="ascii")
        sources = sorted(files)
        jobs = [
            pool.submit(
                _run, [compiler, "-c", source, "-o", f"{source}.o", *_COMPILE_FLAGS, *defines],
                folder,
            )
            for source in sources
        ]  # fmt: skip
        try:
            for job in jobs:
                job.result()
        finally:
            for job in jobs:
                job.cancel()
            for job in jobs:  # the folder goes away: nobody may still write to it
                if not job.cancelled():
                    job.exception()
        objects = [f"{source}.o" for source in sources]
        _run([compiler, "-o", "library.so", *_link_flags(cpu), *objects, "-lm"], folder)
        return (folder / "library.so").read_bytes()


def _link_flags(cpu: str) -> tuple[str, ...]:
    return (*_LINK_FLAGS, *_PAGE_FLAGS[cpu])


def _run(command: list[str], folder: Path) -> None:
    try:
        answer = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise ConversionError(
            f"{command[0]} took longer than {_TIMEOUT_S:.0f} s; train fewer or shallower trees"
        ) from error
    except OSError as error:
        raise ConversionError(f"{command[0]} cannot be started: {error}") from error
    if answer.returncode != 0:
        tail = "\n".join(answer.stderr.strip().splitlines()[-8:])
        raise ConversionError(f"{' '.join(command[:4])} failed ({answer.returncode}):\n{tail}")
