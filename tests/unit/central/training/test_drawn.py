"""What is drawn for one model must not depend on what another one is given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from central.training.dataset import TrainingSite
from central.training.drawn import Drawn
from central.training.presets import PRESETS, PresetName
from models.contract.timestamps import STEPS_PER_DAY
from models.features.site import Site, SiteSeries
from models.features.sky import Sky
from models.features.spec import FEATURES

SITE = Site(36.1, -79.9, dc_capacity_w=6000, ac_capacity_w=5000, tilt=30)
START, DAYS = 1_672_531_200_000, 100
PRESET = replace(PRESETS[PresetName.SMALL], rows=3000, near_rows=2000, windows=100, case_every=101)


def drawn(near_rows: int) -> Drawn:
    sites = [
        TrainingSite(name, SITE, SiteSeries(START, share * Sky.over(SITE, START, steps).power))
        for name, share, steps in (
            ("one", 0.5, DAYS * STEPS_PER_DAY),
            ("two", 0.7, (DAYS + 9) * STEPS_PER_DAY),
        )
    ]
    preset = replace(PRESET, near_rows=near_rows)
    return Drawn.draw(sites, preset, np.random.default_rng(1))


@pytest.fixture(scope="module")
def data() -> Drawn:
    return drawn(PRESET.near_rows)


def test_rows_of_all_leads_stay_what_they_are_beside_any_number_of_near_ones(data: Drawn) -> None:
    other = drawn(600)
    assert len(other.near.train) < len(data.near.train)
    np.testing.assert_array_equal(other.rows.everything.features, data.rows.everything.features)
    np.testing.assert_array_equal(other.train_windows.past, data.train_windows.past)


def test_near_rows_come_from_every_site_and_span(data: Drawn) -> None:
    for part in (data.near.train, data.near.stop, data.near.late):
        index = part.target + part.features[:, FEATURES.index("csi_anchor")]
        assert (abs(index - 0.5) < 1e-4).any()
        assert (abs(index - 0.7) < 1e-4).any()
        assert part.features[:, FEATURES.index("lead_hours")].max() < 1
    assert len(data.near.everything) == sum(
        map(len, (data.near.train, data.near.stop, data.near.late))
    )
