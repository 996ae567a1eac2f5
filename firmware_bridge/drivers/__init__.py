"""Drivers: what one poll of one device takes, behind one protocol.

A driver identifies its device and polls it. It does not retry or schedule: whoever polls decides
when to try again, by the kind of the error and by ``health``.
"""

from __future__ import annotations

from typing import Protocol

from models.contract.record import Record
from models.contract.timestamps import Instant

from ..settings import DeviceIdentity
from ..values import Decoded


class Driver(Protocol):
    """One device that can be polled."""

    @property
    def name(self) -> str:
        """The device's name in records and errors."""
        ...

    @property
    def sleeps(self) -> bool:
        """Whether the device is off at night."""
        ...

    async def identify(self) -> DeviceIdentity:
        """Ask the device what it is.

        Raises:
            TransientDeviceError: It did not answer, or not believably.
            PermanentDeviceError: It is not the device that the settings name.
        """
        ...

    async def poll(self, clock_now: Instant) -> Record:
        """Read what goes into records once; ``clock_now`` becomes ``measured_at``.

        Raises:
            TransientDeviceError: As above; the next poll may succeed.
            PermanentDeviceError: As above.
        """
        ...

    async def read(self, clock_now: Instant) -> Decoded:
        """Read everything that the device tells, details and reasons included. Raises as above."""
        ...

    def asleep(self, clock_now: Instant) -> Record:
        """The record of a device that is silent because it is night."""
        ...

    async def close(self) -> None:
        """Give back the link. May be called twice."""
        ...


__all__ = ["Driver"]
