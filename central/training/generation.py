"""The generation's models: trees, those of the first hour, LSTM and network, weighed and judged.

Fit on the first span, stop early on the second, weigh the experts on the third, judge on the
fourth; only then fit the trees again on everything (with the sizes found). What is drawn once
serves every step. Conversion and gates are the pipeline's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from central.evaluation.forecasts import ForecastSet
from central.evaluation.groups import solar_days
from central.evaluation.references import diurnal_persistence, reference_powers
from central.evaluation.scores import Score, score_by_lead
from models.bundle.names import GENERATION_LSTM, GENERATION_NEAR, GENERATION_NET
from models.contract.forecast import LEVELS
from models.contract.timestamps import HORIZON_STEPS, STEP_MS
from models.features.build import FeatureArray
from models.features.site import FloatArray
from models.features.spec import ANCHOR, FEATURES, KNOTS
from models.forecasters.blend import NEAR_STEPS, knots_to_steps, to_power, with_near
from models.forecasters.persistence import smart_persistence

from .blend import blended, fit_shares
from .dataset import Cases, Rows, TrainingSite, Windows
from .drawn import Drawn
from .feature_net import TrainedNet, fit_feature_net
from .lstm import fit_lstm
from .presets import Preset
from .risk import ForecastCases
from .trees import fit_boosters, predict_boosters, refit_boosters

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class TrainedGeneration:
    """All experts and what they were judged by."""

    boosters: list[Any]
    """Fitted on everything; one per level."""
    near: list[Any]
    """The same for the first hour."""
    lstm: Any
    net: TrainedNet
    shares: dict[str, list[float]]
    """Weight per lead bucket of each expert beside the trees, by registry name."""
    scores: dict[str, Score]
    """By leads, the mean over the sites; of the models before the last fit."""
    rows: Rows
    """All rows, for the parity gate."""
    near_rows: Rows
    """Those of the first hour."""
    windows: FeatureArray
    """Real windows, for the calibration of the int8 form."""
    parity_windows: Windows
    """Windows of the second span, for the gate of the int8 form."""
    weighed: list[ForecastCases]
    """Forecasts on the third span."""
    judged: list[ForecastCases]
    """Forecasts on the test span."""


def train_generation(
    sites: Sequence[TrainingSite],
    preset: Preset,
    random: np.random.Generator,
    progress: Progress = lambda text: None,
    stage: Progress = lambda text: None,
) -> TrainedGeneration:
    """Train on sites that have enough history (``usable_sites``)."""
    stage("draw")
    data = Drawn.draw(sites, preset, random)
    stage("fit trees")
    boosters = fit_boosters(data.rows.train, data.rows.stop, preset.trees, progress)
    near = fit_boosters(
        data.near.train,
        data.near.stop,
        preset.near,
        lambda text: progress(f"first hour, {text}"),
    )
    stage("fit networks")
    lstm = fit_lstm(data.train_windows, data.stop_windows, preset.lstm, progress)
    net = fit_feature_net(data.rows.train, data.rows.stop, preset.net, progress, levels=LEVELS)
    stage("blend and judge")
    experts = Experts(boosters, near, lstm, net)
    shares = experts.weigh(data.blend_cases)
    weighed = [experts.forecast(cases, shares) for cases in data.blend_cases]
    judged = [experts.forecast(cases, shares) for cases in data.test_cases]
    scores = _judge(judged)
    stage("refit")
    everything, first_hour = data.rows.everything, data.near.everything
    return TrainedGeneration(
        boosters=refit_boosters(everything, boosters, preset.trees),
        near=refit_boosters(first_hour, near, preset.near),
        lstm=lstm,
        net=net,
        shares=shares,
        scores=scores,
        rows=everything,
        near_rows=first_hour,
        windows=data.train_windows.past,
        parity_windows=data.stop_windows,
        weighed=weighed,
        judged=judged,
    )


@dataclass(frozen=True, eq=False)
class Experts:
    """The trained models of the generation, each of which gives clear-sky indices."""

    boosters: list[Any]
    near: list[Any]
    lstm: Any
    net: TrainedNet

    def indices(self, cases: Cases) -> tuple[FloatArray, dict[str, FloatArray]]:
        """Of the trees, and of the others by registry name; (cases, HORIZON_STEPS, levels)."""
        count = len(cases.issues)
        shape = (count, HORIZON_STEPS, len(LEVELS))
        flat: FeatureArray = cases.features.reshape(-1, len(FEATURES))
        anchor = cases.features[:, :, ANCHOR, None]
        trees = predict_boosters(self.boosters, flat).reshape(shape) + anchor
        soon: FeatureArray = cases.features[:, :NEAR_STEPS].reshape(-1, len(FEATURES))
        near = predict_boosters(self.near, soon).reshape(count, NEAR_STEPS, len(LEVELS))
        knots = np.asarray(self.lstm.predict(cases.windows, verbose=0))
        others = {
            GENERATION_LSTM: knots_to_steps(knots.reshape(count, KNOTS, len(LEVELS))),
            GENERATION_NET: self.net.predict(flat).reshape(shape) + anchor,
            GENERATION_NEAR: with_near(trees, near + anchor[:, :NEAR_STEPS]),
        }
        return trees, others

    def weigh(self, blend_cases: list[Cases]) -> dict[str, list[float]]:
        """Shares per lead bucket, by registry name."""
        found = [self.indices(cases) for cases in blend_cases]
        names = list(found[0][1])
        # Shares of capacity, so that a large plant does not outvote the small ones.
        capacity = [cases.site.site.ac_capacity_w for cases in blend_cases]
        shares = fit_shares(
            np.concatenate([trees for trees, _ in found]),
            [np.concatenate([others[name] for _, others in found]) for name in names],
            np.concatenate([c.clear / w for c, w in zip(blend_cases, capacity, strict=True)]),
            np.concatenate([c.actual / w for c, w in zip(blend_cases, capacity, strict=True)]),
        )
        return dict(zip(names, shares, strict=True))

    def forecast(self, cases: Cases, shares: dict[str, list[float]]) -> ForecastCases:
        """What the blend says of ``cases``."""
        trees, others = self.indices(cases)
        index = blended(trees, [others[name] for name in shares], list(shares.values()))
        return ForecastCases(cases, to_power(index, cases.clear, cases.site.site.ac_capacity_w))


def forecast_sets(forecasts: Sequence[ForecastCases], preset: Preset) -> list[ForecastSet]:
    """``forecasts`` beside their references, one set per site, as ``central.evaluation`` asks."""
    sets = []
    for one in forecasts:
        cases = one.cases
        site, series, sky = cases.site.site, cases.site.series, cases.site.sky
        place = cases.issues[:, None] + np.arange(HORIZON_STEPS)
        sets.append(
            ForecastSet(
                site=cases.site.name,
                capacity_w=cases.site.capacity_w,
                targets=series.start + place * STEP_MS,
                actual=cases.actual,
                quantiles=np.moveaxis(one.quantiles, 1, 0),
                daylight=sky.daylight[place],
                clear=cases.clear,
                longitude=site.longitude,
                references=reference_powers(
                    series.ac_power,
                    sky,
                    series.start,
                    cases.issues,
                    HORIZON_STEPS,
                    training=preset.spans.of(cases.site)["train"],
                    longitude=site.longitude,
                    limit_w=site.ac_capacity_w,
                ),
            )
        )
    return sets


def _judge(forecasts: list[ForecastCases]) -> dict[str, Score]:
    """Scores per lead, the mean over sites."""
    per_site = []
    for one in forecasts:
        cases = one.cases
        site, series, sky = cases.site.site, cases.site.series, cases.site.sky
        targets = series.start + (cases.issues[:, None] + np.arange(HORIZON_STEPS)) * STEP_MS
        per_site.append(
            score_by_lead(
                cases.actual,
                one.quantiles,
                smart_persistence(site, series, cases.issues, sky=sky),
                diurnal_persistence(
                    series.ac_power, cases.issues, HORIZON_STEPS, sky.power, site.ac_capacity_w
                ),
                cases.site.capacity_w,
                solar_days(targets, site.longitude),
            )
        )
    return {lead: _mean_score([one[lead] for one in per_site]) for lead in per_site[0]}


def _mean_score(scores: list[Score]) -> Score:
    """The mean over the sites that have each score: one without a figure silences no other."""
    names = [name for name in Score.__dataclass_fields__ if name != "pairs"]
    means = {}
    for name in names:
        known = [value for one in scores if np.isfinite(value := getattr(one, name))]
        means[name] = float(np.mean(known)) if known else float("nan")
    return replace(scores[0], pairs=sum(one.pairs for one in scores), **means)
