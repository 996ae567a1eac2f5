"""The plots of the reports, as inline SVG coloured by the page (classes in ``report.css``).

Each is drawn twice by its caller, for a wide and for a narrow screen, so that text keeps its size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from central.evaluation.scores import Score
from models.contract.forecast import MEDIAN
from models.contract.timestamps import DAY_MS, STEP_MS

from .day_ahead import DayAhead
from .live import Reliability
from .numbers import day_name, offset_name, percent
from .svg import Frame, drawing, element, text, tick_digits, tick_step, title

_LEFT, _RIGHT, _TOP, _DAY_NAMES = 40, 8, 30, 26
"""Room around what is drawn, and under it for the names of days [px]."""
_NARROW_SLOT = 44
"""Below this many pixels a lead needs the smaller letters."""


def day_ahead_plot(
    trace: DayAhead, offset_ms: int, *, width: int, days_per_row: int, row_height: int
) -> str:
    """Measured power and the band that stood a day before, in rows of whole days.

    Args:
        offset_ms: local time minus UTC: where days begin and end
    """
    local = trace.times + offset_ms
    first_day = int(local[0]) // DAY_MS if len(local) else 0
    days = int(local[-1]) // DAY_MS - first_day + 1 if len(local) else 1
    highest = max(
        (
            float(np.nanmax(values))
            for values in (trace.measured, trace.quantiles[-1])
            if np.isfinite(values).any()
        ),
        default=0.0,
    )
    unit, scale = ("kW", 1000.0) if highest >= 1000 else ("W", 1.0)
    top = (highest or scale) * 1.06 / scale
    parts: list[str] = []
    rows = math.ceil(days / days_per_row)
    # Rows as equal as can be: 8 days are 3 + 3 + 2 and not 6 + 2.
    per_row = math.ceil(days / rows)
    for row in range(rows):
        begin = first_day + row * per_row
        frame = Frame(
            _LEFT,
            _TOP + row * row_height,
            width - _LEFT - _RIGHT,
            row_height - _TOP - _DAY_NAMES,
            0.0,
            float(per_row),
            top,
        )
        parts += _day_ahead_row(
            trace, local, begin, min(per_row, first_day + days - begin), frame, unit, scale
        )
    label = _day_ahead_words(trace, days, unit, scale)
    return drawing(width, rows * row_height, label, parts)


def _day_ahead_row(
    trace: DayAhead,
    local: np.ndarray[tuple[int], np.dtype[np.int64]],
    begin: int,
    days: int,
    frame: Frame,
    unit: str,
    scale: float,
) -> list[str]:
    here = np.flatnonzero((local >= begin * DAY_MS) & (local < (begin + days) * DAY_MS))
    xs = [float(x) for x in (local[here] + STEP_MS / 2) / DAY_MS - begin]
    measured, bands = trace.measured[here] / scale, trace.quantiles[:, here] / scale
    step = tick_step(frame.y_to, 4)
    parts = list(frame.value_axis(step, unit, tick_digits(step)))
    for day in range(days + 1):
        x = frame.x(day)
        parts.append(element("line", class_="grid", x1=x, x2=x, y1=frame.top, y2=frame.bottom + 4))
        if day < days:
            name = day_name((begin + day) * DAY_MS)
            middle = frame.x(day + 0.5)
            parts.append(
                text(name, middle, frame.bottom + 18, text_anchor="middle", class_="strong")
            )
    parts += [
        frame.band(xs, bands[0], bands[6], class_="outer"),
        frame.band(xs, bands[2], bands[4], class_="inner"),
        frame.line(xs, bands[MEDIAN], class_="median"),
        frame.line(xs, measured, class_="actual"),
    ]
    return parts


def _day_ahead_words(trace: DayAhead, days: int, unit: str, scale: float) -> str:
    both = np.isfinite(trace.measured) & np.isfinite(trace.quantiles[0])
    words = f"Measured power over {days} days as a line"
    if np.isfinite(trace.measured).any():
        words += f" reaching {np.nanmax(trace.measured) / scale:.2f} {unit}"
    words += ", with the day-ahead median and its 50 and 90 percent bands"
    lit = both & (trace.quantiles[-1] > 0)
    if lit.any():
        inside = (trace.measured >= trace.quantiles[0]) & (trace.measured <= trace.quantiles[-1])
        words += (
            f"; the wide band holds {100 * inside[lit].mean():.0f} percent of the daylight values"
        )
    return words + "."


def lead_plot(scores: Mapping[str, Score], *, width: int, height: int = 250) -> str:
    """MAE by lead as pairs of bars: the model and smart persistence, percent of capacity."""
    leads = [name for name in scores if name != "all"]
    errors = [(100 * scores[lead].mae, 100 * scores[lead].mae_persistence) for lead in leads]
    known = [value for pair in errors for value in pair if not math.isnan(value)]
    top = max(known, default=1.0) * 1.08 or 1.0
    frame = Frame(
        _LEFT, _TOP, width - _LEFT - _RIGHT, height - _TOP - 42, 0.0, float(len(leads)), top
    )
    step = tick_step(top, 4)
    parts = list(frame.value_axis(step, "% of AC capacity", tick_digits(step)))
    bar = 0.36
    letters = "tight" if frame.width / len(leads) < _NARROW_SLOT else None
    for place, (lead, pair) in enumerate(zip(leads, errors, strict=True)):
        for k, (value, class_, name) in enumerate(
            zip(pair, ("model", "reference"), ("model", "smart persistence"), strict=True)
        ):
            if math.isnan(value):
                continue
            x = frame.x(place + 0.5 + (k - 1) * bar)
            parts.append(
                element(
                    "rect",
                    title(f"{lead}, {name}: {value:.2f} % of capacity"),
                    class_=class_,
                    x=x,
                    y=frame.y(value),
                    width=frame.width / len(leads) * bar - 1,
                    height=frame.bottom - frame.y(value),
                )
            )
        short = lead.removesuffix(" h").replace("-", "–")
        x = frame.x(place + 0.5)
        parts.append(text(short, x, frame.bottom + 17, text_anchor="middle", class_=letters))
    parts.append(text("lead time [h]", frame.right, frame.bottom + 36, text_anchor="end"))
    words = "; ".join(
        f"{lead}: {percent(scores[lead].mae)} against {percent(scores[lead].mae_persistence)}"
        for lead in leads
    )
    label = f"Mean absolute error by lead, model against smart persistence, percent: {words}."
    return drawing(width, height, label, parts)


def reliability_plot(reliability: Sequence[Reliability], *, width: int, height: int = 250) -> str:
    """Observed share at or below each quantile over its nominal level, and the diagonal."""
    frame = Frame(_LEFT, _TOP, width - _LEFT - 14, height - _TOP - 42, 0.0, 100.0, 100.0)
    parts = list(frame.value_axis(25, "observed [%]"))
    for level in (0, 25, 50, 75, 100):
        x = frame.x(level)
        parts.append(element("line", class_="grid", x1=x, x2=x, y1=frame.top, y2=frame.bottom))
        parts.append(text(str(level), x, frame.bottom + 17, text_anchor="middle"))
    parts.append(text("nominal level [%]", frame.right, frame.bottom + 36, text_anchor="end"))
    ends = {"x1": frame.x(0), "y1": frame.y(0), "x2": frame.x(100), "y2": frame.y(100)}
    parts.append(element("line", class_="ideal", **ends))
    levels = [100 * one.level for one in reliability]
    observed = np.array([100 * one.observed for one in reliability])
    parts.append(frame.line(levels, observed, class_="median"))
    parts += [
        element(
            "circle",
            title(f"nominal {level:g} %, observed {share:.1f} %"),
            class_="point",
            cx=frame.x(level),
            cy=frame.y(float(share)),
            r=4,
        )
        for level, share in zip(levels, observed, strict=True)
        if not math.isnan(share)
    ]
    words = ", ".join(
        f"{level:g} percent: {percent(one.observed)}"
        for level, one in zip(levels, reliability, strict=True)
    )
    label = f"Share of measured values at or below each forecast quantile, by level: {words}."
    return drawing(width, height, label, parts)


def day_ahead_caption(offset_ms: int) -> str:
    """Whose days the plot shows."""
    name = offset_name(offset_ms)
    sun = ", the site's solar time in whole hours" if offset_ms else ""
    return f"Days are in {name}{sun}."
