"""Which sites train, and what one odd site may do to the others."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from central.evaluation.scores import score
from central.training.dataset import Spans, TrainingSite
from central.training.errors import TrainingDataError
from central.training.generation import _mean_score
from central.training.pipeline import usable_sites
from central.training.settings import TrainingSettings
from models.contract.forecast import LEVELS
from models.contract.timestamps import HORIZON_STEPS, STEPS_PER_DAY
from models.features.site import Site, SiteSeries
from models.features.sky import Sky

SITE = Site(36.1, -79.9, dc_capacity_w=6000, ac_capacity_w=5000, tilt=30)
START = 1_672_531_200_000


def site(name: str, days: int, known: bool = True) -> TrainingSite:
    power = 0.5 * Sky.over(SITE, START, days * STEPS_PER_DAY).power
    return TrainingSite(name, SITE, SiteSeries(START, power if known else power * np.nan))


def test_a_young_or_silent_site_does_not_keep_the_fleet_from_training() -> None:
    said: list[str] = []
    old = site("old", 90)
    assert usable_sites(
        [site("young", 10), old, site("silent", 90, known=False)], Spans(), said.append
    ) == [old]
    assert [text.split(":")[1].strip() for text in said] == ["young", "silent"]


def test_no_usable_site_is_one_error_that_names_them_all() -> None:
    sites = [site("young", 10), site("silent", 90, known=False)]
    with pytest.raises(TrainingDataError, match=r"young: 10 days .*; silent: hardly any power"):
        usable_sites(sites, Spans())
    with pytest.raises(TrainingDataError, match="no site has a history"):
        usable_sites([], Spans())


def test_a_site_without_a_figure_silences_no_other() -> None:
    actual = np.full((8, HORIZON_STEPS), 1000.0)
    quantiles = np.full((8, len(LEVELS), HORIZON_STEPS), 1100.0)
    one = score(actual, quantiles, actual + 500, actual + 500, 5000.0, np.arange(8))
    mean = _mean_score([one, replace(one, mape=math.nan, mae=3 * one.mae)])
    assert mean.mape == one.mape
    assert mean.mae == pytest.approx(2 * one.mae)
    assert mean.pairs == 2 * one.pairs


@pytest.mark.parametrize("cpus", [(), ("x86_64", "i386")])
def test_a_cpu_without_a_compiler_is_refused_in_the_settings(cpus: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="cpus: must be some of x86_64, aarch64"):
        TrainingSettings(cpus=cpus)
