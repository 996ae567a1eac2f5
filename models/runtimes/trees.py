"""Gradient-boosted trees that were compiled to a shared library, called through ctypes.

Decides: which library may be loaded (checked as data before `dlopen`), and the call itself: one
call serves a whole batch. Leaves to others: how a library is made
(`central.training.convert_trees`), who signed it (the bundle), what the columns mean.

What a library exports (C, all sizes in elements):

    int32_t solar_feature_count(void);
    const char *solar_model_digest(void);   64 hex digits, also found in the file
    int32_t solar_predict_batch(const float *rows, size_t n_rows, size_t n_columns, float *out);
                                            row-major; NaN = missing; 0, or 1 for wrong n_columns

    trees = QuantileTrees.load({0.1: path_low, 0.5: path_mid, 0.9: path_high}, feature_count=35)
    quantiles = trees.predict(rows)         # (192, 35) -> (192, 3)

A loaded library stays mapped until the process ends: unloading code that another thread may be
running is not safe, and a bundle is below 10 MB.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from models.runtimes.base import FloatArray, RuntimeInputError, RuntimeLoadError, as_float32
from models.runtimes.elf import ElfError, current_cpu, read_shared_library
from models.runtimes.seal import unseal

# Anything else in DT_NEEDED would run foreign code inside the agent.
ALLOWED_LIBRARIES = frozenset(
    {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
)


class TreeLibrary:
    """One compiled booster. `predict`: (n, features) -> (n,). Safe to share between threads."""

    def __init__(self, path: Path, feature_count: int | None = None) -> None:
        """Check the file and load it.

        Args:
            path: sealed shared library. Symbolic links are followed first, so that a swapped
                `current` link is never mistaken for the library it pointed to before.
            feature_count: columns the caller will pass; checked against the library.

        Raises:
            RuntimeLoadError: unreadable, damaged, for another CPU, wants foreign libraries, not
                one of ours, other feature count, or the path was loaded before with other content.
        """
        self.path = Path(os.path.realpath(path))
        content = self._read_checked()
        try:
            self._library = ctypes.CDLL(str(self.path), mode=os.RTLD_NOW | os.RTLD_LOCAL)
        except OSError as error:
            raise RuntimeLoadError(self.path, f"the dynamic loader refused it: {error}") from error
        self.digest = self._bind()
        # dlopen answers from its list of loaded paths without reading the file again.
        if self.digest.encode() not in content:
            raise RuntimeLoadError(
                self.path,
                "this process already holds another model loaded from the same path; "
                "give every build its own file name (its content hash)",
            )
        self.feature_count = int(self._library.solar_feature_count())
        if feature_count is not None and feature_count != self.feature_count:
            raise RuntimeLoadError(
                self.path,
                f"it takes {self.feature_count} features, the caller has {feature_count}: "
                "model and feature specification do not belong together",
            )

    def predict(self, inputs: FloatArray) -> FloatArray:
        """Evaluate rows.

        Args:
            inputs: shape (n, feature_count), NaN = missing. `float64` and strided arrays are
                copied to contiguous `float32` first.

        Returns:
            shape (n,), in the units the booster was trained on.

        Raises:
            RuntimeInputError: wrong shape or type.
        """
        rows = as_float32(inputs, self.path.name)
        if rows.ndim != 2 or rows.shape[1] != self.feature_count:
            raise RuntimeInputError(
                f"{self.path.name}: expected shape (n, {self.feature_count}), got {rows.shape}"
            )
        out = np.empty(rows.shape[0], dtype=np.float32)
        status = self._library.solar_predict_batch(
            rows.ctypes.data, rows.shape[0], rows.shape[1], out.ctypes.data
        )
        if status != 0:
            raise RuntimeInputError(f"{self.path.name}: the library answered error {status}")
        return out

    def _read_checked(self) -> bytes:
        """The file's content, after every check that needs no loading."""
        try:
            content = unseal(self.path.read_bytes(), self.path)
            facts = read_shared_library(content)
        except OSError as error:
            raise RuntimeLoadError(self.path, error.strerror or str(error)) from error
        except ElfError as error:
            raise RuntimeLoadError(self.path, str(error)) from error
        if facts.cpu != current_cpu():
            raise RuntimeLoadError(
                self.path,
                f"built for {facts.cpu}, this machine is {current_cpu()}; "
                "take the file for this CPU from the bundle",
            )
        foreign = sorted(set(facts.needed) - ALLOWED_LIBRARIES)
        if foreign:
            raise RuntimeLoadError(self.path, f"it wants other libraries: {', '.join(foreign)}")
        if facts.executable_stack:
            raise RuntimeLoadError(self.path, "it asks for an executable stack")
        return content

    def _bind(self) -> str:
        """Declare the C signatures; returns the digest of the loaded image."""
        try:
            self._library.solar_feature_count.argtypes = []
            self._library.solar_feature_count.restype = ctypes.c_int32
            self._library.solar_model_digest.argtypes = []
            self._library.solar_model_digest.restype = ctypes.c_char_p
            self._library.solar_predict_batch.argtypes = [
                ctypes.c_void_p,
                ctypes.c_size_t,
                ctypes.c_size_t,
                ctypes.c_void_p,
            ]
            self._library.solar_predict_batch.restype = ctypes.c_int32
        except AttributeError as error:
            raise RuntimeLoadError(
                self.path, f"not a compiled tree model of ours: {error}"
            ) from error
        digest: bytes = self._library.solar_model_digest()
        return digest.decode("ascii")


class QuantileTrees:
    """One library per quantile level. `predict`: (n, features) -> (n, levels)."""

    def __init__(self, libraries: Mapping[float, TreeLibrary]) -> None:
        """Order the libraries by level.

        Raises:
            RuntimeLoadError: none given, a level outside (0, 1), or unequal feature counts.
        """
        if not libraries:
            raise RuntimeLoadError("quantile trees", "no library given")
        wrong = [level for level in libraries if not 0.0 < level < 1.0]
        if wrong:
            raise RuntimeLoadError("quantile trees", f"levels outside (0, 1): {wrong}")
        self.levels = tuple(sorted(libraries))
        self._libraries = [libraries[level] for level in self.levels]
        counts = {library.path.name: library.feature_count for library in self._libraries}
        if len(set(counts.values())) > 1:
            raise RuntimeLoadError("quantile trees", f"unequal feature counts: {counts}")
        self.feature_count = self._libraries[0].feature_count

    @classmethod
    def load(cls, paths: Mapping[float, Path], feature_count: int | None = None) -> QuantileTrees:
        """Load one library per level; see `TreeLibrary` for the errors."""
        return cls({level: TreeLibrary(path, feature_count) for level, path in paths.items()})

    def predict(self, inputs: FloatArray) -> FloatArray:
        """Evaluate rows at every level.

        Args:
            inputs: shape (n, feature_count), NaN = missing.

        Returns:
            shape (n, len(levels)), columns in ascending order of level. Not sorted: independent
            boosters may cross, and the caller decides how to repair that.

        Raises:
            RuntimeInputError: wrong shape or type.
        """
        rows = as_float32(inputs, "quantile trees")
        return np.stack([library.predict(rows) for library in self._libraries], axis=1)
