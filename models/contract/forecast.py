"""A forecast: quantiles of one or more quantities on the 15-minute grid, and what they rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from .checks import check_count, check_text, finite_number
from .errors import ContractError
from .quantities import quantity
from .timestamps import MINUTE_MS, STEP_MS, Instant, check_instant
from .topics import check_identifier

LEVELS: tuple[float, ...] = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
"""Quantile levels of every forecast."""
MEDIAN = LEVELS.index(0.5)
NOMINAL_COVERAGE = 0.9
"""Nominal coverage of the interval between the outermost levels."""
MAX_STEPS = 1000
MAX_STEP_MINUTES = 1440
MAX_MODEL_NAME = 100


def check_step(step_ms: int) -> None:
    """Raise ``ContractError`` unless ``step_ms`` is a whole number of minutes up to a day."""
    if type(step_ms) is not int or step_ms % MINUTE_MS:
        raise ContractError(f"a step is a whole number of minutes, not {step_ms} ms")
    check_count(step_ms // MINUTE_MS, "step_minutes", 1, MAX_STEP_MINUTES)


class WeatherMode(StrEnum):
    """What the forecast knew of future weather. ``PERFECT`` is an upper bound and gates nothing."""

    NONE = "none"
    ARCHIVED_NWP = "archived_nwp"
    NWP_UNKNOWN_ISSUE = "nwp_unknown_issue"
    PERFECT = "perfect"


class CoverageState(StrEnum):
    """How far the measured coverage can be trusted."""

    UNCALIBRATED = "uncalibrated"
    WARMING_UP = "warming_up"
    CALIBRATED = "calibrated"
    DEGRADED = "degraded"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Share of past actuals that fell between the outermost quantiles, as measured on this site."""

    nominal: float = NOMINAL_COVERAGE
    observed: float | None = None
    count: int = 0
    state: CoverageState = CoverageState.UNCALIBRATED

    def __post_init__(self) -> None:
        for name, share in (("nominal", self.nominal), ("observed", self.observed)):
            if share is None:
                continue
            if not 0 <= share <= 1:
                raise ContractError(f"coverage.{name} must be between 0 and 1, not {share}")
            object.__setattr__(self, name, finite_number(share))
        check_count(self.count, "coverage.count")
        if (self.observed is None) != (self.count == 0):
            raise ContractError("coverage: observed stands exactly when count is above 0")


@dataclass(frozen=True, slots=True)
class ForecastSeries:
    """Quantiles of one quantity, base unit: ``quantiles[i][k]`` is ``LEVELS[i]`` at step ``k``.

    Sorted over the levels at every step, finite, and of one length. Any real numbers are taken and
    kept as floats.
    """

    model: str
    quantiles: tuple[tuple[float, ...], ...]
    coverage: Coverage = Coverage()

    def __post_init__(self) -> None:
        check_text(self.model, "model", MAX_MODEL_NAME, shortest=1)
        if len(self.quantiles) != len(LEVELS):
            raise ContractError(f"forecast: {len(LEVELS)} levels wanted, got {len(self.quantiles)}")
        steps = len(self.quantiles[0])
        if not 1 <= steps <= MAX_STEPS or any(len(row) != steps for row in self.quantiles):
            raise ContractError(f"forecast: 1 to {MAX_STEPS} steps wanted, the same at every level")
        rows = tuple(tuple(finite_number(value) for value in row) for row in self.quantiles)
        object.__setattr__(self, "quantiles", rows)
        for lower, upper in zip(self.quantiles, self.quantiles[1:], strict=False):
            if any(low > high for low, high in zip(lower, upper, strict=True)):
                raise ContractError("forecast: quantiles cross")

    @property
    def median(self) -> tuple[float, ...]:
        """The middle quantile over the steps."""
        return self.quantiles[MEDIAN]


@dataclass(frozen=True)
class Forecast:
    """What ``site`` expected at ``issued_at``. Step ``k`` covers ``[start + k*step, + step)``."""

    site: str
    issued_at: Instant
    start: Instant
    series: Mapping[str, ForecastSeries]
    bundle: str | None = None
    """Identifier of the model bundle, or None when no bundle took part."""
    weather_mode: WeatherMode = WeatherMode.NONE
    step_ms: int = STEP_MS

    def __post_init__(self) -> None:
        check_identifier(self.site)
        check_instant(self.issued_at)
        check_instant(self.start)
        check_step(self.step_ms)
        if self.start % self.step_ms:
            raise ContractError("forecast: must start on the grid of its own steps")
        if self.bundle is not None:
            check_text(self.bundle, "bundle", shortest=1)
        if not self.series:
            raise ContractError("forecast: no series")
        for name in self.series:
            quantity(name)
        if len({len(one.quantiles[0]) for one in self.series.values()}) != 1:
            raise ContractError("forecast: all series have the same number of steps")
