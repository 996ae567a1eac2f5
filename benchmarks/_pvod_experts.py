"""The forecaster of ``benchmarks.pvod``: the shipped trees and the shipped network, weighed.

Decides the mixture: trees over all leads, trees per group of leads for the median, and the network.
Their shares are fitted per group of leads on the last months of the training span by models that
never saw them; then all are fitted again on the whole of it. The first models are handed out too:
what they said of those months is what a box has learned from when the test begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks._pvod_tables import Table, days_before, first_instant, gather
from central.training.dataset import Rows
from central.training.feature_net import NetSettings, TrainedNet, fit_feature_net
from central.training.trees import TreeSettings, fit_boosters, predict_boosters
from models.contract.forecast import LEVELS, MEDIAN
from models.contract.timestamps import Instant
from models.features.site import FloatArray, IntArray
from models.features.sky import CSI_MAX
from models.features.spec import ANCHOR

Groups = tuple[tuple[int, ...], ...]
EXPERTS = ("trees", "trees_by_lead", "net")
WEIGH_SHARE = 0.25
"""The last share of the training span on which the mixture is weighed."""
_STEP = 0.1
_TOWARDS_EQUAL = 0.02
"""Relative loss that a mixture may cost for being the equal one: shares are noisy."""


@dataclass(frozen=True)
class Sizes:
    """Cost of one mixture. Trees stop at their count: it was found inside the training span."""

    rows: int = 100_000
    by_lead_rows: int = 40_000
    """Per lead of the group."""
    bags: int = 3
    """Boosters of the median that are averaged in the last fit, each from rows of its own."""
    weigh_rows: int = 60_000
    median: TreeSettings = TreeSettings(200, 6, 0.05, 20.0, 0.5, 0.3, 200)
    outer: TreeSettings = TreeSettings(100, 5, 0.08, 50.0, 0.5, 0.3, 100)
    by_lead: TreeSettings = TreeSettings(200, 6, 0.05, 20.0, 0.5, 0.3, 200)
    net: NetSettings = NetSettings(members=6, epochs=8)
    threads: int = 2
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Mixture:
    """Fitted experts; ``shares[group]`` in the order of ``EXPERTS``."""

    groups: Groups
    boosters: dict[float, list[Any]]
    """By level, to be averaged."""
    by_lead: list[list[Any]]
    """By group."""
    net: TrainedNet
    shares: FloatArray

    def medians(self, table: Table) -> dict[str, FloatArray]:
        """Power [W] of each expert, (issues, leads), NaN where not scored."""
        anchor = table.features[:, ANCHOR]
        level = LEVELS[MEDIAN]
        trees = predict_boosters(self.boosters[level], table.features).mean(axis=1)
        lead = _leads_of(table)
        near = np.empty(len(anchor))
        for group, boosters in zip(self.groups, self.by_lead, strict=True):
            here = np.isin(lead, group)
            if here.any():
                near[here] = predict_boosters(boosters, table.features[here]).mean(axis=1)
        net = self.net.predict(table.features)[:, self.net.levels.index(level)].astype(np.float64)
        found = dict(zip(EXPERTS, (trees, near, net), strict=True))
        return {name: _power(table, anchor + change) for name, change in found.items()}

    def quantiles(self, table: Table) -> FloatArray:
        """Power [W], (issues, levels, leads), NaN where not scored; sorted and clamped."""
        anchor = table.features[:, ANCHOR, None]
        levels = [predict_boosters(self.boosters[level], table.features) for level in LEVELS]
        of_trees = np.stack([bags.mean(axis=1) for bags in levels], axis=1)
        share = self._share_of(table)
        of_net = share[:, 2, None]
        outer = anchor + (1.0 - of_net) * of_trees + of_net * self.net.predict(table.features)
        power = np.moveaxis(table.spread(np.sort(outer, axis=1)), -1, 1) * table.clear[:, None]
        median = self.median(table)
        power[:, :MEDIAN] = np.minimum(power[:, :MEDIAN], median[:, None])
        power[:, MEDIAN + 1 :] = np.maximum(power[:, MEDIAN + 1 :], median[:, None])
        power[:, MEDIAN] = median
        return np.asarray(np.clip(power, 0.0, table.learned.limit_w))

    def median(self, table: Table) -> FloatArray:
        """Power [W] of the mixture, (issues, leads)."""
        experts = self.medians(table)
        share = table.spread(self._share_of(table))
        powers = np.stack([experts[name] for name in EXPERTS], axis=-1)
        return np.asarray((share * powers).sum(axis=-1))

    def _share_of(self, table: Table) -> FloatArray:
        lead = _leads_of(table)
        share = np.zeros((len(lead), len(EXPERTS)))
        for group, row in zip(self.groups, self.shares, strict=True):
            share[np.isin(lead, group)] = row
        return share


def weighed_from(tables: Sequence[Table], train_until: Instant) -> Instant:
    """Where the months begin that the first models never saw."""
    return int(train_until - WEIGH_SHARE * (train_until - first_instant(tables)))


def fit_mixture(
    tables: Sequence[Table],
    train_until: Instant,
    groups: Groups,
    sizes: Sizes,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[Mixture, Mixture | None]:
    """Weigh on the end of the training span, then fit on the whole of it.

    Returns the last models, and the first ones with the shares they were found to deserve; none
    where the training span is too short for both.
    """
    begin, weigh_from = first_instant(tables), weighed_from(tables, train_until)
    embargo = days_before(weigh_from, (max(max(group) for group in groups) + 1) / 96 + 1)
    early = [table.part(begin, embargo) for table in tables]
    judge = [table.part(weigh_from, train_until) for table in tables]
    equal = np.full((len(groups), len(EXPERTS)), 1.0 / len(EXPERTS))
    shares, first = equal, None
    if any(len(t.features) for t in early) and any(len(t.features) for t in judge):
        progress("weighing the experts")
        first = _fit(early, groups, equal, replace(sizes, bags=1), sizes.weigh_rows)
        shares = _fit_shares(first, [one for one in judge if len(one.features)])
        first = replace(first, shares=shares)
    progress("fitting on the whole training span")
    every = [table.part(begin, train_until) for table in tables]
    return _fit(every, groups, shares, sizes, sizes.rows), first


def _fit(
    tables: Sequence[Table],
    groups: Groups,
    shares: FloatArray,
    sizes: Sizes,
    most: int,
) -> Mixture:
    rows, lead = gather([table for table in tables if len(table.features)])
    random = np.random.default_rng(sizes.seed)
    everything = np.arange(len(rows))
    some = _some(rows, everything, most, random)
    boosters: dict[float, list[Any]] = {
        level: [_boost(some, level, sizes.outer, sizes)]
        for level in LEVELS
        if level != LEVELS[MEDIAN]
    }
    boosters[LEVELS[MEDIAN]] = []
    by_lead: list[list[Any]] = [[] for _ in groups]
    for bag in range(sizes.bags):
        own = replace(sizes, seed=sizes.seed + bag)
        part = _some(rows, everything, most, random) if bag else some
        boosters[LEVELS[MEDIAN]].append(_boost(part, LEVELS[MEDIAN], sizes.median, own))
        for group, bags in zip(groups, by_lead, strict=True):
            count = sizes.by_lead_rows * len(group) * most // sizes.rows
            part = _some(rows, np.flatnonzero(np.isin(lead, group)), count, random)
            bags.append(_boost(part, LEVELS[MEDIAN], sizes.by_lead, own))
    net = fit_feature_net(some, None, replace(sizes.net, seed=sizes.seed), levels=LEVELS)
    return Mixture(groups, boosters, by_lead, net, shares)


def _some(rows: Rows, where: IntArray, most: int, random: np.random.Generator) -> Rows:
    """At most so many of the rows ``where``; neighbours in time teach nearly the same."""
    if len(where) > most:
        where = np.sort(random.choice(where, most, replace=False))
    return _take(rows, where)


def _boost(rows: Rows, level: float, settings: TreeSettings, sizes: Sizes) -> Any:
    settings = replace(settings, patience=settings.trees, threads=sizes.threads, seed=sizes.seed)
    # The count of trees is given, so nothing is stopped: any rows will do to watch.
    return fit_boosters(rows, _take(rows, np.arange(min(64, len(rows)))), settings, levels=[level])[
        0
    ]


def _fit_shares(mixture: Mixture, tables: Sequence[Table]) -> FloatArray:
    """Per group of leads: the convex shares with the least mean absolute error over the sites."""
    ticks = round(1.0 / _STEP)
    mixtures = np.array(
        [(a, b, ticks - a - b) for a, b in product(range(ticks + 1), repeat=2) if a + b <= ticks]
    )
    mixtures = np.vstack([mixtures / ticks, np.full(len(EXPERTS), 1.0 / len(EXPERTS))])
    far = 1.0 + _TOWARDS_EQUAL * ((mixtures - 1.0 / len(EXPERTS)) ** 2).sum(axis=1)
    losses = np.zeros((len(mixture.groups), len(mixtures)))
    for table in tables:
        experts = mixture.medians(table)
        powers = np.stack([experts[name] for name in EXPERTS])
        for place, group in enumerate(mixture.groups):
            columns = np.isin(table.leads, group)
            actual, known = table.actual[:, columns], table.scored[:, columns]
            for number, share in enumerate(mixtures):
                error = np.abs(np.tensordot(share, powers[:, :, columns], 1) - actual)[known]
                losses[place, number] += error.mean() / table.norm_w if len(error) else 0.0
    return np.asarray(mixtures[np.argmin(losses * far, axis=1)])


def _power(table: Table, index: npt.NDArray[np.floating[Any]]) -> FloatArray:
    spread = np.clip(table.spread(np.asarray(index)), 0.0, CSI_MAX) * table.clear
    return np.asarray(np.clip(spread, 0.0, table.learned.limit_w))


def _leads_of(table: Table) -> IntArray:
    return np.asarray(np.broadcast_to(table.leads, table.scored.shape)[table.scored])


def _take(rows: Rows, chosen: npt.NDArray[np.generic]) -> Rows:
    return Rows(rows.features[chosen], rows.target[chosen], rows.weight[chosen])
