"""Driver of devices whose map stands in a profile file: meters, and most inverters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from models.contract.quantities import QUANTITIES
from models.contract.record import Quality, Reading
from models.contract.timestamps import SECOND_MS, Instant

from ..errors import DeviceError, Fault, PermanentDeviceError
from ..plausibility import CounterRule, Plausibility
from ..poll_plan import Block
from ..profile import Profile
from ..profile.scaling import Scaling
from ..profile.schema import IdentityCode, IdentityText
from ..registers import REGISTER_TYPES, decode_number, decode_text
from ..settings import DeviceIdentity
from ..values import Decoded
from .polled import PolledDriver


class BlockReader(Protocol):
    """Fetches one block of a device. Raises ``DeviceError``."""

    async def __call__(self, block: Block) -> bytes: ...


class RegisterDriver(PolledDriver):
    """See ``Driver``. Reads what ``profile`` plans, group by group."""

    def __init__(
        self,
        name: str,
        profile: Profile,
        read: BlockReader,
        release: Callable[[], Awaitable[None]],
        *,
        rated_power_w: float | None = None,
    ) -> None:
        super().__init__(
            name,
            release,
            plausibility_of(profile, rated_power_w),
            settle_s=profile.file.sleep.settle_s if profile.file.sleep else None,
        )
        self._profile = profile
        self._read = read
        self._group_due: dict[str, Instant] = dict.fromkeys(profile.file.groups, 0)
        self._recognised = False
        self._refused: set[Block] = set()

    async def identify(self) -> DeviceIdentity:
        """See ``Driver.identify``."""
        file, identity = self._profile.file, self._profile.file.identity
        assert identity is not None
        try:
            if identity.code is not None:
                await self._check_code(identity.code)
            if identity.quantity:
                decoded = await self._fetch_blocks(frozenset(self._profile.groups), False)
                self._check_quantity(decoded.readings.get(identity.quantity))
            texts = {text.field: await self._read_text(text) for text in identity.texts}
        except DeviceError as error:
            error.device = self.name
            raise
        return DeviceIdentity(
            device=self.name,
            profile=self._profile.name,
            manufacturer=texts.get("manufacturer") or file.manufacturer,
            model=texts.get("model") or file.model,
            serial_number=texts.get("serial_number", ""),
            version=texts.get("version", ""),
        )

    async def _fetch(self, now: Instant, *, everything: bool) -> Decoded:
        identity = self._profile.file.identity
        if not self._recognised and identity is not None and identity.code is not None:
            await self._check_code(identity.code)
            self._recognised = True
        due = frozenset({"", *(name for name, at in self._group_due.items() if at <= now)})
        decoded = await self._fetch_blocks(due, everything)
        for name in due - {""}:
            every_ms = round(self._profile.groups[name] * SECOND_MS)
            self._group_due[name] = now + every_ms
        if not self._recognised:
            self._recognise(decoded)
        return decoded

    async def _fetch_blocks(self, groups: frozenset[str], everything: bool) -> Decoded:
        plan = self._profile.whole_plan if everything else self._profile.poll_plan(groups)
        replies: dict[Block, bytes] = {}
        for block in plan.blocks:
            if block in self._refused:
                continue
            try:
                replies[block] = await self._read(block)
            except PermanentDeviceError as error:
                if error.fault is not Fault.EXCEPTION or block not in plan.optional:
                    raise
                self._refused.add(block)  # this one does not have that part
        return plan.decode(replies)

    # -- is it the device that the profile describes?

    def _recognise(self, decoded: Decoded) -> None:
        """Until the value that tells the device has once made sense, nothing else is believed."""
        identity = self._profile.file.identity
        assert identity is not None
        reading = decoded.readings.get(identity.quantity)
        if self._makes_sense(reading):
            self._recognised = True
            return
        shown = "nothing" if reading is None or reading.value is None else f"{reading.value:g}"
        for name, other in decoded.readings.items():
            if other.quality is Quality.GOOD and other.value is not None:
                decoded.readings[name] = Reading(other.value, Quality.SUSPECT)
                decoded.reasons[name] = (
                    f"not yet sure that this is a {self._profile.name}: "
                    f"{identity.quantity} reads {shown}"
                )

    def _makes_sense(self, reading: Reading | None) -> bool:
        identity = self._profile.file.identity
        return (
            identity is not None
            and reading is not None
            and reading.value is not None
            and reading.quality is Quality.GOOD
            and identity.lowest <= reading.value <= identity.highest
        )

    def _check_quantity(self, reading: Reading | None) -> None:
        identity = self._profile.file.identity
        assert identity is not None
        if not self._makes_sense(reading):
            value = None if reading is None else reading.value
            raise PermanentDeviceError(
                f"answers, but is no {self._profile.name} (or sends its words in another order): "
                f"{identity.quantity} reads {value}, not {identity.lowest:g} to "
                f"{identity.highest:g}; check unit address, profile and word_order"
            )

    async def _check_code(self, code: IdentityCode) -> None:
        kind = REGISTER_TYPES[code.type]
        function = self._profile.file.function_of(code)
        data = await self._read(Block(function, code.address, kind.count))
        number = int(decode_number(data[: kind.size], kind, code.order))
        if number not in code.values:
            raise PermanentDeviceError(
                f"answers, but is no {self._profile.name}: its type code (register "
                f"{code.address}) is {number}, not one of {', '.join(map(str, code.values))}; "
                "check unit address and profile"
            )

    async def _read_text(self, text: IdentityText) -> str:
        try:
            function = self._profile.file.function_of(text)
            return decode_text(await self._read(Block(function, text.address, text.count)))
        except DeviceError as error:
            if error.fault is Fault.EXCEPTION:
                return ""  # a device of this kind that does not tell
            raise


def plausibility_of(profile: Profile, rated_power_w: float | None) -> Plausibility:
    """The rules that follow from a profile's registers."""
    slopes: dict[str, float] = {}
    counters: dict[str, CounterRule] = {}
    for register in profile.file.registers:
        if register.slope is not None and register.quantity:
            slopes[register.quantity] = register.slope
        if register.quantity and QUANTITIES[register.quantity].behaviour == "counter":
            scaling = Scaling.of(register.scale, register.offset, register.unit)
            step = abs(scaling.value(1.0) - scaling.value(0.0))
            kind = REGISTER_TYPES[register.type]
            rolls = kind.is_integer if register.rollover is None else register.rollover
            span = kind.span if register.type.startswith("u") else kind.span / 2
            counters[register.quantity] = CounterRule(span * step if rolls else None, step)
    return Plausibility(slopes=slopes, counters=counters, rated_power_w=rated_power_w)
