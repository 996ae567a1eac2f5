"""``solar-central evaluate`` behind the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from central.evaluation import Evaluation, EvaluationError, evaluate, generate_report
from central.evaluation.command import evaluate_command, load_results
from central.evaluation.scores import score_by_lead
from central.report.training import REPORT_NAME, ReportError
from central.training.candidate import write_report_json
from models.contract.forecast import WeatherMode
from tests.unit.central.evaluation.forecast_sets import forecast_set
from tests.unit.central.report.test_training_report import scores

PLAIN = {"LSTM": {"metrics": {"MAE": 50, "RMSE": 75}}, "XGBoost": {"metrics": {"MAE": 45}}}


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate("blend", [forecast_set()], WeatherMode.ARCHIVED_NWP)


@pytest.fixture
def stored(evaluation: Evaluation, tmp_path: Path) -> Path:
    file = tmp_path / "blend.json"
    file.write_text(json.dumps(evaluation.to_json(), allow_nan=False), encoding="utf-8")
    return file


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    file = tmp_path / "plain.json"
    file.write_text(json.dumps(PLAIN), encoding="utf-8")
    return file


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    """What a training run leaves, as far as its report goes."""
    directory = tmp_path / "training"
    directory.mkdir()
    body = {
        "sites": [],
        "shares": {"solar_generation_lstm": [0.0] * 8},
        "trees": [60] * 7,
        "tree_parity": {"rows": 10, "max_abs_difference": 2e-6, "tolerance": 1e-5},
        "lstm_parity": {"windows": 9, "error_over_std": 0.004, "tolerance": 0.05},
        "scores": {lead: score.to_json() for lead, score in scores().items()},
    }
    write_report_json(directory / REPORT_NAME, body)
    return directory


def test_without_results_the_last_candidate_is_shown(work_dir: Path, tmp_path: Path) -> None:
    text = evaluate_command(work_dir, html=tmp_path / "page.html", report=tmp_path / "r.json")
    assert "candidate, test span" in text
    assert "<svg" in (tmp_path / "page.html").read_text(encoding="utf-8")
    figures = evaluate_command(work_dir, as_json=True)
    assert (tmp_path / "r.json").read_text(encoding="utf-8") == figures + "\n"
    assert json.loads(figures)["scores"]["all"]["pairs"] > 0
    evaluate_command(work_dir, report=tmp_path / "r.txt")
    assert (tmp_path / "r.txt").read_text(encoding="utf-8") == text
    assert score_by_lead.__module__ == "central.evaluation.scores"


def test_without_a_candidate_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="run `solar-central train` first"):
        evaluate_command(tmp_path)


def test_a_stored_evaluation_alone_is_shown_in_full(
    evaluation: Evaluation, stored: Path, tmp_path: Path
) -> None:
    assert evaluate_command(tmp_path, [stored]) == generate_report(evaluation)


def test_stored_files_of_every_form_are_compared(stored: Path, plain: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    text = evaluate_command(tmp_path, [stored, plain], html=page, report=tmp_path / "all.json")
    assert "Best by MAE: XGBoost." in text
    assert "blend: weather mode archived_nwp" in text
    assert "XGBoost" in page.read_text(encoding="utf-8")
    figures = json.loads(evaluate_command(tmp_path, [stored, plain], as_json=True))
    assert figures["comparison"]["order"] == ["XGBoost", "LSTM", "blend"]
    # A JSON report is a results file, too.
    again = json.loads(evaluate_command(tmp_path, [tmp_path / "all.json"], as_json=True))
    assert again == figures


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "No such file"),
        ("{", "not JSON"),
        ("[]", "must hold a JSON object, not list"),
        ("{}", "holds no model"),
        ('{"LSTM": 3}', "'LSTM' is neither a stored evaluation nor has it 'metrics'"),
        ('{"models": {"a": {"kind": "solar-evaluation", "version": 2}}}', "a: version 2"),
        ('{"kind": "solar-evaluation", "version": 1}', "'name' is missing"),
    ],
)
def test_a_results_file_that_holds_none_is_named(
    tmp_path: Path, content: str | None, complaint: str
) -> None:
    file = tmp_path / "bad.json"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(EvaluationError, match=complaint) as caught:
        load_results([file])
    assert str(file) in str(caught.value)


def test_two_files_must_not_name_one_model(plain: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.json"
    again.write_text(json.dumps({"LSTM": PLAIN["LSTM"]}), encoding="utf-8")
    with pytest.raises(EvaluationError, match=r"again\.json: model 'LSTM' is in .*plain\.json"):
        load_results([plain, again])


def test_a_report_that_could_not_be_written_stops_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"x\.doc"):
        evaluate_command(tmp_path / "nothing here", report=tmp_path / "x.doc")
