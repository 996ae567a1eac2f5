"""What may leave the port: reads of 1 to 125 registers; writes can be expressed, but not sent.

A bus lets a write through only where its settings enable control, and looks at the bytes of the
frame to tell (``bus.Bus._transmit``): nothing above it can get round that.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import PermanentDeviceError

READ_HOLDING = 3
READ_INPUT = 4
WRITE_REGISTERS = 16
READ_FUNCTIONS = (READ_HOLDING, READ_INPUT)
MAX_REGISTERS = 125
"""Most registers of one reply (Modbus application protocol 1.1b3, section 6.3)."""
MAX_WRITTEN = 123
"""Most registers of one write (section 6.12)."""


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """One read. Raises ``PermanentDeviceError`` for anything that is not a legal read."""

    unit: int
    function: int
    address: int
    count: int
    transaction: int = 0
    """Modbus TCP only: pairs the reply with the request."""

    def __post_init__(self) -> None:
        if self.function not in READ_FUNCTIONS:
            raise PermanentDeviceError(
                f"function code {self.function} refused: only 3 and 4 (read registers) may be sent"
            )
        if not 1 <= self.count <= MAX_REGISTERS:
            raise PermanentDeviceError(f"{self.count} registers asked for; a reply holds 1 to 125")
        _check_place(self.unit, self.address, self.count)

    def __str__(self) -> str:
        return f"FC{self.function} {self.address}+{self.count}"


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """One write of registers (function 16); ``data`` holds two bytes for each."""

    unit: int
    address: int
    data: bytes
    transaction: int = 0

    def __post_init__(self) -> None:
        if len(self.data) % 2 or not 2 <= len(self.data) <= 2 * MAX_WRITTEN:
            raise PermanentDeviceError(
                f"{len(self.data)} bytes to write; a request holds 1 to {MAX_WRITTEN} registers"
            )
        _check_place(self.unit, self.address, self.count)

    @property
    def function(self) -> int:
        return WRITE_REGISTERS

    @property
    def count(self) -> int:
        return len(self.data) // 2

    def __str__(self) -> str:
        return f"FC{self.function} {self.address}+{self.count}"


def _check_place(unit: int, address: int, count: int) -> None:
    if not 0 <= unit <= 255:
        raise PermanentDeviceError(f"unit {unit} is not in 0..255")
    if address < 0 or address + count > 65_536:
        raise PermanentDeviceError(
            f"registers {address} to {address + count - 1} are not in 0..65535"
        )
