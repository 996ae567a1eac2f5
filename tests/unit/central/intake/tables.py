"""Tables made on the spot: a home's meter, a weather station, a roof."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

METER = "timestamp,active_power_kw,reactive_power_kvar,voltage_v,current_a,frequency_hz"
WEATHER = "timestamp,temperature_c,humidity_percent,wind_speed_ms,pressure_mb,cloud_cover_percent"
START = datetime(2024, 3, 4, tzinfo=UTC)


def stamps(rows: int, minutes: int = 15) -> list[str]:
    """ISO stamps in UTC."""
    return [
        (START + timedelta(minutes=minutes * row)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for row in range(rows)
    ]


def meter_lines(days: int = 40, seed: int = 7) -> list[str]:
    """Quarter hours of a home that follows the clock, with noise that is never the same twice."""
    rng = np.random.default_rng(seed)
    rows = days * 96
    hour = np.arange(rows) % 96 / 4
    power = 0.4 + 1.5 * np.exp(-0.5 * ((hour - 19) / 2) ** 2) + rng.gamma(2, 0.1, rows)
    volts = 230 + rng.normal(0, 1.5, rows)
    reactive = 0.2 * power
    amperes = np.hypot(power, reactive) * 1000 / volts
    hertz = 50 + rng.normal(0, 0.02, rows)
    return [METER] + [
        f"{stamp},{p:.4f},{q:.4f},{v:.2f},{a:.4f},{f:.3f}"
        for stamp, p, q, v, a, f in zip(
            stamps(rows), power, reactive, volts, amperes, hertz, strict=True
        )
    ]


def weather_lines(days: int = 20, seed: int = 7) -> list[str]:
    """Hours of a mild spring."""
    rng = np.random.default_rng(seed)
    rows = days * 24
    hour = np.arange(rows) % 24
    warm = 10 + 6 * np.sin(2 * np.pi * (hour - 9) / 24) + rng.normal(0, 0.5, rows)
    return [WEATHER] + [
        f"{stamp},{t:.2f},{h:.1f},{w:.2f},{p:.1f},{c:.0f}"
        for stamp, t, h, w, p, c in zip(
            stamps(rows, 60),
            warm,
            rng.uniform(40, 90, rows),
            rng.gamma(2, 1.5, rows),
            1010 + np.cumsum(rng.normal(0, 0.2, rows)),
            rng.uniform(0, 100, rows),
            strict=True,
        )
    ]


def roof(days: int = 60, minutes: int = 15, seed: int = 7) -> np.ndarray:  # type: ignore[type-arg]
    """Power of a 5 kW roof under passing clouds, kW, from midnight; the middle day of the sun is at
    12:00."""
    rng = np.random.default_rng(seed)
    slots = 1440 // minutes
    hour = np.arange(days * slots) % slots * minutes / 60
    clear = np.maximum(np.cos((hour - 12) / 6.5 * np.pi / 2), 0) ** 1.2
    clear[np.abs(hour - 12) > 6.5] = 0
    overcast = rng.random(days) < 0.3
    clouds = rng.uniform(0.15, 1.0, days * slots)
    factor = np.where(np.repeat(overcast, slots), clouds, 0.98 + 0.02 * clouds)
    return np.asarray(5 * clear * factor)


def set_cell(line: str, position: int, cell: str, separator: str = ",") -> str:
    """``line`` with one cell replaced."""
    cells = line.split(separator)
    cells[position] = cell
    return separator.join(cells)


def each(lines: list[str], change: Callable[[str], str]) -> list[str]:
    """``lines`` with every row changed, the header left."""
    return [lines[0], *(change(line) for line in lines[1:])]
