"""Models side by side: ranks, the best, and what makes a comparison impossible."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from central.evaluation import (
    Evaluation,
    EvaluationError,
    ModelEvaluator,
    ModelSelector,
    compare_models,
    evaluate,
    select_best,
)
from central.evaluation.paired import paired
from models.contract.forecast import WeatherMode
from tests.unit.central.evaluation.forecast_sets import forecast_set

RUNBOOK = {
    "LSTM": {"metrics": {"MAE": 50, "RMSE": 75, "MAPE": 0.15}},
    "XGBoost": {"metrics": {"MAE": 45, "RMSE": 70, "MAPE": 0.12}},
}


@pytest.fixture(scope="module")
def evaluations() -> dict[str, Evaluation]:
    """A model, one that errs a tenth more on the same pairs, and one that is quite another."""
    one = forecast_set(days=60)
    median = one.quantiles[3]
    worse = replace(one, quantiles=one.quantiles + 0.1 * (median - one.actual)[None])
    other = forecast_set(days=60, error_w=800.0, seed=5)
    other = replace(other, actual=one.actual, quantiles=other.quantiles - other.actual + one.actual)
    return {
        name: evaluate(name, [found], WeatherMode.NONE)
        for name, found in (("blend", one), ("worse", worse), ("other", other))
    }


def test_the_runbook_is_answered_in_three_lines() -> None:
    comparison = ModelEvaluator().compare_models(RUNBOOK)
    name, result = ModelSelector().select_best_regression_model(RUNBOOK)
    assert (name, result) == ("XGBoost", RUNBOOK["XGBoost"])
    lines = str(comparison).splitlines()
    (head,) = [line for line in lines if "model" in line and "rank" in line]
    assert head.split() == ["model", "rank", "MAE", "RMSE", "MAPE", "[%]"]
    rows = [line.split() for line in lines if line.strip().startswith(("XGBoost", "LSTM"))]
    assert rows[0] == ["XGBoost", "1", "45", "(1)", "70", "(1)", "12.00", "(1)"]
    assert rows[1] == ["LSTM", "2", "50", "(2)", "75", "(2)", "15.00", "(2)"]


def test_the_frame_holds_the_numbers_best_first() -> None:
    frame = compare_models(RUNBOOK).frame
    assert list(frame.index) == ["XGBoost", "LSTM"]
    assert list(frame.columns) == ["rank", "MAE", "RMSE", "MAPE"]
    assert frame.loc["LSTM", "RMSE"] == 75
    assert frame["rank"].tolist() == [1, 2]


def test_equal_models_share_a_rank_and_the_tie_is_broken_by_rmse_mape_and_name() -> None:
    def result(mae: float, rmse: float, mape: float) -> dict[str, dict[str, float]]:
        return {"metrics": {"MAE": mae, "RMSE": rmse, "MAPE": mape}}

    a, b = result(50, 70, 0.2), result(50 + 1e-12, 69, 0.3)
    comparison = compare_models({"a": a, "b": b})
    assert comparison.ranks["MAE"] == {"a": 1, "b": 1}
    assert comparison.best == "b"
    assert select_best({"a": a, "b": result(50, 70, 0.1)})[0] == "b"
    assert select_best({"z": a, "y": a})[0] == "y"
    assert compare_models({"a": a, "b": a, "c": result(60, 1, 1)}).ranks["MAE"]["c"] == 3


@pytest.mark.parametrize(
    ("metric", "better", "worse"),
    [
        ("MAE", 1.0, 2.0),
        ("skill_smart_persistence", 0.4, 0.3),
        ("R2", 0.9, 0.1),
        ("bias", -0.01, 0.02),
        ("coverage_90", 0.91, 0.80),
        ("coverage_90", 0.91, 0.999),
        ("winkler_80", 0.2, 0.3),
        ("CRPS", 0.1, 0.2),
    ],
)
def test_each_metric_is_ranked_by_its_better_side(metric: str, better: float, worse: float) -> None:
    results = {"bad": {"metrics": {metric: worse}}, "good": {"metrics": {metric: better}}}
    assert compare_models(results, by=metric).ranks[metric] == {"good": 1, "bad": 2}


def test_a_metric_that_one_model_lacks_is_shown_and_not_ranked() -> None:
    results = {
        "LSTM": {"metrics": {"MAE": 50, "RMSE": 75, "epochs": 50}},
        "XGBoost": {"metrics": {"MAE": 45, "RMSE": None}},
    }
    comparison = compare_models(results)
    assert comparison.best == "XGBoost"
    assert "RMSE" not in comparison.ranks
    assert "Not ranked, because XGBoost has no number: RMSE, epochs." in comparison.notes
    assert "epochs" not in comparison.ranks
    assert "–" in str(comparison)
    json.dumps(comparison.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("results", "complaint"),
    [
        ({}, "no results"),
        ({"LSTM": {}}, "LSTM: has no metrics"),
        ({"LSTM": {"metrics": {}}}, "LSTM: has no metrics"),
        ({"LSTM": 5}, "LSTM: has no metrics"),
        ({"LSTM": {"metrics": {"MAE": "50"}}}, "LSTM: metric 'MAE' is not a number: '50'"),
        ({"LSTM": {"metrics": {"MAE": True}}}, "LSTM: metric 'MAE' is not a number"),
        ({**RUNBOOK, "GRU": {"metrics": {"MAE": float("nan")}}}, "GRU: metric 'MAE' is nan"),
        ({**RUNBOOK, "GRU": {"metrics": {"MAE": None}}}, "GRU: metric 'MAE' is nan"),
        ({**RUNBOOK, "GRU": {"metrics": {"MAE": float("inf")}}}, "GRU: metric 'MAE' is inf"),
        ({**RUNBOOK, "GRU": {"metrics": {"loss": 3}}}, "share none of nMAE, MAE, RMSE.*GRU: loss"),
    ],
)
def test_what_cannot_be_compared_is_named(results: dict[str, object], complaint: str) -> None:
    for function in (compare_models, select_best):
        with pytest.raises(EvaluationError, match=complaint):
            function(results)  # type: ignore[operator]


def test_the_metric_asked_for_must_be_known_and_there() -> None:
    results = {**RUNBOOK, "GRU": {"metrics": {"MAE": 1, "epochs": 3}}}
    with pytest.raises(EvaluationError, match="GRU: metric 'RMSE' is missing; it has MAE, epochs"):
        compare_models(results, by="RMSE")
    with pytest.raises(EvaluationError, match="'epochs': it is not known whether high or low"):
        compare_models(results, by="epochs")


def test_results_of_a_trainer_are_taken_by_their_metrics() -> None:
    trained = SimpleNamespace(metrics={"MAE": np.float32(40), "RMSE": np.int64(60)})
    assert select_best({**RUNBOOK, "mine": trained}) == ("mine", trained)


def test_evaluations_and_dictionaries_are_compared_by_what_they_share(
    evaluations: dict[str, Evaluation],
) -> None:
    comparison = compare_models({**RUNBOOK, "blend": evaluations["blend"]})
    assert comparison.by == "MAE"
    assert comparison.models[:2] == ("XGBoost", "LSTM")
    assert comparison.values["MAE"]["blend"] == evaluations["blend"].overall["mae"]


def test_perfect_weather_is_shown_but_never_best(evaluations: dict[str, Evaluation]) -> None:
    perfect = replace(evaluations["blend"], weather_mode=WeatherMode.PERFECT)
    results = {"dream": perfect, "worse": evaluations["worse"]}
    name, result = select_best(results)
    assert (name, result) == ("worse", evaluations["worse"])
    comparison = compare_models(results)
    assert comparison.models == ("worse", "dream")
    assert comparison.unranked == ("dream",)
    assert comparison.ranks["MAE"] == {"worse": 1}
    assert any("dream used perfect weather" in note for note in comparison.notes)
    assert np.isnan(comparison.frame["rank"].to_numpy(dtype=float)[1])
    for function in (compare_models, select_best):
        with pytest.raises(EvaluationError, match="dream: weather mode 'perfect'"):
            function({"dream": perfect})  # type: ignore[operator]


def test_models_that_knew_different_weather_are_told_apart(
    evaluations: dict[str, Evaluation],
) -> None:
    informed = replace(evaluations["blend"], weather_mode=WeatherMode.ARCHIVED_NWP)
    comparison = compare_models({"informed": informed, "worse": evaluations["worse"]})
    assert any("different weather (archived_nwp, none)" in note for note in comparison.notes)


def test_the_gain_is_paired_day_by_day(evaluations: dict[str, Evaluation]) -> None:
    """A tenth more error on every pair: the interval is a point, however the days differ."""
    found = paired(evaluations["blend"], evaluations["worse"])
    assert found.gain == pytest.approx(1 - 1 / 1.1)
    assert (found.low, found.high) == pytest.approx((found.gain, found.gain), abs=1e-6)
    assert found.test.statistic < -10
    assert (found.sites, found.left_out) == (1, 0)
    other = paired(evaluations["blend"], evaluations["other"])
    assert other.low < other.gain < other.high
    back = paired(evaluations["other"], evaluations["blend"])
    assert back.gain == pytest.approx(1 - 1 / (1 - other.gain))
    assert back.high < 0


def test_a_comparison_of_evaluations_says_how_sure_it_is(
    evaluations: dict[str, Evaluation],
) -> None:
    comparison = compare_models(list(evaluations.values()))
    assert comparison.models == ("blend", "worse", "other")
    assert set(comparison.against_best) == {"worse", "other"}
    # Many metrics stand below each other, so that no name is cut.
    rows = [line.split() for line in str(comparison).splitlines()]
    assert ["model", "blend", "worse", "other"] in rows
    assert ["rank", "1", "2", "3"] in rows
    (errors,) = [row for row in rows if row[:1] == ["nMAE"]]
    shown = [f"{100 * one.overall['nmae']:.2f}" for one in evaluations.values()]
    assert errors[2::2] == shown
    assert errors[3::2] == ["(1)", "(2)", "(3)"]
    assert "blend against worse: +9.1 % lower mean absolute error (90% interval" in str(comparison)


def test_only_days_with_the_same_pairs_are_paired() -> None:
    one = forecast_set(days=40)
    gap = replace(one, actual=one.actual.copy())
    gap.actual[:240:24] = np.nan  # an issue of each of the first ten days is missing
    full, holey = (evaluate(k, [s], WeatherMode.NONE) for k, s in (("a", one), ("b", gap)))
    found = paired(full, holey)
    assert 0 < found.left_out < 30
    assert found.days == full.days - found.left_out
    assert any("not scored on the same pairs" in n for n in compare_models([full, holey]).notes)


def test_evaluations_of_other_sites_or_capacities_are_not_paired() -> None:
    one, other, large = (
        evaluate(name, [found], WeatherMode.NONE)
        for name, found in (
            ("a", forecast_set("barn")),
            ("b", forecast_set("school")),
            ("c", replace(forecast_set("barn"), capacity_w=6000.0)),
        )
    )
    with pytest.raises(EvaluationError, match="a and b: no day of a site"):
        paired(one, other)
    with pytest.raises(EvaluationError, match=r"barn: errors are shares of 5000 W .* 6000 W"):
        paired(one, large)
    assert any("No paired interval" in note for note in compare_models([one, other]).notes)


def test_a_name_must_not_stand_twice(evaluations: dict[str, Evaluation]) -> None:
    with pytest.raises(EvaluationError, match="blend: two evaluations"):
        compare_models([evaluations["blend"]] * 2)
    with pytest.raises(EvaluationError, match="a list of results holds evaluations, not dict"):
        compare_models([RUNBOOK])  # type: ignore[list-item]
