"""One owner per link: takes turns, keeps deadlines, and gets back into step after a fault.

The rule: **no reply is believed that is not the answer to its request.** ``framing`` checks each
reply's fields; this file sees to the reply whose fields all match, and which is another's.

- A link that cuts off late replies when it is closed (TCP to the device itself, UDP from a fresh
  port) is closed after every fault; a late reply dies with its connection.
- A shared wire (RTU, also behind a TCP converter) cannot be cut. After a fault everything that
  arrives is thrown away, for one whole timeout if the unit used to answer. It may be later still.
  So the bus remembers the lengths of the replies that may yet come from each unit. Before it asks
  for a reply of such a length, it makes a *fence* read of a length that cannot come: units answer
  in order, so once the fence's reply is here, the older ones are past. What arrives in its stead
  has the wrong length and is refused. After 100 timeouts a reply counts as lost.
- Some devices answer twice. A copy can only be that of the unit's last answer (data or refusal),
  and then it is the same to the last bit: after a reply that is, the unit is fenced and asked
  again. Values that do not change cost that, too, until the unit has often enough proved to answer
  once; from then on it is trusted as far as the same question goes.

The task whose turn it is owns the link: nobody else sends, and every wait of it has a deadline.
Who is asked again, when, and how often is the caller's matter (retries, back-off, ``health``).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ..errors import DeviceError, Fault, PermanentDeviceError, TransientDeviceError
from ..flight import FlightRecorder
from .framing import Framing
from .links import ByteLink
from .memory import WireMemory
from .request import ReadRequest, WriteRequest
from .turns import Turns

_DOUBTFUL_AFTER = 2
"""Silences in a row after which a unit is not expected to answer; one, if it never has."""
_REOPEN_AFTER = 10
"""Silences in a row, of whichever units, after which a wire's port is opened anew: adapters and
converters hang, too."""


class Exchangeable(Protocol):
    """A request as far as a bus must know it."""

    @property
    def unit(self) -> int: ...

    @property
    def count(self) -> int:
        """Tells replies apart by their length."""
        ...


@dataclass(frozen=True)
class LinkTimes:
    """How a link likes to be treated; real seconds."""

    frame_gap_s: float = 0.0
    """Silence between two exchanges."""
    connect_delay_s: float = 0.0
    """Between opening and the first request."""
    reconnect_gap_s: float = 0.0
    """At least so long between two openings."""


@dataclass
class BusCounters:
    """What a bus has done since it was made."""

    requests: int = 0
    """Requests sent, fences included."""
    replies: int = 0
    """Replies believed."""
    fences: int = 0
    opened: int = 0
    """How often the link was opened."""
    writes: int = 0
    busy_s: float = 0.0
    """Real seconds in which the line was taken."""
    faults: Counter[Fault] = field(default_factory=Counter)
    """Faults caught, by kind."""


class Bus:
    """Exchanges over one link: a ``ModbusPort``, and the same for other request protocols.

    Requests wait for each other, first come first served, units in doubt last; each exchange is
    bounded by its own deadline, so nobody waits for ever.
    """

    def __init__(
        self,
        link: ByteLink,
        framing: Framing[Any],
        *,
        times: LinkTimes = LinkTimes(),
        control: bool = False,
        recorder: FlightRecorder | None = None,
    ) -> None:
        """``control``: whether writes may leave. ``recorder``: gets every frame."""
        self.link = link
        self.framing = framing
        self.counters = BusCounters()
        self.recorder = recorder if recorder is not None else FlightRecorder(link.name)
        self._times = times
        self._control = control
        self._turns = Turns()
        self._transaction = 0
        self._quiet_from = 0.0  # monotonic time before which nothing is sent
        self._opened_at: float | None = None
        self._heard: set[int] = set()  # units that have ever answered
        self._silent: dict[int, int] = {}  # silences in a row, by unit
        self._silent_line = 0
        self._memory = WireMemory()
        self._last: tuple[Exchangeable, float] | None = None  # asked last, and its timeout
        self._looked = (time.monotonic(), 0.0)  # when utilisation was asked for last

    def utilisation(self) -> float:
        """Share of the time since the last call in which the line was taken, 0 to 1."""
        now = time.monotonic()
        (since, busy_s), self._looked = self._looked, (now, self.counters.busy_s)
        return min(1.0, (self.counters.busy_s - busy_s) / max(now - since, 1e-6))

    def adopt(self, times: LinkTimes, *, control: bool) -> None:
        """Another device joins the line: its needs count too. Control needs both to allow it."""
        mine = self._times
        self._times = LinkTimes(
            max(mine.frame_gap_s, times.frame_gap_s),
            max(mine.connect_delay_s, times.connect_delay_s),
            max(mine.reconnect_gap_s, times.reconnect_gap_s),
        )
        self._control = self._control and control

    @property
    def times(self) -> LinkTimes:
        """How the line is treated now: what every device on it can bear."""
        return self._times

    def relax(self, times: LinkTimes) -> None:
        """Back to ``times``: a device that asked for longer ones was tried, and is not there."""
        self._times = times

    async def read(
        self, unit: int, function: int, address: int, count: int, *, timeout_s: float
    ) -> bytes:
        """See ``ModbusPort.read``. Takes at most some timeouts and the airtime once it is its turn:
        one each to connect or be quiet, for fences, the silence behind them, and replies."""
        request = ReadRequest(unit, function, address, count)
        return await self.exchange(request, timeout_s=timeout_s)

    async def write(self, unit: int, address: int, data: bytes, *, timeout_s: float) -> None:
        """Write registers. Raises ``PermanentDeviceError`` unless this bus was given control."""
        await self.exchange(WriteRequest(unit, address, data), timeout_s=timeout_s)

    async def exchange(self, request: Exchangeable, *, timeout_s: float) -> bytes:
        """Data of the reply to ``request``. Raises ``DeviceError`` with the place filled in."""
        await self._turns.take(doubtful=self._is_doubtful(request.unit))
        began = time.monotonic()
        try:
            if self.link.cuts_late_replies or not isinstance(request, ReadRequest):
                return await self._exchange(request, timeout_s)
            return await self._exchange_on_wire(request, timeout_s)
        except DeviceError as error:
            error.place = f"{self.link.name} unit {request.unit} {request}"
            raise
        finally:
            self.counters.busy_s += time.monotonic() - began
            self._turns.give()

    async def close(self) -> None:
        """Close the link; the next exchange opens it again."""
        await self._turns.take()
        try:
            self._close_link()
        finally:
            self._turns.give()

    # -- one exchange

    async def _exchange_on_wire(self, request: ReadRequest, timeout_s: float) -> bytes:
        """An exchange where the answer to another request may arrive in place of the right one."""
        memory, unit = self._memory, request.unit
        if request.count in memory.owed_by(unit):
            await self._fence(request, timeout_s)
        asked, last = memory.last_of(unit)
        data = await self._exchange_or_prove(request, timeout_s)
        if data != last or memory.is_trusted_with(request, asked):
            return data
        # A copy, or unchanged. Behind a fence only a fresh answer can come.
        memory.expect(unit, request.count, timeout_s)
        await self._fence(request, timeout_s)
        data = await self._exchange_or_prove(request, timeout_s)
        memory.proved(unit)
        return data

    async def _exchange_or_prove(self, request: ReadRequest, timeout_s: float) -> bytes:
        """An exchange whose refusal, too, is believed only if it is no other's."""
        _, before = self._memory.last_of(request.unit)
        owed = bool(self._memory.owed_by(request.unit))
        try:
            return await self._exchange(request, timeout_s)
        except DeviceError as error:
            if error.fault is Fault.EXCEPTION and (owed or before == error.exception_code):
                await self._prove_refusal(request, timeout_s, error)
            raise

    async def _prove_refusal(
        self, request: ReadRequest, timeout_s: float, refusal: DeviceError
    ) -> None:
        """Returns if ``refusal`` is the answer to ``request`` and no other's; raises otherwise."""
        only_a_copy = set(self._memory.owed_by(request.unit)) <= {request.count}
        strays = self.counters.faults[Fault.STRAY]  # the true answer, if it comes before the fence
        self._memory.expect(request.unit, request.count, timeout_s)
        try:
            proved = await self._fence(request, timeout_s) or only_a_copy
            if proved and self.counters.faults[Fault.STRAY] == strays:
                return
        except DeviceError:
            pass
        raise TransientDeviceError(
            f"{refusal.reason}; perhaps in answer to an older request",
            fault=Fault.EXCEPTION,
            exception_code=refusal.exception_code,
        ) from refusal

    async def _exchange(self, request: Any, timeout_s: float) -> bytes:
        await self._make_ready(timeout_s)
        if isinstance(request, (ReadRequest, WriteRequest)):
            self._transaction = self._transaction % 0xFFFF + 1
            request = replace(request, transaction=self._transaction)
        self._last = (request, timeout_s)
        self.counters.requests += 1
        in_step = refused = False
        try:
            data = await self._send_and_receive(request, timeout_s)
            in_step = True
        except DeviceError as error:
            self._count(error)
            # A refusal in due form is an answer, unless it may be the answer to an older request
            # or a copy of the last one.
            refused = error.fault is Fault.EXCEPTION
            memory, code = self._memory, error.exception_code
            doubtful = bool(memory.owed_by(request.unit)) or memory.is_repeated_refusal(
                request.unit, code
            )
            # A frame that must not be sent leaves the line as it was.
            in_step = error.fault is None or (refused and not doubtful)
            if code is not None and not self.link.cuts_late_replies:
                memory.refused(request.unit, request, code)
            self._note_silence(request.unit, error)
            raise
        finally:
            # Also on cancellation: whoever gave up waiting leaves a reply on its way.
            self._quiet_from = time.monotonic() + self._times.frame_gap_s
            if not in_step:
                self._distrust(request, timeout_s, is_noisy=not refused)
        self.counters.replies += 1
        self._heard.add(request.unit)
        self._silent.pop(request.unit, None)
        self._silent_line = 0
        if not self.link.cuts_late_replies:
            self._memory.answered(request, data)
        return data

    async def _send_and_receive(self, request: Any, timeout_s: float) -> bytes:
        received = b""
        try:
            async with asyncio.timeout(timeout_s + self.framing.airtime_s(request)):
                self._transmit(self.framing.encode(request))
                while True:
                    arrived = await self.link.receive()
                    self.recorder.received(arrived)
                    received = received + arrived if received else arrived
                    data = self.framing.check(request, received)
                    if data is not None:
                        return data
        except TransientDeviceError:
            self._expect_copy_of(received, timeout_s)
            raise
        except TimeoutError as error:
            what = f"only {len(received)} bytes of a reply" if received else "no reply"
            raise TransientDeviceError(
                f"{what} within {timeout_s:g} s", fault=Fault.TIMEOUT
            ) from error

    def _transmit(self, frame: bytes) -> None:
        """The only place where anything is sent. Judges the bytes, not what they come from."""
        if self.framing.is_write(frame):
            if not self._control:
                raise PermanentDeviceError(
                    "a write was refused: this line is read-only; control = true in the device's "
                    "settings would enable it"
                )
            self.counters.writes += 1
        self.recorder.sent(frame)
        self.link.write(frame)

    async def _make_ready(self, timeout_s: float) -> None:
        """Open the link if need be, and wait until the line is silent and empty."""
        link = self.link
        if link.is_open and link.cuts_late_replies and (stray := link.take()):
            self._count_stray(stray)
            self._close_link()
        if not link.is_open:
            await self._open(timeout_s)
        patience = max(time.monotonic(), self._quiet_from) + timeout_s
        counted = False
        while True:
            if (wait_s := self._quiet_from - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            if link.cuts_late_replies or not (stray := link.take()):
                return
            if not counted:
                counted = True
                self._count_stray(stray)
            else:
                self.recorder.received(stray)
            self._stray_arrived(stray, timeout_s)
            if time.monotonic() >= patience:
                raise TransientDeviceError(
                    "the line is never silent; is there a second master on it?", fault=Fault.STRAY
                )

    async def _open(self, timeout_s: float) -> None:
        if self._opened_at is not None:
            wait_s = self._opened_at + self._times.reconnect_gap_s - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
        self._opened_at = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                await self.link.open()
        except TimeoutError as error:
            self.counters.faults[Fault.TIMEOUT] += 1
            self._close_link()
            raise TransientDeviceError(
                f"cannot connect within {timeout_s:g} s", fault=Fault.TIMEOUT
            ) from error
        except DeviceError as error:
            self._count(error)
            raise
        self.counters.opened += 1
        self.recorder.event("open")
        if self._times.connect_delay_s > 0:
            await asyncio.sleep(self._times.connect_delay_s)

    def _close_link(self) -> None:
        if self.link.is_open:
            self.recorder.event("close")
        self.link.close()

    # -- who is in doubt

    def _is_doubtful(self, unit: int) -> bool:
        return self._silent.get(unit, 0) >= (_DOUBTFUL_AFTER if unit in self._heard else 1)

    def _note_silence(self, unit: int, error: DeviceError) -> None:
        if error.fault is Fault.TIMEOUT:
            self._silent[unit] = self._silent.get(unit, 0) + 1
            self._silent_line += 1
        elif error.fault is not Fault.LINK:
            self._silent.pop(unit, None)  # somebody is there

    # -- getting back into step

    def _stray_arrived(self, stray: bytes, timeout_s: float) -> None:
        """Bytes came between two exchanges: perhaps a doubled reply, and more may follow."""
        gap_s = max(self._times.frame_gap_s, 0.001)
        self._quiet_from = max(self._quiet_from, time.monotonic() + gap_s)
        self._expect_copy_of(stray, timeout_s)
        if self._last is not None:
            request, its_timeout_s = self._last
            self._memory.mistrust(request.unit)
            self._memory.expect(request.unit, request.count, its_timeout_s)

    def _distrust(self, request: Exchangeable, timeout_s: float, *, is_noisy: bool) -> None:
        link = self.link
        if link.cuts_late_replies or not link.is_open or self._silent_line >= _REOPEN_AFTER:
            self._close_link()
            self._silent_line = 0
        if not link.cuts_late_replies:
            if is_noisy and not self._is_doubtful(request.unit):
                # From a unit that has been silent for long no late reply need be waited for;
                # should one come all the same, its unit and length betray it.
                self._quiet_from = max(self._quiet_from, time.monotonic() + timeout_s)
            self._memory.expect(request.unit, request.count, timeout_s)

    def _expect_copy_of(self, refused: bytes, timeout_s: float) -> None:
        """What came and was not believed may come again, whatever its length."""
        head = self.framing.peek(refused)
        if head is not None:
            self._memory.expect(*head, timeout_s)

    async def _fence(self, request: ReadRequest, timeout_s: float) -> bool:
        """Read a length that cannot come otherwise; returns once the unit is back in step.

        True if the fence got its data. A refusal has no length: after as many as there are older
        requests, and one more, those are past, but refusals of the fences may still come.
        """
        memory = self._memory
        count = memory.fence_length(request)
        fence = replace(request, count=count, address=min(request.address, 65_536 - count))
        most = memory.refusals_to_come(request.unit)
        for refusals in range(most + 1):
            self.counters.fences += 1
            try:
                await self._exchange(fence, timeout_s)
            except DeviceError as error:
                if error.fault is Fault.LINK:
                    raise
                if error.fault is not Fault.EXCEPTION:
                    raise TransientDeviceError(
                        f"not yet in step again after a fault ({error.reason})",
                        fault=error.fault,
                        exception_code=error.exception_code,
                    ) from error
                if refusals == most or not memory.owed_by(request.unit):
                    memory.forget_owed(request.unit)
                    memory.expect(request.unit, count, timeout_s)
                    return False
            else:
                return True
        raise AssertionError("the loop ends by itself")

    def _count_stray(self, stray: bytes) -> None:
        self.recorder.received(stray)
        self.counters.faults[Fault.STRAY] += 1
        self.recorder.event(f"fault {Fault.STRAY}")

    def _count(self, error: DeviceError) -> None:
        if error.fault is not None:
            self.counters.faults[error.fault] += 1
            self.recorder.event(f"fault {error.fault}")
