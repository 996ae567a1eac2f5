"""Driver of SunSpec devices: walks the device's own map for its models, then polls those it needs.

Where the models lie is found once and checked at every poll, because their headers are read along
with their values: a device that was exchanged or rearranged is walked again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from models.contract.timestamps import Instant

from ..errors import DeviceError, PermanentDeviceError, TransientDeviceError
from ..modbus.port import ModbusUnit
from ..modbus.request import READ_HOLDING
from ..plausibility import CounterRule, Plausibility
from ..profile import Profile
from ..settings import DeviceIdentity
from ..sunspec.definitions import Definition, definition
from ..sunspec.fetch import Fetcher
from ..sunspec.meaning import METERS, ModelImage, choose, decode_device
from ..sunspec.points import decode_model
from ..sunspec.walk import COMMON, Found, find_base, walk
from ..values import Decoded
from .polled import PolledDriver

_COUNTERS = ("ac_energy", "grid_import_energy", "grid_export_energy")
_ROLLS_OVER_AT = 2.0**32
"""Accumulators of 32 bits in Wh; finer ones roll over earlier and are taken for a reset."""


class SunSpecDriver(PolledDriver):
    """See ``Driver``."""

    def __init__(
        self,
        unit: ModbusUnit,
        release: Callable[[], Awaitable[None]],
        profile: Profile,
        is_daylight: Callable[[Instant], bool] | None = None,
        *,
        rated_power_w: float | None = None,
    ) -> None:
        counters = {name: CounterRule(_ROLLS_OVER_AT) for name in _COUNTERS}
        sleep = profile.file.sleep
        super().__init__(
            unit.device,
            release,
            Plausibility(counters=counters, rated_power_w=rated_power_w),
            settle_s=sleep.settle_s if sleep is not None else None,
        )
        self._unit = unit
        self._options = profile.file.sunspec
        self._is_daylight = is_daylight
        self._fetcher = Fetcher(self._read)
        self._all: list[Found] = []
        self._polled: list[tuple[Found, Definition]] = []

    async def identify(self) -> DeviceIdentity:
        """See ``Driver.identify``."""
        try:
            await self._find_models()
            first = self._polled[0][0]
            texts = await self._common_of(first)
        except DeviceError as error:
            error.device = self.name
            raise
        return DeviceIdentity(
            device=self.name,
            profile=f"sunspec/{first.number}",
            manufacturer=texts.get("Mn", ""),
            model=texts.get("Md", ""),
            serial_number=texts.get("SN", ""),
            version=texts.get("Vr", ""),
        )

    async def _fetch(self, now: Instant, *, everything: bool) -> Decoded:
        if not self._polled:
            await self._find_models()
        models = self._everything() if everything else self._polled
        try:
            images = await self._fetcher.fetch(models)
        except DeviceError as error:
            if error.fault is None or isinstance(error, PermanentDeviceError):
                self._polled = []  # not where it was: look for it at the next poll
            raise
        daylight = self._is_daylight(now) if self._is_daylight is not None else None
        parts = [ModelImage(model, image) for (_, model), image in zip(models, images, strict=True)]
        if not everything:
            return decode_device(parts, self._options, daylight=daylight)
        chosen = [part for part, model in zip(parts, models, strict=True) if model in self._polled]
        others = [p for p, model in zip(parts, models, strict=True) if model not in self._polled]
        decoded = decode_device(chosen, self._options, daylight=daylight, details=True)
        for part in others:
            rest = decode_device([part], self._options, details=True)
            rest.readings.clear()
            decoded.details |= rest.details
            decoded.reasons |= {n: r for n, r in rest.reasons.items() if n in rest.details}
        return decoded

    async def _read(self, address: int, count: int) -> bytes:
        return await self._unit.read(READ_HOLDING, address, count)

    # -- what there is to read

    async def _find_models(self) -> None:
        self._polled = []
        base = await find_base(self._read, self._options.bases)
        self._all = await walk(self._read, base)
        numbers = [(model.number, model.device) for model in self._all]
        for index in choose(numbers, self._options):
            found = self._all[index]
            known = definition(found.number)
            if known is not None:
                self._polled.append((found, known))
        if not self._polled:
            raise self._nothing_to_read()

    def _everything(self) -> list[tuple[Found, Definition]]:
        known = [(found, definition(found.number)) for found in self._all]
        return [(found, model) for found, model in known if model is not None and found.length]

    async def _common_of(self, found: Found) -> dict[str, str]:
        """Texts of the common model in front of ``found``."""
        commons = [m for m in self._all if m.number == COMMON and m.device == found.device]
        known = definition(COMMON)
        if not commons or known is None:
            return {}
        (image,) = await self._fetcher.fetch([(commons[0], known)])
        values = decode_model(known, image)
        return {path: value for path, value in values.items() if isinstance(value, str)}

    def _nothing_to_read(self) -> DeviceError:
        found = ", ".join(f"{m.number} ({m.length} registers)" for m in self._all) or "none"
        if self._options.role == "meter":
            meters = sum(model.number in METERS for model in self._all)
            wanted = f"no SunSpec meter number {self._options.instance} ({meters} there)"
        else:
            wanted = "no SunSpec model with values of a plant"
        if not self._all:
            return TransientDeviceError(f"{wanted}; found: {found}")
        return PermanentDeviceError(f"{wanted}; found: {found}")
