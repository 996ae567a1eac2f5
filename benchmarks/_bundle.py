"""A small bundle from the typical year that pvlib carries; it takes about half a minute."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from central.intake.tmy3 import bundled_weather_file
from central.site_series import run_site_series
from central.training.dataset import TrainingSite
from central.training.histories import read_history
from central.training.pipeline import train
from central.training.presets import PRESETS, PresetName
from models.features.site import Site, SiteSeries


@dataclass(frozen=True)
class SmallBundle:
    """Where it lies, and what it was trained on."""

    directory: Path
    site: Site
    series: SiteSeries


def small_bundle(work: Path) -> SmallBundle:
    """Train it in ``work``."""
    history = work / "history.csv"
    summary = run_site_series(bundled_weather_file(), work / "series.csv", history_file=history)
    plant = summary.plant
    site = plant.site()
    series = read_history(history)
    trained = TrainingSite("bench", site, series, summary.source_minutes)
    candidate = train([trained], PRESETS[PresetName.SMALL], work, series.end)
    return SmallBundle(candidate.directory, site, series)
