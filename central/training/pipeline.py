"""One training run, from histories to a candidate bundle with its scores.

The order is the point: every task is trained and judged on its own spans (``generation``,
``anomaly``, ``risk``, ``demand``); only then everything is converted, and the shipped form held
against the trained one. A gate that fails stops the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from central.evaluation.evaluate import evaluate
from central.evaluation.scores import Score
from models.bundle.manifest import Manifest, ModelKind, TrainingSpan
from models.bundle.names import DEMAND
from models.contract.forecast import LEVELS, WeatherMode
from models.contract.timestamps import Instant
from models.features.build import FeatureArray
from models.features.demand_spec import demand_digest
from models.runtimes.elf import current_cpu

from .anomaly import train_anomaly
from .candidate import Shipped, write_candidate, write_report_json
from .convert_lstm import convert_lstm
from .convert_trees import TreeParity, assert_tree_parity, compile_booster, quantile_label
from .cross_compile import CPUS
from .dataset import Spans, TrainingSite, describe, fingerprint, training_span
from .demand import DemandHome, train_demand
from .errors import ConversionError, TrainingDataError
from .generation import forecast_sets, train_generation
from .initial_offsets import initial_offsets
from .lstm_parity import assert_lstm_parity
from .presets import Preset
from .risk import train_risk
from .trained import ShippedTrees, TrainedTrees

Progress = Callable[[str], None]
PARITY_ROWS = 10_000
GOLDEN_CASES = 4
STEPS = (
    "learn sites",
    "draw",
    "fit trees",
    "fit networks",
    "blend and judge",
    "refit",
    "other models",
    "convert",
    "bundle",
)
"""Stages of a run, for progress bars."""


@dataclass(frozen=True)
class Candidate:
    """A finished run. ``scores`` maps leads to scores, macro-averaged over the sites."""

    directory: Path
    manifest: Manifest
    scores: dict[str, Score]
    report: dict[str, Any]


def train(
    sites: Sequence[TrainingSite],
    preset: Preset,
    work: Path,
    created_at: Instant,
    *,
    homes: Sequence[DemandHome] = (),
    weather_mode: WeatherMode = WeatherMode.NONE,
    cpus: Sequence[str] = CPUS,
    progress: Progress = lambda text: None,
    stage: Progress = lambda text: None,
) -> Candidate:
    """Train on ``sites`` and write the candidate to ``work/candidate``.

    Args:
        sites: histories; each is cut into the four spans by itself, and one that is too short or
            too dark for that is left out
        work: scratch and output; compiled libraries are cached in ``work/compiled``
        created_at: stands in the manifest
        homes: histories of demand; without one that can train the bundle has no demand model
        weather_mode: what the sites' forecasts are; travels with every result
        cpus: targets of the tree compiler
        progress, stage: told about single steps and about the stages of ``STEPS``
    Raises:
        TrainingDataError: no site has enough history.
        ConversionError, ParityError: the shipped form could not be made, or differs.
    """
    if current_cpu() not in cpus:
        raise ConversionError(
            f"cpus: {', '.join(cpus) or 'none'}; the gates run here and need {current_cpu()} too"
        )
    if weather_mode is WeatherMode.NONE and any(one.weather is not None for one in sites):
        raise TrainingDataError("weather_mode: 'none', but a site brings a weather forecast")
    sites = usable_sites(sites, preset.spans, progress)
    stage("learn sites")
    sites = usable_sites(
        [one.learn(preset.spans.of(one)["train"][1], preset.learn_every_days) for one in sites],
        preset.spans,
        progress,
    )
    random = np.random.default_rng(preset.seed)
    generation = train_generation(sites, preset, random, progress, stage)
    stage("other models")
    others = [
        train_anomaly(sites, preset, random, progress),
        train_risk(generation.weighed, generation.judged, preset, random, progress),
        *_demand(homes, preset, progress),
    ]

    stage("convert")
    compiler = _Compiler(work / "compiled", cpus, random, progress)
    libraries, tree_parity = compiler.compile(
        generation.boosters, LEVELS, generation.rows.features, ""
    )
    near, near_parity = compiler.compile(
        generation.near, LEVELS, generation.near_rows.features, "first hour "
    )
    shipped, parities = [], {}
    for other in others:
        built, parities[other.name] = compiler.compile(
            other.boosters, other.levels, other.rows, f"{other.name} "
        )
        shipped.append(ShippedTrees(other, built))
    model = convert_lstm(generation.lstm, generation.windows)
    held_out = generation.parity_windows
    lstm_parity = assert_lstm_parity(
        generation.lstm, model, held_out.past, judged=(held_out.target, held_out.weight)
    )

    stage("bundle")
    start, end = training_span(sites)
    report = {
        "sites": describe(sites),
        "weather_mode": weather_mode.value,
        "shares": generation.shares,
        "trees": [booster.num_boosted_rounds() for booster in generation.boosters],
        "near_trees": [booster.num_boosted_rounds() for booster in generation.near],
        "tree_parity": _parity_json(tree_parity),
        "near_parity": _parity_json(near_parity),
        "lstm_parity": lstm_parity.to_json(),
        "scores": {lead: one.to_json() for lead, one in generation.scores.items()},
        "other_models": {
            one.name: {
                "trees": [booster.num_boosted_rounds() for booster in one.boosters],
                "parity": _parity_json(parities[one.name]),
                "scores": dict(one.metrics),
            }
            for one in others
        },
    }
    golden = generation.judged[0].cases
    chosen = np.linspace(0, len(golden.issues) - 1, GOLDEN_CASES).astype(int)
    directory = work / "candidate"
    manifest = write_candidate(
        directory,
        Shipped(
            libraries,
            near,
            model,
            generation.net.to_bytes(),
            generation.shares,
            initial_offsets(generation.weighed),
            shipped,
        ),
        created_at=created_at,
        training=TrainingSpan(start, end, fingerprint(sites)),
        source_resolution_minutes=max(one.resolution_minutes for one in sites),
        weather_mode=weather_mode,
        metrics=_metrics(generation.scores["all"]) | _other_metrics(others),
        golden_features=golden.features[chosen],
        golden_windows=golden.windows[chosen],
    )
    write_report_json(work / "candidate-report.json", report)
    evaluation = evaluate(
        manifest.bundle_id,
        forecast_sets(generation.judged, preset),
        weather_mode,
        notes=["Capacity: AC. Before the last fit on everything; not calibrated on any site."],
    )
    write_report_json(work / "candidate-evaluation.json", evaluation.to_json())
    return Candidate(directory, manifest, generation.scores, report)


def usable_sites(
    sites: Sequence[TrainingSite], spans: Spans, progress: Progress = lambda text: None
) -> list[TrainingSite]:
    """The sites that can train; a young one must not keep the fleet from learning.

    Raises ``TrainingDataError``, with the reason of every site, when there is none.
    """
    usable, reasons = [], []
    for site in sites:
        try:
            spans.of(site)
        except TrainingDataError as error:
            reasons.append(str(error))
            progress(f"left out: {error}")
        else:
            usable.append(site)
    if not usable:
        raise TrainingDataError("; ".join(reasons) or "no site has a history to train on")
    return usable


def _demand(homes: Sequence[DemandHome], preset: Preset, progress: Progress) -> list[TrainedTrees]:
    """The demand model, or nothing: a fleet without meters must still get its generation."""
    if not homes:
        return []
    try:
        model = train_demand(homes, preset.demand, progress)
    except TrainingDataError as error:
        progress(f"no demand model: {error}")
        return []
    return [
        TrainedTrees(
            name=DEMAND,
            quantity="load_power",
            kind=ModelKind.QUANTILE_TREES,
            levels=LEVELS,
            boosters=model.boosters,
            features=demand_digest(),
            rows=model.rows,
            metrics=model.metrics,
        )
    ]


@dataclass(frozen=True)
class _Compiler:
    """Boosters to libraries for every CPU, each held against its booster on real rows."""

    cache: Path
    cpus: Sequence[str]
    random: np.random.Generator
    progress: Progress

    def compile(
        self, boosters: Sequence[Any], levels: Sequence[float], rows: FeatureArray, what: str
    ) -> tuple[dict[str, list[Path]], list[TreeParity]]:
        """CPU -> one library per level; and how exact each is."""
        size = min(PARITY_ROWS, len(rows))
        sample = rows[self.random.choice(len(rows), size=size, replace=False)]
        libraries: dict[str, list[Path]] = {cpu: [] for cpu in self.cpus}
        parities = []
        for level, booster in zip(levels, boosters, strict=True):
            built = compile_booster(
                booster, quantile_label(level), cpus=self.cpus, cache_dir=self.cache
            )
            for cpu, path in built.items():
                libraries[cpu].append(path)
            parities.append(assert_tree_parity(booster, built[current_cpu()], sample))
            off = parities[-1].max_abs_difference
            self.progress(f"compiled {what}level {level:g}: {off:.1e} off")
        return libraries, parities


def _parity_json(parities: Sequence[TreeParity]) -> dict[str, float]:
    return {
        "rows": parities[0].rows,
        "max_abs_difference": max(one.max_abs_difference for one in parities),
        "tolerance": parities[0].tolerance,
    }


def _metrics(score: Score) -> dict[str, float]:
    return {name: value for name, value in score.to_json().items() if value is not None}


def _other_metrics(others: Sequence[TrainedTrees]) -> dict[str, float]:
    return {f"{one.name}.{name}": value for one in others for name, value in one.metrics.items()}
