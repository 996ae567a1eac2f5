"""Prometheus' text exposition format, version 0.0.4, written by hand.

``prometheus_client`` would do this for 12 MB of memory on the box; its parser is the referee in the
tests. Names and label names are ours and checked here; label values may hold anything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Literal

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge"]
Labels = Mapping[str, str]
_NAME = re.compile("[a-z][a-z0-9_]*")
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
_HELP_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n"})
_NO_LABELS: Labels = {}


class Exposition:
    """Collects families of samples; :meth:`text` gives all of them."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._names: set[str] = set()
        self._lines: list[str] = []

    def gauge(
        self, name: str, about: str, value: float | None, labels: Labels = _NO_LABELS
    ) -> None:
        """One number that goes up and down; None: it is not known, and left out."""
        if value is not None:
            self.family("gauge", name, about, [(labels, value)])

    def counter(self, name: str, about: str, value: int, labels: Labels = _NO_LABELS) -> None:
        """One number that only grows while the process lives; ``_total`` is put behind it."""
        self.family("counter", name, about, [(labels, value)])

    def family(
        self, kind: Kind, name: str, about: str, samples: Iterable[tuple[Labels, float | None]]
    ) -> None:
        """Samples of one name, told apart by their labels. Without samples there is no family."""
        name = f"{self._prefix}_{name}{'_total' if kind == 'counter' else ''}"
        if name in self._names or not _NAME.fullmatch(name):
            raise ValueError(f"{name}: not a name for a metric, or given twice")
        self._names.add(name)
        lines = [
            f"{name}{_labels(labels)} {_number(value)}"
            for labels, value in samples
            if value is not None
        ]
        if lines:
            about = about.translate(_HELP_ESCAPES)
            self._lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}", *lines]

    def text(self) -> str:
        """The whole exposition."""
        return "\n".join(self._lines) + "\n"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    for name in labels:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name}: not a name for a label")
    return (
        "{"
        + ",".join(f'{key}="{value.translate(_ESCAPES)}"' for key, value in labels.items())
        + "}"
    )


def _number(value: float) -> str:
    if isinstance(value, int):  # True and False become 1 and 0
        return str(int(value))
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
