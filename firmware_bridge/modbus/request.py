"""What may leave the port: a read of 1 to 125 registers, and nothing else.

Read-only by construction: a request that writes cannot be expressed.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import PermanentDeviceError

READ_HOLDING = 3
READ_INPUT = 4
READ_FUNCTIONS = (READ_HOLDING, READ_INPUT)
MAX_REGISTERS = 125
"""Most registers of one reply (Modbus application protocol 1.1b3, section 6.3)."""


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
        if not 0 <= self.unit <= 255:
            raise PermanentDeviceError(f"unit {self.unit} is not in 0..255")
        if not 1 <= self.count <= MAX_REGISTERS:
            raise PermanentDeviceError(f"{self.count} registers asked for; a reply holds 1 to 125")
        if self.address < 0 or self.address + self.count > 65_536:
            raise PermanentDeviceError(
                f"registers {self.address} to {self.address + self.count - 1} are not in 0..65535"
            )

    def __str__(self) -> str:
        return f"FC{self.function} {self.address}+{self.count}"
