"""Comparisons and evaluations for a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from .compare import Comparison
from .evaluation import Evaluation
from .grids import (
    Grid,
    alarms,
    comparison_grid,
    comparison_remarks,
    evaluation_grids,
    limits,
    summary,
)

_WIDTH = 120


def comparison_text(comparison: Comparison) -> str:
    """The table and what is to be said about it."""
    return _printed(_comparison(comparison))


def report_text(comparison: Comparison | None, evaluations: Sequence[Evaluation]) -> str:
    """The comparison, then each evaluation with its tables."""
    parts: list[RenderableType] = [] if comparison is None else list(_comparison(comparison))
    for one in evaluations:
        parts += [Text(""), Text(f"{one.name}: {summary(one)}")]
        parts += [Text(f"! {alarm}") for alarm in alarms(one)]
        for grid in evaluation_grids(one):
            parts += [Text(""), _table(grid), Text(grid.note)]
        parts.append(Text(""))
        parts += [Text(f"- {limit}") for limit in limits(one)]
    return _printed(parts)


def _comparison(comparison: Comparison) -> Iterator[RenderableType]:
    grid = comparison_grid(comparison)
    yield _table(grid)
    yield Text(grid.note)
    for remark in comparison_remarks(comparison):
        yield Text(remark)


def _table(grid: Grid) -> Table:
    table = Table(
        title=grid.title,
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for place, name in enumerate(grid.columns):
        table.add_column(Text(name), justify="right" if place else "left")
    for row in grid.rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _printed(parts: Sequence[RenderableType] | Iterator[RenderableType]) -> str:
    console = Console(file=io.StringIO(), width=_WIDTH, color_system=None)
    console.print(Group(*parts))
    assert isinstance(console.file, io.StringIO)
    lines = (line.rstrip() for line in console.file.getvalue().splitlines())
    return "\n".join(lines).strip("\n") + "\n"
