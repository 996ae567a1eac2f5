"""A report of one or more models as text, JSON or a page; the suffix of the file decides."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from .compare import Comparison, Results, compare_models, named_results, read_metrics
from .evaluation import Evaluation
from .forecasts import EvaluationError

TEXT_SUFFIXES, PAGE_SUFFIXES = ("", ".txt", ".text", ".log"), (".html", ".htm")
SUFFIXES = (*TEXT_SUFFIXES[1:], ".json", *PAGE_SUFFIXES)


def generate_report(results: Results, path: str | Path | None = None) -> str:
    """Report on ``results``, as taken by ``compare_models``, and return the text.

    Args:
        path: also write it: ``.txt`` text, ``.json`` figures, ``.html`` a page that needs nothing
            else; an old file is replaced at once
    Raises:
        EvaluationError: the results cannot be compared, or the suffix is not known.
        OSError: the file cannot be written.
    """
    if path is not None:
        check_suffix(Path(path))
    text = text_report(results)
    if path is not None:
        write_report(results, Path(path), text)
    return text


def check_suffix(path: Path) -> None:
    """Raise ``EvaluationError`` when the suffix names no form of report."""
    if path.suffix.lower() not in ("", *SUFFIXES):
        raise EvaluationError(
            f"{path}: a report ends with {', '.join(SUFFIXES)}, not {path.suffix!r}"
        )


def write_report(results: Results, path: Path, text: str | None = None) -> None:
    """Write the form that the suffix of ``path`` names."""
    from central.report.page import write_page

    suffix = path.suffix.lower()
    if suffix in PAGE_SUFFIXES:
        content = page_report(results)
    elif suffix == ".json":
        content = json.dumps(json_report(results), allow_nan=False, indent=1) + "\n"
    else:
        content = text_report(results) if text is None else text
    write_page(path, content)


def text_report(results: Results) -> str:
    """For a terminal of 100 columns."""
    from .text import report_text

    return report_text(*_parts(results))


def page_report(results: Results) -> str:
    """The page."""
    from .html import report_page

    return report_page(*_parts(results))


def json_report(results: Results) -> dict[str, Any]:
    """The comparison, and each model: an evaluation in the form that is stored."""
    comparison, _ = _parts(results)
    return {
        "comparison": None if comparison is None else comparison.to_json(),
        "models": {
            name: one.to_json() if isinstance(one, Evaluation) else {"metrics": _plain(name, one)}
            for name, one in named_results(results).items()
        },
    }


def _parts(results: Results) -> tuple[Comparison | None, list[Evaluation]]:
    """The comparison, unless there is one evaluation alone; and the evaluations."""
    named = named_results(results)
    evaluations = [
        replace(one, name=name) for name, one in named.items() if isinstance(one, Evaluation)
    ]
    alone = len(named) == len(evaluations) == 1
    if alone or all(isinstance(one, Evaluation) and not one.gates for one in named.values()):
        return None, evaluations
    return compare_models(results), evaluations


def _plain(name: str, result: Any) -> dict[str, float | None]:
    return {
        metric: value if math.isfinite(value) else None
        for metric, value in read_metrics(name, result).items()
    }
