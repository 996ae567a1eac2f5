"""What a library says about itself agrees with binutils, and damage is an error, not a crash."""

from __future__ import annotations

import contextlib
import platform
import re
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.runtimes import elf
from models.runtimes.elf import ElfError, current_cpu, read_shared_library
from models.runtimes.seal import unseal

from .conftest import BuildLibrary


def content_of(path: Path) -> bytes:
    return unseal(path.read_bytes(), path)


def readelf(path: Path, *options: str) -> str:
    command = ["readelf", "--wide", *options, str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return answer.stdout


def test_facts_agree_with_readelf(build_library: BuildLibrary) -> None:
    path = build_library("libm", factor="expf(value)", flags=("-lm",))
    facts = read_shared_library(content_of(path))
    assert list(facts.needed) == re.findall(r"\(NEEDED\).*\[(.+)\]", readelf(path, "--dynamic"))
    assert "libm.so.6" in facts.needed
    assert facts.cpu == current_cpu()
    assert not facts.executable_stack
    assert re.search(r"GNU_STACK.* RW ", readelf(path, "--segments"))


def test_executable_stack_is_seen(build_library: BuildLibrary) -> None:
    path = build_library("stack", flags=("-Wl,-z,execstack",))
    assert read_shared_library(content_of(path)).executable_stack


def test_a_library_cut_by_one_byte_is_refused(build_library: BuildLibrary) -> None:
    content = content_of(build_library("whole"))
    read_shared_library(content)
    with pytest.raises(ElfError, match="cut short"):
        read_shared_library(content[:-1])


@pytest.mark.parametrize(
    ("position", "value", "reason"),
    [
        (0, b"MZ", "not an ELF file"),
        (4, b"\x01", "32-bit"),
        (5, b"\x02", "big-endian"),
        (16, struct.pack("<H", 1), "not a shared library"),
    ],
)
def test_files_of_another_kind_are_named(
    build_library: BuildLibrary, position: int, value: bytes, reason: str
) -> None:
    content = bytearray(content_of(build_library("kind")))
    content[position : position + len(value)] = value
    with pytest.raises(ElfError, match=reason):
        read_shared_library(bytes(content))


def test_an_unknown_cpu_is_named_by_its_number(build_library: BuildLibrary) -> None:
    content = bytearray(content_of(build_library("riscv")))
    content[18:20] = struct.pack("<H", 243)
    assert read_shared_library(bytes(content)).cpu == "ELF machine 243"


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_headers_give_an_answer_or_an_elf_error(
    build_library: BuildLibrary, tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "fuzz.so"
    content = bytearray(content_of(path if path.exists() else build_library("fuzz")))
    dynamic = struct.unpack_from("<Q", content, 32)[0]
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, dynamic + 56 * 12))
        content[position] = data.draw(st.integers(0, 255))
    length = data.draw(st.integers(0, len(content)))
    with contextlib.suppress(ElfError):
        read_shared_library(bytes(content[:length]))


@pytest.mark.parametrize(
    ("machine", "cpu"), [("arm64", "aarch64"), ("AMD64", "x86_64"), ("aarch64", "aarch64")]
)
def test_names_of_one_cpu_are_one(monkeypatch: pytest.MonkeyPatch, machine: str, cpu: str) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert current_cpu() == cpu


def test_a_32_bit_python_is_not_taken_for_its_64_bit_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(elf.struct, "calcsize", lambda _: 4)
    assert current_cpu() == "aarch64 with a 32-bit Python"
