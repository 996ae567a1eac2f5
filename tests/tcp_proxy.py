"""A TCP line that can be made bad: between two real programs on this machine, without netem.

Listens on a loopback port, carries bytes to another one, and spoils that on command: latency with
jitter, little bandwidth, a stall, a half-open line that swallows what is sent, resets, closed
connections, a cut in the middle of a packet, nobody listening. What TCP does of itself it leaves to
TCP: a stalled line pushes back on its sender, order is kept, no byte is changed.

    with TcpProxy(broker.port) as line:
        ...  # clients connect to line.port
        line.swallow("up")
        line.heal()

Its loop runs in a thread of its own, so the commands may come from any thread that may block.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from central.broker import HOST, free_port

Direction = Literal["up", "down"]
"""Up is from the client to the server."""
CHUNK_BYTES = 4_096
_CHUNKS_UNDER_WAY = 64
_SLICE_S = 0.02
_ANSWER_S = 10.0
_CONNECT_S = 5.0
T = TypeVar("T")


class TcpProxy:
    """The line. Everything that is not a command happens in its own thread."""

    def __init__(self, server_port: int, *, seed: int = 0) -> None:
        """``seed``: of the jitter."""
        self._server_port, self._dice = server_port, random.Random(seed)
        self.port = free_port()
        """Where clients connect."""
        self.connections = self.bytes_carried = self.bytes_swallowed = 0
        self._delay_s = self._jitter_s = 0.0
        self._bytes_per_s: float | None = None
        self._swallowing: frozenset[Direction] = frozenset()
        self._cut: tuple[Direction, int] | None = None
        self._pairs: set[_Pair] = set()
        self._listener: asyncio.Server | None = None
        self._kept_port: socket.socket | None = None
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._wait(self._listen())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every connection and stop listening."""
        self._wait(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- commands --------------------------------------------------------------------------------

    def delay(self, seconds: float, jitter_s: float = 0.0) -> None:
        """From now on bytes take this long, each way, and up to ``jitter_s`` more."""
        self._delay_s, self._jitter_s = seconds, jitter_s

    def narrow(self, bytes_per_s: float | None) -> None:
        """From now on each direction of a connection carries so much; None: no limit."""
        self._bytes_per_s = bytes_per_s

    def stall(self, *, on: bool = True) -> None:
        """Nothing moves, nothing is lost: what a radio does that sends the same packet again."""
        self._do(self._flowing.clear if on else self._flowing.set)

    def swallow(self, *directions: Direction) -> None:
        """Half-open: what is sent this way is taken and never arrives, not even a goodbye.

        A connection that has lost something cannot work again: it stays dead until somebody gives
        it up, or :meth:`heal` resets it. No direction: new bytes pass again, dead stays dead.
        """
        self._swallowing = frozenset(directions)

    def cut_after(self, count: int, direction: Direction) -> None:
        """The connection that carries the next byte number ``count`` this way ends right there."""
        self._cut = (direction, count)

    def drop(self) -> None:
        """Close every connection, politely (FIN)."""
        self._do(lambda: self._end_all(reset=False))

    def reset(self) -> None:
        """Reset every connection (RST): what is under way is lost at once."""
        self._do(lambda: self._end_all(reset=True))

    def reset_dead(self) -> None:
        """Reset the connections that have lost something, as a router does that forgot them."""
        self._do(lambda: self._end_all(reset=True, only_dead=True))

    def refuse(self, *, on: bool = True) -> None:
        """Nobody listens; open connections go on."""
        self._wait(self._refuse() if on else self._listen())

    def heal(self, *, reset_dead: bool = True) -> None:
        """A good line again. Without ``reset_dead`` the two ends of half-open connections have to
        find out by themselves."""
        self._delay_s = self._jitter_s = 0.0
        self._bytes_per_s, self._swallowing, self._cut = None, frozenset(), None
        self._do(self._flowing.set)
        if reset_dead:
            self.reset_dead()
        self._wait(self._listen())

    # --- in the loop -----------------------------------------------------------------------------

    def _do(self, action: Callable[[], object]) -> None:
        async def act() -> None:
            action()

        self._wait(act())

    def _wait(self, action: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(action, self._loop).result(_ANSWER_S)

    async def _listen(self) -> None:
        if self._listener is not None:
            return
        if self._kept_port is not None:
            self._kept_port.close()
            self._kept_port = None
        self._listener = await asyncio.start_server(self._accepted, HOST, self.port)

    async def _refuse(self) -> None:
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        # Bound and not listening: refused, and nobody else can take the port meanwhile.
        self._kept_port = socket.socket()
        self._kept_port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._kept_port.bind((HOST, self.port))

    async def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        if self._kept_port is not None:
            self._kept_port.close()
        self._end_all(reset=True)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _end_all(self, *, reset: bool, only_dead: bool = False) -> None:
        for pair in list(self._pairs):
            if pair.dead or not only_dead:
                pair.end(reset=reset)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        client = _End(reader, writer)
        try:
            async with asyncio.timeout(_CONNECT_S):
                server = _End(*await asyncio.open_connection(HOST, self._server_port))
        except (OSError, TimeoutError):
            client.close(reset=True)
            return
        pair = _Pair(client, server)
        self._pairs.add(pair)
        ways = (self._carry(pair, "up", client, server), self._carry(pair, "down", server, client))
        try:
            pair.ways = [asyncio.create_task(way) for way in ways]
            await asyncio.wait(pair.ways)
        finally:
            self._pairs.discard(pair)
            pair.end(reset=pair.broken)

    async def _carry(self, pair: _Pair, way: Direction, source: _End, target: _End) -> None:
        """Carry bytes one way until they end; an error ends the connection."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_UNDER_WAY)
        giving = asyncio.create_task(self._give(pair, way, under_way, target))
        try:
            while True:
                await self._flowing.wait()
                data = await source.reader.read(CHUNK_BYTES)
                if way in self._swallowing or way in pair.lost:
                    pair.lost.add(way)
                    self.bytes_swallowed += len(data)
                elif not giving.done():
                    due = self._loop.time() + self._delay_s
                    due += self._dice.uniform(0.0, self._jitter_s)
                    await under_way.put((due, data))
                if not data:
                    break
            if not pair.dead:
                await giving
        except OSError:
            pair.broken = True
            pair.end(reset=True)
        finally:
            giving.cancel()

    async def _give(
        self, pair: _Pair, way: Direction, under_way: asyncio.Queue[tuple[float, bytes]], to: _End
    ) -> None:
        try:
            while True:
                due, data = await under_way.get()
                await asyncio.sleep(due - self._loop.time())
                await self._flowing.wait()
                if not data:
                    to.writer.write_eof()
                    return
                if self._cut is not None and self._cut[0] == way:
                    left = self._cut[1] - len(data)
                    if left <= 0:
                        self._cut = None
                        to.writer.write(data[:left] if left else data)
                        pair.end(reset=False)
                        return
                    self._cut = (way, left)
                to.writer.write(data)
                self.bytes_carried += len(data)
                await to.writer.drain()
                debt = float(len(data))
                while debt > 0 and self._bytes_per_s is not None:
                    await asyncio.sleep(min(_SLICE_S, debt / self._bytes_per_s))
                    debt -= _SLICE_S * (self._bytes_per_s or debt)
        except OSError:
            pair.broken = True
            pair.end(reset=True)


class _End:
    """One side of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def close(self, *, reset: bool) -> None:
        if reset:
            endpoint = self.writer.get_extra_info("socket")
            if endpoint is not None and endpoint.fileno() >= 0:
                linger = struct.pack("ii", 1, 0)  # on close: RST, and forget what was not sent
                endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.writer.transport.abort()
        else:
            self.writer.close()


class _Pair:
    """A client's connection and its continuation to the server."""

    def __init__(self, client: _End, server: _End) -> None:
        self.client, self.server = client, server
        self.lost: set[Direction] = set()
        self.broken = False
        self.ways: list[asyncio.Task[None]] = []

    @property
    def dead(self) -> bool:
        """Whether something was swallowed, so that it can never work again."""
        return bool(self.lost)

    def end(self, *, reset: bool) -> None:
        for task in self.ways:
            task.cancel()
        self.client.close(reset=reset)
        self.server.close(reset=reset)
