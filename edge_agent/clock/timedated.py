"""What systemd-timedated says about the kernel's clock, for where the kernel may not be asked.

systemd's ``ProtectClock=yes`` refuses adjtimex(2) altogether. timedated judges as ``kernel_time``
does (maximum error below 16 s) and tells anybody, over D-Bus; systemd starts it when it is asked.
Four small messages on a local socket: a millisecond while it runs, a tenth of a second when it has
to be started; it ends by itself 30 s after the last question.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from pathlib import Path
from typing import Final

SYSTEM_BUS: Final = Path("/run/dbus/system_bus_socket")
_PATIENCE_S: Final = 1.0
_LONGEST_MESSAGE: Final = 65_536
_METHOD_CALL, _METHOD_RETURN, _ERROR = 1, 2, 3
_PATH, _INTERFACE, _MEMBER, _REPLY_TO, _DESTINATION, _SIGNATURE = 1, 2, 3, 5, 6, 8


def timedated_synchronised(bus: Path = SYSTEM_BUS) -> bool | None:
    """Whether timedated calls the clock synchronised; ``None`` if it does not say."""
    name, path = "org.freedesktop.timedate1", "/org/freedesktop/timedate1"
    return read_boolean(name, path, name, "NTPSynchronized", bus)


def read_boolean(
    name: str, path: str, interface: str, prop: str, bus: Path = SYSTEM_BUS
) -> bool | None:
    """A property of a service on the bus; ``None`` if it cannot be had."""
    dbus = "org.freedesktop.DBus"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(_PATIENCE_S)
            deadline = time.monotonic() + _PATIENCE_S
            sock.connect(str(bus))
            # EXTERNAL: who we are is what the kernel says of this socket.
            sock.sendall(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n")
            if not sock.recv(512).startswith(b"OK "):
                return None
            sock.sendall(b"BEGIN\r\n" + _call(1, dbus, "/org/freedesktop/DBus", dbus, "Hello"))
            sock.sendall(_call(2, name, path, f"{dbus}.Properties", "Get", interface, prop))
            return _read_answer(sock, 2, deadline)
    except (OSError, struct.error, ValueError, IndexError):
        return None


def _call(serial: int, to: str, path: str, interface: str, member: str, *arguments: str) -> bytes:
    body = b""
    for argument in arguments:
        body = _padded(body, 4) + _string(argument)
    fields = [(_PATH, "o", path), (_DESTINATION, "s", to)]
    fields += [(_INTERFACE, "s", interface), (_MEMBER, "s", member)]
    array = b""
    for code, kind, text in fields:
        array = _padded(array, 8) + bytes((code, 1, ord(kind), 0)) + _string(text)
    if arguments:
        signature = b"s" * len(arguments)
        array = _padded(array, 8) + bytes((_SIGNATURE, 1, ord("g"), 0, len(signature)))
        array += signature + b"\0"
    head = struct.pack("<cBBBIII", b"l", _METHOD_CALL, 0, 1, len(body), serial, len(array))
    return _padded(head + array, 8) + body


def _read_answer(sock: socket.socket, serial: int, deadline: float) -> bool | None:
    while time.monotonic() < deadline:
        head = _read(sock, 16)
        kind = head[1]
        length, _, array_length = struct.unpack("<III" if head[:1] == b"l" else ">III", head[4:])
        rest = _read(sock, array_length + -array_length % 8 + length)
        if head[:1] != b"l" or _reply_to(rest[:array_length]) != serial:
            continue  # the name that the bus gave us, and its signal
        body = rest[len(rest) - length :]
        # A variant that holds a boolean: its signature "b", then 32 bits at a multiple of four.
        if kind == _METHOD_RETURN and body[:3] == b"\x01b\0":
            return bool(struct.unpack_from("<I", body, 4)[0])
        return None
    return None


def _reply_to(array: bytes) -> int | None:
    """The header field with the serial number of the call; other fields are strings."""
    at = 0
    while at < len(array):
        at += -at % 8
        code, kind = array[at], array[at + 2 : at + 3]
        at += 4
        if kind == b"u":
            (number,) = struct.unpack_from("<I", array, at)
            if code == _REPLY_TO:
                return int(number)
            at += 4
        elif kind == b"g":
            at += 1 + array[at] + 1
        else:
            at += 4 + int(struct.unpack_from("<I", array, at)[0]) + 1
    return None


def _read(sock: socket.socket, count: int) -> bytes:
    if count > _LONGEST_MESSAGE:
        raise ValueError("a message that nobody asked for")
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise ConnectionError("the bus hung up")
        data += piece
    return data


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<I", len(data)) + data + b"\0"


def _padded(data: bytes, to: int) -> bytes:
    return data + bytes(-len(data) % to)
