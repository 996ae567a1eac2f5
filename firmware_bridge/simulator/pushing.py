"""Simulated devices that push by themselves: smart meters and sensor nodes, once a second or so."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress

from models.contract.clock import Clock

from .clients import serve_clients
from .faults import FaultKind, Faults
from .node import build_node_frame
from .p1 import build_telegram

Values = Callable[[], Mapping[str, float]]
PERIOD_S = 1.0
"""Real seconds between two pieces; DSMR 5 sends every second."""


def telegram_pieces(values: Values, clock: Clock) -> Iterator[bytes]:
    """Telegrams of a DSMR 5 meter, one after another."""
    while True:
        yield build_telegram(values(), clock.now())


def node_pieces(values: Values, clock: Clock) -> Iterator[bytes]:
    """Frames of a sensor node, one after another."""
    started = clock.now()
    sequence = 0
    while True:
        uptime_s = max(0, clock.now() - started) // 1000
        yield build_node_frame(values(), sequence, uptime_s)
        sequence = (sequence + 1) & 0xFFFF


class Pusher:
    """Sends the pieces of ``make()`` to whoever listens."""

    def __init__(
        self, make: Callable[[], Iterator[bytes]], faults: Faults, period_s: float = PERIOD_S
    ) -> None:
        self._make, self._faults, self._period_s = make, faults, period_s

    @asynccontextmanager
    async def serve_tcp(self, host: str, port: int) -> AsyncIterator[int]:
        """Listen while the block runs; gives the port. Every client gets everything."""

        async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async for piece in self._pieces():
                writer.write(piece)
                await writer.drain()

        async with serve_clients(host, port, handle) as bound:
            yield bound

    @asynccontextmanager
    async def serve_serial(self, descriptor: int) -> AsyncIterator[None]:
        """Send on an open serial port or pseudo terminal while the block runs."""
        os.set_blocking(descriptor, False)

        async def push() -> None:
            async for piece in self._pieces():
                with suppress(BlockingIOError):  # nobody reads at the other end
                    os.write(descriptor, piece)

        task = asyncio.create_task(push())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _pieces(self) -> AsyncIterator[bytes]:
        for piece in self._make():
            fault = self._faults.take(0)
            if fault is None:
                yield piece
            elif fault.kind is FaultKind.CUT:
                yield piece[: self._faults.random.randrange(1, len(piece))]
            elif fault.kind in (FaultKind.DAMAGED, FaultKind.GARBLED):
                spoilt = bytearray(piece)
                spoilt[self._faults.random.randrange(len(piece))] ^= 0x10
                yield bytes(spoilt)
            elif fault.kind is not FaultKind.SILENT:
                yield piece
            await asyncio.sleep(self._period_s)
