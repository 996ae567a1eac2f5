"""``solar-central evaluate``: the last candidate, or stored evaluations side by side.

A results file is an evaluation as ``Evaluation.to_json`` gives it, or a dictionary of model names
with ``{"metrics": {...}}`` or such an evaluation each (also under ``models``, as a JSON report has
it). The command line parses and prints; everything else is here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .evaluation import KIND, Evaluation, load_json
from .forecasts import EvaluationError
from .reports import (
    PAGE_SUFFIXES,
    check_suffix,
    json_report,
    page_report,
    text_report,
    write_report,
)


def evaluate_command(
    work_dir: Path,
    results: Sequence[Path] = (),
    *,
    html: Path | None = None,
    report: Path | None = None,
    as_json: bool = False,
) -> str:
    """What to print. Without ``results`` the last candidate in ``work_dir`` is shown.

    Args:
        html: also write a page
        report: also write a report in the form that its suffix names
    Raises:
        EvaluationError, ReportError: a file is missing, damaged or cannot be compared.
        OSError: a report cannot be written.
    """
    from central.report.page import write_page

    if report is not None:
        check_suffix(report)
    if not results:
        return _last_candidate(work_dir, html, report, as_json)
    models = load_results(results)
    if report is not None:
        write_report(models, report)
    if html is not None:
        write_page(html, page_report(models))
    if as_json:
        return json.dumps(json_report(models), allow_nan=False)
    return text_report(models)


def load_results(files: Sequence[Path]) -> dict[str, Any]:
    """Results by model from files.

    Raises ``EvaluationError`` naming the file, also when two files name the same model.
    """
    models: dict[str, Any] = {}
    origin: dict[str, Path] = {}
    for file in files:
        for name, result in _models_of(file).items():
            if name in models:
                raise EvaluationError(f"{file}: model {name!r} is in {origin[name]}, too")
            models[name], origin[name] = result, file
    return models


def _models_of(file: Path) -> dict[str, Any]:
    body = load_json(file)
    if not isinstance(body, Mapping):
        raise EvaluationError(f"{file}: must hold a JSON object, not {type(body).__name__}")
    if body.get("kind") == KIND:
        one = Evaluation.from_json(body, str(file))
        return {one.name: one}
    if isinstance(body.get("models"), Mapping):
        body = body["models"]
    if not body:
        raise EvaluationError(f"{file}: holds no model")
    found: dict[str, Any] = {}
    for name, result in body.items():
        stored = isinstance(result, Mapping) and result.get("kind") == KIND
        if not stored and not (isinstance(result, Mapping) and "metrics" in result):
            raise EvaluationError(
                f"{file}: {name!r} is neither a stored evaluation nor has it 'metrics'"
            )
        found[name] = Evaluation.from_json(result, f"{file}: {name}") if stored else result
    return found


def _last_candidate(work_dir: Path, html: Path | None, report: Path | None, as_json: bool) -> str:
    from central.report.page import write_page
    from central.report.training import load_training_report

    found = load_training_report(work_dir)
    text, figures = found.to_text(), json.dumps(found.to_json(), allow_nan=False)
    if html is not None:
        found.write_html(html)
    if report is not None:
        suffix = report.suffix.lower()
        if suffix in PAGE_SUFFIXES:
            found.write_html(report)
        else:
            write_page(report, figures + "\n" if suffix == ".json" else text)
    return figures if as_json else text
