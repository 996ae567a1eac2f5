"""A simulated SunSpec meter at the connection point: common model and meter model 201 or 203.

Put into registers by the official definitions, as integers with scale factors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..sunspec.definitions import Definition, definition
from ..sunspec.points import Value, build_map, encode_model
from .inverter import cut_out
from .server import IllegalRead

_BASE = 40_000
_HOLDING = 3
_ILLEGAL_FUNCTION = 1
_FACTORS = {"A_SF": -2, "V_SF": -1, "Hz_SF": -2, "W_SF": 0, "VA_SF": 0, "TotWh_SF": 0}
_POINTS = {
    "A": "ac_current", "PhV": "ac_voltage", "Hz": "frequency", "W": "grid_power",
    "VA": "apparent_power", "TotWhImp": "grid_import_energy", "TotWhExp": "grid_export_energy",
}  # fmt: skip
_PHASE_POINTS = {"Aph": "ac_current_l", "PhVph": "ac_voltage_l", "Wph": "grid_power_l"}
_TEXTS: dict[str, Value] = {
    "Mn": "Solar Sharing", "Md": "Simulated meter", "Vr": "1.0", "SN": "SIM-0002", "DA": 1.0,
}  # fmt: skip


class SunSpecMeter:
    """A ``SimulatedDevice``."""

    def __init__(self, values: Callable[[], Mapping[str, float]], *, phases: int = 3) -> None:
        self._values, self._phases = values, phases
        self._common, self._meter = _model(1), _model(203 if phases == 3 else 201)

    def read(self, function: int, address: int, count: int, *, nonsense: bool) -> list[int]:
        """See ``SimulatedDevice.read``."""
        if function != _HOLDING:
            raise IllegalRead(_ILLEGAL_FUNCTION)
        points: dict[str, Value] = {} if nonsense else self._points()
        image = build_map([encode_model(self._common, _TEXTS), encode_model(self._meter, points)])
        words = [int.from_bytes(image[i : i + 2], "big") for i in range(0, len(image), 2)]
        return cut_out(words, _BASE, address, count)

    def _points(self) -> dict[str, Value]:
        values = self._values()
        points: dict[str, Value] = {name: float(power) for name, power in _FACTORS.items()}
        points |= {point: values[quantity] for point, quantity in _POINTS.items()}
        for number, letter in enumerate("ABC"[: self._phases], 1):
            for point, quantity in _PHASE_POINTS.items():
                points[point + letter] = values[f"{quantity}{number}"]
        return points


def _model(number: int) -> Definition:
    known = definition(number)
    assert known is not None
    return known
