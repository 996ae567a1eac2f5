"""``evaluate`` against scores computed pair by pair."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from central.evaluation import Evaluation, EvaluationError, ForecastSet, Horizon, evaluate, sums
from central.evaluation.groups import HORIZONS, solar_days
from central.evaluation.scores import score
from central.evaluation.significance import BlockDraws, diebold_mariano
from models import metrics
from models.contract.forecast import LEVELS, WeatherMode
from models.contract.timestamps import DAY_MS, HOUR_MS, STEP_MS
from tests.unit.central.evaluation.forecast_sets import CAPACITY, SPREAD, forecast_set

NONE = WeatherMode.NONE


def two_sites() -> list[ForecastSet]:
    one = forecast_set("barn", seed=1)
    other = forecast_set("school", capacity_w=20_000.0, error_w=3000.0, seed=2)
    other.actual[:, 5] = np.nan
    other.references["climatology"][3::7] = np.nan
    return [one, other]


@pytest.fixture(scope="module")
def found() -> Evaluation:
    return evaluate("blend", two_sites(), NONE)


def by_hand(one: ForecastSet, chosen: np.ndarray | None = None) -> dict[str, float]:
    """Scores of the daylight pairs that model and references answer, with whole arrays."""
    mask = one.daylight & np.isfinite(one.actual)
    for values in one.references.values():
        mask &= np.isfinite(values)
    if chosen is not None:
        mask &= chosen
    y = np.where(mask, one.actual, np.nan) / one.capacity_w
    q = one.quantiles / one.capacity_w
    smart = one.references["smart_persistence"] / one.capacity_w
    found = {
        "nmae": metrics.mae(y, q[3]),
        "mae": metrics.mae(y, q[3]) * one.capacity_w,
        "nrmse": metrics.rmse(y, q[3]),
        "rmse": metrics.rmse(y, q[3]) * one.capacity_w,
        "bias": metrics.bias(y, q[3]),
        "mape": metrics.mape(y, q[3], 0.05),
        "pinball": metrics.pinball(y, q),
        "crps": metrics.crps(y, q),
        "nmae/smart_persistence": metrics.mae(y, smart),
        "nrmse/smart_persistence": metrics.rmse(y, smart),
    }
    for name, low, high in (("50", 2, 4), ("80", 1, 5), ("90", 0, 6)):
        found[f"coverage/{name}"] = metrics.coverage(y, q[low], q[high])
        found[f"width/{name}"] = metrics.width(y, q[low], q[high])
        found[f"winkler/{name}"] = metrics.winkler(y, q[low], q[high], int(name) / 100)
    for level, row, share in zip(LEVELS, q, metrics.reliability(y, q), strict=True):
        found[f"pinball/{level:g}"] = metrics.pinball(y, row[None], (level,))
        found[f"reliability/{level:g}"] = float(share)
    return found


def assert_is(measured: Evaluation | object, expected: dict[str, float]) -> None:
    for name, value in expected.items():
        assert measured[name] == pytest.approx(value, rel=1e-9), name  # type: ignore[index]


def test_every_score_of_a_site_is_that_of_its_pairs(found: Evaluation) -> None:
    for one in two_sites():
        assert_is(found.by_site[one.site], by_hand(one))


def test_scores_are_the_mean_over_sites_and_never_pooled(found: Evaluation) -> None:
    barn, school = (by_hand(one) for one in two_sites())
    assert_is(found.overall, {name: (barn[name] + school[name]) / 2 for name in barn})
    skill = 1 - (barn["nmae"] + school["nmae"]) / (
        barn["nmae/smart_persistence"] + school["nmae/smart_persistence"]
    )
    assert found.overall["mae_skill/smart_persistence"] == pytest.approx(skill)


def test_horizons_months_and_skies_hold_their_own_pairs(found: Evaluation) -> None:
    sites = two_sites()

    def mean(masks: list[np.ndarray], name: str) -> float:
        return float(
            np.mean([by_hand(s, mask)[name] for s, mask in zip(sites, masks, strict=True)])
        )

    leads = np.arange(32)
    for bucket in HORIZONS[:5]:
        inside = (leads * STEP_MS >= bucket.first_ms) & (leads * STEP_MS < bucket.last_ms)
        masks = [np.broadcast_to(inside, one.actual.shape) for one in sites]
        for name in ("nmae", "crps", "coverage/80", "nrmse/smart_persistence"):
            assert found.by_horizon[bucket.name][name] == pytest.approx(mean(masks, name))
    assert list(found.by_horizon) == [one.name for one in HORIZONS[:5]]

    february = 17_897 + 31
    masks = [solar_days(one.targets, 0.0) >= february for one in sites]
    assert list(found.by_month) == ["2019-01", "2019-02"]
    assert found.by_month["2019-02"]["nmae"] == pytest.approx(mean(masks, "nmae"))

    assert set(found.by_regime) == {"overcast", "broken", "clear"}
    pairs = sum(one.pairs for one in found.by_regime.values())
    assert pairs == found.overall.pairs == sum(one.pairs for one in found.by_month.values())
    # The mean sky suits a broken hour best.
    climatology = {name: one["nmae/climatology"] for name, one in found.by_regime.items()}
    assert min(climatology, key=lambda name: climatology[name]) == "broken"


def test_the_short_judgement_agrees() -> None:
    one = forecast_set()
    y = np.where(one.daylight, one.actual, np.nan)
    short = score(
        y,
        np.moveaxis(one.quantiles, 0, 1),
        one.references["smart_persistence"],
        one.references["climatology"],
        CAPACITY,
        solar_days(one.targets, 0.0),
    )
    long = evaluate("blend", [one], NONE).overall
    assert long["nmae"] == pytest.approx(short.mae)
    assert long["nrmse"] == pytest.approx(short.rmse)
    assert long["mape"] == pytest.approx(short.mape)
    assert long["pinball"] == pytest.approx(short.pinball)
    assert long["coverage/90"] == pytest.approx(short.coverage_90)
    assert long["width/90"] == pytest.approx(short.width_90)
    assert long["mae_skill/smart_persistence"] == pytest.approx(short.skill)
    assert long.pairs == short.pairs


def test_pairs_that_a_reference_does_not_answer_are_left_out_for_all_and_said(
    found: Evaluation,
) -> None:
    (note,) = [note for note in found.notes if note.startswith("school")]
    school = two_sites()[1]
    lost = (school.daylight & np.isfinite(school.actual))[3::7].sum()
    assert f"{lost} measured daylight pairs were left out" in note


def test_nights_are_in_the_all_times_scores_only() -> None:
    one = forecast_set()
    dark = replace(one, daylight=one.daylight & (one.actual < 0))
    with pytest.raises(EvaluationError, match=r"blend: nothing to score"):
        evaluate("blend", [dark], NONE)
    noisy_night = one.quantiles + np.where(one.daylight, 0.0, 1000.0)
    whole = evaluate("blend", [replace(one, quantiles=noisy_night)], NONE)
    assert whole.overall["nmae"] == evaluate("blend", [one], NONE).overall["nmae"]
    assert whole.all_times["nmae"] > whole.overall["nmae"]
    assert whole.all_times.pairs == one.actual.size


def test_memory_is_bounded_by_slices_that_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluate("blend", two_sites(), NONE)
    monkeypatch.setattr(sums, "_PAIRS_AT_ONCE", 1000)
    sliced = evaluate("blend", two_sites(), NONE)
    assert sliced.overall.values == pytest.approx(dict(whole.overall.values), rel=1e-9)


def test_the_bad_site_is_the_one_that_nine_of_ten_surpass() -> None:
    sets = [forecast_set(f"site_{k:02d}", error_w=100.0 + 50 * k, seed=k) for k in range(11)]
    found = evaluate("blend", sets, NONE)
    errors = sorted(one["nmae"] for one in found.by_site.values())
    assert found.bad_site["nmae"] == pytest.approx(errors[9])
    assert found.median_site["nmae"] == pytest.approx(errors[5])
    assert {day.site for day in found.examples} == {"site_05"}  # its days are drawn
    skills = sorted(one["mae_skill/climatology"] for one in found.by_site.values())
    assert found.bad_site["mae_skill/climatology"] == pytest.approx(skills[1])


def test_intervals_hold_the_skill_and_shrink_with_days() -> None:
    def width(days: int) -> float:
        widths = []
        for seed in range(6):
            sets = [forecast_set(days=days, leads=4, seed=seed)]
            found = evaluate("blend", sets, NONE, examples=0).overall
            low, high = (found[f"mae_skill_{end}/climatology"] for end in ("low", "high"))
            assert low < found["mae_skill/climatology"] < high
            widths.append(high - low)
        return float(np.mean(widths))

    assert 0.35 < width(160) / width(40) < 0.75  # a half, but for the noise of so few blocks


def test_intervals_are_those_of_the_scores_of_each_draw(found: Evaluation) -> None:
    """Draw by draw: each site's own error over the drawn days, then the mean over sites."""
    sites = two_sites()
    days = np.unique([solar_days(one.targets, 0.0)[one.daylight] for one in sites])
    draws = BlockDraws.draw(len(days), seed=0)
    errors: dict[tuple[str, str], np.ndarray] = {}
    for who in ("model", "smart_persistence"):
        for power, name in ((1, "mae"), (2, "rmse")):
            drawn = np.zeros(len(draws.counts))
            for one in sites:
                mask = one.daylight & one.usable
                forecast = one.quantiles[3] if who == "model" else one.references[who]
                loss = np.abs((forecast - one.actual)[mask] / one.capacity_w) ** power
                place = np.searchsorted(days, solar_days(one.targets, 0.0)[mask])
                losses, pairs = np.bincount(place, loss), np.bincount(place)
                mean = draws.counts @ losses / (draws.counts @ pairs)
                drawn += mean ** (1 / power) / len(sites)
            errors[who, name] = drawn
    for name in ("mae", "rmse"):
        skills = 1 - errors["model", name] / errors["smart_persistence", name]
        ends = [found.overall[f"{name}_skill_{end}/smart_persistence"] for end in ("low", "high")]
        assert ends == pytest.approx(np.quantile(skills, [0.05, 0.95]), rel=1e-4)


def test_the_daily_test_counts_each_day_and_each_site_once(found: Evaluation) -> None:
    """However many pairs they have: the last day has few, and one site lacks some."""
    daily: dict[int, list[float]] = {}
    for one in two_sites():
        mask = one.daylight & one.usable
        ours, theirs = one.quantiles[3], one.references["climatology"]
        for day in np.unique(solar_days(one.targets, 0.0)[mask]):
            of_day = mask & (solar_days(one.targets, 0.0) == day)
            gap = np.abs(ours - one.actual)[of_day] - np.abs(theirs - one.actual)[of_day]
            daily.setdefault(int(day), []).append(float(gap.mean()) / one.capacity_w)
    expected = diebold_mariano([float(np.mean(daily[day])) for day in sorted(daily)])
    test = found.tests["climatology"]
    assert test.statistic == pytest.approx(expected.statistic)
    assert (test.days, test.lags) == (41, 6)


def test_sites_share_the_draws_so_that_shared_weather_stays_shared() -> None:
    """Ten copies of one site are no more sure than the one."""
    one = forecast_set()
    alone = evaluate("blend", [one], NONE).overall
    copies = [replace(one, site=f"copy_{k}") for k in range(10)]
    together = evaluate("blend", copies, NONE).overall
    for end in ("low", "high"):
        name = f"mae_skill_{end}/smart_persistence"
        assert together[name] == pytest.approx(alone[name])
    test = evaluate("blend", copies, NONE).tests["smart_persistence"]
    once = evaluate("blend", [one], NONE).tests["smart_persistence"]
    assert test.statistic == pytest.approx(once.statistic)
    assert test.p_value < 0.01
    assert test.statistic < 0


def test_a_model_that_is_its_reference_has_no_skill_and_no_significance() -> None:
    one = forecast_set()
    same = replace(one, references={"smart_persistence": one.quantiles[3]})
    found = evaluate("blend", [same], NONE)
    assert found.overall["mae_skill/smart_persistence"] == 0
    assert found.overall["rmse_skill_high/smart_persistence"] == 0
    assert math.isnan(found.tests["smart_persistence"].p_value)


def test_three_weeks_are_needed_for_an_interval() -> None:
    found = evaluate("blend", [forecast_set(days=14)], NONE)
    assert math.isnan(found.overall["mae_skill_low/smart_persistence"])
    assert any("Fewer than 21 days" in note for note in found.notes)


def test_single_leads_and_other_levels_are_judged_too() -> None:
    one = forecast_set(leads=16)
    levels = np.linspace(0.01, 0.99, 99)  # 0.5 and 0.05 are not exact here
    median = one.quantiles[3]
    fine = replace(
        one,
        quantiles=median[None] + 400.0 * np.interp(levels, LEVELS, SPREAD)[:, None, None],
        leads_ms=np.arange(1, 17) * STEP_MS,
    )
    quarter = (Horizon("15 min", STEP_MS, 2 * STEP_MS), Horizon("4 h", 4 * HOUR_MS, 5 * HOUR_MS))
    found = evaluate("fine", [fine], NONE, levels=levels, horizons=quarter)
    assert list(found.by_horizon) == ["15 min", "4 h"]
    assert found.by_horizon["4 h"].pairs == int(one.daylight[:, 15].sum())
    assert found.overall["nmae"] == pytest.approx(
        metrics.mae(np.where(one.daylight, one.actual, np.nan), median) / CAPACITY
    )
    assert set(found.overall.of_kind("coverage")) == {"50", "80", "90"}
    assert len(found.overall.of_kind("pinball")) == 99
    assert len(found.examples) == 3


def test_hours_are_judged_like_quarters() -> None:
    one = forecast_set(days=30, every=24)
    hours = replace(
        one,
        **{
            name: getattr(one, name)[..., ::4]
            for name in ("targets", "actual", "quantiles", "daylight", "clear")
        },
        references={name: values[:, ::4] for name, values in one.references.items()},
        step_ms=HOUR_MS,
    )
    found = evaluate("hours", [hours], NONE)
    assert list(found.by_horizon) == ["0-1 h", "1-2 h", "2-4 h", "4-6 h", "6-12 h"]
    assert found.by_horizon["1-2 h"].pairs == int(one.daylight[:, 4].sum())
    lit = hours.targets[hours.daylight]
    assert (found.start, found.end) == (int(lit.min()), int(lit.max()) + HOUR_MS)


def test_examples_are_whole_days_with_the_longest_lead() -> None:
    one = forecast_set(leads=192, every=8)
    found = evaluate("blend", [one], NONE)
    assert [day.choice for day in found.examples] == ["typical day", "good day", "bad day"]
    for day in found.examples:
        assert len(set(np.array(day.times) // DAY_MS)) == 1
        assert day.longest_lead_h <= 24
        case = np.flatnonzero((one.targets == day.times[50]).any(axis=1))
        leads = {int(np.flatnonzero(one.targets[k] == day.times[50])[0]): k for k in case}
        lead = max(lead for lead in leads if lead <= 96)
        expected = one.quantiles[:, leads[lead], lead]
        assert [row[50] for row in day.quantiles] == pytest.approx(expected)


def test_an_evaluation_survives_its_file(found: Evaluation) -> None:
    few = forecast_set(days=10)
    few.actual[:, 3] = np.nan
    short = evaluate("few", [few], WeatherMode.PERFECT)
    for one in (found, short):
        body = json.loads(json.dumps(one.to_json(), allow_nan=False))
        again = Evaluation.from_json(body)
        assert again.to_json() == one.to_json()
        assert again.weather_mode is one.weather_mode
    assert short.to_json()["overall"]["mae_skill_low/smart_persistence"] is None
    assert short.to_json()["tests"]["smart_persistence"]["p_value"] is None
    assert not short.gates
    assert found.gates


def test_sites_without_pairs_are_named_and_silence_no_other(found: Evaluation) -> None:
    dark = forecast_set("cellar")
    dark.actual[:] = np.nan
    with_dark = evaluate("blend", [*two_sites(), dark], NONE)
    assert with_dark.overall["nmae"] == pytest.approx(found.overall["nmae"])
    assert with_dark.by_site["cellar"].pairs == 0
    assert "cellar: no daylight pair could be scored." in with_dark.notes
    json.dumps(with_dark.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"quantiles": forecast_set().quantiles[::-1]}, "cross; sort them"),
        ({"quantiles": forecast_set().quantiles[:3]}, "3 quantiles for 7 levels"),
        ({"quantiles": forecast_set().quantiles[:, :5]}, "levels x cases x leads"),
        ({"targets": forecast_set().targets[:5]}, r"targets has shape \(5, 32\)"),
        ({"clear": np.zeros((1, 32))}, "clear has shape"),
        ({"references": {"smart": np.zeros((2, 2))}}, "reference 'smart' has shape"),
        ({"references": {"a/b": forecast_set().actual}}, "'a/b' cannot name a reference"),
        ({"capacity_w": 0.0}, "capacity_w must be above 0"),
        ({"leads_ms": np.arange(3)}, "leads_ms has shape"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(EvaluationError, match=rf"^site_01: .*{complaint}"):
        evaluate("blend", [replace(forecast_set(), **change)], NONE)  # type: ignore[arg-type]


def test_sites_that_cannot_be_averaged_are_refused() -> None:
    one = forecast_set()
    with pytest.raises(EvaluationError, match="site_01: given twice"):
        evaluate("blend", [one, one], NONE)
    with pytest.raises(EvaluationError, match=r"b: references \[\], but site_01 has"):
        evaluate("blend", [one, replace(one, site="b", references={})], NONE)
    with pytest.raises(EvaluationError, match="no site was given"):
        evaluate("blend", [], NONE)
    with pytest.raises(EvaluationError, match=r"levels: 0.5 is missing"):
        evaluate("blend", [replace(one, quantiles=one.quantiles[:2])], NONE, levels=(0.1, 0.2))


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ([], "not a stored evaluation"),
        ({"kind": "else"}, "not a stored evaluation"),
        ({"kind": "solar-evaluation", "version": 9}, "version 9"),
        ({"kind": "solar-evaluation", "version": 1}, "'name' is missing"),
    ],
)
def test_a_damaged_file_is_named(body: object, complaint: str) -> None:
    with pytest.raises(EvaluationError, match=rf"^old\.json: .*{complaint}"):
        Evaluation.from_json(body, "old.json")
