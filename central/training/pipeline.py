"""One training run, from histories to a candidate bundle with its scores.

The order is the point: fit on the first span, stop early on the second, weigh the experts on the
third, judge on the fourth; only then fit the trees again on everything (with the sizes found),
convert, and hold the shipped form against the trained one. A gate that fails stops the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle.manifest import Manifest, TrainingSpan
from models.contract.forecast import LEVELS
from models.contract.timestamps import HORIZON_STEPS, STEP_MS, Instant
from models.features.build import FeatureArray
from models.features.site import FloatArray
from models.features.sky import Sky
from models.features.spec import ANCHOR, FEATURES, KNOTS
from models.forecasters.blend import knots_to_steps, to_power
from models.forecasters.persistence import smart_persistence
from models.runtimes.elf import current_cpu

from .blend import blended, fit_shares
from .candidate import Shipped, write_candidate, write_report_json
from .convert_lstm import convert_lstm
from .convert_trees import assert_tree_parity, compile_booster, quantile_label
from .cross_compile import CPUS
from .dataset import (
    Cases,
    Rows,
    Spans,
    TrainingDataError,
    TrainingSite,
    Windows,
    describe,
    draw_cases,
    draw_rows,
    draw_windows,
    fingerprint,
    training_span,
)
from .errors import ConversionError
from .lstm import fit_lstm
from .lstm_parity import assert_lstm_parity
from .presets import Preset
from .scores import Score, diurnal_persistence, score_by_lead, solar_days
from .trees import fit_boosters, predict_boosters, refit_boosters

Progress = Callable[[str], None]
PARITY_ROWS = 10_000
GOLDEN_CASES = 4
STEPS = ("draw", "fit trees", "fit lstm", "blend and judge", "refit", "convert", "bundle")
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
    sites = usable_sites(sites, preset.spans, progress)
    random = np.random.default_rng(preset.seed)
    stage("draw")
    data = _Drawn.draw(sites, preset, random)
    stage("fit trees")
    boosters = fit_boosters(data.train_rows, data.stop_rows, preset.trees, progress)
    stage("fit lstm")
    lstm = fit_lstm(data.train_windows, data.stop_windows, preset.lstm, progress)

    stage("blend and judge")
    shares = _fit_blend(data.blend_cases, boosters, lstm)
    scores = _judge(data.test_cases, boosters, lstm, shares)

    stage("refit")
    everything = _concatenate_rows([data.train_rows, data.stop_rows, data.late_rows])
    boosters = refit_boosters(everything, boosters, preset.trees)

    stage("convert")
    libraries: dict[str, list[Path]] = {cpu: [] for cpu in cpus}
    sample = everything.features[
        random.choice(len(everything), size=min(PARITY_ROWS, len(everything)), replace=False)
    ]
    tree_parity = []
    for level, booster in zip(LEVELS, boosters, strict=True):
        built = compile_booster(
            booster, quantile_label(level), cpus=cpus, cache_dir=work / "compiled"
        )
        for cpu, path in built.items():
            libraries[cpu].append(path)
        tree_parity.append(assert_tree_parity(booster, built[current_cpu()], sample))
        progress(f"compiled level {level:g}: {tree_parity[-1].max_abs_difference:.1e} off")
    model = convert_lstm(lstm, data.train_windows.past)
    lstm_parity = assert_lstm_parity(lstm, model, data.stop_windows.past)

    stage("bundle")
    start, end = training_span(sites)
    report = {
        "sites": describe(sites),
        "lstm_shares": shares,
        "trees": [booster.num_boosted_rounds() for booster in boosters],
        "tree_parity": {
            "rows": tree_parity[0].rows,
            "max_abs_difference": max(one.max_abs_difference for one in tree_parity),
            "tolerance": tree_parity[0].tolerance,
        },
        "lstm_parity": vars(lstm_parity),
        "scores": {lead: one.to_json() for lead, one in scores.items()},
    }
    golden = data.test_cases[0]
    chosen = np.linspace(0, len(golden.issues) - 1, GOLDEN_CASES).astype(int)
    directory = work / "candidate"
    manifest = write_candidate(
        directory,
        Shipped(libraries, model, shares),
        created_at=created_at,
        training=TrainingSpan(start, end, fingerprint(sites)),
        source_resolution_minutes=max(one.resolution_minutes for one in sites),
        metrics=_metrics(scores["all"]),
        golden_features=golden.features[chosen],
        golden_windows=golden.windows[chosen],
    )
    write_report_json(work / "candidate-report.json", report)
    return Candidate(directory, manifest, scores, report)


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


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Everything drawn from the sites, by span."""

    train_rows: Rows
    stop_rows: Rows
    late_rows: Rows
    train_windows: Windows
    stop_windows: Windows
    blend_cases: list[Cases]
    test_cases: list[Cases]

    @classmethod
    def draw(
        cls, sites: Sequence[TrainingSite], preset: Preset, random: np.random.Generator
    ) -> _Drawn:
        rows, windows = preset.rows // len(sites), preset.windows // len(sites)
        drawn: dict[str, list[Any]] = {name: [] for name in cls.__dataclass_fields__}
        for site in sites:
            cut = preset.spans.of(site)
            share = preset.spans.stop / preset.spans.train
            late = (cut["blend"][0], cut["test"][1])
            late_share = (late[1] - late[0]) / (cut["train"][1] - cut["train"][0])
            drawn["train_rows"].append(draw_rows(site, *cut["train"], rows, random))
            drawn["stop_rows"].append(draw_rows(site, *cut["stop"], int(rows * share * 2), random))
            drawn["late_rows"].append(draw_rows(site, *late, int(rows * late_share), random))
            drawn["train_windows"].append(draw_windows(site, *cut["train"], windows, random))
            drawn["stop_windows"].append(
                draw_windows(site, *cut["stop"], max(200, windows // 4), random)
            )
            drawn["blend_cases"].append(draw_cases(site, *cut["blend"], preset.case_every))
            drawn["test_cases"].append(draw_cases(site, *cut["test"], preset.case_every))
        return cls(
            _concatenate_rows(drawn["train_rows"]),
            _concatenate_rows(drawn["stop_rows"]),
            _concatenate_rows(drawn["late_rows"]),
            _concatenate_windows(drawn["train_windows"]),
            _concatenate_windows(drawn["stop_windows"]),
            drawn["blend_cases"],
            drawn["test_cases"],
        )


def _expert_indices(cases: Cases, boosters: list[Any], lstm: Any) -> tuple[FloatArray, FloatArray]:
    """Clear-sky indices of both experts, each (cases, HORIZON_STEPS, levels)."""
    count = len(cases.issues)
    flat: FeatureArray = cases.features.reshape(-1, len(FEATURES))
    change = predict_boosters(boosters, flat).reshape(count, HORIZON_STEPS, len(LEVELS))
    knots = np.asarray(lstm.predict(cases.windows, verbose=0))
    return (
        change + cases.features[:, :, ANCHOR, None],
        knots_to_steps(knots.reshape(count, KNOTS, len(LEVELS))),
    )


def _fit_blend(blend_cases: list[Cases], boosters: list[Any], lstm: Any) -> list[float]:
    trees, hourly = zip(
        *(_expert_indices(cases, boosters, lstm) for cases in blend_cases), strict=True
    )
    # Shares of capacity, so that a large plant does not outvote the small ones.
    capacity = [cases.site.site.ac_capacity_w for cases in blend_cases]
    return fit_shares(
        np.concatenate(trees),
        np.concatenate(hourly),
        np.concatenate([c.clear / w for c, w in zip(blend_cases, capacity, strict=True)]),
        np.concatenate([c.actual / w for c, w in zip(blend_cases, capacity, strict=True)]),
    )


def _judge(
    test_cases: list[Cases], boosters: list[Any], lstm: Any, shares: list[float]
) -> dict[str, Score]:
    """Scores per lead, the mean over sites."""
    per_site = []
    for cases in test_cases:
        site, series = cases.site.site, cases.site.series
        index = blended(*_expert_indices(cases, boosters, lstm), shares)
        sky = Sky.over(site, series.start, len(series) + HORIZON_STEPS)
        targets = series.start + (cases.issues[:, None] + np.arange(HORIZON_STEPS)) * STEP_MS
        per_site.append(
            score_by_lead(
                cases.actual,
                to_power(index, cases.clear, site.ac_capacity_w),
                smart_persistence(site, series, cases.issues),
                diurnal_persistence(
                    series.ac_power, cases.issues, HORIZON_STEPS, sky.power, site.ac_capacity_w
                ),
                site.ac_capacity_w,
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


def _metrics(score: Score) -> dict[str, float]:
    return {name: value for name, value in score.to_json().items() if value is not None}


def _concatenate_rows(parts: list[Rows]) -> Rows:
    return Rows(
        np.concatenate([one.features for one in parts]),
        np.concatenate([one.target for one in parts]),
        np.concatenate([one.weight for one in parts]),
    )


def _concatenate_windows(parts: list[Windows]) -> Windows:
    return Windows(
        np.concatenate([one.past for one in parts]),
        np.concatenate([one.target for one in parts]),
        np.concatenate([one.weight for one in parts]),
    )
