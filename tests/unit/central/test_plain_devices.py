"""How a plain device's measurements become the history that a forecast rests on."""

from __future__ import annotations

import numpy as np
import pytest

from central.irradiance_power import ac_power_from_ghi
from central.plain_devices import power_series
from central.settings import PlainDeviceSettings
from central.store.values import IrradianceMean
from models.contract.timestamps import STEP_MS
from models.forecasters.persistence import HISTORY_STEPS
from tests.fleet_messages import NOON

SITE = PlainDeviceSettings().site()
END = NOON + STEP_MS


def test_measured_power_goes_before_power_estimated_from_irradiance() -> None:
    series = power_series(SITE, [IrradianceMean(NOON, 1234.0, 500.0, 25.0)], END)
    assert (series.end, len(series)) == (END, HISTORY_STEPS)
    assert series.ac_power[-1] == 1234.0


def test_irradiance_becomes_power_at_the_middle_of_its_interval() -> None:
    means = [
        IrradianceMean(NOON - STEP_MS, None, 400.0, 30.0),
        IrradianceMean(NOON, None, 500.0, None),
    ]
    series = power_series(SITE, means, END)
    assert series.ac_power[-2] == pytest.approx(
        float(ac_power_from_ghi(SITE, NOON - STEP_MS // 2, 400.0, 30.0))
    )
    assert series.ac_power[-1] == pytest.approx(
        float(ac_power_from_ghi(SITE, NOON + STEP_MS // 2, 500.0, 20.0))
    )


def test_intervals_without_a_measurement_or_outside_the_history_are_unknown() -> None:
    means = [
        IrradianceMean(NOON - 2 * HISTORY_STEPS * STEP_MS, 1.0, None, None),
        IrradianceMean(NOON - STEP_MS, None, None, 20.0),
        IrradianceMean(END, 1.0, None, None),
    ]
    assert np.isnan(power_series(SITE, means, END).ac_power).all()
