"""Pieces of inline SVG: elements, paths that break where nothing is known, axes.

Drawn by hand instead of by a plotting library: colours are the page's CSS variables, so one drawing
serves light and dark; text stays text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from models.features.site import FloatArray


def element(name: str, content: str = "", /, **attributes: object) -> str:
    """``<name …>content</name>``; ``content`` is markup already, attribute values are text.

    ``class_`` stands for ``class``, ``stroke_width`` for ``stroke-width``; floats are cut to a
    tenth of a pixel.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{content}</{name}>"


def text(content: str, x: float, y: float, **attributes: object) -> str:
    """A text element; ``content`` is plain text."""
    return element("text", escape(content), x=x, y=y, **attributes)


def title(content: str) -> str:
    """What a pointer that rests on the element around it shows."""
    return element("title", escape(content))


def drawing(width: int, height: int, label: str, parts: Iterable[str]) -> str:
    """The whole picture; ``label`` says in words what it shows."""
    view = f"0 0 {width} {height}"
    return element(
        "svg",
        "\n".join(parts),
        viewBox=view,
        role="img",
        aria_label=label,
    )


@dataclass(frozen=True)
class Frame:
    """Where data lies on the drawing: from values to pixels."""

    left: float
    top: float
    width: float
    height: float
    x_from: float
    x_to: float
    y_to: float
    """Value at the top; the bottom is 0."""

    @property
    def bottom(self) -> float:
        """Pixel of the value 0."""
        return self.top + self.height

    @property
    def right(self) -> float:
        """Last pixel."""
        return self.left + self.width

    def x(self, value: float) -> float:
        """Pixel of a value on the horizontal axis."""
        return self.left + (value - self.x_from) / (self.x_to - self.x_from) * self.width

    def y(self, value: float) -> float:
        """Pixel of a value on the vertical axis."""
        return self.bottom - value / self.y_to * self.height

    def line(self, xs: Sequence[float], ys: FloatArray, **attributes: object) -> str:
        """A line through the points, broken where ``ys`` is NaN."""
        runs = ["M" + "L".join(self._points(xs, ys, run)) for run in known_runs(ys) if len(run) > 1]
        dots = "".join(
            element(
                "circle", cx=self.x(xs[run[0]]), cy=self.y(float(ys[run[0]])), r=1.5, class_="dot"
            )
            for run in known_runs(ys)
            if len(run) == 1
        )
        return (element("path", d="".join(runs), **attributes) if runs else "") + dots

    def band(
        self, xs: Sequence[float], low: FloatArray, high: FloatArray, **attributes: object
    ) -> str:
        """The area between ``low`` and ``high``, broken where either is NaN."""
        runs = [
            "M"
            + "L".join([*self._points(xs, high, run), *reversed(self._points(xs, low, run))])
            + "Z"
            for run in known_runs(low + high)
            if len(run) > 1
        ]
        return element("path", d="".join(runs), **attributes) if runs else ""

    def value_axis(self, step: float, label: str, digits: int = 0) -> Iterator[str]:
        """Horizontal grid lines with their values, and the unit above them."""
        for k in range(int(self.y_to / step + 1e-9) + 1):
            y = self.y(k * step)
            yield element("line", class_="grid", x1=self.left, x2=self.right, y1=y, y2=y)
            yield text(f"{k * step:.{digits}f}", self.left - 6, y + 4, text_anchor="end")
        yield text(label, 0, self.top - 16)

    def _points(self, xs: Sequence[float], ys: FloatArray, run: range) -> list[str]:
        return [f"{self.x(xs[k]):.1f},{self.y(float(ys[k])):.1f}" for k in run]


def known_runs(values: FloatArray) -> list[range]:
    """Runs of places without NaN."""
    runs: list[range] = []
    begin: int | None = None
    for place, value in enumerate([*values, math.nan]):
        if not math.isnan(value):
            begin = place if begin is None else begin
        elif begin is not None:
            runs.append(range(begin, place))
            begin = None
    return runs


def tick_step(top: float, ticks: int) -> float:
    """A round step (1, 2, 5 times a power of ten) with about ``ticks`` ticks up to ``top``."""
    rough = top / ticks
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)


def tick_digits(step: float) -> int:
    """Decimals that tell two neighbouring ticks apart."""
    return max(0, -math.floor(math.log10(step) + 1e-9))


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return escape(str(value))
