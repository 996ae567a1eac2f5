"""The report of one or more models as one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from central.report.html import NARROW, WIDE
from central.report.live import Reliability
from central.report.page import bullets, cell, column, document, figure, row, section, table
from central.report.plots import reliability_plot

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
from .plots import error_legend, error_plot, example_plot, month_plot

BAND_LEGEND = (
    ("actual", "measured"),
    ("median", "median"),
    ("inner", "25–75 %"),
    ("outer", "5–95 %"),
)


def report_page(comparison: Comparison | None, evaluations: Sequence[Evaluation]) -> str:
    """The whole page."""
    names = [one.name for one in evaluations] if comparison is None else comparison.models
    return document(
        "Model evaluation",
        " · ".join(names),
        _sections(comparison, evaluations),
        "Errors and widths are shares of the capacity; every score counts daylight intervals only"
        " unless it says otherwise.",
    )


def _sections(comparison: Comparison | None, evaluations: Sequence[Evaluation]) -> Iterator[str]:
    if comparison is not None:
        yield _grid(comparison_grid(comparison), bullets(comparison_remarks(comparison)))
    for one in evaluations:
        prefix = f"{one.name}: " if len(evaluations) > 1 else ""
        yield from _evaluation(one, prefix)


def _evaluation(one: Evaluation, prefix: str) -> Iterator[str]:
    warnings = list(alarms(one))
    if warnings:
        words = "".join(
            f"<p><b>⚠</b> {escape(prefix)}{escape(warning)}</p>" for warning in warnings
        )
        yield f'<section class="alarm" role="note">{words}</section>'
    first, *others = evaluation_grids(one)
    yield _grid(first, prefix=prefix)
    if one.references:
        yield _grid(others.pop(0), prefix=prefix)
    errors = section(
        f"{prefix}Error by lead time",
        error_legend(one),
        figure(error_plot(one, width=540), error_plot(one, width=NARROW)),
        note=f"Mean absolute error in daylight; {summary(one)}.",
    )
    reliability = [
        Reliability(float(level), share)
        for level, share in one.overall.of_kind("reliability").items()
    ]
    reliable = section(
        f"{prefix}Reliability",
        figure(
            reliability_plot(reliability, width=340),
            reliability_plot(reliability, width=NARROW),
            (("median", "observed"), ("ideal", "ideal")),
        ),
        note="How often the measured value was at or below each quantile.",
    )
    yield f'<div class="pair">{errors}{reliable}</div>'
    if one.references:
        reference = one.references[0]
        yield section(
            f"{prefix}Skill by month",
            figure(
                month_plot(one, reference, width=WIDE),
                month_plot(one, reference, width=NARROW),
            ),
            note=f"1 − MAE / MAE of {reference}.",
        )
    if one.examples:
        yield section(
            f"{prefix}Example days",
            *(
                f'<p class="note">{escape(day.site)}, {escape(day.choice)}; forecast issued up to'
                f" {day.longest_lead_h:g} h before</p>"
                + figure(
                    example_plot(day, width=WIDE, row_height=220),
                    example_plot(day, width=NARROW, row_height=180),
                    () if place else BAND_LEGEND,
                )
                for place, day in enumerate(one.examples)
            ),
            note="Days of the site with the median error, nearest to the 50th, 10th and 90th"
            " percentile of the daily error; mean solar time.",
        )
    for grid in others:
        yield _grid(grid, prefix=prefix)
    yield section(f"{prefix}How to read this", bullets(limits(one)), class_="limits")


def _grid(grid: Grid, *more: str, prefix: str = "") -> str:
    head = [column(name) for name in grid.columns]
    rows = (row(cells[0], (cell(one) for one in cells[1:])) for cells in grid.rows)
    return section(f"{prefix}{grid.title}", table(head, rows), *more, note=grid.note)
