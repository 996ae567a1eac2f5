"""A real candidate bundle for tests: trained, converted and compiled by the centre, but tiny.

    python -m tests.training DIRECTORY [LEAST_LSTM_SHARE]

Decides how small a training may be and still go the whole way. It runs in a process of its own, so
that tensorflow never enters the one that tests: imports of the centre stand inside functions.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.environments import run

LEAST_LSTM_SHARE = 0.2
"""A tiny LSTM loses against the trees, and a share of 0 would leave its file unread."""


def train_candidate(directory: Path, least_lstm_share: float = LEAST_LSTM_SHARE) -> None:
    """Write a candidate bundle for both CPUs to the new ``directory``, trained in a child process.

    At every lead the LSTM's share is at least ``least_lstm_share`` (0: as the training found it),
    and so is that of the first hour's trees in the first hour.
    """
    run(sys.executable, "-m", "tests.training", directory, str(least_lstm_share))


# ---- the child -----------------------------------------------------------------------------------


def _train(directory: Path, least_lstm_share: float) -> None:
    from central.intake.tmy3 import bundled_weather_file
    from central.site_series import run_site_series
    from central.training.dataset import TrainingSite
    from central.training.demand import DemandHome, DemandSettings
    from central.training.feature_net import NetSettings
    from central.training.histories import read_column, read_history
    from central.training.lstm import LstmSettings
    from central.training.pipeline import train
    from central.training.presets import Preset
    from central.training.trees import TreeSettings
    from models.contract.timestamps import HORIZON_STEPS
    from models.features.demand_history import DemandSeries, local_minutes

    tiny = Preset(
        TreeSettings(trees=10, fewest=8, depth=3, learning_rate=0.3, threads=1),
        TreeSettings(trees=6, fewest=4, depth=3, learning_rate=0.3, threads=1),
        LstmSettings(units=16, epochs=1),
        NetSettings(hidden=(8,), members=1, epochs=1),
        DemandSettings(TreeSettings(trees=6, fewest=4, depth=3, threads=1), rows=8_000),
        rows=6_000,
        near_rows=2_000,
        windows=400,
        case_every=101,
    )
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        summary = run_site_series(
            bundled_weather_file(), work / "series.csv", history_file=work / "history.parquet"
        )
        plant, series = summary.plant, read_history(work / "history.parquet")
        site = plant.site()
        history = TrainingSite("greensboro", site, series, summary.source_minutes)
        load = read_column(work / "history.parquet", "load_power")
        assert load is not None
        clock = local_minutes(load.start, len(load) + HORIZON_STEPS, 15, lambda at: -300)
        home = DemandHome("greensboro", DemandSeries(load.ac_power, clock))
        candidate = train(
            [history], tiny, work, series.end, homes=[home], progress=_say, stage=_say
        )
        _raise_shares(candidate.directory, least_lstm_share)
        shutil.move(candidate.directory, directory)


def _raise_shares(directory: Path, least: float) -> None:
    """Change the blend of a finished candidate, and its golden outputs with it."""
    import numpy as np

    from central.training.candidate import GOLDEN_FILE
    from models.bundle.archive import describe_file, read_manifest, write_manifest
    from models.bundle.names import GENERATION_LSTM, GENERATION_NEAR, GENERATION_NET
    from models.contract.timestamps import HORIZON_STEPS
    from models.forecasters.blend import NEAR_STEPS
    from models.forecasters.bundle import BundleForecaster

    manifest = read_manifest(directory)
    shares = dict(manifest.shares)
    left, first_hour = np.ones(HORIZON_STEPS), np.arange(HORIZON_STEPS) < NEAR_STEPS
    leasts = {GENERATION_LSTM: least, GENERATION_NEAR: least * first_hour, GENERATION_NET: 0.0}
    for name, own in leasts.items():
        share = np.minimum(np.maximum(shares[name], own), left)
        shares[name], left = tuple(share.tolist()), left - share
    manifest = replace(manifest, shares=shares)
    write_manifest(directory, manifest)
    forecaster = BundleForecaster.load(directory)
    with np.load(directory / GOLDEN_FILE) as golden:
        arrays = dict(golden)
    pairs = zip(arrays["features"], arrays["windows"], strict=True)
    arrays["expected"] = np.stack([forecaster.predict_normalised(*pair) for pair in pairs])
    np.savez_compressed(directory / GOLDEN_FILE, **arrays)
    golden_entry = replace(manifest.golden, file=describe_file(directory, GOLDEN_FILE))
    write_manifest(directory, replace(manifest, golden=golden_entry))


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    _train(Path(sys.argv[1]), float(sys.argv[2]))
