"""UDP to a dongle as a ``ByteLink``: every request leaves from a port of its own.

The replies of a dongle name neither request nor register. So a datagram is only ever taken for the
answer to the one request that was sent from the port it arrives at: late answers and copies of
older ones reach a closed port. The socket is connected: the kernel drops what comes from any other
address. ``receive`` hands over one datagram at a time. Knows no frames and no deadlines.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Any

from ..errors import Fault, TransientDeviceError

DONGLE_PORT = 8899
_LONGEST_DATAGRAM = 2048  # the longest frame has 264 bytes; what is longer is no frame
_INBOX_LIMIT = 32  # datagrams
_RESTED_PORTS = 256
"""So many ports ago a port may be used again: nothing sent to it then is still on its way."""
_ATTEMPTS = 16


class UdpLink:
    """See ``ByteLink``."""

    cuts_late_replies = True

    def __init__(self, host: str, port: int = DONGLE_PORT) -> None:
        self.name = f"{host}:{port}"
        self._host, self._port = host, port
        self._peer: tuple[Any, Any] | None = None  # address family and address
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = False  # whether a request has left from this socket
        self._inbox: deque[bytes] = deque()
        self._lost: str | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._used_ports: deque[int] = deque(maxlen=_RESTED_PORTS)

    @property
    def is_open(self) -> bool:
        return self._socket is not None and self._lost is None

    async def open(self) -> None:
        """Find the address; nothing is sent yet. Raises ``TransientDeviceError``."""
        self.close()
        self._loop = asyncio.get_running_loop()
        try:
            found = await self._loop.getaddrinfo(
                self._host, self._port, type=socket.SOCK_DGRAM, proto=socket.IPPROTO_UDP
            )
            self._peer = found[0][0], found[0][4]
            self._renew()
        except (OSError, UnicodeError, IndexError) as error:
            raise TransientDeviceError(f"cannot reach: {error}", fault=Fault.LINK) from error

    def write(self, data: bytes) -> None:
        """Send ``data`` as one datagram, from a port that no older answer is meant for."""
        if self._socket is None or self._lost is not None:
            raise TransientDeviceError(self._lost or "link is closed", fault=Fault.LINK)
        try:
            if self._asked:
                self._renew()
            self._asked = True
            self._socket.send(data)
        except OSError as error:
            self._lose(error)
            raise TransientDeviceError(f"cannot send: {error}", fault=Fault.LINK) from error

    async def receive(self) -> bytes:
        """The next datagram. Raises ``TransientDeviceError`` when the other end is not there."""
        while not self._inbox:
            if self._lost is not None:
                raise TransientDeviceError(self._lost, fault=Fault.LINK)
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._inbox.popleft()

    def take(self) -> bytes:
        """All that has arrived and not been received, to be thrown away."""
        if self._socket is not None and self._lost is None:
            self._read()  # the kernel may hold datagrams that the loop has not seen yet
        taken = b"".join(self._inbox)
        self._inbox.clear()
        return taken

    def close(self) -> None:
        if self._socket is not None:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
        self._socket = None
        self._inbox.clear()
        self._lost = None
        self._asked = False

    def _renew(self) -> None:
        """Take a fresh port in place of the one in use, if any. Raises ``OSError``."""
        self.close()
        fresh = self._fresh_socket()
        self._socket = fresh
        assert self._loop is not None
        self._loop.add_reader(fresh.fileno(), self._on_readable)

    def _fresh_socket(self) -> socket.socket:
        assert self._peer is not None
        family, address = self._peer
        passed_over: list[socket.socket] = []
        try:
            for _ in range(_ATTEMPTS):
                candidate = socket.socket(family, socket.SOCK_DGRAM)
                passed_over.append(candidate)
                candidate.setblocking(False)
                candidate.connect(address)
                port = candidate.getsockname()[1]
                if port not in self._used_ports:
                    self._used_ports.append(port)
                    passed_over.remove(candidate)
                    return candidate
            raise OSError("no port that was not in use a moment ago")
        finally:
            for candidate in passed_over:
                candidate.close()

    def _on_readable(self) -> None:
        self._read()
        something = bool(self._inbox) or self._lost is not None
        if something and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _read(self) -> None:
        """Move what the kernel holds into the inbox."""
        assert self._socket is not None
        while True:
            try:
                datagram = self._socket.recv(_LONGEST_DATAGRAM)
            except BlockingIOError:
                return
            except OSError as error:
                self._lose(error)
                return
            # What goes past the limit is dropped: so many datagrams answer no request.
            if datagram and len(self._inbox) < _INBOX_LIMIT:
                self._inbox.append(datagram)

    def _lose(self, error: OSError) -> None:
        self._lost = f"nobody answers there: {error}; is the dongle on, and the address right?"
        if self._socket is not None and self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
