"""The report of live scores as one HTML file: headline, plots, scores, facts, limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

from central.evaluation.scores import Score

from . import numbers
from .facts import LiveReport, alarms, facts, limits
from .live import LiveScores
from .page import (
    bullets,
    cell,
    column,
    document,
    fact_list,
    figure,
    row,
    section,
    table,
    write_page,
)
from .plots import day_ahead_caption, day_ahead_plot, lead_plot, reliability_plot

WIDE, NARROW = 960, 344
"""Widths that plots are drawn for: a desk and a phone [px]."""
LEAD_LEGEND = (("model", "model"), ("reference", "smart persistence"))


def write_live_report(report: LiveReport, path: Path) -> None:
    """Write the report to ``path`` at once. Raises ``OSError`` when that fails."""
    write_page(path, render_live_report(report))


def render_live_report(report: LiveReport) -> str:
    """The whole page."""
    live = report.live
    subtitle = (
        f"{report.site_name} · {numbers.minute(live.start)} to {numbers.minute(live.end)} UTC"
        f" · agent {live.agent}"
    )
    return document(
        report.title,
        subtitle,
        _sections(report),
        f"Written {numbers.minute(report.generated_at)} UTC. Errors and widths are shares of the AC"
        " capacity; every score counts daylight intervals only.",
    )


def _sections(report: LiveReport) -> Iterator[str]:
    live = report.live
    offset = numbers.solar_offset_ms(report.site.longitude)
    warnings = alarms(report)
    if warnings:
        text = "".join(f"<p><b>⚠</b> {escape(one)}</p>" for one in warnings)
        yield f'<section class="alarm" role="note">{text}</section>'
    yield headline(live.overall, _over_what(live))
    yield section(
        "A day ahead",
        figure(
            day_ahead_plot(live.trace, offset, width=WIDE, days_per_row=9, row_height=240),
            day_ahead_plot(live.trace, offset, width=NARROW, days_per_row=3, row_height=170),
            (
                ("actual", "measured"),
                ("median", "median of the day before"),
                ("inner", "25–75 %"),
                ("outer", "5–95 %"),
            ),
        ),
        note="What was forecast 24 hours before each interval, and what came. "
        + day_ahead_caption(offset),
    )
    error = section(
        "Error by lead time",
        figure(
            lead_plot(live.scores, width=540),
            lead_plot(live.scores, width=NARROW),
            LEAD_LEGEND,
        ),
        note="Mean absolute error in daylight.",
    )
    reliable = section(
        "Reliability",
        figure(
            reliability_plot(live.reliability, width=340),
            reliability_plot(live.reliability, width=NARROW),
            (("median", "observed"), ("ideal", "ideal")),
        ),
        note="How often the measured value was at or below each quantile.",
    )
    yield f'<div class="pair">{error}{reliable}</div>'
    yield section(
        "Scores by lead time",
        score_table(live.scores),
        note="Percent of the AC capacity; skill is 1 − MAE / MAE of smart persistence in percent,"
        " where there is room with its 90 % bootstrap interval.",
    )
    if live.overall.pairs:
        yield section("Central intervals", _interval_table(live))
    yield section("Facts", fact_list(facts(report)))
    yield section("Limits", bullets(limits(report)), class_="limits")


def headline(overall: Score, over_what: str) -> str:
    """The skill in large digits, with its interval and what it means."""
    if math.isnan(overall.skill):
        return (
            '<section><div class="headline"><strong>–</strong><p>Nothing could be scored: no'
            " daylight interval has both a forecast made with a bundle and a measurement."
            "</p></div></section>"
        )
    low, high = overall.skill_low, overall.skill_high
    if low > 0:
        class_, verdict = "good", "better than the reference"
    elif high < 0:
        class_, verdict = "bad", "worse than the reference"
    else:
        class_, verdict = "unclear", "not clear of chance"
    interval = numbers.interval(overall)
    span = "too few days for an interval" if interval == numbers.NOTHING else f"{interval} %"
    words = "less" if overall.skill >= 0 else "more"
    return (
        f'<section aria-label="Skill"><div class="headline"><strong class="{class_}">'
        f"{numbers.signed_percent(overall.skill)}&#8239;%</strong><p>"
        f"<b>Skill against smart persistence: {verdict}.</b> "
        f"{numbers.percent(abs(overall.skill))} % {words} mean absolute error"
        f" ({numbers.percent(overall.mae, 2)} against {numbers.percent(overall.mae_persistence, 2)}"
        f" % of AC capacity), {escape(over_what)}.<br><small>90 % bootstrap interval: {span}. RMSE"
        f" skill {numbers.signed_percent(overall.rmse_skill)} %, skill against the previous day"
        f" {numbers.signed_percent(overall.skill_previous_day)} %, bias"
        f" {numbers.signed_percent(overall.bias)} % of capacity.</small></p></div></section>"
    )


def score_table(scores: Mapping[str, Score]) -> str:
    """MAE, RMSE, skill, pinball loss, coverage and width by lead, all leads last."""
    head = (
        column("Lead"),
        column("Pairs", "extra"),
        column("MAE"),
        column("RMSE"),
        column("Skill"),
        column("Pinball"),
        column("In 90 %"),
        column("Width"),
    )
    ordered = [*(name for name in scores if name != "all"), "all"]
    rows = (
        row(
            "All" if name == "all" else name.replace("-", "–"),
            _score_cells(scores[name]),
            "total" if name == "all" else "",
        )
        for name in ordered
    )
    return table(head, rows)


def _score_cells(score: Score) -> Iterator[str]:
    interval = numbers.interval(score, 0)
    yield cell(numbers.count(score.pairs), "extra")
    yield cell(numbers.percent(score.mae, 2))
    yield cell(numbers.percent(score.rmse, 2))
    aside = "" if interval == numbers.NOTHING else interval
    yield cell(numbers.signed_percent(score.skill), aside=aside)
    yield cell(numbers.percent(score.pinball, 2))
    yield cell(numbers.percent(score.coverage_90))
    yield cell(numbers.percent(score.width_90))


def _interval_table(live: LiveScores) -> str:
    head = (column("Interval"), column("Measured inside"), column("Mean width"))
    rows = (
        row(
            f"{100 * one.nominal:.0f} %",
            (cell(f"{numbers.percent(one.observed)} %"), cell(f"{numbers.percent(one.width)} %")),
        )
        for one in live.intervals
    )
    return table(head, rows)


def _over_what(live: LiveScores) -> str:
    modes = ", ".join(live.weather_modes)
    return (
        f"all leads to 48 h over {numbers.counted(live.days, 'day')}, weather mode {modes},"
        f" {numbers.counted(sum(live.bundles.values()), 'forecast')}"
    )
