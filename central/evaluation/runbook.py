"""The names that the owner's runbook calls; the work is done by the functions beside it.

from central.evaluation import ModelEvaluator, ModelSelector
print(ModelEvaluator().compare_models(results))
name, result = ModelSelector().select_best_regression_model(results)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .compare import Comparison, Results, compare_models, select_best
from .reports import generate_report


class ModelEvaluator:
    """Compares models and writes reports."""

    def compare_models(self, results: Results, by: str | None = None) -> Comparison:
        """See :func:`central.evaluation.compare.compare_models`."""
        return compare_models(results, by)

    def generate_report(self, results: Results, path: str | Path | None = None) -> str:
        """See :func:`central.evaluation.reports.generate_report`."""
        return generate_report(results, path)


class ModelSelector:
    """Chooses among models."""

    def select_best_regression_model(
        self, results: Results, by: str | None = None
    ) -> tuple[str, Any]:
        """Name and result of the best; see :func:`central.evaluation.compare.select_best`."""
        return select_best(results, by)
