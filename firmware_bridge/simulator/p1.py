"""Telegrams of a simulated three-phase DSMR 5 meter. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from models.contract.timestamps import SECOND_MS, Instant

from ..p1.crc import crc16

_IDENTIFICATION = "/SIM5\\2SOLAR-SHARING"
_EQUIPMENT = b"SIM-METER-000001".hex().upper()
_NIGHT_SHARE = 3  # one part in so many is bought in the night tariff
_LAST_DAY = {3: 31, 10: 31}


def build_telegram(values: Mapping[str, float], at: Instant) -> bytes:
    """The telegram of a meter that measures ``values`` (base units, by quantity) at ``at``."""
    lines = [
        _IDENTIFICATION,
        "",
        "1-3:0.2.8(50)",
        f"0-0:1.0.0({_meter_time(at)})",
        f"0-0:96.1.1({_EQUIPMENT})",
        *_energy(1, values.get("grid_import_energy", 0.0)),
        *_energy(2, values.get("grid_export_energy", 0.0)),
        "0-0:96.14.0(0002)",
        *_power((1, 2), values.get("grid_power", 0.0)),
    ]
    for phase in range(3):
        line = f"l{phase + 1}"
        volts = values.get(f"ac_voltage_{line}", 0.0)
        amperes = abs(values.get(f"ac_current_{line}", 0.0))
        step = 20 * phase
        lines.append(f"1-0:{32 + step}.7.0({max(volts, 0.0):05.1f}*V)")
        lines.append(f"1-0:{31 + step}.7.0({amperes:06.2f}*A)")
        lines += _power((21 + step, 22 + step), values.get(f"grid_power_{line}", 0.0))
    body = ("\r\n".join(lines) + "\r\n!").encode("ascii")
    return body + f"{crc16(body):04X}\r\n".encode("ascii")


def _energy(what: int, watt_hours: float) -> tuple[str, str]:
    total = max(0, int(watt_hours))  # a counter never shows more than there was
    night = total // _NIGHT_SHARE
    registers = ((1, night), (2, total - night))
    first, second = (f"1-0:{what}.8.{n}({wh / 1000.0:010.3f}*kWh)" for n, wh in registers)
    return first, second


def _power(whats: tuple[int, int], watts: float) -> tuple[str, str]:
    bought, sold = max(watts, 0.0), max(-watts, 0.0)
    first, second = (
        f"1-0:{what}.7.0({power / 1000.0:06.3f}*kW)"
        for what, power in zip(whats, (bought, sold), strict=True)
    )
    return first, second


def _meter_time(at: Instant) -> str:
    moment = datetime.fromtimestamp(at // SECOND_MS, UTC)
    is_summer = _changeover(moment.year, 3) <= moment < _changeover(moment.year, 10)
    local = moment + timedelta(hours=2 if is_summer else 1)
    return local.strftime("%y%m%d%H%M%S") + ("S" if is_summer else "W")


def _changeover(year: int, month: int) -> datetime:
    """01:00 UTC on the last Sunday of ``month`` (directive 2000/84/EC)."""
    last = datetime(year, month, _LAST_DAY[month], 1, tzinfo=UTC)
    return last - timedelta(days=last.isoweekday() % 7)
