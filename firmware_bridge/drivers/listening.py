"""Drivers of devices that push by themselves: smart meters, sensor nodes.

One task owns the link: it reads, feeds the protocol's buffer and keeps the newest thing that the
device said. A poll hands that on if it is news and no older than the timeout, and waits for the
next one otherwise: what a device said before its cable was pulled is never handed on as of now.
The task opens the link again after a loss, and when nothing has come for long (a connection whose
other end has died looks the same as silence); nothing it waits for is without a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from abc import abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from models.contract.timestamps import Instant

from ..errors import DeviceError, Fault, PermanentDeviceError, TransientDeviceError
from ..flight import FlightRecorder
from ..modbus.links import ByteLink
from ..plausibility import Plausibility
from ..settings import DeviceIdentity
from ..values import Decoded
from .polled import PolledDriver

_log = logging.getLogger(__name__)

_OPEN_S = 10.0
_LONGEST_GAP_S = 2.0
"""Devices send a message in one go: what comes after such a gap does not belong to it."""
_STAYS_OPEN_S = 1.0
"""Some servers accept a connection only to hang up."""
_SAMPLE_SIZE = 256
_LOG_EVERY_S = 600.0

Heard = TypeVar("Heard")


@dataclass(frozen=True)
class Refusal:
    """Bytes that began like a message and are not believed."""

    what: str
    reason: str
    fault: Fault


@dataclass(frozen=True)
class ListenTimes:
    """How a link is kept open; real seconds."""

    silence_s: float = 60.0
    """Without a byte for so long the link is opened anew."""
    first_pause_s: float = 1.0
    """Before the link is opened again; doubled at each failure."""
    longest_pause_s: float = 60.0


USUAL_TIMES = ListenTimes()


@dataclass
class ListenCounters:
    """What a listening driver has done since it was made."""

    received: int = 0
    """Bytes."""
    believed: int = 0
    """Messages that passed all checks."""
    opened: int = 0
    """How often the link was opened."""
    faults: Counter[Fault] = field(default_factory=Counter)
    """Faults caught, by kind."""


class ListeningDriver(PolledDriver, Generic[Heard]):
    """See ``Driver``. ``Heard`` is one message of the device."""

    def __init__(
        self,
        name: str,
        link: ByteLink,
        *,
        timeout_s: float,
        recorder: FlightRecorder | None = None,
        times: ListenTimes = USUAL_TIMES,
    ) -> None:
        """``timeout_s``: longer than the device pauses between two messages."""
        super().__init__(name, self._stop, Plausibility())
        self.link = link
        self.counters = ListenCounters()
        self.recorder = recorder if recorder is not None else FlightRecorder(link.name)
        self._timeout_s = timeout_s
        self._times = times
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._news = asyncio.Event()
        self._newest: tuple[Heard, float] | None = None  # and when it came
        self._is_news = False
        # What happened since the newest message, for the error of a poll that waits in vain.
        self._sample = b""
        self._refusal: Refusal | None = None
        self._trouble: DeviceError | None = None
        self._opened_at = 0.0
        self._logged_at: float | None = None

    # -- what a protocol brings

    @abstractmethod
    def _feed(self, data: bytes) -> list[Heard | Refusal]:
        """Take bytes; what has become whole."""

    @abstractmethod
    def _cut(self) -> list[Heard | Refusal]:
        """What comes next does not follow what came last."""

    @abstractmethod
    def _decode(self, heard: Heard) -> Decoded:
        """The content of a message. Raises ``DeviceError`` if it cannot be believed."""

    @abstractmethod
    def _identify(self, heard: Heard) -> DeviceIdentity:
        """What a message says about its sender."""

    @abstractmethod
    def _explain(self, sample: bytes) -> str:
        """Why ``sample`` gives no message (empty: nothing came), and what to do: sentences."""

    # -- Driver

    async def identify(self) -> DeviceIdentity:
        """See ``Driver.identify``. A message heard here may still be polled."""
        try:
            return self._identify(await self._recent(take=False))
        except DeviceError as error:
            error.device = self.name
            raise

    async def _fetch(self, now: Instant, *, everything: bool) -> Decoded:
        return self._decode(await self._recent(take=True))

    async def _recent(self, *, take: bool) -> Heard:
        """A message no older than the timeout; with ``take`` each is given only once."""
        self.start()
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    self._news.clear()
                    if self._newest is not None and (self._is_news or not take):
                        heard, at = self._newest
                        if time.monotonic() - at <= self._timeout_s:
                            self._is_news = self._is_news and not take
                            return heard
                    await self._news.wait()
        except TimeoutError:
            raise self._in_vain() from None

    def _in_vain(self) -> DeviceError:
        """Why there is no message, from what was seen instead of one."""
        opened_for_s = time.monotonic() - self._opened_at if self.link.is_open else 0.0
        if self._trouble is not None and opened_for_s < _STAYS_OPEN_S:
            kind = type(self._trouble)
            return kind(self._trouble.reason, fault=self._trouble.fault)
        seen = f"{len(self._sample)} bytes or more" if self._sample else "not a byte"
        reason = f"{seen} but no message for {self._timeout_s:g} s: {self._explain(self._sample)}"
        if self._refusal is not None:
            reason += f" Last refused: {self._refusal.reason} ({self._refusal.what[:40]!r})"
        return TransientDeviceError(reason, fault=Fault.TIMEOUT)

    # -- the task

    def start(self) -> None:
        """Begin to listen, on the running loop; otherwise the first poll does."""
        if self._stopped:
            raise TransientDeviceError("driver is closed", fault=Fault.LINK)
        if self._task is not None and self._task.done():
            # It ends by itself only through a defect of ours: say so, and go on.
            error = None if self._task.cancelled() else self._task.exception()
            _log.error("%s: listening ended (%r); starting again", self.name, error)
            self._task = None
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._listen())

    async def _stop(self) -> None:
        self._stopped = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
        self.link.close()

    async def _listen(self) -> None:
        pause_s = self._times.first_pause_s
        while True:
            believed = self.counters.believed
            try:
                await self._open()
                await self._read_on()
            except DeviceError as error:
                self._note_trouble(error)
            finally:
                self.link.close()
            self._keep(self._cut())
            if self.counters.believed > believed:
                pause_s = self._times.first_pause_s
            await asyncio.sleep(pause_s)
            pause_s = min(2.0 * pause_s, self._times.longest_pause_s)

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(_OPEN_S):
                await self.link.open()
        except TimeoutError:
            raise TransientDeviceError(
                f"cannot connect within {_OPEN_S:g} s", fault=Fault.LINK
            ) from None
        self.counters.opened += 1
        self._opened_at = time.monotonic()
        self.recorder.event("opened")

    async def _read_on(self) -> None:
        """Read until the link is lost or falls silent."""
        while True:
            asked_at = time.monotonic()
            try:
                async with asyncio.timeout(self._times.silence_s):
                    data = await self.link.receive()
            except TimeoutError:
                return
            if time.monotonic() - asked_at > _LONGEST_GAP_S:
                self._keep(self._cut())
            # An open link proves little (a server may accept and hang up): bytes end a trouble.
            self._end_trouble()
            self.counters.received += len(data)
            self.recorder.received(data)
            self._sample = (self._sample + data)[-_SAMPLE_SIZE:]
            self._keep(self._feed(data))

    def _keep(self, outcomes: list[Heard | Refusal]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Refusal):
                self.counters.faults[outcome.fault] += 1
                self.recorder.event(f"fault {outcome.fault}: {outcome.reason}")
                self._refusal = outcome
                continue
            self.counters.believed += 1
            self._newest, self._is_news = (outcome, time.monotonic()), True
            self._sample, self._refusal = b"", None
            self._news.set()

    def _note_trouble(self, error: DeviceError) -> None:
        self.counters.faults[error.fault or Fault.LINK] += 1
        self.recorder.event(f"fault {error.fault or Fault.LINK}: {error.reason}")
        self._trouble = error
        now = time.monotonic()
        if self._logged_at is None or now - self._logged_at > _LOG_EVERY_S:
            self._logged_at = now
            hint = "" if isinstance(error, PermanentDeviceError) else "; trying again"
            _log.warning("%s: %s: %s%s", self.name, self.link.name, error.reason, hint)

    def _end_trouble(self) -> None:
        if self._trouble is not None:
            self._trouble = None
            _log.info("%s: %s: hears the device again", self.name, self.link.name)
