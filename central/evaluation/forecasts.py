"""What is handed in to be judged: one site's forecasts beside what was measured.

Decides which pairs count: those where the measurement, every quantile and every reference are
known, so that model and references answer the same questions. Curtailed, clipped or doubtful
measurements are NaN here if they shall not count: the caller knows them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.contract.timestamps import STEP_MS
from models.features.site import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]
SORTED_TOLERANCE = 1e-9
"""Share of the capacity by which quantiles may cross: rounding."""


class EvaluationError(ValueError):
    """What cannot be judged or compared; names the site, model, metric or file."""


@dataclass(frozen=True, eq=False)
class ForecastSet:
    """Forecasts of one site; all but ``quantiles`` have shape (cases, leads), power in W."""

    site: str
    capacity_w: float
    """What errors are shares of; say in the notes whether it is AC, DC or a quantile of power."""
    targets: IntArray
    """Start of each target interval, UTC milliseconds."""
    actual: FloatArray
    """NaN where nothing is known or nothing shall count."""
    quantiles: FloatArray
    """(levels, cases, leads), sorted over levels."""
    daylight: BoolArray
    """Which targets are daylight: the same mask for every model that is compared."""
    references: Mapping[str, FloatArray] = field(default_factory=dict)
    """By name: ``smart_persistence``, ``climatology``, ``cliper`` ..."""
    clear: FloatArray | None = None
    """Clear-sky power, for the sky regimes; None leaves them out."""
    longitude: float = 0.0
    """For solar days."""
    leads_ms: IntArray | None = None
    """From the issue to the start of each target, (leads,); None: 0, one step, two steps ..."""
    step_ms: int = STEP_MS
    """Length of an interval."""

    def __post_init__(self) -> None:
        shape = self.actual.shape
        if len(shape) != 2:
            raise EvaluationError(f"{self.site}: actual must be cases x leads, not {shape}")
        shapes = {"targets": self.targets, "daylight": self.daylight}
        shapes |= {f"reference {name!r}": values for name, values in self.references.items()}
        if self.clear is not None:
            shapes["clear"] = self.clear
        for name, values in shapes.items():
            if values.shape != shape:
                raise EvaluationError(
                    f"{self.site}: {name} has shape {values.shape}, actual has {shape}"
                )
        if self.quantiles.ndim != 3 or self.quantiles.shape[1:] != shape:
            raise EvaluationError(
                f"{self.site}: quantiles must be levels x cases x leads (levels, "
                f"{shape[0]}, {shape[1]}), not {self.quantiles.shape}"
            )
        if not 0 < self.capacity_w < float("inf"):
            raise EvaluationError(f"{self.site}: capacity_w must be above 0, not {self.capacity_w}")
        if self.leads_ms is not None and self.leads_ms.shape != shape[1:]:
            raise EvaluationError(
                f"{self.site}: leads_ms has shape {self.leads_ms.shape}, wanted {shape[1:]}"
            )
        for name in self.references:
            if not name or "/" in name:
                raise EvaluationError(f"{self.site}: {name!r} cannot name a reference")

    @property
    def leads(self) -> IntArray:
        """Lead of each column [ms]."""
        if self.leads_ms is not None:
            return self.leads_ms
        return np.arange(self.actual.shape[1], dtype=np.int64) * self.step_ms

    @property
    def known(self) -> BoolArray:
        """Pairs with a measurement."""
        return np.isfinite(self.actual)

    @property
    def usable(self) -> BoolArray:
        """Pairs that count, day and night."""
        usable: BoolArray = self.known & np.isfinite(self.quantiles).all(axis=0)
        for values in self.references.values():
            usable &= np.isfinite(values)
        return usable

    def check_levels(self, levels: Sequence[float]) -> None:
        """Raise unless there is a sorted row of quantiles per level."""
        if len(levels) != len(self.quantiles):
            raise EvaluationError(
                f"{self.site}: {len(self.quantiles)} quantiles for {len(levels)} levels"
            )
        for k in range(len(levels) - 1):
            crossing = self.quantiles[k] - self.quantiles[k + 1]
            if (crossing > SORTED_TOLERANCE * self.capacity_w).any():  # NaN compares false
                raise EvaluationError(
                    f"{self.site}: the quantiles of levels {levels[k]:g} and {levels[k + 1]:g} "
                    "cross; sort them over the levels first"
                )


def check_sets(sets: Sequence[ForecastSet], levels: Sequence[float]) -> tuple[str, ...]:
    """The names of the references, which all ``sets`` must share.

    Raises ``EvaluationError`` for sets that cannot be judged together.
    """
    if not sets:
        raise EvaluationError("nothing to evaluate: no site was given")
    if list(levels) != sorted(set(levels)) or not levels or not 0 < levels[0] <= levels[-1] < 1:
        raise EvaluationError(f"levels must ascend within 0 and 1: {list(levels)}")
    place_of(levels, 0.5)
    references = tuple(sets[0].references)
    seen: set[str] = set()
    for one in sets:
        if one.site in seen:
            raise EvaluationError(f"{one.site}: given twice")
        seen.add(one.site)
        one.check_levels(levels)
        if set(one.references) != set(references):
            raise EvaluationError(
                f"{one.site}: references {sorted(one.references)}, but {sets[0].site} has "
                f"{sorted(references)}"
            )
    return references


def place_of(levels: Sequence[float], level: float) -> int:
    """Where ``level`` stands in ``levels``. Raises ``EvaluationError`` when it does not."""
    for place, one in enumerate(levels):
        if abs(one - level) < 1e-9:
            return place
    raise EvaluationError(f"levels: {level:g} is missing in {[float(one) for one in levels]}")
