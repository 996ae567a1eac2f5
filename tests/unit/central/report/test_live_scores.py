"""Published forecasts against measurements, each score also added up here by other means."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from central.report.live import training_ends
from central.report.pairs import ISSUED_AGAIN, OTHER_START, WITHOUT_BUNDLE
from models.contract.forecast import LEVELS, WeatherMode
from models.contract.timestamps import DAY_MS, HORIZON_STEPS, HOUR_MS, STEP_MS
from models.features.sky import Sky
from tests.unit.central.report.conftest import (
    AGENT,
    BEGIN,
    END,
    SITE,
    START,
    TRUTH,
    Fleet,
    banded,
    forecast,
    issue_times,
    persistence_at,
    sure,
    truth_at,
)
