"""Byte pipes under a bus: a TCP connection and a serial port, both on the asyncio loop.

A link opens, writes, hands over what has arrived, and says when it is lost. It knows no frames and
no deadlines; the bus owns those. Memory is bounded: a peer that never stops talking fills one small
inbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import termios
from typing import Literal, Protocol

import serial

from ..errors import DeviceError, Fault, PermanentDeviceError, TransientDeviceError

Parity = Literal["N", "E", "O"]

_INBOX_LIMIT = 4096  # bytes; the longest frame has 260
_READ_SIZE = 1024


class ByteLink(Protocol):
    """What a bus needs of a pipe of bytes."""

    @property
    def name(self) -> str:
        """How a person calls this link."""
        ...

    @property
    def cuts_late_replies(self) -> bool:
        """Whether a fresh link cuts off late replies. A connection does, a shared wire does not."""
        ...

    @property
    def is_open(self) -> bool: ...

    async def open(self) -> None:
        """Open, with an empty inbox. Raises ``DeviceError``; the caller sets the deadline."""
        ...

    def write(self, data: bytes) -> None:
        """Send ``data``. Raises ``TransientDeviceError`` when the link is lost."""
        ...

    async def receive(self) -> bytes:
        """Wait for bytes (at least one). Raises ``TransientDeviceError`` when the link is lost."""
        ...

    def take(self) -> bytes:
        """What has arrived until now, without waiting."""
        ...

    def close(self) -> None:
        """Close at once; may be called at any time."""
        ...


class Inbox:
    """Bytes that have arrived and not been taken yet, and whether more can come."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._lost: str | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_lost(self) -> bool:
        return self._lost is not None

    def feed(self, data: bytes) -> None:
        # What goes past the limit is dropped: no such stream is a reply, and it will be refused.
        self._data += data[: max(0, _INBOX_LIMIT - len(self._data))]
        self._wake()

    def lose(self, reason: str) -> None:
        if self._lost is None:
            self._lost = reason
        self._wake()

    def take(self) -> bytes:
        data = bytes(self._data)
        self._data.clear()
        return data

    async def receive(self) -> bytes:
        while not self._data:
            if self._lost is not None:
                raise TransientDeviceError(self._lost, fault=Fault.LINK)
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.take()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _TcpReceiver(asyncio.Protocol):
    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def data_received(self, data: bytes) -> None:
        self._inbox.feed(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._inbox.lose(f"connection lost ({error})" if error else "device closed the connection")


class TcpLink:
    """A TCP connection.

    To the device itself, opening it anew cuts off late replies. Behind a serial device server
    (``cuts_late_replies=False``) it does not: the late reply waits on the wire behind it.
    """

    def __init__(self, host: str, port: int, *, cuts_late_replies: bool = True) -> None:
        self.name = f"{host}:{port}"
        self.cuts_late_replies = cuts_late_replies
        self._host, self._port = host, port
        self._transport: asyncio.Transport | None = None
        self._inbox = Inbox()

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._inbox.is_lost

    async def open(self) -> None:
        self.close()
        self._inbox = inbox = Inbox()
        try:
            self._transport, _ = await asyncio.get_running_loop().create_connection(
                lambda: _TcpReceiver(inbox), self._host, self._port
            )
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that IDNA refuses
            raise TransientDeviceError(f"cannot connect: {error}", fault=Fault.LINK) from error

    def write(self, data: bytes) -> None:
        if self._transport is None or self._inbox.is_lost:
            raise TransientDeviceError("device closed the connection", fault=Fault.LINK)
        self._transport.write(data)

    async def receive(self) -> bytes:
        return await self._inbox.receive()

    def take(self) -> bytes:
        return self._inbox.take()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None


class SerialLink:
    """A serial port by path, opened by pyserial, read and written on the loop."""

    cuts_late_replies = False

    def __init__(
        self,
        path: str,
        baud_rate: int,
        parity: Parity = "N",
        stop_bits: int = 1,
        data_bits: int = 8,
    ) -> None:
        self.name = path
        self._baud_rate, self._parity = baud_rate, parity
        self._data_bits, self._stop_bits = data_bits, stop_bits
        self._serial: serial.Serial | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._inbox = Inbox()

    @property
    def is_open(self) -> bool:
        return self._serial is not None and not self._inbox.is_lost

    async def open(self) -> None:
        self.close()
        self._inbox = Inbox()
        try:
            self._serial = serial.Serial(
                port=self.name,
                baudrate=self._baud_rate,
                parity=self._parity,
                bytesize=self._data_bits,
                stopbits=self._stop_bits,
                timeout=0,
                exclusive=True,  # a second program on the line would eat our replies
            )
        except (OSError, termios.error) as error:
            raise TransientDeviceError(
                f"cannot open serial port: {error}", fault=Fault.LINK
            ) from error
        except ValueError as error:
            raise PermanentDeviceError(f"serial settings refused: {error}") from error
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._serial.fileno(), self._on_readable)

    def write(self, data: bytes) -> None:
        if self._serial is None:
            raise TransientDeviceError("serial port is closed", fault=Fault.LINK)
        try:
            written = os.write(self._serial.fileno(), data)
        except OSError as error:
            self._lose(f"serial port lost: {error}")
            raise TransientDeviceError(f"serial port lost: {error}", fault=Fault.LINK) from error
        if written != len(data):
            raise _stuck(written, len(data))

    async def receive(self) -> bytes:
        return await self._inbox.receive()

    def take(self) -> bytes:
        if self._serial is not None and not self._inbox.is_lost:
            self._read()  # the kernel may hold bytes that the loop has not seen yet
        return self._inbox.take()

    def close(self) -> None:
        if self._serial is None:
            return
        self._stop_reading()
        # An unplugged port may fail to close; its descriptor is gone either way.
        with contextlib.suppress(OSError, termios.error):
            self._serial.close()
        self._serial = None

    def _on_readable(self) -> None:
        if self._read() or not self._has_events():
            return  # ``take`` may have been here between the event and this call
        if not self._read():
            # Readable without a byte: the other end is gone (unplugged, pseudo terminal closed).
            self._lose("serial port lost: hung up")

    def _has_events(self) -> bool:
        """Whether the port is readable or hung up at this moment."""
        if self._serial is None or self._inbox.is_lost:
            return False
        poll = select.poll()
        poll.register(self._serial.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _read(self) -> bool:
        """Move what the kernel holds into the inbox; False when it holds nothing."""
        assert self._serial is not None
        try:
            data = os.read(self._serial.fileno(), _READ_SIZE)
        except BlockingIOError:
            return False
        except OSError as error:
            self._lose(f"serial port lost: {error}")
            return True
        self._inbox.feed(data)
        return bool(data)

    def _lose(self, reason: str) -> None:
        self._stop_reading()
        self._inbox.lose(reason)

    def _stop_reading(self) -> None:
        if self._serial is not None and self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._serial.fileno())


def _stuck(written: int, size: int) -> DeviceError:
    return TransientDeviceError(
        f"serial port took {written} of {size} bytes; is its output blocked?", fault=Fault.LINK
    )
