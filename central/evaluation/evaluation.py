"""The outcome of an evaluation: what is stored, compared and shown.

The weather mode was declared by whoever made the forecasts and travels with every score. The daily
losses are kept, so that two stored evaluations can be held against each other day by day.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from models.contract.forecast import WeatherMode
from models.contract.timestamps import Instant, format_iso8601, parse_iso8601

from .forecasts import EvaluationError
from .measures import Measures
from .significance import DieboldMariano

KIND, VERSION = "solar-evaluation", 1
_T = TypeVar("_T")


@dataclass(frozen=True)
class SiteDays:
    """Losses of one site by solar day, daylight only; sums over the day's pairs."""

    site: str
    capacity_w: float
    days: tuple[int, ...]
    """Since the epoch."""
    pairs: tuple[int, ...]
    absolute: tuple[float, ...]
    """Absolute errors, shares of the capacity."""
    squared: tuple[float, ...]
    pinball: tuple[float, ...]
    """Mean over the levels."""


@dataclass(frozen=True)
class ExampleDay:
    """A day of one site beside its forecast, W; NaN where nothing is known."""

    site: str
    choice: str
    """``typical day``, or what else it was chosen for."""
    longest_lead_h: float
    """The forecast shown is the one with the longest lead up to this."""
    longitude: float
    times: tuple[Instant, ...]
    measured: tuple[float, ...]
    quantiles: tuple[tuple[float, ...], ...]
    """By the levels of the contract."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model over one or more sites. ``overall`` is the mean over sites, daylight."""

    name: str
    weather_mode: WeatherMode
    levels: tuple[float, ...]
    references: tuple[str, ...]
    overall: Measures
    median_site: Measures
    bad_site: Measures
    """P90: nine of ten sites do better."""
    all_times: Measures
    """With the nights: looks twice as good, never to be mixed with the others."""
    by_horizon: Mapping[str, Measures]
    by_month: Mapping[str, Measures]
    by_regime: Mapping[str, Measures]
    by_site: Mapping[str, Measures]
    tests: Mapping[str, DieboldMariano]
    """Against each reference, on daily absolute errors."""
    days: int
    start: Instant
    """Of the first scored interval."""
    end: Instant
    """Of the last one."""
    daily: tuple[SiteDays, ...]
    examples: tuple[ExampleDay, ...] = ()
    notes: tuple[str, ...] = ()
    seed: int = 0

    @property
    def gates(self) -> bool:
        """Whether these scores may decide anything: perfect weather is an upper bound."""
        return self.weather_mode is not WeatherMode.PERFECT

    @property
    def metrics(self) -> dict[str, float]:
        """The overall scores by the names of the runbook."""
        found = {
            "MAE": self.overall["mae"],
            "RMSE": self.overall["rmse"],
            "MAPE": self.overall["mape"],
            "nMAE": self.overall["nmae"],
            "nRMSE": self.overall["nrmse"],
            "bias": self.overall["bias"],
            "pinball": self.overall["pinball"],
            "CRPS": self.overall["crps"],
        }
        for kind in ("coverage", "width", "winkler"):
            found |= {f"{kind}_{name}": value for name, value in self.overall.of_kind(kind).items()}
        for name in self.references:
            found[f"skill_{name}"] = self.overall[f"mae_skill/{name}"]
            found[f"rmse_skill_{name}"] = self.overall[f"rmse_skill/{name}"]
        return found

    def to_json(self) -> dict[str, Any]:
        """Everything, for files; NaN as None."""
        groups = {name: getattr(self, name).to_json() for name in _SINGLE}
        groups |= {
            name: {key: one.to_json() for key, one in getattr(self, name).items()}
            for name in _GROUPED
        }
        return {
            "kind": KIND,
            "version": VERSION,
            "name": self.name,
            "weather_mode": self.weather_mode.value,
            "levels": list(self.levels),
            "references": list(self.references),
            "days": self.days,
            "start": format_iso8601(self.start),
            "end": format_iso8601(self.end),
            "seed": self.seed,
            "notes": list(self.notes),
            "metrics": _finite(self.metrics),
            **groups,
            "tests": {name: _finite(asdict(one)) for name, one in self.tests.items()},
            "daily": [_finite(asdict(one)) for one in self.daily],
            "examples": [_finite(asdict(one)) for one in self.examples],
        }

    @classmethod
    def from_json(cls, body: Any, where: str = "evaluation") -> Evaluation:
        """What ``to_json`` gave. Raises ``EvaluationError``; ``where`` names the file in it."""
        if not isinstance(body, Mapping) or body.get("kind") != KIND:
            raise EvaluationError(f"{where}: not a stored evaluation (kind is not {KIND!r})")
        if body.get("version") != VERSION:
            raise EvaluationError(
                f"{where}: version {body.get('version')} of the format; this program reads "
                f"{VERSION}: evaluate again"
            )
        try:
            return cls(
                name=str(body["name"]),
                weather_mode=WeatherMode(body["weather_mode"]),
                levels=tuple(float(one) for one in body["levels"]),
                references=tuple(str(one) for one in body["references"]),
                overall=Measures.from_json(body["overall"]),
                median_site=Measures.from_json(body["median_site"]),
                bad_site=Measures.from_json(body["bad_site"]),
                all_times=Measures.from_json(body["all_times"]),
                by_horizon=_groups(body["by_horizon"]),
                by_month=_groups(body["by_month"]),
                by_regime=_groups(body["by_regime"]),
                by_site=_groups(body["by_site"]),
                tests={str(name): _test(one) for name, one in body["tests"].items()},
                days=int(body["days"]),
                start=parse_iso8601(body["start"]),
                end=parse_iso8601(body["end"]),
                daily=tuple(_site_days(one) for one in body["daily"]),
                examples=tuple(_example(one) for one in body["examples"]),
                notes=tuple(str(one) for one in body["notes"]),
                seed=int(body["seed"]),
            )
        except KeyError as error:
            raise EvaluationError(f"{where}: {error.args[0]!r} is missing") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise EvaluationError(f"{where}: not a stored evaluation: {error}") from None


_SINGLE = ("overall", "median_site", "bad_site", "all_times")
_GROUPED = ("by_horizon", "by_month", "by_regime", "by_site")


def load_json(path: Path) -> Any:
    """The JSON of a file. Raises ``EvaluationError`` naming it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EvaluationError(f"{path}: {error.strerror or 'cannot be read'}") from None
    except ValueError as error:
        raise EvaluationError(f"{path}: not JSON: {error}") from None


def _groups(body: Mapping[str, Any]) -> dict[str, Measures]:
    return {str(name): Measures.from_json(one) for name, one in body.items()}


def _test(body: Mapping[str, Any]) -> DieboldMariano:
    return DieboldMariano(
        _number(body["statistic"]), _number(body["p_value"]), int(body["lags"]), int(body["days"])
    )


def _site_days(body: Mapping[str, Any]) -> SiteDays:
    days = SiteDays(
        str(body["site"]),
        float(body["capacity_w"]),
        _row(body["days"], int),
        _row(body["pairs"], int),
        _row(body["absolute"], float),
        _row(body["squared"], float),
        _row(body["pinball"], float),
    )
    lengths = {len(getattr(days, name)) for name in ("days", "pairs", "absolute", "squared")}
    if lengths != {len(days.pinball)}:
        raise ValueError(f"daily of {days.site}: rows of different lengths")
    return days


def _example(body: Mapping[str, Any]) -> ExampleDay:
    return ExampleDay(
        str(body["site"]),
        str(body["choice"]),
        float(body["longest_lead_h"]),
        float(body["longitude"]),
        _row(body["times"], int),
        _row(body["measured"], _number),
        tuple(_row(one, _number) for one in body["quantiles"]),
    )


def _row(values: Sequence[Any], of: Callable[[Any], _T]) -> tuple[_T, ...]:
    return tuple(of(one) for one in values)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _finite(value: Any) -> Any:
    """NaN as None, however deep."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
