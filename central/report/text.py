"""The closing table of a run for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from central.evaluation.scores import Score

from . import numbers
from .facts import LiveReport, alarms, facts


def closing_table(report: LiveReport, path: Path) -> RenderableType:
    """Skill, scores by lead, facts, and where the page lies."""
    live = report.live
    return Group(
        *(Text(f"! {alarm}", style="bold red") for alarm in alarms(report)),
        score_table(live.scores, title=f"{report.site_name}: what the forecasts were worth"),
        _fact_table(report),
        _skill_line(live.overall, live.days),
        Text.assemble("Report: ", (str(path), "bold")),
    )


def score_table(scores: Mapping[str, Score], *, title: str) -> Table:
    """Scores by lead in percent of the AC capacity."""
    # Light rules: the table has to fit 80 columns.
    table = Table(title=title, title_justify="left", caption_justify="left", box=SIMPLE_HEAD)
    table.caption = "percent of AC capacity, daylight only; persist.: MAE of smart persistence"
    table.add_column("lead", no_wrap=True)
    for name in ("MAE", "persist.", "RMSE", "skill", "90 % CI", "pinball", "in 90 %"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in [*(lead for lead in scores if lead != "all"), "all"]:
        score = scores[name]
        if name == "all":
            table.add_section()
        table.add_row(
            name,
            numbers.percent(score.mae, 2),
            numbers.percent(score.mae_persistence, 2),
            numbers.percent(score.rmse, 2),
            Text(numbers.signed_percent(score.skill), style=_style(score)),
            numbers.interval(score, 0),
            numbers.percent(score.pinball, 2),
            numbers.percent(score.coverage_90),
            style="bold" if name == "all" else "",
        )
    return table


def _fact_table(report: LiveReport) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for fact in facts(report):
        table.add_row(fact.name, Text(fact.value, style="bold red" if fact.wrong else ""))
    return Padding(table, (1, 0))


def _skill_line(overall: Score, days: int) -> Text:
    interval = numbers.interval(overall)
    known = "" if interval == numbers.NOTHING else f" (90 % interval {interval})"
    skill = numbers.signed_percent(overall.skill)
    return Text.assemble(
        "Skill against smart persistence: ",
        (f"{skill} %" if skill != numbers.NOTHING else "nothing could be scored", _style(overall)),
        f"{known} over {numbers.counted(days, 'day')}",
    )


def _style(score: Score) -> str:
    if score.skill_low > 0:
        return "bold green"
    return "bold red" if score.skill_high < 0 else "bold yellow"
