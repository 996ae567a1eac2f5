"""Bytes from a P1 port to telegrams, each whole and proved, or refused with a reason. Pure.

A telegram reaches from ``/`` to ``!``; neither may stand inside (IEC 62056-21), so a second ``/``
before the ``!`` means that the first telegram was cut. Behind ``!`` stands the CRC of all from
``/`` to ``!`` (DSMR 4 and later, and everything made after it), or nothing (older ones, EasyMeter).
A telegram is not whole before the line of ``!`` has ended: without its line end a missing CRC
cannot be told from one that has not come yet. Bytes between two telegrams are noise.

A CRC that is there must hold. Without one a telegram is believed only if

- nothing says that this meter sends one: its version, or a CRC that it has sent before;
- its identification, the empty line and every other line are in due form, in 7-bit characters;
- it has the same lines as the meter's last one (a loss may join the halves of two lines to a
  third that looks right).

Old meters send 7 data bits with even parity. Read with 8 data bits, the parity arrives as bit 7
and is checked here for every character; a port set to 7E1 throws it away unchecked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import Fault
from .crc import crc16, without_even_parity
from .lines import Code, DataLine, parse_lines

LONGEST = 16 * 1024
"""Bytes. Luxembourg's telegram may hold five messages of 1024 characters, two digits each; all the
rest together stays below 5 KiB."""

_START = re.compile(rb"[/\xaf]")  # 0xAF: "/" with its parity bit
_SLASH_WITH_PARITY = 0xAF
_END_LINE = re.compile(rb"!([0-9A-F]{0,4})\r?\n")
_LONGEST_END_LINE = 7
_IDENTIFICATION = re.compile(r"/[A-Za-z]{3}[0-9A-I][ -~]{0,64}")
_VERSION = Code(1, 3, 0, 2, 8)
_FLUVIUS_VERSION = Code(0, 0, 96, 1, 4)


@dataclass(frozen=True)
class Telegram:
    """What a meter said at one moment."""

    identification: str
    """First line, without ``/``."""
    lines: tuple[DataLine, ...]
    unread: tuple[str, ...]
    """Lines in no known form; only where a CRC proves that the meter means them."""
    has_crc: bool

    @property
    def codes(self) -> frozenset[Code]:
        return frozenset(line.code for line in self.lines)


@dataclass(frozen=True)
class RefusedTelegram:
    """Bytes that began like a telegram and are not believed."""

    text: str
    """Its beginning, for people."""
    reason: str
    fault: Fault


class TelegramBuffer:
    """Takes bytes as they come and gives telegrams; remembers little. Not thread-safe."""

    def __init__(self) -> None:
        self.skipped = 0
        """Bytes that belonged to no telegram."""
        self._pending = bytearray()
        self._has_crc = ""  # identification of the last meter that sent a CRC
        self._layout: tuple[str, frozenset[Code]] = ("", frozenset())  # of the last without CRC

    @property
    def is_inside(self) -> bool:
        """Whether the beginning of a telegram waits for its end."""
        return bool(self._pending)

    def feed(self, data: bytes) -> list[Telegram | RefusedTelegram]:
        """Take ``data``; the telegrams that have become whole, or were refused, in order."""
        self._pending += data
        outcomes: list[Telegram | RefusedTelegram] = []
        while (outcome := self._next()) is not None:
            outcomes.append(outcome)
        return outcomes

    def end(self) -> list[Telegram | RefusedTelegram]:
        """Nothing more comes, as at the end of a file: what waits is whole now, or cut."""
        outcomes = self.feed(b"\n") if b"!" in self._pending else []
        return outcomes + self.reset()

    def reset(self) -> list[Telegram | RefusedTelegram]:
        """What comes next does not follow what came last: forget a telegram that waits."""
        if not self._pending:
            return []
        return [self._refuse(len(self._pending), "cut: the rest of it did not come")]

    def _next(self) -> Telegram | RefusedTelegram | None:
        pending = self._pending
        start = _START.search(pending)
        self._skip(start.start() if start else len(pending))
        if start is None:
            return None
        following = _START.search(pending, 1)
        next_start = following.start() if following else len(pending)
        end = pending.find(b"!", 1, next_start)
        if min(end if end >= 0 else next_start, len(pending)) > LONGEST:
            return self._refuse(next_start, f"longer than {LONGEST} bytes")
        if end < 0:
            if following is None:
                return None
            return self._refuse(next_start, "cut: another telegram began before it had ended")
        line_end = pending.find(b"\n", end, min(next_start, end + _LONGEST_END_LINE))
        if line_end >= 0:
            return self._judge(end, line_end + 1)
        if next_start - end >= _LONGEST_END_LINE:
            return self._refuse(end + 1, "damaged: more than a checksum stands behind its '!'")
        if following is None:
            return None
        return self._refuse(next_start, "cut within its last line")

    def _judge(self, end: int, stop: int) -> Telegram | RefusedTelegram:
        """The telegram in the first ``stop`` bytes, whose ``!`` is at ``end``."""
        raw = bytes(self._pending[:stop])
        if raw[0] == _SLASH_WITH_PARITY:
            plain = without_even_parity(raw)
            if plain is None:
                return self._refuse(stop, "damaged: the parity of a character is wrong")
            raw = plain
        end_line = _END_LINE.fullmatch(raw, end)
        if end_line is None:
            return self._refuse(stop, "damaged: no checksum stands behind its '!'")
        telegram = _parse(raw[:end], has_crc=bool(end_line[1]))
        if end_line[1]:
            sent, possible = end_line[1].decode(), _checksums(raw[: end + 1])
            if int(sent, 16) not in possible:  # some meters leave out leading zeros
                reason = f"damaged: its checksum is {sent}, that of its bytes {possible[0]:04X}"
                return self._refuse(stop, reason, Fault.CRC)
            self._has_crc = telegram.identification
        else:
            doubt = self._doubt(raw[:end], telegram)
            if doubt:
                return self._refuse(stop, doubt)
        del self._pending[:stop]
        return telegram

    def _doubt(self, raw: bytes, telegram: Telegram) -> str:
        """Why a telegram without a CRC is not believed; empty if it is."""
        if _must_have_crc(telegram) or telegram.identification == self._has_crc:
            return "has no checksum, but this meter sends one"
        if not raw.isascii():
            return "has characters of 8 bits (other line settings?), and no checksum"
        head = _texts(raw)[:2]
        if not _IDENTIFICATION.fullmatch(head[0]) or len(head) < 2 or head[1]:
            return "does not begin as a telegram does, and has no checksum"
        if telegram.unread:
            return f"has a damaged line ({telegram.unread[0][:60]!r}), and no checksum"
        if not telegram.lines:
            return "says nothing, and has no checksum"
        before, codes = self._layout, telegram.codes
        self._layout = (telegram.identification, codes)
        differing = before[1] ^ codes
        if before[0] == telegram.identification and differing:
            some = ", ".join(sorted(map(str, differing))[:3])
            return f"has other lines than the last one ({some}), and no checksum"
        return ""

    def _skip(self, count: int) -> None:
        self.skipped += count
        del self._pending[:count]

    def _refuse(self, count: int, reason: str, fault: Fault = Fault.MALFORMED) -> RefusedTelegram:
        """Refuse the first ``count`` bytes."""
        text = bytes(self._pending[: min(count, 80)]).decode("latin-1").split("\n", 1)[0].strip()
        del self._pending[:count]
        return RefusedTelegram(text, reason, fault)


def _parse(raw: bytes, *, has_crc: bool) -> Telegram:
    first, *texts = _texts(raw)
    lines = parse_lines(texts)
    return Telegram(first[1:], lines.data, lines.unread, has_crc)


def _texts(raw: bytes) -> list[str]:
    # latin-1 keeps every byte: nothing that the CRC has proved may fail to be text.
    return raw.decode("latin-1").replace("\r\n", "\n").split("\n")


def _checksums(raw: bytes) -> tuple[int, ...]:
    """What the checksum may be: meters end lines with CR LF, but some bridges drop the CR."""
    if b"\r" in raw:
        return (crc16(raw),)
    return crc16(raw), crc16(raw.replace(b"\n", b"\r\n"))


def _must_have_crc(telegram: Telegram) -> bool:
    """Both lines exist only in standards that have a checksum."""
    return bool({_VERSION, _FLUVIUS_VERSION} & telegram.codes)
