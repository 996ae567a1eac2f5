"""What a report of live scores says beside them: inputs, rows of facts, and the limits.

Decides the wording; ``html`` and ``text`` show the same rows. The limits are drawn from the facts
themselves, so that no report can leave them out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from central.compare import Comparison
from models.bundle.manifest import Manifest
from models.contract.forecast import WeatherMode
from models.contract.timestamps import STEP_MS, Instant
from models.features.site import Site
from models.features.spec import FEATURES, current_spec

from . import numbers
from .live import LiveScores

MIN_DAYS = 7
"""Fewer scored days than this show that the loop runs, and no more."""
MIN_INTERVAL_DAYS = 30
"""Below this the bootstrap has few blocks and its interval is rough."""
FAR_FROM_NOMINAL = 0.03
"""Departure of a coverage from its nominal value that is worth a word."""
STEP_MINUTES = STEP_MS // 60_000


@dataclass(frozen=True)
class Source:
    """Where the measurements come from: ``simulated from nsrdb_2018.csv``, and how fine that is."""

    description: str
    resolution_minutes: int = STEP_MINUTES
    simulated: bool = False


@dataclass(frozen=True)
class Parity:
    """How far a shipped model is from the trained one; ``difference`` may reach ``tolerance``."""

    name: str
    compared: int
    difference: float
    tolerance: float
    measure: str


@dataclass(frozen=True)
class Timing:
    """How long a part of the run took, in real seconds."""

    name: str
    seconds: float


@dataclass(frozen=True)
class LiveReport:
    """Everything that a report of live scores shows."""

    title: str
    site_name: str
    site: Site
    live: LiveScores
    source: Source
    generated_at: Instant
    manifests: tuple[Manifest, ...] = ()
    """Of the bundles that forecast."""
    parities: tuple[Parity, ...] = ()
    comparison: Comparison | None = None
    """Journal against store."""
    timings: tuple[Timing, ...] = ()
    notes: tuple[str, ...] = ()
    """Further limits, as sentences."""


@dataclass(frozen=True)
class Fact:
    """A row: what, and its value as text. ``wrong`` draws the eye."""

    name: str
    value: str
    wrong: bool = False


def parities(report: Mapping[str, Any]) -> tuple[Parity, ...]:
    """Parity figures of a candidate's report (``candidate-report.json``).

    Raises ``KeyError``, ``TypeError`` or ``ValueError`` when it does not hold them.
    """
    lstm = report["lstm_parity"]
    return (
        _tree_parity("Compiled trees", report["tree_parity"]),
        *(
            [_tree_parity("Compiled trees of the first hour", report["near_parity"])]
            if "near_parity" in report  # reports of before have none
            else []
        ),
        Parity(
            "int8 LSTM",
            int(lstm["windows"]),
            float(lstm["error_over_std"]),
            float(lstm["tolerance"]),
            "mean difference, standard deviations",
        ),
    )


def _tree_parity(name: str, body: Mapping[str, Any]) -> Parity:
    return Parity(
        name,
        int(body["rows"]),
        float(body["max_abs_difference"]),
        float(body["tolerance"]),
        "largest difference, clear-sky index",
    )


def facts(report: LiveReport) -> tuple[Fact, ...]:
    """The rows of the table of facts."""
    return (
        *_site_facts(report),
        *_forecast_facts(report.live),
        *(bundle_fact(manifest) for manifest in report.manifests),
        _training_check(report.live),
        *(parity_fact(parity) for parity in report.parities),
        *([] if report.comparison is None else [comparison_fact(report.comparison)]),
        *(Fact(one.name, numbers.seconds(one.seconds)) for one in report.timings),
    )


def bundle_fact(manifest: Manifest) -> Fact:
    """What a manifest says."""
    training, features = manifest.training, manifest.features
    known = features.digest == current_spec().digest
    release = f"release {manifest.release}" if manifest.release else "not released"
    resolution = f"source resolution {features.source_resolution_minutes} min"
    counted = f"{len(FEATURES)} features" if known else "other features than this program's"
    span = numbers.duration(training.end - training.start)
    trained = (
        f"trained on {numbers.day(training.start)} to {numbers.day(training.end - 1)} ({span})"
    )
    return Fact(
        f"Bundle {manifest.bundle_id}", f"{release}, {counted}, {resolution}, {trained}", not known
    )


def parity_fact(parity: Parity) -> Fact:
    """Difference and tolerance of one gate."""
    return Fact(
        f"Parity: {parity.name}",
        f"{numbers.small(parity.difference)}, allowed {numbers.small(parity.tolerance)}"
        f" ({parity.measure}; {numbers.count(parity.compared)} compared)",
        not parity.difference <= parity.tolerance,
    )


def comparison_fact(comparison: Comparison) -> Fact:
    """Counts of both sides, and what is not as it should be."""

    def entries(ranges: tuple[tuple[str, tuple[int, int]], ...]) -> int:
        return sum(last - first + 1 for _, (first, last) in ranges)

    text = (
        f"{numbers.counted(comparison.journal_entries, 'entry', 'entries')} in the journal,"
        f" {numbers.count(comparison.stored_entries)} in the store,"
        f" {numbers.count(comparison.matching)} equal by key and hash"
    )
    found = {
        "lost": entries(comparison.lost),
        "different": entries(comparison.different),
        "twice in the journal": comparison.journal_duplicates,
        "twice in the store": comparison.stored_duplicates,
        "still on the way": entries(comparison.pending),
        "not in this journal file (newer, or deleted when old)": entries(comparison.extra),
    }
    text += "".join(f"; {numbers.count(number)} {what}" for what, number in found.items() if number)
    return Fact("Journal and store", text, not comparison.sound)


def alarms(report: LiveReport) -> tuple[str, ...]:
    """What makes the scores worth less than they look: shown before them."""
    live = report.live
    found = []
    if live.after_training is False:
        found.append(
            f"{numbers.counted(live.pairs_in_training, 'scored pair')} of"
            f" {numbers.count(live.overall.pairs)} lie inside the training span of the bundle that"
            " forecast them. These scores do not count."
        )
    if WeatherMode.PERFECT.value in live.weather_modes:
        found.append("Observed weather was used as if it had been forecast: an upper bound.")
    if WeatherMode.NWP_UNKNOWN_ISSUE.value in live.weather_modes:
        found.append("Weather forecasts of unknown issue time were used: possibly known too early.")
    if report.comparison is not None and not report.comparison.sound:
        found.append("Journal and store disagree: see the facts below.")
    return tuple(found)


def limits(report: LiveReport) -> tuple[str, ...]:
    """What the scores do not show, as sentences."""
    live, source = report.live, report.source
    overall = live.overall
    found = []
    if source.simulated:
        found.append(
            f"The site is simulated, not a plant: its power was {source.description}. The devices,"
            " the messages and the models are real; the errors of a real plant (dirt, shade,"
            " outages, sensors) are not in these numbers."
        )
    if source.resolution_minutes > STEP_MINUTES:
        found.append(
            f"The source has one value per {source.resolution_minutes} minutes. Within that the"
            f" {STEP_MINUTES}-minute values are interpolated, which is easier to forecast than a"
            " real sky: leads below that length say little."
        )
    if live.days < MIN_DAYS:
        found.append(f"Only {numbers.counted(live.days, 'day')} could be scored: too few to judge.")
    else:
        found.append(
            f"{numbers.counted(live.days, 'day')} of one site and one season. A claim about"
            " accuracy needs a year and several sites."
        )
    if live.days < MIN_INTERVAL_DAYS and not math.isnan(overall.skill_low):
        found.append(
            "The interval of the skill comes from drawing whole days again and again. With so few"
            " days it is rough, and weather that lasts for days makes it too narrow."
        )
    if overall.skill_low <= 0 <= overall.skill_high:
        found.append("The interval includes 0: chance could explain the difference.")
    far = [
        one
        for one in live.intervals
        if not math.isnan(one.observed) and abs(one.observed - one.nominal) > FAR_FROM_NOMINAL
    ]
    if far:
        held = ", ".join(
            f"{100 * one.nominal:.0f} % held {100 * one.observed:.0f} %" for one in far
        )
        found.append(f"The bands are not calibrated here: {held}.")
    if live.weather_modes == (WeatherMode.NONE.value,):
        found.append("No weather forecast was used: far leads rest on the site's own past alone.")
    found.append("Daylight only; curtailed and clipped intervals are scored like any other.")
    return (*found, *report.notes)


def _site_facts(report: LiveReport) -> Iterator[Fact]:
    site = report.site
    yield Fact(
        "Site",
        f"{report.site_name}: {numbers.watts(site.ac_capacity_w)} AC,"
        f" {numbers.watts(site.dc_capacity_w)} DC, tilt {site.tilt:g}°, azimuth {site.azimuth:g}°,"
        f" {numbers.latitude_longitude(site.latitude, site.longitude)}",
    )
    yield Fact(
        "Measurements",
        f"{report.source.description}; resolution {report.source.resolution_minutes} min",
    )


def _forecast_facts(live: LiveScores) -> Iterator[Fact]:
    if live.first_target is not None and live.last_target is not None:
        yield Fact(
            "Scored",
            f"{numbers.minute(live.first_target)} to {numbers.minute(live.last_target + STEP_MS)}"
            f" UTC: {numbers.counted(live.days, 'day')},"
            f" {numbers.counted(live.overall.pairs, 'pair')} of forecast and measurement",
        )
    yield Fact("Weather mode", ", ".join(live.weather_modes) or "no forecast to take it from")
    issued = ", ".join(f"{numbers.count(n)} by {name}" for name, n in live.forecasts.items())
    yield Fact("Forecasts issued", issued or "none")
    if live.bundles:
        scored = ", ".join(f"{numbers.count(n)} by {name}" for name, n in live.bundles.items())
        yield Fact("Forecasts scored", scored)
    if live.left_out:
        yield Fact(
            "Forecasts not scored",
            ", ".join(f"{numbers.count(n)} {reason}" for reason, n in live.left_out.items()),
        )


def _training_check(live: LiveScores) -> Fact:
    name = "After the training span"
    if live.after_training is None:
        return Fact(name, "not checked: the training span of a bundle is not known", True)
    if not live.after_training:
        inside = numbers.counted(live.pairs_in_training, "scored pair")
        return Fact(name, f"no: {inside} inside it", True)
    gaps = [
        live.first_target - end
        for end in live.training_ends.values()
        if end is not None and live.first_target is not None
    ]
    if min(gaps) < 0:  # a bundle that came later, trained on the first scored days
        return Fact(name, "yes, each target after that of its own bundle")
    if min(gaps) == 0:
        return Fact(name, "yes, the first target begins where it ends")
    return Fact(name, f"yes, the first target begins {numbers.duration(min(gaps))} after its end")
