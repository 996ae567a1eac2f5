"""How a device is reached, and what it says it is: two values that cross our border."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from models.contract.errors import ContractError
from models.contract.topics import check_identifier

from .errors import PermanentDeviceError

Parity = Literal["N", "E", "O"]
Protocol = Literal["modbus-tcp", "modbus-rtu"]


@dataclass(frozen=True)
class DeviceSettings:
    """Where a device is and how to speak to it.

    Raises:
        PermanentDeviceError: A field is missing or outside its range; names device and field.
    """

    name: str
    """Identifier of the device in every record."""
    protocol: Protocol
    profile: str
    """``sunspec``, or the name of a file in ``firmware_bridge/profiles`` (``eastron-sdm630``)."""
    host: str = ""
    """``modbus-tcp``: name or address."""
    port: int = 502
    """``modbus-tcp``: TCP port."""
    serial_port: str = ""
    """``modbus-rtu``: path of the port; prefer ``/dev/serial/by-id/...``: unplugging keeps it."""
    baud_rate: int = 9600
    parity: Parity = "N"
    stop_bits: Literal[1, 2] = 1
    unit: int = 1
    """Modbus unit (slave) address."""
    timeout_s: float = 1.0
    """Real seconds for a whole reply, airtime not counted; and for connecting."""
    frame_gap_ms: float | None = None
    """Silence between two frames on the link; None means max(3.5 characters, 30 ms) on a serial
    line and no gap on TCP. A pseudo terminal can do with 0."""

    def __post_init__(self) -> None:
        try:
            check_identifier(self.name)
        except ContractError as error:
            raise PermanentDeviceError(f"name: {error}") from error
        if self.protocol not in ("modbus-tcp", "modbus-rtu"):
            self._refuse("protocol", f"{self.protocol!r} is unknown; use modbus-tcp or modbus-rtu")
        if self.protocol == "modbus-tcp":
            self._require("host", bool(self.host), "needed for modbus-tcp")
            self._require("port", 1 <= self.port <= 65_535, f"{self.port} is not in 1..65535")
            self._require("unit", 0 <= self.unit <= 255, f"{self.unit} is not in 0..255")
        else:
            self._require("serial_port", bool(self.serial_port), "needed for modbus-rtu")
            baud = self.baud_rate
            self._require("baud_rate", 300 <= baud <= 4_000_000, f"{baud} is not in 300..4000000")
            self._require("parity", self.parity in ("N", "E", "O"), f"{self.parity!r}: N, E or O")
            self._require("stop_bits", self.stop_bits in (1, 2), f"{self.stop_bits} is not 1 or 2")
            # 0 is the broadcast address, to which nobody answers; 248 and above are reserved
            self._require("unit", 1 <= self.unit <= 247, f"{self.unit} is not in 1..247")
        self._require("timeout_s", 0 < self.timeout_s <= 60, f"{self.timeout_s} is not in (0, 60]")
        gap = self.frame_gap_ms
        self._require("frame_gap_ms", gap is None or 0 <= gap <= 1000, f"{gap} is not in 0..1000")

    def _require(self, field: str, holds: bool, otherwise: str) -> None:
        if not holds:
            self._refuse(field, otherwise)

    def _refuse(self, field: str, reason: str) -> None:
        error = PermanentDeviceError(f"{field}: {reason}")
        error.device = self.name
        raise error


@dataclass(frozen=True)
class DeviceIdentity:
    """What a device says it is; empty strings for what it does not say."""

    device: str
    profile: str
    """Profile and variant, for example ``sunspec/103`` or ``eastron-sdm630``."""
    manufacturer: str = ""
    model: str = ""
    serial_number: str = ""
    version: str = ""
