"""The report of a training run, from the run itself and from the files it leaves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from central.evaluation.scores import Score, score_by_lead
from central.report.training import (
    REPORT_NAME,
    ReportError,
    from_candidate,
    load_training_report,
)
from central.training.candidate import write_report_json
from central.training.dataset import TrainingSite, describe
from central.training.lstm_parity import LstmParity
from central.training.pipeline import Candidate
from models.bundle.manifest import MANIFEST_NAME
from models.bundle.manifest_json import encode_manifest
from models.contract.forecast import LEVELS
from models.contract.timestamps import HORIZON_STEPS
from tests.unit.central.report.published_days import MANIFEST, SITE, TRUTH

CASES = 40


def scores(seed: int = 0) -> dict[str, Score]:
    random = np.random.default_rng(seed)
    actual = random.uniform(0, 4000, (CASES, HORIZON_STEPS))
    actual[:, :4] = np.nan  # nothing to score in the first hour
    median = actual + 300 * random.standard_normal(actual.shape)
    spread = np.linspace(-900, 900, len(LEVELS))
    return score_by_lead(
        actual,
        np.clip(median[:, None, :] + spread[:, None], 0, 5000),
        np.full(actual.shape, 2000.0),
        np.full(actual.shape, 1500.0),
        5000.0,
        np.arange(CASES) // 4,
    )


@pytest.fixture
def candidate(tmp_path: Path) -> Candidate:
    """What a run of ``central.training.pipeline`` hands back, with its files."""
    found = scores()
    site = TrainingSite("barn <1>", SITE, TRUTH, 60)
    report: dict[str, Any] = {
        "sites": describe([site]),
        "shares": {
            "solar_generation_lstm": [0.0, 0.0, 0.0, 0.1, 0.1, 0.2, 0.25, 0.3, 0.35],
            "solar_generation_near_xgboost": [0.9, 0.7, *[0.0] * 7],
        },
        "trees": [60, 55, 50, 45, 50, 55, 60],
        "near_trees": [30, 29, 28, 27, 28, 29, 31],
        "tree_parity": {"rows": 10_000, "max_abs_difference": 2e-6, "tolerance": 1e-5},
        "near_parity": {"rows": 9_000, "max_abs_difference": 3e-6, "tolerance": 1e-5},
        "lstm_parity": vars(LstmParity(625, 0.004, 0.04, 0.05, "tflite_runtime 2.14.0")),
        "scores": {lead: score.to_json() for lead, score in found.items()},
    }
    directory = tmp_path / "candidate"
    directory.mkdir()
    (directory / MANIFEST_NAME).write_bytes(encode_manifest(MANIFEST))
    write_report_json(tmp_path / REPORT_NAME, report)
    return Candidate(directory, MANIFEST, found, report)


def test_the_files_of_a_run_give_the_same_report_as_the_run(
    candidate: Candidate, tmp_path: Path
) -> None:
    here = from_candidate(candidate)
    assert load_training_report(tmp_path).to_json() == here.to_json()
    assert load_training_report(tmp_path / REPORT_NAME).to_html() == here.to_html()


def test_scores_survive_the_file_also_where_there_are_none(
    candidate: Candidate, tmp_path: Path
) -> None:
    loaded = load_training_report(tmp_path).scores
    assert list(loaded) == list(candidate.scores)
    assert loaded["all"] == candidate.scores["all"]
    assert np.isnan(loaded["0-1 h"].mae)
    assert loaded["0-1 h"].pairs == 0


def test_the_text_holds_every_lead_and_every_gate(candidate: Candidate) -> None:
    text = from_candidate(candidate).to_text()
    for lead, score in candidate.scores.items():
        (line,) = [line for line in text.splitlines() if line.strip().startswith(f"{lead}  ")]
        assert (f"{100 * score.mae:.2f}" if score.pairs else "–") in line
        assert (f"{100 * score.skill:+.1f}" if score.pairs else "–") in line
    assert "Parity: Compiled trees: 2e-6, allowed 1e-5" in text
    assert "Parity: Compiled trees of the first hour: 3e-6, allowed 1e-5" in text
    flat = text.replace("\n", " ").replace("  ", " ")
    assert "36-48 h 35 %" in flat
    assert "near_xgboost: 0-0.25 h 90 %, 0.25-1 h 70 %, 1-2 h 0 %" in flat
    assert "first hour: 0.05: 30, 0.1: 29" in flat
    assert max(len(line) for line in text.splitlines()) <= 100


def test_a_report_of_before_the_first_hour_had_its_trees_is_still_read(
    candidate: Candidate, tmp_path: Path
) -> None:
    body = dict(candidate.report)
    del body["near_trees"], body["near_parity"]
    body["shares"] = {"solar_generation_lstm": [0.0] * 7 + [0.4]}
    write_report_json(tmp_path / REPORT_NAME, body)
    report = load_training_report(tmp_path)
    assert report.near_trees == ()
    assert len(report.parities) == 2
    text = report.to_text()
    assert "first hour" not in text
    assert "36-48 h 40 %" in text


def test_a_broken_gate_is_marked(candidate: Candidate) -> None:
    report = from_candidate(candidate)
    assert not any(fact.wrong for fact in report.facts())
    trees, near, lstm = report.parities
    broken = replace(report, parities=(trees, near, replace(lstm, difference=0.06)))
    assert [fact.name for fact in broken.facts() if fact.wrong] == ["Parity: int8 LSTM"]
    assert "⚠ 0.06, allowed 0.05" in broken.to_html()
    nothing_compared = replace(trees, difference=float("nan"))
    assert any(fact.wrong for fact in replace(report, parities=(nothing_compared,)).facts())


def test_the_page_plots_errors_and_escapes_names(candidate: Candidate, tmp_path: Path) -> None:
    from_candidate(candidate).write_html(tmp_path / "training.html")
    text = (tmp_path / "training.html").read_text(encoding="utf-8")
    assert "barn &lt;1&gt;" in text
    assert "<1>" not in text
    assert "://" not in text
    score = candidate.scores["12-24 h"]
    assert f"12-24 h: {100 * score.mae:.1f} against {100 * score.mae_persistence:.1f}" in text
    # Seven leads, drawn twice: nothing was scored in the first hour.
    assert text.count('<rect class="model"') == text.count('<rect class="reference"') == 14


def test_json_holds_no_nan(candidate: Candidate) -> None:
    body = json.loads(json.dumps(from_candidate(candidate).to_json(), allow_nan=False))
    assert body["bundle"] == "bundle-7"
    assert body["scores"]["0-1 h"]["mae"] is None


def test_without_a_manifest_the_scores_are_shown_all_the_same(
    candidate: Candidate, tmp_path: Path
) -> None:
    (candidate.directory / MANIFEST_NAME).unlink()
    report = load_training_report(tmp_path)
    assert report.manifest is None
    assert report.scores["all"] == candidate.scores["all"]
    assert "Candidate" in report.to_html()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "not JSON"),
        ("[]", "not a report of a training run"),
        ("{}", "'scores' is missing"),
        ('{"scores": {}}', "'all' is missing"),
        ('{"scores": {"all": {"pairs": "many"}}}', "is missing"),
    ],
)
def test_a_damaged_report_is_named_with_what_is_wrong(
    tmp_path: Path, content: str, complaint: str
) -> None:
    file = tmp_path / REPORT_NAME
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ReportError, match=complaint) as caught:
        load_training_report(tmp_path)
    assert str(file) in str(caught.value)


def test_a_missing_report_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="run `solar-central train` first"):
        load_training_report(tmp_path)


def test_a_damaged_manifest_is_named(candidate: Candidate, tmp_path: Path) -> None:
    (candidate.directory / MANIFEST_NAME).write_bytes(b'{"bundle_id": 3}')
    with pytest.raises(ReportError, match=r"candidate/manifest\.json"):
        load_training_report(tmp_path)
