"""What a report of an evaluation says, as tables of words: the text and the page show the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from central.report import numbers
from models.contract.forecast import WeatherMode

from .compare import Comparison
from .evaluation import Evaluation
from .groups import CLEAR, OVERCAST
from .measures import Measures
from .significance import BLOCK_DAYS, CONFIDENCE, DRAWS

_PERCENT = ("mape", "nmae", "nrmse", "bias", "coverage", "width", "skill", "rmse_skill")
_MOST_COLUMNS = 8
_WHOLE = 10_000
"""From here on numbers are shown without decimals, not as powers of ten."""
_SMALLEST = 1e-4
"""Smaller probabilities are only said to be smaller: the test's tail is not known that well."""


@dataclass(frozen=True)
class Grid:
    """A table: the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def comparison_grid(comparison: Comparison) -> Grid:
    """Models by metric, or metrics by model when there are many; ranks in brackets."""
    rows = [("rank", *(_place(comparison, model) for model in comparison.models))]
    for metric, values in comparison.values.items():
        ranks = comparison.ranks.get(metric, {})
        cells = (
            figure(metric, values.get(model, math.nan))
            + (f" ({ranks[model]})" if model in ranks else "")
            for model in comparison.models
        )
        rows.append((heading(metric), *cells))
    table = (("model", *comparison.models), *rows)
    if len(comparison.values) <= _MOST_COLUMNS:
        table = tuple(zip(*table, strict=True))
    note = f"Ordered by {comparison.by}; in brackets the rank by each metric."
    return Grid("Comparison", table[0], table[1:], note)


def _place(comparison: Comparison, model: str) -> str:
    ranked = model not in comparison.unranked
    return str(comparison.models.index(model) + 1) if ranked else numbers.NOTHING


def comparison_remarks(comparison: Comparison) -> Iterator[str]:
    """Best model, how sure that is, and what stands in the way of the comparison."""
    yield f"Best by {comparison.by}: {comparison.best}."
    for name, one in comparison.against_best.items():
        span = span_of(one.low, one.high)
        known = f" ({CONFIDENCE:.0%} interval {span} %)" if span != numbers.NOTHING else ""
        words = "" if one.sure else "; chance could explain it"
        yield (
            f"{comparison.best} against {name}: {numbers.signed_percent(one.gain)} % lower mean"
            f" absolute error{known} over {numbers.counted(one.days, 'day')}{words}."
        )
    yield from comparison.notes


def heading(metric: str) -> str:
    """The name with its unit where it is a share."""
    return f"{metric} [%]" if _is_share(metric) else metric


def figure(metric: str, value: float) -> str:
    """Shares in percent, everything else with four digits."""
    if math.isnan(value):
        return numbers.NOTHING
    if _is_share(metric):
        return numbers.percent(value, 2)
    if abs(value) >= _WHOLE:
        return numbers.count(round(value)).replace("-", numbers.MINUS)
    return f"{value:.4g}".replace("-", numbers.MINUS)


def span_of(low: float, high: float) -> str:
    """``+3.1 to +20.4``; a dash when there is no interval."""
    if math.isnan(low) or math.isnan(high):
        return numbers.NOTHING
    return f"{numbers.signed_percent(low)} to {numbers.signed_percent(high)}"


def alarms(evaluation: Evaluation) -> Iterator[str]:
    """What makes the scores worth less than they look."""
    if evaluation.weather_mode is WeatherMode.PERFECT:
        yield "Observed weather was used as if it had been forecast: an upper bound, gates nothing."
    if evaluation.weather_mode is WeatherMode.NWP_UNKNOWN_ISSUE:
        yield "Weather forecasts of unknown issue time were used: possibly known too early."


def summary(evaluation: Evaluation) -> str:
    """What was scored, in a line."""
    return (
        f"weather mode {evaluation.weather_mode.value};"
        f" {numbers.minute(evaluation.start)} to {numbers.minute(evaluation.end)} UTC,"
        f" {numbers.counted(evaluation.days, 'day')},"
        f" {numbers.counted(len(evaluation.by_site), 'site')},"
        f" {numbers.counted(evaluation.overall.pairs, 'daylight pair')}"
    )


def limits(evaluation: Evaluation) -> Iterator[str]:
    """How to read the scores."""
    yield (
        "Scores are the mean over sites of each site's own, in daylight; all-times scores count the"
        " nights, too, and must not be mixed with them."
    )
    yield (
        f"Intervals hold the central {CONFIDENCE:.0%} of {DRAWS} draws of circular blocks of"
        f" {BLOCK_DAYS} days, the same for all sites and references."
    )
    if evaluation.by_regime:
        yield (
            f"Sky of the hour by measured over clear-sky energy: overcast below {OVERCAST:g}, clear"
            f" from {CLEAR:g} on. It is known only afterwards and explains errors."
        )
    yield (
        f"CRPS is that of the quantile function linear between the {len(evaluation.levels)} levels"
        " and constant beyond them."
    )
    yield from evaluation.notes


def evaluation_grids(evaluation: Evaluation) -> Iterator[Grid]:
    """All tables of an evaluation."""
    yield _overall(evaluation)
    if evaluation.references:
        yield _references(evaluation)
    yield _groups("By lead time", "lead", evaluation, evaluation.by_horizon)
    yield _groups("By month", "month", evaluation, evaluation.by_month)
    if set(evaluation.by_regime) != {"unknown"}:
        yield _groups("By sky of the hour", "sky", evaluation, evaluation.by_regime)
    yield _groups("By site", "site", evaluation, evaluation.by_site)
    if evaluation.overall.of_kind("coverage"):
        yield _intervals(evaluation.overall)
    yield _levels(evaluation)


def _overall(evaluation: Evaluation) -> Grid:
    rows = []
    for name, one in (
        ("mean over sites", evaluation.overall),
        ("median site", evaluation.median_site),
        ("P90 site", evaluation.bad_site),
        ("all times, mean", evaluation.all_times),
    ):
        rows.append(
            (
                name,
                *(numbers.watts(one[error]) for error in ("mae", "rmse")),
                *_percents(one, ("nmae", "nrmse", "mape"), 2),
                numbers.signed_percent(one["bias"], 2),
                *_percents(one, ("pinball", "crps"), 2),
            )
        )
    columns = ("", "MAE", "RMSE", "nMAE", "nRMSE", "MAPE", "bias", "pinball", "CRPS")
    note = "Percent; of capacity but for MAPE. P90 site: nine of ten sites do better, per score."
    return Grid("Overall", columns, tuple(rows), note)


def _references(evaluation: Evaluation) -> Grid:
    overall, rows = evaluation.overall, []
    for name in evaluation.references:
        test = evaluation.tests[name]
        cells = [name]
        for error, skill in (("nmae", "mae_skill"), ("nrmse", "rmse_skill")):
            cells += [
                numbers.percent(overall[f"{error}/{name}"], 2),
                numbers.signed_percent(overall[f"{skill}/{name}"]),
                span_of(overall[f"{skill}_low/{name}"], overall[f"{skill}_high/{name}"]),
            ]
        rows.append((*cells, _probability(test.p_value)))
    columns = (
        "reference",
        "its nMAE", "MAE skill", "interval",
        "its nRMSE", "RMSE skill", "interval",
        "DM p",
    )  # fmt: skip
    note = "DM p: Diebold-Mariano test of equal daily error with HAC variance, two-sided."
    return Grid("Against the references", columns, tuple(rows), note)


def _groups(title: str, name: str, evaluation: Evaluation, groups: Mapping[str, Measures]) -> Grid:
    first = evaluation.references[:1]
    intervals = [k for k in ("80", "90") if k in evaluation.overall.of_kind("coverage")]
    columns = (
        name, "pairs", "nMAE", "nRMSE", "bias",
        *("skill" for _ in first),
        *("interval" for _ in first),
        "CRPS",
        *(f"in {k} %" for k in intervals),
        *(f"width {k} %" for k in intervals),
    )  # fmt: skip
    rows = [
        (
            key,
            numbers.count(one.pairs),
            *_percents(one, ("nmae", "nrmse"), 2),
            numbers.signed_percent(one["bias"], 2),
            *(numbers.signed_percent(one[f"mae_skill/{ref}"]) for ref in first),
            *(span_of(one[f"mae_skill_low/{r}"], one[f"mae_skill_high/{r}"]) for r in first),
            numbers.percent(one["crps"], 2),
            *_percents(one, [f"coverage/{k}" for k in intervals], 1),
            *_percents(one, [f"width/{k}" for k in intervals], 1),
        )
        for key, one in groups.items()
    ]
    if all(row[6] == numbers.NOTHING for row in rows) and first:
        rows = [(*row[:6], *row[7:]) for row in rows]
        columns = (*columns[:6], *columns[7:])
    against = "".join(f"; skill: 1 - MAE / MAE of {one}" for one in first)
    return Grid(title, columns, tuple(rows), f"Percent of capacity, daylight{against}.")


def _intervals(one: Measures) -> Grid:
    rows = tuple(
        (f"{k} %", *_percents(one, (f"coverage/{k}", f"width/{k}", f"winkler/{k}"), 2))
        for k in one.of_kind("coverage")
    )
    return Grid(
        "Central intervals",
        ("interval", "measured inside", "mean width", "Winkler score"),
        rows,
        "Percent; width and Winkler score in percent of capacity.",
    )


def _levels(evaluation: Evaluation) -> Grid:
    losses = evaluation.overall.of_kind("pinball")
    shares = evaluation.overall.of_kind("reliability")
    rows = tuple(
        (f"{float(k):g}", numbers.percent(shares[k]), numbers.percent(losses[k], 3)) for k in losses
    )
    return Grid(
        "By level",
        ("level", "measured at or below [%]", "pinball loss [%]"),
        rows,
        "The share equals the level when the forecast is reliable.",
    )


def _percents(one: Measures, names: Sequence[str], digits: int) -> list[str]:
    return [numbers.percent(one[name], digits) for name in names]


def _probability(value: float) -> str:
    if math.isnan(value):
        return numbers.NOTHING
    return f"{value:.2g}" if value >= _SMALLEST else f"< {_SMALLEST:g}"


def _is_share(metric: str) -> bool:
    return metric.lower().split("_")[0] in _PERCENT or metric.lower().startswith("rmse_skill")
