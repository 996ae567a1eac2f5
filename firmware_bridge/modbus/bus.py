"""One owner per link: takes turns, keeps deadlines, and gets back into step after a fault.

The rule: **no reply is believed that is not the answer to its request.** ``framing`` checks each
reply's fields; this file sees to the late reply whose fields all match.

- A link that can be cut (TCP) is closed after every fault; a late reply dies with its connection.
- A shared wire (RTU) cannot be cut. After a fault the line stays silent for one whole timeout and
  everything that arrives meanwhile is thrown away. The device may be later still, and some devices
  answer twice. So the bus remembers the lengths of the replies that may yet come from each unit.
  Before it asks for a reply of such a length, it makes a *fence* read of a length that cannot come:
  units answer in order, so once the fence's reply is here, the older ones are past. What arrives in
  its stead has the wrong length and is refused. After ten timeouts a reply counts as lost.

Who is asked again, when, and how often is the caller's matter (retries, back-off, circuit breaker).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field, replace

from ..errors import DeviceError, Fault, TransientDeviceError
from .framing import Framing
from .links import ByteLink
from .request import MAX_REGISTERS, ReadRequest

_LATEST_REPLY = 10
"""After so many timeouts a reply that has not come is taken to be lost."""


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
    faults: Counter[Fault] = field(default_factory=Counter)
    """Faults caught, by kind."""


@dataclass(frozen=True, slots=True)
class _Expected:
    """A reply that may yet come."""

    until: float
    copy_of: ReadRequest | None
    """The request whose reply was believed already, if all that can come is a copy of it."""


class ModbusBus:
    """A ``ModbusPort`` over one link.

    Requests wait for each other, first come first served; each exchange is bounded by its own
    deadline, so nobody waits for ever.
    """

    def __init__(self, link: ByteLink, framing: Framing, *, frame_gap_s: float = 0.0) -> None:
        self.link = link
        self.counters = BusCounters()
        self._framing = framing
        self._gap_s = frame_gap_s
        self._turn = asyncio.Lock()
        self._transaction = 0
        self._quiet_from = 0.0  # monotonic time before which nothing is sent
        self._expected: dict[int, dict[int, _Expected]] = {}  # by unit and length in registers
        self._last: tuple[ReadRequest, float] | None = None  # what was asked last, and its timeout

    async def read(
        self, unit: int, function: int, address: int, count: int, *, timeout_s: float
    ) -> tuple[int, ...]:
        """See ``ModbusPort.read``. Takes at most four timeouts and the airtime once it is its turn:
        one each to connect or be quiet, for the fence, its silence, and the reply."""
        request = ReadRequest(unit, function, address, count)
        async with self._turn:
            try:
                if self._needs_fence(request):
                    await self._fence(request, timeout_s)
                return await self._exchange(request, timeout_s)
            except DeviceError as error:
                error.place = f"{self.link.name} unit {unit} {request}"
                raise

    async def close(self) -> None:
        """Close the link; the next read opens it again."""
        async with self._turn:
            self.link.close()

    # -- one exchange

    async def _exchange(self, request: ReadRequest, timeout_s: float) -> tuple[int, ...]:
        await self._make_ready(timeout_s)
        self._transaction = self._transaction % 0xFFFF + 1
        request = replace(request, transaction=self._transaction)
        self._last = (request, timeout_s)
        self.counters.requests += 1
        in_step = False
        try:
            registers = await self._send_and_receive(request, timeout_s)
            in_step = True
        except DeviceError as error:
            self._count(error)
            # A refusal in due form is an answer, unless it may be the answer to an older request.
            in_step = error.fault is Fault.EXCEPTION and not self._is_owed(request.unit)
            raise
        finally:
            # Also on cancellation: whoever gave up waiting leaves a reply on its way.
            self._quiet_from = time.monotonic() + self._gap_s
            if not in_step:
                self._distrust(request, timeout_s)
        self.counters.replies += 1
        # Units answer in order: nothing older can follow this reply, only a copy of itself.
        self._expected.pop(request.unit, None)
        self._expect(request, timeout_s, believed=True)
        return registers

    async def _send_and_receive(self, request: ReadRequest, timeout_s: float) -> tuple[int, ...]:
        received = bytearray()
        try:
            async with asyncio.timeout(timeout_s + self._framing.airtime_s(request)):
                self.link.write(self._framing.encode(request))
                while True:
                    received += await self.link.receive()
                    registers = self._framing.check(request, bytes(received))
                    if registers is not None:
                        return registers
        except TimeoutError as error:
            what = f"only {len(received)} bytes of a reply" if received else "no reply"
            raise TransientDeviceError(
                f"{what} within {timeout_s:g} s", fault=Fault.TIMEOUT
            ) from error

    async def _make_ready(self, timeout_s: float) -> None:
        """Open the link if need be, and wait until the line is silent and empty."""
        link = self.link
        if link.is_open and link.reopens_after_fault and link.take():
            self.counters.faults[Fault.STRAY] += 1
            link.close()
        if not link.is_open:
            await self._open(timeout_s)
        patience = max(time.monotonic(), self._quiet_from) + timeout_s
        stray = False
        while True:
            if (wait_s := self._quiet_from - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            if link.reopens_after_fault or not link.take():
                return
            if not stray:
                stray = True
                self.counters.faults[Fault.STRAY] += 1
            self._stray_arrived()
            if time.monotonic() >= patience:
                raise TransientDeviceError(
                    "the line is never silent; is there a second master on it?", fault=Fault.STRAY
                )

    async def _open(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self.link.open()
        except TimeoutError as error:
            self.counters.faults[Fault.TIMEOUT] += 1
            self.link.close()
            raise TransientDeviceError(
                f"cannot connect within {timeout_s:g} s", fault=Fault.TIMEOUT
            ) from error
        except DeviceError as error:
            self._count(error)
            raise
        self.counters.opened += 1

    # -- getting back into step

    def _stray_arrived(self) -> None:
        """Bytes came between two exchanges: perhaps a doubled reply, and more may follow."""
        self._quiet_from = max(self._quiet_from, time.monotonic() + max(self._gap_s, 0.001))
        if self._last is not None:
            request, timeout_s = self._last
            self._expect(request, timeout_s)

    def _distrust(self, request: ReadRequest, timeout_s: float) -> None:
        if self.link.reopens_after_fault or not self.link.is_open:
            self.link.close()
        if not self.link.reopens_after_fault:
            self._quiet_from = max(self._quiet_from, time.monotonic() + timeout_s)
            self._expect(request, timeout_s)

    def _expect(self, request: ReadRequest, timeout_s: float, *, believed: bool = False) -> None:
        if self.link.reopens_after_fault:
            return
        until = time.monotonic() + _LATEST_REPLY * timeout_s
        expected = _Expected(until, request if believed else None)
        self._expected.setdefault(request.unit, {})[request.count] = expected

    def _needs_fence(self, request: ReadRequest) -> bool:
        now = time.monotonic()
        expected = self._expected.get(request.unit, {})
        for length in [length for length, reply in expected.items() if reply.until <= now]:
            del expected[length]
        reply = expected.get(request.count)
        if reply is None:
            return False
        # While all is well, a copy of the previous answer to the same question does no harm.
        asked = reply.copy_of
        harmless = asked is not None and (asked.function, asked.address) == (
            request.function,
            request.address,
        )
        return not harmless or len(expected) > 1

    def _is_owed(self, unit: int) -> bool:
        return any(reply.copy_of is None for reply in self._expected.get(unit, {}).values())

    async def _fence(self, request: ReadRequest, timeout_s: float) -> None:
        """Read a length that cannot come otherwise; returns once the unit is back in step."""
        expected = self._expected[request.unit]
        # Even lengths first: meters with 32-bit values refuse to give half of one.
        lengths = (*range(2, MAX_REGISTERS, 2), *range(1, MAX_REGISTERS, 2))
        count = next((length for length in lengths if length not in expected), MAX_REGISTERS)
        self.counters.fences += 1
        fence = replace(request, count=count, address=min(request.address, 65_536 - count))
        try:
            await self._exchange(fence, timeout_s)
        except DeviceError as error:
            if error.fault is Fault.LINK:
                raise
            raise TransientDeviceError(
                f"not yet in step again after a fault ({error.reason})",
                fault=error.fault,
                exception_code=error.exception_code,
            ) from error

    def _count(self, error: DeviceError) -> None:
        if error.fault is not None:
            self.counters.faults[error.fault] += 1
