"""A simulated Eastron SDM630 at the connection point: one moment of a site as its input registers.

Register addresses after the SDM630-Modbus manual, section 1.2. Import is positive; addresses
between the parameters read as zero, beyond them the meter refuses.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from .inverter import IllegalRead, cut_out
from .series import SiteState

_INPUT = 4
_ILLEGAL_FUNCTION = 1
_SIZE = 80  # registers of the first block of parameters
_NOMINAL_VOLTS, _NOMINAL_HERTZ = 230.0, 50.0


@dataclass(frozen=True)
class EastronMeter:
    """What does not change about the meter."""

    import_before: float = 2_000_000.0
    """Wh on the counter before the series starts."""
    export_before: float = 500_000.0

    def read(
        self, state: SiteState, function: int, address: int, count: int, *, nonsense: bool
    ) -> list[int]:
        """Registers as the device would send them. Raises ``IllegalRead``."""
        if function != _INPUT:
            raise IllegalRead(_ILLEGAL_FUNCTION)
        values = self._values(state)
        image = [0] * _SIZE
        for at, value in values.items():
            packed = struct.pack(">f", math.nan if nonsense else value)
            image[at : at + 2] = struct.unpack(">2H", packed)
        return cut_out(image, 0, address, count)

    def _values(self, state: SiteState) -> dict[int, float]:
        phase_power = state.grid_power / 3
        amps = abs(phase_power) / _NOMINAL_VOLTS
        phases = {}
        for phase in range(3):
            phases[0 + 2 * phase] = _NOMINAL_VOLTS
            phases[6 + 2 * phase] = amps
            phases[12 + 2 * phase] = phase_power
            phases[18 + 2 * phase] = abs(phase_power)
        return phases | {
            42: _NOMINAL_VOLTS,  # average line to neutral
            46: amps,  # average line current
            48: 3 * amps,  # sum of line currents
            52: state.grid_power,
            56: abs(state.grid_power),
            70: _NOMINAL_HERTZ,
            72: (self.import_before + state.grid_import_energy) / 1000,  # kWh
            74: (self.export_before + state.grid_export_energy) / 1000,  # kWh
        }
