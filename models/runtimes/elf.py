"""Reads an ELF shared library as data, without loading it.

`dlopen` runs a library's constructors and dies on a damaged one, and its message for a library of
another CPU ("cannot open shared object file") misleads. So the facts that decide whether a library
may be loaded are read here in pure Python: target CPU, wanted libraries, executable stack.
Whether they are acceptable is decided in `trees`.

Layout: System V ABI, "Object Files" (64-bit little-endian structures only: all our targets).
"""

from __future__ import annotations

import platform
import struct
from dataclasses import dataclass

_CPU_BY_MACHINE = {62: "x86_64", 183: "aarch64"}  # EM_X86_64, EM_AARCH64
_CPU_ALIASES = {"amd64": "x86_64", "x86-64": "x86_64", "arm64": "aarch64"}
_ET_DYN = 3
_PT_LOAD, _PT_DYNAMIC, _PT_GNU_STACK = 1, 2, 0x6474E551
_PF_X = 1
_DT_NULL, _DT_NEEDED, _DT_STRTAB = 0, 1, 5

_FILE_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_DYNAMIC_ENTRY = struct.Struct("<qQ")


class ElfError(ValueError):
    """The bytes are not a whole 64-bit little-endian ELF shared library."""


@dataclass(frozen=True)
class SharedLibrary:
    """What a library says about itself.

    Attributes:
        cpu: `x86_64`, `aarch64`, or `ELF machine N` for anything else.
        needed: names of the libraries it wants loaded with it.
        executable_stack: whether it asks for a stack that may hold code.
    """

    cpu: str
    needed: tuple[str, ...]
    executable_stack: bool


@dataclass(frozen=True)
class _Segment:
    kind: int
    flags: int
    offset: int
    address: int
    file_size: int


def current_cpu() -> str:
    """CPU this process can run code for, in the words of `SharedLibrary.cpu`.

    A 32-bit Python on a 64-bit kernel (the 32-bit Raspberry Pi OS) says so: no library of ours
    fits it.
    """
    machine = platform.machine().lower()
    cpu = _CPU_ALIASES.get(machine, machine)
    return cpu if struct.calcsize("P") == 8 else f"{cpu} with a 32-bit Python"


def read_shared_library(data: bytes) -> SharedLibrary:
    """Facts about the library in `data`.

    Raises:
        ElfError: not a shared library of the supported kind, or cut short.
    """
    if not data.startswith(b"\x7fELF"):
        raise ElfError("not an ELF file")
    try:
        return _read(data)
    except (struct.error, IndexError) as error:
        raise ElfError(f"damaged ELF structure: {error}") from error


def _read(data: bytes) -> SharedLibrary:
    (ident, kind, machine, _version, _entry, program_offset, section_offset, _flags, _header_size,
     program_size, program_count, section_size, section_count, _names) = _FILE_HEADER.unpack_from(
        data
    )  # fmt: skip
    if ident[4] != 2:
        raise ElfError("a 32-bit library; only 64-bit systems are supported")
    if ident[5] != 1:
        raise ElfError("a big-endian library; only little-endian systems are supported")
    if kind != _ET_DYN:
        raise ElfError(f"not a shared library (ELF type {kind})")
    # A stripped library ends with its section headers: this finds a cut of even one byte.
    if section_offset + section_size * section_count > len(data):
        raise ElfError("cut short")
    if program_size != _PROGRAM_HEADER.size:
        raise ElfError(f"unknown program header size {program_size}")

    segments = [
        _segment(data, program_offset + index * program_size) for index in range(program_count)
    ]
    if any(part.offset + part.file_size > len(data) for part in segments):
        raise ElfError("cut short")
    loads = [part for part in segments if part.kind == _PT_LOAD]
    dynamic = [part for part in segments if part.kind == _PT_DYNAMIC]
    stack = [part for part in segments if part.kind == _PT_GNU_STACK]
    if not loads or len(dynamic) != 1:
        raise ElfError("nothing to load in it")
    return SharedLibrary(
        cpu=_CPU_BY_MACHINE.get(machine, f"ELF machine {machine}"),
        needed=_needed(data, dynamic[0], loads),
        # No such header means the old default: executable.
        executable_stack=not stack or any(part.flags & _PF_X for part in stack),
    )


def _segment(data: bytes, position: int) -> _Segment:
    kind, flags, offset, address, _physical, file_size, _memory_size, _align = (
        _PROGRAM_HEADER.unpack_from(data, position)
    )
    return _Segment(kind, flags, offset, address, file_size)


def _needed(data: bytes, dynamic: _Segment, loads: list[_Segment]) -> tuple[str, ...]:
    """Names under DT_NEEDED; they are offsets into the string table, found by its address."""
    name_offsets: list[int] = []
    strings_address: int | None = None
    for position in range(dynamic.offset, dynamic.offset + dynamic.file_size, _DYNAMIC_ENTRY.size):
        tag, value = _DYNAMIC_ENTRY.unpack_from(data, position)
        if tag == _DT_NULL:
            break
        if tag == _DT_NEEDED:
            name_offsets.append(value)
        elif tag == _DT_STRTAB:
            strings_address = value
    if not name_offsets:
        return ()
    if strings_address is None:
        raise ElfError("damaged ELF structure: no string table")
    strings = _file_offset(strings_address, loads)
    return tuple(_string(data, strings + offset) for offset in name_offsets)


def _file_offset(address: int, loads: list[_Segment]) -> int:
    for part in loads:
        if part.address <= address < part.address + part.file_size:
            return part.offset + address - part.address
    raise ElfError("damaged ELF structure: string table outside the file")


def _string(data: bytes, position: int) -> str:
    end = data.find(b"\0", position) if position < len(data) else -1
    if end < 0:
        raise ElfError("damaged ELF structure: unterminated name")
    return data[position:end].decode("ascii", errors="replace")
