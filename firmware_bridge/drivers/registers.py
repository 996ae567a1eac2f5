"""Driver of devices that are described by a profile file: meters, and whatever has a fixed map."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import Instant

from ..errors import PermanentDeviceError
from ..modbus.port import ModbusUnit
from ..poll_plan import Block
from ..profile import Profile
from ..settings import DeviceIdentity
from .release import Release


class RegisterDriver(Release):
    """See ``Driver``. Polls the blocks of ``profile``."""

    def __init__(
        self, unit: ModbusUnit, release: Callable[[], Awaitable[None]], profile: Profile
    ) -> None:
        super().__init__(release)
        self.name = unit.device
        self._unit = unit
        self._profile = profile

    async def identify(self) -> DeviceIdentity:
        """See ``Driver.identify``. There is no name to read: a value must make sense instead."""
        expected = self._profile.identity
        reading = (await self._read())[expected.quantity]
        plausible = (
            reading.value is not None
            and reading.quality is Quality.GOOD
            and expected.lowest <= reading.value <= expected.highest
        )
        if not plausible:
            error = PermanentDeviceError(
                f"answers, but is no {self._profile.name} (or sends its words in another order): "
                f"{expected.quantity} reads {reading.value}, not {expected.lowest:g} to "
                f"{expected.highest:g}; check unit address and profile"
            )
            error.device = self.name
            raise error
        return DeviceIdentity(
            device=self.name,
            profile=self._profile.name,
            manufacturer=self._profile.manufacturer,
            model=self._profile.model,
        )

    async def poll(self, clock_now: Instant) -> Record:
        return Record(self.name, clock_now, await self._read())

    async def _read(self) -> dict[str, Reading]:
        function = self._profile.function
        blocks: dict[Block, Sequence[int]] = {}
        for block in self._profile.blocks:
            blocks[block] = await self._unit.read(function, block.address, block.count)
        return self._profile.decode(blocks)
