"""Driver of smart meters with a P1 port, and the reading of files with their telegrams."""

from __future__ import annotations

import re

from ..errors import DeviceError, Fault
from ..flight import RECV, looks_like_recording, parse_recording
from ..modbus.links import ByteLink
from ..p1 import (
    RefusedTelegram,
    Telegram,
    TelegramBuffer,
    decode_telegram,
    identify_telegram,
)
from ..recorded import Refused
from ..settings import DeviceIdentity
from ..values import Decoded
from .listening import USUAL_TIMES, ListeningDriver, ListenTimes, Refusal

USUAL_TIMEOUT_S = 15.0
"""Meters before DSMR 5 send every 10 s, and a telegram takes a second at 9600 baud."""
_HDLC_FLAG, _ENCRYPTED = 0x7E, b"\xdb\x08"
_LINE_IN_SAMPLE = re.compile(rb"[0-9]-[0-9]:[0-9]{1,2}\.[0-9]")


class P1Driver(ListeningDriver[Telegram]):
    """See ``Driver``."""

    def __init__(
        self,
        name: str,
        link: ByteLink,
        *,
        timeout_s: float = USUAL_TIMEOUT_S,
        times: ListenTimes = USUAL_TIMES,
    ) -> None:
        super().__init__(name, link, timeout_s=timeout_s, times=times)
        self._buffer = TelegramBuffer()

    def _feed(self, data: bytes) -> list[Telegram | Refusal]:
        return [_checked(outcome) for outcome in self._buffer.feed(data)]

    def _cut(self) -> list[Telegram | Refusal]:
        return [_checked(outcome) for outcome in self._buffer.reset()]

    def _decode(self, heard: Telegram) -> Decoded:
        return decode_telegram(heard)

    def _identify(self, heard: Telegram) -> DeviceIdentity:
        return identify_telegram(heard, self.name)

    def _explain(self, sample: bytes) -> str:
        if not sample:
            return (
                "is the cable in the meter's P1 port, has its data request (pin 2) 5 V, and is "
                "the port switched on by the grid operator?"
            )
        if _LINE_IN_SAMPLE.search(sample):
            return "telegrams arrive, but damaged, cut, or too late; is the cable long or loose?"
        if _ENCRYPTED in sample:
            return "the meter encrypts (Luxembourg, Austria); that is not supported."
        if sample.count(_HDLC_FLAG) > 1:
            return "this is DLMS in HDLC frames, not P1 telegrams; that is not supported."
        high = sum(byte >= 0x80 for byte in sample)
        if high * 4 > len(sample):
            return (
                "they are no text; is the signal inverted (P1 needs an inverting cable), or the "
                "baud rate wrong (115200 from DSMR 4 on, 9600 before)?"
            )
        return "they hold no telegram; is this a P1 port, and baud_rate right (115200 or 9600)?"


def _checked(outcome: Telegram | RefusedTelegram) -> Telegram | Refusal:
    """``outcome``, refused also if its values do not prove it."""
    if isinstance(outcome, RefusedTelegram):
        return Refusal(outcome.text, outcome.reason, outcome.fault)
    try:
        decode_telegram(outcome)
    except DeviceError as error:
        return Refusal(outcome.identification, error.reason, error.fault or Fault.MALFORMED)
    return outcome


def decode_telegrams(content: bytes) -> list[Decoded | Refused]:
    """All telegrams of a file, as the meter sent them or from a flight recording, in order."""
    buffer = TelegramBuffer()
    results: list[Decoded | Refused] = []
    for outcome in (*buffer.feed(received_in(content)), *buffer.end()):
        checked = _checked(outcome)
        if isinstance(checked, Refusal):
            results.append(Refused(checked.what, checked.reason))
        else:
            results.append(decode_telegram(checked, raw=True))
    return results


def received_in(content: bytes) -> bytes:
    """The bytes that a flight recording says were received; ``content`` itself if it is none."""
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError:
        return content
    if not looks_like_recording(text):
        return content
    entries = parse_recording(text, "recording").entries
    return b"".join(entry.data for entry in entries if entry.kind == RECV)
