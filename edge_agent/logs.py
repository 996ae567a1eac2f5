"""What goes to the log of a program, and in which form.

Started by systemd, lines go to journald in its native protocol, each with its priority, place and
fields, so that `journalctl SOLAR_DEVICE=meter -p warning` finds them. Anywhere else they are lines
of text on standard error. Logging never raises and never waits: what journald does not take at once
is counted and told with the next line it takes. How often something is logged is the caller's rule.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import socket
import struct
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from types import TracebackType
from typing import Final

JOURNAL_SOCKET: Final = "/run/systemd/journal/socket"
IDENTIFIER: Final = "solar-edge"
_STDERR: Final = 2
_LONGEST_VALUE: Final = 16_384
"""Characters of one field. A datagram holds ten times as much."""
_LONGEST_VALUE_IF_REFUSED: Final = 1_000
_MOST_FIELDS: Final = 16
"""Of one line, beside those that every line has."""
_NO_ROOM: Final = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM})

_PRIORITIES: Final = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
_DEBUG: Final = 7
_OF_EVERY_RECORD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

_log = logging.getLogger(__name__)
_tags: ContextVar[Mapping[str, str] | None] = ContextVar("log_tags", default=None)


def set_up_log(verbose: bool) -> None:
    """Log to journald if it reads our standard error, else to standard error as text; details too
    if ``verbose``."""
    to_journal = stderr_is_journal()
    handler: logging.Handler = JournalHandler() if to_journal else logging.StreamHandler(sys.stderr)
    logging.basicConfig(
        handlers=[handler],
        level=logging.DEBUG if verbose else logging.INFO,
        # journald has time and level by itself.
        format="%(message)s" if to_journal else "%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    if to_journal:
        # One entry with a priority instead of a loose line for every line of a traceback.
        sys.excepthook = _log_uncaught
        threading.excepthook = lambda call: _log_uncaught(
            call.exc_type, call.exc_value, call.exc_traceback
        )


def tag_log(**fields: str) -> None:
    """Give these fields to every line that this task, and what it starts, logs from here on:
    ``tag_log(device="meter")`` becomes ``SOLAR_DEVICE=meter``."""
    _tags.set({**(_tags.get() or {}), **fields})


def stderr_is_journal(descriptor: int = _STDERR) -> bool:
    """Whether systemd connected ``descriptor`` to the journal, and nobody has redirected it since.

    See JOURNAL_STREAM in systemd.exec(5).
    """
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(descriptor)
        return (found.st_dev, found.st_ino) == (int(device), int(inode))
    except (ValueError, OSError):
        return False


class JournalHandler(logging.Handler):
    """Sends records to journald; to standard error with a priority in front when it is away."""

    def __init__(self, address: str = JOURNAL_SOCKET, stderr: int = _STDERR) -> None:
        super().__init__()
        self.dropped = 0
        """Lines that nobody took."""
        self._untold = 0
        self._address = address
        self._stderr = stderr
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        """Send, or count as dropped."""
        try:
            taken = self._send(record)
            if taken and self._untold and self._send(_notice(self._untold)):
                self._untold = 0
        except Exception:  # a log line must not end the loop that wrote it
            taken = False
        if not taken:
            self.dropped += 1
            self._untold += 1

    def close(self) -> None:
        self._socket.close()
        super().close()

    def _send(self, record: logging.LogRecord) -> bool:
        fields = dict(self._fields(record))
        try:
            return self._send_native(fields, _LONGEST_VALUE)
        except OSError as error:
            if error.errno in _NO_ROOM:
                return False  # standard error is read by the same journald
            return self._send_to_stderr(fields)

    def _send_native(self, fields: Mapping[str, str], longest: int) -> bool:
        try:
            self._socket.sendto(encode(fields, longest), self._address)
        except OSError as error:
            if error.errno != errno.EMSGSIZE or longest == _LONGEST_VALUE_IF_REFUSED:
                raise
            return self._send_native(fields, _LONGEST_VALUE_IF_REFUSED)
        return True

    def _send_to_stderr(self, fields: Mapping[str, str]) -> bool:
        """As sd-daemon(3) has it: ``<4>text``, for every line of the text."""
        prefix = f"<{fields['PRIORITY']}>"
        text = clip(f"{fields['LOGGER']}: {fields['MESSAGE']}", _LONGEST_VALUE)
        data = "".join(f"{prefix}{line}\n" for line in text.splitlines()).encode(errors="replace")
        try:
            with socket.socket(fileno=os.dup(self._stderr)) as stream:
                # For this call only: the stream is shared with whoever else writes to it.
                return stream.send(data, socket.MSG_DONTWAIT) == len(data)
        except OSError as error:
            if error.errno != errno.ENOTSOCK:
                return False
        return os.write(self._stderr, data) == len(data)

    def _fields(self, record: logging.LogRecord) -> Iterator[tuple[str, str]]:
        yield "MESSAGE", self._message(record)
        yield "PRIORITY", str(_priority(record.levelno))
        yield "SYSLOG_IDENTIFIER", IDENTIFIER
        yield "LOGGER", record.name
        yield "CODE_FILE", record.pathname
        yield "CODE_LINE", str(record.lineno)
        yield "CODE_FUNC", record.funcName or ""
        yield "THREAD_NAME", record.threadName or ""
        if record.exc_info and record.exc_info[0] is not None:
            yield "EXCEPTION", f"{record.exc_info[0].__name__}: {record.exc_info[1]}"
        if loop := _name_of_task():
            yield "SOLAR_LOOP", loop
        extras = {
            name: value
            for name, value in vars(record).items()
            if name not in _OF_EVERY_RECORD and isinstance(value, str | int | float)
        }
        for name, value in list({**(_tags.get() or {}), **extras}.items())[:_MOST_FIELDS]:
            yield "SOLAR_" + re.sub("[^A-Z0-9_]", "_", name.upper())[:50], str(value)

    def _message(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)  # with the traceback, which journalctl would not show else
        except Exception as error:
            place = f"{record.pathname}:{record.lineno}"
            return f"a line of the log cannot be put together at {place}: {error}"


def encode(fields: Mapping[str, str], longest: int = _LONGEST_VALUE) -> bytes:
    """The native protocol's form (systemd.io/JOURNAL_NATIVE_PROTOCOL), long values clipped."""
    parts: list[bytes] = []
    for name, text in fields.items():
        value = clip(text, longest).encode(errors="replace")
        if b"\n" in value:
            parts += [name.encode(), b"\n", struct.pack("<Q", len(value)), value, b"\n"]
        else:
            parts += [name.encode(), b"=", value, b"\n"]
    return b"".join(parts)


def clip(text: str, longest: int) -> str:
    """``text`` without its middle if it is too long: both ends of a traceback tell something."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"


def _notice(lost: int) -> logging.LogRecord:
    text = "%d lines of the log are lost: journald did not take them"
    return _log.makeRecord(_log.name, logging.WARNING, __file__, 0, text, (lost,), None)


def _priority(level: int) -> int:
    return next((priority for least, priority in _PRIORITIES if level >= least), _DEBUG)


def _name_of_task() -> str:
    with suppress(RuntimeError):  # no loop runs in this thread
        task = asyncio.current_task()
        if task is not None and not task.get_name().startswith("Task-"):
            return task.get_name()
    return ""


def _log_uncaught(
    kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None
) -> None:
    if not issubclass(kind, KeyboardInterrupt | SystemExit):
        _log.critical("ended by an error", exc_info=(kind, error or kind(), traceback))
