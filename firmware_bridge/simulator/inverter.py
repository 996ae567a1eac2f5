"""A simulated SunSpec inverter: one moment of a site as the registers of models 1 and 101 or 103.

As real ones do, it chooses each scale factor anew so that the present value keeps its resolution,
and stops measuring its DC side while it sleeps. Electrical side values (voltage rise, cabinet
temperature) are simple and plausible, no more.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .series import SiteState
from .server import IllegalRead

_BASE = 40_000
_HOLDING = 3
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS = 1, 2

_NO_INT16, _NO_UINT16 = 0x8000, 0xFFFF
_SLEEPING, _MPPT = 2, 4
_NOMINAL_VOLTS, _NOMINAL_HERTZ = 230.0, 50.0
_VOLTAGE_RISE = 0.02  # of the nominal voltage, at rated power
_CABINET_RISE = 25.0  # K above the air, at rated power
_DC_VOLTS = 620.0


def cut_out(image: Sequence[int], start: int, address: int, count: int) -> list[int]:
    """Registers ``address`` to ``address + count`` of an ``image`` that begins at ``start``.

    Raises:
        IllegalRead: They are not all inside.
    """
    offset = address - start
    if offset < 0 or offset + count > len(image):
        raise IllegalRead(_ILLEGAL_ADDRESS)
    return list(image[offset : offset + count])


@dataclass(frozen=True)
class SunSpecInverter:
    """What does not change about the inverter."""

    rated_power: float
    """W."""
    phases: Literal[1, 3] = 3
    manufacturer: str = "Solar Sharing"
    model: str = "Simulated inverter"
    version: str = "1.0"
    serial_number: str = "SIM-0001"
    energy_before: float = 1_000_000.0
    """Wh on the counter before the series starts."""

    def read(
        self, state: SiteState, function: int, address: int, count: int, *, nonsense: bool
    ) -> list[int]:
        """Registers as the device would send them. Raises ``IllegalRead``."""
        if function != _HOLDING:
            raise IllegalRead(_ILLEGAL_FUNCTION)
        measured = self._blank_model() if nonsense else self._measured_model(state)
        image = [*_text("SunS", 2), *self._common_model(), *measured, 0xFFFF, 0]
        return cut_out(image, _BASE, address, count)

    def _common_model(self) -> list[int]:
        texts = (
            *_text(self.manufacturer, 16),
            *_text(self.model, 16),
            *_text("", 8),
            *_text(self.version, 8),
            *_text(self.serial_number, 16),
        )
        return [1, 66, *texts, 1, _NO_INT16]

    def _measured_model(self, state: SiteState) -> list[int]:
        awake = state.ac_power > 0
        load_share = max(state.ac_power, 0.0) / self.rated_power if self.rated_power > 0 else 0.0
        volts = _NOMINAL_VOLTS * (1 + _VOLTAGE_RISE * load_share)
        amps = abs(state.ac_power) / (volts * self.phases)
        all_amps = [amps * self.phases] + [amps] * self.phases
        celsius = state.temp_air + _CABINET_RISE * load_share
        energy = int(self.energy_before + state.ac_energy) % 2**32
        absent = [_NO_UINT16] * (3 - self.phases)

        (total, *lines), amps_scale = _scaled(all_amps, 65_534, -2)
        (phase_volts,), volts_scale = _scaled([volts], 65_534, -1)
        (watts,), watts_scale = _scaled([state.ac_power], 32_767, -1)
        (volt_amps,), volt_amps_scale = _scaled([abs(state.ac_power)], 32_767, -1)
        (hertz,), hertz_scale = _scaled([_NOMINAL_HERTZ], 65_534, -2)
        (cabinet,), cabinet_scale = _scaled([celsius], 32_767, -1)
        return [
            *self._header(),
            *(total, *lines, *absent, amps_scale),
            *[_NO_UINT16] * 3,  # phase to phase
            *([phase_volts] * self.phases + absent),
            volts_scale,
            *(watts, watts_scale, hertz, hertz_scale, volt_amps, volt_amps_scale),
            *(0, 0),  # no reactive power
            *((100, 0) if awake else (_NO_INT16, _NO_INT16)),  # power factor in percent
            *(energy >> 16, energy & 0xFFFF, 0),
            *(self._dc_side(state.dc_power) if awake else _no_dc_side()),
            *(cabinet, _NO_INT16, _NO_INT16, _NO_INT16, cabinet_scale),
            *(_MPPT if awake else _SLEEPING, _NO_UINT16),
            *[0] * 12,  # no events
        ]

    def _dc_side(self, power: float) -> list[int]:
        (amps,), amps_scale = _scaled([max(power, 0.0) / _DC_VOLTS], 65_534, -2)
        (volts,), volts_scale = _scaled([_DC_VOLTS], 65_534, -1)
        (watts,), watts_scale = _scaled([power], 32_767, -1)
        return [amps, amps_scale, volts, volts_scale, watts, watts_scale]

    def _blank_model(self) -> list[int]:
        """Header, and every value as if it did not exist."""
        energy_offset, signed = 22, {12, 16, 18, 20, 29, 31, 32, 33, 34}
        scales = {4, 11, 13, 15, 17, 19, 21, 24, 26, 28, 30, 35}
        body = [_NO_INT16 if i in signed | scales else _NO_UINT16 for i in range(50)]
        body[energy_offset : energy_offset + 2] = [0, 0]
        return [*self._header(), *body]

    def _header(self) -> list[int]:
        return [101 if self.phases == 1 else 103, 50]


def _no_dc_side() -> list[int]:
    return [_NO_UINT16, _NO_INT16, _NO_UINT16, _NO_INT16, _NO_INT16, _NO_INT16]


def _scaled(values: Sequence[float], highest: int, finest: int) -> tuple[list[int], int]:
    """``values`` as registers under one scale factor, the finest one that all fit into."""
    exponent = finest
    while any(abs(value) / 10.0**exponent > highest for value in values):
        exponent += 1
    return [round(value / 10.0**exponent) & 0xFFFF for value in values], exponent & 0xFFFF


def _text(text: str, registers: int) -> tuple[int, ...]:
    padded = text.encode("ascii")[: 2 * registers].ljust(2 * registers, b"\0")
    return struct.unpack(f">{registers}H", padded)
