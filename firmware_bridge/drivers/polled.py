"""What every driver that asks its device has in common: from decoded values to a record.

Fetching is each driver's own (:meth:`PolledDriver._fetch`); here the values are held against what
came before (``plausibility``), a device that wakes up is mistrusted for a while, and the link is
given back once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import MINUTE_MS, Instant

from ..errors import DeviceError, TransientDeviceError
from ..plausibility import Plausibility
from ..settings import DeviceIdentity
from ..values import Decoded

_OFF_STATES = (1.0, 2.0)
"""SunSpec ``St`` codes: off, sleeping."""
_ABSENT_MS = 5 * MINUTE_MS
"""A device that sleeps at night and was away for so long has been switched off."""
_ASLEEP = {name: Reading(None, Quality.ASLEEP) for name in ("ac_power", "dc_power")}


class PolledDriver(ABC):
    """See ``Driver``."""

    def __init__(
        self,
        name: str,
        release: Callable[[], Awaitable[None]],
        plausibility: Plausibility,
        *,
        settle_s: float | None = None,
    ) -> None:
        """``settle_s``: for devices that sleep at night, how long they are mistrusted after."""
        self.name = name
        self._release: Callable[[], Awaitable[None]] | None = release
        self._plausibility = plausibility
        self._settle_s = settle_s
        self._answered_at: Instant | None = None
        self._was_off = False
        self._ever_there: set[str] = set()

    @property
    def sleeps(self) -> bool:
        """Whether the device is off at night."""
        return self._settle_s is not None

    @abstractmethod
    async def _fetch(self, now: Instant, *, everything: bool) -> Decoded:
        """Ask the device: for a record, or for everything that it says. Raises ``DeviceError``."""

    @abstractmethod
    async def identify(self) -> DeviceIdentity:
        """See ``Driver.identify``."""

    async def poll(self, clock_now: Instant) -> Record:
        """See ``Driver.poll``."""
        decoded = await self._judged(clock_now, everything=False)
        self._drop_what_never_was(decoded)
        if not decoded.readings:
            error = TransientDeviceError("answers, but with none of the values asked for")
            error.device = self.name
            raise error
        return Record(self.name, clock_now, decoded.readings)

    async def read(self, clock_now: Instant) -> Decoded:
        """See ``Driver.read``."""
        return await self._judged(clock_now, everything=True)

    def asleep(self, clock_now: Instant) -> Record:
        """The record of a device that does not answer because it is night."""
        return Record(self.name, clock_now, _ASLEEP)

    async def close(self) -> None:
        """See ``Driver.close``."""
        release, self._release = self._release, None
        if release is not None:
            await release()

    async def _judged(self, now: Instant, *, everything: bool) -> Decoded:
        try:
            decoded = await self._fetch(now, everything=everything)
        except DeviceError as error:
            error.device = self.name
            raise
        self._note_waking(decoded, now)
        self._plausibility.judge(decoded, now)
        return decoded

    def _drop_what_never_was(self, decoded: Decoded) -> None:
        """Leave out what this device has never had: the second phase of a single-phase inverter."""
        there = {name for name, reading in decoded.readings.items() if reading.value is not None}
        self._ever_there |= there
        if there:
            never = [name for name in decoded.readings if name not in self._ever_there]
            for name in never:
                if decoded.readings[name].quality is Quality.MISSING:
                    del decoded.readings[name]

    def _note_waking(self, decoded: Decoded, now: Instant) -> None:
        before, self._answered_at = self._answered_at, now
        state = decoded.readings.get("inverter_state")
        is_off = state is not None and state.value in _OFF_STATES
        was_off, self._was_off = self._was_off, is_off
        was_away = before is not None and now - before > _ABSENT_MS
        if self._settle_s is not None and not is_off and (was_off or was_away):
            self._plausibility.woke_up(now, self._settle_s)
