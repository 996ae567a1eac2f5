"""Reports as text, JSON and a page that a browser shows."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from central.evaluation import (
    Evaluation,
    EvaluationError,
    ModelEvaluator,
    evaluate,
    generate_report,
)
from central.evaluation.plots import error_plot, month_plot
from central.evaluation.reports import page_report
from models.contract.forecast import WeatherMode
from tests.browser import browse, text_of
from tests.unit.central.evaluation.forecast_sets import forecast_set
from tests.unit.central.report.test_live_page import HARNESS, Page

RUNBOOK = {
    "LSTM": {"metrics": {"MAE": 50, "RMSE": 75, "MAPE": 0.15}},
    "XGBoost <b>": {"metrics": {"MAE": 45, "RMSE": 70, "MAPE": 0.12}},
}


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    sets = [forecast_set("barn <1>", days=60), forecast_set("school", error_w=900.0, seed=3)]
    return evaluate("blend", sets, WeatherMode.NWP_UNKNOWN_ISSUE, notes=["Capacity: AC."])


def test_the_text_is_returned_and_written_whatever_the_suffix(tmp_path: Path) -> None:
    evaluator = ModelEvaluator()
    text = evaluator.generate_report(RUNBOOK, str(tmp_path / "evaluation_report.txt"))
    assert (tmp_path / "evaluation_report.txt").read_text(encoding="utf-8") == text
    for name in ("report.json", "report.html", "report"):
        assert evaluator.generate_report(RUNBOOK, tmp_path / name) == text
    assert "Best by MAE: XGBoost <b>." in text
    body = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert body["comparison"]["order"] == ["XGBoost <b>", "LSTM"]
    assert body["models"]["LSTM"]["metrics"] == {"MAE": 50, "RMSE": 75, "MAPE": 0.15}
    assert "XGBoost &lt;b&gt;" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "report").read_text(encoding="utf-8") == text
    assert len(list(tmp_path.iterdir())) == 4  # no drafts


def test_a_suffix_that_is_no_report_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"report\.pdf: a report ends with .*\.html"):
        generate_report(RUNBOOK, tmp_path / "report.pdf")
    assert list(tmp_path.iterdir()) == []


def test_the_text_shows_every_group_and_every_warning(evaluation: Evaluation) -> None:
    text = generate_report(evaluation)
    assert "weather mode nwp_unknown_issue" in text
    assert "! Weather forecasts of unknown issue time were used" in text
    assert "- Capacity: AC." in text
    overall = evaluation.overall
    (row,) = [line for line in text.splitlines() if line.strip().startswith("mean over sites")]
    assert f"{100 * overall['nmae']:.2f}" in row
    assert f"{100 * overall['crps']:.2f}" in row
    (row,) = [line for line in text.splitlines() if line.strip().startswith("climatology")]
    assert f"{100 * overall['mae_skill/climatology']:+.1f}" in row.replace("−", "-")
    groups = [*evaluation.by_horizon, *evaluation.by_month, *evaluation.by_regime]
    for name in [*groups, *evaluation.by_site]:
        assert [line for line in text.splitlines() if line.startswith(f" {name} ")], name
    assert max(len(line) for line in text.splitlines()) <= 120


def test_perfect_weather_raises_an_alarm_in_every_form(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    dream = replace(evaluation, weather_mode=WeatherMode.PERFECT)
    for results in (dream, {"dream": dream, **RUNBOOK}):
        text = generate_report(results, tmp_path / "dream.html")
        assert "an upper bound" in text
        assert "an upper bound" in Page((tmp_path / "dream.html").read_text("utf-8")).text
    generate_report(dream, tmp_path / "dream.json")
    stored = json.loads((tmp_path / "dream.json").read_text("utf-8"))["models"]["blend"]
    assert stored["weather_mode"] == "perfect"
    assert Evaluation.from_json(stored).weather_mode is WeatherMode.PERFECT


def test_the_page_is_whole_escaped_and_needs_no_other_file(evaluation: Evaluation) -> None:
    text = page_report(evaluation)
    page = Page(text)  # every tag is closed in order
    assert "barn <1>" in page.text
    assert "<1>" not in text
    assert "://" not in text
    sources = [value for _, name, value in page.attributes if name in ("src", "href")]
    assert sources == ["data:,"]
    assert page.text.count("forecast issued up to") == 3
    labels = [value for _, name, value in page.attributes if name == "aria-label"]
    assert any("Mean absolute error by lead" in label for label in labels)
    assert any("at or below each forecast quantile" in label for label in labels)


def test_the_plot_of_errors_stands_where_the_numbers_say(evaluation: Evaluation) -> None:
    drawn = error_plot(evaluation, width=540)
    for name in ("blend", "smart_persistence", "climatology"):
        lines = re.findall(rf'<path d="M([^"]*)"[^>]*data-series="{name}"', drawn)
        points = [tuple(map(float, point.split(","))) for point in lines[0].split("L")]
        key = "nmae" if name == "blend" else f"nmae/{name}"
        errors = np.array([one[key] for one in evaluation.by_horizon.values()])
        assert len(points) == len(errors) == 5
        heights = 260 - 42 - np.array([y for _, y in points])  # above the axis
        np.testing.assert_allclose(heights / heights[0], errors / errors[0], rtol=0.02)
    assert drawn.count("<circle") == 15


def test_months_that_lose_hang_below_the_line() -> None:
    one = forecast_set(days=60)
    february = one.targets >= one.targets[31 * 24, 0]
    median = one.quantiles[3]
    worse = one.quantiles + np.where(february, 4.0, 0.0) * (median - one.actual)[None]
    found = evaluate("blend", [replace(one, quantiles=worse)], WeatherMode.NONE)
    skills = [one["mae_skill/smart_persistence"] for one in found.by_month.values()]
    assert skills[0] > 0
    assert skills[1] < -1  # cut off in the plot, not in its words
    drawn = month_plot(found, "smart_persistence", width=540)
    (zero,) = re.findall(r'class="ideal"[^>]* y1="([\d.]+)"', drawn)
    bar = r'<rect class="(\w+)" x="[\d.]+" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"'
    bars = re.findall(bar, drawn)
    (good, top, tall), (bad, start, deep), *_ = bars
    assert (good, bad) == ("model", "reference")
    assert float(top) + float(tall) == pytest.approx(float(zero), abs=0.2)
    assert float(start) == pytest.approx(float(zero), abs=0.2)
    assert float(deep) / float(tall) == pytest.approx(1 / skills[0], rel=0.03)
    assert f"{100 * skills[1]:.1f}".replace("-", "−") in drawn


def test_an_evaluation_is_shown_by_the_name_it_was_given(evaluation: Evaluation) -> None:
    text = generate_report({"new": evaluation, "old": replace(evaluation, name="blend")})
    assert "new: weather mode" in text
    assert "old: weather mode" in text


def test_a_model_without_references_or_with_few_days_is_shown_all_the_same() -> None:
    bare = replace(forecast_set(days=5), references={}, clear=None)
    found = evaluate("bare", [bare], WeatherMode.NONE)
    text = generate_report(found)
    assert "Against the references" not in text
    assert "By sky of the hour" not in text
    assert "Fewer than 21 days" in text
    assert "Skill by month" not in page_report(found)
    short = evaluate("short", [forecast_set(days=5)], WeatherMode.NONE)
    assert "nan" not in generate_report(short).lower()
    assert "nan" not in Page(page_report(short)).text.lower()


@pytest.mark.browser
def test_a_browser_shows_the_page_on_a_phone_and_a_desk_and_loads_nothing(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    results = {"blend": evaluation, "again": replace(evaluation, name="again")}
    page = tmp_path / "report.html"
    generate_report(results, page)
    seen = text_of(browse(page.as_uri(), tmp_path / "profile"))
    assert "Best by nMAE: again." in re.sub(r"\s+", " ", seen)
    assert f"{100 * evaluation.overall['nmae']:.2f}" in seen

    harness = tmp_path / "harness.html"
    content = json.dumps(page_report(evaluation)).replace("</", "<\\/")
    harness.write_text(HARNESS % content, encoding="utf-8")
    dom = browse(harness.as_uri(), tmp_path / "profile")
    (found,) = re.findall(r'<pre id="found">(.*?)</pre>', dom)
    assert set(json.loads(found)) == {"360", "1200"}
    for width, measured in json.loads(found).items():
        assert measured["needs"] <= int(width)
        assert measured["plots"] == 6  # error, reliability, months, three days
        assert measured["text"] >= 10
        assert measured["loaded"] == 0
