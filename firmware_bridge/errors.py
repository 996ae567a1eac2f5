"""What can go wrong with a device, sorted by the question every caller asks: try again, or give up?

Libraries' own exceptions never leave this package; they are chained with ``from``.
"""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """How an exchange failed. Every fault that is caught is counted under its name."""

    TIMEOUT = "timeout"
    """No reply, or only a part of one, within the deadline."""
    WRONG_UNIT = "wrong_unit"
    WRONG_FUNCTION = "wrong_function"
    WRONG_COUNT = "wrong_count"
    """A sound reply with another number of registers than was asked for."""
    WRONG_TRANSACTION = "wrong_transaction"
    """Modbus TCP only: the reply to another request."""
    STRAY = "stray"
    """Bytes that nobody asked for: late or doubled replies, noise, a second master."""
    CRC = "crc"
    """Modbus RTU only: the checksum does not hold."""
    MALFORMED = "malformed"
    """Bytes that are no Modbus frame."""
    EXCEPTION = "exception"
    """The device answered in due form that it will not or cannot."""
    LINK = "link"
    """The connection or the serial port could not be opened, or was lost."""


class DeviceError(Exception):
    """Base of all errors of this package.

    Attributes:
        reason: What happened and, where something can be done, what to do.
        fault: The kind of fault if it happened on the wire.
        exception_code: The Modbus exception code if the device sent one.
        place: Link, unit and request, filled in by the bus.
        device: Name of the device, filled in by the driver.
    """

    def __init__(
        self, reason: str, *, fault: Fault | None = None, exception_code: int | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fault = fault
        self.exception_code = exception_code
        self.place = ""
        self.device = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.device, self.place, self.reason) if part)


class TransientDeviceError(DeviceError):
    """May pass by itself (silence, noise, a mismatched reply, a busy device): try again later."""


class PermanentDeviceError(DeviceError):
    """Will not pass by itself (illegal address, another device than expected, bad settings)."""
