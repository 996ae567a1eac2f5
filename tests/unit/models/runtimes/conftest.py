"""Small tree libraries made by the C compiler, with the exports of a real one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Protocol

import pytest

from models.runtimes.elf import current_cpu
from models.runtimes.seal import seal

SOURCE = """
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#define EXPORT __attribute__((visibility("default")))
%(extra)s
EXPORT int32_t solar_feature_count(void) { return %(features)d; }
EXPORT const char *solar_model_digest(void) { return "digest of %(name)s"; }
EXPORT int32_t solar_predict_batch(const float *rows, size_t n, size_t columns, float *out) {
  if (columns != %(features)d) return 1;
  for (size_t r = 0; r < n; ++r) {
    out[r] = 0;
    for (size_t c = 0; c < columns; ++c) {
      float value = rows[r * columns + c];
      out[r] += isnan(value) ? -1000.0f : value * %(factor)s;
    }
  }
  return 0;
}
"""


class BuildLibrary(Protocol):
    """Compiles a library that answers factor * (sum of a row), -1000 for each NaN."""

    def __call__(
        self,
        name: str,
        *,
        factor: str = "1.0f",
        features: int = 3,
        extra: str = "",
        flags: tuple[str, ...] = (),
        source: str = SOURCE,
    ) -> Path: ...


@pytest.fixture(scope="session")
def compiler() -> str:
    found = shutil.which(f"{current_cpu()}-linux-gnu-gcc") or shutil.which("gcc")
    if found is None:
        pytest.skip("no C compiler here: apt-get install gcc libc6-dev")
    return found


@pytest.fixture
def build_library(tmp_path: Path, compiler: str) -> BuildLibrary:
    def build(
        name: str,
        *,
        factor: str = "1.0f",
        features: int = 3,
        extra: str = "",
        flags: tuple[str, ...] = (),
        source: str = SOURCE,
    ) -> Path:
        text = source % {"name": name, "features": features, "factor": factor, "extra": extra}
        (tmp_path / f"{name}.c").write_text(text)
        path = tmp_path / f"{name}.so"
        command = [compiler, "-shared", "-fPIC", "-s", "-fvisibility=hidden", f"{name}.c"]
        subprocess.run([*command, *flags, "-o", path.name], cwd=tmp_path, check=True, timeout=60)
        path.write_bytes(seal(path.read_bytes()))
        return path

    return build
