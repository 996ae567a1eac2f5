"""The port: the one small interface through which drivers see Modbus, whatever is below it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..errors import DeviceError


class ModbusPort(Protocol):
    """Reads registers, or raises a ``DeviceError``."""

    async def read(
        self, unit: int, function: int, address: int, count: int, *, timeout_s: float
    ) -> bytes:
        """Exactly ``count`` registers, two bytes each, from ``address``; function code 3 or 4.

        Raises:
            TransientDeviceError: No reply, or one that is not the answer to this request.
            PermanentDeviceError: The device refuses the request, or it is no legal read.
        """
        ...


@dataclass(frozen=True)
class ModbusUnit:
    """One device on a port; puts the device's name into every error."""

    port: ModbusPort
    device: str
    unit: int
    timeout_s: float

    async def read(self, function: int, address: int, count: int) -> bytes:
        """As ``ModbusPort.read``, for this device."""
        try:
            return await self.port.read(
                self.unit, function, address, count, timeout_s=self.timeout_s
            )
        except DeviceError as error:
            error.device = self.device
            raise
