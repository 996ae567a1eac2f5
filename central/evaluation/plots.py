"""Plots of an evaluation, drawn like those of ``central.report``: error by lead, skill by month."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

import numpy as np

from central.report.day_ahead import DayAhead
from central.report.numbers import percent, signed_percent
from central.report.plots import day_ahead_plot
from central.report.svg import Frame, drawing, element, text, tick_digits, tick_step, title
from models.contract.timestamps import DAY_MS
from models.features.site import FloatArray

from .evaluation import Evaluation, ExampleDay
from .measures import Measures

_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 8, 30, 42
_STYLES = (
    ("var(--reference)", "none"),
    ("var(--warn)", "7 4"),
    ("var(--good)", "2 3"),
    ("var(--bad)", "9 3 2 3"),
)
"""Colour and dashes of the references, one after the other; the line also carries its name."""
_FLOOR = -1.0
"""Skills below are cut off in the plot: -300 % would leave no room for the others."""


def error_legend(evaluation: Evaluation) -> str:
    """Names of the lines of ``error_plot``, as markup."""
    items = [("var(--median)", "none", evaluation.name)]
    items += [(*_style(place), name) for place, name in enumerate(evaluation.references)]
    return '<ul class="legend">' + "".join(_legend_item(*one) for one in items) + "</ul>"


def error_plot(evaluation: Evaluation, *, width: int, height: int = 260) -> str:
    """nMAE by lead bucket of the model and of every reference."""
    leads = list(evaluation.by_horizon)
    series = {evaluation.name: _row(evaluation.by_horizon, "nmae")}
    for name in evaluation.references:
        series[name] = _row(evaluation.by_horizon, f"nmae/{name}")
    highest = max((float(np.nanmax(one)) for one in series.values() if len(one)), default=1.0)
    frame = _frame(leads, width, height, highest * 1.08 or 1.0)
    step = tick_step(frame.y_to, 4)
    parts = list(frame.value_axis(step, "% of capacity", tick_digits(step)))
    parts += _names(frame, leads)
    parts.append(text("lead time", frame.right, frame.bottom + 36, text_anchor="end"))
    xs = [place + 0.5 for place in range(len(leads))]
    for place, (name, values) in reversed(list(enumerate(series.items()))):
        colour, dashes = ("var(--median)", "none") if place == 0 else _style(place - 1)
        look = f"fill:none;stroke:{colour};stroke-width:2;stroke-dasharray:{dashes}"
        parts.append(frame.line(xs, values, style=look, data_series=name))
        parts += [
            element(
                "circle",
                title(f"{lead}, {name}: {value:.2f} % of capacity"),
                cx=frame.x(x),
                cy=frame.y(float(value)),
                r=3,
                style=f"fill:{colour}",
            )
            for lead, x, value in zip(leads, xs, values, strict=True)
            if not math.isnan(value)
        ]
    said = (
        f"{name}: "
        + ", ".join(f"{lead} {value:.2f}" for lead, value in zip(leads, values, strict=True))
        for name, values in series.items()
    )
    label = f"Mean absolute error by lead, percent of capacity. {'; '.join(said)}."
    return drawing(width, height, label, parts)


def month_plot(evaluation: Evaluation, reference: str, *, width: int, height: int = 220) -> str:
    """MAE skill against ``reference`` by month, bars above and below 0."""
    months = {name: one[f"mae_skill/{reference}"] for name, one in evaluation.by_month.items()}
    known = [max(value, _FLOOR) for value in months.values() if not math.isnan(value)]
    low, high = min([0.0, *known]), max([0.1, *known])
    step = tick_step(100 * (high - low), 5) / 100
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    frame = _frame(list(months), width, height, high - low)
    parts = []
    for k in range(round(low / step), round(high / step) + 1):
        y = frame.y(k * step - low)
        line = "ideal" if k == 0 else "grid"
        parts.append(element("line", class_=line, x1=frame.left, x2=frame.right, y1=y, y2=y))
        tick = signed_percent(k * step, 0) if k else "0"
        parts.append(text(tick, frame.left - 6, y + 4, text_anchor="end"))
    parts.append(text("skill [%]", 0, frame.top - 16))
    parts += _names(frame, list(months))
    for place, (month, value) in enumerate(months.items()):
        if math.isnan(value):
            continue
        ends = sorted((frame.y(-low), frame.y(max(value, _FLOOR) - low)))
        parts.append(
            element(
                "rect",
                title(f"{month}: {signed_percent(value)} %"),
                class_="model" if value >= 0 else "reference",
                x=frame.x(place + 0.2),
                y=ends[0],
                width=frame.width / len(months) * 0.6,
                height=max(ends[1] - ends[0], 0.5),
            )
        )
    words = ", ".join(f"{month}: {percent(value)}" for month, value in months.items())
    label = f"MAE skill against {reference} by month, percent: {words}."
    return drawing(width, height, label, parts)


def example_plot(day: ExampleDay, *, width: int, row_height: int) -> str:
    """Measured power and the bands over one solar day."""
    offset = round(day.longitude / 360 * DAY_MS)
    times = np.array(day.times, dtype=np.int64)
    # Days of the plot begin at midnight, those of the scores half an interval later.
    local = (times + offset) // DAY_MS
    of_day = local == local[len(local) // 2]
    trace = DayAhead(
        times[of_day], np.array(day.measured)[of_day], np.array(day.quantiles)[:, of_day]
    )
    return day_ahead_plot(trace, offset, width=width, days_per_row=1, row_height=row_height)


def _frame(names: list[str], width: int, height: int, top: float) -> Frame:
    """Room for a place per name."""
    inner = (width - _LEFT - _RIGHT, height - _TOP - _BOTTOM)
    return Frame(_LEFT, _TOP, *inner, 0.0, float(max(len(names), 1)), top)


def _names(frame: Frame, names: list[str]) -> list[str]:
    """Names under the axis, as many as there is room for."""
    room = frame.width / max(len(names), 1)
    every = max(1, math.ceil(max((len(name) for name in names), default=0) * 6.6 / room))
    return [
        text(name, frame.x(place + 0.5), frame.bottom + 17, text_anchor="middle", class_="tight")
        for place, name in enumerate(names)
        if place % every == 0
    ]


def _row(groups: Mapping[str, Measures], name: str) -> FloatArray:
    return np.array([100.0 * one[name] for one in groups.values()], dtype=np.float64)


def _style(place: int) -> tuple[str, str]:
    return _STYLES[place % len(_STYLES)]


def _legend_item(colour: str, dashes: str, name: str) -> str:
    kind = "solid" if dashes == "none" else "dashed"
    look = f"height:0;border-top:3px {kind} {colour};vertical-align:.25em"
    return f'<li><i style="{look}" aria-hidden="true"></i>{escape(name)}</li>'
