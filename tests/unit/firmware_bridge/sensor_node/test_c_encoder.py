"""The encoder for firmware makes the same bytes as ours, and stays within its buffer."""

from __future__ import annotations

import itertools
import random
import shutil
import subprocess
from pathlib import Path

import pytest

import firmware_bridge.sensor_node
from firmware_bridge.sensor_node import FrameBuffer, NodeFrame, encode_frame

SOURCES = Path(firmware_bridge.sensor_node.__file__).parent / "c"
NAMES = ("poa_global", "temp_module", "temp_air", "supply_voltage", "ghi")
"""In the order of the C encoder's ``has`` bits and of the host program's columns."""
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
Row = tuple[int, ...]


def rows() -> list[Row]:
    """node, sequence, uptime, status, has, and the five values: edges, then seeded random ones."""
    u16, u32, i16 = (0, 1, 0xFF, 0x100, 0xFFFF), (0, 0xFFFF, 0x1_0000, 0xFFFF_FFFF), (0, -1, 1)
    found: list[Row] = []
    for node, uptime, has in itertools.product(u16, u32, range(32)):
        found.append((node, 0, uptime, 0, has, 0, 0, 0, 0, 0))
    for value in (*i16, 0x7FFF, -0x8000, 256, -256):
        found.append((1, 2, 3, 4, 31, value, value, value, value & 0xFFFF, value))
    source = random.Random(6)
    for _ in range(5000):
        signed = [source.randrange(-32_768, 32_768) for _ in range(4)]
        values = (signed[0], signed[1], signed[2], source.randrange(65_536), signed[3])
        head = (source.randrange(65_536), source.randrange(65_536), source.randrange(2**32))
        found.append((*head, source.randrange(65_536), source.randrange(32), *values))
    return found


def frame_of(row: Row) -> NodeFrame:
    node, sequence, uptime, status, has, *values = row
    there = {name: values[bit] for bit, name in enumerate(NAMES) if has & 1 << bit}
    return NodeFrame(node, sequence, uptime, status, there)


@pytest.mark.parametrize("extra", [(), SANITIZERS], ids=["plain", "sanitized"])
def test_c_encoder_makes_the_bytes_of_the_python_encoder(
    tmp_path: Path, extra: tuple[str, ...]
) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    program = tmp_path / "host"
    strict = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1")
    files = (SOURCES / "solar_node.c", SOURCES / "solar_node_host.c")
    subprocess.run([compiler, *strict, *extra, *files, "-o", program], check=True)
    cases = rows()
    text = "\n".join(" ".join(map(str, row)) for row in cases)
    result = subprocess.run([program], input=text, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert len(lines) == len(cases) > 5000
    for row, line in zip(cases, lines, strict=True):
        frame, data = frame_of(row), bytes.fromhex(line)
        assert data == encode_frame(frame), row
        assert FrameBuffer().feed(data) == [frame], row


def test_c_encoder_needs_no_library_and_no_floats() -> None:
    text = (SOURCES / "solar_node.c").read_text() + (SOURCES / "solar_node.h").read_text()
    included = [line.split()[1] for line in text.splitlines() if line.startswith("#include")]
    assert set(included) == {'"solar_node.h"', "<stddef.h>", "<stdint.h>"}
    for word in ("malloc", "float ", "double ", "memcpy"):
        assert word not in text, word
    assert len((SOURCES / "solar_node.c").read_text().splitlines()) < 150
