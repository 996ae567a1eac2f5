"""The ordered list of demand features, and every number that fixes what they mean.

The digest travels in the bundle: trees of another digest would read wrong columns.
"""

from __future__ import annotations

import hashlib
import json

from models.contract.forecast import LEVELS, MEDIAN

VERSION = 1
"""Raise when the meaning of a feature changes without its name changing."""
HISTORY_DAYS = 46
HORIZON_HOURS = 48
LEAST_LEVEL_W = 20.0
PRIOR_LEVEL_W = 400.0
"""Level of a home of which nothing is known yet."""
ANALOG_DAYS = 42
ANALOG_RECENCY_DAYS = 20.0
ANALOG_OTHER_KIND = 0.5
"""Weight of a free day in the forecast of a working day, and the reverse."""
ANALOG_NEIGHBOUR = 0.6
"""Weight of the half hour before and after the slot."""
ANALOG_CONTEXTS: tuple[tuple[int, float, float], ...] = (
    (1, 0.5, 0.25),
    (6, 0.7, 0.0),
    (24, 0.6, 0.0),
    (72, 0.5, 0.0),
)
"""Hours before the issue that are compared, the bandwidth in log power, its growth per hour."""
LOG_OFFSET = 0.1
"""Added to a share of the level before its logarithm, here and in the trees' target."""
CIRCUITS = 4
"""Sub-meters that features look at; give the same kinds in the same order for all homes."""
LEAST_WEIGHT = 1e-3
LAGS = (1, 2, 3, 4)
MEAN_HOURS = (1, 3, 6, 24, 72, 168)
EXCESS_HOURS = (1, 3, 24)
SLOT_LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
SLOT_DAYS = 28

DEMAND_FEATURES: tuple[str, ...] = (
    # when
    "lead_hours",
    "target_hour",
    "issue_hour",
    "target_weekday",
    "target_free",
    "target_sin_season",
    "target_cos_season",
    "step_minutes",
    # up to the issue
    *(f"lag_{steps}" for steps in LAGS),
    *(f"mean_{hours}h" for hours in MEAN_HOURS),
    "std_3h",
    "std_24h",
    "std_28d",
    "change_step_28d",
    "change_day_28d",
    *(f"excess_{hours}h" for hours in EXCESS_HOURS),
    "excess_today",
    # the target's slot on days before
    "slot_1",
    "slot_2",
    "slot_7",
    "slot_14",
    "slot_1_hour_before",
    "slot_1_hour_after",
    "slot_mean",
    "slot_mean_3d",
    *(f"slot_q{level * 100:g}" for level in SLOT_LEVELS),
    "slot_median_7d",
    "weekday_mean",
    "weekday_median",
    "kind_mean",
    "kind_median",
    *(f"analog_q{level * 100:g}" for level in LEVELS),
    "analog_mean",
    # how much is known
    "valid_share_28d",
    # sensors and sub-meters, where there are any
    "temp_air_last",
    "temp_air_mean_24h",
    *(f"circuit_{circuit}_last" for circuit in range(1, CIRCUITS + 1)),
    *(f"circuit_{circuit}_change" for circuit in range(1, CIRCUITS + 1)),
    # where trees start from
    "anchor",
)
ANCHOR = DEMAND_FEATURES.index("anchor")
ANALOG = slice(
    DEMAND_FEATURES.index(f"analog_q{LEVELS[0] * 100:g}"),
    DEMAND_FEATURES.index("analog_mean"),
)
"""Columns of the analog quantiles, one per level: a forecast in themselves."""
ANALOG_MEDIAN = DEMAND_FEATURES[ANALOG][MEDIAN]
ANCHOR_EXCESS = 0.6
ANCHOR_DECAY_HOURS = 2.5
"""How much of the last hour's excess is expected to stay, and for how long."""


def demand_digest() -> str:
    """SHA-256 over all that fixes the meaning of a column; travels in the bundle."""
    meaning = [
        VERSION,
        list(DEMAND_FEATURES),
        [HISTORY_DAYS, LEAST_LEVEL_W, PRIOR_LEVEL_W, ANALOG_DAYS, ANALOG_RECENCY_DAYS],
        [ANALOG_OTHER_KIND, ANALOG_NEIGHBOUR, list(ANALOG_CONTEXTS), LOG_OFFSET, SLOT_DAYS],
        [ANCHOR_EXCESS, ANCHOR_DECAY_HOURS],
    ]
    return hashlib.sha256(json.dumps(meaning).encode()).hexdigest()
