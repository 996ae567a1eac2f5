"""The scores of one group of pairs, by name, and how they are summed up over sites.

| name | what |
|---|---|
| ``mae``, ``rmse`` | W |
| ``nmae``, ``nrmse``, ``bias``, ``pinball``, ``crps`` | share of the capacity |
| ``mape`` | fraction, where at least 5 % of the capacity was produced |
| ``pinball/0.05``, ``reliability/0.05`` | per level: loss; share of actuals at or below |
| ``coverage/90``, ``width/90``, ``winkler/90`` | central intervals of 50, 80 and 90 % |
| ``nmae/NAME``, ``nrmse/NAME`` | of a reference |
| ``mae_skill/NAME``, ``rmse_skill/NAME`` | 1 - ours / the reference's; also ``_low``, ``_high`` |

Nothing is ever pooled in kW: the mean over sites is that of each site's own score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from models import metrics

_SKILLS = {"mae_skill": "nmae", "rmse_skill": "nrmse"}
BETTER_WHEN_HIGH = ("mae_skill", "rmse_skill", "coverage")
BAD_SHARE = 0.9
"""The 90th percentile of the sites by badness."""


@dataclass(frozen=True)
class Measures:
    """Scores by name; a name that is not there was not measured."""

    pairs: int
    values: Mapping[str, float]

    def __getitem__(self, name: str) -> float:
        """The score, NaN where it was not measured."""
        return self.values.get(name, math.nan)

    def of_kind(self, kind: str) -> dict[str, float]:
        """Scores by what stands behind the stroke: levels, intervals or references."""
        return {
            name.split("/", 1)[1]: value
            for name, value in self.values.items()
            if name.startswith(f"{kind}/")
        }

    @classmethod
    def of_sums(cls, sums: Mapping[str, float], capacity_w: float) -> Measures:
        """From the sums of losses of :mod:`central.evaluation.sums`."""
        pairs = int(sums.get("pairs", 0))
        if not pairs:
            return cls(0, MappingProxyType({}))
        mean = {name: float(total) / pairs for name, total in sums.items()}
        values = {
            "mae": mean["absolute"] * capacity_w,
            "rmse": math.sqrt(mean["squared"]) * capacity_w,
            "nmae": mean["absolute"],
            "nrmse": math.sqrt(mean["squared"]),
            "bias": mean["error"],
            "crps": mean["crps"],
        }
        if sums["percentage_pairs"]:
            values["mape"] = float(sums["percentage"] / sums["percentage_pairs"])
        levels = [mean[name] for name in mean if name.startswith("pinball/")]
        values["pinball"] = float(np.mean(levels))
        for name, value in mean.items():
            kind, stroke, which = name.partition("/")
            if kind in ("absolute", "squared") and stroke:
                ours = "nmae" if kind == "absolute" else "nrmse"
                values[f"{ours}/{which}"] = value if kind == "absolute" else math.sqrt(value)
            elif stroke:
                values[name] = value
        return cls(pairs, MappingProxyType(_with_skills(values)))

    def with_values(self, more: Mapping[str, float]) -> Measures:
        """The same with further scores."""
        return Measures(self.pairs, MappingProxyType({**self.values, **more}))

    def to_json(self) -> dict[str, Any]:
        """Numbers by name; NaN as None."""
        finite = {name: _finite(value) for name, value in self.values.items()}
        return {"pairs": self.pairs, **finite}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Measures:
        """The other way. Raises ``KeyError``, ``TypeError`` or ``ValueError``."""
        values = {
            str(name): math.nan if value is None else float(value)
            for name, value in body.items()
            if name != "pairs"
        }
        return cls(int(body["pairs"]), MappingProxyType(values))


def mean_over_sites(sites: Sequence[Measures]) -> Measures:
    """The mean of each score over the sites that have it; skills from the means.

    A skill is 1 minus the ratio of the two mean errors, not the mean of the ratios: a site where
    the reference hardly errs would outweigh all others.
    """
    means = _over_sites(sites, lambda name, values: float(np.mean(values)))
    return Measures(means.pairs, MappingProxyType(_with_skills(dict(means.values))))


def median_over_sites(sites: Sequence[Measures]) -> Measures:
    """The median of each score."""
    return _over_sites(sites, lambda name, values: float(np.median(values)))


def bad_site(sites: Sequence[Measures]) -> Measures:
    """The score that nine of ten sites reach: P90 of losses, P10 of skills and coverages.

    The bias is taken by its size.
    """

    def bad(name: str, values: Sequence[float]) -> float:
        kind = name.partition("/")[0]
        if kind == "bias":
            values = np.abs(values).tolist()
        share = 1.0 - BAD_SHARE if kind in BETTER_WHEN_HIGH else BAD_SHARE
        return float(np.quantile(values, share))

    return _over_sites(sites, bad)


def _over_sites(
    sites: Sequence[Measures], how: Callable[[str, Sequence[float]], float]
) -> Measures:
    names = dict.fromkeys(name for one in sites for name in one.values)
    values = {}
    for name in names:
        known = [one[name] for one in sites if math.isfinite(one[name])]
        values[name] = how(name, known) if known else math.nan
    return Measures(sum(one.pairs for one in sites), MappingProxyType(values))


def _with_skills(values: dict[str, float]) -> dict[str, float]:
    for skill, error in _SKILLS.items():
        references = [name for name in values if name.startswith(f"{error}/")]
        for name in references:
            reference = name.split("/", 1)[1]
            values[f"{skill}/{reference}"] = metrics.skill(values[error], values[name])
    return values


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
