"""``evaluate``: from forecasts and measurements of some sites to an :class:`Evaluation`.

    evaluation = evaluate("blend", [ForecastSet(...), ...], WeatherMode.NONE)
    evaluation.overall["nmae"], evaluation.overall["mae_skill/smart_persistence"]

Scores are those of each site, then the mean over sites; intervals come from one set of block draws
that all sites, references and groups share. Groups of the calendar have no interval: a month is
four blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.contract.forecast import LEVELS, WeatherMode
from models.features.site import FloatArray, IntArray

from .evaluation import Evaluation, SiteDays
from .examples import example_days
from .forecasts import EvaluationError, ForecastSet, check_sets
from .groups import HORIZONS, NIGHT, REGIMES, Horizon, month_of
from .measures import Measures, bad_site, mean_over_sites, median_over_sites
from .significance import BLOCK_DAYS, MIN_BLOCKS, BlockDraws, DieboldMariano, diebold_mariano
from .sums import SiteSums, collect

EXAMPLES = 3


@dataclass(frozen=True, eq=False)
class _SiteGroups:
    """One site's scores by group; daily losses only where an interval is drawn from them."""

    sums: SiteSums
    """Without the cells, which are large."""
    overall: FloatArray
    """Daily sums (columns, days)."""
    horizons: dict[str, FloatArray]
    regimes: dict[str, FloatArray]
    months: dict[str, Measures]
    all_times: Measures


def evaluate(
    name: str,
    sets: Sequence[ForecastSet],
    weather_mode: WeatherMode,
    *,
    levels: Sequence[float] = LEVELS,
    horizons: Sequence[Horizon] = HORIZONS,
    seed: int = 0,
    notes: Sequence[str] = (),
    examples: int = EXAMPLES,
) -> Evaluation:
    """Judge the forecasts of one model.

    Args:
        name: of the model
        sets: one per site; nothing of these spans may have influenced the model
        weather_mode: what the forecasts knew of future weather; stands in every report
        levels: of the quantiles, ascending, with 0.5, which is the point forecast
        horizons: buckets of lead times; leads outside them count in all other scores
        seed: of the bootstrap
        notes: what a reader has to know, such as what the capacity is
        examples: days kept to be drawn
    Raises:
        EvaluationError: the sets do not fit together, or hold no daylight pair.
    """
    levels = tuple(float(one) for one in levels)
    references = check_sets(sets, levels)
    sites = [_groups(collect(one, levels, horizons), horizons) for one in sets]
    by_site = {one.sums.site: one.sums.measures(one.overall) for one in sites}
    scored = [one for one in sites if by_site[one.sums.site].pairs]
    if not scored:
        raise EvaluationError(
            f"{name}: nothing to score: no site has a daylight interval with a measurement, all "
            "quantiles and all references"
        )
    days = np.unique(np.concatenate([_lit_days(one) for one in scored]))
    draws = BlockDraws.draw(len(days), seed)
    columns = scored[0].sums.columns

    def judged(group: list[tuple[SiteSums, FloatArray]]) -> Measures:
        found = mean_over_sites([site.measures(daily) for site, daily in group])
        losses = [(site.days, daily) for site, daily in group]
        return found.with_values(_intervals(losses, columns, references, days, draws))

    of_sites = [by_site[one.sums.site] for one in scored]
    return Evaluation(
        name=name,
        weather_mode=weather_mode,
        levels=levels,
        references=references,
        overall=judged([(one.sums, one.overall) for one in scored]),
        median_site=median_over_sites(of_sites),
        bad_site=bad_site(of_sites),
        all_times=mean_over_sites([one.all_times for one in scored]),
        by_horizon={
            bucket.name: judged(group)
            for bucket in horizons
            if (group := _with(scored, "horizons", bucket.name))
        },
        by_month={
            month: mean_over_sites([one.months[month] for one in scored if month in one.months])
            for month in sorted({month for one in scored for month in one.months})
        },
        by_regime={
            regime: judged(group)
            for regime in REGIMES[:NIGHT]
            if (group := _with(scored, "regimes", regime))
        },
        by_site=by_site,
        tests={ref: _test(scored, columns, ref, days) for ref in references},
        days=len(days),
        start=min(one.sums.start for one in scored if one.sums.start is not None),
        end=max(one.sums.end for one in scored if one.sums.end is not None),
        daily=tuple(_daily(one, len(levels)) for one in scored),
        examples=example_days(_typical(scored, sets), levels, examples),
        notes=(*notes, *_own_notes(sites, by_site, draws)),
        seed=seed,
    )


def _groups(sums: SiteSums, horizons: Sequence[Horizon]) -> _SiteGroups:
    overall = sums.group()
    lit = overall[0] > 0
    names = np.array([month_of(int(day)) for day in sums.days], dtype=np.str_)
    return _SiteGroups(
        replace(sums, cells=np.zeros(0)),
        overall,
        {one.name: sums.group(horizon=k) for k, one in enumerate(horizons)},
        {name: sums.group(regime=k) for k, name in enumerate(REGIMES[:NIGHT])},
        {str(name): sums.measures(overall[:, names == name]) for name in np.unique(names[lit])},
        sums.measures(sums.all_times()),
    )


def _with(sites: Sequence[_SiteGroups], kind: str, name: str) -> list[tuple[SiteSums, FloatArray]]:
    """The sites that have pairs in a group, with their daily sums."""
    found = []
    for one in sites:
        daily = getattr(one, kind).get(name)
        if daily is not None and daily[0].sum() > 0:
            found.append((one.sums, daily))
    return found


def _lit_days(one: _SiteGroups) -> IntArray:
    return np.asarray(one.sums.days[one.overall[0] > 0])


def _intervals(
    sites: Sequence[tuple[IntArray, FloatArray]],
    columns: tuple[str, ...],
    references: Sequence[str],
    days: IntArray,
    draws: BlockDraws,
) -> dict[str, float]:
    """Ends of the skills' intervals: in each draw the mean over sites, as in the scores."""
    rows = [columns.index(name) for name in ("pairs", "absolute", "squared")]
    for name in references:
        rows += [columns.index(f"absolute/{name}"), columns.index(f"squared/{name}")]
    total = np.zeros((len(draws.counts), len(rows) - 1))
    sites_drawn = np.zeros((len(draws.counts), 1))
    for own, daily in sites:
        lit = np.isin(own, days)
        sums = draws.sums(daily[rows][:, lit], np.searchsorted(days, own[lit]))
        drawn = sums[:, :1] > 0
        mean = sums[:, 1:] / np.maximum(sums[:, :1], 1.0)
        mean[:, 1::2] = np.sqrt(mean[:, 1::2])
        total += np.where(drawn, mean, 0.0)
        sites_drawn += drawn
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = total / sites_drawn
        found = {}
        for k, reference in enumerate(references):
            for j, skill in enumerate(("mae_skill", "rmse_skill")):
                low, high = draws.interval(1.0 - errors[:, j] / errors[:, 2 + 2 * k + j])
                found[f"{skill}_low/{reference}"] = low
                found[f"{skill}_high/{reference}"] = high
    return found


def _test(
    sites: Sequence[_SiteGroups], columns: tuple[str, ...], reference: str, days: IntArray
) -> DieboldMariano:
    """On each day the mean over sites of the difference of their mean absolute errors."""
    ours, theirs = columns.index("absolute"), columns.index(f"absolute/{reference}")
    total, count = np.zeros(len(days)), np.zeros(len(days))
    for one in sites:
        lit = one.overall[0] > 0
        place = np.searchsorted(days, one.sums.days[lit])
        daily = one.overall[:, lit]
        total[place] += (daily[ours] - daily[theirs]) / daily[0]
        count[place] += 1
    return diebold_mariano(total / count)


def _daily(one: _SiteGroups, levels: int) -> SiteDays:
    lit = one.overall[0] > 0
    daily = dict(zip(one.sums.columns, one.overall[:, lit], strict=True))
    pinball = sum(values for name, values in daily.items() if name.startswith("pinball/"))

    def row(values: FloatArray) -> tuple[float, ...]:
        return tuple(float(f"{value:.9g}") for value in values)

    return SiteDays(
        one.sums.site,
        one.sums.capacity_w,
        tuple(int(day) for day in one.sums.days[lit]),
        tuple(int(pairs) for pairs in daily["pairs"]),
        row(daily["absolute"]),
        row(daily["squared"]),
        row(np.asarray(pinball) / levels),
    )


def _typical(sites: Sequence[_SiteGroups], sets: Sequence[ForecastSet]) -> ForecastSet:
    """The site with the median error, whose days are drawn."""
    ranked = sorted(sites, key=lambda one: one.sums.measures(one.overall)["nmae"])
    name = ranked[(len(ranked) - 1) // 2].sums.site
    return next(one for one in sets if one.site == name)


def _own_notes(
    sites: Sequence[_SiteGroups], by_site: dict[str, Measures], draws: BlockDraws
) -> list[str]:
    found = []
    for one in sites:
        if not by_site[one.sums.site].pairs:
            found.append(f"{one.sums.site}: no daylight pair could be scored.")
        elif one.sums.unanswered:
            found.append(
                f"{one.sums.site}: {one.sums.unanswered} measured daylight pairs were left out, "
                "because a quantile or a reference is missing there."
            )
    if not draws.enough:
        found.append(
            f"Fewer than {MIN_BLOCKS * BLOCK_DAYS} days: no intervals, and chance is not excluded."
        )
    return found
