"""Models side by side, and which is best. Takes evaluations and plain dictionaries of metrics.

Rules: models are ordered by one metric, ``by``: the first of nMAE, MAE, RMSE that all of them name,
or the one asked for; each must have it as a finite number. Models equal there are ordered by RMSE,
then MAPE, then name. A metric that some model lacks is shown and not ranked. What used perfect
weather is shown, never ranked and never best.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any

from models.contract.forecast import WeatherMode

from .evaluation import Evaluation
from .forecasts import EvaluationError
from .paired import Paired, paired

if TYPE_CHECKING:
    import pandas as pd

ORDER_BY = ("nMAE", "MAE", "RMSE")
TIE_BREAK = ("RMSE", "MAPE")
_LOW_IS_BETTER = re.compile(
    r"n?(mae|rmse|mse)|s?mape|mase|crps|pinball|winkler(_\d+)?|brier|(val_)?loss", re.IGNORECASE
)
_HIGH_IS_BETTER = re.compile(r"(rmse_|mae_)?skill(_.+)?|r2|r²|accuracy|auc|f1", re.IGNORECASE)
_NEAR_ZERO_IS_BETTER = re.compile(r"bias|mbe", re.IGNORECASE)
_COVERAGE = re.compile(r"coverage_(\d+)", re.IGNORECASE)
_DIGITS = 9
"""Significant digits to which two scores are equal."""

Results = Mapping[str, Any] | Sequence[Evaluation] | Evaluation


@dataclass(frozen=True)
class Comparison:
    """A table of models, best first; ``print`` shows it, ``frame`` is a DataFrame."""

    by: str
    models: tuple[str, ...]
    values: Mapping[str, Mapping[str, float]]
    """Metric -> model -> value; a model without the metric is not there."""
    ranks: Mapping[str, Mapping[str, int]]
    """Metric -> model -> 1 for the best; equal values share a rank."""
    unranked: tuple[str, ...] = ()
    """Models with perfect weather."""
    against_best: Mapping[str, Paired] = field(default_factory=dict)
    """Gain of the best over each other evaluation."""
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> str:
        """The first model."""
        return self.models[0]

    @property
    def frame(self) -> pd.DataFrame:
        """Rows are models, best first; columns the rank and the metrics."""
        import pandas as pd

        ranked = [one for one in self.models if one not in self.unranked]
        columns: dict[str, list[Any]] = {
            "rank": [ranked.index(one) + 1 if one in ranked else None for one in self.models]
        }
        for metric, values in self.values.items():
            columns[metric] = [values.get(one, math.nan) for one in self.models]
        return pd.DataFrame(columns, index=pd.Index(self.models, name="model"))

    def to_json(self) -> dict[str, Any]:
        """For files; NaN as None."""

        def finite(values: Mapping[str, Any]) -> dict[str, Any]:
            return {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in values.items()
            }

        return {
            "by": self.by,
            "order": list(self.models),
            "unranked": list(self.unranked),
            "metrics": {metric: finite(values) for metric, values in self.values.items()},
            "ranks": {metric: dict(ranks) for metric, ranks in self.ranks.items()},
            "gain_of_best": {
                name: {**finite(asdict(one)), "test": finite(asdict(one.test))}
                for name, one in self.against_best.items()
            },
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        from .text import comparison_text

        return comparison_text(self)


def compare_models(results: Results, by: str | None = None) -> Comparison:
    """Rank models.

    Args:
        results: model -> ``{"metrics": {"MAE": 50, ...}}``, or model -> :class:`Evaluation`, mixed
            as you like; or evaluations alone, which know their names
        by: the metric that orders the models
    Raises:
        EvaluationError: there is no model, a metric is no number, or ``by`` is missing or not
            finite for a model; names model and metric.
    """
    models = named_results(results)
    found = {name: read_metrics(name, result) for name, result in models.items()}
    perfect = tuple(
        name
        for name, result in models.items()
        if isinstance(result, Evaluation) and not result.gates
    )
    ranked = {name: values for name, values in found.items() if name not in perfect}
    if not ranked:
        raise EvaluationError(
            f"{', '.join(perfect)}: weather mode 'perfect' is an upper bound; nothing to rank"
        )
    by = _order_by(ranked, by)
    order = sorted(ranked, key=lambda name: _sort_key(name, ranked[name], by))
    metrics = dict.fromkeys(metric for values in found.values() for metric in values)
    ranks: dict[str, dict[str, int]] = {}
    unranked: dict[str, list[str]] = {}
    for metric in metrics:
        lacking = [name for name in ranked if not math.isfinite(ranked[name].get(metric, math.nan))]
        if lacking:
            unranked.setdefault(" and ".join(lacking), []).append(metric)
        elif badness(metric, 0.0) is not None:
            ranks[metric] = _ranks({name: ranked[name][metric] for name in order}, metric)
    notes = [
        f"Not ranked, because {names} has no number: {', '.join(which)}."
        for names, which in unranked.items()
    ]
    for name in perfect:
        notes.append(f"{name} used perfect weather: an upper bound, not ranked.")
    modes = {one.weather_mode for one in models.values() if isinstance(one, Evaluation)}
    modes.discard(WeatherMode.PERFECT)
    if len(modes) > 1:
        words = ", ".join(sorted(one.value for one in modes))
        notes.append(f"The models knew different weather ({words}): part of the gap is that.")
    pairs = {name: one for name in order if isinstance(one := models[name], Evaluation)}
    against, more = _against_best(order[0], pairs)
    return Comparison(
        by,
        (*order, *perfect),
        {
            metric: {name: found[name][metric] for name in found if metric in found[name]}
            for metric in metrics
        },
        ranks,
        perfect,
        against,
        (*notes, *more),
    )


def select_best(results: Results, by: str | None = None) -> tuple[str, Any]:
    """Name and result of the best model, by the rules above; raises as ``compare_models``."""
    best = compare_models(results, by).best
    return best, named_results(results)[best]


def named_results(results: Results) -> dict[str, Any]:
    """Results by model. Raises ``EvaluationError`` when there are none, or a name stands twice."""
    if isinstance(results, Evaluation):
        results = [results]
    if isinstance(results, Mapping):
        named = {str(name): result for name, result in results.items()}
    else:
        named = {}
        for one in results:
            if not isinstance(one, Evaluation):
                raise EvaluationError(
                    f"a list of results holds evaluations, not {type(one).__name__}; "
                    "give a dictionary of model names and metrics"
                )
            if one.name in named:
                raise EvaluationError(f"{one.name}: two evaluations have this name")
            named[one.name] = one
    if not named:
        raise EvaluationError("no results: train or evaluate a model first")
    return named


def read_metrics(model: str, result: Any) -> dict[str, float]:
    """The metrics of one result as numbers, None as NaN."""
    metrics = result.get("metrics") if isinstance(result, Mapping) else None
    if metrics is None:
        metrics = getattr(result, "metrics", None)
    if not isinstance(metrics, Mapping) or not metrics:
        raise EvaluationError(
            f"{model}: has no metrics; expected {{'metrics': {{'MAE': 50, ...}}}} or an Evaluation"
        )
    found = {}
    for metric, value in metrics.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
            raise EvaluationError(f"{model}: metric {metric!r} is not a number: {value!r}")
        found[str(metric)] = math.nan if value is None else float(value)
    return found


def badness(metric: str, value: float) -> float | None:
    """What ranks a metric, least first; None for a metric without a better side."""
    nominal = _COVERAGE.fullmatch(metric)
    if nominal:
        return abs(value - float(nominal[1]) / 100)
    if _NEAR_ZERO_IS_BETTER.fullmatch(metric):
        return abs(value)
    if _LOW_IS_BETTER.fullmatch(metric):
        return value
    return -value if _HIGH_IS_BETTER.fullmatch(metric) else None


def _order_by(found: Mapping[str, Mapping[str, float]], by: str | None) -> str:
    if by is None:
        shared = (one for one in ORDER_BY if all(one in values for values in found.values()))
        by = next(shared, None)
    if by is None:
        sets = "; ".join(f"{name}: {', '.join(values)}" for name, values in found.items())
        raise EvaluationError(
            f"the models share none of {', '.join(ORDER_BY)}; name a metric to compare by ({sets})"
        )
    if badness(by, 0.0) is None:
        raise EvaluationError(f"metric {by!r}: it is not known whether high or low is better")
    for name, values in found.items():
        if by not in values:
            raise EvaluationError(f"{name}: metric {by!r} is missing; it has {', '.join(values)}")
        if not math.isfinite(values[by]):
            raise EvaluationError(
                f"{name}: metric {by!r} is {values[by]}; train again, or leave the model out"
            )
    return by


def _sort_key(name: str, values: Mapping[str, float], by: str) -> tuple[Any, ...]:
    keys: list[Any] = []
    for metric in (by, *TIE_BREAK):
        bad = badness(metric, values.get(metric, math.nan))
        keys.append(math.inf if bad is None or math.isnan(bad) else _rounded(bad))
    return (*keys, name)


def _ranks(values: Mapping[str, float], metric: str) -> dict[str, int]:
    bad = {name: _rounded(badness(metric, value) or 0.0) for name, value in values.items()}
    return {name: 1 + sum(other < own for other in bad.values()) for name, own in bad.items()}


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _against_best(
    best: str, evaluations: Mapping[str, Evaluation]
) -> tuple[dict[str, Paired], list[str]]:
    found: dict[str, Paired] = {}
    notes: list[str] = []
    if best not in evaluations:
        return found, notes
    for name, one in evaluations.items():
        if name == best:
            continue
        try:
            found[name] = paired(evaluations[best], one)
        except EvaluationError as error:
            notes.append(f"No paired interval: {error}.")
            continue
        if found[name].left_out:
            notes.append(
                f"{best} and {name} were not scored on the same pairs on "
                f"{found[name].left_out} days of sites: the gain leaves them out, "
                "the table does not."
            )
    return found, notes
