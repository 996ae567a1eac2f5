"""Training of demand: who may teach, what targets it may see, and that its trees ship."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks._demand_day_ahead import REFERENCES, references, score_home
from benchmarks._demand_hour_ahead import judging_year
from benchmarks._demand_recordings import read_sgsc, read_uci
from central.training.convert_trees import assert_tree_parity, compile_booster, quantile_label
from central.training.demand import (
    BoosterTrees,
    DemandHome,
    DemandSettings,
    draw_demand_rows,
    train_demand,
)
from central.training.errors import TrainingDataError
from central.training.trees import TreeSettings
from models.contract.forecast import LEVELS
from models.features.demand_history import DAY_MINUTES, DemandSeries
from models.features.demand_spec import DEMAND_FEATURES
from models.forecasters.demand import DemandForecaster
from models.runtimes.elf import current_cpu
from models.runtimes.trees import QuantileTrees

TINY = DemandSettings(
    trees=TreeSettings(
        trees=6, depth=3, learning_rate=0.3, min_child_weight=5, fewest=4, threads=1
    ),
    rows=3_000,
    case_every=41,
)


def home(name: str, days: int, seed: int, step_minutes: int = 30) -> DemandHome:
    """Evenings with noise, and a level of its own."""
    random = np.random.default_rng(seed)
    per_day = DAY_MINUTES // step_minutes
    clock = step_minutes * np.arange((days + 3) * per_day)
    hour = clock[: days * per_day] % DAY_MINUTES / 60.0
    usual = (100.0 + 800.0 * ((hour >= 17) & (hour < 22))) * random.uniform(0.5, 2.0)
    demand = usual * random.lognormal(0.0, 0.4, len(usual))
    return DemandHome(name, DemandSeries(demand, clock, step_minutes))


def test_short_and_empty_homes_are_left_out_by_name_and_train_nothing_alone() -> None:
    short, empty = home("short", 10, 1), home("empty", 100, 2)
    empty.series.demand[:] = np.nan
    with pytest.raises(TrainingDataError, match=r"short: 10 days.*empty: only 0%"):
        train_demand([short, empty], TINY)
    model = train_demand([short, empty, home("good", 120, 3)], TINY)
    assert set(model.left_out) == {"short", "empty"}
    assert 0.3 < model.metrics["coverage_80"] < 1.0


def test_homes_of_several_resolutions_train_together() -> None:
    homes = [home("half", 120, 4), home("hour", 120, 5, 60), home("quarter", 120, 6, 15)]
    model = train_demand(homes, TINY)
    steps = model.rows[:, DEMAND_FEATURES.index("step_minutes")]
    assert set(steps.tolist()) == {15.0, 30.0, 60.0}
    assert model.golden_changes.shape == (len(model.golden_features), len(LEVELS))
    assert model.metrics["mae"] < 1.0


def test_targets_outside_the_bounds_change_no_row() -> None:
    one = replace(home("a", 120, 7), last=80 * 48)
    future = replace(one, series=replace(one.series, demand=one.series.demand.copy()))
    future.series.demand[80 * 48 :] = 1e6
    rows = [draw_demand_rows([h], TINY, np.random.default_rng(0)) for h in (one, future)]
    np.testing.assert_array_equal(rows[0].features, rows[1].features)
    np.testing.assert_array_equal(rows[0].target, rows[1].target)
    assert len(rows[0]) > 1_000


def test_young_homes_are_among_the_rows() -> None:
    rows = draw_demand_rows([home("a", 200, 8)], TINY, np.random.default_rng(0))
    valid = rows.features[:, DEMAND_FEATURES.index("valid_share_28d")]
    assert (valid < 0.3).any()
    assert (valid > 0.95).mean() > 0.7


def test_one_training_twice_gives_the_same_trees() -> None:
    one, two = (train_demand([home("a", 120, 9)], TINY) for _ in range(2))
    np.testing.assert_array_equal(one.golden_changes, two.golden_changes)


def test_compiled_trees_forecast_like_the_boosters(tmp_path: Path) -> None:
    one = home("a", 120, 10)
    model = train_demand([one], TINY)
    cpu = current_cpu()
    libraries = {
        level: compile_booster(booster, quantile_label(level), cpus=[cpu], cache_dir=tmp_path)[cpu]
        for level, booster in zip(LEVELS, model.boosters, strict=True)
    }
    for level, booster in zip(LEVELS, model.boosters, strict=True):
        assert_tree_parity(booster, libraries[level], model.rows)
    compiled = QuantileTrees.load(libraries, feature_count=len(DEMAND_FEATURES))
    np.testing.assert_allclose(
        DemandForecaster(compiled).predict(one.series),
        DemandForecaster(BoosterTrees(model.boosters)).predict(one.series),
        rtol=1e-4,
    )


# ---- the benchmark's own rules -------------------------------------------------------------------


def _sgsc_file(folder: Path, homes: dict[int, int]) -> None:
    (folder / "sgsc-households").mkdir(parents=True)
    random = np.random.default_rng(0)
    frames = []
    for customer, days in homes.items():
        times = pd.date_range("2013-06-01", periods=days * 48, freq="30min")
        kwh = random.gamma(0.7, 0.3, len(times))
        frames.append(
            pd.DataFrame(
                {"customer_id": customer, "reading_datetime": times, "general_supply_kwh": kwh}
            ).drop(index=range(100, 300))
        )
    pd.concat(frames).to_csv(folder / "sgsc-households" / "homes.csv.gz", index=False)


def test_the_benchmark_leaves_out_short_homes_and_scores_gappy_ones(tmp_path: Path) -> None:
    _sgsc_file(tmp_path, {1: 8, 2: 150})
    found = read_sgsc(tmp_path)
    assert "sgsc-1" in found.left_out
    (gappy,) = found.homes
    scores = score_home(gappy, DemandForecaster(), gappy.step_of("2013-09-01"), len(gappy.series))
    assert scores["scored"] > 2_000
    assert scores["best_reference"] in REFERENCES
    assert score_home(gappy, DemandForecaster(), 10, 20) == {"scored": 0}
    assert "uci-household" in read_uci(tmp_path).left_out


def test_references_use_nothing_of_the_last_day() -> None:
    series = home("a", 60, 11).series
    changed = series.demand.copy()
    step = 40 * 48
    changed[step - 47 :] = 1e6
    before, after = (references(values, 48, 30 * 48) for values in (series.demand, changed))
    for name, values in before.items():
        assert values[step] == after[name][step], name


def test_the_last_recorded_year_judges(data_dir: Path) -> None:
    (uci,) = read_uci(data_dir).homes
    assert uci.notes["empty_hours_by_year"]["2009"] == 68
    assert judging_year(uci, None) == int(str(uci.times[-1])[:4])
    with pytest.raises(ValueError, match="nothing recorded in 1999"):
        judging_year(uci, 1999)
