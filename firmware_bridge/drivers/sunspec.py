"""Driver of SunSpec inverters: walks the device's own map for its models, then polls one block.

Where the inverter model lies is found once and checked at every poll, because its header is read
along with its values: a device that was exchanged or rearranged is walked again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from models.contract.record import Record
from models.contract.timestamps import Instant

from .. import sunspec
from ..errors import DeviceError, Fault, PermanentDeviceError, TransientDeviceError
from ..modbus.port import ModbusUnit
from ..modbus.request import READ_HOLDING
from ..settings import DeviceIdentity
from .release import Release

_MOST_MODELS = 64
"""A walk ends here: a longer chain of models is a device gone wrong."""


@dataclass(frozen=True)
class _Model:
    address: int
    """Of the ID register."""
    number: int
    length: int


class SunSpecDriver(Release):
    """See ``Driver``."""

    def __init__(
        self,
        unit: ModbusUnit,
        release: Callable[[], Awaitable[None]],
        is_daylight: Callable[[Instant], bool] | None = None,
    ) -> None:
        super().__init__(release)
        self.name = unit.device
        self._unit = unit
        self._is_daylight = is_daylight
        self._inverter: _Model | None = None

    async def identify(self) -> DeviceIdentity:
        """See ``Driver.identify``."""
        try:
            self._inverter = None
            models = await self._walk(await self._find_base())
            common = next((m for m in models if m.number == sunspec.COMMON_MODEL), None)
            texts = ("", "", "", "")
            if common is not None and common.length in sunspec.COMMON_SIZES:
                texts = sunspec.decode_common(await self._read_model(common, common.length))
            self._inverter = self._choose_inverter(models)
        except DeviceError as error:
            error.device = self.name
            raise
        manufacturer, model, version, serial_number = texts
        return DeviceIdentity(
            device=self.name,
            profile=f"sunspec/{self._inverter.number}",
            manufacturer=manufacturer,
            model=model,
            serial_number=serial_number,
            version=version,
        )

    async def poll(self, clock_now: Instant) -> Record:
        """See ``Driver.poll``. Identifies the device first if that has not been done yet."""
        if self._inverter is None:
            await self.identify()
        assert self._inverter is not None
        try:
            registers = await self._read_model(self._inverter, sunspec.INVERTER_SIZE)
        except DeviceError as error:
            if error.fault is None or isinstance(error, PermanentDeviceError):
                self._inverter = None  # not where it was: look for it at the next poll
            error.device = self.name
            raise
        daylight = self._is_daylight(clock_now) if self._is_daylight is not None else None
        return Record(self.name, clock_now, sunspec.decode_inverter(registers, daylight=daylight))

    async def _find_base(self) -> int:
        refusals: list[DeviceError] = []
        for base in sunspec.BASE_ADDRESSES:
            try:
                marker = await self._unit.read(READ_HOLDING, base, len(sunspec.MARKER))
            except DeviceError as error:
                # A refused address is an answer: look elsewhere. Silence says nothing at all.
                if error.fault is not Fault.EXCEPTION or isinstance(error, TransientDeviceError):
                    raise
                refusals.append(error)
                continue
            if marker == sunspec.MARKER:
                return base
        bases = ", ".join(map(str, sunspec.BASE_ADDRESSES))
        raise PermanentDeviceError(
            f"answers, but has no SunSpec map at {bases}; is SunSpec enabled in the inverter, "
            "and is the unit address right?"
        ) from (refusals[0] if refusals else None)

    async def _walk(self, base: int) -> list[_Model]:
        models: list[_Model] = []
        address = base + len(sunspec.MARKER)
        while len(models) < _MOST_MODELS and address + sunspec.HEADER_SIZE <= 65_536:
            number, length = await self._unit.read(READ_HOLDING, address, sunspec.HEADER_SIZE)
            if number == sunspec.END_MODEL or length == 0:
                break
            models.append(_Model(address, number, length))
            if number in sunspec.INVERTER_MODELS:
                break  # models beyond the inverter are not read
            address += sunspec.HEADER_SIZE + length
        return models

    def _choose_inverter(self, models: Sequence[_Model]) -> _Model:
        for model in models:
            if model.number in sunspec.INVERTER_MODELS and model.length >= sunspec.INVERTER_SIZE:
                return model
        found = ", ".join(f"{m.number} ({m.length} registers)" for m in models) or "none"
        wanted = ", ".join(map(str, sunspec.INVERTER_MODELS))
        raise PermanentDeviceError(f"no SunSpec inverter model {wanted}; found: {found}")

    async def _read_model(self, model: _Model, size: int) -> tuple[int, ...]:
        """The first ``size`` registers of ``model`` behind its header, and the header."""
        registers = await self._unit.read(READ_HOLDING, model.address, sunspec.HEADER_SIZE + size)
        if registers[:2] != (model.number, model.length):
            raise TransientDeviceError(
                f"model {model.number} is not at {model.address} any more "
                f"(found {registers[0]}, length {registers[1]}); will look for it again"
            )
        return registers
