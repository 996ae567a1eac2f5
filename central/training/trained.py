"""A trained tree model on its way into a bundle: what every task hands to the conversion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.bundle.manifest import ModelKind
from models.features.build import FeatureArray

GOLDEN_ROWS = 16
"""Rows of each model whose answers travel in the bundle."""


@dataclass(frozen=True, eq=False)
class TrainedTrees:
    """One task's boosters, one per level, with what is needed to judge, convert and prove them."""

    name: str
    """Registry name."""
    quantity: str
    kind: ModelKind
    levels: Sequence[float]
    boosters: Sequence[Any]
    features: str
    """Digest of the columns."""
    rows: FeatureArray
    """Real rows, for the parity gate and the golden vectors."""
    metrics: Mapping[str, float]
    """Scores of the test span; named in the bundle and the registry as ``{name}.{metric}``."""

    @property
    def golden(self) -> FeatureArray:
        """A few rows spread over all."""
        step = max(1, len(self.rows) // GOLDEN_ROWS)
        return self.rows[::step][:GOLDEN_ROWS]


@dataclass(frozen=True, eq=False)
class ShippedTrees:
    """The same, compiled: CPU -> one library per level."""

    trained: TrainedTrees
    libraries: Mapping[str, Sequence[Path]]
