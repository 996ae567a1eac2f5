"""Training of ``demand_forecast``: rows from many homes, one booster per level, and its scores.

Decides what is drawn from a home's history and how much each home counts (all alike: powers are
shares of the home's own level). Features and the meaning of the target are those of the box
(``models.features.demand``, ``models.forecasters.demand``). Converting the boosters and putting
them into a bundle is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from models.contract.forecast import MEDIAN
from models.features.build import FeatureArray
from models.features.demand import DemandTable, build_demand_features
from models.features.demand_history import DemandSeries
from models.features.demand_spec import ANCHOR, DEMAND_FEATURES, HISTORY_DAYS, HORIZON_HOURS
from models.features.site import FloatArray, IntArray
from models.forecasters.demand import DemandForecaster, expected_demand, target_change
from models.metrics import coverage, mae, pinball, rmse

from .dataset import Rows
from .errors import TrainingDataError
from .trees import TreeSettings, fit_boosters, predict_boosters, refit_boosters

Progress = Callable[[str], None]
MIN_DAYS = 42
"""Less history than this teaches nothing about a home's weeks."""
LEAST_KNOWN = 0.3
"""Share of known steps below which a home is left out."""
COLD_SHARE = 0.08
"""Share of issues seen as a young home sees them."""
_ISSUES_AT_ONCE = 250
GOLDEN_ROWS = 64


@dataclass(frozen=True, eq=False)
class DemandHome:
    """One home's history; ``first`` and ``last`` bound the targets that may train or judge."""

    name: str
    series: DemandSeries
    first: int = 0
    last: int | None = None

    @property
    def end(self) -> int:
        """First step that is no target any more."""
        return len(self.series) if self.last is None else min(self.last, len(self.series))


@dataclass(frozen=True)
class DemandSettings:
    """Size of a training. ``lead_hours`` restricts the leads (from, to), e.g. one hour ahead."""

    trees: TreeSettings = field(
        default_factory=lambda: TreeSettings(
            trees=80, depth=5, learning_rate=0.08, min_child_weight=60.0, fewest=30, patience=20
        )
    )
    rows: int = 300_000
    leads_per_issue: int = 12
    lead_hours: tuple[float, float] = (0.0, float(HORIZON_HOURS))
    train_share: float = 0.7
    stop_share: float = 0.12
    """The rest judges."""
    case_every: int = 7
    seed: int = 1


@dataclass(frozen=True, eq=False)
class DemandModel:
    """A finished training. Golden outputs are ``predict`` of the boosters on ``golden_features``.

    ``rows`` are what the boosters were fitted on: the parity gate wants real ones.
    """

    boosters: list[Any]
    metrics: dict[str, float]
    golden_features: FeatureArray
    golden_changes: FeatureArray
    rows: FeatureArray
    left_out: dict[str, str]


class BoosterTrees:
    """Boosters behind the interface of compiled trees."""

    def __init__(self, boosters: Sequence[Any]) -> None:
        self._boosters = list(boosters)

    def predict(self, inputs: FeatureArray) -> FeatureArray:
        """(rows, features) -> (rows, levels)"""
        return predict_boosters(self._boosters, inputs)


def train_demand(
    homes: Sequence[DemandHome],
    settings: DemandSettings = DemandSettings(),
    progress: Progress = lambda text: None,
) -> DemandModel:
    """Fit, stop early, judge on the last part of every home, then fit again on everything.

    Raises:
        TrainingDataError: no home has enough history; says why for each.
    """
    usable, left_out = usable_homes(homes)
    for name, reason in left_out.items():
        progress(f"left out: {name}: {reason}")
    if not usable:
        raise TrainingDataError(
            "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
            or "no home has a history to train on"
        )
    random = np.random.default_rng(settings.seed)
    parts: dict[str, list[DemandHome]] = {"train": [], "stop": [], "judge": []}
    for home in usable:
        for name, part in _spans(home, settings).items():
            parts[name].append(part)
    train = draw_demand_rows(parts["train"], settings, random)
    stop = draw_demand_rows(parts["stop"], replace(settings, rows=settings.rows // 4), random)
    boosters = fit_boosters(train, stop, settings.trees, progress, names=DEMAND_FEATURES)
    metrics = judge_demand(parts["judge"], DemandForecaster(BoosterTrees(boosters)), settings)
    everything = draw_demand_rows(usable, settings, random)
    boosters = refit_boosters(everything, boosters, settings.trees, names=DEMAND_FEATURES)
    chosen = np.linspace(0, len(everything) - 1, GOLDEN_ROWS).astype(np.int64)
    golden = everything.features[chosen]
    return DemandModel(
        boosters, metrics, golden, predict_boosters(boosters, golden), everything.features, left_out
    )


def usable_homes(homes: Sequence[DemandHome]) -> tuple[list[DemandHome], dict[str, str]]:
    """Homes that can teach, and why the others cannot."""
    usable, left_out = [], {}
    for home in homes:
        days = (home.end - home.first) / home.series.steps_per_day
        known = np.isfinite(home.series.demand[home.first : home.end])
        if days < MIN_DAYS:
            left_out[home.name] = f"{days:.0f} days of history, at least {MIN_DAYS} are needed"
        elif known.mean() < LEAST_KNOWN:
            left_out[home.name] = f"only {known.mean():.0%} of its steps are known"
        else:
            usable.append(home)
    return usable, left_out


def draw_demand_rows(
    homes: Sequence[DemandHome], settings: DemandSettings, random: np.random.Generator
) -> Rows:
    """About ``settings.rows`` rows, as many from each home, whose targets lie in its bounds."""
    parts = []
    for home in homes:
        rows = _home_rows(home, settings, settings.rows // len(homes), random)
        # A home with few rows counts as much as the others.
        weight = np.full(len(rows), settings.rows / len(homes) / max(len(rows), 1), np.float32)
        parts.append(Rows(rows.features, rows.target, np.minimum(weight, np.float32(3.0))))
    return Rows(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.target for part in parts]),
        np.concatenate([part.weight for part in parts]),
    )


def judge_demand(
    homes: Sequence[DemandHome], forecaster: DemandForecaster, settings: DemandSettings
) -> dict[str, float]:
    """Means over the homes of errors as shares of the home's mean demand, and coverage."""
    figures = []
    leads = _all_leads(homes[0].series, settings)
    for home in homes:
        leads = _all_leads(home.series, settings)
        issues = np.arange(max(home.first, 1), home.end - int(leads[-1]), settings.case_every)
        chunks = [
            forecaster.quantiles(build_demand_features(home.series, chunk, leads))
            for chunk in np.array_split(issues, max(1, len(issues) // _ISSUES_AT_ONCE))
            if len(chunk)
        ]
        if not chunks:
            continue
        quantiles = np.moveaxis(np.concatenate(chunks), -1, 0)
        actual = home.series.demand[issues[:, None] + leads]
        mean = float(np.nanmean(actual)) if np.isfinite(actual).any() else float("nan")
        figures.append(
            {
                "mae": mae(actual, quantiles[MEDIAN]) / mean,
                "rmse": rmse(actual, expected_demand(np.moveaxis(quantiles, 0, -1))) / mean,
                "pinball": pinball(actual, quantiles) / mean,
                "coverage_80": coverage(actual, quantiles[1], quantiles[-2]),
                "coverage_90": coverage(actual, quantiles[0], quantiles[-1]),
            }
        )
    return {
        name: float(np.mean(known))
        for name in (figures[0] if figures else {})
        if (known := [one[name] for one in figures if np.isfinite(one[name])])
    }


def _spans(home: DemandHome, settings: DemandSettings) -> dict[str, DemandHome]:
    """The home three times over, with the bounds of each span; a horizon lies between them."""
    length = home.end - home.first
    horizon = int(_all_leads(home.series, settings)[-1]) + 1
    edges = [0.0, settings.train_share, settings.train_share + settings.stop_share, 1.0]
    bounds = [home.first + int(edge * length) for edge in edges]
    return {
        name: replace(home, first=low + (horizon if low > home.first else 0), last=high)
        for name, low, high in zip(("train", "stop", "judge"), bounds, bounds[1:], strict=False)
    }


def _home_rows(
    home: DemandHome, settings: DemandSettings, rows: int, random: np.random.Generator
) -> Rows:
    leads = _all_leads(home.series, settings)
    per_issue = min(settings.leads_per_issue, len(leads))
    first = max(home.first - int(leads[0]), home.series.steps_per_day)
    candidates = np.arange(first, max(home.end - int(leads[0]), first))
    wanted = min(len(candidates), max(1, rows // per_issue))
    issues = np.sort(random.choice(candidates, size=wanted, replace=False))
    young = random.random(len(issues)) < COLD_SHARE
    parts = []
    for chunk in np.array_split(issues[~young], max(1, len(issues) // _ISSUES_AT_ONCE)):
        drawn = _draw_leads(leads, per_issue, random)
        parts.append(_rows_of(home, home.series, chunk, drawn, 0))
    for issue in issues[young]:
        drawn = _draw_leads(leads, per_issue, random)
        parts.append(_young_rows(home, int(issue), drawn, random))
    return Rows(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.target for part in parts]),
        np.concatenate([part.weight for part in parts]),
    )


def _young_rows(home: DemandHome, issue: int, leads: IntArray, random: np.random.Generator) -> Rows:
    """Rows of one issue at which the home has been measured for some hours or weeks only."""
    day = home.series.steps_per_day
    begin = max(0, issue - HISTORY_DAYS * day)
    last = min(len(home.series), issue + int(leads[-1]) + 1)
    window = home.series.window(begin, last, int(leads[-1]) + 1 - (last - issue))
    age = int(day * HISTORY_DAYS * random.random() ** 2) + 1
    demand = window.demand.copy()
    demand[: max(0, issue - begin - age)] = np.nan
    local = replace(window, demand=demand)
    return _rows_of(home, local, np.array([issue - begin]), leads, begin)


def _rows_of(
    home: DemandHome, series: DemandSeries, issues: IntArray, leads: IntArray, offset: int
) -> Rows:
    """Rows of the pairs whose target is known and in bounds; ``series`` begins at ``offset``."""
    table: DemandTable = build_demand_features(series, issues, leads)
    target = issues[:, None] + leads
    inside = (target < len(series)) & (target + offset >= home.first)
    inside &= target + offset < home.end
    actual = series.demand[np.minimum(target, len(series) - 1)]
    usable = inside & np.isfinite(actual)
    share: FloatArray = np.maximum(actual, 0.0) / table.level[:, None]
    features = table.features[usable]
    change = target_change(share[usable], features[:, ANCHOR].astype(np.float64))
    return Rows(features, change.astype(np.float32), np.ones(len(features), dtype=np.float32))


def _all_leads(series: DemandSeries, settings: DemandSettings) -> IntArray:
    low, high = (round(hours * 60 / series.step_minutes) for hours in settings.lead_hours)
    return np.arange(low, max(high, low + 1))


def _draw_leads(leads: IntArray, count: int, random: np.random.Generator) -> IntArray:
    """Near leads are drawn more often: there is more to learn about them."""
    place = (len(leads) * random.random(count) ** 1.5).astype(np.int64)
    return np.asarray(leads[np.unique(place)])
