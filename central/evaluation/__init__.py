"""What forecasts are worth, for gates and for people.

``evaluate`` judges ``ForecastSet``s into an ``Evaluation``; ``compare_models``, ``select_best`` and
``generate_report`` take evaluations and plain dictionaries of metrics alike. ``references`` holds
what has to be beaten, ``significance`` tells skill from chance, ``scores`` is the short judgement
that stands in a bundle.
"""

from central.registry.runbook import MLflowHelper

from .compare import Comparison, compare_models, select_best
from .evaluate import evaluate
from .evaluation import Evaluation
from .forecasts import EvaluationError, ForecastSet
from .groups import Horizon
from .reports import generate_report
from .runbook import ModelEvaluator, ModelSelector

__all__ = [
    "Comparison",
    "Evaluation",
    "EvaluationError",
    "ForecastSet",
    "Horizon",
    "MLflowHelper",
    "ModelEvaluator",
    "ModelSelector",
    "compare_models",
    "evaluate",
    "generate_report",
    "select_best",
]
