"""How large a training is: ``full`` for a fleet, ``small`` (about a minute) for demo and tests."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .dataset import Spans
from .demand import DemandSettings
from .feature_net import NetSettings
from .lstm import LstmSettings
from .trees import TreeSettings


class PresetName(StrEnum):
    """Names in settings and on the command line."""

    SMALL = "small"
    FULL = "full"


@dataclass(frozen=True)
class Preset:
    """Everything that decides cost and size of a training run."""

    trees: TreeSettings
    near: TreeSettings
    """Of the first hour."""
    lstm: LstmSettings
    net: NetSettings
    demand: DemandSettings
    rows: int
    """Tree rows over all sites."""
    near_rows: int
    """The same for the trees of the first hour."""
    windows: int
    """LSTM examples over all sites."""
    case_every: int
    """Issues between two whole forecasts on the blend and test spans; prime, to hit every hour."""
    learn_every_days: int = 7
    """How often a site is learned anew along its history."""
    spans: Spans = Spans()
    seed: int = 1


PRESETS = {
    PresetName.SMALL: Preset(
        # One thread: two that share their cores with a running site wait for each other.
        TreeSettings(
            trees=100, fewest=80, depth=4, learning_rate=0.1, min_child_weight=50.0, threads=1
        ),
        TreeSettings(
            trees=30, fewest=20, depth=4, learning_rate=0.15, min_child_weight=20.0, threads=1
        ),
        LstmSettings(units=32, epochs=6),
        NetSettings(members=1, epochs=8),
        DemandSettings(
            TreeSettings(trees=40, fewest=20, depth=4, learning_rate=0.15, threads=1), rows=60_000
        ),
        rows=60_000,
        near_rows=15_000,
        windows=2_500,
        case_every=11,
        learn_every_days=28,
    ),
    PresetName.FULL: Preset(
        TreeSettings(),
        TreeSettings(depth=6, min_child_weight=20.0, columns=0.3),
        LstmSettings(),
        NetSettings(),
        DemandSettings(),
        rows=600_000,
        near_rows=200_000,
        windows=20_000,
        case_every=7,
    ),
}
