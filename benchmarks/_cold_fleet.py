"""Models for ``benchmarks.cold_start``: the shipped training on a fleet, up to an instant.

Decides what trains: power alone, as the centre's histories bring it, of what had been measured
before the instant; a plant that is left out teaches nothing. Which plants and when is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks._pvod_recordings import Plant
from central.intake import judge_power
from central.training.dataset import TrainingSite
from central.training.generation import train_generation
from central.training.initial_offsets import initial_offsets
from central.training.pipeline import usable_sites
from central.training.presets import PRESETS, Preset, PresetName
from central.training.trees import predict_boosters
from central.training.weather_archive import WeatherArchive
from models.bundle.names import GENERATION_LSTM, GENERATION_NEAR, GENERATION_NET
from models.contract.forecast import LEVELS
from models.contract.timestamps import MINUTE_MS, STEP_MS, Instant
from models.features.build import FeatureArray
from models.features.site import FloatArray, IntArray, SiteSeries
from models.features.spec import ANCHOR, FEATURES, KNOTS
from models.forecasters.blend import NEAR_STEPS, combine, knots_to_steps, share_per_step


def sizes(seed: int, threads: int) -> Preset:
    """The preset ``small``, with fewer rows still: a training for each plant and date is wanted."""
    small = PRESETS[PresetName.SMALL]
    return replace(
        small,
        trees=replace(small.trees, threads=threads, seed=seed),
        near=replace(small.near, threads=threads, seed=seed),
        lstm=replace(small.lstm, seed=seed),
        net=replace(small.net, seed=seed),
        rows=40_000,
        near_rows=10_000,
        windows=2_000,
        case_every=29,
        learn_every_days=14,
        seed=seed,
    )


@dataclass(frozen=True, eq=False)
class Voice:
    """Trained experts that answer at some leads, blended as the box blends them."""

    boosters: list[Any]
    near: list[Any]
    lstm: Any
    net: Any
    shares: dict[str, list[float]]
    initial_offsets: FloatArray
    """Where the calibration of a new box begins."""

    def index(self, features: FeatureArray, windows: FeatureArray, leads: IntArray) -> FloatArray:
        """Clear-sky-index quantiles, ``(issues, leads, levels)``.

        ``features`` is ``(issues, leads, F)``, ``windows`` ``(issues, WINDOW_STEPS, channels)``.
        """
        shape = (len(features), len(leads), len(LEVELS))
        flat: FeatureArray = features.reshape(-1, len(FEATURES))
        anchor = features[:, :, ANCHOR, None]
        others, shares = [], []
        if max(self.shares[GENERATION_LSTM]) > 0:
            knots = np.asarray(self.lstm.predict(windows, batch_size=512, verbose=0))
            steps = knots_to_steps(knots.reshape(len(features), KNOTS, len(LEVELS)))
            others.append(steps[:, leads])
            shares.append(share_per_step(self.shares[GENERATION_LSTM])[leads])
        if max(self.shares[GENERATION_NET]) > 0:
            others.append(self.net.predict(flat).reshape(shape) + anchor)
            shares.append(share_per_step(self.shares[GENERATION_NET])[leads])
        trees = predict_boosters(self.boosters, flat).reshape(shape) + anchor
        if max(self.shares[GENERATION_NEAR]) > 0:
            soon = leads < NEAR_STEPS
            near = trees.copy()
            first: FeatureArray = features[:, soon].reshape(-1, len(FEATURES))
            near[:, soon] = predict_boosters(self.near, first).reshape(near[:, soon].shape)
            near[:, soon] += anchor[:, soon]
            others.append(near)
            shares.append(share_per_step(self.shares[GENERATION_NEAR])[leads])
        return combine(trees, others, shares)


def training_sites(
    plants: Sequence[Plant], until: Instant, preset: Preset, *, with_weather: bool
) -> list[TrainingSite]:
    """What the centre would train on at ``until``. Raises ``TrainingDataError`` if it is nothing.

    A plant that is too short by then is left out, as in a fleet.
    """
    sites = []
    for plant in plants:
        power = plant.before(until).ac_power
        if not len(power):
            continue
        judged = judge_power(power, STEP_MS // MINUTE_MS)
        power = np.where(judged.unfit & ~judged.clipped, np.nan, power)
        weather = None
        if with_weather and plant.weather is not None:
            weather = WeatherArchive.unknown_issue(plant.weather)
        series = SiteSeries(plant.series.start, power)
        sites.append(TrainingSite(plant.name, plant.declared, series, weather=weather))
    usable = usable_sites(sites, preset.spans)
    return [one.learn(preset.spans.of(one)["train"][1], preset.learn_every_days) for one in usable]


def train_voice(
    sites: Sequence[TrainingSite],
    preset: Preset,
    progress: Callable[[str], None] = lambda text: None,
) -> Voice:
    """The shipped models of ``sites``; one seed for every fleet."""
    random = np.random.default_rng(preset.seed)
    trained = train_generation(usable_sites(sites, preset.spans), preset, random, stage=progress)
    return Voice(
        trained.boosters,
        trained.near,
        trained.lstm,
        trained.net,
        trained.shares,
        initial_offsets(trained.weighed),
    )
